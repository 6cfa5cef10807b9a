package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"ukl/internal/app/manifest"
	"ukl/internal/build/handover"
	"ukl/internal/build/worktree"
	"ukl/internal/cli/doctor"
	"ukl/internal/cli/exit"
	"ukl/internal/kernel/series"
	"ukl/internal/machine/qemu"
	"ukl/internal/pin/pins"
	"ukl/internal/report/bench"
	"ukl/internal/report/profile"
	"ukl/internal/run/echo"
	"ukl/internal/run/instance"
)

func page(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The table of exit codes in docs/run.md is that of internal/cli/exit.
func TestDocumentedExitCodes(t *testing.T) {
	var want strings.Builder
	want.WriteString("| code | meaning |\n|---|---|\n")
	for _, r := range exit.Table() {
		fmt.Fprintf(&want, "| %s | %s |\n", r.Code, r.Meaning)
	}
	if !strings.Contains(page(t, "run.md"), want.String()) {
		t.Errorf("docs/run.md must hold\n%s", &want)
	}
}

// Each key that docs/ukl-toml.md has is one that ukl takes, its example is valid, and no key is missing there.
func TestDocumentedManifest(t *testing.T) {
	text := page(t, "ukl-toml.md")
	var examples []string // blocks of indented lines; a blank line ends none
	open := false
	for line := range strings.Lines(text) {
		switch body, indented := strings.CutPrefix(line, "    "); {
		case indented && !open:
			examples, open = append(examples, body), true
		case indented, line == "\n" && open:
			examples[len(examples)-1] += body
		default:
			open = false
		}
	}
	for i, example := range examples {
		m, err := manifest.Parse([]byte(example), manifest.Place{File: "example", Base: "x"})
		if err != nil || i == 0 && (len(m.Tests) != 1 || len(m.Env) != 1) {
			t.Errorf("an example: %+v, %v\n%s", m, err, example)
		}
	}
	documented := map[string]bool{}
	for _, match := range regexp.MustCompile("(?m)^\\| `\\[*([a-z]+)\\]*`").FindAllStringSubmatch(text, -1) {
		documented[match[1]] = true
	}
	for _, key := range []string{"summary", "aliases"} {
		documented[key] = strings.Contains(text, "`"+key+"`")
	}
	for _, key := range manifest.Keys() {
		if !documented[key] {
			t.Errorf("%s is not documented", key)
		}
		delete(documented, key)
	}
	for _, key := range []string{"port", "send", "expect", "status"} { // of [[test]]
		delete(documented, key)
	}
	if limit := fmt.Sprintf("| `cpus` | number | virtual CPUs, at most %d;", qemu.MaxCPUs); !strings.Contains(text, limit) {
		t.Errorf("docs/ukl-toml.md must hold\n%s", limit)
	}
	if len(documented) > 0 {
		t.Errorf("documented, but no keys: %v", documented)
	}
}

// docs/ukl.schema.json is what manifest.Schema says (-update writes it), and knows the same keys as ukl, in every
// table.
func TestSchema(t *testing.T) {
	text, err := manifest.Schema()
	if err != nil {
		t.Fatal(err)
	}
	const file = "../../docs/ukl.schema.json"
	if *update {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if page(t, "ukl.schema.json") != string(text) {
		t.Errorf("%s is not what manifest.Schema says: go test ./cmd/ukl -run Schema -update", file)
	}
	type node struct {
		Properties map[string]struct {
			Type       any
			Properties map[string]any
			Items      struct{ Properties map[string]any }
		}
	}
	var schema node
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(schema.Properties)); !slices.Equal(got, manifest.Keys()) {
		t.Errorf("the schema has %q\nukl.toml has %q", got, manifest.Keys())
	}
	unknown := func(table, key string) bool {
		_, err := manifest.Parse([]byte(table+"\n"+key+" = true\n"), manifest.Place{File: "x", Base: "x"})
		var faults manifest.Errors
		return errors.As(err, &faults) &&
			slices.ContainsFunc(faults, func(e *manifest.Error) bool { return strings.Contains(e.Text, "unknown key") })
	}
	tables := 0
	for name, p := range schema.Properties {
		for table, have := range map[string]map[string]any{
			"[" + name + "]":   p.Properties,
			"[[" + name + "]]": p.Items.Properties,
		} {
			if len(have) == 0 {
				continue
			}
			tables++
			for key := range have {
				if unknown(table, key) {
					t.Errorf("%s of ukl.toml has no %s", table, key)
				}
			}
			if !unknown(table, "nonsense") {
				t.Errorf("%s takes anything", table)
			}
		}
	}
	if tables != 6 {
		t.Errorf("%d tables", tables)
	}
}

// keys are the places of a type's JSON: "a", "a[].b", "a.*.b" for a table's.
func keys(t reflect.Type, prefix string) []string {
	switch t.Kind() {
	case reflect.Pointer:
		return keys(t.Elem(), prefix)
	case reflect.Slice:
		return keys(t.Elem(), prefix+"[]")
	case reflect.Map:
		return keys(t.Elem(), prefix+".*")
	case reflect.Struct:
		if t.PkgPath() == "time" {
			break
		}
		var list []string
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous && name == "":
				list = append(list, keys(f.Type, prefix)...)
			case name != "" && name != "-" && f.IsExported():
				list = append(list, keys(f.Type, strings.TrimPrefix(prefix+"."+name, "."))...)
			}
		}
		return list
	}
	return []string{prefix}
}

