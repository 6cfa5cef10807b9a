package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/app/suggest"
	"ukl/internal/cli/exit"
	"ukl/internal/host/atomicfile"
	"ukl/internal/host/printable"
	"ukl/internal/machine/accel"
	"ukl/internal/machine/qemu"
	"ukl/internal/report/bench"
	"ukl/internal/report/sizes"
	"ukl/internal/run/guest"
)

func (t *tool) benchCommand() *cli.Command {
	return &cli.Command{
		Name:      "bench",
		Usage:     "compare an application in ring 0 with the same one as an ordinary process",
		UsageText: "ukl bench [OPTIONS] [APP|DIR]",
		Description: `Runs the application in turn as a process of the unpatched kernel, as a companion (the same process on the patched
kernel), and in ring 0 with both kinds of system calls; with --distro, as a process of Debian's own kernel, too. Without
a name, it runs ukl's own microbenchmarks. Instruction counts are exact; times depend on this machine and its load.

Your own application must print a line "ring N" (its privilege level, the low two bits of CS), then one line for each
operation: its name, its number in a sample, and the nanoseconds of each sample by CLOCK_MONOTONIC.

examples:
  ukl bench
  ukl bench --only getppid --only pipe/1 --svg ratios.svg
  ukl bench --json > results.json`,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "only", Usage: "measure the operation called `NAME`; repeatable"},
			&cli.IntFlag{Name: "samples", Value: 7, Usage: "take `N` samples of each operation in each run"},
			&cli.IntFlag{
				Name: "rounds", Value: 3,
				Usage: "measure times in `N` runs of each mode, in turn; 0 measures no times",
			},
			&cli.BoolFlag{
				Name:  "distro",
				Usage: "measure the application as a process of Debian's own kernel, too, in a PC: what it is without ukl",
			},
			&ofKind{file, &cli.StringFlag{Name: "svg", Usage: "draw the ratios into `FILE`"}},
			&ofKind{oneOf(accel.Choices()...), &cli.StringFlag{
				Name: "accel", Value: string(accel.Auto),
				Usage: "measure times with KVM or TCG; auto takes KVM where it is proven to work: `auto|kvm|tcg`",
			}},
		},
		BashComplete: t.completes(project, nil),
		Action:       t.bench,
	}
}

// microbenchmarks is the short name of the application that bench measures without a name.
const microbenchmarks = "bench"

// operationLine is one of the table of operations in the microbenchmarks' source.
var operationLine = regexp.MustCompile(`(?m)^\t\{ "([^"]+)", \w+, .*\},$`)

// measurable refuses operations that the microbenchmarks do not have. Only another application itself knows what it
// measures.
func measurable(a apps.App, only []string) error {
	if !a.Bundled || a.Short != microbenchmarks {
		return nil
	}
	source, err := fs.ReadFile(a.Files, "bench.c")
	if err != nil {
		return err
	}
	var have []string
	for _, m := range operationLine.FindAllSubmatch(source, -1) {
		have = append(have, string(m[1]))
	}
	for _, name := range only {
		if slices.Contains(have, name) {
			continue
		}
		e := exit.Errorf(exit.Usage, "--only %q: there is no such operation", name)
		if s := suggest.Nearest(name, have); s != "" {
			return e.WithHint("did you mean %q?", s)
		}
		return e.WithHint("the operations are %s", strings.Join(have, ", "))
	}
	return nil
}

// writable refuses files in a directory that is not there, and directories: what options with these names want to write
// at the end.
func writable(c *cli.Context, options ...string) error {
	for _, o := range options {
		file := c.String(o)
		if !c.IsSet(o) {
			continue
		}
		if fi, err := os.Stat(file); file == "" || err == nil && fi.IsDir() {
			return exit.Errorf(exit.Usage, "--%s %q: want a file", o, file)
		}
		if fi, err := os.Stat(filepath.Dir(file)); err != nil || !fi.IsDir() {
			return exit.Errorf(exit.NoInput, "--%s %s: there is no directory %s", o, file, filepath.Dir(file))
		}
	}
	return nil
}

// Limit of one run: software emulation that counts instructions is slow on a loaded machine.
const benchLimit = 20 * time.Minute

