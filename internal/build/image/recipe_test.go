package image

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ukl/internal/app/apps"
)

// A recipe's inputs are built, but for those that the caller brings; when all are there, Nix is not asked again.
func TestRecipe(t *testing.T) {
	b, f, a := setup(t)
	root := t.TempDir()
	t.Setenv("NIX_REMOTE", "local?root="+root)
	store := func(name string) string { return "/nix/store/" + strings.Repeat("0", 32) + "-" + name }
	derive := func(name string, inputs ...string) {
		var list []string
		for _, in := range inputs {
			list = append(list, `("`+store(in+".drv")+`",["out"])`)
		}
		write(t, root, store(name+".drv"), `Derive([("out","`+store(name)+`","","")],[`+strings.Join(list, ",")+
			`],[],"x86_64-linux","/stage0",["enter","/tree","/script"],[("calls","gate")])`)
	}
	derive("link-x", "linux-objects", "glibc", "app-x")
	derive("linux-objects")
	derive("glibc")
	derive("app-x")
	write(t, root, store("glibc"), "there")
	count := func(call string) (n int) {
		for _, c := range f.calls {
			if c == call {
				n++
			}
		}
		return n
	}

	d, err := b.Recipe(context.Background(), a, "link", "linux-objects")
	if err != nil {
		t.Fatal(err)
	}
	if d.Env["calls"] != "gate" || !slices.Equal(d.Args, []string{"enter", "/tree", "/script"}) {
		t.Errorf("%+v", d)
	}
	if got := absentInputs(d, []string{"linux-objects"}); !slices.Equal(got, []string{store("app-x.drv")}) {
		t.Errorf("what was built: %q", got)
	}
	if count("instantiate link") != 1 || count("plan") < 1 {
		t.Errorf("calls: %q", f.calls)
	}

	write(t, root, store("app-x"), "there")
	f.calls = nil
	if _, err := b.Recipe(context.Background(), a, "link", "linux-objects"); err != nil || len(f.calls) > 0 {
		t.Errorf("the second time: %v, calls %q", err, f.calls)
	}
	if err := os.Remove(filepath.Join(root, store("glibc"))); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Recipe(context.Background(), a, "link", "linux-objects"); err != nil || count("instantiate link") != 1 {
		t.Errorf("an input is gone: %v, calls %q", err, f.calls)
	}
	f.calls = nil
	derive("linux-source-x")
	if _, err := b.Recipe(context.Background(), apps.App{}, "linux-source"); err != nil ||
		count("instantiate linux-source") < 1 {
		t.Errorf("a shared stage: %v, calls %q", err, f.calls)
	}
	f.calls = nil
	write(t, a.Dir, "main.c", "int other;\n")
	if _, err := b.Recipe(context.Background(), a, "link", "linux-objects"); err != nil || count("instantiate link") != 1 {
		t.Errorf("a changed application: %v, calls %q", err, f.calls)
	}
}
