package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// excuse says why no script runs a block, for one reason, or some of its commands. It then has for the beginning of
// each such command "SCRIPT: TEXT", where TEXT is in that script, which runs the same with other words, or a reason in
// parentheses.
type excuse struct {
	reason   string
	commands map[string]string
}

// ciScript is what CI runs, beside the scripts of testdata.
const ciScript = ".ci/run"

// script is the content of a script of testdata, or of what CI runs.
func script(name string) (string, error) {
	file := filepath.Join(scripts, name)
	if name == ciScript {
		file = filepath.Join(repository, name)
	}
	text, err := os.ReadFile(file)
	return string(text), err
}

// unrun are the blocks that no script runs as they stand.
func unrun() map[string]excuse {
	const (
		picture   = "a picture"
		shown     = "what is printed, as recorded"
		options   = "what may be typed"
		release   = "a person makes a release"
		ownQEMU   = "(needs a QEMU of this machine; boot_format.txtar boots the files in the pinned one)"
		another   = "(needs another machine)"
		tinyproxy = "(needs the sources of Tinyproxy)"
		hours     = "(takes hours)"
		registry  = "(asks a registry; boot_container.txtar has an image of its own)"
		tests     = ".ci/run: go test -v -timeout 60m ./..."
	)
	why := func(reason string) excuse { return excuse{reason: reason} }
	but := func(commands map[string]string) excuse { return excuse{commands: commands} }
	return map[string]excuse{
		"README.md ./ukl run multithreaded": but(map[string]string{
			"./ukl run": ".ci/run: ./ukl run multithreaded", "go test": tests,
		}),
		"docs/architecture.md pins.json":                             why(picture),
		"docs/programs.md skopeo copy docker://nginx:1.27 oci:nginx": why(registry),
		"docs/architecture.md UKL_TEST_DISTRIBUTIONS=on": but(map[string]string{
			"UKL_TEST": ".ci/run: UKL_TEST_DISTRIBUTIONS=on go test -v -count 1 -timeout 60m -run TestDistributions " +
				"./internal/cli/launcher",
		}),
		"docs/bench.md ukl bench --rounds": but(map[string]string{
			"ukl bench": "boot_bench.txtar: ukl bench -q --samples 2 --rounds 0 --only getppid --json --svg ratios.svg",
		}),
		"docs/bench.md ukl bench --distro": but(map[string]string{
			"ukl bench --distro": "boot_bench.txtar: ukl bench -q --distro --samples 1 --rounds 0 --only getppid",
		}),
		"docs/bench.md distro ":              why(shown),
		"docs/bench.md instructions for one": why(shown),
		"docs/profile.md ukl profile --svg": but(map[string]string{
			"ukl profile": "boot_profile.txtar: ukl profile -q --boot --top 3 --svg boot.svg ./own",
		}),
		"docs/profile.md $ ukl profile --compare": but(map[string]string{
			"ukl profile": "boot_profile.txtar: ukl profile -q --per work --compare process --top 8 --svg difference.svg ./own",
		}),
		"docs/profile.md ukl profile --per": but(map[string]string{
			"ukl profile": "(a person ends it; boot_profile.txtar ends another by --timeout, and by SIGTERM)",
		}),
		"docs/formats.md ukl build --format bzImage|": why(options),
		"docs/formats.md ukl build --format qcow2":    but(map[string]string{"qemu-system-x86_64": ownQEMU}),
		"docs/formats.md ukl build --format oci":      but(map[string]string{"ctr images": "(needs containerd)"}),
		"docs/kernel-development.md ukl kernel init": but(map[string]string{
			"git commit":       "(an edit of a person)",
			"ukl kernel check": "boot_worktree.txtar: ukl kernel check -C linux --only style",
		}),
		"docs/kernel-development.md ukl run --kernel": why(options),
		"docs/kernel.md address space":                why(picture),
		"docs/kernel.md app            call":          why(picture),
		"docs/machines.md ukl cache push":             but(map[string]string{"ukl cache push ssh:": another}),
		"docs/pins.md ukl pins fetch":                 but(map[string]string{"UKL_SEEDS": another}),
		"docs/pins.md ukl pins update":                why("it changes the lock"),
		"docs/images.md ServerName":                   why("a configuration of httpd, whose package needs all of Perl"),
		"docs/programs.md name = \"tinyproxy\"": but(map[string]string{
			"cat":     tinyproxy,
			"ukl run": tinyproxy,
			"curl":    tinyproxy,
		}),
		"docs/programs.md $ ukl run -q --volume bin:/bin:ro": but(map[string]string{
			"ukl run": "(needs the sources of Ninja)",
		}),
		"docs/programs.md \"printf": why("a line of a ukl.toml"),
		"docs/programs.md $ ukl run report.py": but(map[string]string{
			"ukl run": "boot_scripts.txtar: ukl run -q ./hello.py -- a 'b c'",
		}),
		"docs/programs.md $ ls": but(map[string]string{
			"ls":       "(shows what is there)",
			"ukl init": "init_new.txtar: ukl init web",
			"cat":      "(TestInterpret reads such a file)",
		}),
		"docs/release.md ./ukl pins outdated":         why(release),
		"docs/release.md go run":                      why(release),
		"docs/release.md .ci/lint":                    why(release),
		"docs/release.md .ci/run":                     why(release),
		"docs/kernel-tests.md UKL_TEST_KVM=short":     why("the KVM bench, which is a test itself"),
		"docs/kernel-tests.md UKL_TEST_KERNEL=on":     why("a script of the tests, of a kernel of its own"),
		"docs/release.md UKL_TEST_KERNEL=on":          why(release),
		"docs/release.md ./ukl build":                 why(release),
		"docs/release.md git tag":                     why(release),
		"docs/run.md ukl run busybox":                 why("on a terminal: TestTerminalOfTheApplication does it"),
		"docs/run.md ukl run [OPTIONS]":               why(options),
		"docs/run.md ukl: the application was killed": why(shown),
		"docs/run.md ukl run -d": but(map[string]string{
			"ukl logs": "run_detach.txtar: ukl logs -f short",
		}),
		"docs/sbom.md ukl sbom": but(map[string]string{
			"ukl source": "boot_handover.txtar: ukl source --with-app ./own",
		}),
		"docs/stages.md ukl build": but(map[string]string{
			"ukl build --check-all": "build_check.txtar: ukl build --check-all ./own",
		}),
		"docs/suites.md go test": but(map[string]string{
			"go test ./internal/kernel/suites   ":        tests,
			"go test ./internal/kernel/suites -v -whole": hours,
			"go test ./internal/kernel/suites -v -only":  "(for a person who looks)",
			"go test ./internal/kernel/suites -v -modes": "(for a person who looks)",
		}),
	}
}