func (t *tool) bench(c *cli.Context) error {
	words, err := t.words(c, 1)
	if err != nil {
		return err
	}
	if words[0] == "" {
		words[0] = microbenchmarks
	}
	a, err := findApp(words[0])
	if err != nil {
		return err
	}
	if c.Int("samples") < 1 || c.Int("samples") > 99 {
		return exit.Errorf(exit.Usage, "--samples %d: want 1 to 99", c.Int("samples"))
	}
	if c.Int("rounds") < 0 {
		return exit.Errorf(exit.Usage, "--rounds %d: want 0 or more", c.Int("rounds"))
	}
	if err := measurable(a, c.StringSlice("only")); err != nil {
		return err
	}
	if err := writable(c, "svg"); err != nil {
		return err
	}
	host := accel.Local(cacheDir())
	choice := accel.Choice(c.String("accel"))
	if err := possible(host, choice); err != nil {
		return err
	}
	machines, err := t.benchMachines(c, a)
	if err != nil {
		return err
	}
	r := bench.Report{
		Version: 1, Application: a.Name,
		Accelerator: "TCG (software emulation: times say nothing about hardware)", CPU: hostCPU(), Rounds: c.Int("rounds"),
	}
	config, err := sizes.Look(filepath.Join(filepath.Dir(machines[bench.Bypass].Machine.Kernel), "config"))
	if err != nil {
		return err
	}
	r.KernelConfig = config.SHA256
	if r.Guests, err = described(machines); err != nil {
		return err
	}
	modes := slices.DeleteFunc(bench.Modes(), func(m bench.Mode) bool { _, ok := machines[m]; return !ok })
	for _, m := range modes {
		o := machines[m]
		o.TSC = host.TSC()
		o.Machine.Extra = append(slices.Clone(o.Machine.Extra), "-icount", "shift=0,sleep=off")
		run, err := t.measure(c, m, o, "instructions")
		if err != nil {
			return err
		}
		r.AddInstructions(m, run)
	}
	var timed guest.Options // how all times are measured
	if c.Int("rounds") > 0 {
		timed.Program = machines[bench.Process].Program
		if err := t.accelerate(c, host, choice, &timed); err != nil {
			return err
		}
		if timed.Machine.KVM {
			r.Accelerator = "KVM"
		}
	}
	for round := range c.Int("rounds") {
		for _, m := range modes {
			o := machines[m]
			o.TSC, o.Machine.KVM, o.Machine.CPU = timed.TSC, timed.Machine.KVM, timed.Machine.CPU
			g := r.Guests[m]
			g.TimesCPU = o.Machine.Model()
			r.Guests[m] = g
			run, err := t.measure(c, m, o, fmt.Sprintf("times, round %d", round+1))
			if err != nil {
				return err
			}
			r.AddTimes(m, run)
		}
	}
	if file := c.String("svg"); file != "" {
		var svg bytes.Buffer
		if err := r.SVG(&svg); err != nil {
			return err
		}
		if err := atomicfile.File(file, svg.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return printJSON(t.stdout, r)
	}
	return r.Table(printable.Writer(t.stdout))
}

// described says what each mode's guest is.
func described(machines map[bench.Mode]guest.Options) (map[bench.Mode]bench.Guest, error) {
	all := map[bench.Mode]bench.Guest{}
	for m, o := range machines {
		kernel, err := qemu.Release(o.Machine.Kernel)
		if err != nil {
			return nil, err
		}
		config, err := sizes.Look(filepath.Join(filepath.Dir(o.Machine.Kernel), "config"))
		if err != nil {
			return nil, err
		}
		owner := "ukl"
		if m == bench.Distro {
			owner = "Debian"
		}
		all[m] = bench.Guest{
			Kernel: kernel, Owner: owner, Config: config.SHA256, Machine: o.Machine.Type(), CPU: o.Machine.Model(),
		}
	}
	return all, nil
}

// companion is the bundled application that runs a program in ring 3, and besides is where it finds that.
const (
	companion = "companion"
	besides   = "/companion"
)

// benchMachines builds what the modes need. An application with a kernel of its own has no Companion: its image would
// have another.
func (t *tool) benchMachines(c *cli.Context, a apps.App) (map[bench.Mode]guest.Options, error) {
	if a.Program != "" || a.Prebuilt != "" {
		return nil, exit.Errorf(exit.Usage, "%s is a finished program, so bench cannot choose between gate and bypass",
			a.Name).WithHint("ukl run --mode process runs it in ring 3")
	}
	b, done := t.builder(c)
	defer done()
	tree, override := "", os.Getenv(qemu.Env)
	all := map[bench.Mode]guest.Options{}
	for _, m := range bench.Modes() {
		var o guest.Options
		var err error
		o.Argv = append([]string{a.Name, strconv.Itoa(c.Int("samples"))}, c.StringSlice("only")...)
		switch m {
		case bench.Distro:
			if !c.Bool("distro") {
				continue
			}
			o.Machine.PC = true
			if err = distribution(c.Context, b, a, &o); err == nil {
				o.Root, err = b.ProcessRoot(c.Context, a)
			}
		case bench.Process:
			if o.Machine.Kernel, err = b.ProcessKernel(c.Context, a); err == nil {
				o.Root, err = b.ProcessRoot(c.Context, a)
			}
		case bench.Companion:
			if len(a.Manifest.Kernel) > 0 {
				t.note(c, "no companion: %s has a kernel of its own", a.Name)
				continue
			}
			var starter apps.App
			if starter, err = findApp(companion); err != nil {
				return nil, err
			}
			if o.Machine.Kernel, err = b.Kernel(c.Context, starter); err != nil {
				return nil, err
			}
			o.Files = []guest.File{{Guest: besides, Host: filepath.Join(filepath.Dir(all[bench.Process].Root), "app")}}
			o.Argv = slices.Concat([]string{companion, besides}, o.Argv[1:])
		case bench.Gate, bench.Bypass:
			mine := a
			mine.Entry = manifest.Calls(m)
			o.Machine.Kernel, err = b.Kernel(c.Context, mine)
		default:
			return nil, fmt.Errorf("nothing makes a machine for mode %q", m)
		}
		if err == nil && tree == "" && override == "" {
			tree, err = b.QEMU(c.Context)
		}
		if err == nil {
			o.Program, err = qemu.Find(tree, override)
		}
		if err != nil {
			return nil, err
		}
		o.Env, o.StateDir, o.Timeout = a.Env, stateDir(a.Name), benchLimit
		o.Machine.Memory, o.Machine.CPUs = a.Memory, 1
		all[m] = o
	}
	return all, fitAll(c, a, all)
}

// fitAll gives all machines the same memory: what the guest that takes most of it needs.
func fitAll(c *cli.Context, a apps.App, all map[bench.Mode]guest.Options) error {
	most := a.Memory
	for _, o := range all {
		if err := fit(c, a, &o); err != nil {
			return err
		}
		most = max(most, o.Machine.Memory)
	}
	for m, o := range all {
		o.Machine.Memory = most
		all[m] = o
	}
	return nil
}

// measure runs the application once and reads what it printed.
func (t *tool) measure(c *cli.Context, m bench.Mode, o guest.Options, what string) (bench.Run, error) {
	if !c.Bool("quiet") {
		fmt.Fprintf(t.stderr, "[%s] %s\n", m, what)
	}
	var out bytes.Buffer
	o.Stdout, o.Stderr = &out, t.stderr
	v, err := guest.Run(c.Context, o)
	switch {
	case errors.Is(err, guest.ErrTimeout):
		return bench.Run{}, exit.Errorf(exit.Timeout, "%s: %v after %s", m, err, o.Timeout)
	case err != nil:
		return bench.Run{}, err
	case v.Signal != 0:
		return bench.Run{}, exit.Errorf(exit.No, "%s: the application was killed by signal %d", m, v.Signal)
	case v.Status != 0:
		return bench.Run{}, exit.Errorf(exit.No, "%s: the application exited with status %d", m, v.Status)
	}
	run, err := bench.Parse(out.Bytes())
	if err == nil && run.Ring != m.Ring() {
		err = fmt.Errorf("it ran in ring %d", run.Ring)
	}
	if err != nil {
		return run, exit.Errorf(exit.No, "%s: the application's output: %v", m, err)
	}
	return run, nil
}

// hostCPU is the name that Linux gives the processor (proc(5)).
func hostCPU() string {
	info, _ := os.ReadFile("/proc/cpuinfo") // without it the name is unknown
	for line := range strings.Lines(string(info)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return "an unknown processor"
}
