// Command ukl builds and runs Linux unikernels. This package parses command lines and prints results; what the commands
// do is in internal/. Data goes to stdout, all else to stderr, and only main exits.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
	"mvdan.cc/sh/v3/syntax"

	"ukl/internal/app/apps"
	"ukl/internal/app/suggest"
	"ukl/internal/cli/exit"
	"ukl/internal/host/folders"
	"ukl/internal/host/printable"
	"ukl/internal/machine/confine"
	"ukl/internal/machine/virtiofs"
	"ukl/internal/pin/pins"
	"ukl/internal/run/instance"
	"ukl/internal/run/terminal"
	"ukl/nixexprs"
)

// version is ukl's own; what is built depends on the lock and the expressions, which `ukl --version` also names.
const version = "0.1.0"

// shapes is the version of all that --json prints: docs/json.md says when it grows.
const shapes = 1

// versions is what `ukl --version --json` prints.
type versions struct {
	Version     string `json:"version"`
	JSON        int    `json:"json"`        // version of the shapes
	Expressions string `json:"expressions"` // hash of the Nix expressions and the lock
}

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }

// run is the whole program. It keeps no state between calls.
func run(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	if code, done := lend(args, stderr); done {
		return int(code)
	}
	t := &tool{stdin: stdin, stdout: stdout, stderr: stderr, own: instance.Inherited()}
	if t.own != nil {
		t.stdout, t.stderr = t.own.Limited(stdout), t.own.Limited(stderr)
	}
	// A write to a closed pipe must be an error like others, not the end of a process that has a guest to stop.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)
	ctx, stop := interruptible(context.Background())
	defer stop()
	parse := arrange
	if args[len(args)-1] == completionFlag {
		parse = ask
	}
	t.line = parse(t.app(), args)
	err := t.app().RunContext(ctx, t.line.args)
	if err != nil && ctx.Err() != nil && !t.decided {
		err = context.Cause(ctx)
	}
	code := t.report(err)
	if t.own != nil {
		t.own.End(code)
	}
	return code
}

// lend does what ukl asks of itself for guests: it becomes QEMU or the server of a volume, or starts one for a shell.
func lend(args []string, stderr io.Writer) (code exit.Code, done bool) {
	if len(args) < 2 {
		return exit.OK, false
	}
	do := map[string]func([]string) error{
		confine.Inside: confine.Child, virtiofs.Inside: virtiofs.Child, virtiofs.Listening: virtiofs.Listen,
		terminal.Inside: terminal.Child,
	}[args[1]]
	if do == nil {
		return exit.OK, false
	}
	if err := do(args[2:]); err != nil {
		fmt.Fprintln(stderr, "ukl: error:", printable.Text(err.Error()))
		return exit.Unavailable, true
	}
	return exit.OK, true
}

// tool is one invocation of ukl: its streams and its command line.
type tool struct {
	stdin          *os.File
	stdout, stderr io.Writer
	line           line
	own            *instance.Own // nil in the foreground
	agreed         agreed        // to what the guest gets of this machine
	decided        bool          // the command's error says how it ended, even after an interruption
	// kernelOf makes the kernel that is run, instead of Nix; nil but for `ukl kernel run`.
	kernelOf func(*cli.Context, apps.App) (string, error)
}

func (t *tool) app() *cli.App {
	commands := []*cli.Command{
		t.runCommand(), t.buildCommand(), t.testCommand(), t.debugCommand(), t.initCommand(), t.listCommand(),
		t.psCommand(), t.logsCommand(), t.signalCommand(), t.stopCommand(),
		t.inspectCommand(), t.sbomCommand(), t.sourceCommand(), t.benchCommand(), t.profileCommand(),
		t.clientCommand(), t.doctorCommand(), t.pinsCommand(), t.kernelCommand(), t.cacheCommand(), t.gcCommand(),
		t.completionCommand(), t.manCommand(),
	}
	for _, c := range commands {
		t.finish("ukl "+c.Name, c)
	}
	return &cli.App{
		Name:                      "ukl",
		Usage:                     "build and run Linux unikernels",
		UsageText:                 "ukl [OPTIONS] COMMAND [ARGUMENTS]",
		Metadata:                  map[string]any{"codes": exit.Table(), "variables": variables()},
		Writer:                    t.stdout,
		ErrWriter:                 t.stderr,
		Commands:                  commands,
		Flags:                     append(globals(), &cli.BoolFlag{Name: "version", Usage: "print the version"}),
		HideVersion:               true,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true,
		ExitErrHandler:            func(*cli.Context, error) {}, // it would exit, even with the code of a QEMU or nix
		OnUsageError:              t.usageError,
		Action:                    t.noCommand,
		EnableBashCompletion:      true,
		BashComplete:              t.completes(nil, nil),
		CustomAppHelpTemplate:     appHelp,
	}
}

