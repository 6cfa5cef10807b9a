// Package exit is the one table of ukl's exit codes, and what an error says of the end of a command. Only main exits;
// every other package returns an error. An error type may have the methods
//
//	ExitCode() exit.Code // without it the code is Unavailable
//	Hint() string        // the line that helps, best one that can be pasted; "" is none
//	Details() []string   // what happened: the end of a log, the compiler's words; printed below the message
//
// A code never changes its meaning. The package imports nothing of ukl, so that every package may import it.
package exit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
)

// Code is an exit code. It is a type of its own, so that the ExitCode methods of other modules' errors (os/exec's, the
// command line library's) are not taken for one.
type Code int

// Codes of ukl itself. Everything else that ukl exits with is the application's own status.
const (
	OK          Code = 0
	No          Code = 1
	Usage       Code = 64
	Input       Code = 65
	NoInput     Code = 66
	Unavailable Code = 69
	MachineDied Code = 70
	BuildFailed Code = 71
	Pin         Code = 73
	Timeout     Code = 124
	Interrupted Code = 130
	signalled   Code = 128
)

// Signalled is the code of something that signal n ended.
func Signalled(n int) Code { return signalled + Code(n) }

// Row is one line of the table.
type Row struct {
	Code    string
	Meaning string
}

// Table lists all codes in order, for help and documentation.
func Table() []Row {
	row := func(code Code, meaning string) Row { return Row{fmt.Sprint(code), meaning} }
	return []Row{
		{"0..255", "run: the application's own exit code"},
		{fmt.Sprintf("%d+N", signalled), "run: signal N killed the application; 141 also if the reader of stdout or stderr went away"},
		row(No, "client: a wrong answer; test, kernel check: one failed; init, source, kernel mail: it exists; "+
			"build --check: it differs; pins outdated: one is old"),
		row(Usage, "the command line is wrong"),
		row(Input, "ukl.toml or the lock is wrong, at file:line:column; kernel: the series or its work tree is not in order"),
		row(NoInput, "an application, directory or file does not exist"),
		row(Unavailable, "something needed is missing: Nix, a free port, disk space, KVM if you asked for it"),
		row(MachineDied, "the machine died before the guest reported a status"),
		row(BuildFailed, "a build failed"),
		row(Pin, "a pinned input is missing, or its hash is wrong"),
		row(Timeout, "--timeout passed"),
		row(Interrupted, "Ctrl-C"),
	}
}

// Error is an error that knows ukl's exit code. A nil Err prints nothing: the code is the application's.
type Error struct {
	Code  Code
	Err   error
	Lines []string // what happened, printed below the message
	Hint  string   // a second line that helps, best one that can be pasted; "" is none
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Status is the silent end with an application's code; nil for 0.
func Status(code Code) error {
	if code == OK {
		return nil
	}
	return &Error{Code: code}
}

// Errorf makes an Error without a hint.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// WithHint adds the hint, in place.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Of is what err says of the end of a command: an *Error of its chain, or what its chain's methods say. Errors of Go's
// own packages that reached the top have their codes here.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	e = &Error{Code: Unavailable, Err: plain(err)}
	var (
		coded    interface{ ExitCode() Code }
		hinted   interface{ Hint() string }
		detailed interface{ Details() []string }
	)
	switch {
	case errors.Is(err, context.Canceled):
		return &Error{Code: Interrupted}
	case errors.Is(err, syscall.EPIPE):
		return &Error{Code: Signalled(int(syscall.SIGPIPE))}
	case errors.As(err, &coded):
		e.Code = coded.ExitCode()
	case unwritable(err):
		e.Hint = "name a directory in which you may write; those of ukl are set by HOME, XDG_CACHE_HOME and XDG_STATE_HOME"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
		e.Code = NoInput
	}
	if errors.As(err, &hinted) {
		e.Hint = hinted.Hint()
	}
	if errors.As(err, &detailed) {
		e.Lines = detailed.Details()
	}
	if errors.Is(err, syscall.ENOSPC) || full(append(slices.Clone(e.Lines), err.Error())) {
		e.Code, e.Hint = Unavailable, "free some disk space; what is finished is kept"
	}
	return e
}

// verbs are the calls of Go's own packages that fail with a path, as a sentence names them; where the path is missing,
// the call does not matter.
var verbs = map[string]string{
	"stat": "look at", "lstat": "look at", "open": "open", "mkdir": "make the directory", "read": "read",
	"write": "write", "rename": "rename", "remove": "remove", "unlinkat": "remove", "chmod": "change the mode of",
	"readlink": "read the link",
}

// saying is an error in other words.
type saying struct {
	error
	text string
}

func (s saying) Error() string { return s.text }
func (s saying) Unwrap() error { return s.error }

// plain puts an error of a path into words: "FILE: no such file or directory", "cannot open FILE: permission denied".
func plain(err error) error {
	var p *fs.PathError
	if !errors.As(err, &p) {
		return err
	}
	whole := p // what Go's copying of directories says names the file twice
	for inner := (*fs.PathError)(nil); errors.As(p.Err, &inner); {
		p = inner
	}
	if verbs[p.Op] == "" {
		return err
	}
	text := fmt.Sprintf("cannot %s %s: %v", verbs[p.Op], p.Path, p.Err)
	if errors.Is(p, fs.ErrNotExist) && verbs[p.Op] != verbs["mkdir"] {
		text = fmt.Sprintf("%s: %v", p.Path, p.Err)
	}
	return saying{err, strings.Replace(err.Error(), whole.Error(), text, 1)}
}

// unwritable tells whether a directory cannot be made, or nothing can be written on a file system. A directory that is
// not there is the input of a command; one that cannot be made is not.
func unwritable(err error) bool {
	var p *fs.PathError
	return errors.Is(err, syscall.EROFS) || errors.As(err, &p) && p.Op == "mkdir" && !errors.Is(err, syscall.ENOSPC)
}

// full tells whether somebody else's words mean a full disk: Nix, its database and a stage's compiler have their own.
func full(lines []string) bool {
	return slices.ContainsFunc(lines, func(l string) bool {
		return strings.Contains(l, "No space left on device") || strings.Contains(l, "database or disk is full")
	})
}
