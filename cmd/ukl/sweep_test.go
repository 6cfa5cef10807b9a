package main

import (
	"bufio"
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

// sweep KIND SYSTEM.MAP FUNCTION[-BYTES] COUNT COMMAND... runs COMMAND, which must start a guest that waits for gdb at
// $GDB and takes QMP at the socket $QMP. When the application has started and the guest comes to the kernel's FUNCTION,
// or to as many BYTES before it, something hits it there and at each of the next COUNT instructions, so that no window
// between two of them is left out:
//
//	nmi            an NMI that takes a page fault, as one whose handler touches what is absent
//	trap           #DB of a single step
//	machine-check  #MC, by QEMU's command mce; the kernel must have CONFIG_X86_MCE, the processor be one of Intel's
//	breakpoint     #BP
//
// The application must end with code 0, and have seen as many NMIs (`NMIs: N' on its stdout).
func sweep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 5 {
		ts.Fatalf("usage: sweep KIND SYSTEM.MAP FUNCTION[-BYTES] COUNT COMMAND...")
	}
	hit, ok := map[string]func(*swept) (bool, error){
		"nmi": hitByNMI, "trap": hitByTrap, "machine-check": hitByMachineCheck, "breakpoint": hitByBreakpoint,
	}[args[0]]
	if !ok {
		ts.Fatalf("nothing of the kind %s", args[0])
	}
	symbols, err := systemmap.Addresses(ts.MkAbs(args[1]))
	ts.Check(err)
	count, err := strconv.Atoi(args[3])
	ts.Check(err)
	function, before, given := strings.Cut(args[2], "-")
	entry, ok := symbols[function]
	if !ok {
		ts.Fatalf("the kernel has no function %s", function)
	}
	if given {
		bytes, err := strconv.ParseUint(before, 10, 64)
		ts.Check(err)
		entry -= bytes
	}

	cmd, out, stderr := command(ts, args[4:])
	stop := time.AfterFunc(10*patience, func() { cmd.Process.Kill() })
	defer stop.Stop()
	var stdout strings.Builder
	ended := make(chan error, 1)
	go func() {
		_, _ = out.WriteTo(&stdout)
		ended <- cmd.Wait()
	}()
	s := swept{symbols: symbols}
	if err := s.over(ts.Getenv("GDB"), ts.Getenv("QMP"), entry, count, hit); err != nil {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
		ts.Fatalf("%v, after %d hits at %d instructions\n%s%s", err, s.hits, s.places, &stdout, stderr)
	}
	if err := <-ended; code(err) != 0 {
		ts.Fatalf("exit code %d, not 0, after %d hits\n%s%s", code(err), s.hits, &stdout, stderr)
	}
	ts.Logf("%s: %d hits (%s) between %d instructions; %d of them kernel code on the process's stack",
		args[2], s.hits, args[0], s.places, s.gaps)
	if s.hits < count || s.gaps == 0 && strings.Contains(args[2], "ring0") {
		ts.Fatalf("that is too few")
	}
	if args[0] == "nmi" {
		m := regexp.MustCompile(`(?m)^NMIs: (\d+)$`).FindStringSubmatch(stdout.String())
		if m == nil {
			ts.Fatalf("the application did not say how many NMIs there were:\n%s", &stdout)
		}
		if seen, _ := strconv.Atoi(m[1]); seen < count {
			ts.Fatalf("the application has seen %d NMIs only", seen)
		}
	}
}

// swept is a guest, and what a sweep over it has met.
type swept struct {
	g       *gdbstub.Conn
	nmi     *injector
	symbols map[string]uint64
	here    gdbstub.Registers // where it stands

	hits   int
	places int // different instructions
	gaps   int // of these, kernel code with RSP in the process's half
}

// over lets the guest come to entry, and hit be called there and for each of the instructions that follow. hit executes
// one instruction, and tells whether that was hit.
func (s *swept) over(gdb, qmp string, entry uint64, count int, hit func(*swept) (bool, error)) (err error) {
	if s.g, err = dialed(func() (*gdbstub.Conn, error) { return gdbstub.Dial(gdb) }); err != nil {
		return err
	}
	defer s.g.Close()
	if s.nmi, err = dialed(func() (*injector, error) { return dialInjector(qmp) }); err != nil {
		return err
	}
	defer s.nmi.conn.Close()

	// The application's first system call, then the function, as often as it takes libc to start.
	if err := s.g.Until(s.symbols["ring0_gate"], s.symbols["ring0_bypass"]); err != nil {
		return err
	}
	for range starting {
		if err := s.g.Step(); err != nil {
			return err
		}
		if err := s.g.Until(entry); err != nil {
			return err
		}
	}
	places := map[uint64]bool{}
	for s.hits < count {
		if s.here, err = s.g.Registers(); err != nil {
			return err
		}
		if pc := s.here.Get(gdbstub.RIP); !places[pc] {
			places[pc] = true
			s.places++
			if pc>>63 != 0 && s.here.Get(gdbstub.RSP)>>63 == 0 {
				s.gaps++
			}
		}
		done, err := hit(s)
		if err != nil {
			return fmt.Errorf("at %#x: %w", s.here.Get(gdbstub.RIP), err)
		}
		if done {
			s.hits++
		}
	}
	return s.g.Detach()
}

