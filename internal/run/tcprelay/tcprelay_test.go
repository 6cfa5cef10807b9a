package tcprelay

import (
	"errors"
	"io"
	"net"
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
	r, err := Start("[::1]:0", upper(t))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 3 {
		c := dial(t, r)
		io.WriteString(c, "words")
		c.CloseWrite() // the end goes there, and the answer still comes back
		if b, err := io.ReadAll(c); err != nil || string(b) != "WORDS" {
			t.Errorf("%q, %v", b, err)
		}
	}
	waiting := dial(t, r)
	r.Close()
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
	r, err := Start("[::1]:0", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := net.Dial("tcp", r.listener.Addr().String()) // may see the end already
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v", err)
	}
	if _, err := Start(r.listener.Addr().String(), ""); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a taken port: %v", err)
	}
}
