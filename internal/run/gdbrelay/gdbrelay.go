// Package gdbrelay stands between debuggers that connect to a TCP port and the gdb stub of QEMU, which only ukl can
// reach. The stub is a monitor of QEMU, too, so the relay keeps back commands to the monitor. It takes connections of
// its own user only, and closes one that does not speak gdb's protocol, as a web page's.
package gdbrelay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ukl/internal/host/connset"
	"ukl/internal/machine/qemu"
)

// Relay is a listening port and the socket where QEMU listens.
type Relay struct {
	port   *net.TCPListener
	stub   *os.File // the socket's inode, which has no name any more
	theirs *os.File // the socket itself, until Started

	mu    sync.Mutex // of Close, which may be called twice
	conns connset.Set
}

// Open listens on a port, where debuggers wait until Serve, and makes the socket for QEMU.
func Open(at qemu.Forward) (*Relay, error) {
	r := &Relay{}
	var err error
	if r.port, err = qemu.Listen(at); err != nil {
		return nil, err
	}
	if err := r.socket(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// longestPlace leaves room for the rest of a socket's name, which has at most 107 bytes (unix(7)).
const longestPlace = 75

// socket makes a listening socket in a folder of this user, and takes its name away: what has its inode can connect.
func (r *Relay) socket() error {
	place := os.TempDir()
	if len(place) > longestPlace {
		place = "/tmp"
	}
	dir, err := os.MkdirTemp(place, "ukl-gdb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "stub") // QEMU removes that at its end, so it must be a name like no other
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return err
	}
	defer l.Close()
	fd, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	r.stub = os.NewFile(uintptr(fd), name)
	r.theirs, err = l.File()
	return err
}

// Stub is the socket on which QEMU is to listen, to be inherited.
func (r *Relay) Stub() *os.File { return r.theirs }

// Started closes ukl's copy of the socket: from now on QEMU's end is the end of all connections.
func (r *Relay) Started() {
	r.theirs.Close()
	r.theirs = nil
}

// Serve waits until the stub answers, calls ready, and lets the debuggers through until Close.
func (r *Relay) Serve(ready func()) {
	if err := r.await(); err != nil {
		return // QEMU has ended
	}
	ready()
	for {
		c, err := r.port.Accept()
		switch {
		case err == nil:
			go r.carry(c.(*net.TCPConn))
		case errors.Is(err, net.ErrClosed):
			return
		default: // there are too many files, or it has gone already
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// Close ends the port and all connections.
func (r *Relay) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.port.Close()
	for _, f := range []*os.File{r.stub, r.theirs} {
		if f != nil {
			f.Close()
		}
	}
	r.conns.Close()
}

// dial connects to the stub. done closes the connection.
func (r *Relay) dial() (c *net.UnixConn, done func(), err error) {
	name := fmt.Sprintf("/proc/self/fd/%d", r.stub.Fd())
	if c, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: name, Net: "unix"}); err != nil {
		return nil, nil, err
	}
	done, ok := r.conns.Keep(c)
	if !ok {
		return nil, nil, net.ErrClosed
	}
	return c, done, nil
}

// await asks the stub something that changes nothing.
func (r *Relay) await() error {
	c, done, err := r.dial()
	if err != nil {
		return err
	}
	defer done()
	if _, err := c.Write(packet("qC")); err != nil {
		return err
	}
	answer := bufio.NewReader(c)
	if _, err := answer.ReadSlice('#'); err != nil {
		return err
	}
	if _, err := answer.Discard(2); err != nil {
		return err
	}
	_, err = c.Write([]byte("+"))
	return err
}

func (r *Relay) carry(client *net.TCPConn) {
	done, ok := r.conns.Keep(client)
	if !ok {
		return
	}
	defer done()
	if !own(client) {
		return
	}
	stub, done, err := r.dial()
	if err != nil {
		return
	}
	defer done()
	go func() {
		_, _ = pass(client, stub) // whatever ended it, so does the connection
		client.Close()
	}()
	filter(stub, bufio.NewReaderSize(client, 16<<10))
}

// pass is a copy without splice(2), which takes two more system calls for each packet.
func pass(to io.Writer, from io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 16<<10))
}

// own tells whether a client is a program of this user, or of root. A host that does not tell lets all in.
func own(client *net.TCPConn) bool {
	from, err := netip.ParseAddrPort(client.RemoteAddr().String())
	to, err2 := netip.ParseAddrPort(client.LocalAddr().String())
	if err != nil || err2 != nil {
		return false
	}
	uid, known := qemu.Owner(from, to)
	return !known || uid == os.Geteuid() || uid == 0
}

// longest is more than any packet has; QEMU 7.2 takes 4095 bytes.
const longest = 1 << 20

// filter hands on what a debugger says for as long as that is gdb's protocol: packets whose checksum is right, answers
// to packets, and the interruption. QEMU is then always where the filter is. Each packet is one write.
func filter(to io.Writer, from *bufio.Reader) {
	for {
		c, err := from.ReadByte()
		if err != nil {
			return
		}
		text := []byte{c}
		switch c {
		case '+', '-', 0x03:
			if next, err := from.Peek(min(from.Buffered(), 1)); err == nil && len(next) == 1 && next[0] == '$' {
				_, _ = from.Discard(1)
				body, ok := read(from)
				if !ok {
					return
				}
				text = append(text, body...)
			}
		case '$':
			body, ok := read(from)
			if !ok {
				return
			}
			text = body
		default:
			return
		}
		if _, err := to.Write(text); err != nil {
			return
		}
	}
}

// read reads a packet from behind its $, and returns what is to be handed on.
func read(from *bufio.Reader) (p []byte, ok bool) {
	p = append(make([]byte, 0, 64), '$')
	var sum byte
	for {
		c, err := from.ReadByte()
		if err != nil || c == '$' || len(p) > longest { // a $ would begin a packet for a QEMU that has lost this one
			return nil, false
		}
		if p = append(p, c); c == '#' {
			break
		}
		sum += c
	}
	var digits [2]byte
	if _, err := io.ReadFull(from, digits[:]); err != nil || !bytes.EqualFold(digits[:], fmt.Appendf(nil, "%02x", sum)) {
		return nil, false
	}
	if monitors(p[1 : len(p)-1]) {
		return packet("qukl.none"), true // the stub answers that it does not know this
	}
	return append(p, digits[:]...), true
}

// monitors tells whether a packet is a command to the monitor, or hides what it is: } and * lead QEMU to other bytes.
func monitors(body []byte) bool {
	if len(body) == 0 || body[0] != 'q' {
		return len(body) > 0 && (body[0] == '}' || body[0] == '*')
	}
	return bytes.HasPrefix(body, []byte("qRcmd")) || bytes.ContainsAny(body, "}*")
}

// packet is one with its checksum.
func packet(body string) []byte {
	var sum byte
	for i := range len(body) {
		sum += body[i]
	}
	return fmt.Appendf(nil, "$%s#%02x", body, sum)
}
