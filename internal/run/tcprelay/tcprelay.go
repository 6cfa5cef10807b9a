// Package tcprelay carries TCP connections from one address of the host to another: where nobody listens yet, or where
// QEMU's user network does not listen. Until it is opened it holds them. Each direction ends by itself, as between two
// programs.
package tcprelay

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"ukl/internal/host/connset"
)

// Relay is a listening port.
type Relay struct {
	listener *net.TCPListener
	to       string
	open     chan struct{}
	opening  sync.Once

	conns connset.Set

	mu      sync.Mutex
	retired bool
	closed  bool
	back    sync.WaitGroup // what carries from the other address
}

// Start accepts what comes to l, which it owns from then on, and holds it until Open.
func Start(l *net.TCPListener, to string) *Relay {
	r := &Relay{listener: l, to: to, open: make(chan struct{})}
	go r.accept()
	return r
}

// Open lets the connections through.
func (r *Relay) Open() { r.opening.Do(func() { close(r.open) }) }

// idle is how long a retired relay waits for one more connection: clients that are far away take a while from the first
// packet to the last of the three that open a connection.
const idle = time.Second

// Retire gives the port away: somebody else listens there. Connections that are in the queue, or about to be there, are
// still carried.
func (r *Relay) Retire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retired = true
	_ = r.listener.SetDeadline(time.Now().Add(idle)) // one that is closed needs none
}

// Close ends the port and all connections. What has come from the other side is passed on first, for at most as long as
// patience says.
func (r *Relay) Close(patience time.Duration) {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.conns.Refuse()
	r.listener.Close()
	passed := make(chan struct{})
	go func() {
		r.back.Wait()
		close(passed)
	}()
	select {
	case <-passed:
	case <-time.After(patience):
	}
	r.conns.Close()
	r.Open() // those that are held see their end
}

func (r *Relay) accept() {
	for {
		c, err := r.listener.Accept()
		switch {
		case err == nil:
			go r.carry(c)
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.listener.Close()
			return
		case errors.Is(err, net.ErrClosed):
			return
		default: // there are too many files, or it has gone already
			time.Sleep(10 * time.Millisecond)
		}
		r.mu.Lock()
		if r.retired {
			_ = r.listener.SetDeadline(time.Now().Add(idle)) // one that is closed needs none
		}
		r.mu.Unlock()
	}
}

// busy counts something that Close waits for. It is false after Close.
func (r *Relay) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.back.Add(1)
	}
	return !r.closed
}

func (r *Relay) carry(from net.Conn) {
	done, ok := r.conns.Keep(from)
	if !ok {
		return
	}
	defer done()
	<-r.open
	if !r.busy() {
		return
	}
	passed := sync.OnceFunc(r.back.Done)
	defer passed()
	to, err := net.Dial("tcp", r.to)
	if err != nil {
		reset(from)
		return
	}
	done, ok = r.conns.Keep(to)
	if !ok {
		return
	}
	defer done()
	var both sync.WaitGroup
	both.Go(func() { pour(to, from) })
	both.Go(func() {
		pour(from, to)
		passed()
	})
	both.Wait()
}

// pour copies until the end and passes that on. A broken connection breaks the other one.
func pour(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		reset(to)
		reset(from)
		return
	}
	_ = to.(*net.TCPConn).CloseWrite() // it may be closed already
}

// reset ends a connection so that the other side sees a failure, not an end.
func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
}
