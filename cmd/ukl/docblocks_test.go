package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/urfave/cli/v2"
	"mvdan.cc/sh/v3/syntax"

	"ukl/internal/app/manifest"
	"ukl/internal/host/nix"
	"ukl/nixexprs"
)

// codeBlock is a block of indented lines of a page. A blank line ends none.
type codeBlock struct {
	page  string // README.md, docs/run.md
	line  int    // of the first one
	lines []string
}

func (b codeBlock) String() string { return fmt.Sprintf("%s:%d: %s", b.page, b.line, b.lines[0]) }

// codeBlocks are the blocks of a page of the checkout.
func codeBlocks(page string) ([]codeBlock, error) {
	text, err := os.ReadFile(filepath.Join("../..", page))
	if err != nil {
		return nil, err
	}
	var list []codeBlock
	open, before := false, ""
	for n, line := range strings.Split(string(text), "\n") {
		body, indented := strings.CutPrefix(line, "    ")
		switch {
		case indented && open:
			last := &list[len(list)-1]
			last.lines = append(last.lines, body)
		case indented && before == "": // else it is a paragraph that goes on
			list, open = append(list, codeBlock{page, n + 1, []string{body}}), true
		case line == "" && open:
			last := &list[len(list)-1]
			last.lines = append(last.lines, "")
		case line != "":
			open = false
		}
		before = line
	}
	for i := range list {
		b := &list[i]
		for b.lines[len(b.lines)-1] == "" {
			b.lines = b.lines[:len(b.lines)-1]
		}
		// One in an item of a list is indented further.
		indent := b.lines[0][:len(b.lines[0])-len(strings.TrimLeft(b.lines[0], " "))]
		for j := range b.lines {
			b.lines[j] = strings.TrimPrefix(b.lines[j], indent)
		}
	}
	return list, nil
}

// command is a command of a block, with the lines that it is shown to print.
type shownCommand struct {
	text   string
	output []string
}

// manifest is the ukl.toml that a block shows: all of it, or the lines before the first command. "" is none.
func (b codeBlock) manifest() string {
	keys := regexp.MustCompile(`^(\[+[a-z]+\]+|[a-z]+ = .*)$`)
	if !keys.MatchString(b.lines[0]) {
		return ""
	}
	var toml strings.Builder
	for _, l := range b.lines {
		if strings.HasPrefix(l, "$ ") {
			break
		}
		toml.WriteString(l + "\n")
	}
	return toml.String()
}

// commands are what a block shows that somebody types. Where a line begins with "$ " only such lines are, and others
// are output; else each line is one, if the first word of the first line is a program.
func (b codeBlock) commands() []shownCommand {
	prompts := slices.ContainsFunc(b.lines, func(l string) bool { return strings.HasPrefix(l, "$ ") })
	programs := []string{
		"ukl", "./ukl", "go", "nix", "nix-store", "cd", "qemu-system-x86_64", "UKL_SEEDS=/media/stick",
		"UKL_TEST_DISTRIBUTIONS=on", "NIX_CONFIG='builders", "CGO_ENABLED=0", "eval",
	}
	first, _, _ := strings.Cut(b.lines[0], " ")
	if !prompts && !slices.Contains(programs, first) {
		return nil
	}
	var list []shownCommand
	for _, l := range b.lines {
		text, typed := strings.CutPrefix(l, "$ ")
		switch {
		case l == "", prompts && !typed && list == nil:
		case typed || !prompts && !strings.HasPrefix(l, " "):
			list = append(list, shownCommand{text: text})
		case prompts:
			list[len(list)-1].output = append(list[len(list)-1].output, l)
		default: // the rest of a line that ends with a backslash
			list[len(list)-1].text += "\n" + l
		}
	}
	return list
}

// block PAGE 'LINE' [COMMAND...] runs a block of a page in the script's directory: the one whose first line is LINE, or
// begins with it. A ukl.toml that it shows is written first. Commands run in a shell that ends at the first one that
// fails; what the page says that a command prints must be among what it prints, in that order, whatever the numbers
// are. A line "..." is any lines. With COMMANDs, which are beginnings, only these run.
func block(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: block PAGE 'FIRST LINE' [COMMAND...]")
	}
	all, err := codeBlocks(args[0])
	ts.Check(err)
	at := slices.IndexFunc(all, func(b codeBlock) bool { return strings.HasPrefix(b.lines[0], args[1]) })
	if at < 0 {
		ts.Fatalf("%s has no block %q", args[0], args[1])
	}
	b := all[at]
	if toml := b.manifest(); toml != "" {
		ts.Check(os.WriteFile(ts.MkAbs(manifest.File), []byte(toml), 0o644))
	}
	ran := 0
	for _, c := range b.commands() {
		chosen := func(begin string) bool { return strings.HasPrefix(c.text, begin) }
		if len(args) > 2 && !slices.ContainsFunc(args[2:], chosen) {
			continue
		}
		ran++
		err := ts.Exec("bash", "-euc", c.text)
		if err != nil {
			ts.Fatalf("%s: %s: %v", b, c.text, err)
		}
		if missing := lacking(c.output, ts.ReadFile("stdout")+ts.ReadFile("stderr")); missing != "" {
			ts.Fatalf("%s: %s does not print %q", b, c.text, missing)
		}
	}
	if ran < max(len(args)-2, 1) && b.manifest() == "" {
		ts.Fatalf("%s: %d commands ran", b, ran)
	}
}