// hitByBreakpoint executes a breakpoint in place of the next instruction, then the instruction. The handler of #BP must
// be reached: before it, the kernel looks whose stack that was. The process's own code is left out, whose page may be
// absent, and code between __noinstr_text_start and _end and that of the entries, where the kernel permits no
// breakpoint: GS may be the process's. An exception may lead there.
func hitByBreakpoint(s *swept) (bool, error) {
	pc, handler := s.here.Get(gdbstub.RIP), s.symbols["exc_int3"]
	within := func(section string) bool {
		return pc >= s.symbols["__"+section+"_text_start"] && pc < s.symbols["__"+section+"_text_end"]
	}
	if pc>>63 == 0 || within("noinstr") || within("entry") {
		return false, s.g.Step()
	}
	instruction, err := s.g.Read(pc, 1)
	if err != nil {
		return false, err
	}
	if err := s.g.Write(pc, []byte{0xcc}); err != nil {
		return false, err
	}
	// An interrupt would come first, and its handler may come by here.
	quiet := s.here.Clone()
	quiet.SetFlags(quiet.Flags() &^ interruptFlag)
	if err := s.g.SetRegisters(quiet); err != nil {
		return false, err
	}
	at, err := registersAt(s.g, handler, s.symbols["panic"])
	if err != nil {
		return false, err
	}
	if at.Get(gdbstub.RIP) != handler {
		return false, fmt.Errorf("a breakpoint ends in panic()")
	}
	if err := s.g.Write(pc, instruction); err != nil {
		return false, err
	}
	if err := s.g.SetRegisters(s.here); err != nil {
		return false, err
	}
	return true, s.g.Step()
}

// starting is how many system calls a program makes before main(), and more.
const starting = 40

// Flags of the processor.
const (
	trapFlag      = 1 << 8
	interruptFlag = 1 << 9
)

// hitByTrap executes the next instruction with TF, and then #DB. With interrupts off, or on a stack of the kernel, the
// handler must be that of kernel code, which changes nothing but registers of its own: not even a signal may be
// delivered there. The handler itself is left out; the guest must go on with the same registers.
func hitByTrap(s *swept) (bool, error) {
	pc := s.here.Get(gdbstub.RIP)
	code, err := s.g.Read(pc, 3)
	switch {
	case err != nil && pc>>63 == 0: // an absent page of the process
		return false, s.g.Step()
	case err != nil:
		return false, err
	}
	for _, loadsFlags := range []string{"\x48\xcf", "\x48\x0f\x07", "\x0f\x05"} { // iretq, sysretq, syscall
		if strings.HasPrefix(string(code), loadsFlags) {
			return false, s.g.Step()
		}
	}
	stepped := s.here.Clone()
	stepped.SetFlags(stepped.Flags() | trapFlag)
	if err := s.g.SetRegisters(stepped); err != nil {
		return false, err
	}
	at, err := registersAt(s.g, s.symbols["exc_debug"], s.symbols["noist_exc_debug"])
	if err != nil {
		return false, err
	}
	found, err := s.found(at, "exc_debug")
	if err != nil {
		return false, err
	}
	flags := binary.LittleEndian.AppendUint64(nil, found.at(savedFlags)&^trapFlag)
	if err := s.g.Write(at.Get(gdbstub.RDI)+8*savedFlags, flags); err != nil {
		return false, err
	}
	caller, err := s.g.Read(at.Get(gdbstub.RSP), 8)
	if err != nil {
		return false, err
	}
	at.Set(gdbstub.RIP, binary.LittleEndian.Uint64(caller))
	at.Set(gdbstub.RSP, at.Get(gdbstub.RSP)+8)
	if err := s.g.SetRegisters(at); err != nil {
		return false, err
	}
	return true, s.backTo(found)
}

// A machine check that asks for nothing: an error that scrubbing has found, with no address. Valid, uncorrected,
// enabled, signalled; the processor can go on (RIPV). Intel's manual, volume 3B, 15.3 and 15.9.3.
const (
	scrubbed       = 0xb1<<56 | 0xc0
	goesOn         = 1<<0 | 1<<2 // of IA32_MCG_STATUS: RIPV, MCIP
	bankOfTheError = 3
)

// hitByMachineCheck injects #MC, whose handler is run to its end, then lets the guest execute an instruction. As with
// #DB, kernel code that has interrupts off or a stack of the kernel must not be taken for the process.
func hitByMachineCheck(s *swept) (bool, error) {
	if err := s.nmi.machineCheck(bankOfTheError, scrubbed, goesOn); err != nil {
		return false, err
	}
	pc, kernel, process := s.here.Get(gdbstub.RIP), s.symbols["exc_machine_check"], s.symbols["noist_exc_machine_check"]
	at, err := registersAt(s.g, kernel, process, pc)
	if err == nil && at.Get(gdbstub.RIP) == pc { // QEMU may take the breakpoint here first, as before an NMI
		at, err = registersAt(s.g, kernel, process, pc)
	}
	if err != nil {
		return false, err
	}
	found, err := s.found(at, "exc_machine_check")
	if err != nil {
		return false, err
	}
	if found.at(savedIP) != pc || found.at(savedSP) != s.here.Get(gdbstub.RSP) {
		return false, fmt.Errorf("#MC found %#x with rsp %#x", found.at(savedIP), found.at(savedSP))
	}
	if err := s.backTo(found); err != nil {
		return false, err
	}
	return true, s.g.Step()
}

