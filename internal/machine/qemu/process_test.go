package qemu

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func sh(script string) Program { return Program{Argv: []string{"/bin/sh", "-c", script, "sh"}} }

func start(t *testing.T, script string) *Process {
	t.Helper()
	p, err := sh(script).Start(nil, nil, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func TestProcess(t *testing.T) {
	p := start(t, "exit 3")
	<-p.Done()
	if p.ExitCode() != 3 || p.Failure() != "exit status 3" {
		t.Errorf("code %d, failure %q", p.ExitCode(), p.Failure())
	}
	p = start(t, "echo qemu: bad >&2; exit 1")
	<-p.Done()
	if p.Failure() != "qemu: bad" {
		t.Errorf("failure %q", p.Failure())
	}
	p = start(t, "echo a warning >&2")
	<-p.Done()
	if p.Failure() != "" {
		t.Errorf("failure %q of a good end", p.Failure())
	}
	if _, err := (Program{Argv: []string{"/nothere"}}).Start(nil, nil, Limits{}); err == nil {
		t.Error("a program that is not there started")
	}
}

func TestStop(t *testing.T) {
	p := start(t, "exec sleep 60")
	began := time.Now()
	p.Stop()
	if took := time.Since(began); took > time.Second {
		t.Errorf("a polite end took %s", took)
	}
	p = start(t, "trap '' TERM; while :; do sleep 0.1; done")
	time.Sleep(100 * time.Millisecond)
	began = time.Now()
	p.Stop()
	if took := time.Since(began); took < patience || took > patience+time.Second {
		t.Errorf("an end by force took %s; want %s", took, patience)
	}
}

func TestStuck(t *testing.T) {
	p := start(t, "printf 'KVM internal ' >&2; sleep 0.1; echo 'error. Suberror: 1' >&2; echo RAX=0 >&2; exec sleep 60")
	select {
	case <-p.Stuck():
	case <-time.After(5 * time.Second):
		t.Fatal("not seen")
	}
	if got := p.Failure(); !strings.HasPrefix(got, "KVM internal error") || strings.Contains(got, "RAX") {
		t.Errorf("failure %q", got)
	}
}

func TestTail(t *testing.T) {
	p := start(t, "head -c 100000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1")
	<-p.Done()
	if got := p.Failure(); len(got) > tailSize || !strings.HasSuffix(got, "end") {
		t.Errorf("%d bytes kept, ending in %q", len(got), got[max(0, len(got)-10):])
	}
}

func TestFind(t *testing.T) {
	tree := t.TempDir()
	if _, err := Find(tree, ""); err == nil {
		t.Error("QEMU was found in an empty tree")
	}
	bin := filepath.Join(tree, program)
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bin, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{{tree, ""}, {"", tree}} {
		p, err := Find(c[0], c[1])
		if err != nil || len(p.Argv) != 8 || !strings.HasSuffix(p.Argv[0], "ld-linux-x86-64.so.2") || p.Argv[3] != bin ||
			len(p.Env) != 1 {
			t.Errorf("Find(%q) = %+v, %v", c, p, err)
		}
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := Find("", "sh"); err != nil || len(p.Argv) != 1 || p.Argv[0] != shell {
		t.Errorf("Find by name = %+v, %v", p, err)
	}
	if _, err := Find("", "/nothere"); err == nil || !strings.Contains(err.Error(), Env) {
		t.Errorf("Find of nothing: %v", err)
	}
}

// A child that listens with a queue of one gets a longer one, and only its wanted socket does.
func TestWiden(t *testing.T) {
	cmd := Program{Argv: []string{os.Args[0], "-test.run=^TestListenChild$"}, Env: []string{"UKL_LISTEN_CHILD=1"}}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := cmd.Start(nil, []*os.File{w}, Limits{})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	var a, b int
	if _, err := fmt.Fscan(r, &a, &b); err != nil {
		t.Fatal(err)
	}
	if err := p.Widen([]Forward{
		{Addr: "127.0.0.1", Host: a, Guest: 1},
		{Addr: "127.0.0.1", Host: b, Guest: 1, UDP: true},
	}); err != nil {
		t.Fatal(err)
	}
	connect := func(port int) (n int) {
		for range 20 {
			c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 200*time.Millisecond)
			if err != nil {
				break
			}
			defer c.Close()
			n++
		}
		return n
	}
	if n := connect(a); n != 20 {
		t.Errorf("%d of 20 connections fit into the queue", n)
	}
	if n := connect(b); n > 5 {
		t.Errorf("%d connections fit into the other queue, too", n)
	}
	if err := p.Widen(nil); err != nil {
		t.Errorf("nothing to do: %v", err)
	}
}

// TestListenChild is the child of TestWiden: it listens on two ports with queues of one, and never accepts.
func TestListenChild(t *testing.T) {
	if os.Getenv("UKL_LISTEN_CHILD") == "" {
		return
	}
	out := os.NewFile(3, "ports")
	for range 2 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
		if err := unix.Listen(fd, 1); err != nil {
			t.Fatal(err)
		}
		addr, err := unix.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(out, addr.(*unix.SockaddrInet4).Port)
	}
	time.Sleep(time.Minute)
}

// adoption is a child with the sockets Spares(0, 1) and Spares(1, 1), a listener of ours, and the address of the
// child's first socket.
func adoption(t *testing.T) (*Process, *net.TCPListener, string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	child := Program{Argv: []string{os.Args[0], "-test.run=^TestAdoptChild$"}, Env: []string{"UKL_ADOPT_CHILD=1"}}
	p, err := child.Start(nil, []*os.File{w}, Limits{})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	f := Spares(0, 1)[0]
	for i := range 2 * spares { // all are there then
		var port int
		if _, err := fmt.Fscan(r, &port); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			f.Host = port
		}
	}
	l, err := Listen(Forward{Addr: "127.0.0.1", Guest: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return p, l, f.HostPort()
}

// Clients that connect all the time find somebody on the port before, while and after it changes hands.
func TestAdopt(t *testing.T) {
	p, l, _ := adoption(t)
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			c.Write([]byte("own"))
			c.Close()
		}
	}()
	who := func() string {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
			return ""
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		b, err := io.ReadAll(c)
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	done := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					who()
				}
			}
		})
	}
	if err := p.Adopt(Spares(251, 1), l); err == nil {
		t.Error("a socket that is not there was adopted")
	}
	if got := who(); got != "own" {
		t.Errorf("after an error %q answers", got)
	}
	if err := p.Adopt(Spares(1, 1), l); err != nil {
		t.Error(err)
	}
	children := func() int {
		seen := map[string]bool{}
		for range 200 {
			got := who()
			if seen[got] = true; !strings.HasPrefix(got, "child") {
				t.Errorf("%q answers", got)
			}
		}
		return len(seen)
	}
	if n := children(); n != spares {
		t.Errorf("%d sockets answer; want %d", n, spares)
	}
	close(done)
	clients.Wait()
	l.Close()
	// One is chosen by the kernel alone now, for one client of 64: now and then none of them comes.
	if n := children(); n < spares-1 {
		t.Errorf("at last %d sockets answer; want %d", n, spares)
	}
	if _, err := Listen(Forward{Addr: "127.0.0.1", Host: l.Addr().(*net.TCPAddr).Port}); err == nil {
		t.Error("the port is free")
	}
	six, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer six.Close()
	if err := p.Adopt(Spares(0, 1), six.(*net.TCPListener)); err == nil {
		t.Error("a port of IPv6 was given away")
	}
}

