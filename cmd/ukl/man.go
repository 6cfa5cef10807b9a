package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

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
		BashComplete: t.completes(directory, nil),
		Action:       t.man,
	}
}

// The library's printer makes pages from these templates, as it makes help. Its own ToMan makes one page of all
// commands, with options by name and without exit codes.

// pageParts are what the pages have in common.
const pageParts = `{{define "head"}}.TH "{{page .HelpName | upper | text}}" 1 "" "{{text source}}" ""
.SH NAME
{{page .HelpName | text}} \- {{text .Usage}}
.SH SYNOPSIS
.nf
{{text .UsageText}}
.fi
{{end}}{{define "commands"}}{{with .VisibleCommands}}.SH COMMANDS
{{range .}}{{term .Name .Usage}}{{end}}{{end}}{{end}}`

// appPage is ukl(1).
const appPage = pageParts + `{{template "head" .}}.SH DESCRIPTION
Turns a program into a Linux unikernel: one image that holds a patched Linux and the program, which runs in ring 0.
Data goes to stdout, everything else to stderr.
Each command has a page of its own: ukl\-run(1) and so on.
{{template "commands" .}}.SH OPTIONS
They stand before or behind the command.
{{range .VisibleFlags}}{{option .}}{{end}}.SH "EXIT STATUS"
{{range .Metadata.codes}}{{term .Code .Meaning}}{{end}}.SH ENVIRONMENT
{{range .Metadata.variables}}{{term .Name .Meaning}}{{end}}.SH "SEE ALSO"
{{range $i, $c := commands}}{{if $i}}, {{end}}{{page $c.HelpName | text}}(1){{end}}
`

// commandPage is the page of a command.
const commandPage = pageParts + `{{template "head" .}}{{with about .Description}}.SH DESCRIPTION
{{text .}}
{{end}}{{template "commands" .}}{{$title := ".SH OPTIONS\n"}}{{range .VisibleFlags}}{{if not .GetCategory -}}
{{$title}}{{option .}}{{$title = ""}}{{end}}{{end -}}
.SH "OPTIONS OF EVERY COMMAND"
{{range .VisibleFlags}}{{if .GetCategory}}{{option .}}{{end}}{{end}}{{with examples .Description}}.SH EXAMPLES
.nf
{{text .}}
.fi
{{end}}.SH "SEE ALSO"
ukl(1), which has the exit codes and the variables
`

// manual is all pages by their names, and the names, ukl's own first.
func manual(app *cli.App) (names []string, pages map[string][]byte) {
	commands := visible(app.Commands)
	pages = map[string][]byte{}
	functions := map[string]any{
		"text": roff.Text, "term": roff.Term, "upper": strings.ToUpper, "page": pageName,
		"source":   func() string { return app.Name + " " + version },
		"commands": func() []*cli.Command { return commands },
		"option":   func(f cli.Flag) string { return roff.Term(explained(f)) },
		"about":    func(s string) string { about, _, _ := strings.Cut(s, exampleTitle); return strings.TrimSpace(about) },
		"examples": func(s string) string {
			_, examples, _ := strings.Cut(s, exampleTitle)
			return strings.ReplaceAll(strings.TrimSpace(examples), "\n  ", "\n")
		},
	}
	add := func(name, template string, data any) {
		var b bytes.Buffer
		cli.HelpPrinterCustom(&b, template, data, functions)
		names, pages[name] = append(names, name), b.Bytes()
	}
	add(app.Name, appPage, app)
	for _, c := range commands {
		add(pageName(c.HelpName), commandPage, c)
	}
	return names, pages
}

// exampleTitle begins the examples in a command's description.
const exampleTitle = "examples:\n"

// visible are the commands with those of their own behind each.
func visible(commands []*cli.Command) []*cli.Command {
	var all []*cli.Command
	for _, c := range commands {
		if !c.Hidden {
			all = append(append(all, c), visible(c.Subcommands)...)
		}
	}
	return all
}

func pageName(command string) string { return strings.ReplaceAll(command, " ", "-") }

func (t *tool) man(c *cli.Context) error {
	words, err := t.words(c, 1)
	if err != nil {
		return err
	}
	names, pages := manual(c.App)
	dir := words[0]
	if dir == "" {
		_, err = t.stdout.Write(pages[names[0]])
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var files []string
	for _, name := range names {
		file := filepath.Join(dir, name+".1")
		if err := atomicfile.File(file, pages[name], 0o644); err != nil {
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
