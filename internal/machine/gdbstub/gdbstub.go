// Package gdbstub speaks GDB's remote serial protocol to the stub of QEMU's x86-64 system emulation ("Remote Protocol"
// in the GDB manual): breakpoints, steps, registers and memory of a guest with one processor.
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

// Flags gives RFLAGS, of which QEMU has the lower half.
func (r Registers) Flags() uint32 { return binary.LittleEndian.Uint32(r[8*general:]) }

// SetFlags changes the flags of the copy r.
func (r Registers) SetFlags(v uint32) { binary.LittleEndian.PutUint32(r[8*general:], v) }

// CS gives the code segment, whose two lowest bits are the ring. It stands behind RIP and the flags, with 4 bytes each.
func (r Registers) CS() uint32 { return binary.LittleEndian.Uint32(r[8*general+4:]) }

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

// send sends a packet.
func (c *Conn) send(packet string) error {
	if err := c.conn.SetDeadline(time.Now().Add(c.Patience)); err != nil {
		return err
	}
	var sum byte
	for i := range len(packet) {
		sum += packet[i]
	}
	_, err := fmt.Fprintf(c.conn, "$%s#%02x", packet, sum)
	return err
}

// call sends a packet and gives the answer's content.
func (c *Conn) call(packet string) (string, error) {
	if err := c.send(packet); err != nil {
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

// Halted is an error unless the guest is halted.
func (c *Conn) Halted() error { return c.stopped("?") }

// Until lets the guest run until it comes to one of the addresses. The breakpoints are the processor's, so no memory is
// changed, and are gone when it returns.
func (c *Conn) Until(addresses ...uint64) error {
	for _, a := range addresses {
		if err := c.do("Z1,%x,1", a); err != nil {
			return err
		}
	}
	if err := c.stopped("c"); err != nil {
		return err
	}
	for _, a := range addresses {
		if err := c.do("z1,%x,1", a); err != nil {
			return err
		}
	}
	return nil
}

// Step executes one instruction. QEMU holds back interrupts and NMIs meanwhile.
func (c *Conn) Step() error { return c.stopped("s") }

// stopped is call for packets that are answered by the reason why the guest has stopped.
func (c *Conn) stopped(packet string) error {
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
	if err == nil && len(r) < 8*general+8 {
		err = fmt.Errorf("g: the stub answers %q", answer)
	}
	return r, err
}

// SetRegisters writes all registers.
func (c *Conn) SetRegisters(r Registers) error { return c.do("G%x", []byte(r)) }

// Read returns n bytes of memory at a virtual address.
func (c *Conn) Read(address uint64, n int) ([]byte, error) {
	answer, err := c.call(fmt.Sprintf("m%x,%x", address, n))
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(answer)
}

// Write changes memory at a virtual address.
func (c *Conn) Write(address uint64, data []byte) error {
	return c.do("M%x,%x:%x", address, len(data), data)
}

// Kill ends QEMU, which does not answer.
func (c *Conn) Kill() error { return c.send("k") }
