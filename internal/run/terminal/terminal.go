// Package terminal lends the terminal that ukl was started on to the application of a guest, which has one of its own
// there: keys go to it as they are pressed, and nothing of ukl's terminal changes what it writes. What was set before
// is set again at any end, also if ukl is killed.
package terminal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Inside is the first argument by which the program that calls Raw must know that it is to hand over to Child.
const Inside = "terminal-inside"

// Size is that of a window, in characters.
type Size struct{ Rows, Columns int }

// usual is the size of a terminal that does not know its own, as a serial line.
var usual = Size{24, 80}

// Terminal is one that ukl has as its standard streams.
type Terminal struct {
	file *os.File

	mu    sync.Mutex
	raw   bool
	over  bool
	saved unix.Termios
	guard *os.File // the line to the process that sets it again if ukl is killed; nil is none
}

// Of is the terminal that all files are, or nil if they are none, or several.
func Of(files ...any) *Terminal {
	var first os.FileInfo
	var t *Terminal
	for _, any := range files {
		f, ok := any.(*os.File)
		if !ok || f == nil {
			return nil
		}
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
			return nil
		}
		fi, err := f.Stat()
		switch {
		case err != nil:
			return nil
		case t == nil:
			t, first = &Terminal{file: f}, fi
		case !os.SameFile(first, fi):
			return nil
		}
	}
	return t
}

// Size is the size of its window now.
func (t *Terminal) Size() Size {
	w, err := unix.IoctlGetWinsize(int(t.file.Fd()), unix.TIOCGWINSZ)
	if err != nil || w.Row == 0 || w.Col == 0 {
		return usual
	}
	return Size{int(w.Row), int(w.Col)}
}

// Foreground tells whether ukl may read the terminal and set it: it is no job in the background of a shell.
func (t *Terminal) Foreground() bool {
	group, err := unix.IoctlGetInt(int(t.file.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// Raw makes the terminal pass on each key, and show each byte, as it is, until Restore, after which it does nothing. It
// may be called again after somebody else has changed the terminal's settings, as a shell does that has continued ukl.
func (t *Terminal) Raw() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return nil
	}
	if !t.raw {
		now, err := unix.IoctlGetTermios(int(t.file.Fd()), unix.TCGETS)
		if err != nil {
			return err
		}
		t.saved = *now
		if err := t.watch(); err != nil {
			return err
		}
	}
	s := t.saved
	// As cfmakeraw() of termios(3).
	s.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	s.Oflag &^= unix.OPOST
	s.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	s.Cflag = s.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	s.Cc[unix.VMIN], s.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(t.file.Fd()), unix.TCSETS, &s); err != nil {
		return err
	}
	t.raw = true
	return nil
}

// Restore sets what was set before Raw, for good.
func (t *Terminal) Restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.raw {
		_ = unix.IoctlSetTermios(int(t.file.Fd()), unix.TCSETS, &t.saved) // a terminal that is gone needs nothing
		t.raw = false
	}
	if t.guard != nil {
		_, _ = t.guard.Write([]byte{1})
		t.guard.Close()
		t.guard = nil
	}
}

// watch starts the process that restores the terminal if this one is killed.
func (t *Terminal) watch() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	saved, err := json.Marshal(t.saved)
	if err != nil {
		return err
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	defer theirs.Close()
	cmd := exec.Command(self, Inside, string(saved))
	cmd.ExtraFiles = []*os.File{theirs, t.file}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // whoever kills ukl's group does not mean it
	if err := cmd.Start(); err != nil {
		ours.Close()
		return err
	}
	go func() { _ = cmd.Wait() }()
	t.guard = ours
	return nil
}

// Child waits until the process that has called Raw has restored the terminal, or has ended without that, and then does
// it in its place. Descriptor 3 is the line to it, and 4 the terminal.
func Child(args []string) error {
	var saved unix.Termios
	if len(args) != 1 {
		return errors.New("this command is ukl's own")
	}
	if err := json.Unmarshal([]byte(args[0]), &saved); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGTTOU, syscall.SIGTSTP)
	if n, _ := os.NewFile(3, "line").Read(make([]byte, 1)); n == 1 {
		return nil
	}
	return unix.IoctlSetTermios(4, unix.TCSETS, &saved)
}

// Changes gets a value when the window may have another size, or ukl has been continued, until stop is called.
func Changes() (c <-chan os.Signal, stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGCONT)
	return signals, func() { signal.Stop(signals) }
}

// Writer passes lines of ukl's own on to the terminal. While that is raw, a line feed does not return the carriage.
func (t *Terminal) Writer(w io.Writer) io.Writer { return lines{t, w} }

type lines struct {
	t *Terminal
	w io.Writer
}

func (l lines) Write(b []byte) (int, error) {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	text := b
	if l.t.raw {
		text = append([]byte("\r"), bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))...)
	}
	if _, err := l.w.Write(text); err != nil {
		return 0, err
	}
	return len(b), nil
}

// The keys that end the guest, whatever the application makes of them: Leave, as often as Times, each within Pause of
// the one before. It is what virsh and telnet know, but not at once: an editor knows it, too.
const (
	Leave = 0x1d // Ctrl-]
	Times = 3
	Pause = time.Second
)

// interrupt is Ctrl-C. Somebody who presses it as often does not know that it is the application's.
const interrupt = 0x03

// Keys are the keys of r as the application gets them. leave is called when somebody wants to end the guest, and
// unheeded when somebody seems to think that Ctrl-C does.
func Keys(r io.Reader, leave, unheeded func()) io.Reader {
	return &keys{r: r, now: time.Now, watched: []*row{{key: Leave, then: leave}, {key: interrupt, then: unheeded}}}
}

type keys struct {
	r       io.Reader
	now     func() time.Time
	watched []*row
}

// row is a key that was pressed several times, and nothing between.
type row struct {
	key   byte
	then  func()
	count int
	last  time.Time
}

func (k *keys) Read(b []byte) (int, error) {
	n, err := k.r.Read(b)
	now := k.now()
	for _, key := range b[:n] {
		for _, w := range k.watched {
			switch {
			case key != w.key:
				w.count = 0
				continue
			case now.Sub(w.last) > Pause:
				w.count = 0
			}
			w.count++
			if w.last = now; w.count == Times {
				w.count = 0
				w.then()
			}
		}
	}
	return n, err
}
