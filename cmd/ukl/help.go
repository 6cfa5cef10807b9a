package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ukl/internal/machine/qemu"
	"ukl/internal/pin/pins"
)

// The library prints help from these templates. Its own sort options that have a category by name, and make the column
// of options as wide as the widest of them.

// appHelp is what `ukl --help` prints. Its data is the *cli.App.
const appHelp = `{{.Name}}: {{.Usage}}

usage: {{.UsageText}}

commands:{{range .VisibleCommands}}
  {{.Name}}{{"\t"}}{{.Usage}}{{end}}

options, before or after the command:{{range .VisibleFlags}}
{{.}}{{end}}

exit codes:{{range .Metadata.codes}}
  {{.Code}}{{"\t"}}{{.Meaning}}{{end}}

environment:{{range .Metadata.variables}}
  {{.Name}}{{"\t"}}{{.Meaning}}{{end}}

{{.Name}} COMMAND --help says more.
`

// commandHelp is what `ukl COMMAND --help` prints. Its data is the *cli.Command.
const commandHelp = `{{.HelpName}}: {{.Usage}}

usage: {{.UsageText}}
{{if .VisibleCommands}}
commands:{{range .VisibleCommands}}
  {{.Name}}{{"\t"}}{{.Usage}}{{end}}
{{end}}{{$title := "\noptions:\n"}}{{range .VisibleFlags}}{{if not .GetCategory}}{{$title}}{{.}}
{{$title = ""}}{{end}}{{end}}
` + everyCommand + `:{{range .VisibleFlags}}{{if .GetCategory}}
{{.}}{{end}}{{end}}
{{with .Description}}
{{.}}
{{end}}`

// everyCommand is the category of the options that all commands have.
const everyCommand = "options of every command"

func init() {
	cli.FlagStringer = flagLines
	cli.HelpFlag = &cli.BoolFlag{Category: everyCommand, Name: "help", Aliases: []string{"h"}, Usage: "print this help"}
}

// flagLines are an option's lines in help. A long name has its text on the next line.
func flagLines(f cli.Flag) string {
	const width = 26
	name, text := explained(f)
	if !strings.HasPrefix(name, "-") || strings.HasPrefix(name, "--") {
		name = "    " + name // below the long names of others
	}
	if len(name) > width {
		name += fmt.Sprintf("\n  %*s", width, "")
	}
	return fmt.Sprintf("  %-*s  %s", width, name, text)
}

// explained are an option's names with its value, and what it does. The word in backquotes in its usage is the value's
// name.
func explained(f cli.Flag) (name, text string) {
	doc := f.(cli.DocGenerationFlag)
	names := slices.Clone(f.Names())
	slices.SortStableFunc(names, func(a, b string) int { return min(len(a), 2) - min(len(b), 2) })
	for i, n := range names {
		names[i] = dashed(n)
	}
	name, text = strings.Join(names, ", "), doc.GetUsage()
	if before, rest, ok := strings.Cut(text, "`"); ok {
		value, after, _ := strings.Cut(rest, "`")
		name += " " + value
		if about, ok := strings.CutSuffix(before, ": "); ok {
			text = about + after
		} else {
			text = before + value + after
		}
	}
	if doc.TakesValue() {
		switch v := strings.Trim(doc.GetDefaultText(), `"`); v {
		case "", "0", "0s":
		default:
			text += "; " + v + " by default"
		}
	}
	if env := doc.GetEnvVars(); len(env) > 0 {
		text += " (or the variable " + strings.Join(env, ", ") + ")"
	}
	return name, text
}

// synopsis is how a command is written that does not say it itself.
func synopsis(name string, c *cli.Command) string {
	if len(c.Subcommands) > 0 {
		return name + " COMMAND [ARGUMENTS]"
	}
	return strings.TrimSpace(name + " [OPTIONS] " + c.ArgsUsage)
}

// variable is one of the environment that ukl looks at.
type variable struct{ Name, Meaning string }

func variables() []variable {
	return []variable{
		{pins.MirrorEnv, "stands for --mirror"},
		{pins.SeedsEnv, "stands for --seeds"},
		{pins.SnapshotEnv, "another copy of Debian's snapshot archive, which is asked at last"},
		{qemu.Env, "another QEMU than the pinned one: a program, or an unpacked Debian tree"},
		{appendEnv, "more words for the guest kernel's command line"},
		{"NO_COLOR", "no colours"},
		{"XDG_CACHE_HOME", "has ukl/ with what can be found out again; ~/.cache without it"},
		{"XDG_STATE_HOME", "has ukl/NAME/kernel.log of the last run; ~/.local/state without it"},
	}
}
