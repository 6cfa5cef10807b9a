package profile

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// compiled is a program of the source, made by this machine's gcc. Later options win.
func compiled(t *testing.T, source string, options ...string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("there is no gcc here")
	}
	dir := t.TempDir()
	c, program := filepath.Join(dir, "main.c"), filepath.Join(dir, "main")
	if err := os.WriteFile(c, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	args := slices.Concat([]string{"-O1", "-nostdlib", "-no-pie", "-fno-pie", "-o", program, c}, options)
	if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

const source = `
__attribute__((noinline, used)) static int hidden(int n) { return n + __builtin_ctz(n); }
__attribute__((noinline)) int helper(int n) { return hidden(n) * 2; }
__attribute__((noinline)) int malloc_of_mine(int n) { return helper(n); }
void _start(void) { for (volatile int i = 1;; i++) malloc_of_mine(i); }
`

// kernelSource is no kernel, but has functions of its names in the upper half.
const kernelSource = `
__asm__(".globl __entry_text_start, __entry_text_end, asm_exc_page_fault, irq_entries_start\n"
	"__entry_text_start:\n"
	"asm_exc_page_fault: nop; iretq\n .type asm_exc_page_fault, @function\n .size asm_exc_page_fault, . - asm_exc_page_fault\n"
	"irq_entries_start: nop; nop; jmp asm_exc_page_fault\n .size irq_entries_start, . - irq_entries_start\n"
	"inside: nop\n"
	"__entry_text_end: nop\n");
void do_idle(void) { }
void ret_from_fork(void) { }
void _start(void) { }
`

func functions(t *testing.T, libc string) *Functions {
	t.Helper()
	kernel := compiled(t, kernelSource, "-mcmodel=kernel", "-Wl,-Ttext=0xffffffff81000000")
	f, err := Read(kernel, compiled(t, source), libc)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRead(t *testing.T) {
	f := functions(t, "")
	var b bytes.Buffer
	if _, err := f.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	flags := map[string]int{}
	last := uint64(0)
	for _, s := range f.spans {
		if s.start < last || s.end <= s.start {
			t.Errorf("%s: %#x to %#x, behind %#x", s.name, s.start, s.end, last)
		}
		last = s.end
		flags[s.name] = s.flags
		if want := map[bool]Part{true: Kernel, false: Application}[s.start >= upper]; f.all[s.number].Part != want {
			t.Errorf("%s is of the %s", s.name, f.all[s.number].Part)
		}
	}
	for name, want := range map[string]int{
		"asm_exc_page_fault": entry | leaves | fault, "irq_entries_start": entry | leaves | table, "ret_from_fork": first,
		"helper": 0,
	} {
		if got, ok := flags[name]; !ok || got != want {
			t.Errorf("%s: flags %d, %t; want %d", name, got, ok, want)
		}
	}
	if lines := strings.Count(b.String(), "\n"); lines != len(f.spans) {
		t.Errorf("%d lines of %d functions", lines, len(f.spans))
	}
	if at, err := f.Address("helper"); err != nil || at >= upper || at == 0 {
		t.Errorf("helper: %#x, %v", at, err)
	}
	var none *NoFunction
	if _, err := f.Address("helpr"); !errors.As(err, &none) || none.Nearest != "helper" {
		t.Errorf("helpr: %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	program := compiled(t, source)
	stripped := compiled(t, source, "-s")
	if _, err := Read(program, stripped, ""); !errors.Is(err, ErrNoSymbols) {
		t.Errorf("a stripped program: %v", err)
	}
	moving := compiled(t, source, "-static-pie", "-fPIE")
	if _, err := Read(program, moving, ""); !errors.Is(err, ErrMoves) {
		t.Errorf("a position-independent program: %v", err)
	}
	if _, err := Read(program, filepath.Join(t.TempDir(), "none"), ""); !os.IsNotExist(err) {
		t.Errorf("no program: %v", err)
	}
}

// TestLibc has an archive in which there is main.o with helper() and hidden().
func TestLibc(t *testing.T) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("there is no gcc here")
	}
	dir := t.TempDir()
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for name, text := range map[string]string{
		"main.c": source, "a_name_that_does_not_fit_into_a_header.c": "int unused_function(void) { return 1; }",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		run(gcc, "-c", name)
	}
	run("ar", "rcs", "libc.a", "main.o", "a_name_that_does_not_fit_into_a_header.o")
	run("ar", "rcs", "libm.a")
	n, err := archived(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !n.global["helper"] || !n.global["unused_function"] || n.global["hidden"] || !n.members["main"] ||
		!n.members["a_name_that_does_not_fit_into_a_header"] {
		t.Errorf("%v", n)
	}
	f := functions(t, dir)
	for _, fn := range f.all {
		if fn.Part == Application {
			t.Errorf("%s is none of libc's", fn.Name)
		}
	}
	for name, text := range map[string]string{
		"nothing": "", "no archive": "#!/bin/sh\n", "cut off": archiveMagic + "main.o/", "too large": archiveMagic +
			"main.o/         0           0     0     100644  9999      `\n",
		"a bad name":  archiveMagic + "/77             0           0     0     100644  0         `\n",
		"a bad index": archiveMagic + "/               0           0     0     0       4         `\n\x00\x00\x00\x09",
	} {
		if err := (names{map[string]bool{}, map[string]bool{}}).add([]byte(text)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

// counted is a run of known functions: the number of each is its place in the list.
func counted(t *testing.T, mode, text string) *Profile {
	t.Helper()
	f := &Functions{all: []Function{
		{"[unknown]", Unknown},
		{"[kernel]", Kernel},
		{"main", Application},
		{"printf", Libc},
		{"ring0_gate", Kernel},
		{"do_syscall_64", Kernel},
		{"sys_write", Kernel},
		{idleLoop, Kernel},
		{"asm_sysvec_timer", Kernel},
		{"entry_SYSCALL_64", Kernel},
	}, spans: []span{{number: 8, flags: entry}}}
	p, err := Parse(strings.NewReader(text), f, mode)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run is main, which calls itself and printf(), a system call, and idle time with an interrupt.
const run = `instructions 1110
calls 0
1 0 2 10
2 1 2 100
3 2 3 200
4 3 4 40
5 4 5 50
6 5 6 300
7 0 7 10
8 7 8 400
end
`

func TestParse(t *testing.T) {
	p := counted(t, "unikernel", run)
	for part, want := range map[Part]uint64{Application: 110, Libc: 200, Kernel: 790, Idle: 10, Unknown: 0} {
		if p.Parts[part] != want {
			t.Errorf("%s: %d instructions, want %d", part, p.Parts[part], want)
		}
	}
	if f := p.Functions[0]; f.Name != "asm_sysvec_timer" || f.Self != 400 || f.Total != 400 {
		t.Errorf("first: %v", f)
	}
	for _, f := range p.Functions {
		if f.Name == "main" && (f.Self != 110 || f.Total != 700) { // once, though it calls itself
			t.Errorf("main: %v", f)
		}
	}
	var b bytes.Buffer
	if err := p.Folded(&b); err != nil {
		t.Fatal(err)
	}
	if want := "do_idle;asm_sysvec_timer 400\n"; !strings.Contains(b.String(), want) {
		t.Errorf("%q is not in\n%s", want, b.String())
	}
	if want := "main;main;printf;ring0_gate;do_syscall_64;sys_write 300\n"; !strings.Contains(b.String(), want) {
		t.Errorf("%q is not in\n%s", want, b.String())
	}
}

func TestParseRefuses(t *testing.T) {
	f := &Functions{all: []Function{{"[unknown]", Unknown}, {"[kernel]", Kernel}}}
	for name, text := range map[string]string{
		"no end":                  "instructions 1\ncalls 0\n",
		"a node that is not next": "2 0 0 1\nend\n",
		"a parent behind":         "1 1 0 1\nend\n",
		"no such function":        "1 0 2 1\nend\n",
		"words":                   "a b c d e\nend\n",
	} {
		if _, err := Parse(strings.NewReader(text), f, "unikernel"); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

func TestReport(t *testing.T) {
	bypass := strings.NewReplacer("calls 0", "calls 10", "4 3 4 40\n", "4 3 9 90\n").Replace(run)
	for name, c := range map[string]struct {
		r    Report
		want []string
		draw []string
	}{
		"one run": {
			Report{Application: "a<b", CPU: "max", Profiles: []*Profile{counted(t, "unikernel", run)}},
			[]string{"a<b: instructions, under", "  400  36.0%    400  36.0%       kernel  asm_sysvec_timer"},
			[]string{"a&lt;b", "<title>main (application): 700 instructions, 63.1%</title>", colours[Idle]},
		},
		"two": {
			Report{Application: "a", CPU: "max", Per: "f", Profiles: []*Profile{
				counted(t, "process", bypass), counted(t, "unikernel", strings.Replace(run, "calls 0", "calls 10", 1)),
			}},
			[]string{
				"a: instructions for each call of f, of 10 and 10 calls", "  process  unikernel  difference    part  function",
				"9          0          +9  kernel  entry_SYSCALL_64", "0          4          -4  kernel  ring0_gate",
			},
			// the entry is another one, and what is called by it the same
			[]string{
				"<title>entry_SYSCALL_64 (kernel): 44 instructions, 39.6%; 39 in mode unikernel</title>",
				"<title>sys_write (kernel): 30 instructions, 27.0%; 30 in mode unikernel</title>",
			},
		},
	} {
		var table, svg bytes.Buffer
		if err := errors.Join(c.r.Table(&table, 25), c.r.SVG(&svg)); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(table.String(), want) {
				t.Errorf("%s: %q is not in\n%s", name, want, table.String())
			}
		}
		for _, want := range c.draw {
			if !strings.Contains(svg.String(), want) {
				t.Errorf("%s: %q is not in\n%s", name, want, svg.String())
			}
		}
		for d := xml.NewDecoder(&svg); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}
