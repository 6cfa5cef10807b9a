package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/build/image"
	"ukl/internal/cli/exit"
	"ukl/internal/host/atomicfile"
	"ukl/internal/host/printable"
	"ukl/internal/host/regular"
	"ukl/internal/kernel/kconfig"
	"ukl/internal/kernel/systemmap"
	"ukl/internal/pin/pins"
	"ukl/internal/report/imagepage"
	"ukl/internal/report/sizes"
	"ukl/nixexprs"
)

func (t *tool) inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show what is in an application's image: files, sizes, hashes, configuration",
		UsageText: "ukl inspect [OPTIONS] [APP|DIR|PROGRAM]",
		Description: `Builds what is missing. With --json it also prints all objects that application and kernel are linked from, and every
line of the kernel's configuration that ukl sets, with its reason.

examples:
  ukl run -v hello && ukl inspect --html hello.html hello`,
		Flags: []cli.Flag{
			&ofKind{file, &cli.StringFlag{
				Name:  "html",
				Usage: "write a page into `FILE`: a map of the sizes, the configuration with its reasons, the pins, the last boot",
			}},
			&ofKind{file, &cli.StringFlag{Name: "svg", Usage: "draw the map of the sizes into `FILE`"}},
			&ofKind{file, &cli.StringFlag{
				Name:  "log",
				Usage: "with --html: show the boot of this kernel log, instead of the last run with -v: `FILE`",
			}},
		},
		BashComplete: t.completes(target, nil),
		Action:       t.inspect,
	}
}

// inspected is what `ukl inspect --json` prints.
type inspected struct {
	App     string        `json:"app"`
	BzImage sizes.File    `json:"bzImage"`
	Kernel  sizes.Program `json:"kernel"`
	Program sizes.Program `json:"program"`
	Root    *rootfs       `json:"root,omitempty"` // beside the image
	Config  []string      `json:"config"`         // the lines in which the kernel's configuration differs from tinyconfig
	Reasons []reason      `json:"reasons"`
	Patches []string      `json:"patches"`
	Pins    int           `json:"pins"` // of the image and its tools
	Source  string        `json:"expressions"`
}

// reason says why a line of the configuration is there.
type reason struct {
	Line   string `json:"line"`
	Reason string `json:"reason"`
}

// rootfs is the root file system of packages.
type rootfs struct {
	sizes.File
	Program  string   `json:"program"` // its path there
	Files    int      `json:"files"`
	Bytes    int64    `json:"bytes"`              // that they have
	Packages []string `json:"packages,omitempty"` // that ukl.toml names
	Image    string   `json:"image,omitempty"`    // the container image instead of them
	Digest   string   `json:"digest,omitempty"`   // of its manifest
	NotRun   []string `json:"notRun"`             // packages with scripts of an installation
}

// lookAtRoot is the root file system of an application; nil without one.
func (t *tool) lookAtRoot(c *cli.Context, a apps.App) (*rootfs, error) {
	if a.Root == nil {
		return nil, nil
	}
	b, done := t.builder(c)
	defer done()
	root, err := b.Rootfs(c.Context, a)
	if err != nil {
		return nil, err
	}
	r := &rootfs{Program: root.Place, Packages: a.Root.Packages, Image: a.Root.Image}
	if a.Image != nil {
		r.Digest = a.Image.Digest
	}
	if r.File, err = sizes.Look(root.Image); err == nil {
		r.Files, r.Bytes, r.NotRun, err = root.Contents()
	}
	return r, err
}

// largest is the number of functions and variables that are shown.
const largest = 10

