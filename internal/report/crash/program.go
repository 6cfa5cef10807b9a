package crash

import (
	"cmp"
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"slices"
	"strings"

	"ukl/internal/host/regular"
	"ukl/internal/kernel/systemmap"
)

// Program is what is known of an application's code. A nil one knows nothing.
type Program struct {
	moves   bool // it is position-independent: somewhere else at each start
	table   table
	symbols []symbol // by address
	code    []segment
	dwarf   *dwarf.Data // nil without debugging information
	kernel  []symbol    // of System.map
}

type symbol struct {
	addr, size uint64
	name       string
	rank       int
}

type segment struct {
	addr, offset uint64 // in memory, and in the file
	data         []byte
}

// Open reads an ELF file, best one with debugging information. systemMap names the kernel's symbols; "" if there are
// none. Whatever of the two is missing or broken is not used.
func Open(file, systemMap string) (*Program, error) {
	in, err := regular.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return Read(in, systemMap)
}

// mostFile is how many bytes a program's file may have, also when what is compressed in it is not: guests write files.
const mostFile = 1 << 30

// Read is Open for a file that is open.
func Read(in *os.File, systemMap string) (*Program, error) {
	fi, err := in.Stat()
	if err != nil {
		return nil, err
	}
	f, err := elf.NewFile(in)
	if err != nil {
		return nil, err
	}
	if fi.Size() > mostFile || unpacked(f) > mostFile {
		return nil, fmt.Errorf("the application's file has more than %d MiB, or unpacks to more", mostFile>>20)
	}
	if f.Machine != elf.EM_X86_64 || f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return nil, errors.New("the application's file is not an x86-64 program")
	}
	p := &Program{moves: f.Type == elf.ET_DYN}
	for _, l := range f.Progs {
		if l.Type == elf.PT_LOAD && l.Flags&elf.PF_X != 0 {
			if b, err := io.ReadAll(l.Open()); err == nil {
				p.code = append(p.code, segment{l.Vaddr, l.Off, b})
			}
		}
	}
	for _, name := range []string{".eh_frame", ".debug_frame"} {
		if s := f.Section(name); s != nil {
			if b, err := s.Data(); err == nil && len(p.table) == 0 {
				p.table = parseTable(b, s.Addr, name == ".eh_frame")
			}
		}
	}
	p.symbols = functions(f)
	p.dwarf, _ = f.DWARF()
	if b, err := os.ReadFile(systemMap); err == nil {
		p.kernel = mapped(string(b))
	}
	return p, nil
}

// unpacked is how many bytes the sections of a file say that they have. A file may say that the same bytes belong to
// many sections.
func unpacked(f *elf.File) uint64 {
	var sum uint64
	for _, s := range f.Sections {
		size := s.Size
		if strings.HasPrefix(s.Name, ".zdebug_") { // GNU's way: "ZLIB" and the size (man 1 ld, compress-debug-sections)
			head := make([]byte, 12)
			if _, err := s.ReadAt(head, 0); err == nil {
				size = max(size, binary.BigEndian.Uint64(head[4:]))
			}
		}
		if s.Type != elf.SHT_NOBITS {
			if sum += size; sum < size {
				return math.MaxUint64
			}
		}
	}
	for _, p := range f.Progs {
		if sum += p.Filesz; sum < p.Filesz {
			return math.MaxUint64
		}
	}
	return sum
}

// functions are the symbols of a program's code, by address, each address once.
func functions(f *elf.File) []symbol {
	all, _ := f.Symbols() // a stripped program has none, and a library those that others may call
	if all == nil {
		all, _ = f.DynamicSymbols()
	}
	var list []symbol
	for _, s := range all {
		kind := elf.ST_TYPE(s.Info)
		if s.Name == "" || int(s.Section) >= len(f.Sections) || f.Sections[s.Section].Flags&elf.SHF_EXECINSTR == 0 ||
			kind != elf.STT_FUNC && kind != elf.STT_GNU_IFUNC && kind != elf.STT_NOTYPE {
			continue
		}
		list = append(list, symbol{s.Value, s.Size, s.Name, rank(s)})
	}
	slices.SortStableFunc(list, func(a, b symbol) int {
		return cmp.Or(cmp.Compare(a.addr, b.addr),
			cmp.Compare(a.rank, b.rank))
	})
	return slices.CompactFunc(list, func(a, b symbol) bool { return a.addr == b.addr })
}

// rank puts the names of one address into order: the one that people know is the lowest.
func rank(s elf.Symbol) int {
	n := len(s.Name)
	if elf.ST_TYPE(s.Info) == elf.STT_NOTYPE {
		n += 4000
	}
	if elf.ST_BIND(s.Info) == elf.STB_LOCAL {
		n += 2000
	}
	if strings.HasPrefix(s.Name, "_") {
		n += 1000
	}
	return n
}

// mapped are the symbols of a System.map by address.
func mapped(text string) []symbol {
	var list []symbol
	for s := range systemmap.Parse(text) {
		list = append(list, symbol{addr: s.Addr, name: s.Name})
	}
	slices.SortStableFunc(list, func(a, b symbol) int { return cmp.Compare(a.addr, b.addr) })
	return list
}

// KernelFunction names an address of the kernel as function+offset, from a System.map; "" if it cannot.
func KernelFunction(systemMap string, at uint64) string {
	text, err := os.ReadFile(systemMap)
	if err != nil || at < kernelHalf {
		return ""
	}
	name, offset := nearest(mapped(string(text)), at)
	if name == "" {
		return ""
	}
	return fmt.Sprintf("%s+%#x", name, offset)
}

