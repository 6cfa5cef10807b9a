// Package exit is the one table of ukl's exit codes, and the error type that carries a code to the top. Only main exits; every
// other package returns an error, and whoever knows what it means for the user wraps it here. A code never changes its meaning.
package exit

import (
	"errors"
	"fmt"
)

// Codes of ukl itself. Everything else that ukl exits with is the application's own status.
const (
	OK          = 0
	No          = 1
	Usage       = 64
	Input       = 65
	NoInput     = 66
	Unavailable = 69
	MachineDied = 70
	BuildFailed = 71
	Pin         = 73
	Timeout     = 124
	Interrupted = 130
	signalled   = 128
)

// Signalled is the code of something that signal n ended.
func Signalled(n int) int { return signalled + n }

// Row is one line of the table.
type Row struct {
	Code    string
	Meaning string
}

// Table lists all codes in order, for help and documentation.
func Table() []Row {
	row := func(code int, meaning string) Row { return Row{fmt.Sprint(code), meaning} }
	return []Row{
		{"0..255", "run: the application's own exit code"},
		{fmt.Sprintf("%d+N", signalled), "run: signal N killed the application; 141 also: the reader of stdout went away"},
		row(No, "client: a wrong answer; test: one failed; init: a file is there; build --check: builds differ; kernel check: a patch fails; pins outdated: some are"),
		row(Usage, "the command line makes no sense"),
		row(Input, "ukl.toml or the lock is wrong: file:line:column says where; kernel: the series, or the state of its work tree"),
		row(NoInput, "there is no such application, directory or file"),
		row(Unavailable, "something needed is not there: Nix, a free port, disk space, KVM when asked for"),
		row(MachineDied, "the machine died: no status came from the guest"),
		row(BuildFailed, "a build failed"),
		row(Pin, "a pinned input is missing, or its hash is wrong"),
		row(Timeout, "--timeout passed"),
		row(Interrupted, "Ctrl-C"),
	}
}

// Error is an error that knows ukl's exit code. A nil Err prints nothing: the code is the application's.
type Error struct {
	Code int
	Err  error
	// Lines show what happened: the end of a log, the compiler's words. They are printed below the message.
	Lines []string
	Hint  string // a second line that helps, best one that can be pasted; "" is none
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Status is the silent end with an application's code; nil for 0.
func Status(code int) error {
	if code == OK {
		return nil
	}
	return &Error{Code: code}
}

// Errorf makes an Error without a hint.
func Errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// WithHint adds the hint, in place.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Of returns the code and the hint that err carries anywhere in its chain; ok is false for one that has none.
func Of(err error) (e *Error, ok bool) {
	ok = errors.As(err, &e)
	return e, ok
}
