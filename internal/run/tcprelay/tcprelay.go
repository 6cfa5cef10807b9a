// Package tcprelay carries TCP connections from one address of the host to another: QEMU's user network does not listen
// on IPv6 addresses. Each direction ends by itself, as between two programs. Close ends everything at once.
package tcprelay

import (
	"io"
	"net"
	"sync"
)

// Relay is a listening port.
type Relay struct {
	listener net.Listener
	to       string

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
}

// Start listens on an address and carries what comes to another.
func Start(from, to string) (*Relay, error) {
	l, err := net.Listen("tcp", from)
	if err != nil {
		return nil, err
	}
	r := &Relay{listener: l, to: to, open: map[net.Conn]bool{}}
	go r.accept()
	return r, nil
}

// Close ends the port and all connections.
func (r *Relay) Close() {
	r.listener.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for c := range r.open {
		c.Close()
	}
}

func (r *Relay) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		go r.carry(c)
	}
}

// keep remembers a connection until done is called. It is false after Close.
func (r *Relay) keep(c net.Conn) (done func(), ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		c.Close()
		return nil, false
	}
	r.open[c] = true
	return func() {
		c.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.open, c)
	}, true
}

func (r *Relay) carry(from net.Conn) {
	done, ok := r.keep(from)
	if !ok {
		return
	}
	defer done()
	to, err := net.Dial("tcp", r.to)
	if err != nil {
		reset(from)
		return
	}
	done, ok = r.keep(to)
	if !ok {
		return
	}
	defer done()
	var both sync.WaitGroup
	both.Go(func() { pour(to, from) })
	both.Go(func() { pour(from, to) })
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
