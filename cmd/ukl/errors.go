package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/app/program"
	"ukl/internal/app/scaffold"
	"ukl/internal/build/image"
	"ukl/internal/build/oci"
	"ukl/internal/build/sandbox"
	"ukl/internal/build/worktree"
	"ukl/internal/cli/exit"
	"ukl/internal/host/nix"
	"ukl/internal/host/userns"
	"ukl/internal/kernel/series"
	"ukl/internal/machine/qemu"
	"ukl/internal/pin/pins"
	"ukl/internal/run/gdb"
	"ukl/internal/run/guest"
	"ukl/internal/run/instance"
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

// classify gives every error its code and, where something helps, its hint. It is the only place that knows all typed errors.
func classify(err error) *exit.Error {
	if e, ok := exit.Of(err); ok {
		return e
	}
	e := &exit.Error{Code: exit.Unavailable, Err: err}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		e.Hint = hinted.Hint()
	}
	var (
		stop       interrupted
		died       *guest.Died
		faults     manifest.Errors
		none       *manifest.NotFound
		unknown    *apps.Unknown
		unfit      *program.Unfit
		there      *scaffold.There
		stale      *pins.Stale
		nopackage  *pins.NoPackage
		notap      *qemu.NoTap
		nofunction *gdb.NoFunction
		noguest    *instance.Unknown
		syntax     *pins.SyntaxError
		mismatch   *pins.Mismatch
		nowhere    *pins.Unavailable
		failed     *nix.BuildError
		differs    *image.Differs
		evaluation *nix.CommandError
		twice      *qemu.Twice
		unsayable  *oci.Unsayable
		heavy      *guest.Heavy
		notree     *series.NoTree
		empty      *series.Empty
		moved      *series.Moved
		unfinished *series.Unfinished
		outdated   *worktree.Stale
		nopatch    *worktree.NoPatch
		broken     *worktree.Broken
		nosandbox  *nix.NoSandbox
		nostore    *nix.NoStore
	)
	switch {
	case errors.As(err, &stop):
		e.Code = exit.Signalled(int(stop.signal))
		if stop.signal == syscall.SIGINT {
			e.Err = nil // whoever pressed Ctrl-C knows
		}
	case errors.Is(err, context.Canceled):
		return &exit.Error{Code: exit.Interrupted}
	case errors.Is(err, guest.ErrReaderGone), errors.Is(err, syscall.EPIPE):
		return &exit.Error{Code: exit.Signalled(int(syscall.SIGPIPE))}
	case errors.As(err, &died):
		e.Code, e.Lines = exit.MachineDied, died.Tail
		if died.Log != "" {
			e.Hint = "the whole kernel log is " + died.Log
		}
		if died.Memory != 0 {
			e.Lines, e.Hint = nil, moreMemory(died.Memory)
		}
	case errors.As(err, &faults):
		e.Code, e.Err, e.Hint = exit.Input, faults[0], faults[0].Hint
		for _, more := range faults[1:] {
			line := more.Error()
			if more.Hint != "" {
				line += "; " + more.Hint
			}
			e.Lines = append(e.Lines, line)
		}
	case errors.As(err, &there):
		e.Code = exit.No
	case errors.As(err, &none):
		e.Code, e.Hint = exit.NoInput, "`ukl init` makes one, for sources that are there as well; `ukl list` shows what comes along"
	case errors.As(err, &unknown):
		e.Code = exit.NoInput
	case errors.As(err, &noguest):
		e.Code = exit.NoInput
	case errors.As(err, &notap):
		if e.Lines = notap.Commands(); len(e.Lines) > 0 {
			e.Hint = "as root, these make it"
		}
	case errors.As(err, &nofunction):
		e.Code = exit.NoInput
	case errors.As(err, &nopackage):
		e.Code = exit.NoInput
	case errors.As(err, &syntax), errors.As(err, &unfit), errors.As(err, &stale), errors.As(err, &unsayable):
		e.Code = exit.Input
	case errors.As(err, &mismatch), errors.As(err, &nowhere):
		e.Code = exit.Pin
	case errors.As(err, &differs):
		buildsDiffer(e, differs)
	case errors.As(err, &failed):
		buildFailed(e, failed)
	case errors.As(err, &nosandbox):
		e.Lines = []string{nosandbox.Said}
	case errors.As(err, &nostore):
		e.Lines = nostore.Lines()
	case errors.As(err, &broken):
		e.Code, e.Lines = exit.BuildFailed, broken.Lines
	case errors.As(err, &notree):
		e.Code, e.Hint = exit.NoInput, "ukl kernel init makes one; --tree DIR names it"
	case errors.As(err, &empty), errors.As(err, &nopatch):
		e.Code = exit.NoInput
	case errors.As(err, &moved):
		e.Code, e.Hint = exit.Input, "git diff there shows what is new; --overwrite replaces it"
	case errors.As(err, &unfinished):
		e.Code, e.Lines = exit.Input, unfinished.Lines
	case errors.As(err, &outdated):
		e.Code = exit.Input
	case errors.As(err, &evaluation):
		e.Code = exit.BuildFailed
		e.Lines = []string{shortened(evaluation.Command)}
	case errors.As(err, &heavy):
		e.Code = exit.Input
	case errors.Is(err, errFolder), errors.As(err, &twice):
		e.Code = exit.Usage
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
		e.Code = exit.NoInput
	case errors.Is(err, syscall.ENOSPC):
		e.Hint = "free some disk space"
	}
	if full(append(e.Lines, err.Error())) {
		e.Code, e.Hint = exit.Unavailable, "free some disk space; what is finished is kept"
	}
	return e
}

// moreMemory is what helps a guest that has too little.
func moreMemory(mib int) string {
	return fmt.Sprintf("give it more: -m %dM, or memory in ukl.toml", 2*mib)
}

// full tells whether somebody else's words mean a full disk: Nix, its database and a stage's compiler have their own.
func full(lines []string) bool {
	return slices.ContainsFunc(lines, func(l string) bool {
		return strings.Contains(l, "No space left on device") || strings.Contains(l, "database or disk is full")
	})
}

// shortened is the beginning of a command: those that add files to the store name a hundred.
func shortened(command string) string {
	const longest = 200
	if len(command) <= longest {
		return command
	}
	cut := strings.LastIndexByte(command[:longest], ' ')
	return command[:max(cut, 0)] + " ..."
}

// buildFailed says what a failed stage said.
func buildFailed(e *exit.Error, failed *nix.BuildError) {
	e.Code, e.Lines = exit.BuildFailed, failed.Lines
	e.Hint = "the whole log: " + failed.LogCommand
	said := func(text string) bool {
		return slices.ContainsFunc(failed.Lines, func(l string) bool { return strings.Contains(l, text) })
	}
	switch {
	case failed.Code == nix.HashMismatch:
		e.Code = exit.Pin
	case said(sandbox.ErrNamespaces.Error()):
		e.Code, e.Hint = exit.Unavailable, userns.Remedy()
	case said("Permission denied") && nix.DaemonHint() != "":
		e.Code, e.Hint = exit.Unavailable, nix.DaemonHint()
	}
}

// most are the differences that are shown of two builds.
const most = 10

func buildsDiffer(e *exit.Error, d *image.Differs) {
	e.Code = exit.No
	for i, p := range d.Places {
		if i == most {
			e.Lines = append(e.Lines, fmt.Sprintf("and %d more", len(d.Places)-most))
			break
		}
		e.Lines = append(e.Lines, p.String())
	}
	if d.Second != "" {
		e.Hint = fmt.Sprintf("diff -r %s %s", d.First, d.Second)
	}
}
