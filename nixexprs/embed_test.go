package nixexprs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file's mode is lost when it is embedded; were it part of a derivation, ukl and the flake would build different things.
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
	if b, err := os.ReadFile(filepath.Join(first, "default.nix")); err != nil || !strings.HasPrefix(string(b), "# default.nix: ") {
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
