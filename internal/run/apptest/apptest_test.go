package apptest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// server answers each connection with the next behaviour, and all after the last one with that.
func server(t *testing.T, behaviours ...func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go behaviours[min(n, len(behaviours)-1)](c)
		}
	}()
	return l.Addr().String()
}

// resets ends a connection as QEMU does where the guest has no listener.
func resets(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// says reads a line and answers with parts, one a packet, and ends.
func says(parts ...string) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
			return
		}
		for _, p := range parts {
			_, _ = io.WriteString(c, p) // who has seen enough has gone
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// holds says nothing and keeps the connection until the other side ends it.
func holds(c net.Conn) {
	defer c.Close()
	_, _ = io.Copy(io.Discard, c)
}

func TestExchange(t *testing.T) {
	for name, c := range map[string]struct {
		behaviours []func(net.Conn)
		expect     string
		failed     bool
		got        string
	}{
		"an answer":             {[]func(net.Conn){says("hello\n")}, "hello", false, "hello\n"},
		"in pieces":             {[]func(net.Conn){says("he", "llo\n")}, "hello", false, "hello\n"},
		"nobody there at first": {[]func(net.Conn){resets, resets, says("hello\n")}, "hello", false, "hello\n"},
		"another answer":        {[]func(net.Conn){says("goodbye\n")}, "hello", true, "goodbye\n"},
		"no answer is wanted":   {[]func(net.Conn){resets, holds}, "", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := exchange{address: server(t, c.behaviours...), send: "x\n", expect: c.expect}
			e.run(t.Context())
			if e.failed() != c.failed || !strings.HasPrefix(e.text(), c.got) {
				t.Errorf("failed %v, got %q; want %v, %q", e.failed(), e.text(), c.failed, c.got)
			}
		})
	}
}

// A server that never answers keeps nobody longer than the test lasts, and others may look at what came meanwhile.
func TestExchangeEnds(t *testing.T) {
	e := exchange{address: server(t, resets, holds), send: "x\n", expect: "hello"}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	over := make(chan struct{})
	go func() { e.run(ctx); close(over) }()
	for {
		select {
		case <-over:
			if e.failed() || e.text() != "" {
				t.Errorf("failed %v, got %q", e.failed(), e.text())
			}
			return
		default:
			_ = e.text()
		}
	}
}

func TestRecord(t *testing.T) {
	var seen atomic.Int32
	var r record
	r.await("needle", func() { seen.Add(1) })
	read := make(chan struct{})
	go func() {
		defer close(read)
		for seen.Load() == 0 {
			_ = r.text()
		}
	}()
	for _, s := range []string{"hay nee", "d", "le hay", "needle"} {
		if n, err := io.WriteString(&r, s); n != len(s) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	<-read
	if seen.Load() != 1 || r.text() != "hay needle hayneedle" {
		t.Errorf("seen %d times in %q", seen.Load(), r.text())
	}
	// What is more than is kept is counted as written.
	var full record
	for range 3 {
		if n, err := full.Write(make([]byte, most/2)); n != most/2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if n := len(full.text()); n != most {
		t.Errorf("%d bytes are kept; want %d", n, most)
	}
}

func TestShow(t *testing.T) {
	if got := show("stdout", ""); !slices.Equal(got, []string{"nothing on stdout"}) {
		t.Errorf("%q", got)
	}
	var b strings.Builder
	for i := range shown + 3 {
		fmt.Fprintf(&b, "line %d \xff\n", i)
	}
	got := show("stderr", b.String())
	if len(got) != shown+1 || got[0] != "stderr: (3 lines before)" || got[shown] != "stderr: line 12 ?" {
		t.Errorf("%q", got)
	}
}
