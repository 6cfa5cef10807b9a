package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/cli/doctor"
	"ukl/internal/cli/exit"
	"ukl/internal/host/nix"
	"ukl/internal/machine/accel"
	"ukl/internal/machine/qemu"
	"ukl/internal/pin/pins"
	"ukl/nixexprs"
)

func (t *tool) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:        "doctor",
		Usage:       "check whether this machine can run guests, and name remedies",
		UsageText:   "ukl doctor [--json]",
		Description: "Exits with 0 if `ukl run` can work on this machine.",
		Action:      t.doctor,
	}
}

// wantedPorts are those of the current directory's application, if it is one, and of those that come along.
func wantedPorts() []qemu.Forward {
	all, _ := apps.New(nixexprs.FS).List() // other commands say what is wrong with it
	if own, err := findApp(""); err == nil {
		all = append([]apps.App{own}, all...)
	}
	var ports []qemu.Forward
	for _, a := range all {
		for _, f := range a.Ports {
			if !slices.Contains(ports, f) {
				ports = append(ports, f)
			}
		}
	}
	return ports
}

// ownPackages are the pins that the current directory's application has itself, if it is one. Other commands say what
// is wrong.
func ownPackages(l *pins.Lock) []pins.Pin {
	a, err := findApp("")
	if err != nil {
		return nil
	}
	own, err := pins.LoadOwn(a.Files, a.Dir, a.Wants())
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(own.All(), func(p pins.Pin) bool {
		_, shared := l.Packages[p.Name]
		return p.Archive == "" || shared
	})
}

func (t *tool) doctor(c *cli.Context) error {
	if _, err := t.words(c, 0); err != nil {
		return err
	}
	lock, err := pins.Load(nixexprs.FS)
	if err != nil {
		return err
	}
	var all []doctor.Finding
	var werr error
	well := doctor.Run(c.Context, doctor.Host{
		Accel: accel.Local(cacheDir()),
		QEMU:  os.Getenv(qemu.Env),
		Dirs:  []string{cacheDir(), stateDir("")},
		Lock:  lock,
		Own:   ownPackages(lock),
		Pins:  pinOptions(c),
		Free:  func() (uint64, error) { return free(nix.Physical(pins.StoreDir)) },
		Ports: wantedPorts(),
	}, func(f doctor.Finding) {
		if all = append(all, f); c.Bool("json") {
			return
		}
		if c.Bool("quiet") && f.Status == doctor.OK {
			return
		}
		if _, werr = fmt.Fprintf(t.stdout, "%-4s  %-10s  %s\n", f.Status, f.Name, f.Text); werr == nil && f.Remedy != "" {
			_, werr = fmt.Fprintf(t.stdout, "%18s%s\n", "", f.Remedy)
		}
	})
	if c.Bool("json") {
		werr = printJSON(t.stdout, all)
	}
	switch {
	case werr != nil:
		return werr
	case c.Context.Err() != nil:
		return c.Context.Err()
	case !well:
		return exit.Errorf(exit.Unavailable, "`ukl run` cannot work on this machine yet")
	}
	return nil
}
