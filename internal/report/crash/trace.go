package crash

import (
	"fmt"
	"strings"

	"ukl/internal/host/printable"
)

// Frame is one line of a backtrace.
type Frame struct {
	Address  uint64
	Function string // "" is unknown
	Offset   uint64 // from the function's begin; only where File is ""
	File     string // "" is unknown
	Line     int
	Module   string // the library's file; "" is the application
	Signal   bool   // here the kernel called a handler
	Nowhere  bool   // no code is there
}

// Trace is a crash that has been looked into.
type Trace struct {
	*Report
	Frames []Frame // the innermost first
	End    string  // why the frames end before the first function; "" if they do not
}

// deepestTrace is more frames than a report has room for (512 return addresses, and what the compiler has put into each
// of their functions): a stack that has them leads in a circle.
const deepestTrace = 4096

// Look makes the backtrace of a report. p may be nil. place is the application's path in the guest. library finds its
// libraries by theirs, and gives nil for what it does not find.
func (p *Program) Look(r *Report, place string, library func(file string) *Program) *Trace {
	t := &Trace{Report: r}
	if p == nil {
		t.Frames = []Frame{{Address: r.regs[rip]}}
		t.End = "there is no file with the application's symbols"
		return t
	}
	s, ok := p.space(r, place, library)
	if !ok {
		t.Frames = []Frame{{Address: r.regs[rip]}}
		t.End = "the application is position-independent, and the report does not have its address"
		return t
	}
	u := s.unwinder(r)
	for {
		pc, ip := u.pc(), u.regs.value[rip]
		signal, ok, end := u.next()
		if signal {
			t.Frames = append(t.Frames, Frame{Address: ip, Signal: true})
		} else {
			t.Frames = append(t.Frames, p.frames(s, ip, pc)...)
		}
		if !ok {
			t.End = end
			break
		}
		if len(t.Frames) >= deepestTrace {
			t.End = endLoop
			break
		}
	}
	switch {
	case t.End == "":
	case len(r.stack) == 0:
		t.End = "nothing is mapped at the stack pointer: the stack may be full, from endless recursion or a large array"
	case r.belowStack():
		t.End = "the fault is just below the stack pointer: the stack is full, most likely from endless recursion"
	}
	return t
}

// frames are the functions at an address: several if the compiler has put one into another. ip is what is shown for
// those without a line.
func (p *Program) frames(s space, ip, pc uint64) []Frame {
	if pc >= kernelHalf {
		name, offset := nearest(p.kernel, pc)
		if name != "" {
			name = "kernel: " + name
		}
		return []Frame{{Address: ip, Function: name, Offset: offset}}
	}
	m := s.at(pc)
	switch {
	case m == nil:
		return []Frame{{Address: ip, Nowhere: true}}
	case m.program == nil:
		return []Frame{{Address: ip, Module: m.name}}
	}
	var list []Frame
	for _, at := range m.program.places(pc - m.bias) {
		list = append(list, Frame{Address: ip, Function: at.function, File: at.file, Line: at.line, Module: m.name})
	}
	if len(list) == 0 || len(list) == 1 && list[0].File == "" {
		name, offset := nearest(m.program.symbols, pc-m.bias)
		return []Frame{{Address: ip, Function: name, Offset: offset + ip - pc, Module: m.name}}
	}
	return list
}

// String is the frame without its number. Names may be those of a file that the guest has written.
func (f Frame) String() string {
	f.Function, f.File, f.Module = short(f.Function), short(f.File), short(f.Module)
	switch {
	case f.Signal:
		return "<signal handler called>"
	case f.Nowhere:
		return fmt.Sprintf("%#x (no code is there)", f.Address)
	case f.File != "":
		return fmt.Sprintf("%-24s %s:%d", f.Function, f.File, f.Line)
	case f.Module != "" && f.Function != "":
		return fmt.Sprintf("%-24s %s", fmt.Sprintf("%s+%#x", f.Function, f.Offset), f.Module)
	case f.Module != "":
		return fmt.Sprintf("%-24s %s", fmt.Sprintf("%#x", f.Address), f.Module)
	case f.Function != "":
		return fmt.Sprintf("%s+%#x", f.Function, f.Offset)
	case f.Address >= kernelHalf:
		return fmt.Sprintf("%#x (an address of the kernel)", f.Address)
	}
	return fmt.Sprintf("%#x", f.Address)
}

// longestName is more than the names of templates have, in bytes.
const longestName = 1000

// short is a name as a line can show it.
func short(name string) string {
	if len(name) > longestName {
		name = name[:longestName] + "..."
	}
	return printable.Line(name)
}

// repeatsShown is how many frames of one call, as a recursion leaves them, have a line each.
const repeatsShown = 3

// Lines are the trace for people.
func (t *Trace) Lines() []string {
	who := "the application"
	if t.Thread != 1 {
		who = fmt.Sprintf("thread %d of the application", t.Thread)
	}
	lines := []string{who + " was killed by " + t.Cause()}
	for i := 0; i < len(t.Frames); {
		same := 1
		for i+same < len(t.Frames) && t.Frames[i+same] == t.Frames[i] {
			same++
		}
		shown := same
		if same > repeatsShown {
			shown = 1
		}
		for n := range shown {
			lines = append(lines, strings.TrimRight(fmt.Sprintf("  #%-2d %s", i+n, t.Frames[i]), " "))
		}
		if shown < same {
			lines = append(lines, fmt.Sprintf("      the same %d times more", same-shown))
		}
		i += same
	}
	if t.End != "" {
		lines = append(lines, "  backtrace ends here: "+t.End)
	}
	return lines
}
