package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/build/gc"
	"ukl/internal/host/nix"
	"ukl/internal/pin/pins"
	"ukl/nixexprs"
)

// gcCommand frees disk space.
func (t *tool) gcCommand() *cli.Command {
	return &cli.Command{
		Name:      "gc",
		Usage:     "delete what ukl made in the Nix store and nothing needs",
		UsageText: "ukl gc [--dry-run] [--all]",
		Description: `Keeps the last build of each application whose directory still exists, the shared stages of this version of ukl (kernel, libc,
tools, QEMU), its pins and those of these applications, and everything that somebody else's root holds. Never deletes
what others built. ukl can build again everything that it deletes.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Usage: "print what would be deleted, and delete nothing"},
			&cli.BoolFlag{Name: "all", Usage: "also delete the last builds, the shared stages and the pins"},
		},
		Action: t.gc,
	}
}

// collected is what `ukl gc --json` prints.
type collected struct {
	Forgotten []string  `json:"forgotten"` // applications whose last builds need not stay
	Paths     []gc.Path `json:"paths"`
	Bytes     int64     `json:"bytes"`
	Deleted   bool      `json:"deleted"`
}

func (t *tool) gc(c *cli.Context) error {
	if _, err := t.words(c, 0); err != nil {
		return err
	}
	l, err := pins.Load(nixexprs.FS)
	if err != nil {
		return err
	}
	n, err := nix.Find()
	if err != nil {
		return err
	}
	b, done := t.builder(c)
	defer done()
	all, dry := c.Bool("all"), c.Bool("dry-run")
	gone, err := b.Forget(all, dry)
	if err != nil {
		return err
	}
	needed, err := pinned(b.Places())
	if err != nil {
		return err
	}
	found, err := gc.Find(c.Context, n, append(needed, l.Paths()...), all)
	if err != nil {
		return err
	}
	if !dry {
		if err := gc.Delete(c.Context, n, found); err != nil {
			return err
		}
	}
	out := collected{Forgotten: gone, Paths: append([]gc.Path{}, found...), Deleted: !dry}
	for _, p := range found {
		out.Bytes += p.Size
	}
	if c.Bool("json") {
		return printJSON(t.stdout, out)
	}
	for _, p := range found {
		if dry || c.Bool("verbose") {
			if _, err := fmt.Fprintln(t.stdout, p.Path); err != nil {
				return err
			}
		}
	}
	if !dry {
		t.note(c, "%d paths deleted, %d MB", len(found), out.Bytes/1e6)
		return nil
	}
	t.note(c, "%d paths to delete, %d MB", len(found), out.Bytes/1e6)
	if len(gone) > 0 {
		t.note(c, "also what only these applications hold: %s", strings.Join(gone, ", "))
	}
	return nil
}

// pinned are the store paths of what the applications that come along, and those at places, have pinned themselves. One
// that cannot be read needs nothing.
func pinned(places []string) ([]string, error) {
	list, err := apps.New(nixexprs.FS).List()
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		if a, err := findApp(p); err == nil {
			list = append(list, a)
		}
	}
	var paths []string
	for _, a := range list {
		own, err := pins.LoadOwn(a.Files, a.Dir, a.Wants())
		if err != nil {
			continue
		}
		for _, p := range own.All() {
			paths = append(paths, p.StorePath())
		}
	}
	return paths, nil
}
