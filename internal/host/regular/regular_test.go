package regular

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

// Whatever would keep its reader for ever is refused at once; files and links to them are not.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(at("file"), []byte("text"), 0o644),
		os.Symlink("file", at("link")),
		os.Symlink("/dev/zero", at("zero")),
		syscall.Mkfifo(at("pipe"), 0o644),
		os.Symlink("pipe", at("link-to-pipe")),
		os.Mkdir(at("dir"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, kind := range map[string]string{
		"zero": "a device", "pipe": "a pipe", "link-to-pipe": "a pipe", "dir": "a directory", "socket": "a socket",
	} {
		_, err := Open(at(name))
		if bad := (*Irregular)(nil); !errors.As(err, &bad) || bad.Kind != kind {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := fs.ReadFile(Dir(dir), name); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	for _, name := range []string{"file", "link"} {
		if text, err := Read(at(name), 4); string(text) != "text" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if _, err := Read(at("file"), 3); err == nil || !strings.Contains(err.Error(), "more than 3 bytes") {
		t.Errorf("too large: %v", err)
	}
	if _, err := Open(at("none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a/b"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(Dir(dir), "a/b"); err != nil {
		t.Error(err)
	}
}

// A reader that has no end ends with its context.
func TestUntil(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer zero.Close()
	r := Until(ctx, zero)
	if n, err := r.Read(make([]byte, 8)); n != 8 || err != nil {
		t.Errorf("Read = %d, %v", n, err)
	}
	cancel()
	if n, err := io.Copy(io.Discard, r); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %d, %v", n, err)
	}
}
