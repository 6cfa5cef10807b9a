package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/app/scaffold"
	"ukl/internal/build/worktree"
	"ukl/internal/cli/exit"
	"ukl/internal/cli/progress"
	"ukl/internal/host/atomicfile"
	"ukl/internal/host/printable"
	"ukl/internal/host/regular"
	"ukl/internal/kernel/series"
	"ukl/internal/machine/accel"
	"ukl/nixexprs"
)

// kernelCommand is for those who work on the kernel series.
func (t *tool) kernelCommand() *cli.Command {
	tree := &ofKind{directory, &cli.StringFlag{
		Name: "tree", Aliases: []string{"C"}, Value: ".",
		Usage: "use the work tree that `DIR` is in",
	}}
	jobs := &cli.IntFlag{
		Name: "jobs", Aliases: []string{"j"},
		Usage: "compile `N` files at a time; by default one for each CPU",
	}
	return &cli.Command{
		Name:  "kernel",
		Usage: "work on the kernel series: a git work tree, incremental builds, patches",
		Subcommands: []*cli.Command{
			{
				Name: "init", Usage: "make a git work tree of the pinned source, with a commit for each patch of the series",
				ArgsUsage: "[DIR]",
				Description: `DIR is linux by default. The series is that of the checkout that holds the current directory, or else the one inside ukl.
If a patch does not apply, init stops there, as git am does.`,
				Flags: []cli.Flag{
					&ofKind{directory, &cli.StringFlag{Name: "series", Usage: "take the patches (0001-*.patch) of `DIR`"}},
				},
				BashComplete: t.completes(directory, nil),
				Action:       t.kernelInit,
			},
			{
				Name: "build", Usage: "compile what has changed in the work tree, with the compiler and flags of an image's kernel",
				ArgsUsage: "[TARGET...]",
				Description: `TARGET is a target of the kernel's makefile, like init/ring0.o or arch/x86/entry/. Without one, build makes everything that
applications are linked with. Shows the compilers' messages. Prints the files that you asked for.`,
				Flags: []cli.Flag{
					tree, jobs,
					&ofKind{project, &cli.StringFlag{Name: "app", Usage: "use the [kernel] configuration of the application `APP`"}},
					debugKernel(),
				},
				BashComplete: t.completes(directory, directory),
				Action:       t.kernelBuild,
			},
			{
				Name: "run", Usage: "compile what has changed, and boot the work tree's kernel with an application in it",
				UsageText: "ukl kernel run [OPTIONS] APP|DIR|PROGRAM [-- ARGUMENTS]",
				Flags: slices.Concat([]cli.Flag{tree, jobs, portFlag()}, guestFlags(), []cli.Flag{
					&cli.DurationFlag{Name: "timeout", Usage: "end the guest after `TIME` (30s, 5m), with exit code 124"},
					&cli.DurationFlag{
						Name: "patience", Value: 20 * time.Second,
						Usage: "report where the kernel is if it has not started the application after `TIME`; 0 turns this off",
					},
					accelFlag(accel.Auto),
					debugKernel(),
					&cli.IntFlag{Name: "gdb", Usage: "halt the machine before its first instruction until gdb connects to `PORT` " +
						"of 127.0.0.1"},
					&cli.BoolFlag{Name: "dry-run", Usage: "print the QEMU command instead of running it"},
					&cli.StringSliceFlag{Name: "qemu-arg", Usage: "add `ARGUMENT` to QEMU's command line; repeatable"},
				}),
				BashComplete: t.completes(target, nil),
				Action:       t.kernelRun,
			},
			{
				Name: "export", Usage: "write the work tree's commits back as the patches of the series",
				Description: `Writes to the directory that init read. Prints the files that change. All changes must be committed.`,
				Flags: []cli.Flag{
					tree,
					&ofKind{directory, &cli.StringFlag{Name: "to", Usage: "write to `DIR` instead, now and by default from now on"}},
					&cli.BoolFlag{Name: "overwrite", Usage: "overwrite a series other than the one that the work tree was made from"},
				},
				Action: t.kernelExport,
			},
			{
				Name: "check", Usage: "check that each patch builds on those before it without a warning, and passes checkpatch.pl",
				ArgsUsage: "[FIRST[-LAST]]",
				Description: `FIRST and LAST are numbers of patches. Prints one line for each patch (TAP). Exits with 1 if one fails. Builds a small
configuration, with and without the symbols that the series adds; the first time takes as long as compiling a kernel.
Checks commits only, and changes nothing in the work tree.`,
				Flags: []cli.Flag{
					tree, jobs,
					&ofKind{oneOf("style", "build"), &cli.StringFlag{
						Name:  "only",
						Usage: "do only half of the checks: `style|build`",
					}},
				},
				Action: t.kernelCheck,
			},
			t.kernelMailCommand(tree),
		},
	}
}

