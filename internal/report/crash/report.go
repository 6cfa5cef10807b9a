// Package crash says where an application crashed: it reads the kernel's report of registers and stack, unwinds the
// stack with the tables of the application's own file, and names functions and lines. It never runs the file, needs no
// debugger, and takes broken tables and reports for what they are: a backtrace that ends earlier.
package crash

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// Mark is in every line of a report.
const Mark = "ukl: crash "

// Numbers of registers are DWARF's for x86-64, and the report's order as well.
const (
	rbp       = 6
	rsp       = 7
	rip       = 16 // DWARF's return address
	registers = 17
)

// Report is what the kernel says of a crash.
type Report struct {
	Signal  int
	Code    int    // si_code
	Address uint64 // that the fault was about, if the code says that there is one
	Thread  int    // 1 is the first
	regs    [registers]uint64
	stack   []byte // from rsp up
	maps    []Mapping
}

// names are the registers as a report has them.
func names() []string {
	return strings.Fields("ax dx cx bx si di bp sp r8 r9 r10 r11 r12 r13 r14 r15 ip flags")
}

// Parse finds the first report of a signal in a kernel log. Lines of anything else may stand between its own, even
// those of another thread's report: what belongs to its stack is known by the address.
func Parse(log string, signal int) (*Report, bool) {
	var r *Report
	placed := false // its registers are known
	for line := range strings.Lines(log) {
		_, text, ok := strings.Cut(line, Mark)
		if !ok {
			continue
		}
		kind, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
		switch {
		case kind == "signal" && r == nil:
			if first := head("signal " + rest); first != nil && first.Signal == signal {
				r = first
			}
		case kind == "registers" && r != nil && !placed:
			placed = r.place(strings.Fields(rest))
		case kind == "map" && placed:
			r.mapped(rest)
		case kind == "stack" && placed:
			r.push(rest)
		}
	}
	return r, placed
}

// head reads the first line; nil for one that is broken.
func head(line string) *Report {
	f := strings.Fields(line)
	if len(f) < 8 || f[0] != "signal" || f[2] != "code" || f[4] != "address" || f[6] != "thread" {
		return nil
	}
	var r Report
	var errs [4]error
	r.Signal, errs[0] = strconv.Atoi(f[1])
	r.Code, errs[1] = strconv.Atoi(f[3])
	r.Address, errs[2] = strconv.ParseUint(f[5], 16, 64)
	r.Thread, errs[3] = strconv.Atoi(f[7])
	if errs != [4]error{} {
		return nil
	}
	return &r
}

// place reads the registers: all of them, or it is no report.
func (r *Report) place(f []string) bool {
	want := names()
	if len(f) < 2*len(want) {
		return false
	}
	for i, name := range want {
		v, err := strconv.ParseUint(f[2*i+1], 16, 64)
		if f[2*i] != name || err != nil {
			return false
		}
		if i < registers {
			r.regs[i] = v
		}
	}
	return true
}

// most is how many mappings a report has.
const most = 64

// mapped adds a mapping. Nothing about it need be true: it only says where to look.
func (r *Report) mapped(line string) {
	f := strings.SplitN(line, " ", 4)
	if len(f) < 4 || len(r.maps) >= most {
		return
	}
	m := Mapping{File: f[3]}
	var errs [3]error
	m.Start, errs[0] = strconv.ParseUint(f[0], 16, 64)
	m.End, errs[1] = strconv.ParseUint(f[1], 16, 64)
	m.Offset, errs[2] = strconv.ParseUint(f[2], 16, 64)
	if errs == [3]error{} && m.Start < m.End {
		r.maps = append(r.maps, m)
	}
}

// largest is more than any report holds of the stack.
const largest = 1 << 16

// push adds a line of the stack if it continues what is there.
func (r *Report) push(line string) {
	at, words, _ := strings.Cut(line, ":")
	if a, err := strconv.ParseUint(at, 16, 64); err != nil || a != r.regs[rsp]+uint64(len(r.stack)) ||
		len(r.stack) >= largest {
		return
	}
	for _, w := range strings.Fields(words) {
		v, err := strconv.ParseUint(w, 16, 64)
		if err != nil {
			return
		}
		r.stack = binary.LittleEndian.AppendUint64(r.stack, v)
	}
}

// read is the memory that the report knows.
func (r *Report) read(at uint64, size int) (v uint64, ok bool) {
	from := at - r.regs[rsp]
	if at < r.regs[rsp] || from > uint64(len(r.stack)) || uint64(size) > uint64(len(r.stack))-from {
		return 0, false
	}
	for i := size; i > 0; i-- {
		v = v<<8 | uint64(r.stack[from+uint64(i)-1])
	}
	return v, true
}

func (r *Report) word(at uint64) (uint64, bool) { return r.read(at, 8) }