// docs/json.md has every key that --json prints, and no other.
func TestDocumentedJSON(t *testing.T) {
	text := page(t, "json.md")
	if !strings.Contains(text, fmt.Sprintf("version %d", shapes)) {
		t.Errorf("docs/json.md is not about version %d", shapes)
	}
	for title, shape := range map[string]any{
		"bench": bench.Report{}, "build": built{}, "client": echo.Summary{}, "doctor": []doctor.Finding{},
		"init, man": made{},
		"inspect":   inspected{}, "kernel init": startedTree{}, "kernel build": builtKernel{},
		"kernel export": exportedSeries{}, "kernel check": checkedSeries{}, "kernel mail": mailedSeries{},
		"list": []listed{}, "pins list": []pins.Pin{},
		"pins fetch, import": fetchedPins{}, "pins export": exportedPins{},
		"pins verify": verifiedPins{}, "profile": profile.Report{}, "ps": []instance.Info{},
		"source": handover.Result{}, "test": tested{},
		"--version": versions{},
	} {
		_, section, ok := strings.Cut(text, "\n## "+title+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		if !ok {
			t.Errorf("docs/json.md has no section %q", title)
			continue
		}
		var documented []string
		for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
			documented = append(documented, m[1])
		}
		if want := keys(reflect.TypeOf(shape), ""); !slices.Equal(slices.Sorted(slices.Values(documented)),
			slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: documented are\n%q\nprinted are\n%q", title, documented, want)
		}
	}
}

// docs/kernel-development.md has every exception that `ukl kernel check` makes, and no other.
func TestDocumentedExceptions(t *testing.T) {
	list, err := worktree.Exceptions()
	if err != nil {
		t.Fatal(err)
	}
	want := "| patch | checkpatch says | why it stands |\n|---|---|---|\n"
	for _, e := range list {
		patch := e.Patch
		if patch == "*" {
			patch = "all"
		}
		want += fmt.Sprintf("| %s | %s | %s |\n", patch, e.Type, e.Why)
	}
	if !strings.Contains(page(t, "kernel-development.md"), want+"\n") {
		t.Errorf("docs/kernel-development.md must hold\n%s", want)
	}
}

// folded is the end of a line of a header that goes on in the next one.
var folded = regexp.MustCompile(`\n +`)

// The cover letters are about the series that is here: its parts begin with patches that it has, the letter of the
// preparation names each patch and no other, and that of ring 0 has the numbers of docs/bench.md.
func TestCoverLetters(t *testing.T) {
	l, _, err := lettersOf("", &series.Tree{})
	if err != nil {
		t.Fatal(err)
	}
	patches, err := series.Read(os.DirFS("../../"+patchesDir), patchesDir)
	if err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for _, p := range patches {
		head, _, _ := strings.Cut(string(p.Text), "\n\n")
		_, subject, _ := strings.Cut(folded.ReplaceAllString(head, " "), "\nSubject: [PATCH] ")
		subject, _, _ = strings.Cut(subject, "\n")
		subjects = append(subjects, subject)
	}
	if len(l.Parts) != 2 {
		t.Fatalf("%d parts", len(l.Parts))
	}
	preparation, ring0 := l.Parts[0], l.Parts[1]
	begin := slices.Index(subjects, ring0.First)
	if begin < 1 {
		t.Fatalf("%s begins with %q, which is patch %d of the series", ring0.Name, ring0.First, begin+1)
	}
	var named []string
	for _, m := range regexp.MustCompile(`(?m)^ {2}(\S.*)$`).FindAllStringSubmatch(preparation.Text, -1) {
		named = append(named, m[1])
	}
	want := slices.Sorted(slices.Values(subjects[:begin]))
	if slices.Sort(named); !slices.Equal(named, want) {
		t.Errorf("%s names\n%q\nthe series has\n%q", preparation.Name, named, want)
	}
	bench := page(t, "bench.md")
	rows := regexp.MustCompile(`(?m)^ +([a-z-]+(?:/[0-9]+)?) +([0-9]+) +([0-9]+) +([0-9]+)$`).
		FindAllStringSubmatch(ring0.Text, -1)
	for _, r := range rows {
		row := `(?m)^ +` + r[1] + ` +` + r[2] + ` +[0-9]+ +[0-9.]+ +` + r[3] + ` +[0-9.]+ +` + r[4] + ` `
		if !regexp.MustCompile(row).MatchString(bench) {
			t.Errorf("docs/bench.md does not have the numbers of %q", r[0])
		}
	}
	if len(rows) != 12 {
		t.Errorf("%d rows of numbers", len(rows))
	}
}

