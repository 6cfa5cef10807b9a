package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// fakeQEMU is a QEMU whose kernel is a text: one thing to do a line.
//
//	log TEXT      a line on the kernel's console        out TEXT, err TEXT   a line on the application's stdout, stderr
//	args          print the application's arguments and environment, from the initrd
//	append        print the kernel's command line       machine              print QEMU's own arguments
//	mounts        print the volumes, from the initrd
//	cat           copy stdin to stdout until it ends    flood N              N MiB on stdout
//	sleep TIME    hang                                  deaf                 ignore SIGTERM
//	echo [ADDR]   serve the forwarded TCP ports, or those of one address, in the background
//	until FILE    wait for a file
//	monitor TEXT  answer ukl on QEMU's monitor; TEXT are the registers    opens     the guest opens stdin
//	control TEXT  a line on the control channel          hear                print ukl's next line there on stdout
//	lives         the kernel answers from now on when ukl asks whether it is alive
//	heed          wait until ukl has read what was said on the control channel
//	on N DO; DO   if ukl sends signal N: words as these
//	say TEXT      a line on QEMU's own stderr           quit N               end with exit code N
func fakeQEMU(args []string) int {
	g, err := newFake(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	script, err := os.ReadFile(g.options["-kernel"])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for line := range strings.Lines(string(script)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if code, done := g.do(word, rest); done {
			return code
		}
	}
	return 0
}

type fake struct {
	args     []string
	options  map[string]string
	channels map[string]*os.File
	heard    chan string // lines on the control channel that are no signals
	mu       sync.Mutex
	on       map[string]string // what to do, by the number of a signal
	lives    atomic.Bool       // whether the kernel answers
}

func newFake(args []string) (*fake, error) {
	g := &fake{
		args: args, options: map[string]string{}, channels: map[string]*os.File{},
		heard: make(chan string, 100), on: map[string]string{},
	}
	for i, a := range args {
		if !strings.HasPrefix(a, "-") || i+1 == len(args) {
			continue
		}
		value := args[i+1]
		g.options[a] = value
		if a != "-chardev" {
			continue
		}
		var id string
		var fd int
		for kv := range strings.SplitSeq(value, ",") {
			switch k, v, _ := strings.Cut(kv, "="); k {
			case "id":
				id = v
			case "fd":
				fd, _ = strconv.Atoi(v)
			}
		}
		if fd < 3 {
			return nil, fmt.Errorf("chardev %q has no descriptor", value)
		}
		g.channels[id] = os.NewFile(uintptr(fd), id)
	}
	if name, ok := strings.CutPrefix(g.options["-gdb"], "chardev:"); ok {
		l, err := net.FileListener(g.channels[name])
		if err != nil {
			return nil, err
		}
		go stubborn(l)
	}
	if _, counts := g.options["-icount"]; counts && g.channels["ukl.stdin"] == nil {
		g.channels["ukl.stdin"], _ = os.Open(os.DevNull) // nobody is there
	}
	for _, name := range []string{"ukl.stdin", "ukl.stdout", "ukl.stderr", "ukl.log"} {
		if g.channels[name] == nil {
			return nil, fmt.Errorf("no chardev %s", name)
		}
	}
	if c := g.channels["ukl.control"]; c != nil {
		go g.listen(c)
	}
	return g, nil
}

// stubborn is a gdb stub that understands nothing.
func stubborn(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		for in := bufio.NewReader(c); err == nil; {
			if _, err = in.ReadString('#'); err == nil {
				_, err = c.Write([]byte("+$#00"))
			}
		}
		c.Close()
	}
}

// listen does what is to be done for the signals that ukl sends.
func (g *fake) listen(control *os.File) {
	for sc := bufio.NewScanner(control); sc.Scan(); {
		if sc.Text() == "alive" && g.lives.Load() {
			g.say("ukl.control", "alive\n")
			continue
		}
		n, ok := strings.CutPrefix(sc.Text(), "signal ")
		if !ok {
			g.heard <- sc.Text()
			continue
		}
		g.mu.Lock()
		script := g.on[n]
		g.mu.Unlock()
		for line := range strings.SplitSeq(script, ";") {
			word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			if code, done := g.do(word, rest); done {
				os.Exit(code)
			}
		}
	}
}

func (g *fake) say(channel, format string, args ...any) {
	fmt.Fprintf(g.channels[channel], format, args...)
}

