package crash

// page is the granularity of where a program can be.
const page = 4096

// fewest are the callers that must make sense at a place for it to be believed.
const fewest = 2

// bias finds where a position-independent program was, which the kernel does not say: the page at which the stack makes
// the most sense. Of two that are as good it is neither.
func (p *Program) bias(r *Report) (bias uint64, ok bool) {
	if !p.moves {
		return 0, true
	}
	anchor := r.regs[rip]
	if top, known := r.word(r.regs[rsp]); known && (anchor < page || anchor >= kernelHalf) {
		anchor = top // a call through a bad pointer: the return address is at least there
	}
	best := 2*fewest - 1
	for _, s := range p.code {
		first := s.addr + (anchor-s.addr)%page
		for at := first; at-s.addr < uint64(len(s.data)); at += page {
			switch n := p.sense(r, anchor-at); {
			case n > best:
				best, bias, ok = n, anchor-at, true
			case n == best:
				ok = false
			}
		}
	}
	return bias, ok
}

// sense measures a backtrace: two for each caller that stands behind a call, or is the trampoline of a signal handler;
// one more if it reaches the first function.
func (p *Program) sense(r *Report, bias uint64) int {
	u := p.unwinder(r, bias)
	for n := 0; n < 2*deepestTrace; n += 2 {
		_, ok, end := u.next()
		if !ok && end == "" {
			return n + 1
		}
		if !ok {
			return n
		}
		if e := p.table.find(u.pc() - bias); !u.exact && !u.returns(u.regs.value[rip]) && (e == nil || !e.signal) {
			return n
		}
	}
	return 0
}
