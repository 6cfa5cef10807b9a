package realpath

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpen(t *testing.T) {
	top, err := Of(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(top, name) }
	for _, dir := range []string{"data/sub", "else"} {
		if err := os.MkdirAll(at(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(dir+"/file"), []byte(dir), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("data/sub", at("link")); err != nil {
		t.Fatal(err)
	}
	real, err := Of(at("link"))
	if err != nil || real != at("data/sub") || !Inside(top, real) || Inside(at("dat"), real) || !Inside(real, real) {
		t.Fatalf("%s %v", real, err)
	}
	for _, flags := range []int{os.O_RDONLY, unix.O_PATH} {
		for _, dir := range []string{"/", real} {
			f, err := Open(dir, flags|unix.O_DIRECTORY)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	f, err := Open(filepath.Join(real, "file"), os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if f.Close(); err != nil || string(text) != "data/sub" {
		t.Errorf("%q %v", text, err)
	}
	if _, err := Open(at("nothere"), os.O_RDONLY); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}

	// What a guest does that may write to data.
	if err := os.RemoveAll(at("data/sub")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../else", at("data/sub")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{real, filepath.Join(real, "file")} {
		for _, flags := range []int{os.O_RDONLY, unix.O_PATH, unix.O_PATH | unix.O_DIRECTORY} {
			f, err := Open(path, flags)
			if moved := new(Moved); !errors.As(err, &moved) {
				t.Errorf("%s, flags %#x: %v %v", path, flags, f, err)
			}
		}
	}
}
