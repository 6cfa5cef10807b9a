package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ukl/internal/exit"
	"ukl/internal/manifest"
	"ukl/internal/sample"
)

func (t *tool) initCommand() *cli.Command {
	return &cli.Command{
		Name:      "init",
		Usage:     "make a new application: ukl.toml, a source, tests",
		UsageText: "ukl init [--lang LANGUAGE] [DIR]",
		Description: `Prints the files. Nothing is written over. Then, in DIR: ukl run, ukl test.

examples:
  ukl init
  ukl init --lang c++ greeter`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "lang", Value: "c", Usage: "`LANGUAGE` of the source: " + strings.Join(sample.Languages(), ", ")},
		},
		Action: t.init,
	}
}

// made is what `ukl init --json` prints.
type made struct {
	Files []string `json:"files"`
}

func (t *tool) init(c *cli.Context) error {
	words, err := t.words(c, 1)
	if err != nil {
		return err
	}
	dir, language := words[0], c.String("lang")
	if dir == "" {
		dir = "."
	}
	if !slices.Contains(sample.Languages(), language) {
		return exit.Errorf(exit.Usage, "--lang %q: want %s", language, strings.Join(sample.Languages(), ", "))
	}
	files, err := sample.Write(dir, language)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(t.stdout, made{files})
	}
	for _, f := range files {
		if _, err := fmt.Fprintln(t.stdout, f); err != nil {
			return err
		}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var next []string
	if dir != "." {
		next = append(next, quoted([]string{"cd", dir}))
	}
	if n := sample.Next(language, manifest.NameOf(filepath.Base(abs))); n != "" {
		next = append(next, n)
	}
	t.note(c, "next: %s", strings.Join(append(next, "ukl run"), " && "))
	return nil
}
