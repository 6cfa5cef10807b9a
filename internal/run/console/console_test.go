package console

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukl/internal/machine/qemu"
)

// slow is a writer that takes nothing until it is let.
type slow struct {
	let chan struct{}
	bytes.Buffer
}

func (s *slow) Write(b []byte) (int, error) {
	<-s.let
	return s.Buffer.Write(b)
}

func TestPumpNeverWaitsForItsWriter(t *testing.T) {
	r, w := io.Pipe()
	out := &slow{let: make(chan struct{})}
	p := newPump(r, out, nil)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	for range 8 {
		done := make(chan struct{})
		go func() { w.Write(data); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Fatal("the guest had to wait")
		}
	}
	w.Close()
	close(out.let)
	<-p.done
	if !bytes.Equal(out.Bytes(), bytes.Repeat(data, 8)) {
		t.Errorf("%d bytes arrived", out.Len())
	}
}

// A guest that waits until ukl has what it wrote waits for the last byte, and not for a reader.
func TestPumpAwait(t *testing.T) {
	r, w := io.Pipe()
	out := &slow{let: make(chan struct{})}
	p := newPump(r, out, nil)
	all := make(chan struct{})
	go func() { p.await(8); close(all) }()
	w.Write([]byte("seven b"))
	select {
	case <-all:
		t.Error("7 bytes were taken for 8")
	case <-time.After(20 * time.Millisecond):
	}
	w.Write([]byte("y"))
	<-all
	p.await(3)
	go func() { p.await(9); close(out.let) }() // more never comes
	w.Close()
	<-p.done
	if out.String() != "seven by" {
		t.Errorf("%q", out.String())
	}
}

