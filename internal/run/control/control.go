// Package control is ukl's end of the control channel: lines of text between ukl and the guest's kernel about the time,
// the application's start, its ports, its signals and its end. The guest is not trusted: what it says can only be
// ignored, and ukl never waits for it to read. Lines that ukl does not know are for a newer one.
//
// No process of the guest can open its end of the channel, unlike the console, on which root of the guest can write
// what the kernel might say.
package control

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ukl/internal/host/socketpair"
	"ukl/internal/report/crash"
)

// longest is how long a line may be, with its end. A longer one is ignored.
const longest = 1024

// Channel is the host's end. Its methods may be called from any goroutine.
type Channel struct {
	conn    *net.UnixConn
	heard   chan struct{}
	started chan struct{}
	alive   chan struct{}
	done    chan struct{} // nothing more comes
	closed  chan struct{}
	gone    sync.Once
	asked   atomic.Bool // the guest has asked for the time, so it keeps a clock
	waiting atomic.Bool // for ukl to take what the guest has written

	mu    sync.Mutex
	tells bool
	end   End
}

// End is how the application ended, by the kernel's word.
type End struct {
	Known  bool // the kernel has said it
	Signal int  // that killed the application; 0 is none
	Status int
	Crash  []string // the kernel's reports of crashes, as package crash reads them
}

// crashes are how many lines of reports are kept: more threads than that do not crash at once.
const crashes = 200

// Pair makes a channel: the host's end, and the guest's for QEMU to inherit.
func Pair() (host *net.UnixConn, guest *os.File, err error) { return socketpair.Open("control") }

// Serve answers the guest until its end or Close. listening is called, once for each port and not concurrently, when
// somebody in the guest listens on a TCP port. take returns when ukl has so many bytes of the application's streams; it
// is called, not concurrently, for a guest whose kernel does not know what the host has taken.
func Serve(conn *net.UnixConn, listening func(port int), take func(stdout, stderr int64)) *Channel {
	c := &Channel{
		conn: conn, heard: make(chan struct{}), started: make(chan struct{}), alive: make(chan struct{}, 1),
		done: make(chan struct{}), closed: make(chan struct{}),
	}
	go c.read(listening, take)
	go c.watch()
	return c
}

// Heard is closed when the guest has said anything: it has a kernel that knows the channel.
func (c *Channel) Heard() <-chan struct{} { return c.heard }

// Started is closed when the guest has said that the application was executed.
func (c *Channel) Started() <-chan struct{} { return c.started }

// Done is closed when the guest's end is, or Close was called: nothing more comes.
func (c *Channel) Done() <-chan struct{} { return c.done }

// TellsEnd says whether the guest has promised that the application's end comes by this channel, and nowhere else.
func (c *Channel) TellsEnd() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tells
}

// End is what the guest has said of the application's end so far.
func (c *Channel) End() End {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end
}

// Ask asks the guest's kernel whether it works. It fails if the guest does not take the question at once.
func (c *Channel) Ask() error {
	return c.say(func(b []byte) []byte { return append(b, "alive\n"...) })
}

// Alive gives a value for each answer to Ask.
func (c *Channel) Alive() <-chan struct{} { return c.alive }

// Signal asks the guest to send a signal to the application. It fails if the guest does not take the request at once.
func (c *Channel) Signal(n syscall.Signal) error {
	return c.say(func(b []byte) []byte { return fmt.Appendf(b, "signal %d\n", n) })
}

// Resize tells the guest the size of the application's terminal, in characters. It fails if the guest does not take
// that at once.
func (c *Channel) Resize(rows, columns int) error {
	return c.say(func(b []byte) []byte { return fmt.Appendf(b, "size %d %d\n", rows, columns) })
}

// Close ends the channel.
func (c *Channel) Close() {
	c.gone.Do(func() { close(c.closed) })
	c.conn.Close()
}

