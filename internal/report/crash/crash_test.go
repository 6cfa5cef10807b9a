package crash

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// build compiles testdata/crash.c in a directory of its own. It needs a C compiler, as every use of ukl does.
func build(t *testing.T, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("testdata/crash.c")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "crash.c"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(flags, func(f string) bool { return strings.HasSuffix(f, "pie") }) {
		flags = append(flags, "-static", "-no-pie", "-fno-pie")
	}
	args := append([]string{"-fno-stack-protector", "-w", "-o", "crash", "crash.c"}, flags...)
	cmd := exec.Command("gcc", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return filepath.Join(dir, "crash")
}

// crashed runs the program, which reports its crash, and looks at that.
func crashed(t *testing.T, file, what string, signal int, lines ...string) *Trace {
	t.Helper()
	out, err := exec.Command(file, append([]string{what}, lines...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", what, err, out)
	}
	r, ok := Parse(string(out), signal)
	if !ok {
		t.Fatalf("%s: no report of signal %d in\n%s", what, signal, out)
	}
	p, err := Open(file, "testdata/System.map")
	if err != nil {
		t.Fatal(err)
	}
	return p.Look(r, AppFile, nil)
}

// line is where a comment stands in the source.
func line(t *testing.T, comment string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/crash.c")
	if err != nil {
		t.Fatal(err)
	}
	before, _, ok := strings.Cut(string(text), "// "+comment+"\n")
	if !ok {
		t.Fatalf("no %s in crash.c", comment)
	}
	return fmt.Sprintf("crash.c:%d", 1+strings.Count(before, "\n"))
}

// chain is the names of the frames.
func chain(t *Trace) string {
	var names []string
	for _, f := range t.Frames {
		switch {
		case f.Signal:
			names = append(names, "SIGNAL")
		case f.Nowhere:
			names = append(names, fmt.Sprintf("%#x", f.Address))
		default:
			names = append(names, f.Function)
		}
	}
	return strings.Join(names, " ")
}

// startup are libc's functions below main.
const startup = " main __libc_start_call_main __libc_start_main _start"

// compilations are ways to compile that leave different ways to unwind.
func compilations() []string {
	return []string{
		"-O0 -g", "-O2 -g", "-O2 -g -fomit-frame-pointer", "-O1 -g -gdwarf-4 -fno-omit-frame-pointer", "-Os -g -mno-red-zone",
		"-O2 -g -fno-asynchronous-unwind-tables -fno-dwarf2-cfi-asm -fno-omit-frame-pointer -fno-optimize-sibling-calls",
	}
}

func TestChains(t *testing.T) {
	for _, flags := range compilations() {
		t.Run(flags, func(t *testing.T) {
			file := build(t, strings.Fields(flags)...)
			for _, c := range []struct {
				what   string
				signal int
				begin  string
				cause  string
				end    string
			}{
				{"null", 11, "store crash_here handle" + startup, "SIGSEGV (invalid address 0x0, nothing is mapped there)", ""},
				{
					"divide", 8, "crash_here handle" + startup,
					"SIGFPE (division of an integer by zero, or a quotient that does not fit)", "",
				},
				{"illegal", 4, "crash_here handle" + startup, "SIGILL (illegal instruction)", ""},
				{"call", 11, "0x0 crash_here handle" + startup, "SIGSEGV (invalid address 0x0, nothing is mapped there)", ""},
				{
					"kernel", 11, "kernel: some_function crash_here handle" + startup,
					"SIGSEGV (invalid access to address 0xffffffff81000010, whose mapping does not permit it)", "",
				},
				{"smash", 11, "smash", "SIGSEGV (general protection", "there is no code at the return address 0x4141414141414141"},
			} {
				got := crashed(t, file, c.what, c.signal)
				if s := chain(got); s != c.begin {
					t.Errorf("%s: frames %q; want %q", c.what, s, c.begin)
				}
				// The host says "nothing is mapped" for the kernel's half, the guest that it may not be used.
				if s := got.Cause(); !strings.HasPrefix(s, c.cause) && c.what != "kernel" {
					t.Errorf("%s: %s; want %s", c.what, s, c.cause)
				}
				if c.what == "smash" && strings.Contains(flags, "-fno-async") {
					c.end = endNothing // no table, no frame pointer
				}
				if (got.End == "") != (c.end == "") || !strings.Contains(got.End, c.end) {
					t.Errorf("%s: it ends with %q; want %q", c.what, got.End, c.end)
				}
			}
		})
	}
}

// The innermost function of a stack that is full has its frame on a page that is not there, or finds that page with its
// next call.
func TestFullStack(t *testing.T) {
	for _, flags := range compilations() {
		file := build(t, strings.Fields(flags)...)
		for what, name := range map[string]string{"overflow": "deeper", "calls": "calls"} {
			got := crashed(t, file, what, 11, "64") // the kernel's report has as many lines
			for _, f := range got.Frames {
				if f.Function != name {
					t.Errorf("%s %s: frames %q", flags, what, chain(got))
					break
				}
			}
			if !strings.HasPrefix(got.Cause(), "SIGSEGV (invalid address") || !strings.Contains(got.End, "endless recursion") {
				t.Errorf("%s %s: %s, %s", flags, what, got.Cause(), got.End)
			}
			if what == "calls" {
				lines := got.Lines()
				if len(got.Frames) != 1+64*8 || len(lines) != 5 ||
					lines[3] != fmt.Sprintf("      the same %d times more", len(got.Frames)-2) {
					t.Errorf("%s %s: %d frames as %q", flags, what, len(got.Frames), lines)
				}
			}
		}
	}
}

func TestLines(t *testing.T) {
	file := build(t, "-O2", "-g")
	got := strings.Join(crashed(t, file, "null", 11).Lines(), "\n")
	for _, want := range []string{
		"the application was killed by SIGSEGV (invalid address 0x0, nothing is mapped there)\n",
		"\n  #0  store                    " + line(t, "STORE") + "\n",
		"\n  #1  crash_here               " + line(t, "INLINED") + "\n",
		"\n  #2  handle                   " + line(t, "HANDLE") + "\n",
		"\n  #3  main                     " + line(t, "MAIN") + "\n",
		"\n  #4  __libc_start_call_main+0x",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "backtrace ends") {
		t.Errorf("a whole trace with an end:\n%s", got)
	}
}

func TestAbort(t *testing.T) {
	got := crashed(t, build(t, "-O2", "-g"), "abort", 6)
	if s := chain(got); !strings.HasSuffix(s, " abort crash_here handle"+startup) {
		t.Errorf("frames %q", s)
	}
	if s := got.Cause(); s != "SIGABRT (the application called abort(), or an assertion failed)" {
		t.Error(s)
	}
	if s := strings.Join(got.Lines(), "\n"); !strings.Contains(s, line(t, "ABORT")) {
		t.Errorf("no %s in\n%s", line(t, "ABORT"), s)
	}
}

// A crash in a handler: the frame that the kernel made is left by the tables of libc's trampoline. What the processor
// saves for a handler may be more than a report holds of the stack; then the function that was interrupted is the last
// that can be told.
func TestHandler(t *testing.T) {
	const begin = "store crash_here on_usr1 SIGNAL "
	for _, flags := range []string{"-O0 -g", "-O2 -g -fomit-frame-pointer"} {
		file := build(t, strings.Fields(flags)...)
		got := crashed(t, file, "signal", 11)
		if s := chain(got); !strings.HasPrefix(s, begin) || got.Frames[4].Function == "" {
			t.Errorf("%s: frames %q; want %q and what was interrupted", flags, s, begin)
		}
		got = crashed(t, file, "signal", 11, "400")
		if s := chain(got); !strings.HasPrefix(s, begin) || !strings.HasSuffix(s, " raise crash_here handle"+startup) ||
			got.End != "" {
			t.Errorf("%s: frames %q, %s", flags, s, got.End)
		}
	}
}

// A position-independent program is somewhere else each time. The report says where.
func TestMoving(t *testing.T) {
	file := build(t, "-static-pie", "-fPIE", "-O2", "-g")
	for what, want := range map[string]string{
		"null": "store crash_here handle" + startup,
		"call": "0x0 crash_here handle" + startup,
	} {
		got := crashed(t, file, what, 11)
		if s := chain(got); s != want || got.End != "" {
			t.Errorf("%s: frames %q, %s; want %q", what, s, got.End, want)
		}
	}
	got := crashed(t, file, "signal", 11)
	if s := chain(got); !strings.HasPrefix(s, "store crash_here on_usr1 SIGNAL ") {
		t.Errorf("signal: frames %q, %s", s, got.End)
	}
	t.Setenv("NOMAPS", "1")
	got = crashed(t, file, "null", 11)
	if len(got.Frames) != 1 || !strings.Contains(got.End, "position-independent") {
		t.Errorf("without its place: %q", got.Lines())
	}
}

// The functions of libraries are in a backtrace as far as their files are there.
func TestLibraries(t *testing.T) {
	for _, how := range []string{"-no-pie -fno-pie", "-pie -fPIE"} {
		file := build(t, append(strings.Fields(how), "-O2", "-g", "-rdynamic")...)
		out, err := exec.Command(file, "abort").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		r, ok := Parse(string(out), 6)
		if !ok {
			t.Fatalf("no report in\n%s", out)
		}
		p, err := Open(file, "")
		if err != nil {
			t.Fatal(err)
		}
		got := p.Look(r, AppFile, func(file string) *Program {
			library, err := Open(file, "")
			if err != nil {
				t.Error(err)
			}
			return library
		})
		if s := chain(got); !strings.Contains(s, " abort crash_here handle main ") || got.End != "" {
			t.Errorf("%s: frames %q, %s", how, s, got.End)
		}
		if s := strings.Join(got.Lines(), "\n"); !strings.Contains(s, "libc.so.6\n") {
			t.Errorf("%s: no library is named: %s", how, s)
		}
		got = p.Look(r, AppFile, nil)
		if len(got.Frames) != 1 || got.Frames[0].Module != "libc.so.6" || got.End == "" {
			t.Errorf("%s: without the libraries' files: %q", how, got.Lines())
		}
	}
}

// Without debugging information the symbols name functions, without symbols the addresses are all that is left.
func TestStripped(t *testing.T) {
	got := crashed(t, build(t, "-O2", "-Wl,--strip-debug"), "null", 11)
	if s := chain(got); s != "crash_here handle"+startup {
		t.Errorf("frames %q", s)
	}
	if s := got.Frames[0].String(); !strings.HasPrefix(s, "crash_here+0x") {
		t.Error(s)
	}
	got = crashed(t, build(t, "-O2", "-s"), "null", 11)
	if s := got.Frames[0].String(); len(got.Frames) != 6 || s != fmt.Sprintf("%#x", got.regs[rip]) {
		t.Errorf("%q", got.Lines())
	}
	got = (*Program)(nil).Look(got.Report, AppFile, nil)
	if s := strings.Join(got.Lines(), "\n"); !strings.Contains(s, "no file with the application's symbols") {
		t.Error(s)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, file := range []string{"testdata/crash.c", "nothere"} {
		if _, err := Open(file, ""); err == nil {
			t.Errorf("Open(%s) took it", file)
		}
	}
}

// A broken program is an error or a shorter backtrace. The seed is a whole small one; what is fuzzed is written over
// it.
func FuzzOpen(f *testing.F) {
	f.Add(uint16(0x28), []byte{0xff, 0xff, 0xff}, uint64(0x401000))
	f.Add(uint16(0x40), []byte{0}, uint64(0))
	small := tiny()
	file := filepath.Join(f.TempDir(), "tiny")
	if err := os.WriteFile(file, small, 0o644); err != nil {
		f.Fatal(err)
	}
	if p, err := Open(file, ""); err != nil || len(p.code) != 1 || len(p.table) != 1 || len(p.symbols) != 1 {
		f.Fatalf("the seed is no program: %+v, %v", p, err)
	}
	f.Fuzz(func(t *testing.T, at uint16, over []byte, ip uint64) {
		b := slices.Clone(small)
		copy(b[int(at)%len(b):], over)
		file := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := Open(file, file)
		if err != nil {
			return
		}
		r := &Report{stack: b[:len(b)&^7]}
		r.regs[rsp], r.regs[rip] = 0x7ff000, ip
		if lines := p.Look(r, AppFile, nil).Lines(); len(lines) < 2 {
			t.Errorf("%q", lines)
		}
	})
}

// tiny is a program with a function, its symbol and its entry for unwinding.
func tiny() []byte {
	const base = 0x401000
	code, frames := []byte{0x90, 0x90, 0xe8, 0, 0, 0, 0, 0xc3}, trampoline()
	names, sections := "\x00f\x00", "\x00.text\x00.eh_frame\x00.symtab\x00.strtab\x00.shstrtab\x00"
	var b []byte
	put := func(list ...any) {
		for _, v := range list {
			b, _ = binary.Append(b, binary.LittleEndian, v)
		}
	}
	symbols := make([]byte, 48)
	copy(symbols[24:], []byte{1, 0, 0, 0, 0x12, 0, 1, 0})
	binary.LittleEndian.PutUint64(symbols[32:], base)
	binary.LittleEndian.PutUint64(symbols[40:], uint64(len(code)))
	parts := [][]byte{code, frames, symbols, []byte(names), []byte(sections)}
	var offsets []uint64
	at := uint64(64 + 56)
	for _, p := range parts {
		offsets = append(offsets, at)
		at += uint64(len(p))
	}
	put([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9), uint16(elf.ET_EXEC), uint16(elf.EM_X86_64), uint32(1),
		uint64(base), uint64(64), at, uint32(0),
		uint16(64), uint16(56), uint16(1), uint16(64), uint16(6), uint16(5))
	put(uint32(elf.PT_LOAD), uint32(5), offsets[0], uint64(base), uint64(base), uint64(len(code)), uint64(len(code)),
		uint64(1))
	for _, p := range parts {
		put(p)
	}
	put(make([]byte, 64))
	for i, s := range []struct {
		name        string
		kind        elf.SectionType
		flags, addr uint64
		link, info  uint32
		each        uint64
	}{
		{".text", elf.SHT_PROGBITS, 6, base, 0, 0, 0},
		{".eh_frame", elf.SHT_PROGBITS, 2, 0x400000, 0, 0, 0},
		{".symtab", elf.SHT_SYMTAB, 0, 0, 4, 1, 24},
		{".strtab", elf.SHT_STRTAB, 0, 0, 0, 0, 0},
		{".shstrtab", elf.SHT_STRTAB, 0, 0, 0, 0, 0},
	} {
		put(uint32(strings.Index(sections, s.name+"\x00")), uint32(s.kind), s.flags, s.addr, offsets[i],
			uint64(len(parts[i])), s.link, s.info, uint64(1), s.each)
	}
	return b
}
