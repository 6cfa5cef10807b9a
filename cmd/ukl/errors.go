package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"ukl/internal/exit"
	"ukl/internal/guest"
)

// report is the one printer of errors, and returns the exit code.
func (t *tool) report(err error) int {
	if err == nil {
		return exit.OK
	}
	e := classify(err)
	if e.Err != nil {
		fmt.Fprintf(t.stderr, "ukl: error: %s\n", strings.TrimSpace(e.Err.Error()))
		for _, line := range e.Lines {
			fmt.Fprintf(t.stderr, "    %s\n", line)
		}
	}
	if e.Hint != "" {
		fmt.Fprintf(t.stderr, "ukl: hint: %s\n", e.Hint)
	}
	return e.Code
}

// classify gives every error its code and, where something helps, its hint.
func classify(err error) *exit.Error {
	if e, ok := exit.Of(err); ok {
		return e
	}
	var stop interrupted
	if errors.As(err, &stop) {
		return &exit.Error{Code: exit.Signalled(int(stop.signal))}
	}
	if errors.Is(err, context.Canceled) {
		return &exit.Error{Code: exit.Interrupted}
	}
	if errors.Is(err, guest.ErrReaderGone) || errors.Is(err, syscall.EPIPE) {
		return &exit.Error{Code: exit.Signalled(int(syscall.SIGPIPE))}
	}
	var died *guest.Died
	if errors.As(err, &died) {
		e := &exit.Error{Code: exit.MachineDied, Err: err, Lines: died.Tail}
		if died.Log != "" {
			return e.WithHint("the whole kernel log is %s", died.Log)
		}
		return e
	}
	var forwarding *guest.Forwarding
	if errors.As(err, &forwarding) {
		return &exit.Error{Code: exit.Unavailable, Err: err}
	}
	if errors.Is(err, syscall.ENOSPC) {
		return &exit.Error{Code: exit.Unavailable, Err: err, Hint: "free some disk space"}
	}
	return &exit.Error{Code: exit.Unavailable, Err: err}
}

// exitCodes is the table as help shows it.
func exitCodes() string {
	var b strings.Builder
	b.WriteString("\nEXIT CODES:\n")
	for _, r := range exit.Table() {
		fmt.Fprintf(&b, "   %-8s%s\n", r.Code, r.Meaning)
	}
	return b.String()
}
