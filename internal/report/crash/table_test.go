package crash

import (
	"encoding/binary"
	"testing"
)

// The expressions that binutils writes for a procedure linkage table, and the like.
func TestExpression(t *testing.T) {
	var s registerSet
	s.value[rsp], s.value[rip], s.lost[3] = 0x1000, 0x401005, true
	read := func(at uint64, size int) (uint64, bool) { return at + uint64(size), at == 0x1010 }
	for _, c := range []struct {
		name string
		code []byte
		want uint64
		ok   bool
	}{
		{"breg7 16", []byte{0x77, 16}, 0x1010, true},
		{"breg7 16 deref", []byte{0x77, 16, 0x06}, 0x1018, true},
		{"breg7 16 deref_size 4", []byte{0x77, 16, 0x94, 4}, 0x1014, true},
		{"breg7 24 deref", []byte{0x77, 24, 0x06}, 0, false},
		{"breg7 -8", []byte{0x77, 0x78}, 0xff8, true},
		{"plt", []byte{0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22}, 0x1008, true},
		{"plt behind the push", []byte{0x77, 8, 0x80, 6, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22}, 0x1010, true},
		{"lost register", []byte{0x73, 0}, 0, false},
		{"const2s dup minus", []byte{0x0b, 0xff, 0xff, 0x12, 0x1c}, 0, true},
		{"abs neg", []byte{0x09, 0xfb, 0x19, 0x1f}, ^uint64(4), true},
		{"division by zero", []byte{0x31, 0x30, 0x1b}, 0, false},
		{"rot", []byte{0x31, 0x32, 0x33, 0x17, 0x1c, 0x1c}, 4, true}, // 1 2 3 is 3 1 2, and 3-(1-2) is 4
		{"skip", []byte{0x31, 0x2f, 1, 0, 0xff, 0x32, 0x22}, 3, true},
		{"endless", []byte{0x2f, 0xfd, 0xff}, 0, false},
		{"empty", nil, 0, false},
		{"unknown", []byte{0x31, 0x31, 0xe0}, 0, false},
	} {
		x := expression{frame: &s, read: read}
		if got, ok := x.run(c.code); ok != c.ok || ok && got != c.want {
			t.Errorf("%s = %#x, %v; want %#x, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestNumbers(t *testing.T) {
	c := &cursor{b: []byte{0xe5, 0x8e, 0x26, 0x80, 0x7f, 0x9b, 0xf1, 0x59}}
	if v := c.uleb(); v != 624485 {
		t.Errorf("uleb = %d", v)
	}
	if v := c.sleb(); v != -128 {
		t.Errorf("sleb = %d", v)
	}
	if v := c.sleb(); v != -624485 || c.bad || c.more() {
		t.Errorf("sleb = %d", v)
	}
	if c.byte(); !c.bad {
		t.Error("a byte behind the end")
	}
}

// trampoline is a signal frame's entry like that of __restore_rt: everything is an expression.
func trampoline() []byte {
	b := []byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 'S', 0, 1, 0x78, 16, 1, 0x00}
	b = append(b, 0x0f, 4, 0x77, 0xa0, 1, 0x06, 0x10, 16, 3, 0x77, 0xa8, 1)
	binary.LittleEndian.PutUint32(b, uint32(len(b)-4))
	at := len(b)
	b = append(b, 21, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(at+4))
	b = binary.LittleEndian.AppendUint64(b, 0x400fff)
	return append(binary.LittleEndian.AppendUint64(b, 10), 0)
}

func TestSignalFrame(t *testing.T) {
	r := &Report{}
	r.regs[rsp] = 0x1000
	r.stack = make([]byte, 256)
	binary.LittleEndian.PutUint64(r.stack[0xa0:], 0x5000)
	binary.LittleEndian.PutUint64(r.stack[0xa8:], 0x402000)
	code := []segment{{addr: 0x400fff, data: make([]byte, 0x1001)}}
	u := space{{program: &Program{table: parseTable(trampoline(), 0, true), code: code}}}.unwinder(r)
	u.regs.value[rip] = 0x401000
	signal, ok, end := u.next()
	if !signal || !ok || end != "" || u.regs.value[rip] != 0x402000 || u.regs.value[rsp] != 0x5000 || !u.exact {
		t.Errorf("next = %v, %v, %q; %#x", signal, ok, end, u.regs.value)
	}
}

func FuzzTable(f *testing.F) {
	f.Add(trampoline(), uint64(0), true, uint64(0x401000))
	f.Add(trampoline(), uint64(0), false, uint64(0x401000))
	f.Fuzz(func(t *testing.T, data []byte, addr uint64, eh bool, sp uint64) {
		table := parseTable(data, addr, eh)
		r := &Report{stack: data[:len(data)&^7]}
		r.regs[rsp], r.regs[rip] = sp, addr^sp
		(&Program{moves: true, table: table, code: []segment{{addr: addr, data: data}}}).Look(r, AppFile, nil)
		for i, e := range table {
			if i == 100 {
				break
			}
			u := space{{program: &Program{table: table, code: []segment{{addr: e.start, data: data}}}}}.unwinder(r)
			u.exact = i%2 == 0
			u.regs.value[rip] = e.start + uint64(i)%(e.end-e.start)
			for range 600 {
				if _, ok, _ := u.next(); !ok {
					break
				}
			}
		}
	})
}
