package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ukl/internal/kernel/systemmap"
	"ukl/internal/machine/gdbstub"
)

// An unmapped hole between the kernel's direct map and its vmalloc area (Documentation/x86/x86_64/mm.rst).
const hole = 0xffffc80000001000

// sweep SYSTEM.MAP FUNCTION COUNT COMMAND... runs COMMAND, which must start a guest that waits for gdb at $GDB and
// takes QMP at the socket $QMP. When the guest first comes to the kernel's FUNCTION, an NMI is injected there and at
// each of the next COUNT instructions, so that no window between two of them is left out; and each of those NMIs takes
// a page fault, as one whose handler touches what is absent. The application must end with code 0 and have seen as many
// NMIs (`NMIs: N' on its stdout).
func sweep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: sweep SYSTEM.MAP FUNCTION COUNT COMMAND...")
	}
	symbols, err := systemmap.Addresses(ts.MkAbs(args[0]))
	ts.Check(err)
	count, err := strconv.Atoi(args[2])
	ts.Check(err)
	entry, ok := symbols[args[1]]
	if !ok {
		ts.Fatalf("the kernel has no function %s", args[1])
	}

	cmd, out, stderr := command(ts, args[3:])
	stop := time.AfterFunc(10*patience, func() { cmd.Process.Kill() })
	defer stop.Stop()
	var stdout bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		_, _ = out.WriteTo(&stdout)
		ended <- cmd.Wait()
	}()
	s, err := sweepOver(ts.Getenv("GDB"), ts.Getenv("QMP"), symbols, entry, count)
	if err != nil {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
		ts.Fatalf("%v, after %+v\n%s%s", err, s, &stdout, stderr)
	}
	if err := <-ended; code(err) != 0 {
		ts.Fatalf("exit code %d, not 0, after %+v\n%s%s", code(err), s, &stdout, stderr)
	}
	m := regexp.MustCompile(`(?m)^NMIs: (\d+)$`).FindSubmatch(stdout.Bytes())
	if m == nil {
		ts.Fatalf("the application did not say how many NMIs there were:\n%s", &stdout)
	}
	seen, _ := strconv.Atoi(string(m[1]))
	ts.Logf("%s: %d NMIs, each with a page fault, between %d instructions; %d of them kernel code on the process's stack",
		args[1], seen, s.places, s.gaps)
	if seen < count || s.gaps == 0 && strings.Contains(args[1], "ring0") {
		ts.Fatalf("that is too few")
	}
}

// swept is what a sweep has met.
type swept struct {
	nmis   int
	places int // different instructions
	gaps   int // of these, kernel code with RSP in the process's half
}

func sweepOver(gdb, qmp string, symbols map[string]uint64, entry uint64, count int) (swept, error) {
	var s swept
	g, err := dialed(func() (*gdbstub.Conn, error) { return gdbstub.Dial(gdb) })
	if err != nil {
		return s, err
	}
	defer g.Close()
	nmi, err := dialed(func() (*injector, error) { return dialInjector(qmp) })
	if err != nil {
		return s, err
	}
	defer nmi.conn.Close()

	// The application's first system call, then the function.
	if err := g.Until(symbols["ring0_gate"], symbols["ring0_bypass"]); err != nil {
		return s, err
	}
	if err := g.Step(); err != nil {
		return s, err
	}
	if err := g.Until(entry); err != nil {
		return s, err
	}
	places := map[uint64]bool{}
	for range count {
		here, err := g.Registers()
		if err != nil {
			return s, err
		}
		if pc := here.Get(gdbstub.RIP); !places[pc] {
			places[pc] = true
			s.places++
			if pc>>63 != 0 && here.Get(gdbstub.RSP)>>63 == 0 {
				s.gaps++
			}
		}
		if err := faultingNMI(g, nmi, symbols, here); err != nil {
			return s, fmt.Errorf("at %#x: %w", here.Get(gdbstub.RIP), err)
		}
		s.nmis++
		if err := g.Step(); err != nil {
			return s, err
		}
	}
	return s, g.Detach()
}