func TestPumpHasALimit(t *testing.T) {
	r, w := io.Pipe()
	out := &slow{let: make(chan struct{})}
	p := newPump(r, out, nil)
	written := make(chan int, 1)
	go func() {
		n := 0
		chunk := make([]byte, 1<<20)
		for range 2 * Limit >> 20 {
			m, _ := w.Write(chunk)
			n += m
		}
		w.Close()
		written <- n
	}()
	select {
	case n := <-written:
		t.Errorf("%d MiB were taken, with nobody to read them", n>>20)
	case <-time.After(time.Second):
	}
	close(out.let)
	<-p.done
	if n := <-written; out.Len() != n || n != 2*Limit {
		t.Errorf("%d bytes of %d arrived", out.Len(), n)
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestPumpGoesOnReadingForABrokenWriter(t *testing.T) {
	r, w := io.Pipe()
	errs := make(chan error, 1)
	p := newPump(r, broken{syscall.EPIPE}, func(err error) { errs <- err })
	for range 100 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-errs; !errors.Is(err, syscall.EPIPE) {
		t.Errorf("error %v", err)
	}
	<-p.done
	w.Close()
}

func TestConsole(t *testing.T) {
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var guest [qemu.Channels]*os.File // QEMU's copies
	for ch, f := range c.GuestFiles() {
		fd, err := syscall.Dup(int(f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		guest[ch] = os.NewFile(uintptr(fd), f.Name())
	}
	c.Started()
	stdin, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs, log, echo bytes.Buffer
	c.Pump(stdin, &out, &errs, &log, &echo)
	io.WriteString(feed, "typed")
	feed.Close()
	if got, err := io.ReadAll(guest[qemu.Stdin]); err != nil || string(got) != "typed" {
		t.Errorf("the guest read %q, %v", got, err)
	}
	io.WriteString(guest[qemu.Stdout], "out")
	io.WriteString(guest[qemu.Stderr], "err")
	io.WriteString(guest[qemu.Log], "log")
	select {
	case <-c.Drained():
		t.Fatal("drained while QEMU lives")
	case <-time.After(50 * time.Millisecond):
	}
	for _, f := range guest {
		f.Close()
	}
	<-c.Drained()
	if out.String() != "out" || errs.String() != "err" || log.String() != "log" || echo.String() != "log" {
		t.Errorf("out %q, err %q, log %q, echo %q", &out, &errs, &log, &echo)
	}
	if b := Backends(); b[qemu.Log] != "socket,fd=6" {
		t.Errorf("Backends = %q", b)
	}
}

func TestJournal(t *testing.T) {
	for _, c := range []struct {
		log  string
		want Verdict
	}{
		{"", Verdict{}},
		{"ukl: app exited with status 7\n", Verdict{Known: true, Status: 7}},
		{"[    0.712345] ukl: app exited with status 0\r\n", Verdict{Known: true}},
		{"[    0.7] ukl: app killed by signal 11\n[    0.8] reboot: machine restart\n", Verdict{Known: true, Signal: 11}},
		{
			"[ 0.7] ukl: crash signal 8\r\n[ 0.7] usb: x\n[ 0.7] ukl: crash stack\n[ 0.7] ukl: app killed by signal 8\n",
			Verdict{Known: true, Signal: 8, Crash: "[ 0.7] ukl: crash signal 8\n[ 0.7] ukl: crash stack"},
		},
		{
			strings.Repeat("ukl: crash\nukl: crash x\n", 3*crashLines) + "ukl: app killed by signal 8\n",
			Verdict{Known: true, Signal: 8, Crash: strings.TrimSuffix(strings.Repeat("ukl: crash x\n", crashLines), "\n")},
		},
		{"ukl: app exited with status 1\nukl: app exited with status 2", Verdict{Known: true, Status: 2}},
		{"ukl: app exited with status 300\n", Verdict{}},
		{"ukl: app exited with status 99999999999999999999\n", Verdict{}},
		{"ukl: app exited with status 3 not\n", Verdict{}},
		{
			"[ 1.0] reboot: Restarting system\r\n",
			Verdict{Panic: "a process restarted it by reboot()", Runs: true},
		},
		{
			"[ 1.0] reboot: System halted\r\nreboot: Power down\n",
			Verdict{Panic: "a process halted it by reboot()", Runs: true},
		},
		{"reboot: Power down\n", Verdict{Panic: "a process ended it by reboot()", Runs: true}},
		{"ukl: app exited with status 3\nreboot: Restarting system\n", Verdict{Known: true, Status: 3}},
		{
			"ukl: app exited with status 0\n[ 2.0] reboot: System halted\n",
			Verdict{Known: true, Panic: "a process halted it by reboot()", Runs: true},
		},
		{"x reboot: Power down\n", Verdict{}},
		{
			"ukl: app exited with status 0\nKernel panic - not syncing: x\n",
			Verdict{Known: true, Panic: "Kernel panic - not syncing: x"},
		},
		{
			"Kernel panic - not syncing: x\nKernel panic - not syncing: y\nukl: app exited with status 0\n",
			Verdict{Known: true, Panic: "Kernel panic - not syncing: x"},
		},
		{
			"[ 1.0] Out of memory: Killed process 57 (app) total-vm:1kB\nukl: app killed by signal 9\n",
			Verdict{Known: true, Signal: 9, Memory: true},
		},
		{
			"Kernel panic - not syncing: System is deadlocked on memory\n",
			Verdict{Memory: true, Panic: "Kernel panic - not syncing: System is deadlocked on memory"},
		},
		{
			"[ 1.0] ring0: cannot create /app: -28\r\n[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root fs\n",
			Verdict{Memory: true, Panic: "Kernel panic - not syncing: VFS: Unable to mount root fs"},
		},
		{
			"[ 1.0] ring0: cannot open /app: -2\r\n[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root fs\n",
			Verdict{Panic: "Kernel panic - not syncing: VFS: Unable to mount root fs"},
		},
		{
			"Kernel panic - not syncing: ring0: cannot execute the application: -12\n",
			Verdict{Memory: true, Panic: "Kernel panic - not syncing: ring0: cannot execute the application: -12"},
		},
		{
			"Kernel panic - not syncing: process mode: fork: Cannot allocate memory\n",
			Verdict{Memory: true, Panic: "Kernel panic - not syncing: process mode: fork: Cannot allocate memory"},
		},
		{"[ 1.0] an application says: Cannot allocate memory, error: -12\n", Verdict{}},
		{
			"[ 1.0] Initramfs unpacking failed: write error\r\n[ 2.0] ukl: app exited with status 0\n",
			Verdict{Known: true, Memory: true, Runs: true, Early: true, Panic: "Initramfs unpacking failed: write error"},
		},
		{
			"[ 1.0] Initramfs unpacking failed: junk within compressed archive\n",
			Verdict{Runs: true, Early: true, Panic: "Initramfs unpacking failed: junk within compressed archive"},
		},
		{
			"[ 1.0] BUG: kernel NULL pointer dereference, address: 08\r\n[ 1.0] Oops: 0002 [#1] SMP\n[ 1.0] RIP: 0010:do_it+0x1/0x2\r\n[ 1.0] RIP: 0033:0x40\nKernel panic - not syncing: Fatal exception\n",
			Verdict{
				Panic: "Kernel panic - not syncing: Fatal exception",
				Cause: "BUG: kernel NULL pointer dereference, address: 08", Where: "do_it+0x1/0x2",
			},
		},
		{
			"[ 1.0] general protection fault, probably for non-canonical address 0x41: 0000 [#1] SMP\n",
			Verdict{Cause: "general protection fault, probably for non-canonical address 0x41"},
		},
		{"[ 1.0] an application says RIP: 0010:x and BUG: too\n", Verdict{}},
		{"Kernel panic - not syncing: x\nBUG: later\n", Verdict{Panic: "Kernel panic - not syncing: x"}},
		{strings.Repeat("x", 3*longest) + "\nukl: app exited with status 4\n", Verdict{Known: true, Status: 4}},
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			j := NewJournal(nil)
			for b := []byte(c.log); len(b) > 0; {
				n := min(size, len(b))
				if m, err := j.Write(b[:n]); m != n || err != nil {
					t.Fatalf("Write = %d, %v", m, err)
				}
				b = b[n:]
			}
			if got := j.Verdict(); got != c.want {
				t.Errorf("%.60q in pieces of %d = %+v; want %+v", c.log, size, got, c.want)
			}
			select {
			case <-j.Dying():
				if c.want.Panic == "" {
					t.Errorf("%.60q: dying without a panic", c.log)
				}
			default:
				if c.want.Panic != "" {
					t.Errorf("%.60q: a panic without dying", c.log)
				}
			}
		}
	}
	j := NewJournal(nil)
	for i := range 100 {
		io.WriteString(j, strings.Repeat("a", i)+"\n")
	}
	io.WriteString(j, "[    0.1] PCI: Fatal: No config space access function found\n")
	io.WriteString(j, "no end")
	if tail := j.Tail(); len(tail) != tailLines || tail[tailLines-1] != "no end" || len(tail[tailLines-2]) != 99 {
		t.Errorf("Tail = %q", tail)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add("Kernel panic - not syncing: x\nukl: app exited with status 3\n", 3)
	f.Fuzz(func(t *testing.T, log string, cut int) {
		whole, parts := NewJournal(nil), NewJournal(nil)
		io.WriteString(whole, log)
		if cut = cut % (len(log) + 1); cut < 0 {
			cut = -cut
		}
		io.WriteString(parts, log[:cut])
		io.WriteString(parts, log[cut:])
		if a, b := whole.Verdict(), parts.Verdict(); a != b {
			t.Errorf("%+v in one piece, %+v in two", a, b)
		}
	})
}

func TestLogFile(t *testing.T) {
	dir := t.TempDir() + "/a/b"
	one, err := LogFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(one, "first")
	two, err := LogFile(dir)
	if err != nil || two.Name() != dir+"/kernel.2.log" {
		t.Fatalf("the second of two = %s, %v", two.Name(), err)
	}
	defer two.Close()
	one.Close()
	three, err := LogFile(dir)
	if err != nil || three.Name() != dir+"/kernel.log" {
		t.Fatalf("after the first's end = %s, %v", three.Name(), err)
	}
	defer three.Close()
	if fi, _ := three.Stat(); fi.Size() != 0 {
		t.Error("the log of the last run was not emptied")
	}
	if _, err := LogFile("/dev/null/x"); err == nil {
		t.Error("a folder below a file was made")
	}
}
