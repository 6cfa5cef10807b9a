package main

import (
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestArchitecture holds docs/architecture.md against the packages: each is listed once, in its wing, and imports
// nothing of a wing below its own.
func TestArchitecture(t *testing.T) {
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var wings, listed []string
	for _, m := range regexp.MustCompile("(?m)^### ([a-z]+): |^\\| `([a-z]+/[a-z0-9]+)` \\|").
		FindAllStringSubmatch(string(text), -1) {
		if m[1] != "" {
			wings = append(wings, m[1])
			continue
		}
		if wing, _, _ := strings.Cut(m[2], "/"); wing != wings[len(wings)-1] {
			t.Errorf("%s is listed in the wing %s", m[2], wings[len(wings)-1])
		}
		listed = append(listed, m[2])
	}
	dirs, err := filepath.Glob("../../internal/*/*")
	if err != nil || len(dirs) < 40 || len(wings) < 5 {
		t.Fatalf("%d packages, %d wings: %v", len(dirs), len(wings), err)
	}
	var have []string
	for _, d := range dirs {
		name := strings.TrimPrefix(d, "../../internal/")
		have = append(have, name)
		for _, bad := range forbidden(t, d, name, wings) {
			t.Errorf("%s imports %s, of a wing below its own", name, bad)
		}
	}
	stages, err := filepath.Glob("../../nixexprs/*.nix")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stages {
		if !strings.Contains(string(text), "`"+filepath.Base(s)+"`") {
			t.Errorf("%s is not on the map", filepath.Base(s))
		}
	}
	slices.Sort(listed)
	if !slices.Equal(have, listed) {
		t.Errorf("packages  %q\nlisted    %q", have, listed)
	}
}

// forAll is the package that all may import and that imports none.
const forAll = "cli/exit"

// forbidden are the packages that one in dir imports against the rule; tests may import what they like.
func forbidden(t *testing.T, dir, name string, wings []string) []string {
	t.Helper()
	rank := func(name string) int {
		wing, _, _ := strings.Cut(name, "/")
		return slices.Index(wings, wing)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var bad []string
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			path, _ := strconv.Unquote(i.Path.Value) // the parser has accepted it
			if other, ours := strings.CutPrefix(path, "ukl/internal/"); ours && !strings.HasSuffix(file, "_test.go") &&
				(name == forAll || other != forAll && rank(other) > rank(name)) {
				bad = append(bad, other)
			}
		}
	}
	return bad
}

// The rule can be broken: the test would see it.
func TestArchitectureSeesABrokenRule(t *testing.T) {
	wings := []string{"host", "pin", "machine", "build", "cli"}
	if bad := forbidden(t, "../../internal/cli/doctor", "host/doctor", wings); len(bad) == 0 {
		t.Error("a package of host that imports build was not seen")
	}
	if bad := forbidden(t, "../../internal/host/nix", forAll, wings); len(bad) == 0 {
		t.Errorf("%s with an import was not seen", forAll)
	}
}

// TestLineLengths: a line of Go has at most 120 columns, a tab counted as one, unless a long string is on it.
func TestLineLengths(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".go" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		seen++
		for _, n := range tooLong(text) {
			t.Errorf("%s:%d: more than %d columns", name, n, columns)
		}
		return nil
	})
	if err != nil || seen < 200 {
		t.Errorf("%d files: %v", seen, err)
	}
}

const columns = 120

// tooLong returns the numbers of the lines that should be broken.
func tooLong(text []byte) (bad []int) {
	set := token.NewFileSet()
	file := set.AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, 0)
	unbroken := map[int]bool{}
	for pos, tok, lit := s.Scan(); tok != token.EOF; pos, tok, lit = s.Scan() {
		if tok == token.STRING && utf8.RuneCountInString(lit) > columns/3 {
			for i := range 1 + strings.Count(lit, "\n") {
				unbroken[file.Line(pos)+i] = true
			}
		}
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		if n++; utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > columns && !unbroken[n] {
			bad = append(bad, n)
		}
	}
	return bad
}

func TestTooLong(t *testing.T) {
	long, text := strings.Repeat("x", columns), strings.Repeat("y", columns-10)
	source := "package x\n// " + long + "\nvar a = `\n" + long + "x`\n" +
		"var b = " + long + "+\"short\"\nvar c = \"" + text + "\"\n"
	if got := tooLong([]byte(source)); !slices.Equal(got, []int{2, 5}) {
		t.Errorf("%v", got)
	}
}
