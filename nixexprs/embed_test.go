package nixexprs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// A file's mode is lost when it is embedded; were it part of a derivation, ukl and the flake would build different
// things.
func TestNoFileIsExecutable(t *testing.T) {
	n := 0
	err := fs.WalkDir(FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		if fi, err := os.Stat(name); err != nil || fi.Mode()&0o111 != 0 {
			t.Errorf("%s: %v %v", name, fi.Mode(), err)
		}
		return nil
	})
	if err != nil || n < 10 {
		t.Errorf("%d files: %v", n, err)
	}
}

func TestExtract(t *testing.T) {
	dir := t.TempDir()
	first, err := Extract(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(first, "default.nix")); err != nil ||
		!strings.HasPrefix(string(b), "# default.nix: ") {
		t.Errorf("%q %v", b[:min(20, len(b))], err)
	}
	if again, err := Extract(dir); err != nil || again != first {
		t.Errorf("%s, then %s %v", first, again, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d entries", len(left))
	}
}

// Every expression says what it is before it says how.
func TestEachStageHasItsHead(t *testing.T) {
	files, _ := fs.Glob(FS, "*.nix")
	for _, f := range files {
		b, _ := FS.ReadFile(f)
		if !strings.HasPrefix(string(b), "# "+f+": ") || !strings.Contains(string(b), "# in   ") {
			t.Errorf("%s: no head", f)
		}
		if strings.Contains(string(b), "''") {
			t.Errorf("%s: text in a stage; scripts are files of their own", f)
		}
	}
}

// The layout of all expressions: two spaces a level, no tab, nothing at the end of a line, at most 120 columns. No
// formatter for Nix is to be had where this is tested.
func TestLayout(t *testing.T) {
	n := 0
	err := fs.WalkDir(FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".nix" {
			return err
		}
		n++
		text, err := FS.ReadFile(name)
		for i, fault := range faults(string(text)) {
			t.Errorf("%s:%d: %s", name, i, fault)
		}
		return err
	})
	if err != nil || n < 20 {
		t.Errorf("%d files: %v", n, err)
	}
	for i, fault := range faults("{\n   a = 1;\n\tb = 2; \n" + strings.Repeat("x", 121) + "\n  # " +
		strings.Repeat("ä", 116) + "\n}") {
		if want := map[int]string{2: "odd", 3: "tab", 4: "long"}[i]; !strings.Contains(fault, want) || want == "" {
			t.Errorf("line %d: %q, want %q", i, fault, want)
		}
	}
}

// faults are what is wrong with the layout of an expression, by line.
func faults(text string) map[int]string {
	found := map[int]string{}
	for i, line := range strings.Split(text, "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case strings.ContainsAny(line, "\t\r"), strings.HasSuffix(line, " "):
			found[i+1] = "a tab, or something at the end"
		case indent%2 != 0:
			found[i+1] = "an odd number of spaces before it"
		case utf8.RuneCountInString(line) > 120:
			found[i+1] = "too long"
		}
	}
	return found
}