// lacking is the first of lines that does not come after those before it in an output; "" if all are there.
func lacking(lines []string, output string) string {
	numbers := regexp.MustCompile(`[0-9]+([.:][0-9]+)*`)
	rest := strings.Split(numbers.ReplaceAllString(output, "#"), "\n")
	for _, l := range lines {
		if l == "..." || l == "" {
			continue
		}
		at := slices.Index(rest, numbers.ReplaceAllString(l, "#"))
		if at < 0 {
			return l
		}
		rest = rest[at+1:]
	}
	return ""
}

// pages are README.md and all of docs.
func pages(t *testing.T) []string {
	t.Helper()
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(docs) < 10 {
		t.Fatalf("%d pages: %v", len(docs), err)
	}
	list := []string{"README.md"}
	for _, d := range docs {
		list = append(list, "docs/"+filepath.Base(d))
	}
	return list
}

// TestDocumentedBlocks: each block of a page is run by a script, or is an ukl.toml that is valid, or has its reason
// here. Each ukl command, wherever it stands, has options that there are.
func TestDocumentedBlocks(t *testing.T) {
	run := runBlocks(t)
	excused := unrun()
	for _, page := range pages(t) {
		blocks, err := codeBlocks(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			if toml := b.manifest(); toml != "" {
				if _, err := manifest.Parse([]byte(toml), manifest.Place{File: "x", Base: "x"}); err != nil {
					t.Errorf("%s: %v", b, err)
				}
			}
			commands := b.commands()
			for _, c := range commands {
				parses(t, b, c.text)
			}
			taken := func(list map[string]string) bool {
				for key := range list {
					if at, first, _ := strings.Cut(key, " "); at == page && strings.HasPrefix(b.lines[0], first) {
						delete(list, key)
						return true
					}
				}
				return false
			}
			for key, reason := range excused {
				if _, err := os.Stat(filepath.Join(scripts, reason)); strings.HasSuffix(reason, ".txtar") && err != nil {
					t.Errorf("%s: %v", key, err)
				}
			}
			ran, reason := taken(run), taken(excused)
			switch {
			case ran && reason:
				t.Errorf("%s: it is run, and has a reason not to be", b)
			case !ran && !reason && (len(commands) > 0 || b.manifest() == ""):
				t.Errorf("%s: no script runs it, and nobody says why", b)
			}
		}
	}
	for key := range run {
		t.Errorf("a script runs %q, which no page has", key)
	}
	for key := range excused {
		t.Errorf("%q is in no page, or was named twice", key)
	}
}

