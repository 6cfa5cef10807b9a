package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// open is a channel, the guest's end of it, and the ports of which the channel told.
func open(t *testing.T) (*Channel, *os.File, <-chan int) {
	t.Helper()
	host, guest, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	ports := make(chan int, 100)
	c := Serve(host, func(port int) { ports <- port }, func(int64, int64) { t.Error("nobody has asked for that") })
	t.Cleanup(func() { guest.Close() })
	t.Cleanup(c.Close)
	return c, guest, ports
}

// closed tells whether a channel is, which takes no time once what closes it was answered.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// answered waits until all lines before were read, and returns what came back last.
func answered(t *testing.T, guest *os.File, in *bufio.Reader) string {
	t.Helper()
	io.WriteString(guest, "time\n")
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func TestTime(t *testing.T) {
	c, guest, _ := open(t)
	if closed(c.Heard()) || closed(c.Started()) {
		t.Error("a guest was heard before it spoke")
	}
	before := time.Now()
	line := answered(t, guest, bufio.NewReader(guest))
	after := time.Now()
	var sec, nsec int64
	var digits string
	if n, err := fmt.Sscanf(line, "time %d.%s\n", &sec, &digits); n != 2 || err != nil || len(digits) != 9 {
		t.Fatalf("%q: %v", line, err)
	}
	fmt.Sscan(strings.TrimLeft(digits, "0"), &nsec)
	if at := time.Unix(sec, nsec); at.Before(before) || at.After(after) {
		t.Errorf("%s is not between %s and %s", at, before, after)
	}
}

// The guest hears that ukl has what it wrote when ukl has it, and not before; asking again while ukl waits asks once.
func TestTaken(t *testing.T) {
	host, guest, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	asked, has := make(chan string, 10), make(chan struct{})
	c := Serve(host, func(int) {}, func(stdout, stderr int64) {
		asked <- fmt.Sprint(stdout, " ", stderr)
		<-has
	})
	defer c.Close()
	in := bufio.NewReader(guest)
	io.WriteString(guest, "written 5 x\nwritten 5\nwritten 5000000000 7\nwritten 5000000000 7\n")
	if line := answered(t, guest, in); !strings.HasPrefix(line, "time ") {
		t.Errorf("before ukl has it, the guest hears %q", line)
	}
	if got := <-asked; got != "5000000000 7" {
		t.Errorf("the guest has written %s", got)
	}
	close(has)
	if line, err := in.ReadString('\n'); line != "taken\n" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
	if len(asked) > 0 {
		t.Errorf("ukl was asked for %s as well", <-asked)
	}
}

func TestStartedAndListen(t *testing.T) {
	c, guest, ports := open(t)
	in := bufio.NewReader(guest)
	io.WriteString(guest, "listen tcp 80\n")
	answered(t, guest, in)
	if !closed(c.Heard()) || closed(c.Started()) {
		t.Error("it was not heard, or has started too early")
	}
	io.WriteString(guest, "started\nlisten tcp 80\nlisten tcp 65535\nstarted\n")
	answered(t, guest, in)
	if !closed(c.Started()) || len(ports) != 2 || <-ports != 80 || <-ports != 65535 {
		t.Errorf("started: %v, and %d ports are left", closed(c.Started()), len(ports))
	}
}

// Nothing that a guest says harms anybody: what is wrong is ignored, and what comes after it is read.
func TestRubbish(t *testing.T) {
	c, guest, ports := open(t)
	in := bufio.NewReader(guest)
	for _, s := range []string{
		"\n", "Started\n", "started now\n", "listen\n", "listen tcp\n", "listen tcp 0\n", "listen tcp 65536\n",
		"listen tcp -1\n", "listen tcp 0x50\n", "listen udp 53\n", "listen tcp 80 81\n", "time 1.000000000\n", "signal 9\n",
		"\x00\xff\xfe\n", "started\x00\n", strings.Repeat("started ", 1000) + "\n",
		strings.Repeat("x", longest-1) + "\n", strings.Repeat("x", longest) + "\n",
		strings.Repeat("x", longest) + "started\n", strings.Repeat("\xff", 1<<20) + "\n",
	} {
		io.WriteString(guest, s)
	}
	answered(t, guest, in)
	if closed(c.Started()) || len(ports) != 0 {
		t.Errorf("started: %v, ports: %d", closed(c.Started()), len(ports))
	}
	io.WriteString(guest, "started\nlisten tcp 80\n")
	answered(t, guest, in)
	if !closed(c.Started()) || <-ports != 80 {
		t.Error("after rubbish a line was not read")
	}
}

// A line that comes in pieces is one.
func TestPieces(t *testing.T) {
	c, guest, _ := open(t)
	for _, s := range []string{"sta", "rted", "\n"} {
		io.WriteString(guest, s)
	}
	<-c.Started()
}

// A guest that asks and never reads keeps nobody from reading on, and a signal to it is an error, not a wait.
func TestDeafGuest(t *testing.T) {
	c, guest, _ := open(t)
	for range 20000 {
		io.WriteString(guest, "time\n")
	}
	io.WriteString(guest, "started\n")
	<-c.Started()
	if err := c.Signal(syscall.SIGTERM); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("a signal for a full line: %v", err)
	}
}

