package tcprelay

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// upper answers, once the other side has ended, with what it got in capitals.
func upper(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(c)
			for i := range b {
				b[i] &^= 0x20
			}
			c.Write(b)
			c.Close()
		}
	}()
	return l.Addr().String()
}

// relay is an open one from an address.
func relay(t *testing.T, from, to string) *Relay {
	t.Helper()
	r := held(t, from, to)
	r.Open()
	return r
}

// held is one that holds what comes.
func held(t *testing.T, from, to string) *Relay {
	t.Helper()
	l, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	r := Start(l.(*net.TCPListener), to)
	t.Cleanup(func() { r.Close(0) })
	return r
}

func dial(t *testing.T, r *Relay) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c.(*net.TCPConn)
}

func TestRelay(t *testing.T) {
	r := relay(t, "[::1]:0", upper(t))
	for range 3 {
		c := dial(t, r)
		io.WriteString(c, "words")
		c.CloseWrite() // the end goes there, and the answer still comes back
		if b, err := io.ReadAll(c); err != nil || string(b) != "WORDS" {
			t.Errorf("%q, %v", b, err)
		}
	}
	waiting := dial(t, r)
	r.Close(0)
	if _, err := waiting.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlives its relay")
	}
	if _, err := net.Dial("tcp", r.listener.Addr().String()); err == nil {
		t.Error("it still listens")
	}
}

// Where nobody answers, a connection breaks: it must not look like an empty answer.
func TestRelayToNobody(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r := relay(t, "[::1]:0", l.Addr().String())
	c, err := net.Dial("tcp", r.listener.Addr().String()) // may see the end already
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v", err)
	}
}

// What comes before the relay is opened waits, with all that it has said, even if it has said all.
func TestHold(t *testing.T) {
	r := held(t, "127.0.0.1:0", upper(t))
	var clients []*net.TCPConn
	for range 200 {
		c := dial(t, r)
		io.WriteString(c, "words")
		c.CloseWrite()
		clients = append(clients, c)
	}
	gone := dial(t, r)
	gone.SetLinger(0)
	gone.Close()
	clients[0].SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := clients[0].Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it was not held: %v", err)
	}
	clients[0].SetReadDeadline(time.Now().Add(time.Minute))
	r.Open()
	r.Open()
	for _, c := range clients {
		if b, err := io.ReadAll(c); err != nil || string(b) != "WORDS" {
			t.Errorf("%q, %v", b, err)
		}
	}
}

// A relay that is closed before it was opened ends what it holds.
func TestHoldInVain(t *testing.T) {
	r := held(t, "127.0.0.1:0", upper(t))
	c := dial(t, r)
	for accepted := false; !accepted; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		accepted = r.conns.Len() == 1
		r.mu.Unlock()
	}
	r.Close(time.Minute)
	if b, err := io.ReadAll(c); len(b) != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%q, %v", b, err)
	}
}

// A retired relay takes what is in its queue, gives up its port, and carries on.
func TestRetire(t *testing.T) {
	r := relay(t, "127.0.0.1:0", upper(t))
	before := dial(t, r)
	r.Retire()
	queued := dial(t, r)
	for l := net.Listener(nil); l == nil; time.Sleep(10 * time.Millisecond) {
		var err error
		if l, err = net.Listen("tcp", r.listener.Addr().String()); err == nil {
			l.Close()
		}
	}
	for _, c := range []*net.TCPConn{before, queued} {
		io.WriteString(c, "words")
		c.CloseWrite()
		if b, err := io.ReadAll(c); err != nil || string(b) != "WORDS" {
			t.Errorf("%q, %v", b, err)
		}
	}
}

// What the other side has sent before its end arrives, though the relay is closed at that end.
func TestCloseFlushes(t *testing.T) {
	const size = 8 << 20
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := relay(t, "127.0.0.1:0", l.Addr().String())
	c := dial(t, r)
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		s.Write(make([]byte, size))
		s.Close()
		r.Close(time.Minute)
	}()
	if n, err := io.Copy(io.Discard, c); n != size || err != nil {
		t.Errorf("%d bytes of %d, %v", n, size, err)
	}
}