// The move of one socket does not keep the child from its other one.
func TestAdoptDoesNotBlock(t *testing.T) {
	for range 20 {
		p, l, other := adoption(t)
		if err := p.Adopt(Spares(1, 1), l); err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", other)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if b, err := io.ReadAll(c); err != nil || string(b) != "child 0" {
			t.Fatalf("%q, %v", b, err)
		}
	}
}

// TestAdoptChild is the child of TestAdopt. Like QEMU it waits for all its sockets at once and then accepts, which may
// block.
func TestAdoptChild(t *testing.T) {
	if os.Getenv("UKL_ADOPT_CHILD") == "" {
		return
	}
	var sockets []unix.PollFd
	for _, f := range slices.Concat(Spares(0, 1), Spares(1, 1)) {
		l, err := Listen(f)
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		fd := int(f.Fd()) // may make it wait, as the next call does: both before anybody hears of the port
		if err := unix.SetNonblock(fd, false); err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		fmt.Fprintln(os.NewFile(3, "ports"), l.Addr().(*net.TCPAddr).Port)
	}
	for {
		if _, err := unix.Poll(sockets, -1); err != nil {
			continue
		}
		for i, s := range sockets {
			if s.Revents == 0 {
				continue
			}
			if fd, _, err := unix.Accept(int(s.Fd)); err == nil {
				unix.Write(fd, fmt.Appendf(nil, "child %d", i))
				unix.Close(fd)
			}
		}
	}
}

// Of all threads the one that waited longest counts; a host that tells nothing has none.
func TestStarved(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"1": "5 200 3\n", "2": "7 3000 1\n", "3": "x\n"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "schedstat"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := starved(dir); got != 3000 {
		t.Errorf("starved = %d", got)
	}
	if got := starved(filepath.Join(dir, "none")); got != 0 {
		t.Errorf("starved = %d without threads", got)
	}
}
