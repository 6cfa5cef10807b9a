package pins

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const checkout = "../../.."

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
	if bytes.Contains(text, []byte("://")) {
		t.Error("the lock names a host")
	}
	for _, p := range l.All() {
		if want := map[string]string{
			Main:     "pool/main/",
			Security: "pool/updates/main/",
		}[p.Archive]; !strings.HasPrefix(p.Path, want) {
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
	for _, want := range []string{
		`main = "` + DefaultMirror + `";`, `security = "${main}-security";`,
		`backports = main;`,
	} {
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
	bash := Pin{
		Path:   "pool/main/b/bash/bash_5.2.15-2+b13_amd64.deb",
		SHA256: "82130bb6a560cd2a7234d8018baf73f188f5dd56413d5aa0accc987b2197a6a1",
	}
	if got, want := bash.StorePath(), bashPath; got != want {
		t.Errorf("flat: %s, want %s", got, want)
	}
	if got, want := narPath("sha256-2K2SbG1izp0sk1F0iFm06B9yjumIe1+Ds7UNH1wX00M=",
		"source"), "/nix/store/mj77c2x82y4gc3kvfp8g7y1xzs12bfl9-source"; got != want {
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
		{
			"newer", `"version": 2,`, `"version": 3,`,
			`pins.json:2:3: lock version 3 is newer than this ukl, which reads version 2`,
		},
		{"newer with new fields", `"version": 2,`, `"version": 7, "planet": "Mars",`, `lock version 7 is newer`},
		{"older", `"version": 2,`, `"version": 1,`, `pins.json:2:3: no version, or not 2`},
		{"no version", `"version": 2,`, `"version": 0,`, `pins.json:2:3: no version`},
		{"unknown key", `"suite"`, `"suit"`, `unknown field "suit"`},
		{"broken", `"suite": `, `"suite" `, `pins.json:4:11: invalid character`},
		{"cut", good[len(good)/2:], ``, `unexpected EOF`},
		{"more text", "  }\n}\n", "  }\n}\n{}", `text after the lock's end`},
		{"hash", bash, `"bash": {"version": "5", "archive": "main", "path": "pool/main/b/bash/b.deb", "sha256": "00", "size": 1}`, `bash: "00" is not a SHA-256`},
		{"path", bash, `"bash": {"version": "5", "archive": "main", "path": "pool/../../etc/x.deb", "sha256": "` +
			strings.Repeat("0", 64) + `", "size": 1}`, `is not a path in a pool`},
		{"host", bash, `"bash": {"version": "5", "archive": "main", "path": "https://x/pool/x.deb", "sha256": "` +
			strings.Repeat("0", 64) + `", "size": 1}`, `is not a path in a pool`},
		{"option as version", bash, `"bash": {"version": "5 -o x=y", "archive": "main", "path": "pool/x.deb", "sha256": "` +
			strings.Repeat("0", 64) + `", "size": 1}`, `is not a version`},
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

// The version goes into addresses and names, and the archive is all that Nix knows of what it fetches there.
func TestToolchainIsChecked(t *testing.T) {
	l, text := repositoryLock(t)
	for from, want := range map[string]string{
		`"version":"` + l.Go.Version: `go: "../x" is not a version`,
		`"archive":"` + l.Go.Archive: `go: archive: "../x" is not a SHA-256`,
	} {
		key, _, _ := strings.Cut(from, ":")
		bad := strings.Replace(string(text), from, key+`:"../x`, 1)
		if _, err := Parse(File, []byte(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", key, err, want)
		}
	}
}

// The list of releases is asked for one file; what is not there is said in one line.
func TestPublished(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	text := `[{"version": "go1.99.1", "files": [
		{"filename": "go1.99.1.linux-arm64.tar.gz", "sha256": "` + strings.Repeat("11", 32) + `"},
		{"filename": "go1.99.1.linux-amd64.tar.gz", "sha256": "` + sum + `"},
		{"filename": "go1.99.2.linux-amd64.tar.gz", "sha256": "no hash"}]}]`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/list" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, text)
	}))
	defer server.Close()
	if got, err := published(t.Context(), server.URL+"/list", "1.99.1"); got != sum || err != nil {
		t.Errorf("%q %v, want %s", got, err, sum)
	}
	for _, c := range []struct{ list, version, want string }{
		{"/list", "1.99.0", "go1.99.0.linux-amd64.tar.gz is published at ADDRESS/list: that list does not contain it"},
		{"/list", "1.99.2", "that list does not contain it"},
		{"/other", "1.99.1", "ADDRESS/other: 404 Not Found"},
	} {
		got, err := published(t.Context(), server.URL+c.list, c.version)
		if want := strings.ReplaceAll(c.want, "ADDRESS", server.URL); got != "" || err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s of %s: %q %v, want %s", c.version, c.list, got, err, want)
		}
	}
	server.Close()
	if _, err := published(t.Context(), server.URL, "1.99.1"); err == nil || strings.Count(err.Error(), server.URL) != 1 {
		t.Errorf("without a server: %v", err)
	}
}

const bashPath = "/nix/store/kf51zjb4izzglvakyj5a052jrssk4xlk-bash_5.2.15-2+b13_amd64.deb"