// ptRegs is struct pt_regs of the kernel, as an exception found the processor.
type ptRegs []byte

// Places in a ptRegs.
const savedIP, savedCS, savedFlags, savedSP = 16, 17, 18, 19

func (p ptRegs) at(n int) uint64 { return binary.LittleEndian.Uint64(p[8*n:]) }

// found is what an exception found. The guest stands at the handler that has the name for kernel code, or at its twin
// for the process. Code with interrupts off, or on a stack of the kernel, must be kernel code for the entry.
func (s *swept) found(at gdbstub.Registers, handler string) (ptRegs, error) {
	frame, err := s.g.Read(at.Get(gdbstub.RDI), 8*21)
	if err != nil {
		return nil, err
	}
	p := ptRegs(frame)
	kernel := p.at(savedCS)&3 == 0 && (p.at(savedSP)>>63 != 0 || p.at(savedFlags)&interruptFlag == 0)
	switch pc := at.Get(gdbstub.RIP); pc {
	case s.symbols[handler], s.symbols["noist_"+handler]:
		if is := pc == s.symbols[handler]; is != kernel {
			return nil, fmt.Errorf("%s found %#x with rsp %#x and flags %#x: taken for kernel code: %t", handler, p.at(savedIP),
				p.at(savedSP), p.at(savedFlags), is)
		}
		return p, nil
	default:
		return nil, fmt.Errorf("no %s: stopped at %#x", handler, pc)
	}
}

// backTo lets the guest come back to where an exception found it. Its registers must be as they were.
func (s *swept) backTo(p ptRegs) error {
	back, err := registersAt(s.g, p.at(savedIP))
	for err == nil && back.Get(gdbstub.RSP) != p.at(savedSP) {
		if err = s.g.Step(); err == nil {
			back, err = registersAt(s.g, p.at(savedIP))
		}
	}
	if err != nil {
		return err
	}
	for n, in := range map[int]int{
		gdbstub.RAX: 10, gdbstub.RBX: 5, gdbstub.RCX: 11, gdbstub.RDX: 12, gdbstub.RSI: 13, gdbstub.RDI: 14, gdbstub.RBP: 4,
		gdbstub.R8: 9, gdbstub.R9: 8, gdbstub.R10: 7, gdbstub.R11: 6, gdbstub.R12: 3, gdbstub.R13: 2, gdbstub.R14: 1,
		gdbstub.R15: 0,
	} {
		if back.Get(n) != p.at(in) {
			return fmt.Errorf("the exception changed register %d from %#x to %#x", n, p.at(in), back.Get(n))
		}
	}
	return nil
}

// hitByNMI injects an NMI, then lets the guest execute an instruction.
func hitByNMI(s *swept) (bool, error) {
	if err := faultingNMI(s.g, s.nmi, s.symbols, s.here); err != nil {
		return false, err
	}
	return true, s.g.Step()
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
	_, err = i.execute("qmp_capabilities", nil)
	return i, err
}

func (i *injector) inject() error {
	_, err := i.execute("inject-nmi", nil)
	return err
}

// machineCheck raises #MC on the first processor, with these values of the bank's status and of IA32_MCG_STATUS. Only
// QEMU's monitor for people can.
func (i *injector) machineCheck(bank int, status, global uint64) error {
	complaint, err := i.execute("human-monitor-command", map[string]any{
		"command-line": fmt.Sprintf("mce 0 %d %#x %#x 0 0", bank, status, global),
	})
	if err == nil && complaint != "" {
		return fmt.Errorf("QEMU: mce: %s", complaint)
	}
	return err
}

// execute returns the text that QEMU answers, if it is one.
func (i *injector) execute(command string, arguments map[string]any) (string, error) {
	if arguments == nil {
		arguments = map[string]any{} // QEMU takes no null
	}
	order, err := json.Marshal(map[string]any{"execute": command, "arguments": arguments})
	if err != nil {
		return "", err
	}
	if _, err := i.conn.Write(append(order, '\n')); err != nil {
		return "", err
	}
	for i.r.Scan() {
		var answer struct {
			Return, Error json.RawMessage
		}
		if err := json.Unmarshal(i.r.Bytes(), &answer); err != nil {
			return "", err
		}
		switch {
		case answer.Error != nil:
			return "", fmt.Errorf("QEMU: %s: %s", command, answer.Error)
		case answer.Return != nil:
			var text string
			_ = json.Unmarshal(answer.Return, &text) // most answer with an object
			return strings.TrimSpace(text), nil
		} // else an event
	}
	return "", fmt.Errorf("QEMU: %s: no answer: %v", command, i.r.Err())
}