func (t *tool) inspect(c *cli.Context) error {
	if err := writable(c, "html", "svg"); err != nil {
		return err
	}
	if c.IsSet("log") {
		if !c.IsSet("html") {
			return exit.Errorf(exit.Usage, "--log is for the page").WithHint("add --html FILE")
		}
		if _, err := os.Stat(c.String("log")); err != nil {
			return err
		}
	}
	a, i, program, err := t.builtApp(c)
	if err != nil {
		return err
	}
	out := inspected{App: a.Name, Source: nixexprs.Hash()}
	if out.Root, err = t.lookAtRoot(c, a); err != nil {
		return err
	}
	if out.BzImage, err = sizes.Look(i.BzImage); err != nil {
		return err
	}
	if out.Kernel, err = sizes.Dissect(i.Vmlinux, largest); err != nil {
		return err
	}
	if out.Program, err = sizes.Dissect(program, largest); err != nil {
		return err
	}
	if out.Program.Kernel, err = known(out.Program.Kernel, i.SystemMap); err != nil {
		return err
	}
	for name, list := range map[string]*[]sizes.Part{
		"objects":        &out.Program.Objects,
		"kernel-objects": &out.Kernel.Objects,
	} {
		if *list, err = sizes.Objects(filepath.Join(filepath.Dir(program), name)); err != nil {
			return err
		}
	}
	config, err := nixexprs.FS.ReadFile("linux/config")
	if err != nil {
		return err
	}
	options := kconfig.Explained(string(config))
	for _, line := range a.Kernel {
		options = append(options, kconfig.Option{Line: line, Reason: "the application's ukl.toml"})
	}
	for _, o := range options {
		out.Config = append(out.Config, o.Line)
		out.Reasons = append(out.Reasons, reason{o.Line, o.Reason})
	}
	patches, err := nixexprs.FS.ReadDir("linux/patches")
	if err != nil {
		return err
	}
	for _, p := range patches {
		out.Patches = append(out.Patches, p.Name())
	}
	lock, err := pins.Load(nixexprs.FS)
	if err != nil {
		return err
	}
	took := append(lock.ImagePins(), lock.Asked(a.Certificates, a.TimeZones)...)
	out.Pins = len(took)
	if err := portray(c, out, options, took); err != nil {
		return err
	}
	switch {
	case c.Bool("json"):
		return printJSON(t.stdout, out)
	case c.IsSet("html") || c.IsSet("svg"):
		return nil
	}
	w := tabwriter.NewWriter(printable.Writer(t.stdout), 0, 0, 2, ' ', 0)
	for _, f := range []struct {
		what string
		file sizes.File
	}{{"bzImage", out.BzImage}, {"vmlinux", out.Kernel.File}, {"program", out.Program.File}} {
		fmt.Fprintf(w, "%s\t%d\tsha256 %s\t%s\n", f.what, f.file.Size, f.file.SHA256, f.file.Path)
	}
	if r := out.Root; r != nil {
		fmt.Fprintf(w, "root\t%d\tsha256 %s\t%s\n", r.Size, r.SHA256, r.Path)
		fmt.Fprint(w, "\nroot file system\n")
		if r.Image != "" {
			fmt.Fprintf(w, "  image\t%s\n  digest\t%s\n", r.Image, r.Digest)
		} else {
			fmt.Fprintf(w, "  packages\t%s\n  scripts not run\t%s\n", strings.Join(r.Packages, " "), strings.Join(r.NotRun, " "))
		}
		fmt.Fprintf(w, "  program\t%s\n  files\t%d\n  bytes of them\t%d\n", r.Program, r.Files, r.Bytes)
	}
	for _, p := range []struct {
		what    string
		program sizes.Program
	}{{"program", out.Program}, {"kernel", out.Kernel}} {
		fmt.Fprintf(w, "\nsections of the %s\n", p.what)
		for _, s := range p.program.Sections {
			fmt.Fprintf(w, "  %s\t%d\n", s.Name, s.Size)
		}
		if len(p.program.Largest) > 0 {
			fmt.Fprintf(w, "\nlargest of the %s\n", p.what)
		}
		for _, s := range p.program.Largest {
			fmt.Fprintf(w, "  %s\t%d\n", s.Name, s.Size)
		}
		if n := len(p.program.Objects); n > 0 {
			fmt.Fprintf(w, "\nlargest of the %d objects that the %s is linked from\n", n, p.what)
		}
		for _, s := range p.program.Objects[:min(len(p.program.Objects), largest)] {
			fmt.Fprintf(w, "  %s\t%d\n", s.Name, s.Size)
		}
	}
	calls := "by SYSCALL instructions"
	if len(out.Program.Kernel) > 0 {
		calls = strings.Join(out.Program.Kernel, ", ")
	}
	fmt.Fprintf(w, "\ncalls of the kernel\t%s\nkernel series\t%d patches\nconfiguration\ttinyconfig and %d "+
		"lines\npins\t%d\n",
		calls, len(out.Patches), len(out.Config), out.Pins)
	return w.Flush()
}

