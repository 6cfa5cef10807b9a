package qemu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Env names a QEMU to use instead of the pinned one: a program, or an unpacked Debian tree that holds one. For
// development.
const Env = "UKL_QEMU"

// program is QEMU's path inside a tree.
const program = "usr/bin/qemu-system-x86_64"

// virtiofsd is the path of the server for volumes inside a tree.
const virtiofsd = "usr/lib/qemu/virtiofsd"

// Program is how to start QEMU on this machine.
type Program struct {
	Argv []string // the program and the arguments that come before a machine's
	Env  []string // K=V, added to ukl's own environment
	// Tree is the pinned tree that the program is in; "" is none. Another QEMU may need anything of the host.
	Tree string
	// VirtioFS is the virtiofsd of the same tree, with the arguments that come before its own; nil if there is none.
	VirtioFS []string
}

// Find returns the QEMU of a tree; override, if not empty, is the value of Env.
func Find(tree, override string) (Program, error) {
	if override == "" {
		p, err := inTree(tree)
		p.Tree = tree
		return p, err
	}
	if fi, err := os.Stat(override); err == nil && fi.IsDir() {
		return inTree(override)
	}
	path, err := exec.LookPath(override)
	if err != nil {
		return Program{}, fmt.Errorf("%s: %w", Env, err)
	}
	return Program{Argv: []string{path}}, nil
}

// inTree runs QEMU through the tree's own loader and libraries, so that nothing of the host takes part. TCG is a module
// of Debian's QEMU, found through the environment only.
func inTree(tree string) (Program, error) {
	at := func(p string) string { return filepath.Join(tree, p) }
	if _, err := os.Stat(at(program)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Program{}, fmt.Errorf("no QEMU in %s", tree)
		}
		return Program{}, err
	}
	const lib = "usr/lib/x86_64-linux-gnu"
	loader := []string{at("usr/lib64/ld-linux-x86-64.so.2"), "--library-path", at("lib/x86_64-linux-gnu") + ":" + at(lib)}
	p := Program{
		Argv: append(slices.Clip(loader), at(program), "-L", at("usr/share/qemu"), "-L", at("usr/share/seabios")),
		Env:  []string{"QEMU_MODULE_DIR=" + at(lib+"/qemu")},
	}
	if _, err := os.Stat(at(virtiofsd)); err == nil {
		p.VirtioFS = append(slices.Clip(loader), at(virtiofsd))
	}
	return p, nil
}

// Identity changes when the program does: it keys what was measured with it.
func (p Program) Identity() string { return strings.Join(p.Argv, " ") }

// Command is the whole command line as text that a shell reads back, one option a line.
func (p Program) Command(args []string) string {
	var b strings.Builder
	for _, kv := range p.Env {
		k, v, _ := strings.Cut(kv, "=")
		b.WriteString(k + "=" + quote(v) + " \\\n")
	}
	for i, a := range append(append([]string{}, p.Argv...), args...) {
		switch {
		case i == 0:
		case i >= len(p.Argv) && strings.HasPrefix(a, "-"):
			b.WriteString(" \\\n  ")
		default:
			b.WriteByte(' ')
		}
		b.WriteString(quote(a))
	}
	return b.String()
}

func quote(s string) string {
	q, err := syntax.Quote(s, syntax.LangBash)
	if err != nil { // a NUL byte, which no argument can hold
		return s
	}
	return q
}
