package instance

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whoever asks for too much does not keep others from asking.
func TestServe(t *testing.T) {
	s := Store{t.TempDir()}
	dir := filepath.Join(s.Dir, "guest")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := write(filepath.Join(dir, infoFile), Info{Name: "guest", PID: os.Getpid()}); err != nil {
		t.Fatal(err)
	}
	l, err := own(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan syscall.Signal, 100)
	o := &Own{dir: dir}
	if err := o.Serve(func(n syscall.Signal) error { got <- n; return nil }); err != nil {
		t.Fatal(err)
	}
	folder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	dial := func() *net.UnixConn {
		c, err := net.DialUnix("unix", nil, address(folder))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for range atOnce - 1 {
		c := dial() // says nothing
		defer c.Close()
	}
	for _, odd := range []string{
		"", "{}", `{"signal":0}`, `{"signal":65}`, `{"signal":4294967305}`, `{"signal":-1}`, "null\n",
	} {
		c := dial()
		c.Write([]byte(odd))
		c.CloseWrite()
		c.SetDeadline(time.Now().Add(longest))
		if n, err := c.Read(make([]byte, 100)); n != 0 || err == nil {
			t.Errorf("%q got an answer", odd)
		}
		c.Close()
	}
	c := dial()
	c.SetDeadline(time.Now().Add(longest))
	sent, err := c.Write([]byte(strings.Repeat(" ", 16<<20)))
	if err == nil {
		t.Errorf("%d bytes were taken", sent)
	}
	c.Close()
	if err := s.Signal(context.Background(), "guest", syscall.SIGHUP); err != nil {
		t.Error(err)
	}
	if n := <-got; n != syscall.SIGHUP || len(got) != 0 {
		t.Errorf("got %v, and %d more", n, len(got))
	}
}
