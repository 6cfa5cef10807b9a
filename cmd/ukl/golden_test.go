package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"ukl/internal/machine/qemu"
)

// update writes the golden files: go test ./cmd/ukl -run Golden -update. Their diff is then the review.
var update = flag.Bool("update", false, "write the golden files")

// golden compares what was printed with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%s:%d: -update writes the file\n got %q\nwant %q", file, i+1, g[i], w[i])
		}
	}
	t.Fatalf("%s: %d lines, not %d; -update writes the file", file, len(g), len(w))
}

// print runs ukl, which must succeed without a word on stderr, and returns its stdout.
func print(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(append([]string{"ukl"}, args...), nil, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Fatalf("ukl %q: exit code %d, %s", args, code, &stderr)
	}
	return stdout.String()
}

// What --help prints of every command, in one file that shows how the whole reads.
func TestGoldenHelp(t *testing.T) {
	var all strings.Builder
	show := func(words ...string) {
		all.WriteString("$ ukl " + strings.Join(append(words, "--help"), " ") + "\n" + print(t, append(words, "--help")...) +
			"\n")
	}
	show()
	app := (&tool{}).app()
	var each func(prefix []string, commands []*cli.Command)
	each = func(prefix []string, commands []*cli.Command) {
		for _, c := range commands {
			name := append(prefix[:len(prefix):len(prefix)], c.Name)
			show(name...)
			each(name, c.Subcommands)
		}
	}
	each(nil, app.Commands)
	// What all commands have is shown once.
	_, common, _ := strings.Cut(print(t, "ps", "--help"), "ukl ps [--json]\n")
	text := all.String()
	if n := strings.Count(text, common); n < len(app.Commands) {
		t.Errorf("%d of %d commands have the common options", n, len(app.Commands))
	}
	golden(t, "help.golden", strings.ReplaceAll(text, common, ""))
	for line := range strings.Lines(text) {
		if len([]rune(line)) > 160 {
			t.Errorf("too long: %s", line)
		}
	}
}

// What --json prints, with all that differs from run to run taken out. docs_test.go compares the keys with their
// documentation.
func TestGoldenJSON(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(qemu.Env, "fake-qemu")
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("app/main.c", "")
	write("app/ukl.toml", "name = \"app\"\n[[test]]\nname = \"says\"\nexpect = \"hello\"\n")
	kernel := write("kernel", "out hello\nlog ukl: app exited with status 0\n")
	for name, args := range map[string][]string{
		"list.json": {"list"},
		"test.json": {"test", "--accel", "tcg", "--kernel", kernel, filepath.Join(dir, "app")},
		"init.json": {"init", filepath.Join(dir, "new")},
		"ps.json":   {"ps"},
	} {
		got := print(t, append([]string{"--json"}, args...)...)
		got = strings.ReplaceAll(got, dir, "DIR")
		got = regexp.MustCompile(`"seconds": [0-9.e+-]+`).ReplaceAllString(got, `"seconds": 1`)
		golden(t, name, got)
	}
}
