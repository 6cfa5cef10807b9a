package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"ukl/internal/anatomy"
	"ukl/internal/apps"
	"ukl/internal/exit"
	"ukl/internal/image"
	"ukl/internal/pins"
	"ukl/internal/sbom"
	"ukl/nixexprs"
)

func (t *tool) inspectCommand() *cli.Command {
	return &cli.Command{
		Name:        "inspect",
		Usage:       "show what is in an application's image: files, sizes, hashes, configuration",
		UsageText:   "ukl inspect [--json] [APP|DIR|PROGRAM]",
		Description: "Builds what is missing. With --json also every line of the kernel's configuration that ukl sets.",
		Action:      t.inspect,
	}
}

// inspected is what `ukl inspect --json` prints.
type inspected struct {
	App     string          `json:"app"`
	BzImage anatomy.File    `json:"bzImage"`
	Kernel  anatomy.Program `json:"kernel"`
	Program anatomy.Program `json:"program"`
	Config  []string        `json:"config"` // the lines in which the kernel's configuration differs from tinyconfig
	Patches []string        `json:"patches"`
	Pins    int             `json:"pins"` // of the image and its tools
	Source  string          `json:"expressions"`
}

// largest is the number of functions and variables that are shown.
const largest = 10

func (t *tool) inspect(c *cli.Context) error {
	a, i, program, err := t.builtApp(c)
	if err != nil {
		return err
	}
	out := inspected{App: a.Name, Source: nixexprs.Hash()}
	if out.BzImage, err = anatomy.Look(i.BzImage); err != nil {
		return err
	}
	if out.Kernel, err = anatomy.Dissect(i.Vmlinux, largest); err != nil {
		return err
	}
	if out.Program, err = anatomy.Dissect(program, largest); err != nil {
		return err
	}
	if out.Program.Kernel, err = known(out.Program.Kernel, i.SystemMap); err != nil {
		return err
	}
	config, err := nixexprs.FS.ReadFile("linux/config")
	if err != nil {
		return err
	}
	out.Config = strings.Fields(string(config))
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
	out.Pins = len(lock.All()) - len(lock.Of("qemu"))
	if c.Bool("json") {
		return printJSON(t.stdout, out)
	}
	w := tabwriter.NewWriter(t.stdout, 0, 0, 2, ' ', 0)
	for _, f := range []struct {
		what string
		file anatomy.File
	}{{"bzImage", out.BzImage}, {"vmlinux", out.Kernel.File}, {"program", out.Program.File}} {
		fmt.Fprintf(w, "%s\t%d\tsha256 %s\t%s\n", f.what, f.file.Size, f.file.SHA256, f.file.Path)
	}
	for _, p := range []struct {
		what    string
		program anatomy.Program
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
	}
	calls := "by SYSCALL instructions"
	if len(out.Program.Kernel) > 0 {
		calls = strings.Join(out.Program.Kernel, ", ")
	}
	fmt.Fprintf(w, "\ncalls of the kernel\t%s\nkernel series\t%d patches\nconfiguration\ttinyconfig and %d lines\npins\t%d\n",
		calls, len(out.Patches), len(out.Config), out.Pins)
	return w.Flush()
}

// known are those of the names that the kernel has; libc has others for the same addresses.
func known(names []string, systemMap string) ([]string, error) {
	text, err := os.ReadFile(systemMap)
	if err != nil {
		return nil, err
	}
	has := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 {
			has[f[2]] = true
		}
	}
	return slices.DeleteFunc(names, func(n string) bool { return !has[n] }), nil
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
			&cli.StringFlag{Name: "format", Value: spdx, Usage: "SPDX 2.3 or CycloneDX 1.5: `spdx|cyclonedx`"},
		},
		Action: t.sbom,
	}
}

func (t *tool) sbom(c *cli.Context) error {
	format := c.String("format")
	if !slices.Contains([]string{spdx, cyclonedx}, format) {
		return exit.Errorf(exit.Usage, "--format %q: want %s or %s", format, spdx, cyclonedx)
	}
	a, i, _, err := t.builtApp(c)
	if err != nil {
		return err
	}
	list, err := materials(a, i)
	if err != nil {
		return err
	}
	if format == cyclonedx {
		return printJSON(t.stdout, list.CycloneDX())
	}
	return printJSON(t.stdout, list.SPDX())
}

func materials(a apps.App, i *image.Image) (sbom.Image, error) {
	f, err := anatomy.Look(i.BzImage)
	if err != nil {
		return sbom.Image{}, err
	}
	components, err := image.Inventory(a)
	return sbom.Image{Name: a.Name, SHA256: f.SHA256, Version: version, Components: components}, err
}
