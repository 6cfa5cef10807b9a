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
			_, ran := claim(run, b)
			why, reason := claim(excused, b)
			if reason {
				var lines []string
				for _, c := range commands {
					lines = append(lines, c.text)
				}
				if bad := why.stale(lines, script); bad != "" {
					t.Errorf("%s: %s", b, bad)
				}
			}
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

// claim removes what a list has of a block from it.
func claim[T any](list map[string]T, b codeBlock) (found T, ok bool) {
	for key, value := range list {
		if at, first, _ := strings.Cut(key, " "); at == b.page && strings.HasPrefix(b.lines[0], first) {
			delete(list, key)
			return value, true
		}
	}
	return found, false
}

// script is the content of a script of testdata, or of what CI runs.
func script(name string) (string, error) {
	file := filepath.Join(scripts, name)
	if name == ciScript {
		file = filepath.Join("../..", name)
	}
	text, err := os.ReadFile(file)
	return string(text), err
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

// excuse says why no script runs a block as it stands: for a reason, or because scripts run the same commands
// elsewhere. It then has for each command of the block, in their order, "SCRIPT: TEXT", where TEXT is in that script,
// or a reason in parentheses.
type excuse struct {
	reason string
	runs   []string
}

// ciScript is what CI runs, beside the scripts of testdata.
const ciScript = ".ci/run"

// unrun are the blocks that no script runs as they stand.
func unrun() map[string]excuse {
	const (
		picture   = "a picture"
		shown     = "what is printed, as recorded"
		options   = "what may be typed"
		release   = "a person makes a release"
		elsewhere = "(the script has a client of its own)"
	)
	why := func(reason string) excuse { return excuse{reason: reason} }
	in := func(runs ...string) excuse { return excuse{runs: runs} }
	return map[string]excuse{
		"README.md ./ukl run multithreaded": in(
			".ci/run: ./ukl run multithreaded", ".ci/run: go test -v -timeout 60m ./..."),
		"README.md $ ./ukl run multithreaded": in(".ci/run: ./ukl run multithreaded", ".ci/run: ./ukl client -n 3"),
		"docs/architecture.md pins.json":      why(picture),
		"docs/architecture.md UKL_TEST_DISTRIBUTIONS=on": in(
			".ci/run: UKL_TEST_DISTRIBUTIONS=on go test -v -count 1 -timeout 60m -run TestDistributions ./internal/cli/launcher"),
		"docs/bench.md ukl bench": in(
			"boot_bench.txtar: ukl bench -q --samples 2 --rounds 0 --only getppid --json --svg ratios.svg"),
		"docs/bench.md instructions for one":          why(shown),
		"docs/formats.md ukl build --format bzImage|": why(options),
		"docs/kernel-development.md ukl kernel init": in(
			"boot_worktree.txtar: ukl kernel init --series series linux", "(the scripts name it with -C)",
			"boot_worktree.txtar: ukl kernel run -q --timeout 60s -C linux hello",
			"boot_worktree.txtar: ukl kernel build -C linux init/ring0.o", "(an edit of a person)",
			"boot_worktree.txtar: ukl kernel export -C linux", "boot_worktree.txtar: ukl kernel check -C linux --only style"),
		"docs/kernel-development.md ukl run --kernel": why(options),
		"docs/kernel.md address space":                why(picture),
		"docs/kernel.md app            call":          why(picture),
		"docs/machines.md ukl cache push": in(
			"cache_copy.txtar: ukl-small cache push file://$WORK/stick",
			"cache_copy.txtar: ukl-small cache push --json file://$WORK/stick ./app",
			"cache_copy.txtar: ukl-small cache pull file://$WORK/stick"),
		"docs/machines.md NIX_CONFIG=": in("boot_builders.txtar: ukl build -q ./own"),
		"docs/pins.md ukl pins update": why("it changes the lock"),
		"docs/programs.md name = \"tinyproxy\"": in(
			"(what the file has)", "boot_autotools.txtar: ukl run -q --timeout 60s", elsewhere),
		"docs/programs.md name = \"ninja\"": in(
			"boot_cmake.txtar: ukl pins add", "boot_cmake.txtar: ukl run -q --timeout 60s -- one two"),
		"docs/programs.md $ ukl run -q --volume bin:/bin:ro": in(
			"boot_busybox.txtar: ukl run -q --timeout 100s ./own --volume scripts:/scripts:ro -- sh"),
		"docs/programs.md \"printf": why("a line of a ukl.toml"),
		"docs/programs.md CGO_ENABLED=0": in(
			"boot_goserver.txtar: go build -trimpath -o server", "boot_goserver.txtar: ukl run -q -c 2 -m 256M -p $P:8080 ./server", elsewhere),
		"docs/programs.md name = \"busybox\"": in(
			"(the script has the lock)", "boot_busybox.txtar: ukl run -q --timeout 60s ./own -- uname -sm"),
		"docs/sbom.md ukl sbom https": in("boot_sbom.txtar: ukl sbom https", "boot_handover.txtar: ukl source --with-app ./own"),
		"docs/programs.md name = \"query\"": in(
			"boot_packages.txtar: ukl pins add libjansson-dev", "boot_packages.txtar: ukl run -q --timeout 60s"),
		"docs/programs.md $ cp /lib64": in(
			"boot_dynamic.txtar: cp -L /lib64/ld-linux-x86-64.so.2 ld.so",
			"boot_dynamic.txtar: ukl run -q --timeout 100s ./ld.so --volume root/d:/d:ro -- --library-path"),
		"docs/programs.md $ ukl run ./ld.so": in(
			"boot_dynamic.txtar: ukl run -q --timeout 100s ./ld.so --volume root/d:/d:ro -- --library-path",
			"(the Python of another machine)"),
		"docs/release.md ./ukl pins outdated":              why(release),
		"docs/release.md go run":                           why(release),
		"docs/release.md .ci/lint":                         in(".ci/run: step .ci/lint"),
		"docs/release.md .ci/run":                          why(release),
		"docs/release.md UKL_TEST_KERNEL=on":               why(release),
		"docs/release.md ./ukl build":                      why(release),
		"docs/release.md git tag":                          why(release),
		"docs/run.md ukl run [OPTIONS]":                    why(options),
		"docs/run.md ukl: the application was killed":      why(shown),
		"docs/stages.md nix build .#linux":                 in("boot_flake.txtar: nix build --no-write-lock-file"),
		"docs/stages.md nix --extra-experimental-features": in("boot_flake.txtar: nix build --no-write-lock-file"),
		"docs/stages.md nix build .#stage0":                why("a shell for people"),
		"docs/stages.md inputs.ukl.url":                    in("boot_flake.txtar: nix flake init -t"),
		"docs/stages.md eval":                              in("boot_flake.txtar: nix print-dev-env"),
		"docs/stages.md nix-store": in(
			"(ukl build --check does it)", "(the same with other settings)"),
		"docs/suites.md go test": in(
			".ci/run: go test -v -timeout 60m ./...", "(hours)", "(for a person who looks)", "(for a person who looks)"),
	}
}

// stale is what is wrong with an excuse of a block whose commands are these: "" is nothing. text returns a script's
// content.
func (e excuse) stale(commands []string, text func(string) (string, error)) string {
	if e.reason != "" {
		return ""
	}
	if len(e.runs) != max(len(commands), 1) {
		return fmt.Sprintf("the excuse has %d commands, the block %d", len(e.runs), len(commands))
	}
	for i, run := range e.runs {
		if strings.HasPrefix(run, "(") {
			continue
		}
		script, part, _ := strings.Cut(run, ": ")
		content, err := text(script)
		if err != nil {
			return err.Error()
		}
		if part == "" || !strings.Contains(content, part) {
			return fmt.Sprintf("%s does not contain %q", script, part)
		}
		if len(commands) > 0 && !kin(commands[i], part) {
			return fmt.Sprintf("%q is another command than %q", part, commands[i])
		}
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

// An excuse goes stale when its script no longer has the command, when the block has another one, or one more.
func TestStaleExcuse(t *testing.T) {
	text := func(name string) (string, error) {
		if name != "x.txtar" {
			return "", os.ErrNotExist
		}
		return "exits 0 ukl run -q --timeout 60s ./own\nexec ukl bench -q\nexec nix build --x .\n", nil
	}
	for _, c := range []struct {
		runs, commands, want string
	}{
		{"x.txtar: ukl run -q --timeout 60s ./own", "ukl run", ""},
		{"x.txtar: ukl run -q --timeout 60s ./own", "ukl run ./server --timeout=5s # a note", ""},
		{"x.txtar: nix build --x", "nix --y build .#linux", ""},
		{"(a reason)", "ukl run", ""},
		{"x.txtar: ukl run -v", "ukl run", "does not contain"},
		{"y.txtar: ukl run", "ukl run", "not exist"},
		{"x.txtar: ukl bench -q", "ukl run", "another command"},
		{"x.txtar: ukl run -q", "ukl run --volume a:b", "another command"},
		{"x.txtar: ukl run -q --timeout 60s ./own", "ukl run|ukl ps", "the block 2"},
		{"x.txtar: ", "ukl run", "does not contain"},
	} {
		got := excuse{runs: strings.Split(c.runs, "|")}.stale(strings.Split(c.commands, "|"), text)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%q for %q: %q, want %q", c.runs, c.commands, got, c.want)
		}
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
