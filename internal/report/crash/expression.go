package crash

// Limits of an expression; those of compilers are a few operations.
const (
	mostSteps   = 1000
	mostOnStack = 64
)

// expression computes a DWARF expression over a frame's registers and memory.
type expression struct {
	frame *registerSet
	read  func(at uint64, size int) (uint64, bool)
	stack []uint64
	bad   bool
}

func (x *expression) push(v uint64) {
	if len(x.stack) == mostOnStack {
		x.bad = true
		return
	}
	x.stack = append(x.stack, v)
}

func (x *expression) pop() uint64 {
	if len(x.stack) == 0 {
		x.bad = true
		return 0
	}
	v := x.stack[len(x.stack)-1]
	x.stack = x.stack[:len(x.stack)-1]
	return v
}

// pick copies what is n below the top.
func (x *expression) pick(n int) {
	if n >= len(x.stack) {
		x.bad = true
		return
	}
	x.push(x.stack[len(x.stack)-1-n])
}

// run returns what is on the stack at the end.
func (x *expression) run(code []byte) (uint64, bool) {
	c := &cursor{b: code}
	for n := 0; c.more() && !x.bad; n++ {
		if n == mostSteps {
			return 0, false
		}
		op := c.byte()
		switch {
		case op >= 0x30 && op <= 0x4f: // lit
			x.push(uint64(op - 0x30))
		case op >= 0x70 && op <= 0x8f: // breg
			x.register(uint64(op-0x70), c.sleb())
		case op == 0x92: // bregx
			x.register(c.uleb(), c.sleb())
		case x.constant(c, op), x.arrange(c, op), x.jump(c, op):
		case op == 0x06: // deref
			x.load(8)
		case op == 0x94: // deref_size
			x.load(int(c.byte()))
		case op == 0x96: // nop
		default:
			x.compute(c, op)
		}
	}
	v := x.pop()
	return v, !x.bad && !c.bad
}

func (x *expression) register(n uint64, plus int64) {
	v, ok := x.frame.get(n)
	x.bad = x.bad || !ok
	x.push(v + uint64(plus))
}

func (x *expression) load(size int) {
	at := x.pop()
	if size < 1 || size > 8 {
		x.bad = true
		return
	}
	v, ok := x.read(at, size)
	x.bad = x.bad || !ok
	x.push(v)
}

func (x *expression) constant(c *cursor, op byte) bool {
	switch op {
	case 0x03, 0x0e, 0x0f: // addr, const8u, const8s
		x.push(c.fixed(8))
	case 0x08:
		x.push(c.fixed(1))
	case 0x09:
		x.push(uint64(c.signed(1)))
	case 0x0a:
		x.push(c.fixed(2))
	case 0x0b:
		x.push(uint64(c.signed(2)))
	case 0x0c:
		x.push(c.fixed(4))
	case 0x0d:
		x.push(uint64(c.signed(4)))
	case 0x10:
		x.push(c.uleb())
	case 0x11:
		x.push(uint64(c.sleb()))
	default:
		return false
	}
	return true
}

func (x *expression) arrange(c *cursor, op byte) bool {
	switch op {
	case 0x12: // dup
		x.pick(0)
	case 0x13: // drop
		x.pop()
	case 0x14: // over
		x.pick(1)
	case 0x15:
		x.pick(int(c.byte()))
	case 0x16: // swap
		b, a := x.pop(), x.pop()
		x.push(b)
		x.push(a)
	case 0x17: // rot: the top goes below the next two
		top, b, a := x.pop(), x.pop(), x.pop()
		x.push(top)
		x.push(a)
		x.push(b)
	default:
		return false
	}
	return true
}

func (x *expression) jump(c *cursor, op byte) bool {
	if op != 0x28 && op != 0x2f { // bra, skip
		return false
	}
	by := c.signed(2)
	if op == 0x28 && x.pop() == 0 {
		return true
	}
	to := int64(c.off) + by
	if to < 0 || to > int64(len(c.b)) {
		x.bad = true
		return true
	}
	c.off = int(to)
	return true
}

// compute does arithmetic on the top, or the two topmost.
func (x *expression) compute(c *cursor, op byte) {
	b := x.pop()
	switch op {
	case 0x19: // abs
		if int64(b) < 0 {
			b = -b
		}
		x.push(b)
		return
	case 0x1f:
		x.push(-b)
		return
	case 0x20:
		x.push(^b)
		return
	case 0x23: // plus_uconst
		x.push(b + c.uleb())
		return
	}
	a := x.pop()
	v, ok := dyadic(op, a, b)
	x.bad = x.bad || !ok
	x.push(v)
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func dyadic(op byte, a, b uint64) (uint64, bool) {
	switch op {
	case 0x1a:
		return a & b, true
	case 0x1b:
		if b == 0 {
			return 0, false
		}
		return uint64(int64(a) / int64(b)), true
	case 0x1c:
		return a - b, true
	case 0x1d:
		if b == 0 {
			return 0, false
		}
		return a % b, true
	case 0x1e:
		return a * b, true
	case 0x21:
		return a | b, true
	case 0x22:
		return a + b, true
	case 0x24:
		return a << b, true
	case 0x25:
		return a >> b, true
	case 0x26:
		return uint64(int64(a) >> b), true
	case 0x27:
		return a ^ b, true
	case 0x29:
		return truth(a == b), true
	case 0x2a:
		return truth(int64(a) >= int64(b)), true
	case 0x2b:
		return truth(int64(a) > int64(b)), true
	case 0x2c:
		return truth(int64(a) <= int64(b)), true
	case 0x2d:
		return truth(int64(a) < int64(b)), true
	case 0x2e:
		return truth(a != b), true
	}
	return 0, false
}
