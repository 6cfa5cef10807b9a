package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ukl/internal/build/sandbox"
	"ukl/internal/cli/exit"
	"ukl/internal/host/folders"
	"ukl/internal/host/nix"
	"ukl/internal/host/userns"
)

// What is wrong with a machine is not taken for a build that failed, and the other way round.
func TestClassifyMachine(t *testing.T) {
	namespaces := fmt.Sprintf("stage0: error: %v: operation not permitted", sandbox.ErrNamespaces)
	for _, c := range []struct {
		err  error
		code exit.Code
		hint string
	}{
		{nix.NotFound{}, exit.Unavailable, "nix"},
		{
			&nix.NoStore{Said: "opening lock file '/nix/var/nix/db/big-lock': Permission denied"}, exit.Unavailable,
			"NIX_REMOTE",
		},
		{&nix.NoSandbox{Said: "unable to start build process"}, exit.Unavailable, userns.Remedy()},
		{&folders.Homeless{UID: 7}, exit.Unavailable, "export HOME="},
		{&nix.BuildError{Stage: "x", Code: nix.Failed, Lines: []string{namespaces}}, exit.Unavailable, userns.Remedy()},
		{
			&nix.BuildError{Stage: "x", Code: nix.Failed, Lines: []string{"x.c:1:1: error: no"}}, exit.BuildFailed,
			"the whole log",
		},
		{&nix.BuildError{Stage: "x", Code: nix.HashMismatch}, exit.Pin, "the whole log"},
		{&nix.CommandError{Text: "undefined variable 'x'"}, exit.BuildFailed, ""},
	} {
		e := ending(fmt.Errorf("around: %w", c.err))
		if e.Code != c.code || !strings.Contains(e.Hint, c.hint) || !errors.Is(e, e.Err) {
			t.Errorf("%T: code %d, hint %q; want %d, %q", c.err, e.Code, e.Hint, c.code, c.hint)
		}
	}
}