func (g *fake) do(word, rest string) (code int, done bool) {
	switch word {
	case "", "#":
	case "log":
		g.say("ukl.log", "[    0.1] %s\r\n", rest)
	case "out":
		g.say("ukl.stdout", "%s\n", rest)
	case "err":
		g.say("ukl.stderr", "%s\n", rest)
	case "args":
		archive, err := os.ReadFile(g.options["-initrd"])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1, true
		}
		for _, name := range []string{"ukl/argv", "ukl/env"} {
			for item := range bytes.SplitSeq(bytes.TrimSuffix(member(archive, name), []byte{0}), []byte{0}) {
				g.say("ukl.stdout", "%s %q\n", name, item)
			}
		}
	case "mounts":
		archive, err := os.ReadFile(g.options["-initrd"])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1, true
		}
		g.say("ukl.stdout", "%s", member(archive, "ukl/mounts"))
	case "append":
		g.say("ukl.stdout", "%s\n", g.options["-append"])
	case "machine":
		g.say("ukl.stdout", "%s\n", strings.Join(g.args, "\n"))
	case "cat":
		n, err := io.Copy(g.channels["ukl.stdout"], g.channels["ukl.stdin"])
		g.say("ukl.stderr", "%d bytes, %v\n", n, err)
	case "flood":
		n, _ := strconv.Atoi(rest)
		for range n {
			if _, err := g.channels["ukl.stdout"].Write(bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)); err != nil {
				return 3, true
			}
		}
	case "sleep":
		d, _ := time.ParseDuration(rest)
		time.Sleep(d)
	case "monitor":
		m := g.channels["ukl.monitor"]
		fmt.Fprintf(m, "{\"QMP\": {}}\r\n")
		go func() {
			for sc := bufio.NewScanner(m); sc.Scan(); {
				if strings.Contains(sc.Text(), "info registers") {
					fmt.Fprintf(m, "{\"return\": \"CPU#0\\r\\n%s\"}\r\n", rest)
				} else {
					fmt.Fprintf(m, "{\"return\": {}}\r\n")
				}
			}
		}()
	case "opens":
		fmt.Fprintf(g.channels["ukl.monitor"],
			"{\"event\": \"VSERPORT_CHANGE\", \"data\": {\"open\": true, \"id\": \"ukl.stdin\"}}\r\n")
	case "control":
		g.say("ukl.control", "%s\n", rest)
	case "heed":
		g.say("ukl.control", "time\n")
		<-g.heard
	case "lives":
		g.lives.Store(true)
	case "hear":
		g.say("ukl.stdout", "ukl says %s\n", <-g.heard)
	case "on":
		n, script, _ := strings.Cut(rest, " ")
		g.mu.Lock()
		g.on[n] = script
		g.mu.Unlock()
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
	case "echo":
		return g.echo(rest)
	case "until":
		end := time.Now().Add(patience) // the script may have failed
		for _, err := os.Stat(rest); err != nil && time.Now().Before(end); _, err = os.Stat(rest) {
			time.Sleep(10 * time.Millisecond)
		}
	case "say":
		fmt.Fprintln(os.Stderr, rest)
	case "quit":
		n, _ := strconv.Atoi(rest)
		return n, true
	default:
		fmt.Fprintf(os.Stderr, "fake-qemu: unknown word %q\n", word)
		return 1, true
	}
	return 0, false
}

// echo listens where each hostfwd=tcp:ADDR:PORT-... says. ukl may take a listener to another address, which is an error
// for who accepts then.
func (g *fake) echo(only string) (int, bool) {
	for option := range strings.SplitSeq(g.options["-netdev"], ",") {
		rest, ok := strings.CutPrefix(option, "hostfwd=tcp:")
		if !ok || !strings.HasPrefix(rest, only) {
			continue
		}
		addr, _, _ := strings.Cut(rest, "-")
		var plain net.ListenConfig
		plain.SetMultipathTCP(false)
		l, err := plain.Listen(context.Background(), "tcp", addr)
		if err != nil {
			fmt.Fprintf(os.Stderr, "qemu: Could not set up host forwarding rule '%s'\n", rest)
			return 1, true
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					time.Sleep(time.Millisecond)
					continue
				}
				go func() {
					_, _ = io.Copy(c, c)
					c.Close()
				}()
			}
		}()
	}
	return 0, false
}

// member finds a file in a newc archive; nil if it is not there. It reads the format apart from the code that writes
// it.
func member(archive []byte, name string) []byte {
	r := bufio.NewReader(bytes.NewReader(archive))
	at := 0
	take := func(n int) []byte {
		b := make([]byte, n)
		m, _ := io.ReadFull(r, b)
		at += m
		return b
	}
	align := func() {
		for at%4 != 0 {
			take(1)
		}
	}
	for {
		h := take(110)
		if string(h[:6]) != "070701" {
			return nil
		}
		field := func(i int) int {
			n, _ := strconv.ParseUint(string(h[6+8*i:14+8*i]), 16, 32)
			return int(n)
		}
		entry := strings.TrimSuffix(string(take(field(11))), "\x00")
		align()
		data := take(field(6))
		align()
		if entry == name {
			return data
		}
		if entry == "TRAILER!!!" {
			return nil
		}
	}
}