// CHANGELOG.md has a heading for the version, which is one of semver.org.
func TestDocumentedVersion(t *testing.T) {
	if !regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`).MatchString(version) {
		t.Errorf("version %q", version)
	}
	if !regexp.MustCompile(`(?m)^## ` + regexp.QuoteMeta(version) + `\b`).MatchString(page(t, "../CHANGELOG.md")) {
		t.Errorf("CHANGELOG.md has no heading for %s", version)
	}
}

// REUSE.toml names the licences whose texts LICENSES has; LICENSE and docs/licensing.md say the same of each place.
func TestLicences(t *testing.T) {
	var reuse struct {
		Annotations []struct {
			Path    string
			Licence string `toml:"SPDX-License-Identifier"`
		}
	}
	if _, err := toml.Decode(page(t, "../REUSE.toml"), &reuse); err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, a := range reuse.Annotations {
		named[a.Licence] = true
		place := strings.TrimSuffix(strings.TrimSuffix(a.Path, "**"), "/")
		if found, err := filepath.Glob("../../" + place); err != nil || len(found) == 0 {
			t.Errorf("%s covers nothing: %v", a.Path, err)
		}
		for _, text := range []string{"../LICENSE", "licensing.md"} {
			line := `(?m)^.*` + regexp.QuoteMeta(place) + `\W.*[ |]` + a.Licence + `\b`
			if place != "" && !regexp.MustCompile(line).MatchString(page(t, text)) {
				t.Errorf("%s does not say that %s is %s", text, place, a.Licence)
			}
		}
	}
	var texts []string
	files, err := filepath.Glob("../../LICENSES/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		texts = append(texts, strings.TrimSuffix(filepath.Base(f), ".txt"))
	}
	if got := slices.Sorted(maps.Keys(named)); len(got) != 3 || !slices.Equal(got, texts) {
		t.Errorf("REUSE.toml names %q, LICENSES has %q", got, texts)
	}
}

// docs/README.md has a line for every page beside it, and no other.
func TestDocumentedPages(t *testing.T) {
	var want []string
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := filepath.Base(f); name != "README.md" {
			want = append(want, name)
		}
	}
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^\| \[([^]]+)\]\(([^)]+)\) \|`).
		FindAllStringSubmatch(page(t, "README.md"), -1) {
		if m[1] != m[2] {
			t.Errorf("%s leads to %s", m[1], m[2])
		}
		listed = append(listed, m[2])
	}
	if slices.Sort(listed); !slices.Equal(listed, want) {
		t.Errorf("pages   %q\nlisted  %q", want, listed)
	}
}

// Every relative link of a Markdown file leads to a file, and to a heading of it if it names one.
func TestLinks(t *testing.T) {
	var files []string
	for _, dir := range []string{"../..", "../../docs"} {
		found, err := filepath.Glob(dir + "/*.md")
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	links := 0
	for _, from := range files {
		for _, link := range linksOf(t, from) {
			links++
			if reason := broken(from, link); reason != "" {
				t.Errorf("%s: %s: %s", from, link, reason)
			}
		}
	}
	if links < 50 {
		t.Errorf("only %d links", links)
	}
	for _, link := range []string{"nowhere.md", "run.md#nowhere", "#nowhere"} {
		if broken("../../docs/kernel.md", link) == "" {
			t.Errorf("the test does not see that %s is broken", link)
		}
	}
}

// linksOf are the relative links of a Markdown file.
func linksOf(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(m[1], "://") {
			links = append(links, m[1])
		}
	}
	return links
}

// broken says why a link of a file leads nowhere; "" if it does not.
func broken(from, link string) string {
	name, heading, named := strings.Cut(link, "#")
	target := from
	if name != "" {
		target = filepath.Join(filepath.Dir(from), name)
	}
	text, err := os.ReadFile(target)
	if fi, serr := os.Stat(target); serr == nil && fi.IsDir() && !named {
		return ""
	}
	if err != nil {
		return "no such file"
	}
	if !named {
		return ""
	}
	for _, m := range regexp.MustCompile("(?m)^#+ (.*)$").FindAllStringSubmatch(string(text), -1) {
		anchor := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(m[1]), "")
		if strings.ReplaceAll(anchor, " ", "-") == heading {
			return ""
		}
	}
	return "no such heading"
}
