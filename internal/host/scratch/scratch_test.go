package scratch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The next process of a kind removes what a killed one left, and nothing else.
func TestSweep(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	old := time.Now().Add(-2 * settling)
	at := func(name string) string {
		dir := filepath.Join(tmp, name)
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "sub"), 0o755), os.Chtimes(dir, old, old)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	killed, other := at("ukl-x-1"), at("ukl-y-1")
	held, done, err := Dir("ukl-x-")
	if err != nil {
		t.Fatal(err)
	}
	os.Chtimes(held, old, old)
	fresh, done2, err := Dir("ukl-x-")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(killed); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left", killed)
	}
	for _, dir := range []string{held, other, fresh} {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
	done()
	done2()
	for _, dir := range []string{held, fresh} {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left", dir)
		}
	}
}
