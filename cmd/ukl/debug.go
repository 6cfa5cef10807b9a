package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/urfave/cli/v2"

	"ukl/internal/machine/accel"
	"ukl/internal/machine/qemu"
	"ukl/internal/run/gdb"
	"ukl/internal/run/guest"
)

func (t *tool) debugCommand() *cli.Command {
	return &cli.Command{
		Name:      "debug",
		Usage:     "run an application under gdb, with the symbols of application and kernel",
		UsageText: "ukl debug [OPTIONS] [APP|DIR|PROGRAM] [-- ARGUMENTS]",
		Description: `Boots the machine halted, starts this machine's gdb, and stops in the application's main. Functions of the
application and of the kernel have their names. Ctrl-C is gdb's: it stops the guest. The application's stdin is empty.

examples:
  ukl debug hello
  ukl debug --break handle ./server -p 8080:80 -- --verbose
  echo bt | ukl debug hello`,
		Flags: slices.Concat([]cli.Flag{
			&cli.StringSliceFlag{
				Name: "break", Aliases: []string{"b"},
				Usage: "stop at `PLACE` instead of main: a function, FILE:LINE, *ADDRESS; repeatable",
			},
			&ofKind{file, &cli.StringFlag{Name: "gdb", Value: "gdb", Usage: "the gdb to start: `PROGRAM`"}},
			portFlag(),
		}, guestFlags(), []cli.Flag{
			accelFlag(accel.TCG),
		}, machineFlags()),
		BashComplete: t.completes(target, nil),
		Action:       t.debug,
	}
}

func (t *tool) debug(c *cli.Context) error {
	program, err := gdb.Find(c.String("gdb"))
	if err != nil {
		return err
	}
	a, o, err := t.arranged(c)
	if err != nil {
		return err
	}
	door, err := qemu.Reserve([]qemu.Forward{{Addr: "127.0.0.1", Guest: 1}}) // any free port
	if err != nil {
		return err
	}
	g := gdb.Command{Program: program, App: t.symbols(c, a, o), Kernel: o.Machine.Kernel, Address: door[0].HostPort()}
	var moves bool
	if g.Breaks, moves, err = gdb.Breaks(g.App, c.StringSlice("break")); err != nil {
		return err
	}
	if moves {
		t.note(c, "%s is position-independent: gdb cannot know where its functions are; link it with -no-pie", a.Name)
	}
	o.GDB = door[0]
	return t.underGDB(c, g, o)
}

var errDebugged = errors.New("gdb has ended")

// underGDB runs the guest for as long as gdb runs. Ctrl-C is not an end: gdb, in the same terminal, stops the guest for
// it.
func (t *tool) underGDB(c *cli.Context, g gdb.Command, o guest.Options) error {
	ctx, end := context.WithCancelCause(context.WithoutCancel(c.Context))
	defer end(errDebugged)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	ended := make(chan error, 1)
	o.Stdin = nil
	waits := make(chan struct{})
	o.Debuggable = func() { close(waits) }
	go func() {
		v, err := guest.Run(ctx, o)
		switch {
		case err == nil && v.Signal != 0:
			t.note(c, "signal %d killed the application", v.Signal)
		case err == nil:
			t.note(c, "the application exited with status %d", v.Status)
		}
		ended <- err
	}()
	select {
	case <-waits:
	case err := <-ended:
		return err
	case s := <-signals:
		end(errDebugged)
		<-ended
		return interrupted{signal: s.(syscall.Signal)}
	}
	debugged := make(chan error, 1)
	go func() { debugged <- g.Run(t.stdin, t.stdout, t.stderr) }()
	select {
	case err := <-debugged:
		end(errDebugged)
		<-ended // however gdb left the machine, that is no failure
		return err
	case s := <-signals:
		end(errDebugged)
		<-ended
		return interrupted{signal: s.(syscall.Signal)}
	}
}
