package suites

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ukl/internal/host/atomicfile"
	"ukl/internal/host/nix"
	"ukl/internal/pin/pins"
	"ukl/nixexprs"
)

var (
	whole  = flag.Bool("whole", false, "run all cases, not the subset (an hour, and half of one to build them)")
	update = flag.Bool("update", false, "with -whole: record in docs what became of them; and write docs/suites.md of that")
	modes  = flag.String("modes", strings.Join(Modes(), ","), "where to run them: process, gate, bypass")
	only   = flag.String("only", "", "of these, run the cases whose name matches this regular expression, and show their output")
)

const (
	bootEnv    = "UKL_TEST_BOOT" // off: no boots, as in cmd/ukl
	tableFile  = "../../../docs/suites.tsv"
	posixTable = "../../../docs/posix.tsv"
	pageFile   = "../../../docs/suites.md"
	end        = "<!-- end -->\n"
)

// tables are the files that the page has a summary of, and how each counts its cases.
var tables = []struct {
	file  string
	group func(string) string
}{{tableFile, Directory}, {shellTable, Directory}, {posixTable, Area}}

// witness is a case that passes in ring 3 and cannot in ring 0, where ports are open to all.
const witness = "linux/x86/ioperm"

// Limits are generous: machines are emulated, and loaded.
const (
	perCase  = 240 * time.Second
	silent   = 90 * time.Second // of the runner, after the last case should have ended; then the machine is dead
	together = 6                // cases at once; many only wait
)

// posixSource is the Open POSIX Test Suite as Debian has it. The Linux Test Project, which Debian has not, has a copy.
var posixSource = &pins.Archive{
	URL:    "pool/main/p/posixtestsuite/posixtestsuite_1.5.2.orig.tar.gz",
	SHA256: "15a2185672127cba851d35ec9d538ff6148defdbb75f99c7e9c50aeba0f94757",
}

// leave are tests of glibc's math that are not built: aliases of the same functions by other types' names, and vector
// and macro variants by the hundred, in which no kernel takes part.
const leave = `.*(float(32|64|128)|vlen|tgmath3).*`

// TestSuites runs cases of glibc and of the kernel.
func TestSuites(t *testing.T) {
	linked{table: tableFile, subset: "subset.txt", whole: "whole.txt", limit: perCase}.test(t)
}

// TestPosix runs cases of the Open POSIX Test Suite. Its own script gives each two minutes.
func TestPosix(t *testing.T) {
	linked{table: posixTable, subset: "posix-subset.txt", whole: "posix.txt", limit: 2 * time.Minute}.test(t)
}

// linked are cases whose programs nixexprs/suites links for each mode.
type linked struct {
	table         string        // the file that says what became of them
	subset, whole string        // files that name them
	limit         time.Duration // that each has
}

// test runs the cases in each mode and compares.
func (s linked) test(t *testing.T) {
	if os.Getenv(bootEnv) == "off" {
		t.Skipf("%s=off", bootEnv)
	}
	table := readTable(t, s.table)
	chosen := regexp.MustCompile(*only)
	if *only != "" && !table.has(chosen) {
		for _, other := range tables {
			if readTable(t, other.file).has(chosen) {
				t.Skipf("-only %s: no case of %s", *only, s.table)
			}
		}
	}
	list := s.subset
	if *whole {
		list = s.whole
	} else if *update {
		t.Fatal("-update needs -whole")
	}
	wanted := lines(t, list)
	m := &machines{ukl: command(t), limit: s.limit}
	results := map[string]map[string]Result{}
	var mu sync.Mutex
	t.Run("modes", func(t *testing.T) {
		for mode := range strings.SplitSeq(*modes, ",") {
			if !slices.Contains(Modes(), mode) {
				t.Fatalf("-modes %s: want some of %s", mode, strings.Join(Modes(), ","))
			}
			b := build(t, mode, wanted)
			names := slices.DeleteFunc(b.cases(t), func(name string) bool {
				// Only by hand, with -only: the machine would have to be started again each time.
				return !chosen.MatchString(name) || *only == "" && table[name].Verdict(mode) == Died
			})
			if len(names) == 0 {
				t.Fatalf("-only %s: no case of %s", *only, list)
			}
			if !*whole {
				for _, name := range wanted {
					if chosen.MatchString(name) && !slices.Contains(names, name) {
						t.Errorf("%s: no such case; see unbuilt and link.log in %s", name, b.programs)
					}
				}
			}
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				got := m.all(t, mode, b, names, together)
				mu.Lock()
				defer mu.Unlock()
				results[mode] = got
				t.Logf("mode %s: %d of %d cases pass so far; otherwise than recorded:%s", mode, passing(got), len(got),
					strings.Join(append([]string{""}, table.Compare(mode, got)...), "\n"))
			})
			if *whole {
				// What could not be built is told, not forgotten.
				t.Logf("mode %s: %d cases", mode, len(names))
			}
		}
	})
	for mode := range strings.SplitSeq(*modes, ",") {
		got := results[mode]
		if *only != "" {
			for _, name := range slices.Sorted(maps.Keys(got)) {
				t.Logf("%s %s %s %d ms\n%s", mode, name, got[name].Verdict, got[name].Millis, strings.Join(got[name].Output, "\n"))
			}
		}
		// What failed beside others gets another try by itself: a loaded machine is slow, and a port may be taken.
		b := build(t, mode, wanted)
		if again := unexpected(table, mode, results); len(again) > 0 {
			t.Logf("mode %s: once more, alone: %s", mode, strings.Join(again, " "))
			for name, r := range m.all(t, mode, b, again, 1) {
				if r.Verdict == Pass {
					got[name] = r
				}
			}
		}
		if r, ran := got[witness]; ran && (r.Verdict == Pass) != (mode == Process) {
			t.Errorf("%s: %s in mode %s: either this is the other ring, or failures are not seen", witness, r.Verdict, mode)
		}
		t.Logf("mode %s: %d of %d cases pass", mode, passing(got), len(got))
		if *update {
			continue
		}
		for _, sentence := range table.Compare(mode, got) {
			name, _, _ := strings.Cut(sentence, ":")
			t.Errorf("%s\n%s", sentence, strings.Join(got[name].Output, "\n"))
		}
	}
	if *update {
		record(t, s.table, table, results)
	}
}

