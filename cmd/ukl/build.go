package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/mattn/go-isatty"
	"github.com/otiai10/copy"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/build/format"
	"ukl/internal/build/image"
	"ukl/internal/cli/exit"
	"ukl/internal/cli/progress"
	"ukl/internal/host/atomicfile"
	"ukl/internal/host/nix"
	"ukl/internal/pin/pins"
	"ukl/internal/run/guest"
	"ukl/nixexprs"
)

func (t *tool) buildCommand() *cli.Command {
	return &cli.Command{
		Name:      "build",
		Usage:     "build the image of an application",
		UsageText: "ukl build [OPTIONS] [APP|DIR|PROGRAM]",
		Description: `Prints the directory that holds bzImage, vmlinux, System.map and config. With --format it writes one file that other machines
boot, with the arguments and environment of ukl.toml in it, into the current directory, and prints its name.

examples:
  ukl build multithreaded
  ukl build -o out ./server
  ukl build --format qcow2 ./server
  ukl build --check multithreaded`,
		Flags: []cli.Flag{
			&ofKind{directory, &cli.StringFlag{
				Name: "output", Aliases: []string{"o"},
				Usage: "copy the files into `DIR`; with --format, write to this file or directory",
			}},
			&ofKind{oneOf(format.All()...), &cli.StringFlag{
				Name:  "format",
				Usage: "write a kernel, a CD, a disk or a container image: `" + format.Names("|") + "`",
			}},
			&cli.StringFlag{
				Name:  "append",
				Usage: "with --format " + format.Booting() + ": add `WORDS` to the kernel's command line",
			},
			&cli.BoolFlag{
				Name:  manifest.AllowVolumes,
				Usage: "with --format: copy the files of ukl.toml that ukl would ask about",
			},
			&cli.BoolFlag{Name: "check", Usage: "build the application's stages again and compare every byte"},
			&cli.BoolFlag{Name: "check-all", Usage: "do this with all stages, also kernel and libc"},
			debugKernel(),
			&cli.BoolFlag{Name: "print-nix", Usage: "print the derivation for Nix instead of building it"},
		},
		BashComplete: t.completes(target, nil),
		Action:       t.build,
	}
}

// built is what `ukl build --json` prints.
type built struct {
	App string `json:"app"`
	*image.Image
	Format  string   `json:"format,omitempty"` // of --format
	Output  string   `json:"output,omitempty"` // of -o and --format
	Memory  int      `json:"memoryMiB,omitempty"`
	Checked []string `json:"checked,omitempty"` // stages that were built twice
}

func (t *tool) build(c *cli.Context) error {
	words, err := t.words(c, 1)
	if err != nil {
		return err
	}
	kind, err := wantedFormat(c)
	if err != nil {
		return err
	}
	if dir := c.String("output"); kind == "" && dir != "" {
		if fi, err := os.Stat(dir); err == nil && !fi.IsDir() {
			return exit.Errorf(exit.Usage, "--output %s: it is a file, and without --format ukl writes a directory", dir)
		}
	}
	a, err := findApp(words[0])
	if err != nil {
		return err
	}
	a = flavoured(c, a)
	if kind == format.OCI && a.Root != nil {
		return exit.Errorf(exit.Input, "%s has a root file system, for which a container image of a kernel has no place", a.Name).
			WithHint("--format %s have it", format.Booting())
	}
	b, done := t.builder(c)
	defer done()
	if c.Bool("print-nix") {
		return t.printNix(c, b, a)
	}
	i, err := b.Build(c.Context, a)
	if err != nil {
		return err
	}
	if !kind.Boots() {
		l, err := b.Libraries(c.Context, a)
		if err != nil {
			return err
		}
		if a.Root != nil {
			t.note(c, "the root file system is not in the image: ukl run and --format %s add it", format.Booting())
		}
		if l.Root != "" || l.Missing != nil {
			t.note(c, "the libraries of this dynamic program are not in its image: ukl run and --format %s add them",
				format.Booting())
		}
	}
	out := built{App: a.Name, Image: i}
	if c.Bool("check") || c.Bool("check-all") {
		if out.Checked, err = b.Check(c.Context, a, c.Bool("check-all")); err != nil {
			return err
		}
	}
	where := i.Path
	switch dir := c.String("output"); {
	case kind != "":
		if where, out.Memory, err = t.writeFormat(c, b, kind, a, i); err != nil {
			return err
		}
		out.Format, out.Output = string(kind), where
	case dir != "":
		if err := copyOut(i, dir); err != nil {
			return err
		}
		if err := writeMaterials(c.Context, b, a, i, dir); err != nil {
			return err
		}
		out.Output, where = dir, dir
	}
	done()
	if c.Bool("json") {
		return printJSON(t.stdout, out)
	}
	if len(out.Checked) > 0 {
		t.note(c, "built twice with the same bytes: %s", strings.Join(out.Checked, ", "))
	}
	_, err = fmt.Fprintln(t.stdout, where)
	return err
}

// wantedFormat is what --format says, "" without it.
func wantedFormat(c *cli.Context) (format.Format, error) {
	var kind format.Format
	var err error
	if c.IsSet("format") {
		if kind, err = format.Parse(c.String("format")); err != nil {
			return "", exit.Errorf(exit.Usage, "%v", err)
		}
	}
	if c.IsSet("append") && !kind.Boots() {
		return "", exit.Errorf(exit.Usage, "--append is for files that boot by themselves").
			WithHint("--format %s", format.Booting())
	}
	return kind, nil
}