// finish gives a command what all commands have; name is what it is called by.
func (t *tool) finish(name string, c *cli.Command) {
	c.CustomHelpTemplate = commandHelp
	c.UsageText = cmp.Or(c.UsageText, synopsis(name, c))
	c.Flags = append(c.Flags, globals()...)
	c.HideHelpCommand = true
	if c.BashComplete == nil {
		c.BashComplete = t.completes(nil, nil)
	}
	c.OnUsageError = t.usageError
	c.Before = inherit
	if !slices.Contains(homeless, c.Name) {
		c.Before = settled
	}
	for _, sub := range c.Subcommands {
		sub.HelpName = name + " " + sub.Name // the library does that for the one that is called
		t.finish(sub.HelpName, sub)
	}
	if len(c.Subcommands) > 0 && c.Action == nil {
		c.Action = func(cc *cli.Context) error { return unknown(cc, c.Name+" command", c.Subcommands) }
	}
}

// homeless are the commands that keep nothing at home. doctor says itself what is wrong with it.
var homeless = []string{"list", "client", "init", "completion", "man", "doctor"}

// settled is inherit for a command that keeps something in its user's folders.
func settled(c *cli.Context) error {
	for _, folder := range []func() (string, error){folders.Cache, folders.State} {
		if _, err := folder(); err != nil {
			return err
		}
	}
	return inherit(c)
}

// globals are the flags that every command takes, before or after its name.
func globals() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Category: everyCommand, Name: "json", Usage: "print data as JSON"},
		&cli.BoolFlag{
			Category: everyCommand, Name: "verbose", Aliases: []string{"v"},
			Usage: "show more: the kernel's log, the builders' output",
		},
		&cli.BoolFlag{Category: everyCommand, Name: "quiet", Aliases: []string{"q"}, Usage: "show errors only"},
		&cli.StringFlag{
			Category: everyCommand, Name: "mirror", EnvVars: []string{pins.MirrorEnv},
			Usage: "ask the Debian mirror at `URL` for what is missing",
		},
		&ofKind{file, &cli.StringFlag{
			Category: everyCommand, Name: "seeds", EnvVars: []string{pins.SeedsEnv},
			Usage: "look for what is missing in the folder or archive `SEEDS` first",
		}},
		&cli.BoolFlag{
			Category: everyCommand, Name: pins.AllowLocal,
			Usage: "fetch the archive of a ukl.toml also from addresses of this machine, or a file outside of its directory",
		},
		cli.HelpFlag,
	}
}

