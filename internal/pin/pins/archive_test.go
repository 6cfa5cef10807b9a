package pins

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestCheckURL(t *testing.T) {
	for _, good := range []string{
		"https://example.org/a-1.0.tar.xz", "http://127.0.0.1:80/a?x=y", "file:///a/b.tar",
		"pool/main/l/lighttpd/lighttpd_1.4.69.orig.tar.xz",
	} {
		if err := CheckURL(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "a.tar", "/a.tar", "ftp://example.org/a", "https://", "https://example.org", "https://example.org/",
		"file://host/a", "file:a", "file:///",
		"https://me:secret@example.org/a", "https://example.org/a b", "pool/../a", "pool/", "pool/a.tar\nb", "pool//a/b",
		"%zz",
	} {
		if CheckURL(bad) == nil {
			t.Errorf("%q is an address", bad)
		}
	}
}

func TestArchivePin(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for address, want := range map[string]struct{ name, path, public string }{
		"https://example.org/x/a-1.tar.xz?y=z": {"a-1.tar.xz", "", "https://example.org/x/a-1.tar.xz?y=z"},
		"pool/main/a/a_1~2.orig.tar.xz":        {"a_1~2.orig.tar.xz", "pool/main/a/a_1~2.orig.tar.xz", ""},
		"file:///home/a%20b.tar":               {"a b.tar", "", ""},
	} {
		p := Archive{address, sum}.pin()
		if p.String() != want.name || p.Path != want.path || p.Address() != want.public ||
			p.FileName() != "archive-abababababab" {
			t.Errorf("%s: %+v", address, p)
		}
		if !IsArchive(p.FileName()) || !IsArchive(p.FileName()+".drv") || IsArchive("archive-notes") ||
			IsArchive("abababababab") {
			t.Error("IsArchive")
		}
	}
	own, err := LoadOwn(fstest.MapFS{}, "", Wants{Archive: &Archive{"file:///a", sum}})
	if err != nil || len(own.All()) != 1 || len(own.InPlan([]string{"/nix/store/x-archive-abababababab.drv"})) != 1 ||
		len(own.InPlan([]string{"/nix/store/x-archive-cdcdcdcdcdcd.drv"})) != 0 {
		t.Errorf("%+v %v", own, err)
	}
}

func TestFetchArchive(t *testing.T) {
	b := content(1)
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path != "/a.tar" && r.URL.Path != "/debian/pool/main/a.tar" {
			http.NotFound(w, r)
			return
		}
		w.Write(b)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	fetch := func(address, sum string, change func(*Options)) error {
		o := Options{Dir: t.TempDir(), Mirror: server.URL + "/debian", Local: true}
		if change != nil {
			change(&o)
		}
		s := &fakeStore{has: map[string]bool{}}
		p := Archive{address, sum}.pin()
		err := Fetch(context.Background(), s, []Pin{p}, o, nil)
		if s.has[p.StorePath()] != (err == nil) {
			t.Errorf("%s: %v, and the store has %v", address, err, s.has)
		}
		if left, _ := os.ReadDir(o.Dir); len(left) > 0 {
			t.Errorf("%s: %q is left", address, left[0].Name())
		}
		return err
	}
	for _, address := range []string{server.URL + "/a.tar", "file://" + file, "pool/main/a.tar"} {
		if err := fetch(address, digest(b), nil); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		var wrong *Mismatch
		if err := fetch(address, digest(nil), nil); !errors.As(err, &wrong) || wrong.Got != digest(b) ||
			strings.Contains(err.Error(), "(0 bytes)") {
			t.Errorf("%s: %v", address, err)
		}
	}
	var none *Unavailable
	for _, address := range []string{server.URL + "/b.tar", "file://" + file + "x"} {
		if err := fetch(address, digest(b), nil); !errors.As(err, &none) || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v", address, err)
		}
	}
	// Whoever wants no network, or only seeds, gets none.
	asked = 0
	for name, change := range map[string]func(*Options){
		"no mirror":  func(o *Options) { o.Mirror = NoMirror },
		"seeds only": func(o *Options) { o.Mirror, o.NoPublic = "", true },
	} {
		if err := fetch(server.URL+"/a.tar", digest(b), change); !errors.As(err, &none) || asked > 0 {
			t.Errorf("%s: %v, after %d requests", name, err, asked)
		}
	}
}

