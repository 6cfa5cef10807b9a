package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"ukl/internal/cli/exit"
	"ukl/internal/machine/qemu"
	"ukl/internal/pin/pins"
)

// Help is written here and not by the library, whose columns break with long option names. It hands over finished text where the
// library wants a template.

// literal makes text a template that prints it.
func literal(text string) string { return strings.ReplaceAll(text, "{{", `{{"{{"}}`) }

// appHelp is what `ukl --help` prints.
func appHelp(usage string, commands []*cli.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "ukl: %s\n\nusage: ukl [OPTIONS] COMMAND [ARGUMENTS]\n\ncommands:\n", usage)
	table(&b, commandRows(commands))
	b.WriteString("\noptions, before or after the command:\n")
	table(&b, append(flagRows(globals()), row{"    --version", "print the version"}))
	b.WriteString("\nexit codes:\n")
	var codes []row
	for _, r := range exit.Table() {
		codes = append(codes, row{r.Code, r.Meaning})
	}
	table(&b, codes)
	b.WriteString("\nenvironment:\n")
	table(&b, environmentRows())
	b.WriteString("\nukl COMMAND --help says more.\n")
	return literal(b.String())
}

// environmentRows are the variables that ukl looks at.
func environmentRows() []row {
	return []row{
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

// commandHelp is what `ukl COMMAND --help` prints; own are the command's flags without the global ones.
func commandHelp(name string, c *cli.Command, own []cli.Flag) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\nusage: %s\n", name, c.Usage, synopsis(name, c))
	if len(c.Subcommands) > 0 {
		b.WriteString("\ncommands:\n")
		table(&b, commandRows(c.Subcommands))
	}
	if len(own) > 0 {
		b.WriteString("\noptions:\n")
		table(&b, flagRows(own))
	}
	b.WriteString("\noptions of every command:\n")
	table(&b, flagRows(globals()))
	if c.Description != "" {
		fmt.Fprintf(&b, "\n%s\n", c.Description)
	}
	return literal(b.String())
}

// synopsis is how a command is written.
func synopsis(name string, c *cli.Command) string {
	switch {
	case c.UsageText != "":
		return c.UsageText
	case len(c.Subcommands) > 0:
		return name + " COMMAND [ARGUMENTS]"
	}
	return strings.TrimSpace(name + " [OPTIONS] " + c.ArgsUsage)
}

type row struct{ left, right string }

func commandRows(commands []*cli.Command) []row {
	var rows []row
	for _, c := range commands {
		if !c.Hidden {
			rows = append(rows, row{c.Name, c.Usage})
		}
	}
	return rows
}

// flagRows lists flags in the order of their declaration. The word in backquotes in a flag's usage is its value's name.
func flagRows(flags []cli.Flag) []row {
	var rows []row
	for _, f := range flags {
		doc, ok := f.(cli.DocGenerationFlag)
		if v, visible := f.(cli.VisibleFlag); !ok || visible && !v.IsVisible() {
			continue
		}
		names := slices.Clone(f.Names())
		slices.SortStableFunc(names, func(a, b string) int { return min(len(a), 2) - min(len(b), 2) })
		for i, n := range names {
			names[i] = dashed(n)
		}
		r := row{strings.Join(names, ", "), doc.GetUsage()}
		if strings.HasPrefix(r.left, "--") {
			r.left = "    " + r.left // below the long names of others
		}
		before, rest, ok := strings.Cut(r.right, "`")
		if value, after, closed := strings.Cut(rest, "`"); ok && closed {
			r.left += " " + value
			if text, name := strings.CutSuffix(before, ": "); name {
				r.right = text + after
			} else {
				r.right = before + value + after
			}
		} else if doc.TakesValue() {
			r.left += " VALUE"
		}
		switch v := doc.GetValue(); v {
		case "", "0", "0s", "[]":
		default:
			if doc.TakesValue() {
				r.right += "; " + v + " by default"
			}
		}
		if env := doc.GetEnvVars(); len(env) > 0 {
			r.right += " (or the variable " + strings.Join(env, ", ") + ")"
		}
		rows = append(rows, r)
	}
	return rows
}

// widest is how wide the left column may become; wider entries have their text on the next line.
const widest = 26

func table(b *strings.Builder, rows []row) {
	width := 0
	for _, r := range rows {
		if n := utf8.RuneCountInString(r.left); n <= widest {
			width = max(width, n)
		}
	}
	if width == 0 { // all are wider
		width = widest
	}
	for _, r := range rows {
		gap := width - utf8.RuneCountInString(r.left)
		if gap < 0 {
			fmt.Fprintf(b, "  %s\n  %*s  %s\n", r.left, width, "", r.right)
			continue
		}
		fmt.Fprintf(b, "  %s%*s  %s\n", r.left, gap, "", r.right)
	}
}
