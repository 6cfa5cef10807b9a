package gdb

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestArgv(t *testing.T) {
	c := Command{Program: "gdb", App: "/a", Kernel: "/my k", Address: "127.0.0.1:1", Breaks: []string{"main", "x.c:3"}}
	want := []string{
		"gdb", "/a", "-ex", `add-symbol-file "/my k"`, "-ex", "target remote 127.0.0.1:1", "-ex",
		"set trust-readonly-sections on",
		"-ex", "hbreak main", "-ex", "hbreak x.c:3", "-ex", "set trust-readonly-sections off", "-ex", "continue",
	}
	if got := c.Argv(); !slices.Equal(got, want) {
		t.Errorf("Argv = %q\nwant %q", got, want)
	}
	c.App, c.Breaks = "", nil
	if got := c.Argv(); !slices.Equal(got, []string{"gdb", "/my k", "-ex", "target remote 127.0.0.1:1"}) {
		t.Errorf("without an application: %q", got)
	}
}

func build(t *testing.T, text string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.c"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "x")
	if out, err := exec.Command("gcc", append(flags, "-o", file, filepath.Join(dir, "x.c"))...).
		CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

func TestBreaks(t *testing.T) {
	file := build(t, "void handle(void) { }\nint main(void) { return 0; }\n", "-no-pie", "-fno-pie")
	if got, moves, err := Breaks(file, nil); err != nil || moves || !slices.Equal(got, []string{"main"}) {
		t.Errorf("where a program begins: %q, %v, %v", got, moves, err)
	}
	for _, good := range []string{"handle", "gdb_test.go:3", "*0x401000"} {
		if got, _, err := Breaks(file, []string{good}); err != nil || !slices.Equal(got, []string{good}) {
			t.Errorf("%s: %q, %v", good, got, err)
		}
	}
	for bad, hint := range map[string]string{
		"handel": `did you mean "handle"?`, "nothinglikeit": "FILE:LINE",
		"a\nquit": "FILE:LINE", "": "FILE:LINE",
	} {
		_, _, err := Breaks(file, []string{bad})
		var none *NoFunction
		if !errors.As(err, &none) || !strings.Contains(none.Hint(), hint) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, moves, err := Breaks(build(t, "int main(void) { return 0; }\n", "-pie", "-fPIE"), nil); err != nil || !moves {
		t.Errorf("a position-independent one: %v, %v", moves, err)
	}
	if got, _, err := Breaks(build(t, "int main(void) { return 0; }\n", "-s"), nil); err != nil || len(got) != 0 {
		t.Errorf("one without symbols begins at %q, %v", got, err)
	}
	if got, _, err := Breaks(filepath.Join(t.TempDir(), "none"), []string{"main"}); err != nil || len(got) != 1 {
		t.Errorf("without symbols to look at: %q, %v", got, err)
	}
}

func TestFind(t *testing.T) {
	var none *Missing
	if _, err := Find("/nothing/like/gdb"); !errors.As(err, &none) {
		t.Errorf("Find = %v", err)
	}
	if path, err := Find("sh"); err != nil || !filepath.IsAbs(path) {
		t.Errorf("Find(sh) = %q, %v", path, err)
	}
}
