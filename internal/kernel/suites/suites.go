// Package suites compares what becomes of other projects' tests, as ordinary processes and in ring 0, case by case,
// with what was recorded of them. It neither builds nor runs them: its tests do. A case passes or does not; in which
// way it does not is recorded, but never compared.
package suites

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Modes in which a case can run, in the order of the table.
const (
	Process = "process" // ring 3, Debian's libc, the unpatched kernel
	Gate    = "gate"    // ring 0, either entry of the kernel
	Bypass  = "bypass"
)

// Modes are all of them.
func Modes() []string { return []string{Process, Gate, Bypass} }

// Verdicts that are not the runner's own (skip, timeout, exit-N, signal-N).
const (
	Pass   = "pass"
	Died   = "died" // the machine did
	NotRun = "-"
)

// Result is what became of one case in one mode.
type Result struct {
	Verdict string
	Millis  int
	Output  []string // the end of what it wrote, if it did not pass
}

// Log is what the runner (nixexprs/suites/runner.c) says.
type Log struct {
	Ended   map[string]Result
	Running []string // begun, not ended, in that order
	Ring    string   // ring0 or ring3
	Done    bool     // all have ended
}

// Parse reads the runner's output, or as much of it as there is: a machine may die in any line.
func Parse(r io.Reader) (*Log, error) {
	l := &Log{Ended: map[string]Result{}}
	last := "" // the case whose output may follow
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := in.Text()
		if text, ok := strings.CutPrefix(line, "| "); ok {
			if r, ended := l.Ended[last]; ended {
				r.Output = append(r.Output, text)
				l.Ended[last] = r
			}
			continue
		}
		f := strings.Fields(line)
		switch {
		case line == "done":
			l.Done = true
		case len(f) == 3 && f[0] == "runs":
			l.Ring = f[2]
		case len(f) == 2 && f[0] == "start":
			l.Running = append(l.Running, f[1])
		case len(f) == 4 && f[0] == "end":
			ms, err := strconv.Atoi(f[3])
			at := slices.Index(l.Running, f[1])
			if err != nil || at < 0 {
				return nil, fmt.Errorf("the runner says %q", line)
			}
			last = f[1]
			l.Running = slices.Delete(l.Running, at, at+1)
			l.Ended[last] = Result{Verdict: f[2], Millis: ms}
		}
	}
	return l, in.Err()
}

// Row is what is recorded of a case.
type Row struct {
	Case     string
	Verdicts map[string]string // by mode; what is missing was not run
	Reason   string            // why the modes differ, or why it does not end the same way each time; "" if they agree
}

// Verdict is what is recorded for a mode.
func (r Row) Verdict(mode string) string {
	if v := r.Verdicts[mode]; v != "" {
		return v
	}
	return NotRun
}

// Differs tells whether it passes as a process and not in a mode of ring 0 in which it was run, or the other way round.
func (r Row) Differs() bool {
	for _, mode := range Modes()[1:] {
		if v := r.Verdict(mode); v != NotRun && r.Verdict(Process) != NotRun && (v == Pass) != (r.Verdict(Process) == Pass) {
			return true
		}
	}
	return false
}

// Table is what is recorded of all cases, by name.
type Table map[string]Row

const header = "case\tprocess\tgate\tbypass\treason"

// ReadTable reads a table as Write writes it.
func ReadTable(name string, text []byte) (Table, error) {
	t := Table{}
	for n, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		f := strings.Split(line, "\t")
		if n == 0 {
			if line != header {
				return nil, fmt.Errorf("%s:1: want %q", name, header)
			}
			continue
		}
		if len(f) != 5 || f[0] == "" {
			return nil, fmt.Errorf("%s:%d: want five fields, separated by tabs", name, n+1)
		}
		if _, twice := t[f[0]]; twice {
			return nil, fmt.Errorf("%s:%d: %s is there twice", name, n+1, f[0])
		}
		row := Row{Case: f[0], Verdicts: map[string]string{}, Reason: f[4]}
		for i, mode := range Modes() {
			if f[i+1] != NotRun {
				row.Verdicts[mode] = f[i+1]
			}
		}
		t[f[0]] = row
	}
	return t, nil
}

// Rows are the table's rows, in the order of their names.
func (t Table) Rows() []Row {
	var rows []Row
	for _, name := range slices.Sorted(maps.Keys(t)) {
		rows = append(rows, t[name])
	}
	return rows
}

// Write is the table as text, a case a line.
func (t Table) Write() []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, header)
	for _, r := range t.Rows() {
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%s\n", r.Case, r.Verdict(Process), r.Verdict(Gate), r.Verdict(Bypass), r.Reason)
	}
	return b.Bytes()
}