// writeFormat writes the image as one file and returns its name, and the memory in MiB that a machine needs for it.
func (t *tool) writeFormat(c *cli.Context, b *image.Builder, kind format.Format, a apps.App,
	i *image.Image,
) (string, int, error) {
	lent := a.Lend(a.Dir)
	in := format.Inputs{App: a.Manifest, Image: i, Files: copied(a, lent), Append: c.String("append")}
	if kind.Boots() {
		err := t.consentToFiles(c, a, lent)
		if err != nil {
			return "", 0, err
		}
		if in.Boot, err = b.BootSector(c.Context, a); err != nil {
			return "", 0, err
		}
		if in.Usual, err = usual(c.Context, b, a); err != nil {
			return "", 0, err
		}
		if err := t.withLibraries(c, b, a, false, in.Files, &in.Usual); err != nil {
			return "", 0, err
		}
		if in.Root, err = b.Rootfs(c.Context, a); err != nil {
			return "", 0, err
		}
		o := guest.Options{Name: a.Name, Files: in.Files}
		if a.Root != nil {
			if err := fitInto(in.Root, &o); err != nil {
				return "", 0, err
			}
			in.Files = o.Files
		}
		if err := identify(c, a.Manifest, in.Root, &o); err != nil {
			return "", 0, err
		}
		in.User, in.Dir = o.User, o.Dir
	}
	file := c.String("output")
	if fi, err := os.Stat(file); file == "" || strings.HasSuffix(file, "/") || err == nil && fi.IsDir() {
		file = filepath.Join(file, kind.File(a.Name))
	}
	memory, err := kind.Memory(in)
	if err != nil {
		return "", 0, err
	}
	in.Memory = memory
	text, err := kind.Make(in)
	if err != nil {
		return "", 0, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", 0, err
	}
	if kind != format.BzImage && kind != format.Vmlinux && len(a.Volumes) > 0 {
		t.note(c, "%s has none of ukl.toml's volumes, which belong to this host", file)
	}
	if memory > 0 {
		t.note(c, "a machine needs %d MiB of memory to boot %s", memory, file)
	}
	return file, memory, atomicfile.File(file, text, 0o644)
}

func (t *tool) printNix(c *cli.Context, b *image.Builder, a apps.App) error {
	drv, err := b.Derivation(c.Context, a)
	if err != nil {
		return err
	}
	d, err := image.ReadDerivation(drv)
	if err != nil {
		return err
	}
	return printJSON(t.stdout, d)
}

// copyOut copies an image's files out of the store, writable as files usually are.
func copyOut(i *image.Image, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, from := range []string{i.BzImage, i.Vmlinux, i.SystemMap, i.Config} {
		to := filepath.Join(dir, filepath.Base(from))
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := copy.Copy(from, to, copy.Options{AddPermission: 0o644}); err != nil {
			return err
		}
	}
	return nil
}

// writeMaterials puts the list of what the image was made of beside it.
func writeMaterials(ctx context.Context, b *image.Builder, a apps.App, i *image.Image, dir string) error {
	list, err := b.Materials(ctx, a, i, version)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := printJSON(&text, list.SPDX()); err != nil {
		return err
	}
	return atomicfile.File(filepath.Join(dir, "sbom.spdx.json"), text.Bytes(), 0o644)
}

// findApp returns the application that a word means.
func findApp(word string) (apps.App, error) { return apps.New(nixexprs.FS).Find(word) }

// builder returns what builds images, showing its progress on stderr, and what ends the showing.
func (t *tool) builder(c *cli.Context) (*image.Builder, func()) {
	d := progress.New(t.stderr, t.display(c))
	context.AfterFunc(c.Context, d.Close) // what is stopped has not failed
	b := newBuilder(c, d)
	b.Pins.Ask = t.local(c.Context, d)
	return b, d.Close
}

func newBuilder(c *cli.Context, d *progress.Display) *image.Builder {
	return &image.Builder{
		Cache:    cacheDir(),
		Open:     func() (image.Store, error) { return nix.Find() },
		Pins:     pinOptions(c),
		Free:     func() (uint64, error) { return free(nix.Physical(pins.StoreDir)) },
		Progress: d,
	}
}

// display says how this invocation shows progress.
func (t *tool) display(c *cli.Context) progress.Options {
	o := progress.Options{Quiet: c.Bool("quiet"), Verbose: c.Bool("verbose"), Built: image.Built}
	if f, ok := t.stderr.(*os.File); ok && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb" {
		o.Terminal = true
		o.Colour = os.Getenv("NO_COLOR") == ""
		o.Width = func() int {
			size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
			if err != nil || size.Col == 0 {
				return 80
			}
			return int(size.Col)
		}
	}
	return o
}

// free is the room on the file system of a path, or of its nearest parent that exists.
func free(path string) (uint64, error) {
	for {
		var s syscall.Statfs_t
		err := syscall.Statfs(path, &s)
		if err == nil {
			return s.Bavail * uint64(s.Bsize), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || path == "/" {
			return 0, err
		}
		path = filepath.Dir(path)
	}
}
