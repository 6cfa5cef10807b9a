package suites

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	l, err := Parse(strings.NewReader("runs in ring0\nstart a/b\nstart a/c\nend a/b exit-1 12\n| expected 3\n|  4\nstart a/d\nend a/c pass 7\n"))
	if err != nil {
		t.Fatal(err)
	}
	b := l.Ended["a/b"]
	if l.Ring != "ring0" || l.Done || len(l.Running) != 1 || l.Running[0] != "a/d" || len(l.Ended) != 2 ||
		b.Verdict != "exit-1" || b.Millis != 12 || strings.Join(b.Output, "/") != "expected 3/ 4" {
		t.Errorf("got %+v", l)
	}
	if l, err = Parse(strings.NewReader("runs in ring3\nstart a\nend a pass 7\ndone\n")); err != nil || !l.Done {
		t.Errorf("got %+v, %v", l, err)
	}
	for _, bad := range []string{"end a pass 1\n", "start a\nend a pass x\n"} {
		if _, err := Parse(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

const table = header + `
a/both	pass	pass	pass	
a/neither	exit-1	exit-1	-	
a/known	pass	signal-11	-	GS is the kernel's
a/open	pass	exit-3	-	
`

func read(t *testing.T, text string) Table {
	t.Helper()
	tab, err := ReadTable("t", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestTable(t *testing.T) {
	tab := read(t, table)
	if again := read(t, string(tab.Write())); string(again.Write()) != string(tab.Write()) {
		t.Errorf("written and read again it differs:\n%s", again.Write())
	}
	if tab["a/both"].Differs() || tab["a/neither"].Differs() || !tab["a/open"].Differs() {
		t.Error("wrong rows differ")
	}
	for text, want := range map[string]string{
		"case\n":                      "t:1: want",
		header + "\na\tpass\n":        "t:2: want five fields",
		table + "a/open\t-\t-\t-\t\n": "t:6: a/open is there twice",
	} {
		if _, err := ReadTable("t", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
	tab.Record(Bypass, map[string]Result{"a/both": {Verdict: "skip"}, "a/new": {Verdict: Pass}})
	if tab["a/both"].Verdict(Bypass) != "skip" || tab["a/both"].Verdict(Gate) != Pass ||
		tab["a/new"].Verdict(Bypass) != Pass || tab["a/new"].Verdict(Gate) != NotRun {
		t.Errorf("recorded:\n%s", tab.Write())
	}
}

func TestCompare(t *testing.T) {
	tab := read(t, table)
	result := func(verdict string, names ...string) map[string]Result {
		m := map[string]Result{}
		for _, n := range names {
			m[n] = Result{Verdict: verdict}
		}
		return m
	}
	if worse := tab.Compare(Gate, result(Pass, "a/both", "a/neither", "a/known", "a/open")); len(worse) != 0 {
		t.Errorf("passing is worse: %q", worse)
	}
	if worse := tab.Compare(Gate, result("exit-1", "a/neither", "a/known")); len(worse) != 0 {
		t.Errorf("what is known is worse: %q", worse)
	}
	if worse := tab.Compare(Gate, result(Died, "a/both", "a/open", "a/new")); len(worse) != 3 ||
		!strings.Contains(worse[0], "recorded as passing") || !strings.Contains(worse[1], "not in the table") ||
		!strings.Contains(worse[2], "no reason") {
		t.Errorf("got %q", worse)
	}
	if worse := tab.Compare(Process, result("timeout", "a/both", "a/neither")); len(worse) != 1 {
		t.Errorf("got %q", worse)
	}
}

func TestSummary(t *testing.T) {
	s := read(t, table).Summary(Directory)
	for _, want := range []string{
		"| a | 4 | 3 | 1 | 1 of 1 |", "| a/known | pass | signal-11 | - | GS is the kernel's |",
		"| a/open | pass | exit-3 | - | **not explained** |",
	} {
		if !strings.Contains(s, want+"\n") {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
	if strings.Contains(s, "a/both") || strings.Contains(s, "a/neither") {
		t.Errorf("agreement is listed:\n%s", s)
	}
}

// A table without differences says so, and one whose programs have no bypass has no column for it.
func TestSummaryOfEqualModes(t *testing.T) {
	s := read(t, header+"\na/b/c\tpass\tpass\t-\t\n").Summary(Directory)
	if !strings.Contains(s, "No case differs.") || strings.Contains(s, "bypass") || strings.Contains(s, "why") {
		t.Error(s)
	}
}

func TestArea(t *testing.T) {
	for name, want := range map[string]string{
		"posix/lio_listio/1-1":                 "posix: asynchronous I/O",
		"posix/munlockall/5-1":                 "posix: memory",
		"posix/munmap/1-1":                     "posix: memory",
		"posix/mq_timedsend/1-1":               "posix: message queues",
		"posix/sem_timedwait/1-1":              "posix: semaphores",
		"posix/pthread_kill/1-1":               "posix: signals",
		"posix/pthread_attr_setschedpolicy/1":  "posix: scheduling",
		"posix/pthread_mutex_timedlock/1-1":    "posix: threads",
		"posix/clock_settime/speculative/4-3":  "posix: timers and clocks",
		"posix/fork/1-1":                       "posix: processes and files",
		"posix/pthread_cond_timedwait/4-1":     "posix: threads",
		"posix/sigtimedwait/1-1":               "posix: signals",
		"posix/sched_rr_get_interval/1-1":      "posix: scheduling",
		"posix/strftime/1-1":                   "posix: timers and clocks",
		"posix/timer_getoverrun/speculative/1": "posix: timers and clocks",
	} {
		if got := Area(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