func (c *Channel) read(listening func(int), take func(stdout, stderr int64)) {
	defer close(c.done)
	heard := sync.OnceFunc(func() { close(c.heard) })
	started := sync.OnceFunc(func() { close(c.started) })
	ports := map[int]bool{}
	for r := bufio.NewReaderSize(c.conn, longest); ; {
		line, err := r.ReadSlice('\n')
		for long := errors.Is(err, bufio.ErrBufferFull); long; long = errors.Is(err, bufio.ErrBufferFull) {
			line = nil
			_, err = r.ReadSlice('\n')
		}
		if err != nil {
			return
		}
		switch words := strings.Fields(string(line)); {
		case len(words) == 0:
			continue
		case len(words) == 1 && words[0] == "time":
			c.asked.Store(true)
			c.tellTime()
		case len(words) == 1 && words[0] == "started":
			started()
		case len(words) == 3 && words[0] == "listen" && words[1] == "tcp":
			n, err := strconv.ParseUint(words[2], 10, 16)
			if port := int(n); err == nil && port != 0 && !ports[port] {
				ports[port] = true
				listening(port)
			}
		case len(words) == 1 && words[0] == "alive":
			select {
			case c.alive <- struct{}{}:
			default: // it was not asked, or nobody has looked yet
			}
		case len(words) == 3 && words[0] == "written":
			stdout, err := strconv.ParseInt(words[1], 10, 64)
			stderr, err2 := strconv.ParseInt(words[2], 10, 64)
			if err == nil && err2 == nil && c.waiting.CompareAndSwap(false, true) {
				go c.taken(func() { take(stdout, stderr) })
			}
		default:
			c.ending(words, strings.TrimRight(string(line), "\r\n"))
		}
		heard()
	}
}

// ending takes a line about the end.
func (c *Channel) ending(words []string, line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(words) == 2 && words[0] == "tells" && words[1] == "end":
		c.tells = true
	case strings.HasPrefix(line, crash.Mark) && len(c.end.Crash) < crashes:
		c.end.Crash = append(c.end.Crash, line)
	case len(words) == 2 && (words[0] == "exited" || words[0] == "killed"):
		n, err := strconv.ParseUint(words[1], 10, 8)
		switch {
		case err != nil:
		case words[0] == "killed":
			c.end.Known, c.end.Signal, c.end.Status = true, int(n), 0
		default:
			c.end.Known, c.end.Signal, c.end.Status = true, 0, int(n)
		}
	}
}

// tellTime says what the host's clock shows. A guest that does not read needs no answer.
func (c *Channel) tellTime() {
	_ = c.say(func(b []byte) []byte {
		now := time.Now()
		return fmt.Appendf(b, "time %d.%09d\n", now.Unix(), now.Nanosecond())
	})
}

// taken says that ukl has what the guest has written. A guest that missed it asks again.
func (c *Channel) taken(wait func()) {
	wait()
	c.waiting.Store(false)
	_ = c.say(func(b []byte) []byte { return append(b, "taken\n"...) })
}

// say sends one line, made as late as possible, or nothing of it. The kernel takes so few bytes whole or not at all.
func (c *Channel) say(line func([]byte) []byte) error {
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return err
	}
	var buf [64]byte
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.Sendto(int(fd), line(buf[:0]), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
	})
	return errors.Join(err, failed)
}

// tick is how often watch looks.
const tick = time.Second / 2

// watch tells a guest that keeps a clock the time after a pause of the host, of which the guest's clock knows nothing.
func (c *Channel) watch() {
	t := time.NewTicker(tick)
	defer t.Stop()
	for before := now(); ; {
		select {
		case <-c.closed:
			return
		case <-t.C:
		}
		after := now()
		c.look(before, after)
		before = after
	}
}

func (c *Channel) look(before, after clocks) {
	if c.asked.Load() && paused(before, after) {
		c.tellTime()
	}
}

// clocks are the host's, since their beginnings.
type clocks struct{ monotonic, boot, real time.Duration }

func now() clocks {
	read := func(clock int32) time.Duration {
		var ts unix.Timespec
		_ = unix.ClockGettime(clock, &ts) // every Linux has these clocks
		return time.Duration(ts.Nano())
	}
	return clocks{read(unix.CLOCK_MONOTONIC), read(unix.CLOCK_BOOTTIME), read(unix.CLOCK_REALTIME)}
}

// jump is the difference between clocks that is not theirs.
const jump = 100 * time.Millisecond

// paused tells whether something happened between two looks, a tick apart: ukl or the host stood still, the host was
// suspended, or somebody set its clock.
func paused(before, after clocks) bool {
	passed := after.monotonic - before.monotonic
	jumped := func(d time.Duration) bool { return d > jump || d < -jump }
	return passed > tick+jump || jumped(after.boot-before.boot-passed) || jumped(after.real-before.real-passed)
}