// taken NAME listens on a free port of 127.0.0.1 until the script ends, and puts its number into the variable NAME.
func taken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: taken NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}

// port NAME puts the number of a port that is free into the variable NAME. No other script gets it, nor does the kernel
// give it to a client: it is below those that are for clients.
func port(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: port NAME")
	}
	const first, last = 10000, 32767 // Documentation/networking/ip-sysctl.rst, ip_local_port_range
	for range 1000 {
		n := first + rand.IntN(last-first+1)
		if _, given := ports.LoadOrStore(n, true); given {
			continue
		}
		if l, err := net.Listen("tcp", fmt.Sprintf(":%d", n)); err == nil {
			l.Close()
			ts.Setenv(args[0], strconv.Itoa(n))
			return
		}
	}
	ts.Fatalf("no port is free from %d to %d", first, last)
}

// ports are those that scripts have, by number.
var ports sync.Map

// serving [ADDRESS:]PORT waits until something that sends bytes answers on the port, of 127.0.0.1 unless there is an
// address. To connect proves nothing: QEMU accepts connections before the guest listens, and drops them.
func serving(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serving [ADDRESS:]PORT")
	}
	address := args[0]
	if !strings.Contains(address, ":") {
		address = "127.0.0.1:" + address
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := exchange("tcp", address)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nothing answers on port %s: %v", args[0], err)
		}
	}
}

// early ADDRESS:PORT FILE connects before the guest listens, which it does when FILE is there, and demands that all is
// held until then, and that all that was said arrives.
func early(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: early ADDRESS:PORT FILE")
	}
	const said = "said early"
	var clients []*net.TCPConn
	for n := range 50 {
		c, err := net.Dial("tcp", args[0])
		ts.Check(err)
		defer c.Close()
		_, err = io.WriteString(c, said)
		ts.Check(err)
		if clients = append(clients, c.(*net.TCPConn)); n%2 == 0 {
			ts.Check(clients[n].CloseWrite())
		}
	}
	for _, c := range []*net.TCPConn{clients[0], clients[1]} {
		ts.Check(c.SetDeadline(time.Now().Add(100 * time.Millisecond)))
		if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			ts.Fatalf("not held: %d bytes, %v", n, err)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), nil, 0o600))
	for n, c := range clients {
		ts.Check(c.SetDeadline(time.Now().Add(patience)))
		b := make([]byte, len(said))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != said {
			ts.Fatalf("connection %d: %q came back, %v", n, b, err)
		}
		if n%2 == 1 {
			ts.Check(c.CloseWrite())
		}
		if n, err := c.Read(b); err != io.EOF {
			ts.Fatalf("after its end %d bytes, %v", n, err)
		}
	}
}

// crowd ADDRESS:PORT N [BYTES] has N clients connect and speak at once, and demands that each gets back what it said,
// or with ! that not all do. With BYTES each says so much and ends its half of the connection.
func crowd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 && len(args) != 3 {
		ts.Fatalf("usage: crowd ADDRESS:PORT N [BYTES]")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	more := 0
	if len(args) == 3 {
		more, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	results := make(chan error, n)
	for i := range n {
		said := fmt.Sprintf("client %d", i)
		said += strings.Repeat(".", max(0, more-len(said)))
		go func() { results <- echoed(args[0], said, more > 0) }()
	}
	failed := 0
	for range n {
		if e := <-results; e != nil {
			failed++
			err = e
		}
	}
	if failed > 0 != neg {
		ts.Fatalf("%d of %d clients were not served: %v", failed, n, err)
	}
}

// echoed connects, says something, perhaps ends its half of the connection, and demands that it comes back.
func echoed(address, said string, end bool) error {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, said); err != nil {
		return err
	}
	if end {
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
	}
	b := make([]byte, len(said))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != said {
		return fmt.Errorf("%d of %d bytes came back: %w", n, len(said), err)
	}
	return nil
}

// datagrams PORT waits until a datagram to the UDP port of 127.0.0.1 comes back.
func datagrams(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: datagrams PORT")
	}
	for deadline := time.Now().Add(patience); ; {
		err := exchange("udp", "127.0.0.1:"+args[0])
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no datagram comes back from port %s: %v", args[0], err)
		}
	}
}

// exchange sends a byte and waits for one.
func exchange(network, address string) error {
	c, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

// files NAME DIR serves the files of a directory over HTTP until the script ends, and puts the server's address into
// the variable NAME.
func files(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: files NAME DIR")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	server := &http.Server{Handler: http.FileServer(http.Dir(ts.MkAbs(args[1])))}
	go func() { _ = server.Serve(l) }() // it ends with the listener
	ts.Defer(func() { server.Close() })
	ts.Setenv(args[0], l.Addr().String())
}