// Compare tells what in the results of a mode is worse than recorded: a sentence a case. A row with a reason is known,
// and not held against anyone.
func (t Table) Compare(mode string, results map[string]Result) []string {
	var worse []string
	for _, name := range slices.Sorted(maps.Keys(results)) {
		row, known := t[name]
		got := results[name].Verdict
		switch {
		case !known:
			worse = append(worse, fmt.Sprintf("%s: not in the table", name))
		case row.Reason != "" || got == Pass:
		case row.Verdict(mode) == Pass:
			worse = append(worse, fmt.Sprintf("%s: %s in mode %s, recorded as passing", name, got, mode))
		case row.Verdict(Process) == Pass:
			worse = append(worse, fmt.Sprintf("%s: %s in mode %s, passes as a process, and no reason is recorded", name, got,
				mode))
		}
	}
	return worse
}

// Record puts the results of a mode into the table.
func (t Table) Record(mode string, results map[string]Result) {
	for name, result := range results {
		row, known := t[name]
		if !known {
			row = Row{Case: name, Verdicts: map[string]string{}}
		}
		row.Verdicts[mode] = result.Verdict
		t[name] = row
	}
}

// Directory is that of a case: its name without the last part.
func Directory(name string) string { return name[:strings.LastIndexByte(name, '/')] }

// Area is the part of POSIX that a case of the Open POSIX Test Suite is about. The suite's script run_tests has most of
// these; what belongs to two of them is of the first here.
func Area(name string) string {
	for _, area := range areas {
		for _, pattern := range area.interfaces {
			if match, _ := path.Match(pattern, strings.Split(name, "/")[1]); match {
				return "posix: " + area.name
			}
		}
	}
	return "posix: processes and files"
}

var areas = []struct {
	name       string
	interfaces []string
}{
	{"asynchronous I/O", []string{"aio_*", "lio_listio"}},
	{"memory", []string{"m*lock*", "m*map", "shm_*"}},
	{"message queues", []string{"mq_*"}},
	{"semaphores", []string{"sem_*"}},
	{"signals", []string{"sig*", "raise", "kill", "killpg", "pthread_kill", "pthread_sigmask"}},
	{"scheduling", []string{"*sched*"}},
	{"threads", []string{"pthread_*"}},
	{"timers and clocks", []string{"time*", "*time", "clock*", "nanosleep"}},
}

// Summary is a table of counts, a line for each group of cases, and one of the differences, in Markdown.
func (t Table) Summary(group func(name string) string) string {
	type count struct {
		cases, process int
		passed, ran    map[string]int // by mode, of those that pass as a process
	}
	bypasses := false
	counts := map[string]*count{}
	var dirs []string
	var b strings.Builder
	counts["all"] = &count{passed: map[string]int{}, ran: map[string]int{}}
	for _, r := range t.Rows() {
		for _, d := range []string{group(r.Case), "all"} {
			c := counts[d]
			if c == nil {
				c = &count{passed: map[string]int{}, ran: map[string]int{}}
				counts[d] = c
				dirs = append(dirs, d)
			}
			c.cases++
			bypasses = bypasses || r.Verdict(Bypass) != NotRun
			if r.Verdict(Process) != Pass {
				continue
			}
			c.process++
			for _, mode := range Modes()[1:] {
				switch r.Verdict(mode) {
				case Pass:
					c.passed[mode]++
					c.ran[mode]++
				case NotRun:
				default:
					c.ran[mode]++
				}
			}
		}
	}
	// What was not run is no failure.
	cell := func(c *count, mode string) string {
		switch c.ran[mode] {
		case c.process:
			return strconv.Itoa(c.passed[mode])
		case 0:
			return NotRun
		}
		return fmt.Sprintf("%d of %d", c.passed[mode], c.ran[mode])
	}
	// A suite whose programs make their system calls by themselves has no bypass.
	line := func(bypass string, before, after []string) {
		if bypasses {
			before = append(before, bypass)
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(append(before, after...), " | "))
	}
	line("bypass", []string{"directory", "cases", "pass as a process", "of these in ring 0, gate"}, nil)
	line("---", []string{"---", "---", "---", "---"}, nil)
	for _, d := range append(dirs, "all") {
		c := counts[d]
		line(cell(c, Bypass), []string{d, strconv.Itoa(c.cases), strconv.Itoa(c.process), cell(c, Gate)}, nil)
	}
	b.WriteByte('\n')
	differing := slices.DeleteFunc(t.Rows(), func(r Row) bool { return !r.Differs() && r.Reason == "" })
	if len(differing) == 0 {
		b.WriteString("No case differs.\n")
		return b.String()
	}
	line("bypass", []string{"case", "process", "gate"}, []string{"why"})
	line("---", []string{"---", "---", "---"}, []string{"---"})
	for _, r := range differing {
		why := r.Reason
		if why == "" {
			why = "**not explained**"
		}
		line(r.Verdict(Bypass), []string{r.Case, r.Verdict(Process), r.Verdict(Gate)}, []string{why})
	}
	return b.String()
}
