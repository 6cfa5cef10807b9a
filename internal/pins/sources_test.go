package pins

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each source says for itself whether it has a pin; the first that has ends the search. Nothing is brought.
func TestSources(t *testing.T) {
	p := Pin{Name: "x", Version: "1", Path: "pool/main/x/x_1_all.deb", SHA256: strings.Repeat("a", 64), Size: 4}
	var asked []string
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		if !strings.HasPrefix(r.URL.Path, "/has/pool/main/x/") {
			http.NotFound(w, r)
		}
	}))
	defer mirror.Close()
	seeds := t.TempDir()
	if err := os.Mkdir(filepath.Join(seeds, "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(seeds, "sha256", p.SHA256), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Seeds: seeds, Mirror: mirror.URL + "/has"}, "seeds: ok"},
		{Options{Seeds: t.TempDir(), Mirror: mirror.URL + "/has/"}, "seeds: no file sha256/" + p.SHA256 + ", " + mirror.URL + "/has/: ok"},
		{Options{Seeds: "/none", Mirror: NoMirror}, "seeds: stat /none: no such file or directory"},
		{Options{Mirror: mirror.URL}, mirror.URL + ": 404 Not Found"},
		{Options{Mirror: "http://127.0.0.1:1"}, "http://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused"},
		{Options{}, ""},
	} {
		c.o.NoApt, c.o.NoPublic = true, true
		var got []string
		for _, s := range Sources(context.Background(), p, c.o) {
			text := "ok"
			if s.Err != nil {
				text = s.Err.Error()
			}
			got = append(got, s.Name+": "+text)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%+v: %q, not %q", c.o, got, c.want)
		}
	}
	if want := "HEAD /has/pool/main/x/x_1_all.deb, HEAD /pool/main/x/x_1_all.deb"; strings.Join(asked, ", ") != want {
		t.Errorf("asked: %q", asked)
	}
}