// workshop is the builder of kernels, which shows its progress and what compilers say on stderr, and what ends the
// showing.
func (t *tool) workshop(c *cli.Context) (*worktree.Workshop, func()) {
	d := progress.New(t.stderr, t.display(c))
	context.AfterFunc(c.Context, d.Close)
	w := &worktree.Workshop{Builder: newBuilder(c, d), Jobs: c.Int("jobs")}
	if !c.Bool("quiet") {
		w.Say = d.Say
	}
	return w, d.Close
}

// startedTree is what `ukl kernel init --json` prints.
type startedTree struct {
	Dir     string `json:"dir"`
	Source  string `json:"source"`  // package and version
	Series  string `json:"series"`  // directory of the patches, "" if they came along with ukl
	Patches int    `json:"patches"` // commits on top of the source
}

func (t *tool) kernelInit(c *cli.Context) error {
	words, err := t.words(c, 1)
	if err != nil {
		return err
	}
	dir := cmp.Or(words[0], "linux")
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if left, err := os.ReadDir(abs); err == nil && len(left) > 0 {
		return &scaffold.There{File: dir}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if strings.ContainsAny(abs, ":\n") {
		return exit.Errorf(exit.Usage, "%s: the name cannot have a colon or a line break, since the builder mounts it", abs)
	}
	list, from, err := seriesOf(c.String("series"))
	if err != nil {
		return err
	}
	o := series.Origin{Dir: from, Series: series.Hash(list)}
	if o.Source, o.SHA256, err = worktree.Source(); err != nil {
		return err
	}
	err = t.makeTree(c, abs, o, list)
	if stops := (*series.Stops)(nil); errors.As(err, &stops) {
		return (&exit.Error{Code: exit.Input, Err: err, Lines: stops.Lines}).
			WithHint("%s && git am --show-current-patch=diff", quoted([]string{"cd", dir}))
	}
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(t.stdout, startedTree{abs, o.Source, from, len(list)})
	}
	if _, err := fmt.Fprintln(t.stdout, dir); err != nil {
		return err
	}
	t.note(c, "next: %s && ukl kernel run hello", quoted([]string{"cd", dir}))
	return nil
}

// makeTree makes the work tree beside its place and moves it there when it is done, or waits for somebody to make a
// patch apply.
func (t *tool) makeTree(c *cli.Context, dir string, o series.Origin, list []series.Patch) error {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	box, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(box)
	made := filepath.Join(box, filepath.Base(dir))
	w, done := t.workshop(c)
	defer done()
	if err := w.Unpack(c.Context, made); err != nil {
		return err
	}
	err = series.Create(c.Context, made, o, list)
	if stops := (*series.Stops)(nil); err != nil && !errors.As(err, &stops) {
		return err
	}
	return errors.Join(atomicfile.Directory(made, dir), err)
}

// patchesDir is where a checkout has the series.
const patchesDir = "nixexprs/linux/patches"

// seriesOf reads the series of a directory; of "" that of the checkout that we are in, or the one that came along. It
// returns the directory as an absolute path, too; "" for the last.
func seriesOf(dir string) ([]series.Patch, string, error) {
	if dir == "" {
		dir = checkoutSeries()
	}
	if dir == "" {
		sub, err := fs.Sub(nixexprs.FS, strings.TrimPrefix(patchesDir, "nixexprs/"))
		if err != nil {
			return nil, "", err
		}
		list, err := series.Read(sub, patchesDir)
		return list, "", err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, "", err
	}
	list, err := series.Read(regular.Dir(abs), dir)
	return list, abs, err
}

