package crash

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// common is what many functions' entries share (a CIE).
type common struct {
	codeUnit uint64
	dataUnit int64
	ret      uint64 // the column of the return address
	encoding byte   // of pointers
	signal   bool   // a frame that the kernel made: its ip is exact
	sized    bool   // entries have augmentation data
	code     []byte
}

// entry is a function's way to its caller (an FDE).
type entry struct {
	start, end uint64
	*common
	code []byte
}

// table is the entries by address.
type table []entry

// parseTable reads .eh_frame or, without eh, .debug_frame. What is broken is left out.
func parseTable(data []byte, addr uint64, eh bool) table {
	var t table
	commons := map[uint64]*common{}
	c := &cursor{b: data, addr: addr}
	for c.more() {
		r, size := record(c)
		if r == nil {
			continue // a terminator stands wherever a start file was linked
		}
		at := uint64(r.off)
		id := r.fixed(size)
		if isCommon(id, size, eh) || r.bad {
			continue
		}
		if eh {
			id = at - id
		}
		shared, known := commons[id]
		if !known {
			shared = commonAt(data, addr, id, eh)
			commons[id] = shared
		}
		if shared == nil {
			continue
		}
		e := entry{common: shared}
		e.start = r.pointer(shared.encoding)
		e.end = e.start + r.pointer(shared.encoding&encodedForm)
		if shared.sized {
			r.block()
		}
		e.code = r.b[r.off:]
		if !r.bad && e.end > e.start {
			t = append(t, e)
		}
	}
	slices.SortFunc(t, func(a, b entry) int { return cmp.Compare(a.start, b.start) })
	return t
}

// record cuts the next record; its cursor knows its place in the section. nil is a terminator or the end. size is that
// of its first field.
func record(c *cursor) (r *cursor, size uint64) {
	n, size := c.fixed(4), uint64(4)
	if n == 0xffffffff {
		n, size = c.fixed(8), 8
	}
	from := c.off
	if c.take(n) == nil || n == 0 {
		return nil, size
	}
	return &cursor{b: c.b[:c.off], addr: c.addr, off: from}, size
}

func isCommon(id, size uint64, eh bool) bool {
	switch {
	case eh:
		return id == 0
	case size == 4:
		return id == 0xffffffff
	}
	return id == ^uint64(0)
}

// commonAt reads the CIE at an offset; nil if there is none that can be used.
func commonAt(data []byte, addr, off uint64, eh bool) *common {
	if off >= uint64(len(data)) {
		return nil
	}
	r, size := record(&cursor{b: data, addr: addr, off: int(off)})
	if r == nil || !isCommon(r.fixed(size), size, eh) {
		return nil
	}
	version := r.byte()
	augmentation := r.text(16)
	if version == 4 {
		if r.byte() != 8 || r.byte() != 0 { // size of addresses, of segments
			return nil
		}
	}
	s := &common{codeUnit: r.uleb(), dataUnit: r.sleb()}
	if version == 1 {
		s.ret = uint64(r.byte())
	} else {
		s.ret = r.uleb()
	}
	rest, sized := strings.CutPrefix(augmentation, "z")
	if s.sized = sized; sized {
		n := r.uleb()
		from := r.off
		if r.take(n) == nil && n > 0 {
			return nil
		}
		a := &cursor{b: r.b[:r.off], addr: addr, off: from}
		if s.augment(a, rest); a.bad {
			return nil
		}
	} else if rest != "" {
		return nil
	}
	s.code = r.b[r.off:]
	if r.bad || s.ret >= registers || version != 1 && version != 3 && version != 4 {
		return nil
	}
	return s
}

// augment reads what the letters behind the z stand for. Of an unknown one the rest is skipped, as its length is known.
func (s *common) augment(c *cursor, letters string) {
	for _, l := range letters {
		switch l {
		case 'R':
			s.encoding = c.byte()
		case 'P':
			c.pointer(c.byte() &^ encodedRelative)
		case 'L':
			c.byte()
		case 'S':
			s.signal = true
		default:
			return
		}
	}
}

// find returns the entry of an address; nil if there is none.
func (t table) find(pc uint64) *entry {
	i, _ := slices.BinarySearchFunc(t, pc, func(e entry, pc uint64) int {
		if e.start > pc {
			return 1
		}
		return -1
	})
	if i == 0 || pc >= t[i-1].end {
		return nil
	}
	return &t[i-1]
}

// how a value is found.
type how int

const (
	same       how = iota // it is what it was: the zero value
	undefined             // it is lost
	atOffset              // in memory at CFA + n
	isOffset              // CFA + n
	inRegister            // in register reg, plus n
	atResult              // in memory where expr says
	isResult              // what expr says
)