// unsaid is what the scripts and excuses of a block leave open: a command that nobody runs and nobody excuses, or that
// is both run and excused, and what is run or excused and is not there. runs are what scripts choose of the block: the
// beginnings of commands, or all with none. text returns a script's content.
func unsaid(b codeBlock, runs [][]string, why *excuse, text func(string) (string, error)) (bad []string) {
	say := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	if why != nil && why.reason != "" {
		if len(runs) > 0 {
			say("it is run, and has a reason not to be")
		}
		return bad
	}
	commands := b.commands()
	var excused map[string]string
	if why != nil {
		excused = why.commands
	}
	for _, c := range commands {
		ran := slices.ContainsFunc(runs, func(chosen []string) bool { return chooses(chosen, c) })
		var begins []string
		for begin := range excused {
			if strings.HasPrefix(c.text, begin) {
				begins = append(begins, begin)
			}
		}
		switch {
		case ran && len(begins) > 0:
			say("%q is run, and has a reason not to be", c.text)
		case !ran && len(begins) == 0:
			say("no script runs %q, and nobody says why", c.text)
		case len(begins) > 1:
			say("%q has two reasons", c.text)
		}
	}
	for _, begin := range slices.Sorted(maps.Keys(excused)) {
		if s := stale(excused[begin], begin, commands, text); s != "" {
			say("%s", s)
		}
	}
	for _, chosen := range runs {
		for _, begin := range chosen {
			begin = strings.TrimSuffix(begin, inBackground)
			begun := func(c shownCommand) bool { return c.begins(begin) }
			if !writesFile(begin) && !slices.ContainsFunc(commands, begun) {
				say("a script runs %q, and there is no such command", begin)
			}
		}
	}
	if len(commands) == 0 && len(runs) == 0 && b.manifest() == "" {
		say("no script runs it, and nobody says why")
	}
	return bad
}

// stale is what is wrong with the excuse of the commands of a block that begin so: "" is nothing.
func stale(excuse, begin string, commands []shownCommand, text func(string) (string, error)) string {
	at := slices.IndexFunc(commands, func(c shownCommand) bool { return c.begins(begin) })
	if at < 0 {
		return fmt.Sprintf("the block has no command %q to excuse", begin)
	}
	if strings.HasPrefix(excuse, "(") {
		return ""
	}
	script, part, _ := strings.Cut(excuse, ": ")
	content, err := text(script)
	if err != nil {
		return err.Error()
	}
	if part == "" || !strings.Contains(content, part) {
		return fmt.Sprintf("%s does not contain %q", script, part)
	}
	if !kin(commands[at].text, part) {
		return fmt.Sprintf("%q is another command than %q", part, commands[at].text)
	}
	return ""
}

// plainWord is one that can be a command of a program.
var plainWord = regexp.MustCompile(`^[a-z]+[a-z-]*$`)

// shape is what a call of a program is known by: the program, and of ukl its command and its long options, of others
// the first word.
func shape(words []string) []string {
	parts := []string{strings.TrimSuffix(filepath.Base(words[0]), "-small")}
	if parts[0] != "ukl" {
		if i := slices.IndexFunc(words[1:], plainWord.MatchString); i >= 0 {
			parts = append(parts, words[i+1])
		}
		return parts
	}
	u := &tool{stdin: os.Stdin, stdout: io.Discard, stderr: io.Discard}
	words[0] = "ukl"
	l := arrange(u.app(), words)
	parts = append(parts, l.command...)
	for _, o := range l.options {
		if name, _, _ := strings.Cut(o, "="); strings.HasPrefix(name, "--") {
			parts = append(parts, name)
		}
	}
	return parts
}

// calls are the calls of programs in a line of shell, each as its words.
func calls(line string) (all [][]string) {
	file, err := syntax.NewParser().Parse(strings.NewReader(line), "")
	if err != nil {
		return nil
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok && len(call.Args) > 0 {
			var words []string
			for _, w := range call.Args {
				text := w.Lit()
				if text == "--" {
					break
				}
				if text == "" {
					text = "X" // something quoted or computed
				}
				words = append(words, text)
			}
			all = append(all, words)
		}
		return true
	})
	return all
}

// kin tells whether a part of a script runs a call of the line, maybe with more options.
func kin(line, part string) bool {
	for _, have := range calls(part) {
		has := shape(have)
		for _, want := range calls(line) {
			if !slices.ContainsFunc(shape(want), func(w string) bool { return !slices.Contains(has, w) }) {
				return true
			}
		}
	}
	return false
}