// portray writes the page and the drawing that were asked for.
func portray(c *cli.Context, out inspected, options []kconfig.Option, took []pins.Pin) error {
	page, drawing := c.String("html"), c.String("svg")
	if page == "" && drawing == "" {
		return nil
	}
	p := imagepage.Image{
		App: out.App, Version: version, BzImage: out.BzImage, Calls: out.Program.Kernel, Source: out.Source,
		Patches: out.Patches,
		Config:  options,
		Pins:    took,
		Kernel:  imagepage.Program{File: out.Kernel.File},
		Program: imagepage.Program{File: out.Program.File},
	}
	var err error
	if p.Kernel.Sections, err = sizes.Map(p.Kernel.Path); err != nil {
		return err
	}
	if p.Program.Sections, err = sizes.Map(p.Program.Path); err != nil {
		return err
	}
	if p.Boot, p.Log, err = boot(c.String("log"), out.App); err != nil {
		return err
	}
	if drawing != "" {
		if err := atomicfile.File(drawing, p.SVG(), 0o644); err != nil {
			return err
		}
	}
	if page == "" {
		return nil
	}
	text, err := p.HTML()
	if err != nil {
		return err
	}
	return atomicfile.File(page, text, 0o644)
}

// fewest are the lines that make a boot: a quiet kernel says less.
const fewest = 10

// boot reads a kernel's log, or that of the application's last run if it has more than a quiet kernel says.
func boot(file, app string) ([]imagepage.Moment, string, error) {
	named := file != ""
	if !named {
		file = filepath.Join(stateDir(app), "kernel.log")
	}
	text, err := regular.Read(file, regular.MostText)
	switch {
	case err != nil && named:
		return nil, "", err
	case err != nil:
		return nil, "", nil
	}
	moments := imagepage.Moments(string(text))
	switch {
	case named && len(moments) == 0:
		return nil, "", exit.Errorf(exit.Input, "--log %s: no line has a time stamp", file)
	case !named && len(moments) < fewest:
		return nil, "", nil
	case !named:
		return moments, "the log of the last run", nil
	}
	return moments, filepath.Base(file), nil
}

// known are those of the names that the kernel has; libc has others for the same addresses.
func known(names []string, systemMap string) ([]string, error) {
	has, err := systemmap.Addresses(systemMap)
	return slices.DeleteFunc(names, func(n string) bool { return has[n] == 0 }), err
}

// builtApp builds the application of the command line and returns it with its image and its linked program.
func (t *tool) builtApp(c *cli.Context) (a apps.App, i *image.Image, program string, err error) {
	words, err := t.words(c, 1)
	if err != nil {
		return a, nil, "", err
	}
	if a, err = findApp(words[0]); err != nil {
		return a, nil, "", err
	}
	b, done := t.builder(c)
	defer done()
	if i, err = b.Build(c.Context, a); err != nil {
		return a, nil, "", err
	}
	program, err = b.Linked(c.Context, a)
	return a, i, program, err
}

// Values of `ukl sbom --format`.
const (
	spdx      = "spdx"
	cyclonedx = "cyclonedx"
)

func (t *tool) sbomCommand() *cli.Command {
	return &cli.Command{
		Name:        "sbom",
		Usage:       "print a bill of materials: every input of an application's image, with version and hash",
		UsageText:   "ukl sbom [--format FORMAT] [APP|DIR|PROGRAM]",
		Description: "JSON in either format. Builds what is missing; equal images have equal lists.",
		Flags: []cli.Flag{
			&ofKind{oneOf(spdx, cyclonedx), &cli.StringFlag{
				Name: "format", Value: spdx,
				Usage: "SPDX 2.3 or CycloneDX 1.6: `spdx|cyclonedx`",
			}},
		},
		BashComplete: t.completes(target, nil),
		Action:       t.sbom,
	}
}

func (t *tool) sbom(c *cli.Context) error {
	format := c.String("format")
	if !slices.Contains([]string{spdx, cyclonedx}, format) {
		return exit.Errorf(exit.Usage, "--format %q: want %s or %s", format, spdx, cyclonedx)
	}
	words, err := t.words(c, 1)
	if err != nil {
		return err
	}
	a, err := findApp(words[0])
	if err != nil {
		return err
	}
	b, done := t.builder(c)
	defer done()
	i, err := b.Build(c.Context, a)
	if err != nil {
		return err
	}
	list, err := b.Materials(c.Context, a, i, version)
	if err != nil {
		return err
	}
	done()
	if format == cyclonedx {
		return printJSON(t.stdout, list.CycloneDX())
	}
	return printJSON(t.stdout, list.SPDX())
}
