package pins

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ukl/nixexprs"
)

// placed demands that an error is one of a lock's text, at a place inside of it.
func placed(t *testing.T, err error, text string) {
	t.Helper()
	var s *SyntaxError
	if !errors.As(err, &s) {
		t.Fatalf("%T: %v", err, err)
	}
	if s.Line < 1 || s.Line > strings.Count(text, "\n")+1 || s.Column < 1 || strings.Contains(s.Text, "\n") {
		t.Errorf("%q: a place outside of the text, or more than a line", err)
	}
}

// small is a lock that is accepted.
const small = `{"version": 2, "about": "", "suite": "s", "architecture": "amd64", "snapshot": "20060102T150405Z",
  "go": {"version": "1", "archive": "0000000000000000000000000000000000000000000000000000000000000000", "narHash": "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
  "modules": {"goSum": "", "narHash": "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
  "stage0": {"narHash": "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
  "trees": {"tools": {"narHash": "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "packages": ["gcc"]}},
  "sources": {"linux": "gcc"},
  "packages": {"gcc": {"version": "1:2~3", "archive": "security", "path": "pool/main/g/gcc.deb", "sha256": "0000000000000000000000000000000000000000000000000000000000000000", "size": 7}}}
`

func FuzzLock(f *testing.F) {
	f.Add(small)
	f.Add(strings.Replace(small, `"version": 2,`, `"version": 3, "more": [],`, 1))
	f.Add(strings.Replace(small, "gcc.deb", "../gcc.deb", 1))
	f.Add(`{"version": 2, "packages": {"a\u0022": null}}`)
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse("pins.json", []byte(text))
		if err != nil {
			placed(t, err, text)
			return
		}
		for n, p := range l.Packages {
			if strings.ContainsAny(n+p.Path+p.Version, " \n'\"$\\`") || strings.Contains(p.Path, "..") {
				t.Errorf("%s: %+v", n, p)
			}
		}
		if _, err := l.Format(); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

// The seed of FuzzLock and the lock that comes along are locks: else the fuzzing proves little.
func TestLockSeeds(t *testing.T) {
	if _, err := Parse("pins.json", []byte(small)); err != nil {
		t.Error(err)
	}
	if _, err := Load(nixexprs.FS); err != nil {
		t.Error(err)
	}
}

func FuzzOwn(f *testing.F) {
	f.Add(`{"version": 1, "wanted": ["gcc"], "packages": {"gcc": {"version": "1", "path": "pool/g.deb", "sha256": "0000000000000000000000000000000000000000000000000000000000000000", "size": 7}}}`)
	f.Add(`{"version": 2, "snapshot": "20060102T150405Z", "wanted": ["gcc"], "packages": {"gcc": {"path": "/etc/passwd"}}}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, OwnFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		o, err := LoadOwn(os.DirFS(dir), dir, Wants{Packages: []string{"gcc"}})
		if err != nil {
			if stale := new(Stale); !errors.As(err, &stale) {
				placed(t, err, text)
			}
			return
		}
		for _, p := range o.All() {
			if p.Archive == "" || !isHash(p.SHA256) || !isPoolPath(p.Path) || p.Size <= 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}
