package pins

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukl/internal/host/regular"
	"ukl/internal/pin/seeds"
)

// soon fails a test whose work does not end: a reader of a pipe would stay for ever.
func soon(t *testing.T, work func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
		return nil
	}
}

// The place of all seeds can be a pipe, too.
func TestFetchRefusesAPipeOfSeeds(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	o := Options{Seeds: pipe, Dir: t.TempDir(), NoApt: true, NoPublic: true}
	err := soon(t, func() error { return Fetch(t.Context(), newStore(), somePins(1), o, nil) })
	if bad := (*regular.Irregular)(nil); !errors.As(err, &bad) {
		t.Errorf("%v", err)
	}
}

// Pipes at the places of downloads are removed.
func TestFetchRemovesAPipeFromItsFolder(t *testing.T) {
	pins, dir := somePins(2), t.TempDir()
	for _, name := range []string{pins[0].FileName(), pins[1].FileName() + ".part"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Dir: dir, NoApt: true, NoPublic: true, Mirror: newPool(t, 2, nil).base + "/debian"}
	if err := soon(t, func() error { return Fetch(t.Context(), newStore(), pins, o, nil) }); err != nil {
		t.Error(err)
	}
}

// Of a seed no more is read than its pin has, whether it is larger at once or grows.
func TestSeedIsNotReadBeyondItsPin(t *testing.T) {
	p := somePins(1)[0]
	to := filepath.Join(t.TempDir(), "copy")
	wrong := (*Mismatch)(nil)
	large := &endless{}
	err := checked(t.Context(), p, &seeds.Seed{ReadCloser: large, Size: p.Size + 1}, "large", to)
	if !errors.As(err, &wrong) || large.n != 0 ||
		!strings.HasSuffix(err.Error(), "from large has 10001 bytes instead of the 10000 pinned") {
		t.Errorf("large: %v after %d bytes", err, large.n)
	}
	grows := &endless{}
	err = checked(t.Context(), p, &seeds.Seed{ReadCloser: grows, Size: p.Size}, "grows", to)
	if !errors.As(err, &wrong) || grows.n > p.Size+1 {
		t.Errorf("grows: %v after %d bytes", err, grows.n)
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("a copy is left")
	}
}

type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) { e.n += int64(len(p)); return len(p), nil }
func (e *endless) Close() error               { return nil }

// A read that does not end, as that of some files of /proc, ends with the context.
func TestSeedEndsWithItsContext(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	err := soon(t, func() error {
		return checked(ctx, somePins(1)[0], &seeds.Seed{ReadCloser: r, Size: 1}, "", filepath.Join(t.TempDir(), "copy"))
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
