// Package gdbstub speaks GDB's remote serial protocol to the stub of QEMU's x86-64 system emulation ("Remote Protocol" in
// the GDB manual): breakpoints, steps, registers and memory of a guest with one processor.
package gdbstub

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"time"
)

// Numbers of registers, in the order of QEMU's g packet. Each has 8 bytes there.
const (
	RAX = iota
	RBX
	RCX
	RDX
	RSI
	RDI
	RBP
	RSP
	R8
	R9
	R10
	R11
	R12
	R13
	R14
	R15
	RIP
	general // how many there are
)

// Registers are all registers of a stopped processor, as the stub encodes them.
type Registers []byte

// Get gives a general register or RIP.
func (r Registers) Get(n int) uint64 { return binary.LittleEndian.Uint64(r[8*n:]) }

// Set changes a general register or RIP of the copy r; Conn.SetRegisters writes it back.
func (r Registers) Set(n int, v uint64) { binary.LittleEndian.PutUint64(r[8*n:], v) }

// Clone gives an independent copy.
func (r Registers) Clone() Registers { return append(Registers(nil), r...) }

// Conn is a connection to a stub. Its methods wait at most Patience for an answer.
type Conn struct {
	Patience time.Duration // one minute after Dial
	conn     net.Conn
	r        *bufio.Reader
}

// Dial connects to a stub. QEMU halts the guest then.
func Dial(address string) (*Conn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Conn{Patience: time.Minute, conn: conn, r: bufio.NewReader(conn)}, nil
}

// Close ends the connection. A guest that is halted stays so: see Detach.
func (c *Conn) Close() error { return c.conn.Close() }

// Detach removes all breakpoints and lets the guest run on.
func (c *Conn) Detach() error { return c.do("D") }

// call sends a packet and gives the answer's content.
func (c *Conn) call(packet string) (string, error) {
	if err := c.conn.SetDeadline(time.Now().Add(c.Patience)); err != nil {
		return "", err
	}
	var sum byte
	for i := range len(packet) {
		sum += packet[i]
	}
	if _, err := fmt.Fprintf(c.conn, "$%s#%02x", packet, sum); err != nil {
		return "", err
	}
	// An acknowledgement, then the answer. The connection is reliable, so checksums are not looked at.
	answer, err := c.r.ReadString('#')
	if err != nil {
		return "", fmt.Errorf("%s: %w", packet, err)
	}
	if _, err := c.r.Discard(2); err != nil {
		return "", err
	}
	if _, err := c.conn.Write([]byte("+")); err != nil {
		return "", err
	}
	_, answer, _ = strings.Cut(answer[:len(answer)-1], "$")
	return answer, nil
}

// do is call for packets that are answered by OK.
func (c *Conn) do(format string, args ...any) error {
	packet := fmt.Sprintf(format, args...)
	answer, err := c.call(packet)
	if err == nil && answer != "OK" {
		err = fmt.Errorf("%s: the stub answers %q", packet, answer)
	}
	return err
}

// Break sets a hardware breakpoint: one that changes no memory of the guest.
func (c *Conn) Break(address uint64) error { return c.do("Z1,%x,1", address) }

// Clear removes a breakpoint.
func (c *Conn) Clear(address uint64) error { return c.do("z1,%x,1", address) }

// Continue lets the guest run until it stops at a breakpoint.
func (c *Conn) Continue() error { return c.resume("c") }

// Step executes one instruction. QEMU holds back interrupts and NMIs meanwhile.
func (c *Conn) Step() error { return c.resume("s") }

func (c *Conn) resume(packet string) error {
	answer, err := c.call(packet)
	if err == nil && !strings.HasPrefix(answer, "T05") && !strings.HasPrefix(answer, "S05") {
		err = fmt.Errorf("the guest stopped with %q, not at a breakpoint", answer)
	}
	return err
}

// Registers reads all registers.
func (c *Conn) Registers() (Registers, error) {
	answer, err := c.call("g")
	if err != nil {
		return nil, err
	}
	r, err := hex.DecodeString(answer)
	if err == nil && len(r) < 8*general {
		err = fmt.Errorf("g: the stub answers %q", answer)
	}
	return r, err
}

// SetRegisters writes all registers.
func (c *Conn) SetRegisters(r Registers) error { return c.do("G%x", []byte(r)) }

// Write changes memory at a virtual address.
func (c *Conn) Write(address uint64, data []byte) error {
	return c.do("M%x,%x:%x", address, len(data), data)
}
