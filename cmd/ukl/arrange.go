package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// line is a command line in the order that the library understands: it takes everything behind a command's first word for words.
type line struct {
	args    []string // the program, global options, the command, its options, its words
	options []string // those of the command, as they were given
	late    []string // of these, what stood behind the command's first word
	rest    []string // what stood behind "--" of a command that hands it to the application
	dashes  bool     // there was such a "--"
}

// handsOn tells whether what stands behind "--" belongs to the application and not to the command.
func handsOn(command string) bool { return command == "run" || command == "debug" }

// arrange puts options before words, wherever they stood.
func arrange(app *cli.App, args []string) line {
	l := line{args: args[:1:1]}
	args = args[1:]
	flags, commands := app.Flags, app.Commands
	name := ""
	for { // down to the command itself
		n := 0
		for n < len(args) && isOption(args[n]) {
			n += min(width(flags, args[n:]), len(args)-n)
		}
		at := slices.IndexFunc(commands, func(c *cli.Command) bool { return n < len(args) && slices.Contains(c.Names(), args[n]) })
		if at < 0 {
			break
		}
		l.args = append(l.args, args[:n+1]...)
		name, args = args[n], args[n+1:]
		flags, commands = commands[at].Flags, commands[at].Subcommands
	}
	if name == "" {
		l.args = append(l.args, args...)
		return l
	}
	var words []string
	for len(args) > 0 {
		switch w := args[0]; {
		case w == "--" && handsOn(name):
			l.rest, l.dashes, args = args[1:], true, nil
		case w == "--":
			words, args = append(words, args...), nil
		case isOption(w):
			n := width(flags, args)
			if n > len(args) || n == 2 && args[1] == "--" {
				// An option without its value must not swallow a word: it comes last, and the library says so.
				l.args = append(append(l.args, l.options...), w)
				return l
			}
			if len(words) > 0 {
				l.late = append(l.late, args[:n]...)
			}
			l.options, args = append(l.options, args[:n]...), args[n:]
		default:
			words, args = append(words, w), args[1:]
		}
	}
	l.args = slices.Concat(l.args, l.options, words)
	return l
}

func isOption(w string) bool { return len(w) > 1 && w[0] == '-' && w != "--" }

// width is the number of arguments that the option at the head of args takes up: 2 if its value is one of its own. The option
// need not be known.
func width(flags []cli.Flag, args []string) int {
	name := strings.TrimLeft(args[0], "-")
	if strings.Contains(name, "=") {
		return 1
	}
	for _, f := range flags {
		if doc, ok := f.(cli.DocGenerationFlag); ok && slices.Contains(f.Names(), name) && doc.TakesValue() {
			return 2
		}
	}
	return 1
}