// Nobody who writes a ukl.toml sends this machine to its own services or makes it read its own files, by a name or a
// redirection neither. What the user names is not concerned, nor what is in the application's directory.
func TestFetchLocal(t *testing.T) {
	b := content(1)
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Write(b)
	}))
	defer server.Close()
	dir := t.TempDir()
	app, outside := filepath.Join(dir, "app"), filepath.Join(dir, "a.tar")
	if err := os.Mkdir(app, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{outside, filepath.Join(app, "a.tar")} {
		if err := os.WriteFile(f, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(app, "link.tar")); err != nil {
		t.Fatal(err)
	}
	fetch := func(address string, allowed bool) error {
		own, err := LoadOwn(fstest.MapFS{}, app, Wants{Archive: &Archive{address, digest(b)}})
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Dir: t.TempDir(), Mirror: server.URL + "/debian", NoApt: true, Local: allowed}
		return Fetch(context.Background(), &fakeStore{has: map[string]bool{}}, own.All(), o, nil)
	}
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	for _, address := range []string{
		server.URL + "/a.tar", "http://localhost" + port + "/a.tar", "http://[::ffff:127.0.0.1]" + port + "/a.tar",
		"http://169.254.169.254/latest/meta-data", "file://" + outside, "file://" + app + "/link.tar",
		"file://" + app + "/../a.tar", "file:///proc/kmsg",
	} {
		var local *Local
		if err := fetch(address, false); !errors.As(err, &local) || !strings.Contains(err.Error(), "you have not allowed") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if asked > 0 {
		t.Errorf("%d requests were made", asked)
	}
	for address, allowed := range map[string]bool{
		server.URL + "/a.tar": true, "file://" + outside: true, "file://" + app + "/a.tar": false, "pool/main/a.tar": false,
	} {
		if err := fetch(address, allowed); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	// Who is asked may allow it, once for a file and once for an address.
	for _, yes := range []bool{false, true} {
		for _, address := range []string{server.URL + "/a.tar", "file://" + outside} {
			var questions []string
			o := Options{Dir: t.TempDir(), NoApt: true, Mirror: server.URL + "/debian", Ask: func(l *Local) bool {
				questions = append(questions, l.From)
				return yes
			}}
			own := Own{Archive: &Archive{address, digest(b)}}
			err := Fetch(context.Background(), &fakeStore{has: map[string]bool{}}, own.All(), o, nil)
			if (err == nil) != yes || len(questions) != 1 {
				t.Errorf("%s: asked %q, answered %t: %v", address, questions, yes, err)
			}
		}
	}
	var none *Unavailable
	err := fetch("file:///proc/self/mounts", true)
	if !errors.As(err, &none) || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("a file of /proc: %v", err)
	}
}

// A redirection leads to this machine no more than an address does. The user's proxy is asked wherever it is, but not
// for this machine.
func TestStranger(t *testing.T) {
	reached := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer server.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			http.Redirect(w, r, server.URL, http.StatusFound)
		}
	}))
	defer proxy.Close()
	c := &http.Client{Transport: guarded(func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "127.0.0.1" { // as the environment says of loopback addresses
			return nil, nil
		}
		return url.Parse(proxy.URL)
	})}
	for address, refused := range map[string]bool{
		"http://example.org/": false, "http://example.org/elsewhere": true, server.URL: true, "http://169.254.169.254/": true,
	} {
		resp, err := c.Get(address)
		if err == nil {
			resp.Body.Close()
		}
		var local *Local
		if errors.As(err, &local) != refused || !refused && err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	if reached > 0 {
		t.Errorf("%d requests came to this machine", reached)
	}
}
