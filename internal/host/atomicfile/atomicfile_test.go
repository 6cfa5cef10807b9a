package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestFile(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", link); err != nil {
		t.Fatal(err)
	}
	if err := File(link, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	fi, serr := os.Lstat(link)
	if err != nil || serr != nil || string(got) != "new" || fi.Mode()&os.ModeSymlink == 0 {
		t.Errorf("%q, %v, %v, %v", got, err, fi, serr)
	}
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestFileFails(t *testing.T) {
	dir := t.TempDir()
	if err := File(filepath.Join(dir, "none", "a"), nil, 0o644); err == nil {
		t.Error("a file in a directory that is not there was written")
	}
	// a directory cannot be replaced by a file: the temporary must go all the same
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := File(filepath.Join(dir, "d"), nil, 0o644); err == nil {
		t.Error("a directory was replaced")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// A directory takes the place of nothing or of an empty one. A file, or a directory with something in it, stays.
func TestDirectory(t *testing.T) {
	for name, test := range map[string]struct {
		there func(dir string) error
		fails bool
	}{
		"nothing": {func(string) error { return nil }, false},
		"empty":   {func(dir string) error { return os.Mkdir(dir, 0o755) }, false},
		"full":    {func(dir string) error { return os.MkdirAll(filepath.Join(dir, "mine"), 0o755) }, true},
		"a file":  {func(dir string) error { return os.WriteFile(dir, []byte("mine"), 0o600) }, true},
	} {
		box := t.TempDir()
		made, dir := filepath.Join(box, "made"), filepath.Join(box, "dir")
		if err := errors.Join(os.Mkdir(made, 0o755), os.WriteFile(made+"/a", nil, 0o600), test.there(dir)); err != nil {
			t.Fatal(err)
		}
		err := Directory(made, dir)
		if (err != nil) != test.fails {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "a")); (err == nil) == test.fails {
			t.Errorf("%s: moved: %v", name, err)
		}
		if _, err := os.Stat(made); (err == nil) != test.fails {
			t.Errorf("%s: left behind: %v", name, err)
		}
		if _, err := os.Lstat(dir); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