// checkoutSeries is the series of the checkout of ukl that the current directory is in, "" if it is in none.
func checkoutSeries() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		here := filepath.Join(dir, patchesDir)
		if _, err := os.Stat(filepath.Join(dir, "nixexprs/default.nix")); err == nil {
			if fi, err := os.Stat(here); err == nil && fi.IsDir() {
				return here
			}
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// openTree finds the work tree that the command line means. It must be of the source that is pinned.
func openTree(c *cli.Context) (*series.Tree, error) {
	if n := c.Int("jobs"); c.IsSet("jobs") && n < 1 {
		return nil, exit.Errorf(exit.Usage, "--jobs %d: want 1 or more", n)
	}
	tree, err := series.Open(c.Context, c.String("tree"))
	if err != nil {
		return nil, err
	}
	return tree, worktree.Current(tree)
}

// builtKernel is what `ukl kernel build --json` prints.
type builtKernel struct {
	Files []string `json:"files"`
}

func (t *tool) kernelBuild(c *cli.Context) error {
	tree, err := openTree(c)
	if err != nil {
		return err
	}
	a, err := findApp(cmp.Or(c.String("app"), "hello"))
	if err != nil {
		return err
	}
	targets := c.Args().Slice()
	w, done := t.workshop(c)
	defer done()
	o, err := w.Build(c.Context, tree, flavoured(c, a), targets)
	if err != nil {
		return err
	}
	done()
	if len(targets) == 0 {
		targets = []string{"vmlinux"}
	}
	out := builtKernel{[]string{}}
	for _, target := range targets {
		if file := filepath.Join(o.Dir, target); isFile(file) {
			out.Files = append(out.Files, file)
		}
	}
	if c.Bool("json") {
		return printJSON(t.stdout, out)
	}
	for _, f := range out.Files {
		if _, err := fmt.Fprintln(t.stdout, f); err != nil {
			return err
		}
	}
	return nil
}

func isFile(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular()
}

// kernelRun is `ukl run` with another kernel.
func (t *tool) kernelRun(c *cli.Context) error {
	if c.NArg() == 0 {
		return exit.Errorf(exit.Usage, "which application?").WithHint("ukl kernel run hello; ukl list shows all")
	}
	if _, err := t.appToRun(c); err != nil { // before a work tree is looked for
		return err
	}
	tree, err := openTree(c)
	if err != nil {
		return err
	}
	t.kernelOf = func(c *cli.Context, a apps.App) (string, error) {
		w, done := t.workshop(c)
		defer done()
		return w.Link(c.Context, tree, a)
	}
	return t.run(c)
}

// exportedSeries is what `ukl kernel export --json` prints.
type exportedSeries struct {
	Dir     string          `json:"dir"`
	Patches int             `json:"patches"`
	Changes []series.Change `json:"changes"`
}

func (t *tool) kernelExport(c *cli.Context) error {
	if _, err := t.words(c, 0); err != nil {
		return err
	}
	tree, err := openTree(c)
	if err != nil {
		return err
	}
	to := tree.Origin.Dir
	if c.IsSet("to") {
		if to, err = filepath.Abs(c.String("to")); err != nil {
			return err
		}
	}
	if to == "" {
		return exit.Errorf(exit.Usage, "this work tree has the series that is inside ukl, so export needs --to").
			WithHint("ukl kernel export --to CHECKOUT/%s", patchesDir)
	}
	if err := tree.Clean(c.Context); err != nil {
		return err
	}
	list, err := tree.Patches(c.Context)
	if err != nil {
		return err
	}
	expected := tree.Series
	if c.Bool("overwrite") {
		expected = ""
	}
	changes, err := series.Write(to, list, expected)
	if err != nil {
		return err
	}
	if err := tree.Written(c.Context, to, list); err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(t.stdout, exportedSeries{to, len(list), changes})
	}
	for _, change := range changes {
		if _, err := fmt.Fprintf(t.stdout, "%s %s\n", change.Kind, change.File); err != nil {
			return err
		}
	}
	if len(changes) == 0 {
		t.note(c, "%s has these %d patches already: nothing to write", to, len(list))
	}
	return nil
}

// checkedSeries is what `ukl kernel check --json` prints.
type checkedSeries struct {
	Passed  int                `json:"passed"`
	Failed  int                `json:"failed"`
	Patches []worktree.Finding `json:"patches"`
}

func (t *tool) kernelCheck(c *cli.Context) error {
	words, err := t.words(c, 1)
	if err != nil {
		return err
	}
	checks, err := wantedChecks(c.String("only"), words[0])
	if err != nil {
		return err
	}
	tree, err := openTree(c)
	if err != nil {
		return err
	}
	w, done := t.workshop(c)
	defer done()
	out := checkedSeries{Patches: []worktree.Finding{}}
	err = w.Check(c.Context, tree, checks, func(f worktree.Finding) {
		out.Patches = append(out.Patches, f)
		verb := "ok"
		if len(f.Problems) > 0 {
			out.Failed++
			verb = "not ok"
		} else {
			out.Passed++
		}
		if c.Bool("json") {
			return
		}
		fmt.Fprintf(t.stdout, "%s %d - %s\n", verb, f.Number, printable.Line(f.Patch))
		for _, p := range f.Problems {
			fmt.Fprintf(t.stdout, "#   %s\n", printable.Line(p))
		}
	})
	done()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = printJSON(t.stdout, out)
	} else {
		_, err = fmt.Fprintf(t.stdout, "%d..%d\n", checks.From, checks.From+len(out.Patches)-1)
	}
	switch {
	case err != nil:
		return err
	case out.Failed > 0:
		return exit.Errorf(exit.No, "%d of %d patches failed", out.Failed, len(out.Patches))
	}
	return nil
}

// wantedChecks reads --only and FIRST[-LAST].
func wantedChecks(only, patches string) (worktree.Checks, error) {
	checks := worktree.Checks{Style: only != "build", Build: only != "style", From: 1}
	if only != "" && only != "style" && only != "build" {
		return checks, exit.Errorf(exit.Usage, "--only %q: want style or build", only)
	}
	if patches == "" {
		return checks, nil
	}
	first, last, span := strings.Cut(patches, "-")
	if !span {
		last = first
	}
	var err, lerr error
	checks.From, err = strconv.Atoi(first)
	checks.To, lerr = strconv.Atoi(last)
	if err != nil || lerr != nil || checks.From < 1 || checks.To < checks.From {
		return checks, exit.Errorf(exit.Usage, "%q: want the number of a patch, or FIRST-LAST", patches)
	}
	return checks, nil
}
