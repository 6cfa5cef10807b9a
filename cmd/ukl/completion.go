package main

import (
	"embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/cli/exit"
	"ukl/internal/pin/pins"
	"ukl/nixexprs"
)

//go:embed completion.bash completion.zsh completion.fish
var completionScripts embed.FS

func (t *tool) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a script that makes a shell complete ukl's commands, options and applications",
		UsageText: "ukl completion bash|zsh|fish",
		Description: `The script asks ukl itself, which needs neither Nix nor a network for that.

examples:
  source <(ukl completion bash)
  ukl completion zsh >"${fpath[1]}/_ukl"
  ukl completion fish >~/.config/fish/completions/ukl.fish`,
		BashComplete: t.completes(oneOf("bash", "zsh", "fish"), nil),
		Action:       t.completion,
	}
}

func (t *tool) completion(c *cli.Context) error {
	words, err := t.words(c, 1)
	if err != nil {
		return err
	}
	script, err := completionScripts.ReadFile("completion." + words[0])
	if err != nil {
		return exit.Errorf(exit.Usage, "shell %q: want bash, zsh or fish", words[0]).WithHint("%s --help", c.Command.HelpName)
	}
	_, err = t.stdout.Write(script)
	return err
}

// completionFlag is what the library takes for a question for completion, as the last argument.
const completionFlag = "--generate-bash-completion"

// asked is what a shell asks for.
type asked struct {
	word  string   // as much of it as is there
	value cli.Flag // the option that it is the value of; nil if it is none
}

// ask is the command line before the word that a shell asks for. What is wrong in it is left out.
func ask(app *cli.App, args []string) line {
	args, word := glued(args[:len(args)-1]), ""
	if last := len(args) - 1; last > 0 {
		word, args = args[last], args[:last]
	}
	l := arrange(app, args)
	var value cli.Flag
	for l.bad > 0 {
		from := l.bad
		if from == len(args)-1 {
			value = valueOf(l.flags, args[from])
		}
		if valueOf(l.flags, args[from-1]) != nil { // the parser does not like its value
			from--
		}
		args = slices.Delete(args, from, l.bad+1)
		l = arrange(app, args)
	}
	if name, given, ok := strings.Cut(word, "="); ok && strings.HasPrefix(word, "-") && value == nil {
		value, word = valueOf(l.flags, name), given
	}
	l.args = slices.Concat(args[:1], l.command, []string{completionFlag})
	l.asked = asked{word, value}
	return l
}

// glued undoes what bash does to "--option=value" and "HOST:GUEST": it gives the separators as words.
func glued(args []string) []string {
	var all []string
	glue := false
	for _, a := range args {
		separator := a == "=" || a == ":"
		if glue = glue || separator; glue && len(all) > 1 {
			all[len(all)-1] += a
		} else {
			all = append(all, a)
		}
		glue = separator
	}
	return all
}

// valueOf is the option that an argument is, if its value follows.
func valueOf(flags []cli.Flag, arg string) cli.Flag {
	for _, f := range flags {
		if doc := f.(cli.DocGenerationFlag); doc.TakesValue() && slices.ContainsFunc(f.Names(), func(n string) bool {
			return arg == "-"+n || arg == "--"+n
		}) {
			return f
		}
	}
	return nil
}

// offer is a word that may stand where a shell asks, with what it means. Words with a colon in front are for the shell:
// it finds what ":file" and ":directory" are by itself, and behind ":program" stands a path.
type offer struct{ word, about string }

// kind is what a word of the command line or the value of an option can be. It offers all that it knows of; nil is for
// what nobody can know.
type kind func(line) []offer

func (k kind) offers(l line) []offer {
	if k == nil {
		return nil
	}
	return k(l)
}

// ofKind and listOfKind are options that say what their values are.
type (
	ofKind struct {
		kind
		*cli.StringFlag
	}
	listOfKind struct {
		kind
		*cli.StringSliceFlag
	}
)

func file(line) []offer      { return []offer{{word: ":file"}} }
func directory(line) []offer { return []offer{{word: ":directory"}} }

func oneOf[S ~string](words ...S) kind {
	var all []offer
	for _, w := range words {
		all = append(all, offer{word: string(w)})
	}
	return func(line) []offer { return all }
}

