package echo

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// serve runs a server that handles each connection with handle, and returns its address.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
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
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return l.Addr().String()
}

func copyBack(c net.Conn) { io.Copy(c, c) }

func options(address string) Options {
	return Options{Address: address, Connections: 4, Rounds: 5, Size: 3000, Patience: 10 * time.Second}
}

func TestRun(t *testing.T) {
	for name, handle := range map[string]func(net.Conn){
		"plain":       copyBack,
		"banner":      func(c net.Conn) { io.WriteString(c, Banner); copyBack(c) },
		"banner line": func(c net.Conn) { io.WriteString(c, Banner+"\n"); copyBack(c) },
		"banner crlf": func(c net.Conn) { io.WriteString(c, Banner+"\r\n"); copyBack(c) },
		"byte by byte": func(c net.Conn) {
			io.WriteString(c, Banner+"\n")
			b := make([]byte, 1)
			for {
				if _, err := c.Read(b); err != nil {
					return
				}
				c.Write(b)
			}
		},
	} {
		for _, size := range []int{1, 2, 24, 25, 26, 27, 3000} {
			o := options(serve(t, handle))
			o.Size = size
			var banners atomic.Int64
			o.Trip = func(trip Trip) error {
				if trip.Banner != "" {
					banners.Add(1)
				}
				return nil
			}
			s, err := Run(context.Background(), o)
			if err != nil || s.Count != 20 || s.Bytes != int64(20*size) || s.Min <= 0 || s.Min > s.Median || s.Median > s.P99 ||
				s.P99 > s.Max {
				t.Errorf("%s, %d bytes: %+v, %v", name, size, s, err)
			}
			want := int64(0)
			if strings.HasPrefix(name, "banner") || name == "byte by byte" {
				want = 4
			}
			if banners.Load() != want {
				t.Errorf("%s, %d bytes: %d banners", name, size, banners.Load())
			}
		}
	}
}

func TestWrongByte(t *testing.T) {
	o := options(serve(t, func(c net.Conn) {
		b := make([]byte, 3000)
		for round := 1; ; round++ {
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			if round == 3 {
				b[1234]++
			}
			c.Write(b)
		}
	}))
	var m *Mismatch
	s, err := Run(context.Background(), o)
	if !errors.As(err, &m) || m.Round != 3 || m.Offset != 1234 || m.Got != m.Want+1 {
		t.Errorf("%v (%+v)", err, m)
	}
	if s.Count < 2 || s.Count > 8 {
		t.Errorf("%d round trips counted", s.Count)
	}
}

func TestBadServers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	if _, err := Run(context.Background(), options(nobody)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody there: %v", err)
	}
	half := serve(t, func(c net.Conn) { io.CopyN(c, c, 1000) })
	if _, err := Run(context.Background(), options(half)); !errors.Is(err, ErrClosed) {
		t.Errorf("a server that closes halfway: %v", err)
	}
	o := options(serve(t, func(c net.Conn) { io.Copy(io.Discard, c) }))
	o.Patience = 50 * time.Millisecond
	if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("a silent server: %v", err)
	}
}

// QEMU takes connections before the guest listens, and closes them: the client comes again. A server that never says a
// byte is given up, and one that has said a byte is not asked again.
func TestComesAgainIfTooEarly(t *testing.T) {
	var n atomic.Int32
	early := func(c net.Conn) {
		if n.Add(1) > 12 {
			copyBack(c)
		}
	}
	o := options(serve(t, early))
	if s, err := Run(context.Background(), o); err != nil || s.Count != o.Connections*o.Rounds {
		t.Errorf("%+v: %v", s, err)
	}
	for name, handle := range map[string]func(net.Conn){
		"never":       func(net.Conn) {},
		"after bytes": func(c net.Conn) { io.WriteString(c, "1"); n.Add(1) },
	} {
		n.Store(0)
		o := options(serve(t, handle))
		o.Connections, o.Patience = 1, 300*time.Millisecond
		if _, err := Run(context.Background(), o); !errors.Is(err, ErrClosed) || n.Load() > 1 {
			t.Errorf("%s: %v, %d connections", name, err, n.Load())
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	o := options(serve(t, copyBack))
	o.Rounds = 1 << 30
	stop := errors.New("stop")
	var n atomic.Int64
	o.Trip = func(Trip) error {
		if n.Add(1) == 100 {
			cancel(stop)
		}
		return nil
	}
	if s, err := Run(ctx, o); !errors.Is(err, stop) || s.Count < 100 {
		t.Errorf("%d round trips, %v", s.Count, err)
	}
	o.Trip = func(Trip) error { return syscall.EPIPE }
	if _, err := Run(context.Background(), o); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a report that fails: %v", err)
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"": "127.0.0.1:5555", "host": "host:5555", "host:80": "host:80", "10.0.0.1": "10.0.0.1:5555",
		"::1": "[::1]:5555", "[::1]": "[::1]:5555", "[::1]:80": "[::1]:80", "fe80::1%eth0": "[fe80::1%eth0]:5555",
	} {
		if got, err := Address(in); got != want || err != nil {
			t.Errorf("Address(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"x:y", "host:", "host:0", "host:65536", "host:-1", "a:b:c", "[::1]:http"} {
		if got, err := Address(in); err == nil {
			t.Errorf("Address(%q) = %q", in, got)
		}
	}
}

func TestPayload(t *testing.T) {
	seen := map[string]bool{}
	for thread := range 10 {
		for round := range 100 {
			p := payload(thread, round, 64)
			if len(p) != 64 || p[0] < '0' || p[0] > '9' || seen[string(p)] {
				t.Fatalf("payload(%d, %d) = %q", thread, round, p)
			}
			seen[string(p)] = true
		}
	}
}

func TestSummarise(t *testing.T) {
	var trips []time.Duration
	for i := range 200 {
		trips = append(trips, time.Duration(200-i)*time.Millisecond)
	}
	s := summarise(trips, Options{Connections: 2, Size: 10}, 2*time.Second)
	if s.Min != 1 || s.Median != 100 || s.P99 != 198 || s.Max != 200 || s.Bytes != 2000 || s.Seconds != 2 {
		t.Errorf("%+v", s)
	}
}