// Place names an address of the application: function, file and line as far as they are known. Of a
// position-independent application nothing is.
func (p *Program) Place(at uint64) string {
	if p.moves {
		return fmt.Sprintf("%#x", at)
	}
	return p.frames(space{{program: p}}, at, at)[0].String()
}

// farthest is how far behind a symbol without a size its code may go on.
const farthest = 1 << 16

// nearest names an address; "" if no symbol does.
func nearest(list []symbol, pc uint64) (name string, offset uint64) {
	i, found := slices.BinarySearchFunc(list, pc, func(s symbol, pc uint64) int { return cmp.Compare(s.addr, pc) })
	if !found {
		i--
	}
	if i < 0 {
		return "", 0
	}
	s := list[i]
	offset = pc - s.addr
	if s.size > 0 && offset >= s.size || offset > farthest {
		return "", 0
	}
	return s.name, offset
}

// isCode tells whether the program has an instruction at an address.
func (p *Program) isCode(pc uint64) bool { return p.segment(pc) != nil }

func (p *Program) segment(pc uint64) *segment {
	for i, s := range p.code {
		if pc >= s.addr && pc-s.addr < uint64(len(s.data)) {
			return &p.code[i]
		}
	}
	return nil
}

// before is what stands before an address, at most 8 bytes.
func (p *Program) before(at uint64) []byte {
	s := p.segment(at - 1)
	if s == nil {
		return nil
	}
	end := at - s.addr
	return s.data[end-min(end, 8) : end]
}

// place is a line of the source. The zero value is unknown.
type place struct {
	function string
	file     string
	line     int
}

// places are the functions at an address by the debugging information: those that the compiler has put into others
// first, and the one that they are all in last. None without information.
func (p *Program) places(pc uint64) []place {
	if p.dwarf == nil {
		return nil
	}
	r := p.dwarf.Reader()
	unit, err := r.SeekPC(pc)
	if err != nil {
		return nil
	}
	lines, err := p.dwarf.LineReader(unit)
	if err != nil || lines == nil {
		return nil
	}
	base, _ := unit.Val(dwarf.AttrCompDir).(string)
	here := place{}
	if at := lineAt(lines, pc); at.File != nil {
		here.file, here.line = source(at.File.Name, base), at.Line
	}
	files := lines.Files()
	var list []place
	for _, e := range slices.Backward(p.around(r, unit, pc)) {
		here.function = p.name(e)
		list = append(list, here)
		here = place{}
		n, ok := e.Val(dwarf.AttrCallFile).(int64)
		if line, known := e.Val(dwarf.AttrCallLine).(int64); known && ok &&
			n >= 0 && n < int64(len(files)) && files[n] != nil {
			here.file, here.line = source(files[n].Name, base), int(line)
		}
	}
	return list
}

// lineAt finds the line of an address; the zero value if there is none. LineReader.SeekPC would miss all that does not
// stand in the order of addresses, as main and unlikely code do.
func lineAt(lines *dwarf.LineReader, pc uint64) dwarf.LineEntry {
	var last, next dwarf.LineEntry
	for began := false; lines.Next(&next) == nil; began = !next.EndSequence {
		if began && pc >= last.Address && pc < next.Address {
			return last
		}
		last = next
	}
	return dwarf.LineEntry{}
}

// around are the entries of the functions that an address is in, the outermost first.
func (p *Program) around(r *dwarf.Reader, unit *dwarf.Entry, pc uint64) []*dwarf.Entry {
	var list []*dwarf.Entry
	if !unit.Children {
		return nil
	}
	for depth := 1; depth > 0; {
		e, err := r.Next()
		if err != nil || e == nil {
			break
		}
		if e.Tag == 0 {
			depth--
			if len(list) > 0 {
				break // the innermost that has the address has ended
			}
			continue
		}
		enter := false
		switch e.Tag {
		case dwarf.TagNamespace, dwarf.TagModule, dwarf.TagStructType, dwarf.TagClassType:
			enter = len(list) == 0
		case dwarf.TagSubprogram, dwarf.TagInlinedSubroutine, dwarf.TagLexDwarfBlock:
			enter = p.holds(e, pc)
			if enter && e.Tag != dwarf.TagLexDwarfBlock {
				list = append(list, e)
			}
		}
		switch {
		case !e.Children && enter && len(list) > 0:
			return list
		case e.Children && enter:
			depth++
		case e.Children:
			r.SkipChildren()
		}
	}
	return list
}

func (p *Program) holds(e *dwarf.Entry, pc uint64) bool {
	ranges, err := p.dwarf.Ranges(e)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(ranges, func(r [2]uint64) bool { return pc >= r[0] && pc < r[1] })
}

// name is a function's, which may stand in another entry.
func (p *Program) name(e *dwarf.Entry) string {
	const links = 8 // more are broken
	for range links {
		if name, ok := e.Val(dwarf.AttrName).(string); ok {
			return name
		}
		to, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			if to, ok = e.Val(dwarf.AttrSpecification).(dwarf.Offset); !ok {
				return ""
			}
		}
		r := p.dwarf.Reader()
		r.Seek(to)
		next, err := r.Next()
		if err != nil || next == nil {
			return ""
		}
		e = next
	}
	return ""
}

// source is a file's name as the user knows it: as it was compiled, without the directories of a build.
func source(name, base string) string {
	name = path.Clean(name)
	for _, dir := range []string{"/build/src/", "/build/obj/", "/build/", path.Clean(base) + "/"} {
		if rest, ok := strings.CutPrefix(name, dir); ok {
			return rest
		}
	}
	if rest, ok := strings.CutPrefix(name, "/nix/store/"); ok {
		_, name, _ = strings.Cut(rest, "/")
	}
	return name
}
