package seeds

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var a, b, c = strings.Repeat("a", 64), strings.Repeat("b", 64), strings.Repeat("c", 64)

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func archive(t *testing.T, path, dir string) {
	t.Helper()
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Drop()
	for _, f := range []struct{ hex, text string }{{a, "alpha"}, {b, ""}} {
		if err := w.Put(f.hex, write(t, filepath.Join(dir, "f"), f.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, s *Store, hex string) string {
	t.Helper()
	r, err := s.Get(hex)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// An archive and a folder give the same, each file as often as it is asked for, in any order.
func TestSame(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "folder", "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "folder", "sha256", a), "alpha")
	write(t, filepath.Join(dir, "folder", "sha256", b), "")
	archive(t, filepath.Join(dir, "new", "x.tar"), dir)
	for _, path := range []string{"folder", "new/x.tar"} {
		s, err := Open(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []struct{ hex, text string }{{b, ""}, {a, "alpha"}, {a, "alpha"}} {
			if got := text(t, s, f.hex); got != f.text {
				t.Errorf("%s: %q, not %q", path, got, f.text)
			}
		}
		if _, err := s.Get(c); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s has what was not put there: %v", path, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestEqualBytes(t *testing.T) {
	dir := t.TempDir()
	x, y := filepath.Join(dir, "x.tar"), filepath.Join(dir, "y.tar")
	archive(t, x, dir)
	archive(t, y, dir)
	first, _ := os.ReadFile(x)
	second, err := os.ReadFile(y)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("%d and %d bytes, %v", len(first), len(second), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// What is dropped leaves nothing, and the older archive as it was.
func TestDrop(t *testing.T) {
	dir := t.TempDir()
	x := write(t, filepath.Join(dir, "x.tar"), "old")
	w, err := Create(x)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Put(a, filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("put what is not there: %v", err)
	}
	w.Drop()
	entries, _ := os.ReadDir(dir)
	if got, _ := os.ReadFile(x); string(got) != "old" || len(entries) != 1 {
		t.Errorf("%q, %v", got, entries)
	}
}

// Of an archive that somebody else made only plain files with a hash for a name are taken: no links, no paths to
// elsewhere.
func TestStrange(t *testing.T) {
	dir := t.TempDir()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range []*tar.Header{
		{Name: "sha256/", Typeflag: tar.TypeDir},
		{Name: "sha256/" + a, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		{Name: "../sha256/" + b, Typeflag: tar.TypeReg, Size: 1},
		{Name: "./sha256/" + c, Typeflag: tar.TypeReg, Size: 1},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			w.Write([]byte("x"))
		}
	}
	w.Close()
	s, err := Open(write(t, filepath.Join(dir, "x.tar"), buf.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, hex := range []string{a, b} {
		if _, err := s.Get(hex); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was taken: %v", hex, err)
		}
	}
	if got := text(t, s, c); got != "x" {
		t.Errorf("%q", got)
	}
}

func TestNoArchive(t *testing.T) {
	dir := t.TempDir()
	archive(t, filepath.Join(dir, "x.tar"), dir)
	whole, _ := os.ReadFile(filepath.Join(dir, "x.tar"))
	for _, c := range []struct{ text, want string }{
		{strings.Repeat("no archive ", 100), "nor a complete tar archive"},
		{string(whole[:515]), "the archive ends within sha256/a"},
		{string(whole[:300]), "nor a complete tar archive"},
	} {
		if s, err := Open(write(t, filepath.Join(dir, "bad"), c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v, %v; want %q", s, err, c.want)
		}
	}
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	w.WriteHeader(&tar.Header{Name: "sha256/" + a, Typeflag: tar.TypeReg, Size: 5, Format: tar.FormatGNU})
	w.Write([]byte("alpha"))
	w.Close()
	f.Add(buf.Bytes())
	file := filepath.Join(f.TempDir(), "x.tar")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := Open(file)
		if err != nil {
			return
		}
		defer s.Close()
		for hex := range s.at {
			r, err := s.Get(hex)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || len(got) > len(b) {
				t.Errorf("%d bytes out of %d, %v", len(got), len(b), err)
			}
		}
	})
}
