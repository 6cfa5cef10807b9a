package pins

import (
	"errors"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func TestLoadOwn(t *testing.T) {
	lock := `{"version": 2, "snapshot": "20060102T150405Z", "wanted": ["libx-dev"], "packages": {}}`
	files := fstest.MapFS{OwnFile: {Data: []byte(lock)}}
	if o, err := LoadOwn(files, "/a", Wants{Packages: []string{"libx-dev"}}); err != nil || len(o.Wanted) != 1 {
		t.Errorf("%v %v", o, err)
	}
	if _, err := LoadOwn(nil, "", Wants{}); err != nil {
		t.Errorf("an application without packages needs no lock: %v", err)
	}
	for name, without := range map[string]fs.FS{"no lock": fstest.MapFS{}, "another package": files} {
		var stale *Stale
		for _, w := range []Wants{{Packages: []string{"liby-dev"}}, {Root: []string{"liby-dev"}}} {
			if _, err := LoadOwn(without, "/a", w); !errors.As(err, &stale) ||
				err.Error() != "/a/ukl.lock has no pin of liby-dev" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// The packages of a root file system are a list of their own.
func TestLoadOwnRoot(t *testing.T) {
	const pin = `{"version": "1", "archive": "main", "path": "pool/main/x/x.deb", "sha256": ` +
		`"0000000000000000000000000000000000000000000000000000000000000000", "size": 7}`
	const text = `{"version": 2, "snapshot": "20060102T150405Z", "wanted": [], "packages": {},
		"root": {"wanted": ["xx"], "packages": {"xx": ` + pin + `}}}`
	files := fstest.MapFS{OwnFile: {Data: []byte(text)}}
	o, err := LoadOwn(files, "/a", Wants{Root: []string{"xx"}})
	if err != nil || len(o.Root.Packages) != 1 || len(o.Packages) != 0 || len(o.All()) != 1 {
		t.Errorf("%+v %v", o, err)
	}
	dir := t.TempDir()
	if err := o.Write(dir); err != nil {
		t.Fatal(err)
	}
	if again, err := LoadOwn(os.DirFS(dir), dir, Wants{Root: []string{"xx"}}); err != nil || !reflect.DeepEqual(o, again) {
		t.Errorf("%+v %v, want %+v", again, err, o)
	}
	if o, err = LoadOwn(files, "/a", Wants{Packages: []string{"xx"}}); err == nil {
		t.Errorf("a package of the root is none of the build: %+v", o)
	}
	files[OwnFile].Data = []byte(strings.Replace(text, `"archive": "main"`, `"archive": "else"`, 1))
	if _, err = LoadOwn(files, "/a", Wants{Root: []string{"xx"}}); err == nil ||
		!strings.Contains(err.Error(), `/a/ukl.lock:2:`) {
		t.Errorf("got %v", err)
	}
}

// A lock of version 1 knew only the archive of the release, and no snapshot.
func TestLoadOwnOfVersion1(t *testing.T) {
	const text = `{"version": VERSION, "wanted": ["xx"], "packages": {"xx": {"version": "1", ARCHIVE
		"path": "pool/main/x/x.deb", "sha256": "0000000000000000000000000000000000000000000000000000000000000000", "size": 7}}}`
	for _, c := range []struct{ version, archive, bad string }{
		{`1`, ``, ``},
		{`2, "snapshot": "20060102T150405Z"`, `"archive": "security",`, ``},
		{
			`2, "snapshot": "20060102T150405Z"`, ``,
			`/a/ukl.lock:1:79: xx: "" is not an archive: want main, security or backports`,
		},
		{`2, "snapshot": "20060102T150405Z"`, `"archive": "else",`, `"else" is not an archive`},
		{`2`, `"archive": "main",`, `"" is not the time of a snapshot`},
		{`3`, `"archive": "main",`, `lock version 3: this ukl reads versions 1 and 2`},
	} {
		files := fstest.MapFS{OwnFile: {Data: []byte(strings.NewReplacer("VERSION", c.version, "ARCHIVE",
			c.archive).Replace(text))}}
		o, err := LoadOwn(files, "/a", Wants{Packages: []string{"xx"}})
		switch {
		case c.bad != "":
			if err == nil || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("%+v: %v", c, err)
			}
		case err != nil:
			t.Errorf("%+v: %v", c, err)
		case o.All()[0].Archive != map[string]string{"1": Main}[c.version] && o.All()[0].Archive != Security:
			t.Errorf("%+v: %+v", c, o.All())
		}
	}
}
