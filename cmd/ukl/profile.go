package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/cli/exit"
	"ukl/internal/host/atomicfile"
	"ukl/internal/host/printable"
	"ukl/internal/machine/accel"
	"ukl/internal/machine/qemu"
	"ukl/internal/report/profile"
	"ukl/internal/run/guest"
)

func (t *tool) profileCommand() *cli.Command {
	return &cli.Command{
		Name:      "profile",
		Usage:     "show where every instruction of a run goes: application, libc, kernel",
		UsageText: "ukl profile [OPTIONS] [APP|DIR|PROGRAM] [-- ARGUMENTS]",
		Description: `Runs the application under QEMU's emulation, which counts each instruction by the functions that called each other
to come to it, from the application's first instruction to the end of the machine. Two runs of the same program give the
same numbers, unless it talks to somebody outside. What the application prints goes to stderr. A server is profiled until
Ctrl-C or --timeout ends it.

examples:
  ukl profile --svg flame.svg sqlite
  ukl profile --per epoll_wait --timeout 20s ./server
  ukl profile --compare process --svg difference.svg sqlite`,
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{
				Name:  "per",
				Usage: "count from the first call of `FUNCTION` to its last, and divide by the calls between",
			},
			&cli.BoolFlag{Name: "boot", Usage: "count from the machine's reset on"},
			&ofKind{oneOf(unikernel, process), &cli.StringFlag{
				Name: "mode", Value: unikernel,
				Usage: "run the application in ring 0, or as a process of an unpatched kernel: `unikernel|process`",
			}},
			&ofKind{oneOf(unikernel, process), &cli.StringFlag{
				Name: "compare", Usage: "run it in this mode, too, and show the differences: `unikernel|process`",
			}},
			&cli.IntFlag{Name: "top", Value: 25, Usage: "show `N` functions"},
			&ofKind{file, &cli.StringFlag{Name: "svg", Usage: "draw a flame graph into `FILE`"}},
			&ofKind{file, &cli.StringFlag{
				Name: "folded", Usage: "write the stacks into `FILE`, as flamegraph.pl and speedscope read them",
			}},
			&cli.DurationFlag{Name: "timeout", Usage: "end the guest after this `TIME`, such as 90s"},
			portFlag(),
		}, guestFlags(), machineFlags()),
		BashComplete: t.completes(target, nil),
		Action:       t.profile,
	}
}

func (t *tool) profile(c *cli.Context) error {
	compare := c.String("compare")
	for _, o := range []string{"mode", "compare"} {
		if m := c.String(o); c.IsSet(o) && m != unikernel && m != process {
			return exit.Errorf(exit.Usage, "--%s %q: want %s or %s", o, m, unikernel, process)
		}
	}
	switch {
	case compare == c.String("mode"):
		return exit.Errorf(exit.Usage, "--compare %s: that is the mode itself", compare)
	case compare != "" && c.IsSet("folded"):
		return exit.Errorf(exit.Usage, "--folded has the stacks of one run: it does not go with --compare")
	case c.Bool("boot") && c.IsSet("per"):
		return exit.Errorf(exit.Usage, "--boot and --per: each says where to begin; take one")
	case c.Int("top") < 1:
		return exit.Errorf(exit.Usage, "--top %d: want 1 or more", c.Int("top"))
	}
	if err := writable(c, "svg", "folded"); err != nil {
		return err
	}
	if override := os.Getenv(qemu.Env); override != "" {
		return exit.Errorf(exit.Usage, "profile counts by a plugin of the pinned QEMU").WithHint("unset %s", qemu.Env)
	}
	r := profile.Report{Version: 1, Per: c.String("per")}
	modes := []string{c.String("mode")}
	if compare != "" {
		modes = append(modes, compare)
	}
	for _, m := range modes {
		if err := c.Set("mode", m); err != nil {
			return err
		}
		a, o, err := t.counted(c)
		if err != nil {
			return err
		}
		r.Application, r.CPU = a.Name, o.Machine.Model()
		p, err := t.count(c, a, o, m)
		if err != nil {
			return err
		}
		r.Profiles = append(r.Profiles, p)
	}
	for option, write := range map[string]func(io.Writer) error{"svg": r.SVG, "folded": r.Profiles[0].Folded} {
		name := c.String(option)
		if name == "" {
			continue
		}
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return err
		}
		if err := atomicfile.File(name, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return printJSON(t.stdout, r)
	}
	return r.Table(printable.Writer(t.stdout), c.Int("top"))
}

