package worktree

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ukl/internal/build/image"
	"ukl/internal/host/nix"
	"ukl/internal/kernel/series"
	"ukl/internal/pin/pins"
)

// builder stands in for stage0 and the kernel's makefiles. It compiles every file of the source but those called
// skipped.c, into an object that only says so; a file with the word "careless" gets a warning, unless the symbols are
// n; one with "broken" fails.
const builder = `#!/bin/sh
for word do
    case $word in *:/build/obj) obj=${word%:/build/obj} ;; esac
done
cd "$source"
for f in $(find . -name '*.c' ! -name skipped.c); do
    mkdir -p "$obj/$(dirname "$f")"
    : >"$obj/${f%.c}.o"
    if grep -q careless "$f" && ! printf '%s' "$additions" | grep -q =n; then echo "$f:1: warning: careless" >&2; fi
    if grep -q broken "$f"; then echo "$f:1: error: broken" >&2; exit 2; fi
done
if [ -f init/made.lds.S ]; then : >"$obj/init/made.lds"; fi
`

type silent struct{}

func (silent) Fetch(pins.Progress) {}
func (silent) Note(string)         {}
func (silent) Build(nix.Event)     {}

// history makes a work tree of a source and commits on top of it, each with these files.
func history(t *testing.T, commits ...map[string]string) (*series.Tree, []string) {
	t.Helper()
	dir := t.TempDir()
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@ukl.invalid"}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q")
	var names []string
	for i, files := range append([]map[string]string{{"init/main.c": "first"}}, commits...) {
		for name, text := range files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		git("add", "-A")
		git("commit", "-q", "-m", "commit")
		if i == 0 {
			git("config", "ukl.base", git("rev-parse", "HEAD"))
			continue
		}
		names = append(names, git("rev-parse", "HEAD"))
	}
	tree, err := series.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree, names
}

func TestPrefix(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip(err)
	}
	t.Setenv("NIX_REMOTE", "")
	stage0 := filepath.Join(t.TempDir(), "stage0")
	if err := os.WriteFile(stage0, []byte(builder), 0o755); err != nil {
		t.Fatal(err)
	}
	recipe := &image.Derivation{
		Path: "/nix/store/00000000000000000000000000000000-linux-objects.drv", Builder: stage0,
		Args: []string{"enter", "/tree", "/objects.sh"}, Env: map[string]string{"PATH": os.Getenv("PATH")},
	}
	var said []string
	w := &Workshop{
		Builder: &image.Builder{Cache: t.TempDir(), Progress: silent{}},
		Say:     func(l string) { said = append(said, l) },
	}
	tree, commits := history(t,
		map[string]string{"init/main.c": "careless"},
		map[string]string{"init/main.c": "careful", "arch/Kconfig": "config RING0_TEST\n"},
		map[string]string{"init/new.c": "careless", "Documentation/x.c": "", "Documentation/x.rst": ""},
		map[string]string{"init/new.c": "broken"},
		map[string]string{"init/new.c": "mended", "init/skipped.c": ""},
		map[string]string{"init/made.lds.S": ""},
		map[string]string{"init/other.lds.S": ""},
	)
	for i, want := range [][]string{
		{"./init/main.c:1: warning: careless"},
		nil,
		{"with the series' symbols y: ./init/new.c:1: warning: careless"},
		{
			"with the series' symbols n: it does not build", "./init/new.c:1: error: broken",
			"with the series' symbols y: it does not build", "./init/new.c:1: error: broken",
		},
		{"init/skipped.c: nixexprs/linux/check.config does not compile it"},
		nil,
		{"init/other.lds.S: nixexprs/linux/check.config does not compile it"},
	} {
		got, err := w.prefix(context.Background(), recipe, tree, commits[i])
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("patch %d: %q, %v\nwant %q", i+1, got, err, want)
		}
	}
	if said != nil {
		t.Errorf("shown as well: %q", said)
	}
}
