package crash

import (
	"bytes"
	"encoding/binary"
)

// cursor reads tables. Past the end it gives zeros and is bad from then on.
type cursor struct {
	b    []byte
	addr uint64 // of b[0] in memory
	off  int
	bad  bool
}

func (c *cursor) more() bool { return !c.bad && c.off < len(c.b) }

// take returns the next n bytes; nil if there are fewer.
func (c *cursor) take(n uint64) []byte {
	if c.bad || n > uint64(len(c.b)-c.off) {
		c.bad = true
		return nil
	}
	b := c.b[c.off : c.off+int(n)]
	c.off += int(n)
	return b
}

// fixed reads n bytes, at most 8, as a number.
func (c *cursor) fixed(n uint64) uint64 {
	var b [8]byte
	copy(b[:], c.take(n))
	return binary.LittleEndian.Uint64(b[:])
}

// signed is fixed with a sign.
func (c *cursor) signed(n uint64) int64 { return extend(c.fixed(n), 8*n) }

// extend takes bit n-1 for the sign.
func extend(v, n uint64) int64 { return int64(v<<(64-n)) >> (64 - n) }

func (c *cursor) byte() byte { return byte(c.fixed(1)) }

func (c *cursor) uleb() uint64 {
	v, _, _ := c.leb()
	return v
}

func (c *cursor) sleb() int64 {
	v, bits, negative := c.leb()
	if negative && bits < 64 {
		v |= ^uint64(0) << bits
	}
	return int64(v)
}

// leb reads a number of variable length: its bits, how many, and whether the last byte has a sign.
func (c *cursor) leb() (v uint64, bits uint, negative bool) {
	for {
		b := c.byte()
		if bits < 64 {
			v |= uint64(b&0x7f) << bits
		}
		bits += 7
		if b&0x80 == 0 || c.bad {
			return v, bits, b&0x40 != 0
		}
	}
}

// block reads a length and as many bytes.
func (c *cursor) block() []byte { return c.take(c.uleb()) }

// text reads a string that a zero ends, of at most n bytes.
func (c *cursor) text(n int) string {
	rest := c.b[min(c.off, len(c.b)):]
	end := bytes.IndexByte(rest[:min(n, len(rest))], 0)
	if c.bad || end < 0 {
		c.bad = true
		return ""
	}
	c.off += end + 1
	return string(rest[:end])
}

// Encodings of a pointer, from the Linux Standard Base.
const (
	encodedForm     = 0x0f
	encodedRelative = 0x70
	encodedPC       = 0x10
	encodedNone     = 0xff
)

// pointer reads an encoded pointer. Relative to anything but its own place it is bad; behind a pointer it stays that
// one.
func (c *cursor) pointer(encoding byte) uint64 {
	if encoding == encodedNone {
		return 0
	}
	at := c.addr + uint64(c.off)
	v := c.form(encoding & encodedForm)
	switch encoding & encodedRelative {
	case 0:
	case encodedPC:
		v += at
	default:
		c.bad = true
	}
	return v
}

func (c *cursor) form(form byte) uint64 {
	switch form {
	case 0x00, 0x04, 0x0c:
		return c.fixed(8)
	case 0x01:
		return c.uleb()
	case 0x02:
		return c.fixed(2)
	case 0x03:
		return c.fixed(4)
	case 0x09:
		return uint64(c.sleb())
	case 0x0a:
		return uint64(c.signed(2))
	case 0x0b:
		return uint64(c.signed(4))
	}
	c.bad = true
	return 0
}
