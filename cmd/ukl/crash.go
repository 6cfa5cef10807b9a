package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"ukl/internal/apps"
	"ukl/internal/crash"
	"ukl/internal/guest"
	"ukl/internal/program"
)

// backtrace says where a signal killed the application; nil if nothing has reported a crash. What it cannot find makes the trace
// shorter and is no error.
func (t *tool) backtrace(c *cli.Context, a apps.App, o guest.Options, v guest.Verdict) []string {
	r, ok := crash.Parse(v.Crash, v.Signal)
	if !ok {
		return nil
	}
	var p *crash.Program
	var err error
	if file := t.symbols(c, a, o); file != "" {
		p, err = crash.Open(file, filepath.Join(filepath.Dir(o.Machine.Kernel), "System.map"))
	}
	trace := p.Look(r)
	if err != nil {
		trace.End = err.Error()
	}
	return trace.Lines()
}

// symbols is the file that has the application's symbols; "" if there is none. A program of the user's own has more of them than
// what is left of it in the image. For developers of kernels, the application's word may be the program.
func (t *tool) symbols(c *cli.Context, a apps.App, o guest.Options) string {
	kernel := o.Machine.Kernel
	switch {
	case a.Program != "":
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
