package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ukl/internal/run/newc"
)

// cpio writes an archive. The first error stays.
type cpio struct {
	w    *bufio.Writer
	have map[string]bool // directories
	err  error
}

func (c *cpio) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *cpio) member(name string, mode int, data []byte) {
	if c.err == nil {
		c.err = newc.Write(c.w, name, mode, data)
	}
}

// parents makes the directories of a name.
func (c *cpio) parents(name string) {
	dir := path.Dir(name)
	if dir == "." || c.have[dir] {
		return
	}
	c.have[dir] = true
	c.parents(dir)
	c.member(dir, unix.S_IFDIR|0o755, nil)
}

func (c *cpio) data(name string, mode int, data []byte) {
	name = strings.TrimPrefix(name, "/")
	c.parents(name)
	c.member(name, unix.S_IFREG|mode, data)
}

func (c *cpio) copy(name, from string) {
	data, err := os.ReadFile(from)
	if err != nil {
		c.fail(err)
		return
	}
	mode := 0o644
	if fi, err := os.Stat(from); err == nil && fi.Mode()&0o100 != 0 {
		mode = 0o755
	}
	c.data(name, mode, data)
}

// tree copies the files of a directory to the same place.
func (c *cpio) tree(dir string) {
	c.fail(filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			c.copy(name, name)
		}
		return err
	}))
}

func (c *cpio) end() {
	c.member(newc.Trailer, 0, nil)
	if c.err == nil {
		c.err = c.w.Flush()
	}
}

// outcome is what became of a script in the host.
type outcome struct {
	name, verdict, took string
	log                 []string
	console             string // of the host, so far
}

func (o outcome) report(t *testing.T) {
	text := strings.Join(o.log, "\n")
	switch o.verdict {
	case "PASS":
		t.Logf("passed under KVM in %s s\n%s", o.took, text)
	case "SKIP": // nothing of the bench may be left out
		t.Errorf("skipped\n%s", text)
	default:
		t.Errorf("failed under KVM after %s s\n%s\nthe host's console:\n%s", o.took, text, o.console)
	}
}

var (
	beginsRE = regexp.MustCompile(`^=== (?:RUN|CONT|NAME|PAUSE) +(\S+)`)
	endsRE   = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): TestKVM/scripts/(\S+) \(([0-9.]+)s\)`)
)

// readOutcomes reads the output of the test program in the host: with -test.v=test2json each line of the framework's
// begins with a mark, and a result comes when its test ends. seen gets every line.
func readOutcomes(r io.Reader, seen func(string), tell func(outcome)) {
	logs, current := map[string][]string{}, ""
	for sc := bufio.NewScanner(r); sc.Scan(); {
		line := strings.TrimRight(strings.TrimLeft(sc.Text(), "\x16"), "\r")
		seen(line)
		if m := beginsRE.FindStringSubmatch(line); m != nil {
			current = strings.TrimPrefix(m[1], "TestKVM/scripts/")
		} else if m := endsRE.FindStringSubmatch(line); m != nil {
			tell(outcome{name: m[2], verdict: m[1], took: m[3], log: logs[m[2]]})
		} else {
			logs[current] = append(logs[current], line)
		}
	}
}

// The report of the host is read as it comes: a result, its own lines, and nothing of another's.
func TestReadOutcomes(t *testing.T) {
	const text = "\x16=== RUN   TestKVM\r\n\x16=== RUN   TestKVM/scripts\n\x16=== RUN   TestKVM/scripts/kvm_a\n" +
		"\x16=== PAUSE TestKVM/scripts/kvm_a\n\x16=== RUN   TestKVM/scripts/kvm_b\n\x16=== PAUSE TestKVM/scripts/kvm_b\n" +
		"\x16=== CONT  TestKVM/scripts/kvm_a\n    one\r\n\x16=== CONT  TestKVM/scripts/kvm_b\n    two\n" +
		"\x16=== NAME  TestKVM/scripts/kvm_a\n    three\n\x16--- PASS: TestKVM/scripts/kvm_a (2.50s)\n" +
		"\x16--- FAIL: TestKVM/scripts/kvm_b (3.00s)\n\x16--- FAIL: TestKVM/scripts (5.50s)\nFAIL\n"
	var got []string
	lines := 0
	readOutcomes(strings.NewReader(text), func(string) { lines++ }, func(o outcome) {
		got = append(got, fmt.Sprintf("%s %s %s %q", o.name, o.verdict, o.took, o.log))
	})
	want := []string{
		`kvm_a PASS 2.50 ["    one" "    three"]`,
		`kvm_b FAIL 3.00 ["    two"]`,
	}
	if !slices.Equal(got, want) || lines != strings.Count(text, "\n") {
		t.Errorf("%d lines\n%s", lines, strings.Join(got, "\n"))
	}
}

// The archive is one that cpio reads.
func TestCpio(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("no cpio on this machine")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "a.cpio")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := &cpio{w: bufio.NewWriter(f), have: map[string]bool{}}
	w.data("/x/y/one", 0o644, []byte("1"))
	w.data("x/y/three", 0o755, []byte("333"))
	w.end()
	if err := errors.Join(w.err, f.Close()); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("cpio", "-it", "--quiet", "-F", file).CombinedOutput()
	if err != nil || string(out) != "x\nx/y\nx/y/one\nx/y/three\n" {
		t.Errorf("%v\n%s", err, out)
	}
	w.copy("z", filepath.Join(dir, "absent"))
	if w.err == nil {
		t.Error("a file that is not there was packed")
	}
}