// inherit hands the global flags that stood before a command's name to the command, whose own would hide them.
func inherit(c *cli.Context) error {
	for _, f := range globals() {
		name := f.Names()[0]
		for _, outer := range c.Lineage()[1:] {
			if outer.IsSet(name) && (!c.IsSet(name) || ofEnvironment(f, c)) {
				if err := c.Set(name, fmt.Sprint(outer.Value(name))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// ofEnvironment tells whether a flag has the value of its variable, which counts less than one of the command line.
func ofEnvironment(f cli.Flag, c *cli.Context) bool {
	variables := f.(cli.DocGenerationFlag).GetEnvVars()
	return len(variables) > 0 && c.String(f.Names()[0]) == os.Getenv(variables[0])
}

// words returns the command's arguments, at most n of them, filled up with "" to n.
func (t *tool) words(c *cli.Context, n int) ([]string, error) {
	words := c.Args().Slice()
	if len(words) > n {
		return nil, tooMany(c, words, n)
	}
	return append(words, make([]string, n-len(words))...), nil
}

// tooMany is the error for an argument too many.
func tooMany(c *cli.Context, words []string, n int) error {
	if n == 0 {
		return exit.Errorf(exit.Usage, "%s takes no argument", c.Command.HelpName).WithHint("%s --help", c.Command.HelpName)
	}
	return exit.Errorf(exit.Usage, "one argument too many: %q", words[n]).WithHint("%s --help", c.Command.HelpName)
}

// quoted is a command that can be pasted into a shell.
func quoted(words []string) string {
	var q []string
	for _, w := range words {
		s, err := syntax.Quote(w, syntax.LangBash)
		if err != nil {
			s = w
		}
		q = append(q, s)
	}
	return strings.Join(q, " ")
}

// noCommand is what happens when the first word is no command.
func (t *tool) noCommand(c *cli.Context) error {
	if c.Bool("version") {
		return t.printVersion(c)
	}
	return unknown(c, "command", c.App.Commands)
}

// unknown is the error for a word that names none of the commands. The library asks its hook, CommandNotFound, for help
// only, and otherwise hands the word to the action.
func unknown(c *cli.Context, what string, commands []*cli.Command) error {
	word := c.Args().First()
	if word == "" {
		return cli.ShowSubcommandHelp(c)
	}
	var names []string
	for _, cmd := range commands {
		names = append(names, cmd.Names()...)
	}
	err := exit.Errorf(exit.Usage, "unknown %s %q", what, word)
	if s := suggest.Nearest(word, names); s != "" {
		return err.WithHint("did you mean %q?", s)
	}
	return err.WithHint("%s --help lists them", c.Command.HelpName)
}

// usageError is the error for a command line that the library cannot parse.
func (t *tool) usageError(c *cli.Context, err error, _ bool) error {
	help := strings.TrimSpace(c.Command.HelpName) + " --help"
	if t.line.unknown == "" {
		return exit.Errorf(exit.Usage, "%s", reworded(c, err)).WithHint("%s", help)
	}
	e := exit.Errorf(exit.Usage, "unknown option %s", t.line.unknown)
	var names []string
	for _, f := range c.Command.Flags {
		for _, n := range f.Names() {
			names = append(names, dashed(n))
		}
	}
	if s := suggest.Nearest(t.line.unknown, names); s != "" && len(t.line.unknown) > 2 {
		return e.WithHint("did you mean %s?", s)
	}
	if len(t.line.late) > 0 && handsOn(c.Command.Name) {
		return e.WithHint("write what is for the application after --")
	}
	return e.WithHint("%s", help)
}

// Messages of the libraries that parse command lines.
var (
	lacksValue  = regexp.MustCompile(`^flag needs an argument: -(\S+)$`)
	wrongValue  = regexp.MustCompile(`(?s)^invalid (?:boolean )?value (".*") for (?:flag )?-(\S+): (.*)$`)
	wrongSyntax = regexp.MustCompile(`(?s)^bad flag syntax: (.*)$`)
	twoNames    = regexp.MustCompile(`^Cannot use two forms of the same flag: (\S+) (\S+)$`)
)

// reworded says what a library says of a command line in ukl's words.
func reworded(c *cli.Context, err error) string {
	said := err.Error()
	if m := lacksValue.FindStringSubmatch(said); m != nil {
		return dashed(m[1]) + " needs a value"
	}
	if m := wrongValue.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("%s %s: want %s", dashed(m[2]), m[1], wanted(c, m[2], m[3]))
	}
	if m := wrongSyntax.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("%q is no option", m[1])
	}
	if m := twoNames.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("%s and %s are one option: use one of them", dashed(m[1]), dashed(m[2]))
	}
	return said
}

// wanted is what an option takes, for a value that it does not take for a reason.
func wanted(c *cli.Context, name, reason string) string {
	if strings.Contains(reason, "out of range") {
		return "a smaller number"
	}
	for _, f := range slices.Concat(c.Command.Flags, c.App.Flags) {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		switch f.(type) {
		case *cli.DurationFlag:
			return "a time such as 30s or 5m"
		case *cli.IntFlag:
			return "a whole number"
		case *cli.BoolFlag:
			return "true or false, or no value"
		}
	}
	return "another value: " + reason
}

// dashed is a flag's name as it is typed.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// interrupted is the end by a signal from outside.
type interrupted struct {
	signal syscall.Signal
	again  <-chan struct{} // closed by another one
}

func (i interrupted) Error() string { return fmt.Sprintf("ended by a signal: %v", i.signal) }

// request is an interruption that an application may follow by itself.
type request struct{ interrupted }

// Signal is what the application gets.
func (r request) Signal() syscall.Signal { return r.signal }

// Again is closed by another signal.
func (r request) Again() <-chan struct{} { return r.again }

func (r request) Unwrap() error { return r.interrupted }

// interruptible returns a context that the usual signals end, with an interrupted as cause.
func interruptible(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	done := make(chan struct{})
	go func() {
		again := make(chan struct{})
		select {
		case s := <-signals:
			if i := (interrupted{s.(syscall.Signal), again}); s == syscall.SIGHUP {
				cancel(i)
			} else {
				cancel(request{i})
			}
		case <-done:
			return
		}
		select {
		case <-signals:
			close(again)
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(errors.New("done"))
	}
}

// note is a line for people that -q silences.
func (t *tool) note(c *cli.Context, format string, args ...any) {
	if !c.Bool("quiet") {
		fmt.Fprintf(t.stderr, "ukl: %s\n", printable.Line(fmt.Sprintf(format, args...)))
	}
}

func (t *tool) printVersion(c *cli.Context) error {
	if c.Bool("json") {
		return printJSON(t.stdout, versions{version, shapes, nixexprs.Hash()})
	}
	_, err := fmt.Fprintf(t.stdout, "ukl %s\n", version)
	return err
}