type rule struct {
	how
	reg  uint64
	n    int64
	expr []byte
}

// row is the rules at one address. cfa is inRegister or isResult.
type row struct {
	cfa rule
	reg [registers]rule
}

var errTable = errors.New("the table for unwinding is broken")

// row runs the entry's instructions up to pc.
func (e *entry) row(pc uint64) (row, error) {
	m := machine{common: e.common, loc: e.start, pc: pc}
	if !m.run(e.common.code) {
		return row{}, errTable
	}
	m.initial, m.loc = m.row, e.start
	if !m.run(e.code) {
		return row{}, errTable
	}
	return m.row, nil
}

// machine runs instructions for unwinding.
type machine struct {
	*common
	loc, pc uint64
	row     row
	initial row // after the common instructions
	saved   []row
}

// deepest is how many rows can be remembered; compilers need one or two.
const deepest = 32

// run executes instructions until the location passes pc. False is a broken table.
func (m *machine) run(code []byte) bool {
	c := &cursor{b: code}
	for c.more() && m.loc <= m.pc {
		op := c.byte()
		low := uint64(op & 0x3f)
		ok := true
		switch op & 0xc0 {
		case 0x40:
			m.loc += low * m.codeUnit
		case 0x80:
			m.set(low, rule{how: atOffset, n: int64(c.uleb()) * m.dataUnit})
		case 0xc0:
			m.restore(low)
		default:
			ok = m.step(c, op)
		}
		if !ok || c.bad {
			return false
		}
	}
	return true
}

func (m *machine) set(reg uint64, r rule) {
	if reg < registers { // those of vectors are nobody's business here
		m.row.reg[reg] = r
	}
}

func (m *machine) restore(reg uint64) {
	if reg < registers {
		m.row.reg[reg] = m.initial.reg[reg]
	}
}

// step executes an instruction without operands in its own byte.
func (m *machine) step(c *cursor, op byte) bool {
	switch op {
	case 0x00: // nop
	case 0x01: // set_loc
		m.loc = c.fixed(8)
		return m.encoding == 0
	case 0x02:
		m.loc += c.fixed(1) * m.codeUnit
	case 0x03:
		m.loc += c.fixed(2) * m.codeUnit
	case 0x04:
		m.loc += c.fixed(4) * m.codeUnit
	case 0x05: // offset_extended
		m.set(c.uleb(), rule{how: atOffset, n: int64(c.uleb()) * m.dataUnit})
	case 0x06:
		m.restore(c.uleb())
	case 0x07:
		m.set(c.uleb(), rule{how: undefined})
	case 0x08:
		m.set(c.uleb(), rule{how: same})
	case 0x09:
		m.set(c.uleb(), rule{how: inRegister, reg: c.uleb()})
	case 0x0a: // remember_state
		m.saved = append(m.saved, m.row)
		return len(m.saved) <= deepest
	case 0x0b: // restore_state
		if len(m.saved) == 0 {
			return false
		}
		m.row = m.saved[len(m.saved)-1]
		m.saved = m.saved[:len(m.saved)-1]
	case 0x0c: // def_cfa
		m.row.cfa = rule{how: inRegister, reg: c.uleb(), n: int64(c.uleb())}
	case 0x0d:
		m.row.cfa.how, m.row.cfa.reg = inRegister, c.uleb()
	case 0x0e:
		m.row.cfa.n = int64(c.uleb())
	case 0x0f:
		m.row.cfa = rule{how: isResult, expr: c.block()}
	case 0x10:
		m.set(c.uleb(), rule{how: atResult, expr: c.block()})
	case 0x11: // offset_extended_sf
		m.set(c.uleb(), rule{how: atOffset, n: c.sleb() * m.dataUnit})
	case 0x12:
		m.row.cfa = rule{how: inRegister, reg: c.uleb(), n: c.sleb() * m.dataUnit}
	case 0x13:
		m.row.cfa.n = c.sleb() * m.dataUnit
	case 0x14: // val_offset
		m.set(c.uleb(), rule{how: isOffset, n: int64(c.uleb()) * m.dataUnit})
	case 0x15:
		m.set(c.uleb(), rule{how: isOffset, n: c.sleb() * m.dataUnit})
	case 0x16:
		m.set(c.uleb(), rule{how: isResult, expr: c.block()})
	case 0x2e: // GNU_args_size
		c.uleb()
	case 0x2f: // GNU_negative_offset_extended
		m.set(c.uleb(), rule{how: atOffset, n: -int64(c.uleb()) * m.dataUnit})
	default:
		return false
	}
	return true
}