// application is one that comes along.
func application(line) []offer {
	list, _ := apps.New(nixexprs.FS).List() // other commands say what is wrong with it
	var all []offer
	for _, a := range list {
		all = append(all, offer{a.Short, a.Summary})
	}
	return all
}

// whole is a file that is an application by itself: an ELF file, or a source.
func whole(l line) []offer {
	dir, _ := filepath.Split(l.word)
	from := dir
	if rest, ok := strings.CutPrefix(dir, "~/"); ok {
		from = filepath.Join(os.Getenv("HOME"), rest)
	}
	entries, _ := os.ReadDir(filepath.Clean(from))
	var all []offer
	for _, e := range entries {
		path := filepath.Join(from, e.Name())
		if !strings.HasPrefix(dir+e.Name(), l.word) {
			continue
		}
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && apps.Runs(path) {
			all = append(all, offer{":program", dir + e.Name()})
		}
	}
	return all
}

// project is an application that comes along, or a directory with one; target may be a file as well.
func project(l line) []offer { return append(application(l), directory(l)...) }
func target(l line) []offer  { return append(project(l), whole(l)...) }

// background is a guest in the background.
func background(line) []offer {
	list, _ := instances().List()
	var all []offer
	for _, i := range list {
		all = append(all, offer{i.Name, i.App})
	}
	return all
}

// signalName is a signal that applications have a use for.
func signalName(line) []offer {
	var all []offer
	for _, name := range []string{"HUP", "INT", "QUIT", "USR1", "USR2", "WINCH", "STOP", "CONT", "TERM", "KILL"} {
		all = append(all, offer{word: name})
	}
	return all
}

// testName is a test of the application that the command line names.
func testName(l line) []offer {
	a, err := findApp(append(l.words, "")[0])
	if err != nil {
		return nil
	}
	var all []offer
	for _, t := range a.Tests {
		all = append(all, offer{word: t.Name})
	}
	return all
}

// pinnedPackage is one of the lock.
func pinnedPackage(line) []offer {
	l, err := pins.Load(nixexprs.FS)
	if err != nil {
		return nil
	}
	var all []offer
	for _, p := range l.All() {
		all = append(all, offer{p.Name, p.Version})
	}
	return all
}

// variableHere is a variable of ukl's own environment.
func variableHere(line) []offer {
	var all []offer
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		all = append(all, offer{word: name})
	}
	return all
}

// completes answers the library's question what may follow: a command or an option, the value of an option, or a word.
// word is the kind of the command's first word, more that of all others, which differ.
func (t *tool) completes(word, more kind) cli.BashCompleteFunc {
	return func(c *cli.Context) {
		l := t.line
		var all []offer
		switch {
		case l.value != nil:
			if k, ok := l.value.(interface{ offers(line) []offer }); ok {
				all = k.offers(l)
			}
		case l.dashes:
			all = file(l)
		case !l.ended && strings.HasPrefix(l.word, "-"):
			all = optionOffers(l)
		case len(l.words) > 0:
			all = slices.DeleteFunc(more.offers(l), func(o offer) bool { return slices.Contains(l.words, o.word) })
		case len(c.Command.Subcommands) > 0:
			for _, sub := range c.Command.VisibleCommands() {
				all = append(all, offer{sub.Name, sub.Usage})
			}
		default:
			all = word.offers(l)
		}
		for _, o := range all {
			if o.word[0] == ':' || strings.HasPrefix(o.word, l.word) {
				fmt.Fprintln(t.stdout, strings.TrimSuffix(o.word+"\t"+o.about, "\t"))
			}
		}
	}
}

// optionOffers are the options that can be given, or given once more.
func optionOffers(l line) []offer {
	given := map[string]bool{}
	l.set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var all []offer
	for _, f := range l.flags {
		list, ok := f.(cli.DocGenerationSliceFlag)
		once := !ok || !list.IsSliceFlag()
		hidden := !f.(cli.VisibleFlag).IsVisible()
		if hidden || once && slices.ContainsFunc(f.Names(), func(n string) bool { return given[n] }) {
			continue
		}
		_, about := explained(f)
		for _, n := range f.Names() {
			all = append(all, offer{dashed(n), about})
		}
	}
	return all
}
