package pins

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const checkout = "../.."

func repositoryLock(t *testing.T) (*Lock, []byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(checkout, "nixexprs", File))
	if err != nil {
		t.Fatal(err)
	}
	l, err := Parse(File, text)
	if err != nil {
		t.Fatal(err)
	}
	return l, text
}

func TestRepositoryLockIsAsWritten(t *testing.T) {
	l, text := repositoryLock(t)
	again, err := l.Format()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, again) {
		t.Error("pins.json was edited by hand: ukl pins update")
	}
}

func TestRepositoryLockFitsTheCheckout(t *testing.T) {
	l, text := repositoryLock(t)
	sum, err := SumHash(checkout)
	if err != nil {
		t.Fatal(err)
	}
	if l.Modules.GoSum != sum {
		t.Error("go.sum changed: ukl pins update --go-only")
	}
	version, err := toolchainVersion(checkout)
	if err != nil || version != l.Go.Version {
		t.Errorf("go.mod wants Go %s (%v), pinned is %s: ukl pins update", version, err, l.Go.Version)
	}
	flake, err := os.ReadFile(filepath.Join(checkout, "flake.lock"))
	if err != nil || !bytes.Contains(flake, []byte(l.Go.NarHash)) {
		t.Errorf("flake.lock does not pin Go by %s (%v)", l.Go.NarHash, err)
	}
	for _, f := range []string{"flake.lock", "flake.nix"} {
		b, err := os.ReadFile(filepath.Join(checkout, f))
		if err != nil || !bytes.Contains(b, []byte("/go"+l.Go.Version+".linux-amd64.tar.gz")) {
			t.Errorf("%s does not name Go %s (%v)", f, l.Go.Version, err)
		}
	}
	if bytes.Contains(text, []byte("://")) {
		t.Error("the lock names a host")
	}
	for _, p := range l.All() {
		if want := map[string]string{Main: "pool/main/", Security: "pool/updates/main/"}[p.Archive]; !strings.HasPrefix(p.Path, want) {
			t.Errorf("%s: %s is not in the archive %s", p, p.Path, p.Archive)
		}
		if len(p.Groups) == 0 {
			t.Errorf("%s: nothing needs it", p)
		}
	}
}

func TestDefaultMirrorIsTheExpressions(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(checkout, "nixexprs", "default.nix"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`main = "` + DefaultMirror + `";`, `security = "${main}-security";`, `backports = main;`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("default.nix lacks %s", want)
		}
	}
	if got, want := archiveAt(DefaultMirror, Security), DefaultMirror+"-security"; got != want {
		t.Errorf("the security archive is at %s, not at %s", got, want)
	}
}

