package series

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// patch is a file as format-patch writes it, and as the series of this repository are.
const patch = `From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: =?UTF-8?q?J=C3=B6rg?= <j@ukl.invalid>
Date: Tue, 24 Nov 2026 12:00:00 +0100
Subject: [PATCH] [x86] entry: Say two, in a subject that is so long that it
 has to be folded

Two.  With two spaces, a line that looks like one of a patch:

    ---
    diff x y

and nothing behind.

diff --git a/init/main.c b/init/main.c
index 5626abf..f719efd 100644
--- a/init/main.c
+++ b/init/main.c
@@ -1 +1 @@
-one
+two
`

// second makes a file with a name of its own and a mode.
const second = `From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: A <a@ukl.invalid>
Date: Wed, 25 Nov 2026 12:00:00 +0000
Subject: [PATCH] Kconfig: Add a symbol

Because.

diff --git a/Kconfig b/Kconfig
new file mode 100644
index 0000000..5a8015c
--- /dev/null
+++ b/Kconfig
@@ -0,0 +1,2 @@
+config RING0_TEST
+	bool
`

func two() []Patch {
	return []Patch{
		{"0001-x86-entry-Say-two-in-a-subject-that-is-so-long-that-.patch", []byte(patch)},
		{"0002-Kconfig-Add-a-symbol.patch", []byte(second)},
	}
}

// needsGit skips a test where there is no git, as in the build tools' tree.
func needsGit(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip(err)
	}
}

// tree makes a work tree of a source of one file.
func tree(t *testing.T, list []Patch) (*Tree, error) {
	t.Helper()
	needsGit(t)
	dir := t.TempDir()
	// What somebody has configured for himself is of no account.
	home := t.TempDir()
	write(t, home, map[string]string{".gitconfig": "[user]\nname = me\n[format]\nnumbered = true\nsignOff = true\n[diff]\nnoprefix = true\n[commit]\ngpgSign = true\n"})
	t.Setenv("HOME", home)
	t.Setenv("GIT_DIR", "/nowhere")
	write(t, dir, map[string]string{"init/main.c": "one\n", ".gitignore": "*.o\n", "kept.o": "in the archive\n"})
	err := Create(context.Background(), dir, Origin{Source: "source 1", SHA256: "abc", Dir: "/series", Series: Hash(list)},
		list)
	tr, oerr := Open(context.Background(), filepath.Join(dir, "init"))
	if oerr != nil {
		t.Fatal(oerr, err)
	}
	return tr, err
}

// commit changes the work tree as a person would.
func commit(t *testing.T, tr *Tree, args ...string) {
	t.Helper()
	if _, err := git(context.Background(), tr.Dir, maker(), args...); err != nil {
		t.Fatal(err)
	}
}

