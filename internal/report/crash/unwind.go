package crash

import "fmt"

// registerSet is a frame's registers, as far as they are known.
type registerSet struct {
	value [registers]uint64
	lost  [registers]bool
}

func (s *registerSet) get(n uint64) (uint64, bool) {
	if n >= registers || s.lost[n] {
		return 0, false
	}
	return s.value[n], true
}

func (s *registerSet) set(n int, v uint64) { s.value[n], s.lost[n] = v, false }

// kernelHalf is where the kernel's addresses begin.
const kernelHalf = 0xffff800000000000

// How a backtrace can end before the first function.
const (
	endStack   = "the report contains no more of the stack"
	endLost    = "its stack pointer or return address is unknown"
	endLoop    = "the stack leads nowhere"
	endNothing = "no unwinding table covers this code"
)

// unwinder goes from the crash to the callers.
type unwinder struct {
	*Report
	space space
	regs  registerSet
	exact bool // the ip is an instruction's own address, not that behind a call
}

func (s space) unwinder(r *Report) *unwinder {
	u := &unwinder{Report: r, space: s, exact: true}
	u.regs.value = r.regs
	return u
}

// code tells whether there is an instruction of the application or of a library.
func (u *unwinder) code(pc uint64) bool { return u.space.at(pc) != nil }

// pc is an address inside the instruction that the frame is at.
func (u *unwinder) pc() uint64 {
	if ip := u.regs.value[rip]; u.exact || ip == 0 {
		return ip
	}
	return u.regs.value[rip] - 1
}

// next goes to the caller. end tells why that is impossible; "" at the first function of all. signal is the kind of the
// frame that was left, which is known only now.
func (u *unwinder) next() (signal, ok bool, end string) {
	if m, e := u.space.entry(u.pc()); e != nil {
		return u.byTable(m, e)
	}
	ip, sp := u.regs.value[rip], u.regs.value[rsp]
	if u.exact && !u.code(ip) {
		return false, u.byTop(ip >= kernelHalf), endNothing
	}
	if u.exact {
		if ret, known := u.word(sp); known && u.returns(ret) { // it has no frame yet
			u.enter(ret, sp+8)
			return false, true, ""
		}
	}
	return u.byPointer()
}

func (u *unwinder) enter(ip, sp uint64) {
	u.regs.set(rip, ip)
	u.regs.set(rsp, sp)
	u.exact = false
}

// kernelDepth is how many words of the stack a kernel function that the application has jumped into may have taken.
const kernelDepth = 64

// byTop takes the return address from the top of the stack, where a call through a bad pointer has left it. A kernel
// function may have put words on top, and leftovers of earlier calls among them: the caller must have a caller.
func (u *unwinder) byTop(deep bool) bool {
	n := 1
	if deep {
		n = kernelDepth
	}
	sp := u.regs.value[rsp]
	for range n {
		ret, ok := u.word(sp)
		if !ok {
			return false
		}
		sp += 8
		if !u.returns(ret) {
			continue
		}
		try := *u
		try.enter(ret, sp)
		caller := try
		if _, ok, end := try.next(); ok || end == "" || !deep {
			*u = caller
			return true
		}
	}
	return false
}

// byPointer follows a chain of frame pointers.
func (u *unwinder) byPointer() (signal, ok bool, end string) {
	bp, known := u.regs.get(rbp)
	if !known || bp < u.regs.value[rsp] {
		return false, false, endNothing
	}
	caller, ok1 := u.word(bp)
	ret, ok2 := u.word(bp + 8)
	if !ok1 || !ok2 || !u.returns(ret) {
		return false, false, endNothing
	}
	u.regs.set(rbp, caller)
	u.enter(ret, bp+16)
	return false, true, ""
}

// returns tells whether a word is an address behind a call.
func (u *unwinder) returns(ret uint64) bool {
	m := u.space.at(ret - 1)
	if ret == 0 || m == nil || m.program == nil {
		return false
	}
	b := m.program.before(ret - m.bias)
	n := len(b)
	if n >= 5 && b[n-5] == 0xe8 {
		return true
	}
	// FF /2 with its ModRM byte, and what may follow that: SIB, displacement
	for _, l := range []int{2, 3, 4, 6, 7} {
		if n >= l && b[n-l] == 0xff && b[n-l+1]>>3&7 == 2 {
			return true
		}
	}
	return false
}

// byTable follows the table.
func (u *unwinder) byTable(m *module, e *entry) (signal, ok bool, end string) {
	row, err := e.row(u.pc() - m.bias)
	if err != nil {
		return e.signal, false, err.Error()
	}
	if row.reg[e.ret].how == undefined {
		return e.signal, false, ""
	}
	cfa, ok := u.frameAddress(row.cfa)
	if !ok {
		return e.signal, false, endLost
	}
	caller := u.regs
	caller.set(rsp, cfa)
	for n, r := range row.reg {
		u.apply(&caller, n, r, cfa)
	}
	ret, ok := caller.get(e.ret)
	switch {
	case !ok && row.reg[e.ret].how == atOffset:
		return e.signal, false, endStack
	case !ok:
		return e.signal, false, endLost
	case ret == 0:
		return e.signal, false, ""
	case !e.signal && cfa <= u.regs.value[rsp]:
		return e.signal, false, endLoop
	case !e.signal && !u.code(ret-1):
		return e.signal, false, fmt.Sprintf("there is no code at the return address %#x: something has overwritten the stack",
			ret)
	}
	caller.set(rip, ret)
	u.regs, u.exact = caller, e.signal
	return e.signal, true, ""
}

// frameAddress computes the canonical frame address.
func (u *unwinder) frameAddress(r rule) (uint64, bool) {
	if r.how == isResult {
		x := expression{frame: &u.regs, read: u.read}
		return x.run(r.expr)
	}
	v, ok := u.regs.get(r.reg)
	return v + uint64(r.n), ok && r.how == inRegister
}

// apply finds the caller's value of a register.
func (u *unwinder) apply(caller *registerSet, n int, r rule, cfa uint64) {
	var v uint64
	ok := true
	switch r.how {
	case same:
		return
	case undefined:
		ok = false
	case atOffset:
		v, ok = u.word(cfa + uint64(r.n))
	case isOffset:
		v = cfa + uint64(r.n)
	case inRegister:
		v, ok = u.regs.get(r.reg)
	case atResult, isResult:
		x := expression{frame: &u.regs, read: u.read, stack: []uint64{cfa}}
		v, ok = x.run(r.expr)
		if ok && r.how == atResult {
			v, ok = u.word(v)
		}
	}
	caller.value[n], caller.lost[n] = v, !ok
}