// counted is the run as the command line describes it, under an emulation that counts its instructions.
func (t *tool) counted(c *cli.Context) (apps.App, guest.Options, error) {
	a, o, err := t.described(c)
	if err != nil {
		return a, o, err
	}
	if err := t.provide(c, a, &o); err != nil {
		return a, o, err
	}
	if err := fit(c, a, &o); err != nil {
		return a, o, err
	}
	o.TSC, o.Stdin, o.Stdout = accel.Local(cacheDir()).TSC(), nil, t.stderr
	icount := "shift=0,sleep=off"
	if len(o.Machine.Forwards) > 0 {
		// Clients are outside, and their time is this machine's: a guest that waits for them would count its timers.
		icount = "shift=0,sleep=on"
	}
	o.Machine.Extra = append(slices.Clone(o.Machine.Extra), "-icount", icount)
	return a, o, nil
}

// count runs the guest once, to its end or until somebody ends it.
func (t *tool) count(c *cli.Context, a apps.App, o guest.Options, mode string) (*profile.Profile, error) {
	b, done := t.builder(c)
	defer done()
	plugin, err := b.Profiler(c.Context)
	if err != nil {
		return nil, err
	}
	libc, err := b.Libc(c.Context)
	if err != nil {
		return nil, err
	}
	program := t.symbols(c, a, o)
	if program == "" {
		return nil, exit.Errorf(exit.Input, "%s: there is no program with symbols of what runs", a.Name)
	}
	functions, err := profile.Read(o.Machine.Kernel, program, libc)
	switch {
	case errors.Is(err, profile.ErrMoves):
		return nil, exit.Errorf(exit.Input, "%v, so where its functions are is known only when it runs", err).
			WithHint("link it with -no-pie")
	case errors.Is(err, profile.ErrNoSymbols):
		return nil, exit.Errorf(exit.Input, "%v", err).WithHint("link it without -s, and do not strip it")
	case err != nil:
		return nil, err
	}
	counts, err := os.CreateTemp("", "ukl-profile-*")
	if err != nil {
		return nil, err
	}
	defer counts.Close()
	if err := os.Remove(counts.Name()); err != nil {
		return nil, err
	}
	o.Count = &guest.Count{File: plugin, Functions: functions, Out: counts}
	switch per := c.String("per"); {
	case per != "":
		at, err := functions.Address(per)
		if err != nil {
			return nil, fmt.Errorf("--per: %w", err)
		}
		o.Count.Args = append(o.Count.Args, fmt.Sprintf("mark=%#x", at))
	case !c.Bool("boot"):
		o.Count.Args = append(o.Count.Args, fmt.Sprintf("start=%#x", functions.Entry))
	}
	if !c.Bool("quiet") {
		fmt.Fprintf(t.stderr, "[%s] counting\n", mode)
	}
	v, err := guest.Run(c.Context, o)
	var ended guest.Request
	switch {
	case errors.Is(err, guest.ErrTimeout), errors.As(err, &ended):
	case err != nil:
		return nil, err
	case v.Signal != 0:
		t.note(c, "signal %d killed the application", v.Signal)
	case v.Status != 0:
		t.note(c, "the application exited with status %d", v.Status)
	}
	if _, err := counts.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	p, err := profile.Parse(counts, functions, mode)
	if err == nil && c.IsSet("per") && p.Calls == 0 {
		return nil, exit.Errorf(exit.No, "--per %s: it was not called twice", c.String("per"))
	}
	return p, err
}