func TestThereAndBack(t *testing.T) {
	ctx := context.Background()
	tr, err := tree(t, two())
	if err != nil {
		t.Fatal(err)
	}
	if want := (Origin{"source 1", "abc", "/series", Hash(two())}); tr.Origin != want {
		t.Errorf("origin: %+v", tr.Origin)
	}
	list, err := tr.Patches(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range two() {
		if i >= len(list) || list[i].Name != p.Name || string(list[i].Text) != string(p.Text) {
			t.Fatalf("patch %d: %s\n%s", i, list[i].Name, list[i].Text)
		}
	}
	if err := tr.Clean(ctx); err != nil {
		t.Error(err)
	}
	out, err := tr.git(ctx, "ls-tree", "-r", "--name-only", tr.Base)
	if err != nil || !strings.Contains(out, "kept.o") || strings.Contains(out, "Kconfig") {
		t.Errorf("the base has %q, %v", out, err)
	}
	again, err := tree(t, two())
	if err != nil {
		t.Fatal(err)
	}
	a, _ := tr.Commits(ctx)
	b, _ := again.Commits(ctx)
	if len(a) != 2 || !slices.Equal(a, b) {
		t.Errorf("the same series has other commits: %q, %q", a, b)
	}
	symbols, err := tr.AddedSymbols(ctx, a[1])
	if none, _ := tr.AddedSymbols(ctx, a[0]); err != nil || !slices.Equal(symbols, []string{"RING0_TEST"}) || none != nil {
		t.Errorf("symbols: %q, %q, %v", symbols, none, err)
	}
	if files, err := tr.Files(ctx, a[0]); err != nil || !slices.Equal(files, []string{"init/main.c"}) {
		t.Errorf("files: %q, %v", files, err)
	}
}

// Beside the work tree, only what differs is written.
func TestCheckout(t *testing.T) {
	ctx := context.Background()
	tr, err := tree(t, two())
	if err != nil {
		t.Fatal(err)
	}
	commits, _ := tr.Commits(ctx)
	dir := t.TempDir()
	source, index := filepath.Join(dir, "s"), filepath.Join(dir, "index")
	if err := tr.Checkout(ctx, commits[0], source, index); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(filepath.Join(source, "init/main.c"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(source, "Kconfig")); err == nil {
		t.Error("the first patch has the file of the second")
	}
	if err := tr.Checkout(ctx, commits[1], source, index); err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(filepath.Join(source, "init/main.c"))
	if _, err := os.Stat(filepath.Join(source, "Kconfig")); err != nil || !os.SameFile(before, after) ||
		before.ModTime() != after.ModTime() {
		t.Errorf("%v; %v, %v", err, before.ModTime(), after.ModTime())
	}
	if err := tr.Clean(ctx); err != nil {
		t.Error(err)
	}
}

// A patch that does not apply leaves a work tree in which somebody can go on.
func TestStops(t *testing.T) {
	ctx := context.Background()
	list := two()
	list[0].Text = []byte(strings.Replace(patch, "-one", "-eleven", 1))
	tr, err := tree(t, list)
	var stops *Stops
	if !errors.As(err, &stops) || stops.Patch != list[0].Name ||
		stops.Error() != list[0].Name+" does not apply to source 1" || len(stops.Lines) == 0 {
		t.Fatalf("%v", err)
	}
	var unfinished *Unfinished
	if _, err := tr.Patches(ctx); !errors.As(err, &unfinished) ||
		!strings.Contains(err.Error(), "git am or rebase is not finished") {
		t.Errorf("Patches: %v", err)
	}
	write(t, tr.Dir, map[string]string{"init/main.c": "two\n"})
	commit(t, tr, "add", "init/main.c")
	commit(t, tr, "am", "--continue")
	got, err := tr.Patches(ctx)
	if err != nil || len(got) != 2 || string(got[0].Text) != patch {
		t.Errorf("after am --continue: %d patches, %v", len(got), err)
	}
}

// What is no series is told, and what is not committed is not lost.
func TestUnfinished(t *testing.T) {
	ctx := context.Background()
	for name, test := range map[string]struct {
		do   func(tr *Tree)
		want string
	}{
		"a changed file": {
			func(tr *Tree) { write(t, tr.Dir, map[string]string{"init/main.c": "three\n"}) },
			"a file is not committed",
		},
		"new files": {
			func(tr *Tree) { write(t, tr.Dir, map[string]string{"a.c": "", "b.c": ""}) },
			"2 files are not committed",
		},
		"an ignored one": {func(tr *Tree) { write(t, tr.Dir, map[string]string{"b.o": ""}) }, ""},
		"an empty commit": {
			func(tr *Tree) { commit(t, tr, "commit", "-q", "--allow-empty", "-m", "nothing") },
			"changes nothing, so it is not a patch",
		},
		"another root": {func(tr *Tree) {
			commit(t, tr, "checkout", "-q", "--orphan", "x")
			commit(t, tr, "commit", "-q", "-m", "x")
		}, "HEAD is not based on"},
		"a merge": {func(tr *Tree) {
			commit(t, tr, "checkout", "-q", "-b", "x", "HEAD~1")
			commit(t, tr, "commit", "-q", "--allow-empty", "-m", "x")
			commit(t, tr, "merge", "-q", "--no-edit", "ukl")
		}, "is a merge, which a series cannot have"},
	} {
		tr, err := tree(t, two())
		if err != nil {
			t.Fatal(err)
		}
		test.do(tr)
		err = tr.Clean(ctx)
		if err == nil {
			_, err = tr.Patches(ctx)
		}
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenElsewhere(t *testing.T) {
	needsGit(t)
	var none *NoTree
	if _, err := Open(context.Background(), t.TempDir()); !errors.As(err, &none) {
		t.Errorf("no repository: %v", err)
	}
	dir := t.TempDir()
	if _, err := git(context.Background(), dir, nil, "init", "-q"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), dir); !errors.As(err, &none) {
		t.Errorf("another repository: %v", err)
	}
	if _, err := Open(context.Background(), dir+"/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	t.Setenv("PATH", "/none")
	if _, err := Open(context.Background(), dir); !errors.Is(err, NoGit{}) {
		t.Errorf("no git: %v", err)
	}
}

// Git's environment variables do not lead it elsewhere; a repository of another user is refused with git's own reason,
// until the user trusts it.
func TestForeign(t *testing.T) {
	needsGit(t)
	tr, err := tree(t, two())
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for _, name := range []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CEILING_DIRECTORIES"} {
		t.Setenv(name, filepath.Dir(tr.Dir))
	}
	if _, err := Open(ctx, tr.Dir); err != nil {
		t.Errorf("with git's variables set: %v", err)
	}
	real, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	bin, home := t.TempDir(), t.TempDir()
	script := "#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec " + real + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	var foreign *Foreign
	if _, err := Open(ctx, tr.Dir); !errors.As(err, &foreign) || foreign.Dir != tr.Dir ||
		foreign.Hint() != "git config --global --add safe.directory "+tr.Dir {
		t.Errorf("of another user: %v", err)
	}
	write(t, home, map[string]string{".gitconfig": "[safe]\n\tdirectory = /none\n"})
	if _, err := Open(ctx, tr.Dir); !errors.As(err, &foreign) {
		t.Errorf("another directory is trusted: %v", err)
	}
	write(t, home, map[string]string{".gitconfig": "[safe]\n\tdirectory = /none\n\tdirectory = " + tr.Dir + "\n"})
	if _, err := Open(ctx, tr.Dir); err != nil {
		t.Errorf("a trusted directory: %v", err)
	}
}

// A repository that git cannot read is one, and the reason is git's.
func TestOpenBroken(t *testing.T) {
	needsGit(t)
	tr, err := tree(t, two())
	if err != nil {
		t.Fatal(err)
	}
	write(t, tr.Git, map[string]string{"config": "[core\n"})
	if _, err := Open(context.Background(), tr.Dir); err == nil || !strings.Contains(err.Error(), "bad config line 1") {
		t.Errorf("a broken configuration: %v", err)
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "patches")
	old := []Patch{{"0001-a.patch", []byte("a")}, {"0002-b.patch", []byte("b")}}
	list := []Patch{{"0001-a.patch", []byte("A")}, {"0002-c.patch", []byte("c")}}
	changes, err := Write(dir, old, "another")
	if err != nil || len(changes) != 2 {
		t.Fatalf("into a new directory: %v, %v", changes, err)
	}
	write(t, dir, map[string]string{"0000-cover-letter.txt": "cover"})
	var moved *Moved
	if _, err := Write(dir, list, Hash(list)); !errors.As(err, &moved) {
		t.Errorf("over another series: %v", err)
	}
	if got, _ := Read(os.DirFS(dir), dir); Hash(got) != Hash(old) {
		t.Error("a refused series was written")
	}
	changes, err = Write(dir, list, Hash(old))
	if want := []Change{{"0001-a.patch", Changed}, {"0002-b.patch", Removed}, {"0002-c.patch", Added}}; err != nil ||
		!slices.Equal(changes, want) {
		t.Errorf("%v, %v", changes, err)
	}
	if got, _ := Read(os.DirFS(dir), dir); Hash(got) != Hash(list) {
		t.Errorf("written: %v", got)
	}
	if changes, err := Write(dir, list, "another"); err != nil || len(changes) != 0 {
		t.Errorf("the same again: %v, %v", changes, err)
	}
	if changes, err := Write(dir, old, ""); err != nil || len(changes) != 3 {
		t.Errorf("over anything: %v, %v", changes, err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "0000-cover-letter.txt")); string(text) != "cover" {
		t.Error("another file was touched")
	}
	var empty *Empty
	if _, err := Read(os.DirFS(t.TempDir()), "x"); !errors.As(err, &empty) {
		t.Errorf("no patches: %v", err)
	}
}
