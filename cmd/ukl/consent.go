package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/cli/exit"
	"ukl/internal/cli/progress"
	"ukl/internal/host/printable"
	"ukl/internal/machine/qemu"
	"ukl/internal/pin/pins"
)

// agreed is what a ukl.toml said, and what the paths that it lends led to, when the user agreed. A run in the
// background gets it, and has leave for nothing else.
type agreed struct {
	Manifest string // hash of the file
	Lent     manifest.Lent
}

// consent makes sure that the user wants what an application's ukl.toml asks for of this machine: an option says so, or
// an answer on a terminal. In the background nobody is asked: it has been done before.
func (t *tool) consent(c *cli.Context, a apps.App, lent manifest.Lent) error {
	if a.Bundled {
		return nil
	}
	t.agreed = agreed{a.Sum, lent}
	if t.own != nil {
		return t.unchanged()
	}
	return t.ask(c, a.Asks(lent))
}

// consentToFiles is the same for what a file of --format holds: of what the ukl.toml wants, the copies.
func (t *tool) consentToFiles(c *cli.Context, a apps.App, lent manifest.Lent) error {
	if a.Bundled {
		return nil
	}
	return t.ask(c, slices.DeleteFunc(a.Asks(lent), func(k manifest.Ask) bool {
		return k.Option != manifest.AllowVolumes || k.Volume != ""
	}))
}

// ask asks for what no option allows.
func (t *tool) ask(c *cli.Context, all []manifest.Ask) error {
	for _, ask := range all {
		instead := func(s string) bool { v, err := qemu.ParseVolume(s); return err == nil && v.Guest == ask.Volume }
		ports := ask.Option == manifest.AllowPorts && c.IsSet(manifest.AllowPorts)
		if c.Bool(ask.Option) || ports || ask.Volume != "" && slices.ContainsFunc(c.StringSlice("volume"), instead) {
			continue
		}
		refused := ask.Refuse()
		if !t.onTerminal() {
			return refused
		}
		place := ask.Place
		place.Text = "the guest shall get " + ask.What
		fmt.Fprintf(t.stderr, "ukl: %s\nukl: allow it? [y/N] ", printable.Line(place.Error()))
		answer, err := lineOf(t.stdin)
		if err != nil {
			return err
		}
		if !isYes(answer) {
			return refused
		}
	}
	return nil
}

// unchanged refuses to go on in the background with something else than the user has agreed to: since then an
// application was built, and others may write where a ukl.toml leads.
func (t *tool) unchanged() error {
	var before agreed
	if err := t.own.Given(&before); err != nil {
		return err
	}
	if !reflect.DeepEqual(before, t.agreed) {
		return exit.Errorf(exit.Input, "%s, or what a path in it leads to, has changed since this run began", manifest.File).
			WithHint("run it again")
	}
	return nil
}

// local asks on a terminal whether an application's archive may come from this machine.
func (t *tool) local(ctx context.Context, d *progress.Display) func(*pins.Local) bool {
	return func(l *pins.Local) (yes bool) {
		if !t.onTerminal() {
			return false
		}
		d.Alone(func() {
			fmt.Fprintf(t.stderr, "ukl: %s of [source] shall come from %s\nukl: allow it? [y/N] ",
				printable.Line(l.Pin.String()), printable.Line(l.From))
			answer := make(chan string, 1)
			go func() {
				s, _ := lineOf(t.stdin) // what cannot be read allows nothing
				answer <- s
			}()
			select {
			case <-ctx.Done():
			case s := <-answer:
				yes = isYes(s)
			}
		})
		return yes
	}
}

// isYes tells whether an answer allows what was asked for. All but these two words refuse it.
func isYes(answer string) bool {
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// onTerminal tells whether there is somebody to ask.
func (t *tool) onTerminal() bool {
	stderr, ok := t.stderr.(*os.File)
	return ok && t.stdin != nil && isatty.IsTerminal(t.stdin.Fd()) && isatty.IsTerminal(stderr.Fd())
}

// lineOf reads one line and nothing behind it, which is the application's.
func lineOf(r io.Reader) (string, error) {
	var line strings.Builder
	for b := make([]byte, 1); ; {
		n, err := r.Read(b)
		switch {
		case n == 1 && b[0] == '\n' || errors.Is(err, io.EOF):
			return line.String(), nil
		case err != nil:
			return "", err
		}
		line.Write(b[:n])
	}
}