// command builds ukl, and returns its name.
func command(t *testing.T) string {
	t.Helper()
	ukl := filepath.Join(t.TempDir(), "ukl")
	if out, err := exec.Command("go", "build", "-o", ukl, "ukl/cmd/ukl").CombinedOutput(); err != nil {
		t.Fatalf("building ukl: %v\n%s", err, out)
	}
	return ukl
}

// unexpected are the cases that did not pass in a mode, and should have: they pass in the table or in another mode.
func unexpected(table Table, mode string, results map[string]map[string]Result) []string {
	var names []string
	for name, r := range results[mode] {
		row := table[name]
		if r.Verdict != Pass && r.Verdict != "skip" && r.Verdict != Died && row.Reason == "" &&
			(row.Verdict(mode) == Pass || passes(results, name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// passing is how many cases passed.
func passing(results map[string]Result) int {
	n := 0
	for _, r := range results {
		if r.Verdict == Pass {
			n++
		}
	}
	return n
}

func passes(results map[string]map[string]Result, name string) bool {
	for _, got := range results {
		if got[name].Verdict == Pass {
			return true
		}
	}
	return false
}

// record writes a table to its file. Rows of cases that are no more go; reasons stay.
func record(t *testing.T, file string, table Table, results map[string]map[string]Result) {
	for mode, got := range results {
		table.Record(mode, got)
	}
	for name, row := range table {
		known := row.Verdict(Gate) == Died
		for _, got := range results {
			if _, ran := got[name]; ran {
				known = true
			}
		}
		if !known && *only == "" {
			delete(table, name)
		}
	}
	if err := atomicfile.File(file, table.Write(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPage holds the page to the tables.
func TestPage(t *testing.T) {
	page, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	want := string(page)
	for _, table := range tables {
		begin := fmt.Sprintf("<!-- made of %s by go test ./internal/kernel/suites -run TestPage -update -->\n",
			filepath.Base(table.file))
		head, rest, ok := strings.Cut(want, begin)
		_, tail, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s: no place for the summary between %s and %s", pageFile, begin, end)
		}
		want = head + begin + readTable(t, table.file).Summary(table.group) + end + tail
	}
	if *update {
		if err := atomicfile.File(pageFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(page) != want {
		t.Errorf("%s is not of its tables: go test ./internal/kernel/suites -run TestPage -update", pageFile)
	}
}

func readTable(t *testing.T, file string) Table {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	table, err := ReadTable(file, text)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// lines are those of a file that are no comments.
func lines(t *testing.T, file string) []string {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Split(string(b), "\n"), func(l string) bool { return l == "" || l[0] == '#' })
}

// built are the store paths that a run needs.
type built struct{ programs, source, tools string }

var (
	buildsMu sync.Mutex
	builds   = map[string]built{}
)

// build has Nix build the programs of a mode: those of process mode are the same in both of ring 0.
func build(t *testing.T, mode string, cases []string) built {
	t.Helper()
	calls := Gate
	if mode == Bypass {
		calls = Bypass
	}
	buildsMu.Lock()
	defer buildsMu.Unlock()
	key := calls + "\n" + strings.Join(cases, "\n")
	if b, ok := builds[key]; ok {
		return b
	}
	n, err := nix.Find()
	if err != nil {
		t.Fatalf("%v (%s=off leaves this out)", err, bootEnv)
	}
	lock, err := pins.Load(nixexprs.FS)
	if err != nil {
		t.Fatal(err)
	}
	expr, err := filepath.Abs("../../../nixexprs/suites")
	if err != nil {
		t.Fatal(err)
	}
	archive, err := json.Marshal(map[string]string{"url": posixSource.URL, "sha256": posixSource.SHA256})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	roots := t.TempDir()
	realise := func(attr string) string {
		r := nix.Request{
			Expr: expr, Attr: attr,
			Args: map[string]string{
				"cases": strings.Join(cases, "\n"), "leave": leave,
				"calls": calls, "archive": string(archive),
			}, Root: filepath.Join(roots, attr),
		}
		drv, err := n.Instantiate(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := n.Plan(ctx, drv)
		if err != nil {
			t.Fatal(err)
		}
		if err := pins.Fetch(ctx, n, slices.Concat(lock.InPlan(plan), (&pins.Own{Archive: posixSource}).InPlan(plan)),
			pins.Options{Seeds: os.Getenv("UKL_SEEDS"), Mirror: os.Getenv("UKL_MIRROR")}, nil); err != nil {
			t.Fatal(err)
		}
		path, err := n.Realise(ctx, drv, r.Root, nil)
		if failed := (*nix.BuildError)(nil); errors.As(err, &failed) {
			t.Fatalf("%v\n%s", err, strings.Join(failed.Lines, "\n"))
		}
		if err != nil {
			t.Fatal(err)
		}
		return nix.Physical(path)
	}
	b := built{realise("programs"), realise("source"), realise("tools")}
	builds[key] = b
	return b
}

// cases are the names of all that could be built.
func (b built) cases(t *testing.T) []string {
	text, err := os.ReadFile(filepath.Join(b.programs, "cases"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "case "); ok {
			names = append(names, name)
		}
	}
	return names
}

// machines runs cases in guests.
type machines struct {
	ukl   string
	limit time.Duration // of a case
}

// all runs cases, in another machine if one dies. What died beside others is run once more by itself: who is to blame
// dies again.
func (m *machines) all(t *testing.T, mode string, b built, names []string, together int) map[string]Result {
	results := map[string]Result{}
	for len(names) > 0 {
		l, reason := m.one(t, mode, b, names, together)
		if want := map[bool]string{true: "ring3", false: "ring0"}[mode == Process]; l.Ring != want {
			t.Fatalf("the cases of mode %s run in %q: %s", mode, l.Ring, reason)
		}
		maps.Copy(results, l.Ended)
		if !l.Done && len(l.Running) == 0 && len(l.Ended) == 0 {
			t.Fatalf("mode %s: nothing was run: %s", mode, reason)
		}
		if !l.Done && len(names) == 1 {
			results[names[0]] = Result{Verdict: Died, Output: []string{reason}}
			return results
		}
		if !l.Done {
			t.Logf("mode %s: the machine ended while these ran: %s: %s", mode, strings.Join(l.Running, " "), reason)
			for _, name := range l.Running {
				maps.Copy(results, m.all(t, mode, b, []string{name}, 1))
			}
		}
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { _, ran := results[name]; return ran })
	}
	return results
}

// one runs cases in one machine, as far as it lives. It says why it ended if that was too early.
func (m *machines) one(t *testing.T, mode string, b built, names []string, together int) (*Log, string) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "list"), []byte(strings.Join(names, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	app, ring := filepath.Join(b.programs, "loader"), []string{"/suite/ring0/runner", "runner"}
	args := []string{"run", "-q", "--cpus", "2", "--memory", "3072"}
	if mode == Process {
		app, ring = filepath.Join(b.programs, "ring3/runner"), nil
		args = append(args, "--mode", "process")
	}
	args = slices.Concat(args, []string{
		"--volume", b.programs + ":/suite:ro", "--volume", dir + ":/list:ro",
		"--volume", b.source + ":/build/src:ro", "--volume", b.tools + ":/tree:ro", app, "--",
	}, ring, []string{"/suite", "/list/list", fmt.Sprint(together), fmt.Sprint(int(m.limit.Seconds()))})

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	cmd := exec.CommandContext(ctx, m.ukl, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var stdout, stderr bytes.Buffer
	patience := m.limit + silent
	quiet := time.AfterFunc(patience, stop)
	ended, told := 0, 0 // cases; bytes of stdout that were looked at
	cmd.Stdout = writer(func(p []byte) (int, error) {
		quiet.Reset(patience)
		stdout.Write(p)
		// With -v this is seen as it comes: who ends a run of hours early keeps what it told.
		for {
			line, _, whole := bytes.Cut(stdout.Bytes()[told:], []byte("\n"))
			if !whole {
				return len(p), nil
			}
			told += len(line) + 1
			f := strings.Fields(string(line))
			if len(f) != 4 || f[0] != "end" {
				continue
			}
			if ended++; ended%100 == 0 {
				t.Logf("mode %s: %d of %d", mode, ended, len(names))
			}
			if f[2] != Pass {
				t.Logf("mode %s: %s: %s", mode, f[1], f[2])
			}
		}
	})
	cmd.Stderr = &stderr
	err := cmd.Run()
	quiet.Stop()
	l, perr := Parse(&stdout)
	if perr != nil {
		t.Fatal(perr)
	}
	reason := fmt.Sprintf("%v\n%s", err, &stderr)
	if ctx.Err() != nil {
		reason = fmt.Sprintf("it said nothing for %s\n%s", patience, &stderr)
	}
	return l, reason
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