// faultingNMI injects an NMI where the guest stands. Its handler is made to call a function that takes a page fault.
// The guest must come back to where it stood with the same registers.
func faultingNMI(g *gdbstub.Conn, nmi *injector, symbols map[string]uint64, here gdbstub.Registers) error {
	handler, faults := symbols["default_do_nmi"], symbols["copy_from_kernel_nofault"]
	pc := here.Get(gdbstub.RIP)
	if err := nmi.inject(); err != nil {
		return err
	}
	// QEMU may take the breakpoint here before the NMI: once, when its processors share a thread.
	var before gdbstub.Registers
	for try := 0; try < 2 && (before == nil || before.Get(gdbstub.RIP) == pc); try++ {
		var err error
		if before, err = registersAt(g, handler, pc); err != nil {
			return err
		}
	}
	if at := before.Get(gdbstub.RIP); at != handler {
		return fmt.Errorf("the NMI did not come: stopped at %#x", at)
	}
	sp := (before.Get(gdbstub.RSP)-256)&^15 - 8
	call := before.Clone()
	call.Set(gdbstub.RSP, sp)
	call.Set(gdbstub.RIP, faults)
	call.Set(gdbstub.RDI, sp+64)
	call.Set(gdbstub.RSI, hole)
	call.Set(gdbstub.RDX, 8)
	if err := g.Write(sp, binary.LittleEndian.AppendUint64(nil, handler)); err != nil {
		return err
	}
	if err := g.SetRegisters(call); err != nil {
		return err
	}
	after, err := registersAt(g, handler)
	if err != nil {
		return err
	}
	if after.Get(gdbstub.RIP) != handler || int64(after.Get(gdbstub.RAX)) != -14 { // EFAULT
		return fmt.Errorf("no page fault in the NMI: rip %#x, rax %#x", after.Get(gdbstub.RIP), after.Get(gdbstub.RAX))
	}
	if err := g.SetRegisters(before); err != nil {
		return err
	}
	back, err := registersAt(g, pc)
	// The rest of the handler may come by here, on its own stack.
	for err == nil && back.Get(gdbstub.RIP) == pc && back.Get(gdbstub.RSP) != here.Get(gdbstub.RSP) {
		if err = g.Step(); err == nil {
			back, err = registersAt(g, pc)
		}
	}
	if err != nil {
		return err
	}
	for n := gdbstub.RAX; n <= gdbstub.RIP; n++ {
		if back.Get(n) != here.Get(n) {
			return fmt.Errorf("the NMI changed register %d from %#x to %#x", n, here.Get(n), back.Get(n))
		}
	}
	return nil
}

// registersAt are the registers when the guest has come to one of the addresses.
func registersAt(g *gdbstub.Conn, addresses ...uint64) (gdbstub.Registers, error) {
	if err := g.Until(addresses...); err != nil {
		return nil, err
	}
	return g.Registers()
}

// dialed tries until a guest that is being started listens.
func dialed[T any](dial func() (T, error)) (T, error) {
	deadline := time.Now().Add(patience)
	for {
		c, err := dial()
		if err == nil || time.Now().After(deadline) {
			return c, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// injector is a connection to QEMU's monitor ("QEMU Machine Protocol", QEMU's documentation).
type injector struct {
	conn net.Conn
	r    *bufio.Scanner
}

func dialInjector(socket string) (*injector, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	i := &injector{conn, bufio.NewScanner(conn)}
	if !i.r.Scan() { // the greeting
		return nil, fmt.Errorf("no greeting from QEMU: %v", i.r.Err())
	}
	return i, i.execute("qmp_capabilities")
}

func (i *injector) inject() error { return i.execute("inject-nmi") }

func (i *injector) execute(command string) error {
	if _, err := fmt.Fprintf(i.conn, "{\"execute\": %q}\n", command); err != nil {
		return err
	}
	for i.r.Scan() {
		var answer struct {
			Return, Error json.RawMessage
		}
		if err := json.Unmarshal(i.r.Bytes(), &answer); err != nil {
			return err
		}
		switch {
		case answer.Error != nil:
			return fmt.Errorf("QEMU: %s: %s", command, answer.Error)
		case answer.Return != nil:
			return nil
		} // else an event
	}
	return fmt.Errorf("QEMU: %s: no answer: %v", command, i.r.Err())
}
