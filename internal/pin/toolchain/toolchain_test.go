package toolchain

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// read gives the files below dir with "*" after the text of those that may be executed.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if fi, err := d.Info(); err == nil && fi.Mode()&0o111 != 0 {
			b = append(b, '*')
		}
		name, err := filepath.Rel(dir, file)
		files[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// As cmd/distpack has it: no api, doc, misc and test at the top, go.mod renamed, programs executable.
func TestLay(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "out")
	write(t, from, map[string]string{
		"VERSION": "v", "api/x": "x", "doc/x": "x", "misc/x": "x", "test/x": "x", "src/go.mod": "m", "src/cmd/go.mod": "c",
		"src/cmd/doc/main.go": "d", "src/all.bash": "b", "bin/go": "g", "pkg/tool/linux_amd64/vet": "v",
		"pkg/include/x.h": "h",
	})
	want := map[string]string{
		"VERSION": "v", "src/_go.mod": "m", "src/cmd/_go.mod": "c", "src/cmd/doc/main.go": "d", "src/all.bash": "b",
		"bin/go":                   "g*",
		"pkg/tool/linux_amd64/vet": "v*", "pkg/include/x.h": "h",
	}
	if err := Lay(from, to); err != nil {
		t.Fatal(err)
	}
	if got := read(t, to); !maps.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if err := Lay(from, to); err == nil {
		t.Error("files that were there have been written to")
	}
	if err := os.Symlink("VERSION", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	err := Lay(from, filepath.Join(t.TempDir(), "out"))
	if err == nil || !strings.Contains(err.Error(), "link: not a regular file") {
		t.Errorf("a link: %v", err)
	}
}

func TestProxyFile(t *testing.T) {
	for line, want := range map[string]string{
		"github.com/BurntSushi/toml v1.6.0 h1:x=":        "github.com/!burnt!sushi/toml/@v/v1.6.0.zip",
		"github.com/BurntSushi/toml v1.6.0/go.mod h1:x=": "github.com/!burnt!sushi/toml/@v/v1.6.0.mod",
	} {
		if got, err := proxyFile(line); got != want || err != nil {
			t.Errorf("%s: %s %v, want %s", line, got, err, want)
		}
	}
	if _, err := proxyFile("nonsense"); err == nil {
		t.Error("nonsense was read")
	}
}

// fakeGo is a go command whose module cache is $CACHE, and which unpacks a toolchain from the proxy that it is told of.
const fakeGo = `#!/bin/sh
case "$*" in
  "env GOMODCACHE GOPROXY") printf '%s\n%s\n' "$CACHE" http://proxy ;;
  "env GOMODCACHE") echo "$GOMODCACHE" ;;
  "mod download golang.org/toolchain"*)
    [ "$GOPROXY" = "file://$CACHE/cache/download,http://proxy" ] || { echo "GOPROXY=$GOPROXY" >&2; exit 1; }
    [ -z "$SUMS" ] || [ -e "$GOMODCACHE/cache/download/sumdb/x/latest" ] || exit 1
    mkdir -p "$GOMODCACHE/$3/bin" && echo go >"$GOMODCACHE/$3/bin/go" ;;
  "mod download "*) [ ! -e "$PWD/main.go" ] && echo "$*" >"$CACHE/asked" ;;
  "mod graph") [ -z "$BROKEN" ] || { printf 'first\ngo: x@v1: x509: unknown\n' >&2; exit 1; } ;;
  *) exit 9 ;;
esac
`

func command(t *testing.T, env ...string) (c Command, cache string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "go")
	if err := os.WriteFile(file, []byte(fakeGo), 0o755); err != nil {
		t.Fatal(err)
	}
	return Command{file, append(env, "CACHE="+dir, "GOMODCACHE="+dir)}, dir
}

// What a go command wrote into the toolchain of the host's module cache does not get into ours.
func TestDownloadIsPristine(t *testing.T) {
	c, cache := command(t)
	write(t, cache, map[string]string{Module("1.99.1") + "/src/go.mod": "dirt"})
	dir, err := c.Download(t.Context(), "1.99.1", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, dir), map[string]string{"bin/go": "go\n*"}; !maps.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// Without a network, the host's part of the checksum database has to do.
	c.Env = append(c.Env, "SUMS=yes")
	if _, err := c.Download(t.Context(), "1.99.1", t.TempDir()); err == nil {
		t.Error("a database that is not there was found")
	}
	write(t, cache, map[string]string{"cache/download/sumdb/x/latest": "1"})
	if _, err := c.Download(t.Context(), "1.99.1", t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestModules(t *testing.T) {
	c, cache := command(t)
	checkout, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	write(t, checkout, map[string]string{
		"go.mod": "module x\n", "main.go": "package main\n",
		"go.sum": "a.b/C v1 h1:x=\na.b/C v1/go.mod h1:x=\nd v2/go.mod h1:x=\n",
	})
	files := map[string]string{"a.b/!c/@v/v1.zip": "z", "a.b/!c/@v/v1.mod": "m", "d/@v/v2.mod": "d"}
	write(t, filepath.Join(cache, "cache/download"), files)
	write(t, filepath.Join(cache, "cache/download"), map[string]string{"a.b/!c/@v/v1.info": "i", "e/@v/v1.zip": "e"})
	if err := c.Modules(t.Context(), checkout, out); err != nil {
		t.Fatal(err)
	}
	if got := read(t, out); !maps.Equal(got, files) {
		t.Errorf("%q, want %q", got, files)
	}
	if asked, _ := os.ReadFile(filepath.Join(cache, "asked")); string(asked) != "mod download a.b/C@v1\n" {
		t.Errorf("asked for %q", asked)
	}
	if left := slices.Collect(maps.Keys(read(t, checkout))); len(left) != 3 {
		t.Errorf("the checkout has %q", left)
	}
	c.Env = append(c.Env, "BROKEN=yes")
	err := c.Modules(t.Context(), checkout, filepath.Join(t.TempDir(), "out"))
	if err == nil || err.Error() != "go mod graph: go: x@v1: x509: unknown" {
		t.Errorf("%v", err)
	}
}

func TestProxy(t *testing.T) {
	if got := Proxy("/a b/c,d|e%f#?/ö'"); got != "file:///a%20b/c%2Cd%7Ce%25f%23%3F/%C3%B6%27" {
		t.Error(got)
	}
}
