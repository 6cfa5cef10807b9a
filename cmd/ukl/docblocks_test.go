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

// codeBlocks are the blocks of a page of a checkout.
func codeBlocks(checkout, page string) ([]codeBlock, error) {
	text, err := os.ReadFile(filepath.Join(checkout, page))
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
		"ukl", "./ukl", "go", "nix", "nix-store", "cd", "qemu-system-x86_64",
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

// TestDocumentedBlocks: each command of a block of a page is run by a script, or has its reason in unrun; a ukl.toml
// that a block shows is valid. Each ukl command, wherever it stands, has options that there are.
func TestDocumentedBlocks(t *testing.T) {
	var shown []codeBlock
	for _, page := range pages(t) {
		blocks, err := codeBlocks(repository, page)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, blocks...)
	}
	ran := make([][][]string, len(shown))
	for at, chosen := range runs(t) {
		i, err := find(shown, at.page, at.line)
		if err != nil {
			t.Errorf("a script runs a block: %v", err)
			continue
		}
		ran[i] = append(ran[i], chosen...)
	}
	excused := make([]*excuse, len(shown))
	for key, why := range unrun() {
		page, line, _ := strings.Cut(key, " ")
		i, err := find(shown, page, line)
		if err != nil || excused[i] != nil {
			t.Errorf("an excuse that nobody needs, or the second one of a block: %s: %v", key, err)
			continue
		}
		excused[i] = &why
	}
	for i, b := range shown {
		if toml := b.manifest(); toml != "" {
			if _, err := manifest.Parse([]byte(toml), manifest.Place{File: "x", Base: "x"}); err != nil {
				t.Errorf("%s: %v", b, err)
			}
		}
		for _, c := range b.commands() {
			parses(t, b, c.text)
		}
		for _, bad := range unsaid(b, ran[i], excused[i], script) {
			t.Errorf("%s: %s", b, bad)
		}
	}
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

// TestDocumentedKernelLines: Kconfig takes the lines of configuration that docs/ukl-toml.md shows; without the one that
// the others need it does not.
func TestDocumentedKernelLines(t *testing.T) {
	if os.Getenv(bootEnv) == "off" {
		t.Skipf("%s=off", bootEnv)
	}
	blocks, err := codeBlocks(repository, "docs/ukl-toml.md")
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
