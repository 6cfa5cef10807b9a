package exit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// wrong is an error that says all that one can.
type wrong struct{}

func (wrong) Error() string     { return "wrong" }
func (wrong) ExitCode() Code    { return Pin }
func (wrong) Hint() string      { return "do it well" }
func (wrong) Details() []string { return []string{"first", "second"} }

// other has the method of other modules' errors.
type other struct{ error }

func (other) ExitCode() int { return 3 }

func TestOf(t *testing.T) {
	cause := errors.New("cause")
	for _, c := range []struct {
		err   error
		code  Code
		hint  string
		lines int
	}{
		{(&Error{Code: Input, Err: cause}).WithHint("try %d", 2), 65, "try 2", 0},
		{&Error{Code: Usage, Err: wrong{}}, 64, "", 0},
		{wrong{}, 73, "do it well", 2},
		{other{cause}, 69, "", 0},
		{cause, 69, "", 0},
		{fs.ErrNotExist, 66, "", 0},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, 66, "", 0},
		{context.Canceled, 130, "", 0},
		{errors.Join(wrong{}, context.Canceled), 130, "", 0},
		{syscall.EPIPE, 141, "", 0},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, 69, "free some disk space", 0},
		{errors.Join(wrong{}, errors.New("cc1: No space left on device")), 69, "free some disk space", 2},
		{Status(7), 7, "", 0},
	} {
		e := Of(fmt.Errorf("around: %w", c.err))
		if e.Code != c.code || !strings.HasPrefix(e.Hint, c.hint) || (c.hint == "") != (e.Hint == "") ||
			len(e.Lines) != c.lines {
			t.Errorf("%#v: %+v; want %d, %q, %d lines", c.err, e, c.code, c.hint, c.lines)
		}
	}
	if Status(0) != nil {
		t.Error("Status(0) is an error")
	}
	if e := Of(Status(7)); e.Err != nil {
		t.Errorf("Status(7) says %v", e.Err)
	}
}

// The codes are a promise to scripts: this test is their second copy.
func TestCodes(t *testing.T) {
	for name, c := range map[string][2]Code{
		"usage": {Usage, 64}, "input": {Input, 65}, "no input": {NoInput, 66}, "unavailable": {Unavailable, 69},
		"machine died": {MachineDied, 70}, "build failed": {BuildFailed, 71}, "pin": {Pin, 73},
		"timeout": {Timeout, 124}, "interrupted": {Interrupted, 130}, "signal 11": {Signalled(11), 139},
	} {
		if c[0] != c[1] {
			t.Errorf("%s = %d; want %d", name, c[0], c[1])
		}
		found := false
		for _, r := range Table() {
			found = found || r.Code == fmt.Sprint(c[1])
		}
		if !found && !strings.HasPrefix(name, "signal") {
			t.Errorf("%s is not in the table", name)
		}
	}
}

// A path that is missing, or with which nothing can be done, is named in a sentence; other errors keep their words.
func TestOfPath(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&fs.PathError{Op: "stat", Path: "x", Err: syscall.ENOENT}, "x: no such file or directory"},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, "cannot open x: permission denied"},
		{&fs.PathError{Op: "mkdir", Path: "x", Err: syscall.ENOENT}, "cannot make the directory x: no such file or directory"},
		{
			fmt.Errorf("volume a: %w", &fs.PathError{Op: "lstat", Path: "x", Err: syscall.ENOTDIR}),
			"volume a: cannot look at x: not a directory",
		},
		{&fs.PathError{Op: "ioctl", Path: "x", Err: syscall.ENOTTY}, "ioctl x: inappropriate ioctl for device"},
		{errors.New("stat x"), "stat x"},
		{
			fmt.Errorf("expressions: %w", &fs.PathError{
				Op: "Copy", Path: "d/x", Err: &fs.PathError{Op: "write", Path: "d/x", Err: syscall.ENOSPC},
			}),
			"expressions: cannot write d/x: no space left on device",
		},
	} {
		e := Of(c.err)
		if e.Err.Error() != c.want || !errors.Is(e, c.err) {
			t.Errorf("%q, want %q", e.Err, c.want)
		}
	}
}

// A directory that cannot be made is no missing input: the hint says which variables choose another.
func TestUnwritable(t *testing.T) {
	for _, c := range []struct {
		op   string
		err  error
		code Code
		hint string
	}{
		{"mkdir", syscall.EROFS, Unavailable, "XDG_CACHE_HOME"},
		{"mkdir", syscall.ENOENT, Unavailable, "XDG_CACHE_HOME"}, // below /proc
		{"open", syscall.EROFS, Unavailable, "XDG_CACHE_HOME"},
		{"mkdir", syscall.ENOSPC, Unavailable, "free some disk space"},
		{"open", syscall.ENOENT, NoInput, ""},
		{"open", syscall.EACCES, Unavailable, ""},
	} {
		e := Of(&fs.PathError{Op: c.op, Path: "x", Err: c.err})
		if e.Code != c.code || !strings.Contains(e.Hint, c.hint) || c.hint == "" && e.Hint != "" {
			t.Errorf("%s: %v: %d, %q", c.op, c.err, e.Code, e.Hint)
		}
	}
}
