package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"ukl/internal/build/handover"
	"ukl/internal/cli/progress"
	"ukl/nixexprs"
)

func (t *tool) sourceCommand() *cli.Command {
	return &cli.Command{
		Name:      "source",
		Usage:     "gather what to hand on with an image: sources of all that is in it, patches, configuration",
		UsageText: "ukl source [OPTIONS] [APP|DIR|PROGRAM [FOLDER]]",
		Description: `Makes FOLDER (default: NAME-source in this directory). Its README says what each file is and how to build
the image again. It holds Debian's source package of each library in the program: apt finds it in the signed
lists of Debian's mirrors, or of the snapshot archive if the mirrors have a newer one. Builds what is missing.

examples:
  ukl source https
  ukl source --with-app ./server /srv/handed-on`,
		Flags: []cli.Flag{
			&cli.BoolFlag{
				DisableDefaultText: true, Name: "with-app",
				Usage: "add the application's own directory, or its finished program",
			},
			&cli.BoolFlag{
				DisableDefaultText: true, Name: "tools",
				Usage: "add the sources of the compiler and of all other tools, some 400 MB",
			},
		},
		BashComplete: t.completes(target, directory),
		Action:       t.source,
	}
}

func (t *tool) source(c *cli.Context) error {
	words, err := t.words(c, 2)
	if err != nil {
		return err
	}
	a, err := findApp(words[0])
	if err != nil {
		return err
	}
	dir := words[1]
	if dir == "" {
		dir = a.Name + "-source"
	}
	if err := handover.Free(dir); err != nil {
		return err
	}
	d := progress.New(t.stderr, t.display(c))
	defer d.Close()
	b := newBuilder(c, d)
	b.Pins.Ask = t.local(c.Context, d)
	contents, err := b.Handover(c.Context, a, version)
	if err != nil {
		return err
	}
	contents.Hash, contents.WithApp, contents.WithTools = nixexprs.Hash(), c.Bool("with-app"), c.Bool("tools")
	o := handover.Options{Pins: b.Pins, Fetch: d.Fetch, Step: d.Note}
	o.Pins.Note = d.Note
	result, err := handover.Write(c.Context, dir, contents, o)
	if err != nil {
		return err
	}
	d.Close()
	if c.Bool("json") {
		return printJSON(t.stdout, result)
	}
	_, err = fmt.Fprintf(t.stdout, "%s: %d files, %d MB, source of %d packages\n",
		result.Dir, result.Files, result.Bytes/1e6, len(result.Packages))
	return err
}
