package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/cli/exit"
	"ukl/internal/host/printable"
	"ukl/internal/host/signalname"
	"ukl/internal/machine/qemu"
	"ukl/internal/run/guest"
	"ukl/internal/run/instance"
)

// instances are the guests in the background. No application's name begins with a dot.
func instances() instance.Store { return instance.Store{Dir: stateDir(".running")} }

// detachable refuses options of a guest in the background that have no sense.
func detachable(c *cli.Context) error {
	for _, o := range []string{"name", "wait"} {
		if c.IsSet(o) && !c.Bool("detach") {
			return exit.Errorf(exit.Usage, "--%s is for a guest in the background", o).WithHint("add -d")
		}
	}
	if name := c.String("name"); c.IsSet("name") && (name == "" || name != manifest.NameOf(name)) {
		return exit.Errorf(exit.Usage, "--name %q: want letters, digits and +._-", name)
	}
	return notNegative(c, "wait")
}

// detach starts the same run in the background, where all that could be missing is there now, and prints its name.
func (t *tool) detach(c *cli.Context, a apps.App, o guest.Options) error {
	info := instance.Info{App: a.Name, Ports: portsOf(o.Machine.Forwards), Waiting: portsOf(tcp(o.Machine.Forwards))}
	args := slices.Clone(t.line.args[1:])
	if t.line.dashes {
		args = append(append(args, "--"), t.line.rest...)
	}
	how := instance.Launch{Args: args, Grace: c.Duration("grace"), Given: t.agreed}
	if len(info.Waiting) > 0 {
		how.Wait = c.Duration("wait")
	}
	info, err := instances().Start(c.Context, c.String("name"), info, how)
	var failed *instance.Failed
	if errors.As(err, &failed) { // it has said why
		fmt.Fprint(t.stderr, printable.Text(failed.Output))
		return exit.Status(exit.Code(failed.Code))
	}
	if err != nil {
		return err
	}
	if how.Wait > 0 && info.State == instance.Starting {
		t.note(c, "after %s the application does not listen yet on %s", how.Wait, strings.Join(info.Waiting, ", "))
	}
	if c.Bool("json") {
		return printJSON(t.stdout, info)
	}
	_, err = fmt.Fprintln(t.stdout, info.Name)
	return err
}

// portsOf lists forwards as people write them.
func portsOf(forwards []qemu.Forward) []string {
	ports := []string{}
	for _, f := range forwards {
		ports = append(ports, f.String())
	}
	return ports
}

// tcp are the forwards of which a guest can say that it listens.
func tcp(forwards []qemu.Forward) []qemu.Forward {
	return slices.DeleteFunc(slices.Clone(forwards), func(f qemu.Forward) bool { return f.UDP })
}

func (t *tool) psCommand() *cli.Command {
	return &cli.Command{
		Name:      "ps",
		Usage:     "show the guests in the background",
		UsageText: "ukl ps [--json]",
		Action:    t.ps,
	}
}

func (t *tool) ps(c *cli.Context) error {
	if _, err := t.words(c, 0); err != nil {
		return err
	}
	list, err := instances().List()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(t.stdout, list)
	}
	w := tabwriter.NewWriter(t.stdout, 0, 0, 3, ' ', 0)
	for _, i := range list {
		state := string(i.State)
		switch {
		case i.Running:
		case i.Status == nil:
			state = "killed"
		default:
			state = fmt.Sprintf("ended with %d", *i.Status)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", i.Name, i.App, state, i.Started.Format(time.DateTime),
			strings.Join(i.Ports, " "))
	}
	return w.Flush()
}

func (t *tool) logsCommand() *cli.Command {
	return &cli.Command{
		Name:        "logs",
		Usage:       "print the output of a guest in the background",
		UsageText:   "ukl logs [-f] NAME",
		Description: "Prints stdout and stderr in the order of their arrival. With -v it prints the kernel's log instead.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "print new output until the guest ends"},
		},
		BashComplete: t.completes(background, nil),
		Action:       t.logs,
	}
}

