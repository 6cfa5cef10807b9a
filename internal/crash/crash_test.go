package crash

import (
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
	if !slices.Contains(flags, "-static-pie") {
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
	return p.Look(r)
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

func TestChains(t *testing.T) {
	for _, flags := range []string{
		"-O0 -g", "-O2 -g", "-O2 -g -fomit-frame-pointer", "-O1 -g -gdwarf-4 -fno-omit-frame-pointer", "-Os -g -mno-red-zone",
		"-O2 -g -fno-asynchronous-unwind-tables -fno-dwarf2-cfi-asm -fno-omit-frame-pointer -fno-optimize-sibling-calls",
	} {
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
				{"divide", 8, "crash_here handle" + startup, "SIGFPE (division of an integer by zero, or a quotient that does not fit)", ""},
				{"illegal", 4, "crash_here handle" + startup, "SIGILL (illegal instruction)", ""},
				{"call", 11, "0x0 crash_here handle" + startup, "SIGSEGV (invalid address 0x0, nothing is mapped there)", ""},
				{"kernel", 11, "kernel: some_function crash_here handle" + startup, "SIGSEGV (invalid access to address 0xffffffff81000010: what is mapped there may not be used so)", ""},
				{"overflow", 11, "deeper", "SIGSEGV (invalid address", "endless recursion"},
				{"smash", 11, "smash", "SIGSEGV (general protection", "the return address 0x4141414141414141 is no code"},
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

// A crash in a handler: the frame that the kernel made is left by the tables of libc's trampoline. What the processor saves for a
// handler may be more than a report holds of the stack; then the function that was interrupted is the last that can be told.
func TestHandler(t *testing.T) {
	const begin = "store crash_here on_usr1 SIGNAL "
	for _, flags := range []string{"-O0 -g", "-O2 -g -fomit-frame-pointer"} {
		file := build(t, strings.Fields(flags)...)
		got := crashed(t, file, "signal", 11)
		if s := chain(got); !strings.HasPrefix(s, begin) || got.Frames[4].Function == "" {
			t.Errorf("%s: frames %q; want %q and what was interrupted", flags, s, begin)
		}
		got = crashed(t, file, "signal", 11, "400")
		if s := chain(got); !strings.HasPrefix(s, begin) || !strings.HasSuffix(s, " raise crash_here handle"+startup) || got.End != "" {
			t.Errorf("%s: frames %q, %s", flags, s, got.End)
		}
	}
}

// A position-independent program is somewhere else each time.
func TestMoving(t *testing.T) {
	file := build(t, "-static-pie", "-fPIE", "-O2", "-g")
	for range 10 {
		for what, want := range map[string]string{"null": "store crash_here handle" + startup, "call": "0x0 crash_here handle" + startup} {
			got := crashed(t, file, what, 11)
			if s := chain(got); s != want || got.End != "" {
				t.Errorf("%s: frames %q, %s; want %q", what, s, got.End, want)
			}
		}
	}
	got := crashed(t, file, "signal", 11)
	if s := chain(got); !strings.HasPrefix(s, "store crash_here on_usr1 SIGNAL ") {
		t.Errorf("signal: frames %q, %s", s, got.End)
	}
	for range 100 { // where the stack begins is random: now and then its pointer is still on a page that is there
		got = crashed(t, file, "overflow", 11)
		if _, there := got.word(got.regs[rsp]); !there {
			break
		}
	}
	if len(got.Frames) != 1 || !strings.Contains(got.End, "position-independent") {
		t.Errorf("without a stack: %q", got.Lines())
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
	got = (*Program)(nil).Look(got.Report)
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
