package apps

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"testing/fstest"

	"ukl/internal/app/manifest"
	"ukl/internal/app/program"
	"ukl/internal/pin/pins"
	"ukl/nixexprs"
)

func catalogue() Catalogue {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return New(fstest.MapFS{
		"apps/multithreaded/ukl.toml": file("aliases = ['multithreaded-tcp-server']\nsummary = 'm'"),
		"apps/multithreaded/a.c":      file(""),
		"apps/printing/ukl.toml":      file("name = 'printer'"),
		"apps/printing/p.c":           file(""),
		"apps/notes/readme":           file(""),
	})
}

func TestFind(t *testing.T) {
	c := catalogue()
	for word, want := range map[string]string{
		"multithreaded": "multithreaded", "multithreaded-tcp-server": "multithreaded", "printing": "printing",
		"printer": "printing",
	} {
		a, err := c.Find(word)
		if err != nil || a.Short != want || !a.Bundled {
			t.Errorf("Find(%q) = %q, %v; want %q", word, a.Short, err, want)
		}
	}
	a, _ := c.Find("printing")
	if got := a.Arguments("/x"); !reflect.DeepEqual(got, map[string]string{"app": "/x/apps/printing"}) {
		t.Errorf("Arguments = %q", got)
	}
	a.Entry = manifest.Bypass
	if got := a.Arguments("/x"); got["calls"] != "bypass" {
		t.Errorf("an application with an entry of its own: %v", got)
	}
	var u *Unknown
	if _, err := c.Find("multi"); !errors.As(err, &u) || u.Suggestion != "multithreaded" {
		t.Errorf("Find(multi): %v, suggestion %+v", err, u)
	}
	if _, err := c.Find("notes"); !errors.As(err, &u) || u.Suggestion != "" {
		t.Errorf("a directory without a manifest is no application: %v", err)
	}
}

func TestFindOwn(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, d := range []string{"mine", "printing"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{manifest.File, "main.c"} {
			if err := os.WriteFile(filepath.Join(d, f), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := catalogue()
	for _, word := range []string{"mine", "./mine", "mine/", "mine/ukl.toml"} {
		a, err := c.Find(word)
		if err != nil || a.Bundled || a.Short != "mine" || !filepath.IsAbs(a.Dir) {
			t.Errorf("Find(%q) = %+v, %v", word, a, err)
		}
	}
	if a, _ := c.Find("printing"); !a.Bundled {
		t.Error("a bundled name wins over a directory")
	}
	if a, _ := c.Find("./printing"); a.Bundled {
		t.Error("a slash makes it a directory")
	}
	if _, err := c.Find(""); !errors.As(err, new(*manifest.NotFound)) {
		t.Errorf("Find of the current directory without a manifest: %v", err)
	}
	t.Chdir("mine")
	if a, err := c.Find(""); err != nil || a.Short != "mine" {
		t.Errorf("Find of the current directory = %+v, %v", a, err)
	}
	if _, err := c.Find("main.c/"); err == nil {
		t.Error("a file was taken for an application")
	}
}

// A finished program needs no manifest; one may name it.
func TestFindProgram(t *testing.T) {
	t.Chdir(t.TempDir())
	here, _ := os.Getwd()
	elf := make([]byte, 64+56)
	copy(elf, "\x7fELF\x02\x01\x01")
	copy(elf[16:], []byte{2, 0, 62, 0, 1, 0, 0, 0, 0, 0x10, 0x40})
	copy(elf[32:], []byte{64})
	copy(elf[52:], []byte{64, 0, 56, 0, 1})
	copy(elf[64:], []byte{1})
	for file, text := range map[string]string{
		"my server!": string(elf), "printing": string(elf), "script": "#!/usr/bin/tclsh",
		"d/" + manifest.File: "prebuilt = 'bin'", "d/bin": string(elf),
		"bad/" + manifest.File: "prebuilt = 'bin'", "bad/bin": "x",
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := catalogue()
	for _, word := range []string{"my server!", "./my server!"} {
		a, err := c.Find(word)
		want := map[string]string{"program": filepath.Join(here, "my server!"), "name": "my-server-"}
		if err != nil || a.Name != "my-server-" || !reflect.DeepEqual(a.Arguments("/x"), want) {
			t.Errorf("Find(%q) = %+v, %v", word, a.Manifest, err)
		}
	}
	if a, err := c.Find("d/"); err != nil || a.Program != filepath.Join(here, "d/bin") ||
		a.Dir != filepath.Join(here, "d") {
		t.Errorf("Find(d/) = %+v, %v", a, err)
	}
	if a, _ := c.Find("printing"); !a.Bundled {
		t.Error("a bundled name wins over a program")
	}
	var u *program.Unfit
	for _, word := range []string{"./script", "script", "bad/"} {
		if _, err := c.Find(word); !errors.As(err, &u) {
			t.Errorf("Find(%q): %v", word, err)
		}
	}
}

// A script is its interpreter, a bundled application, with arguments that the command line adds to.
func TestFindScript(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := filepath.EvalSymlinks(".")
	if err == nil {
		here, err = filepath.Abs(here)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("real.py", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.py", "link.py"); err != nil {
		t.Fatal(err)
	}
	c := New(nixexprs.FS)
	a, err := c.Find("link.py")
	if err != nil || !a.Bundled || a.Short != "python" || a.Script != filepath.Join(here, "real.py") {
		t.Fatalf("%+v, %v", a, err)
	}
	for _, x := range []struct{ args, want []string }{
		{nil, []string{"/usr/bin/python3", "/srv/real.py"}},
		{[]string{}, []string{"/usr/bin/python3", "/srv/real.py"}},
		{[]string{"a", "b"}, []string{"/usr/bin/python3", "/srv/real.py", "a", "b"}},
	} {
		if got := a.Argv(x.args); !slices.Equal(got, x.want) {
			t.Errorf("%q: %q", x.args, got)
		}
	}
	if b, err := c.Find("redis"); err != nil || len(b.Argv([]string{})) != 1 || len(b.Argv(nil)) != 3 {
		t.Errorf("redis: %q, %v", b.Argv(nil), err)
	}
	if b, err := c.Find("python"); err != nil || b.Script != "" || len(b.Tests) == 0 {
		t.Errorf("the application itself has changed: %+v, %v", b, err)
	}
}

// What comes along must be right, and answer to the names of the original.
func TestBundled(t *testing.T) {
	c := New(nixexprs.FS)
	list, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.Summary == "" {
			t.Errorf("%s has no summary", a.Short)
		}
		if _, err := pins.LoadOwn(a.Files, a.Short, a.Wants()); err != nil {
			t.Errorf("%s: %v", a.Short, err)
		}
	}
	for alias, short := range map[string]string{
		"multithreaded-tcp-server": "multithreaded", "singlethreaded-tcp-server": "singlethreaded",
		"multithreaded-printing": "printing",
	} {
		if a, err := c.Find(alias); err != nil || a.Short != short {
			t.Errorf("Find(%q) = %q, %v", alias, a.Short, err)
		}
	}
}