// Store paths computed by Nix 2.8 itself: nix-store --print-fixed-path, nix-instantiate.
func TestStorePaths(t *testing.T) {
	bash := Pin{Path: "pool/main/b/bash/bash_5.2.15-2+b13_amd64.deb", SHA256: "82130bb6a560cd2a7234d8018baf73f188f5dd56413d5aa0accc987b2197a6a1"}
	if got, want := bash.StorePath(), bashPath; got != want {
		t.Errorf("flat: %s, want %s", got, want)
	}
	if got, want := narPath("sha256-2K2SbG1izp0sk1F0iFm06B9yjumIe1+Ds7UNH1wX00M=", "source"), "/nix/store/mj77c2x82y4gc3kvfp8g7y1xzs12bfl9-source"; got != want {
		t.Errorf("nar: %s, want %s", got, want)
	}
	tilde := Pin{Path: "pool/main/d/debianutils/debianutils_5.7-0.5~deb12u1_amd64.deb"}
	if got, want := tilde.FileName(), "debianutils_5.7-0.5-deb12u1_amd64.deb"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestParseNamesThePlace(t *testing.T) {
	_, text := repositoryLock(t)
	good := string(text)
	bash := regexp.MustCompile(`"bash": \{[^}]*\}`).FindString(good)
	for _, c := range []struct{ name, from, to, want string }{
		{"newer", `"version": 2,`, `"version": 3,`, `pins.json:2:3: lock version 3 is newer than this ukl, which knows 2`},
		{"newer with new fields", `"version": 2,`, `"version": 7, "planet": "Mars",`, `lock version 7 is newer`},
		{"older", `"version": 2,`, `"version": 1,`, `pins.json:2:3: no version, or not 2`},
		{"no version", `"version": 2,`, `"version": 0,`, `pins.json:2:3: no version`},
		{"unknown key", `"suite"`, `"suit"`, `unknown field "suit"`},
		{"broken", `"suite": `, `"suite" `, `pins.json:4:11: invalid character`},
		{"cut", good[len(good)/2:], ``, `unexpected EOF`},
		{"more text", "  }\n}\n", "  }\n}\n{}", `text after the lock's end`},
		{"hash", bash, `"bash": {"version": "5", "archive": "main", "path": "pool/main/b/bash/b.deb", "sha256": "00", "size": 1}`, `bash: "00" is no SHA-256`},
		{"path", bash, `"bash": {"version": "5", "archive": "main", "path": "pool/../../etc/x.deb", "sha256": "` + strings.Repeat("0", 64) + `", "size": 1}`, `is no path in a pool`},
		{"host", bash, `"bash": {"version": "5", "archive": "main", "path": "https://x/pool/x.deb", "sha256": "` + strings.Repeat("0", 64) + `", "size": 1}`, `is no path in a pool`},
		{"option as version", bash, `"bash": {"version": "5 -o x=y", "archive": "main", "path": "pool/x.deb", "sha256": "` + strings.Repeat("0", 64) + `", "size": 1}`, `is no version`},
		{"package gone", bash + ",", ``, `package bash has no pin`},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		if text == good {
			t.Fatalf("%s: nothing to replace", c.name)
		}
		_, err := Parse(File, []byte(text))
		var place *SyntaxError
		if !errors.As(err, &place) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
			continue
		}
		if place.Line < 2 && c.name != "more text" {
			t.Errorf("%s: no line in %v", c.name, err)
		}
	}
}

func TestWriteReplacesWhole(t *testing.T) {
	l, text := repositoryLock(t)
	dir := t.TempDir()
	if err := l.Write(dir); err != nil {
		t.Fatal(err)
	}
	l.Packages["bash"] = Package{Version: "no version", Path: "x", SHA256: "y", Size: 1}
	if err := l.Write(dir); err == nil {
		t.Error("a lock that does not parse was written")
	}
	got, _ := os.ReadFile(filepath.Join(dir, File))
	if !bytes.Equal(got, text) {
		t.Error("a failed write left its mark")
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files left behind", len(files))
	}
}

func TestWriteFlake(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"flake.nix", "flake.lock"} {
		b, err := os.ReadFile(filepath.Join(checkout, name))
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(dir, name), b, 0o644)
	}
	l, _ := repositoryLock(t)
	before, _ := os.ReadFile(filepath.Join(dir, "flake.lock"))
	if err := l.writeFlake(dir); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, "flake.lock")); !bytes.Equal(before, after) {
		t.Error("a right flake.lock was changed")
	}
	l.Go = Toolchain{Version: "1.99.1", NarHash: "sha256-AAAA"}
	if err := l.writeFlake(dir); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"flake.nix": 1, "flake.lock": 2} {
		b, _ := os.ReadFile(filepath.Join(dir, name))
		if got := strings.Count(string(b), "/go1.99.1.linux-amd64.tar.gz"); got != n {
			t.Errorf("%s names the version %d times, not %d", name, got, n)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "flake.lock")); !bytes.Contains(b, []byte(`"narHash": "sha256-AAAA"`)) {
		t.Errorf("flake.lock:\n%s", b)
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

const bashPath = "/nix/store/kf51zjb4izzglvakyj5a052jrssk4xlk-bash_5.2.15-2+b13_amd64.deb"
