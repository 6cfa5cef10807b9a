package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"ukl/internal/build/sandbox"
	"ukl/internal/cli/exit"
	"ukl/internal/host/nix"
	"ukl/internal/host/printable"
	"ukl/internal/host/userns"
	"ukl/internal/run/guest"
)

// report is the one printer of errors, and returns the exit code.
func (t *tool) report(err error) int {
	if err == nil {
		return int(exit.OK)
	}
	e := ending(err)
	if e.Err != nil {
		fmt.Fprintf(t.stderr, "ukl: error: %s\n", printable.Text(strings.TrimSpace(e.Err.Error())))
		for _, line := range e.Lines {
			fmt.Fprintf(t.stderr, "    %s\n", printable.Text(line))
		}
	}
	if e.Hint != "" {
		fmt.Fprintf(t.stderr, "ukl: hint: %s\n", printable.Text(e.Hint))
	}
	return int(e.Code)
}

// ending is what an error says of the end of a command. A stage that failed for the machine's sake tells so in its log,
// whose words package nix does not know.
func ending(err error) *exit.Error {
	if stop := (interrupted{}); errors.As(err, &stop) {
		e := &exit.Error{Code: exit.Signalled(int(stop.signal)), Err: err}
		if unheeded := (*guest.Unheeded)(nil); stop.signal == syscall.SIGINT && !errors.As(err, &unheeded) {
			e.Err = nil // whoever pressed Ctrl-C knows
		}
		return e
	}
	e := exit.Of(err)
	failed := (*nix.BuildError)(nil)
	if !errors.As(err, &failed) || e.Code != exit.BuildFailed {
		return e
	}
	said := func(text string) bool {
		return slices.ContainsFunc(failed.Lines, func(l string) bool { return strings.Contains(l, text) })
	}
	switch {
	case said(sandbox.ErrNamespaces.Error()):
		e.Code, e.Hint = exit.Unavailable, userns.Remedy()
	case said("Permission denied") && nix.DaemonHint() != "":
		e.Code, e.Hint = exit.Unavailable, nix.DaemonHint()
	}
	return e
}
