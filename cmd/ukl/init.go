package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/app/scaffold"
	"ukl/internal/cli/exit"
	"ukl/nixexprs"
)

func (t *tool) initCommand() *cli.Command {
	return &cli.Command{
		Name:      "init",
		Usage:     "make a new application: ukl.toml, a source, tests",
		UsageText: "ukl init [--lang LANGUAGE] [DIR]",
		Description: `Prints the names of the new files and never overwrites one. Next, in DIR: ukl run, ukl test. If the directory has C or C++
sources, a build by make, configure, autoconf, cmake, meson, cargo or Go, a program in Python, JavaScript, Ruby, PHP or Perl, a
JAR, or a web site, it gets only a ukl.toml for them, unless you give --lang. Files of which no application can be made are refused.

examples:
  ukl init
  ukl init --lang c++ greeter`,
		Flags: []cli.Flag{
			&ofKind{
				oneOf(scaffold.Languages()...),
				&cli.StringFlag{
					Name: "lang", Value: "c",
					Usage: "`LANGUAGE` of the source: " + strings.Join(scaffold.Languages(), ", "),
				},
			},
		},
		BashComplete: t.completes(directory, nil),
		Action:       t.init,
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
	if !slices.Contains(scaffold.Languages(), language) {
		return exit.Errorf(exit.Usage, "--lang %q: want %s", language, strings.Join(scaffold.Languages(), ", "))
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var files []string
	first := scaffold.Next(language, manifest.NameOf(filepath.Base(abs)))
	if !c.IsSet("lang") {
		file, next, err := scaffold.Adopt(dir, apps.New(nixexprs.FS))
		if err != nil {
			return err
		}
		if file != "" {
			files, first = []string{file}, next
		}
	}
	if len(files) == 0 {
		if files, err = scaffold.Write(dir, language); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return printJSON(t.stdout, made{files})
	}
	for _, f := range files {
		if _, err := fmt.Fprintln(t.stdout, f); err != nil {
			return err
		}
	}
	var next []string
	if dir != "." {
		next = append(next, quoted([]string{"cd", dir}))
	}
	if first != "" {
		next = append(next, first)
	}
	t.note(c, "next: %s", strings.Join(append(next, "ukl run"), " && "))
	return nil
}
