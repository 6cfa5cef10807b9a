package pins

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
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
		o := Options{Dir: t.TempDir(), Mirror: server.URL + "/debian"}
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
