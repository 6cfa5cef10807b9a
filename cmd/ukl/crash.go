package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/app/program"
	"ukl/internal/host/realpath"
	"ukl/internal/report/crash"
	"ukl/internal/run/guest"
)

// backtrace says where a signal killed the application; nil if nothing has reported a crash. What it cannot find makes
// the trace shorter and is no error.
func (t *tool) backtrace(c *cli.Context, a apps.App, o guest.Options, v guest.Verdict) []string {
	r, ok := crash.Parse(v.Crash, v.Signal)
	if !ok {
		return nil
	}
	var p *crash.Program
	var err error
	if file := t.symbols(c, a, o); file != "" {
		p, err = crash.Open(file, systemMap(o))
	}
	trace := p.Look(r, cmp.Or(o.Place, crash.AppFile), libraries(o))
	if err != nil {
		trace.End = err.Error()
	}
	return trace.Lines()
}

// libraries finds the files of the host that a guest has as libraries. What it does not find is nil.
func libraries(o guest.Options) func(file string) *crash.Program {
	return func(file string) *crash.Program {
		for _, host := range o.HostFiles(file) {
			if p := library(host); p != nil {
				return p
			}
		}
		return nil
	}
}

// library is what is known of one; nil is nothing.
func library(h guest.HostFile) *crash.Program {
	f, err := h.Open()
	if err != nil {
		return nil
	}
	defer f.Close()
	p, err := crash.Read(f, "")
	if err != nil {
		return nil
	}
	return p
}

// tellLate says where a kernel is that does not come to start the application.
func (t *tool) tellLate(c *cli.Context, o guest.Options, l guest.Late) {
	s := fmt.Sprintf("the kernel has not started the application after %s", o.Patience)
	if l.Silent {
		s += ", and has printed nothing"
	}
	if name := crash.KernelFunction(systemMap(o), l.Address); name != "" {
		s += ", and is at " + name
	} else if l.Address != 0 {
		s += fmt.Sprintf(", and is at %#x", l.Address)
	}
	t.note(c, "%s; -v shows its messages, --timeout ends it", s)
}

// systemMap is the file with the symbols of a run's kernel. It need not be there.
func systemMap(o guest.Options) string {
	return filepath.Join(filepath.Dir(o.Machine.Kernel), "System.map")
}

// inApp names the place of a dead kernel that was in the application's code, which it knows only as a number.
func (t *tool) inApp(c *cli.Context, a apps.App, o guest.Options, where string) string {
	n, err := strconv.ParseUint(where, 0, 64)
	if err != nil {
		return where
	}
	p, err := crash.Open(t.symbols(c, a, o), "")
	if err != nil {
		return where
	}
	return strings.Join(strings.Fields(p.Place(n)), " ") + " of the application"
}

// symbols is the file that has the application's symbols; "" if there is none. A program of the user's own has more of
// them than what is left of it in the image. For developers of kernels, the application's word may be the program.
func (t *tool) symbols(c *cli.Context, a apps.App, o guest.Options) string {
	kernel := o.Machine.Kernel
	switch {
	case a.Program != "":
		if real, err := realpath.Of(a.Program); err != nil || o.Writes(real) {
			return ""
		}
		return a.Program
	case o.Root != "":
		if file := filepath.Join(filepath.Dir(o.Root), "app"); program.Is(file) {
			return file
		}
		return ""
	case c.IsSet("kernel"):
		if word := c.Args().First(); program.Is(word) {
			return word
		}
		return ""
	}
	if file := filepath.Join(filepath.Dir(kernel), "app"); program.Is(file) {
		return file
	}
	b, done := t.builder(c)
	defer done()
	file, err := b.Linked(c.Context, a)
	if err != nil || !equal(kernel, filepath.Join(filepath.Dir(file), "vmlinux")) {
		return "" // the sources are no longer what runs
	}
	return file
}

// equal tells whether two files have the same content.
func equal(a, b string) bool {
	x, err := os.Open(a)
	if err != nil {
		return false
	}
	defer x.Close()
	y, err := os.Open(b)
	if err != nil {
		return false
	}
	defer y.Close()
	p, q := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, xerr := io.ReadFull(x, p)
		m, yerr := io.ReadFull(y, q)
		switch {
		case !bytes.Equal(p[:n], q[:m]):
			return false
		case xerr != nil || yerr != nil:
			return xerr == yerr && (xerr == io.EOF || xerr == io.ErrUnexpectedEOF)
		}
	}
}