// runBlocks are the blocks that scripts run: "PAGE LINE".
func runBlocks(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(scripts, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^block (\S+) '(.*?)'`).FindAllStringSubmatch(string(text), -1) {
			list[m[1]+" "+m[2]] = filepath.Base(f)
		}
	}
	return list
}

// optional matches lines that show what may be typed: [OPTIONS], A|B.
var optional = regexp.MustCompile(`\[[A-Z]+|\w\|\w`)

// parses looks whether the options of each ukl command in a line of shell are there.
func parses(t *testing.T, b codeBlock, line string) {
	t.Helper()
	file, err := syntax.NewParser().Parse(strings.NewReader(line), "")
	if err != nil {
		t.Errorf("%s: %s: %v", b, line, err)
		return
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		var words []string
		for _, w := range call.Args {
			text := w.Lit()
			if text == "" {
				text = "x" // something quoted or computed
			}
			if text == "--" {
				break
			}
			words = append(words, text)
		}
		if words[0] != "ukl" && words[0] != "./ukl" || optional.MatchString(line) {
			return true
		}
		u := &tool{stdin: os.Stdin, stdout: io.Discard, stderr: io.Discard}
		app := u.app()
		idle(app.Commands)
		u.line = arrange(app, words)
		if err := app.Run(u.line.args); err != nil {
			t.Errorf("%s: %s: %v", b, line, err)
		}
		return true
	})
}

// idle makes commands do nothing.
func idle(commands []*cli.Command) {
	for _, c := range commands {
		c.Action = func(*cli.Context) error { return nil }
		idle(c.Subcommands)
	}
}

// unrun are blocks that no script runs as they stand: the script that runs the same commands elsewhere, or the reason.
func unrun() map[string]string {
	const (
		ci       = ".ci/run runs it"
		picture  = "a picture"
		shown    = "what is printed, as recorded"
		options  = "what may be typed"
		absolute = "it names other machines"
		release  = "a person makes a release"
	)
	return map[string]string{
		"README.md ./ukl run multithreaded":                  ci,
		"README.md $ ./ukl run multithreaded":                ci,
		"docs/architecture.md pins.json":                     picture,
		"docs/architecture.md UKL_TEST_DISTRIBUTIONS=on":     "an hour: .ci/run has a switch for it",
		"docs/bench.md ukl bench":                            "boot_bench.txtar",
		"docs/bench.md instructions for one":                 shown,
		"docs/formats.md ukl build --format bzImage|":        options,
		"docs/kernel-development.md ukl kernel init":         "boot_worktree.txtar",
		"docs/kernel-development.md ukl run --kernel":        options,
		"docs/kernel.md address space":                       picture,
		"docs/kernel.md app            call":                 picture,
		"docs/machines.md ukl cache push":                    "cache_copy.txtar",
		"docs/machines.md nix-store":                         absolute,
		"docs/machines.md NIX_CONFIG=":                       "boot_builders.txtar",
		"docs/pins.md ukl pins update":                       "it changes the lock",
		"docs/programs.md name = \"tinyproxy\"":              "boot_autotools.txtar",
		"docs/programs.md name = \"ninja\"":                  "boot_cmake.txtar",
		"docs/programs.md $ ukl run -q --volume bin:/bin:ro": "boot_cmake.txtar",
		"docs/programs.md \"printf":                          "a line of a ukl.toml",
		"docs/programs.md CGO_ENABLED=0":                     "boot_goserver.txtar",
		"docs/programs.md name = \"busybox\"":                "boot_busybox.txtar",
		"docs/sbom.md ukl sbom https":                        "boot_sbom.txtar",
		"docs/programs.md name = \"query\"":                  "boot_packages.txtar",
		"docs/programs.md $ cp /lib64":                       "boot_dynamic.txtar",
		"docs/programs.md $ ukl run ./ld.so":                 "boot_dynamic.txtar",
		"docs/release.md ./ukl pins outdated":                release,
		"docs/release.md go run":                             release,
		"docs/release.md .ci/lint":                           ci,
		"docs/release.md .ci/run":                            release,
		"docs/release.md UKL_TEST_KERNEL=on":                 release,
		"docs/release.md ./ukl build":                        release,
		"docs/release.md git tag":                            release,
		"docs/run.md ukl run [OPTIONS]":                      options,
		"docs/run.md ukl: the application was killed":        shown,
		"docs/stages.md nix build .#linux":                   "boot_flake.txtar",
		"docs/stages.md nix --extra-experimental-features":   "boot_flake.txtar",
		"docs/stages.md nix build .#stage0":                  "a shell for people",
		"docs/stages.md inputs.ukl.url":                      "boot_flake.txtar",
		"docs/stages.md eval":                                "boot_flake.txtar",
		"docs/stages.md nix-store":                           "boot_build.txtar",
		"docs/suites.md go test":                             ci,
	}
}

// TestDocumentedKernelLines: Kconfig takes the lines of configuration that docs/ukl-toml.md shows; without the one that
// the others need it does not.
func TestDocumentedKernelLines(t *testing.T) {
	if os.Getenv(bootEnv) == "off" {
		t.Skipf("%s=off", bootEnv)
	}
	blocks, err := codeBlocks("docs/ukl-toml.md")
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(blocks, func(b codeBlock) bool { return b.lines[0] == "[kernel]" })
	if at < 0 {
		t.Fatal("docs/ukl-toml.md shows no lines of [kernel]")
	}
	c, err := nix.Find()
	if err != nil {
		t.Fatal(err)
	}
	expr, err := nixexprs.Extract(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	toml := blocks[at].manifest()
	for _, test := range []struct{ text, lines string }{
		{toml, ""},
		{strings.Replace(toml, `"CONFIG_NLS=y", `, "", 1), "CONFIG_NLS_UTF8=y: it needs CONFIG_NLS=y"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "ukl.toml"), []byte("name = \"shown\"\n"+test.text), 0o644); err != nil {
			t.Fatal(err)
		}
		drv, err := c.Instantiate(t.Context(),
			nix.Request{Expr: expr, Attr: "linux-config", Args: map[string]string{"app": dir}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Realise(t.Context(), drv, "", nil)
		var failed *nix.BuildError
		if said := errors.As(err, &failed); said != (test.lines != "") ||
			said && !strings.Contains(fmt.Sprint(failed.Lines), test.lines) {
			t.Errorf("%s: %v\n%v", test.text, err, failed)
		}
	}
}
