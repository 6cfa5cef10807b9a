package main

import (
	"flag"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// line is a command line in the order that the library understands: it takes everything behind a command's first word
// for words.
type line struct {
	args    []string // the program, global options, the command, its options, its words
	command []string // the command's names, outermost first
	options []string // those of the command, as they were given
	words   []string // those of the command
	late    []string // of the options, what stood behind the command's first word
	rest    []string // what stood behind "--" of a command that hands it to the application
	dashes  bool     // there was such a "--"
	ended   bool     // there was a "--" at all: no option follows it
	bad     int      // the place of the option that cannot be parsed; 0 is none
	unknown string   // that option, if the command has none of its name

	flags []cli.Flag // of the command
	set   *flag.FlagSet
	asked // of a line that a shell completes
}

// handsOn tells whether what stands behind "--" belongs to the application and not to the command.
func handsOn(command string) bool {
	return command == "run" || command == "debug" || command == "profile"
}

// arrange puts options before words, wherever they stood. It parses as the library does, once for each word.
func arrange(app *cli.App, args []string) line {
	l := line{args: args[:1:1], flags: app.Flags, set: flagSet(app.Flags)}
	end := len(args)
	var behind []string // "--" and all that follows
	if at := slices.Index(args, "--"); at >= 0 {
		end, behind = at, args[at:]
	}
	args = args[1:end]
	commands, name := app.Commands, ""
	for len(args) > 0 {
		err := l.set.Parse(args)
		at := len(args) - l.set.NArg()
		if len(l.words) > 0 {
			l.late = append(l.late, args[:at]...)
		}
		if err != nil {
			at = max(at-1, 0)
			l.bad, l.unknown = end-len(args)+at, unknownOption(l.set, args[at])
			l.args = slices.Concat(l.args, l.options, args) // the library meets the same error
			return l
		}
		l.options, args = append(l.options, args[:at]...), args[at:]
		if len(args) == 0 {
			break
		}
		word := args[0]
		sub := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(word) })
		switch {
		case sub >= 0:
			l.args, l.options, name = slices.Concat(l.args, l.options, args[:1]), nil, word
			l.command, commands, l.flags = append(l.command, name), commands[sub].Subcommands, commands[sub].Flags
			l.set = flagSet(l.flags)
		case word == "help" && name == "":
			return arrange(app, slices.Concat(l.args, l.options, args[1:], []string{"--help"}))
		case len(commands) > 0: // and this is none of them, whatever follows
			l.args, l.words = slices.Concat(l.args, l.options, args, behind), args
			return l
		default:
			l.words = append(l.words, word)
		}
		args = args[1:]
	}
	l.args, l.ended = append(l.args, l.options...), behind != nil
	switch {
	case l.set.Lookup("help").Value.String() == "true":
		l.words = nil // the library would take the first for a command that help is wanted for
	case handsOn(name) && l.ended:
		l.rest, l.dashes = behind[1:], true
	case l.ended:
		l.args, l.words = append(l.args, "--"), append(l.words, behind[1:]...)
	}
	l.args = append(l.args, l.words...)
	return l
}

// flagSet is what the library parses these options with.
func flagSet(flags []cli.Flag) *flag.FlagSet {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range flags {
		_ = f.Apply(set) // the library reports a variable that has a wrong value
	}
	return set
}

// unknownOption is an argument, as it is typed, if it is an option that the set does not have; "" if it is known or no
// option.
func unknownOption(set *flag.FlagSet, arg string) string {
	name, option := strings.CutPrefix(arg, "-")
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "-"), "=")
	if !option || name == "" || name[0] == '-' || set.Lookup(name) != nil {
		return ""
	}
	return dashed(name)
}
