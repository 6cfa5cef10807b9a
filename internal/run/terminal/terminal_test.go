package terminal

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ukl/internal/host/pty"
)

// A test binary is what Raw starts to watch it.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == Inside {
		if err := Child(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func open(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, slave
}

func settings(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

func TestOf(t *testing.T) {
	_, a := open(t)
	_, b := open(t)
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var none *os.File
	for _, c := range []struct {
		name  string
		files []any
		want  bool
	}{
		{"one", []any{a, a, a}, true},
		{"two", []any{a, a, b}, false},
		{"a file", []any{a, file, a}, false},
		{"no file", []any{a, &bytes.Buffer{}, a}, false},
		{"none", []any{none, a, a}, false},
	} {
		if got := Of(c.files...); (got != nil) != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestSize(t *testing.T) {
	_, slave := open(t)
	own := Of(slave)
	if got := own.Size(); got != usual {
		t.Errorf("a terminal without a size has %v", got)
	}
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 132}); err != nil {
		t.Fatal(err)
	}
	if got, want := own.Size(), (Size{50, 132}); got != want {
		t.Errorf("Size = %v, want %v", got, want)
	}
}

// Raw twice saves what was there before the first one, and nothing is set after Restore.
func TestRestore(t *testing.T) {
	_, slave := open(t)
	before := settings(t, slave)
	own := Of(slave)
	for range 2 {
		if err := own.Raw(); err != nil {
			t.Fatal(err)
		}
	}
	if now := settings(t, slave); now.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 || now.Oflag&unix.OPOST != 0 {
		t.Errorf("not raw: %+v", now)
	}
	own.Restore()
	if now := settings(t, slave); now != before {
		t.Errorf("after Restore %+v, before Raw %+v", now, before)
	}
	if err := own.Raw(); err != nil || settings(t, slave) != before {
		t.Errorf("Raw after Restore: %v, %+v", err, settings(t, slave))
	}
}

// The line to whoever watches breaks: that is what happens when ukl is killed.
func TestKilled(t *testing.T) {
	_, slave := open(t)
	before := settings(t, slave)
	own := Of(slave)
	if err := own.Raw(); err != nil {
		t.Fatal(err)
	}
	own.guard.Close()
	for deadline := time.Now().Add(10 * time.Second); settings(t, slave) != before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still %+v", settings(t, slave))
		}
	}
}

func TestWriter(t *testing.T) {
	_, slave := open(t)
	own := Of(slave)
	var seen bytes.Buffer
	w := own.Writer(&seen)
	io.WriteString(w, "a\nb\n")
	if err := own.Raw(); err != nil {
		t.Fatal(err)
	}
	defer own.Restore()
	io.WriteString(w, "c\nd\n")
	if got, want := seen.String(), "a\nb\n\rc\r\nd\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestKeys(t *testing.T) {
	const leave, interrupt = "\x1d", "\x03"
	for _, c := range []struct {
		name, pressed string
		after         time.Duration // between two reads
		left, ignored int
	}{
		{"three times", leave + leave + leave, 0, 1, 0},
		{"in two reads", leave + leave + "|" + leave, 0, 1, 0},
		{"slowly", leave + leave + "|" + leave, 2 * Pause, 0, 0},
		{"twice", leave + leave, 0, 0, 0},
		{"another key between", leave + leave + "x" + leave, 0, 0, 0},
		{"six times", strings.Repeat(leave, 6), 0, 2, 0},
		{"Ctrl-C", interrupt + interrupt + interrupt, 0, 0, 1},
		{"both", leave + interrupt + leave + interrupt + leave + interrupt, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var left, ignored int
			parts := strings.Split(c.pressed, "|")
			now := time.Unix(1000, 0)
			k := Keys(&reads{parts}, func() { left++ }, func() { ignored++ }).(*keys)
			k.now = func() time.Time { now = now.Add(c.after); return now }
			got, err := io.ReadAll(k)
			if err != nil || string(got) != strings.Join(parts, "") {
				t.Errorf("the application gets %q, %v", got, err)
			}
			if left != c.left || ignored != c.ignored {
				t.Errorf("left %d times, %d times unheeded", left, ignored)
			}
		})
	}
}

// reads gives one part for each read.
type reads struct{ parts []string }

func (s *reads) Read(b []byte) (int, error) {
	if len(s.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.parts[0])
	s.parts = s.parts[1:]
	return n, nil
}
