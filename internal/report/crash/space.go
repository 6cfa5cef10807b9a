package crash

import "path"

// Mapping is a part of a file whose code the application has in memory.
type Mapping struct {
	Start, End uint64
	Offset     uint64 // in the file, of Start
	File       string // its path in the guest
}

// AppFile is the application's own file in a guest whose root is not the application's.
const AppFile = "/app"

// module is a file with code: the application's, or a library's.
type module struct {
	program *Program // nil is unknown
	name    string   // of a library's file
	bias    uint64   // what addresses have more than the file says
	maps    []Mapping
}

// space are the modules of a process, the application's first.
type space []module

// space places the application, whose path in the guest is place, and its libraries, whose files library finds by their
// paths there; it gives nil for what it does not find. ok is false if nobody knows where the application is.
func (p *Program) space(r *Report, place string, library func(file string) *Program) (s space, ok bool) {
	s = space{{program: p}}
	at := map[string]int{place: 0}
	for _, m := range r.maps {
		i, there := at[m.File]
		if !there {
			i = len(s)
			at[m.File] = i
			s = append(s, module{name: path.Base(m.File)})
			if library != nil {
				s[i].program = library(m.File)
			}
		}
		s[i].maps = append(s[i].maps, m)
		if q := s[i].program; q != nil && q.moves {
			s[i].bias = q.bias(m)
		}
	}
	return s, !p.moves || len(s[0].maps) > 0
}

// bias is what the addresses of a mapping have more than the program's file says.
func (p *Program) bias(m Mapping) uint64 {
	for _, c := range p.code {
		if m.Offset < c.offset+uint64(len(c.data)) && c.offset < m.Offset+(m.End-m.Start) {
			return m.Start - m.Offset - (c.addr - c.offset)
		}
	}
	return m.Start - m.Offset
}

// at finds what an address is in; nil is nothing that has code.
func (s space) at(pc uint64) *module {
	for i := range s {
		if s[i].holds(pc) {
			return &s[i]
		}
	}
	return nil
}

func (m *module) holds(pc uint64) bool {
	if m.program != nil {
		return m.program.isCode(pc - m.bias)
	}
	for _, part := range m.maps {
		if pc >= part.Start && pc < part.End {
			return true
		}
	}
	return false
}

// entry finds the unwinding table's entry for an address.
func (s space) entry(pc uint64) (*module, *entry) {
	m := s.at(pc)
	if m == nil || m.program == nil {
		return m, nil
	}
	return m, m.program.table.find(pc - m.bias)
}
