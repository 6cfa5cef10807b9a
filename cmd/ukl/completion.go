package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/cli/exit"
	"ukl/nixexprs"
)

func (t *tool) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a script that makes a shell complete ukl's commands, options and applications",
		UsageText: "ukl completion bash|zsh|fish",
		Description: `examples:
  source <(ukl completion bash)
  ukl completion zsh >"${fpath[1]}/_ukl"
  ukl completion fish >~/.config/fish/completions/ukl.fish`,
		Action: t.completion,
	}
}

func (t *tool) completion(c *cli.Context) error {
	words, err := t.words(c, 1)
	if err != nil {
		return err
	}
	shells := map[string]func([]completed) string{"bash": bash, "zsh": zsh, "fish": fish}
	script, ok := shells[words[0]]
	if !ok {
		return exit.Errorf(exit.Usage, "shell %q: want bash, zsh or fish", words[0]).WithHint("%s --help", c.Command.HelpName)
	}
	list, err := apps.New(nixexprs.FS).List()
	if err != nil {
		return err
	}
	var names []string
	for _, a := range list {
		names = append(names, a.Short)
	}
	var all []completed
	for _, cmd := range c.App.Commands {
		if !cmd.Hidden {
			all = append(all, newCompleted(cmd, names))
		}
	}
	_, err = fmt.Fprint(t.stdout, script(all))
	return err
}

// completed is a command as the scripts know it.
type completed struct {
	name, usage string
	options     []option
	words       []string // that may follow
	files       bool     // a file or directory may follow, too
}

type option struct {
	names  []string // with dashes
	usage  string
	value  bool
	values []string // if only these can follow
}

func newCompleted(cmd *cli.Command, apps []string) completed {
	c := completed{name: cmd.Name, usage: cmd.Usage}
	if strings.Contains(cmd.UsageText, "APP") {
		c.words, c.files = apps, true
	}
	c.files = c.files || strings.Contains(cmd.UsageText, "DIR")
	for _, word := range []string{"bash|zsh|fish"} {
		if strings.Contains(cmd.UsageText, word) {
			c.words = strings.Split(word, "|")
		}
	}
	for _, sub := range cmd.Subcommands {
		c.words = append(c.words, sub.Name)
		c.files = true
	}
	for _, f := range cmd.Flags {
		doc, ok := f.(cli.DocGenerationFlag)
		if v, visible := f.(cli.VisibleFlag); !ok || visible && !v.IsVisible() {
			continue
		}
		o := option{value: doc.TakesValue(), usage: strings.ReplaceAll(doc.GetUsage(), "`", "")}
		for _, n := range f.Names() {
			o.names = append(o.names, dashed(n))
		}
		if _, rest, ok := strings.Cut(doc.GetUsage(), "`"); ok {
			value, _, _ := strings.Cut(rest, "`")
			if strings.Contains(value, "|") && value == strings.ToLower(value) {
				o.values = strings.Split(value, "|")
			}
		}
		c.options = append(c.options, o)
	}
	return c
}

// script writes lines.
type script struct{ strings.Builder }

func (s *script) line(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

func bash(commands []completed) string {
	var s script
	s.line("# bash completion for ukl; made by: ukl completion bash")
	s.line("_ukl() {")
	s.line("  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' words='' files='' i")
	s.line("  for ((i = 1; i < COMP_CWORD; i++)); do")
	s.line("    case ${COMP_WORDS[i]} in -*) ;; *) command=${COMP_WORDS[i]}; break ;; esac")
	s.line("  done")
	s.line("  COMPREPLY=()")
	s.line("  case $command in")
	s.line("    '') words='%s' ;;", strings.Join(names(commands), " "))
	for _, c := range commands {
		s.line("    %s)", c.name)
		s.line("      case $prev in")
		for _, o := range c.options {
			switch {
			case len(o.values) > 0:
				s.line("        %s) mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$cur\"); return ;;", strings.Join(o.names, "|"), strings.Join(o.values, " "))
			case o.value:
				s.line("        %s) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;", strings.Join(o.names, "|"))
			}
		}
		s.line("      esac")
		var flags []string
		for _, o := range c.options {
			flags = append(flags, o.names...)
		}
		s.line("      case $cur in -*) words='%s' ;; *) words='%s' files=%s ;; esac ;;", strings.Join(flags, " "), strings.Join(c.words, " "), yes(c.files))
	}
	s.line("  esac")
	s.line(`  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur"; [ -z "$files" ] || compgen -f -- "$cur")`)
	s.line("}")
	s.line("complete -o filenames -F _ukl ukl")
	return s.String()
}

func yes(b bool) string {
	if b {
		return "1"
	}
	return "''"
}

func names(commands []completed) []string {
	var list []string
	for _, c := range commands {
		list = append(list, c.name)
	}
	return list
}

func zsh(commands []completed) string {
	quote := func(s string) string {
		return strings.NewReplacer("'", `'\''`, "[", `\[`, "]", `\]`, ":", `\:`).Replace(s)
	}
	var s script
	s.line("#compdef ukl")
	s.line("# made by: ukl completion zsh")
	s.line("_ukl() {")
	s.line("  local -a commands")
	s.line("  commands=(")
	for _, c := range commands {
		s.line("    '%s:%s'", c.name, quote(c.usage))
	}
	s.line("  )")
	s.line("  if (( CURRENT == 2 )); then")
	s.line("    _describe command commands")
	s.line("    return")
	s.line("  fi")
	s.line("  local command=$words[2]")
	s.line("  words=(\"${(@)words[2,-1]}\")")
	s.line("  (( CURRENT-- ))")
	s.line("  case $command in")
	for _, c := range commands {
		s.line("    %s)", c.name)
		s.line("      _arguments \\")
		for _, o := range c.options {
			for _, n := range o.names {
				value := ""
				switch {
				case len(o.values) > 0:
					value = ":value:(" + strings.Join(o.values, " ") + ")"
				case o.value:
					value = ":value:_files"
				}
				s.line("        '*%s[%s]%s' \\", n, quote(o.usage), value)
			}
		}
		if len(c.words) > 0 {
			s.line("        '1:word:(%s)' \\", strings.Join(c.words, " "))
		}
		s.line("        '*:file:_files' ;;")
	}
	s.line("  esac")
	s.line("}")
	s.line("_ukl \"$@\"")
	return s.String()
}

func fish(commands []completed) string {
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'" }
	var s script
	s.line("# fish completion for ukl; made by: ukl completion fish")
	s.line("complete -c ukl -n __fish_use_subcommand -f")
	for _, c := range commands {
		s.line("complete -c ukl -n __fish_use_subcommand -a %s -d %s", c.name, quote(c.usage))
	}
	for _, c := range commands {
		seen := quote("__fish_seen_subcommand_from " + c.name)
		if len(c.words) > 0 {
			s.line("complete -c ukl -n %s -a %s", seen, quote(strings.Join(c.words, " ")))
		}
		for _, o := range c.options {
			var flags []string
			for _, n := range o.names {
				if strings.HasPrefix(n, "--") {
					flags = append(flags, "-l "+n[2:])
				} else {
					flags = append(flags, "-s "+n[1:])
				}
			}
			slices.Sort(flags)
			s.line("complete -c ukl -n %s %s%s -d %s", seen, strings.Join(flags, " "), fishValue(o), quote(o.usage))
		}
	}
	return s.String()
}

func fishValue(o option) string {
	switch {
	case len(o.values) > 0:
		return " -x -a '" + strings.Join(o.values, " ") + "'"
	case o.value:
		return " -r"
	}
	return ""
}