// follows is how often a growing file is looked at.
const follows = 100 * time.Millisecond

func (t *tool) logs(c *cli.Context) error {
	words, err := t.words(c, 1)
	if err != nil {
		return err
	}
	name := words[0]
	if name == "" {
		return exit.Errorf(exit.Usage, "which guest?").WithHint("ukl logs NAME; `ukl ps` shows them")
	}
	file, dir, err := instances().Output(name)
	if err != nil {
		return err
	}
	var more func() error
	if c.Bool("verbose") {
		f, err := os.Open(filepath.Join(dir, "kernel.log"))
		if err != nil {
			return err
		}
		defer f.Close()
		more = func() error {
			_, err := io.Copy(printable.Writer(t.stdout), f)
			return err
		}
	} else {
		r, err := instance.OpenOutput(file)
		if err != nil {
			return err
		}
		defer r.Close()
		more = func() error { return r.Copy(t.stdout) }
	}
	for {
		i, gerr := instances().Get(name) // before the copy: what was written until it ended is then copied
		if err := more(); err != nil {
			return err
		}
		if !c.Bool("follow") || gerr != nil || !i.Running {
			return nil
		}
		select {
		case <-c.Context.Done():
			return context.Cause(c.Context)
		case <-time.After(follows):
		}
	}
}

func (t *tool) stopCommand() *cli.Command {
	return &cli.Command{
		Name:      "stop",
		Usage:     "end guests in the background",
		UsageText: "ukl stop [--grace TIME] NAME...",
		Description: `Sends SIGTERM to the applications and waits until the guests have ended. Another ukl stop of a guest ends
it at once. Also removes a guest that has ended from the list of ukl ps. What it wrote stays for ukl logs.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "end all guests"},
			&cli.DurationFlag{
				Name:  "grace",
				Usage: "let the application end by itself for up to `TIME`, instead of the --grace of its run; 0 ends it at once",
			},
		},
		BashComplete: t.completes(background, background),
		Action:       t.stop,
	}
}

func (t *tool) stop(c *cli.Context) error {
	var grace *time.Duration
	if c.IsSet("grace") {
		d, err := graceOf(c)
		if err != nil {
			return err
		}
		grace = &d
	}
	names := c.Args().Slice()
	if c.Bool("all") {
		list, err := instances().List()
		if err != nil {
			return err
		}
		for _, i := range list {
			names = append(names, i.Name)
		}
	} else if len(names) == 0 {
		return exit.Errorf(exit.Usage, "which guest?").WithHint("ukl stop NAME, or --all; `ukl ps` shows them")
	}
	slices.Sort(names)
	names = slices.Compact(names)
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, n := range names {
		all.Go(func() {
			var forced bool
			forced, errs[i] = instances().Stop(c.Context, n, grace)
			if forced {
				t.note(c, "%s did not end in time, so ukl ended it", n)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (t *tool) signalCommand() *cli.Command {
	return &cli.Command{
		Name:         "signal",
		Usage:        "send a signal to the application of a guest in the background",
		UsageText:    "ukl signal NAME SIGNAL",
		Description:  "SIGNAL is a name, with or without SIG, such as HUP, SIGUSR1 or RTMIN+3, or a number.",
		BashComplete: t.completes(background, signalName),
		Action:       t.signal,
	}
}

func (t *tool) signal(c *cli.Context) error {
	words, err := t.words(c, 2)
	if err != nil {
		return err
	}
	if c.NArg() < 2 {
		return exit.Errorf(exit.Usage, "which guest, and which signal?").WithHint("ukl signal NAME HUP")
	}
	n, ok := signalname.Parse(words[1])
	if !ok {
		return exit.Errorf(exit.Usage, "%q is no signal", words[1]).WithHint("a name such as HUP or SIGUSR1, or a number")
	}
	return instances().Signal(c.Context, words[0], n)
}
