package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ukl/internal/cli/exit"
	"ukl/internal/cli/roff"
	"ukl/internal/host/atomicfile"
)

func (t *tool) manCommand() *cli.Command {
	return &cli.Command{
		Name:      "man",
		Usage:     "print the manual page ukl(1), or write all pages into a directory",
		UsageText: "ukl man [DIR]",
		Description: `The pages say what --help says. With DIR there is one for ukl and one for each command; the names are printed.

examples:
  ukl man | man -l -
  ukl man ~/.local/share/man/man1`,
		Action: t.man,
	}
}

func (t *tool) man(c *cli.Context) error {
	words, err := t.words(c, 1)
	if err != nil {
		return err
	}
	pages := manual(c.App)
	dir := words[0]
	if dir == "" {
		_, err = fmt.Fprint(t.stdout, pages[0])
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var files []string
	for _, p := range pages {
		file := filepath.Join(dir, fmt.Sprintf("%s.%d", p.Name, p.Section))
		if err := atomicfile.File(file, []byte(p.String()), 0o644); err != nil {
			return err
		}
		files = append(files, file)
	}
	if c.Bool("json") {
		return printJSON(t.stdout, made{Files: files})
	}
	_, err = fmt.Fprintln(t.stdout, strings.Join(files, "\n"))
	return err
}

// manual is all pages, ukl's own first.
func manual(app *cli.App) []roff.Page {
	own := roff.Page{Name: "ukl", Section: 1, Summary: app.Usage, Source: "ukl " + version}
	own.Parts = []roff.Part{
		{Title: "SYNOPSIS", Literal: []string{"ukl [OPTIONS] COMMAND [ARGUMENTS]"}},
		{Title: "DESCRIPTION", Text: []string{"Turns a program into a Linux unikernel: one image that holds a patched Linux and the program, which runs in ring 0. " +
			"Data goes to stdout, everything else to stderr. Each command has a page of its own: ukl-run(1) and so on."}},
		{Title: "COMMANDS", Terms: commandTerms(app.Commands)},
		{Title: "OPTIONS", Text: []string{"They stand before or behind the command."}, Terms: terms(globals())},
		{Title: "EXIT STATUS", Terms: exitTerms()},
		{Title: "ENVIRONMENT", Terms: variableTerms()},
	}
	pages := []roff.Page{own}
	for _, c := range app.Commands {
		pages = append(pages, commandPages("ukl", c)...)
	}
	var names []string
	for _, p := range pages[1:] {
		names = append(names, p.Name+"(1)")
	}
	pages[0].Parts = append(pages[0].Parts, roff.Part{Title: "SEE ALSO", Text: []string{strings.Join(names, ", ")}})
	return pages
}

// commandPages are the page of a command and those of its own commands; parent stands before its name.
func commandPages(parent string, c *cli.Command) []roff.Page {
	if c.Hidden {
		return nil
	}
	name := parent + " " + c.Name
	p := roff.Page{Name: strings.ReplaceAll(name, " ", "-"), Section: 1, Summary: c.Usage, Source: "ukl " + version}
	text, examples := described(c.Description)
	add := func(part roff.Part) {
		if len(part.Text)+len(part.Literal)+len(part.Terms) > 0 {
			p.Parts = append(p.Parts, part)
		}
	}
	add(roff.Part{Title: "SYNOPSIS", Literal: []string{c.UsageText}})
	add(roff.Part{Title: "DESCRIPTION", Text: text})
	add(roff.Part{Title: "COMMANDS", Terms: commandTerms(c.Subcommands)})
	add(roff.Part{Title: "OPTIONS", Terms: terms(ownFlags(c))})
	add(roff.Part{Title: "OPTIONS OF EVERY COMMAND", Terms: terms(globals())})
	add(roff.Part{Title: "EXAMPLES", Literal: examples})
	add(roff.Part{Title: "SEE ALSO", Text: []string{"ukl(1), which has the exit codes and the variables"}})
	pages := []roff.Page{p}
	for _, sub := range c.Subcommands {
		pages = append(pages, commandPages(name, sub)...)
	}
	return pages
}

// described divides a description into paragraphs and examples.
func described(s string) (paragraphs, examples []string) {
	before, after, _ := strings.Cut(s, "examples:\n")
	for p := range strings.SplitSeq(strings.TrimSpace(before), "\n\n") {
		if p != "" {
			paragraphs = append(paragraphs, p)
		}
	}
	for l := range strings.Lines(after) {
		examples = append(examples, strings.TrimPrefix(strings.TrimRight(l, "\n"), "  "))
	}
	return paragraphs, examples
}

// ownFlags are a command's flags without those that every command has.
func ownFlags(c *cli.Command) []cli.Flag {
	return slices.DeleteFunc(slices.Clone(c.Flags), func(f cli.Flag) bool {
		return slices.ContainsFunc(globals(), func(g cli.Flag) bool { return g.Names()[0] == f.Names()[0] })
	})
}

func terms(flags []cli.Flag) []roff.Term {
	var list []roff.Term
	for _, f := range flags {
		if f.(cli.VisibleFlag).IsVisible() {
			name, text := explained(f)
			list = append(list, roff.Term{Name: name, Text: text})
		}
	}
	return list
}

func commandTerms(commands []*cli.Command) []roff.Term {
	var list []roff.Term
	for _, c := range commands {
		list = append(list, roff.Term{Name: c.Name, Text: c.Usage})
	}
	return list
}

func variableTerms() []roff.Term {
	var list []roff.Term
	for _, v := range variables() {
		list = append(list, roff.Term{Name: v.Name, Text: v.Meaning})
	}
	return list
}

func exitTerms() []roff.Term {
	var list []roff.Term
	for _, r := range exit.Table() {
		list = append(list, roff.Term{Name: r.Code, Text: r.Meaning})
	}
	return list
}