func TestSignal(t *testing.T) {
	c, guest, _ := open(t)
	if err := c.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(guest).ReadString('\n'); err != nil || line != "signal 15\n" {
		t.Errorf("%q, %v", line, err)
	}
	c.Close()
	if c.Signal(syscall.SIGTERM) == nil {
		t.Error("a signal on a closed channel")
	}
}

// The guest's end is not an error for anybody, and Close may come twice.
func TestEnd(t *testing.T) {
	c, guest, _ := open(t)
	guest.Close()
	if c.Signal(syscall.SIGTERM) == nil {
		t.Error("a signal for nobody")
	}
	c.Close()
	c.Close()
}

func TestPaused(t *testing.T) {
	at := clocks{time.Hour, 2 * time.Hour, 3 * time.Hour}
	after := func(monotonic, boot, real time.Duration) clocks {
		return clocks{at.monotonic + monotonic, at.boot + boot, at.real + real}
	}
	for _, c := range []struct {
		what string
		at   clocks
		want bool
	}{
		{"a tick", after(tick, tick, tick), false},
		{"a tick a bit late", after(tick+jump/2, tick+jump/2, tick+jump/2), false},
		{"the clock is slewed", after(tick, tick, tick+jump/2), false},
		{"ukl stood still", after(2*tick, 2*tick, 2*tick), true},
		{"the host was suspended", after(tick, tick+time.Hour, tick+time.Hour), true},
		{"suspended, and the clock set back", after(tick, tick+time.Hour, tick), true},
		{"the clock was set", after(tick, tick, tick+time.Hour), true},
		{"the clock was set back", after(tick, tick, -time.Hour), true},
	} {
		if got := paused(at, c.at); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
	if a, b := now(), now(); paused(a, b) || a.monotonic == 0 || b.real-a.real > time.Minute {
		t.Errorf("%+v, then %+v", a, b)
	}
}

// After a pause of ukl the guest is told the time, unless it never asked.
func TestPauseIsTold(t *testing.T) {
	for _, asks := range []bool{true, false} {
		c, guest, _ := open(t)
		in := bufio.NewReader(guest)
		if asks {
			answered(t, guest, in)
		}
		c.look(clocks{}, now())
		if err := c.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		line, err := in.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "time ") != asks {
			t.Errorf("asked: %v; told %q, %v", asks, line, err)
		}
	}
}

// The end is what the guest has promised to tell, and told last; what makes no sense changes nothing.
func TestEndOfApplication(t *testing.T) {
	c, guest, _ := open(t)
	in := bufio.NewReader(guest)
	io.WriteString(guest, "tells\ntells end now\nexited\nexited 256\nexited -1\nkilled many\ncrash\n")
	answered(t, guest, in)
	if end := c.End(); c.TellsEnd() || end.Known || len(end.Crash) > 0 {
		t.Errorf("nothing was told: %t, %+v", c.TellsEnd(), end)
	}
	io.WriteString(guest, "tells end\nukl: crash signal 11\nukl: crash registers ax 1\nkilled 11\n")
	answered(t, guest, in)
	end := c.End()
	if !c.TellsEnd() || !end.Known || end.Signal != 11 || end.Status != 0 ||
		strings.Join(end.Crash, "|") != "ukl: crash signal 11|ukl: crash registers ax 1" {
		t.Errorf("%t, %+v", c.TellsEnd(), end)
	}
	io.WriteString(guest, "exited 255\n")
	answered(t, guest, in)
	if end := c.End(); !end.Known || end.Signal != 0 || end.Status != 255 {
		t.Errorf("%+v", end)
	}
	io.WriteString(guest, strings.Repeat("ukl: crash stack\n", 1000))
	answered(t, guest, in)
	if n := len(c.End().Crash); n != crashes {
		t.Errorf("%d lines of crashes are kept", n)
	}
	if closed(c.Done()) {
		t.Error("it is done while the guest is there")
	}
	guest.Close()
	<-c.Done()
}

// The kernel answers a question, or does not; answers without a question do no harm.
func TestAlive(t *testing.T) {
	c, guest, _ := open(t)
	in := bufio.NewReader(guest)
	if err := c.Ask(); err != nil {
		t.Fatal(err)
	}
	if line, err := in.ReadString('\n'); line != "alive\n" || err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	if closed(c.Alive()) {
		t.Error("it has answered")
	}
	io.WriteString(guest, "alive\nalive\nalive\n")
	answered(t, guest, in)
	if !closed(c.Alive()) {
		t.Error("it has not answered")
	}
}
