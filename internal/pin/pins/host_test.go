package pins

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseMirrors(t *testing.T) {
	const text = `'cdrom:[Debian]/dists/bookworm/InRelease' x 0
'https://deb.example.org/dists/nodistro/InRelease' x 0
'http://one.example.org/ubuntu/dists/noble/InRelease' x 0
'http://two.example.org/debian/dists/trixie/InRelease' x 0
'http://two.example.org/debian/dists/trixie-updates/InRelease' x 0
'http://two.example.org/debian/dists/trixie/main/binary-amd64/Packages.xz' x 0
'http://two.example.org/debian-security/dists/trixie-security/InRelease' x 0
'mirror+file:/etc/apt/mirrors/debian.list/dists/bookworm/InRelease' x 0
'mirror+file:/etc/apt/none.list/dists/bookworm/InRelease' x 0
'file:/srv/debian/dists/bookworm-security/updates/InRelease' x 0
Reading package lists...
`
	read := func(name string) ([]byte, error) {
		if name != "/etc/apt/mirrors/debian.list" {
			return nil, fs.ErrNotExist
		}
		return []byte("# ours\nhttps://three.example.org/debian/\tpriority:1\n\nhttps://four.example.org/debian\n"), nil
	}
	want := []string{
		"https://three.example.org/debian false", "https://four.example.org/debian false", "copy:/srv/debian true",
		"http://two.example.org/debian false", "http://two.example.org/debian-security true",
		"https://deb.example.org false", "http://one.example.org/ubuntu false",
	}
	var got []string
	for _, m := range parseMirrors(text, read) {
		got = append(got, fmt.Sprint(m.address, " ", m.security()))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	// A host of unstable has no security archive: it is looked for beside its own.
	sid := parseMirrors("'http://x.example.org/debian/dists/sid/InRelease' x 0\n'http://y.example.org/debian/dists/noble/InRelease' x 0\n", read)
	if len(sid) != 3 || sid[2].address != "http://x.example.org/debian-security" || !sid[2].security() {
		t.Errorf("got %+v", sid)
	}
	if parseMirrors("E: no\n", read) != nil {
		t.Error("a mirror out of nothing")
	}
}

// hostApt makes the host's apt look at archives of ours: ADDRESS SUITE each. lists says what package lists it has:
// "empty", or "old" ones, which know none of the pins.
func hostApt(t *testing.T, lists string, archives ...string) {
	t.Helper()
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("this machine has no apt")
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var sources strings.Builder
	for _, a := range archives {
		address, suite, _ := strings.Cut(a, " ")
		fmt.Fprintf(&sources, "deb [trusted=yes] %s %s main\n", address, suite)
		if lists == "old" {
			name := "lists/" + strings.NewReplacer("/", "_").Replace(strings.TrimPrefix(address, "http://")) + "_dists_" + suite
			write(name+"_InRelease", "Origin: Debian\nSuite: oldstable\nCodename: "+suite+
				"\nDate: Thu, 01 Jan 1998 00:00:00 UTC\n")
			write(name+"_main_binary-amd64_Packages",
				"Package: p0\nVersion: 0.1\nArchitecture: all\nFilename: pool/p0_0.1_all.deb\nSize: 1\n"+
					"SHA256: "+strings.Repeat("0", 64)+"\n\n")
		}
	}
	write("lists/partial/.keep", "")
	write("sources.list", sources.String())
	write("apt.conf", fmt.Sprintf("Dir::Etc::SourceList \"%[1]s/sources.list\";\nDir::Etc::SourceParts \"/dev/null\";\n"+
		"Dir::State::lists \"%[1]s/lists\";\nDir::Cache \"%[1]s\";\nAcquire::Languages \"none\";\n", dir))
	t.Setenv("APT_CONFIG", filepath.Join(dir, "apt.conf"))
}

// aptOptions ask apt's mirrors alone.
func aptOptions(t *testing.T) Options {
	return Options{Dir: t.TempDir(), Mirror: NoMirror, Stall: time.Second}
}

// Package lists do not matter: old ones, or none at all. The security archive's pins come from the security archive.
func TestFetchFromAptsMirrors(t *testing.T) {
	for _, lists := range []string{"old", "empty"} {
		pins := somePins(9)
		for i := 3; i < 9; i += 3 {
			pins[i].Archive = Security
		}
		p := newPool(t, 9, nil)
		hostApt(t, lists, p.base+"/debian bookworm", p.base+"/security bookworm-security")
		o := aptOptions(t)
		if notes, err := fetchAll(t, pins, o); err != nil || len(notes) != 0 {
			t.Errorf("%s lists: %v, %q", lists, err, notes)
		}
		asked := p.requests()
		for i, pin := range pins {
			at := map[string]string{Main: "/debian/", Security: "/security/"}[pin.Archive] + pin.Path
			if n := strings.Count(strings.Join(asked, "\n")+"\n", at+"\n"); n != 1 {
				t.Errorf("%s lists: %s was asked for %d times, pin %d", lists, at, n, i)
			}
		}
		if left, _ := os.ReadDir(o.Dir); len(left) != 0 {
			t.Errorf("%s lists: left behind: %v", lists, left)
		}
	}
}

// Another mirror has what apt's mirrors lack or spoil. One that is down, or falls silent, is skipped and named.
func TestFetchGoesOnAfterAptsMirrors(t *testing.T) {
	for _, c := range []struct {
		name, note string
		fault      func(string, int) string
	}{
		{"lost one", "", of("p4_1_all.deb", "gone")},
		{"lost all", "", always("gone")},
		{"changed", "", of("p4_1_all.deb", "wrong")},
		{"page", "", of("p4_1_all.deb", "page")},
		{"silent", "Connection timed out", of("p4_1_all.deb", "silent")},
		{"unavailable", "503", always("unavailable")},
		{"cut", "is skipped", always("cut")}, // in words that depend on where it broke
	} {
		bad, good := newPool(t, 6, c.fault), newPool(t, 6, nil)
		hostApt(t, "empty", bad.base+"/debian bookworm")
		o := aptOptions(t)
		o.Mirror, o.NoPublic = good.base+"/debian", true
		notes, err := fetchAll(t, somePins(6), o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.note == "" && len(notes) != 0 || c.note != "" && (len(notes) != 1 ||
			!strings.HasPrefix(notes[0], bad.base+"/debian is skipped: ") || !strings.Contains(notes[0], c.note)) {
			t.Errorf("%s: %q", c.name, notes)
		}
	}
	hostApt(t, "empty", "http://127.0.0.1:1/debian bookworm")
	good := newPool(t, 2, nil)
	o := aptOptions(t)
	o.Mirror, o.NoPublic = good.base+"/debian", true
	if notes, err := fetchAll(t, somePins(2), o); err != nil || len(notes) != 1 ||
		!strings.Contains(notes[0], "onnection refused") {
		t.Errorf("%v, %q", err, notes)
	}
}

// A derivative of Debian may have another file at the same path: only if nobody has the pinned one is that an error.
func TestFetchTellsOfAnotherFileAtThePath(t *testing.T) {
	p := newPool(t, 2, of("p1_1_all.deb", "wrong"))
	hostApt(t, "empty", p.base+"/debian bookworm")
	_, err := fetchAll(t, somePins(2), aptOptions(t))
	var wrong *Mismatch
	if !errors.As(err, &wrong) || wrong.Pin.Name != "p1" || wrong.Source != p.base+"/debian/"+wrong.Pin.Path ||
		wrong.Got == wrong.Pin.SHA256 {
		t.Errorf("got %v", err)
	}
}

// A file: archive is copied from.
func TestFetchFromALocalArchive(t *testing.T) {
	root := filepath.Join(t.TempDir(), "debian")
	for i, p := range somePins(2) {
		file := filepath.Join(root, p.Path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content(i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	hostApt(t, "empty", "file:"+root+" bookworm")
	if notes, err := fetchAll(t, somePins(2), aptOptions(t)); err != nil || len(notes) != 0 {
		t.Errorf("%v, %q", err, notes)
	}
	if _, err := os.Stat(filepath.Join(root, somePins(1)[0].Path)); err != nil {
		t.Error(err)
	}
}

// unsigned serves files of archives without signatures, by path, and makes them the only ones of the host's apt. It has
// nothing of the paths that begin with one of missing. It returns the server's address.
func unsigned(t *testing.T, files map[string]string, missing []string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := files[r.URL.Path]
		if !ok || slices.ContainsFunc(missing, func(m string) bool { return strings.HasPrefix(r.URL.Path, m) }) {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte(text))
	}))
	t.Cleanup(s.Close)
	hostApt(t, "empty", s.URL+"/debian bookworm", s.URL+"/debian-security bookworm-security")
	f, err := os.OpenFile(os.Getenv("APT_CONFIG"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("Acquire::AllowInsecureRepositories \"true\";\nAPT::Get::AllowUnauthenticated \"true\";\n"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return s.URL
}
