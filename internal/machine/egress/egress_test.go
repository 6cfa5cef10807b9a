package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ukl/internal/machine/confine"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == confine.Inside {
		fmt.Fprintln(os.Stderr, confine.Child(os.Args[2:]))
		os.Exit(1)
	}
	if len(os.Args) > 2 && os.Args[1] == trying {
		os.Exit(try(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// trying is the first argument of a test program that does what QEMU could do.
const trying = "try"

// clients is how many ask a server. Some of their datagrams come while it asks whether there is one.
const clients = 200

// try prints what becomes of each address: tcp:ADDRESS, udp:ADDRESS, unix:PATH. "answer" answers datagrams of as many
// clients.
func try(what []string) int {
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for _, w := range what {
		kind, addr, _ := strings.Cut(w, ":")
		switch kind {
		case "answer":
			fmt.Println(u.LocalAddr())
			b := make([]byte, 10)
			for range clients {
				n, from, err := u.ReadFrom(b)
				if err == nil {
					_, err = u.WriteTo(b[:n], from)
				}
				tell(err)
			}
		case "udp":
			_, err := u.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
			tell(err)
		default:
			c, err := net.DialTimeout(kind, addr, time.Second)
			if err == nil {
				c.Close()
			}
			tell(err)
		}
	}
	return 0
}

func tell(err error) {
	switch {
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ECONNREFUSED):
		fmt.Println("refused")
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println("reached")
	}
}

// run starts a test program, guarded or not; each line of what it prints is a word of the result, and goes to said.
func run(t *testing.T, guarded, peers bool, said func(string), what ...string) (refused []string) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), ""), os.NewFile(uintptr(fds[1]), "")
	defer theirs.Close()
	line, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	plan := confine.Plan{Line: 3}
	if guarded {
		plan.Rules = Rules(peers)
	}
	cmd, err := confine.Command(plan, append([]string{"/proc/self/exe", trying}, what...))
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	if listener, err := confine.Told(line.(*net.UnixConn)); err == nil {
		g, err := Serve(listener, cmd.Process.Pid, func(s string) {
			mu.Lock()
			refused = append(refused, s)
			mu.Unlock()
		})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
	} else if guarded || !errors.Is(err, confine.ErrNoListener) {
		t.Fatal(err)
	}
	for {
		var word string
		if _, err := fmt.Fscanln(out, &word); err != nil {
			break
		}
		said(word)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	return refused
}

// Nothing of this machine is reached, whatever it is called; without a guard it is.
func TestOwn(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := l.Addr().(*net.TCPAddr)
	path := filepath.Join(t.TempDir(), "s")
	s, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	what := []string{
		"tcp:" + at.String(), fmt.Sprintf("tcp:0.0.0.0:%d", at.Port), fmt.Sprintf("tcp:127.1.2.3:%d", at.Port),
		fmt.Sprintf("tcp:[::ffff:127.0.0.1]:%d", at.Port), "udp:" + at.String(), "unix:" + path,
	}
	count := map[string]int{}
	refused := run(t, true, false, func(s string) { count[s]++ }, what...)
	if count["refused"] != len(what) || len(count) != 1 {
		t.Errorf("guarded: %v", count)
	}
	if len(refused) != 1 || refused[0] != at.String() {
		t.Errorf("refused: %q", refused)
	}
	count = map[string]int{}
	run(t, false, false, func(s string) { count[s]++ }, what...)
	if count["reached"] != len(what)-1 { // nobody listens at 127.1.2.3
		t.Errorf("not guarded: %v", count)
	}
}

// Who has sent a datagram gets an answer, and nobody else a datagram.
func TestPeers(t *testing.T) {
	other, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var words []string
	run(t, true, true, func(s string) {
		if words = append(words, s); len(words) <= clients {
			ask(t, words[0])
		}
	}, "answer", "udp:"+other.LocalAddr().String())
	want := append(slices.Repeat([]string{"reached"}, clients), "refused")
	if len(words) == 0 || !slices.Equal(words[1:], want) {
		t.Errorf("%q", words)
	}
}

// ask sends a datagram and wants it back.
func ask(t *testing.T, server string) {
	c, err := net.Dial("udp4", server)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	b := make([]byte, 10)
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Error(err)
	}
	if n, err := c.Read(b); err != nil || string(b[:n]) != "hello" {
		t.Errorf("the answer is %q, %v", b[:n], err)
	}
}

// Netlink leads to the kernel, and to no program: ukl sends in the place of QEMU.
func TestToKernel(t *testing.T) {
	address := func(port, groups byte) []byte {
		return []byte{unix.AF_NETLINK, 0, 0, 0, port, 0, 0, 0, groups, 0, 0, 0}
	}
	for _, c := range []struct {
		name string
		to   []byte
		want bool
	}{
		{"the kernel", address(0, 0), true},
		{"a program", address(1, 0), false},
		{"the listeners of udev", address(0, 2), false},
		{"half an address", address(0, 0)[:8], false},
	} {
		if got := toKernel(c.to); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// What serves the link is refused like what serves the machine, but for a name server that this machine asks.
func TestLink(t *testing.T) {
	g := &Guard{}
	for _, a := range []string{"169.254.169.254:80", "[fe80::1]:80", "[fd00:ec2::254]:80"} {
		if g.may(netip.MustParseAddrPort(a)) {
			t.Errorf("%s may be reached", a)
		}
	}
}

func TestNameServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("# x\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\noptions x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]bool{"127.0.0.53": true, "fe80::1": true, "127.0.0.1": false} {
		if got := nameServer(file, netip.MustParseAddr(a)); got != want {
			t.Errorf("nameServer(%s) = %v", a, got)
		}
	}
	if nameServer(file+"x", netip.MustParseAddr("127.0.0.53")) {
		t.Error("a missing file has a name server")
	}
}
