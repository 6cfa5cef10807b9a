package pins

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeStore holds what was added, by store path.
type fakeStore struct{ has map[string]bool }

func (s *fakeStore) Invalid(_ context.Context, paths []string) ([]string, error) {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return s.has[p] }), nil
}

func (s *fakeStore) AddFixed(_ context.Context, recursive bool, files []string) ([]string, error) {
	var out []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		p := fixedPath("flat", digest(b), filepath.Base(f))
		s.has[p] = true
		out = append(out, p)
	}
	return out, nil
}

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func content(i int) []byte { return []byte(strings.Repeat(fmt.Sprintf("package %d\n", i), 1000)) }

func somePins(n int) []Pin {
	var out []Pin
	for i := range n {
		b := content(i)
		out = append(out, Pin{Name: fmt.Sprint("p", i), Version: "1", Path: fmt.Sprintf("pool/main/p/p%d_1_all.deb", i), SHA256: digest(b), Size: int64(len(b))})
	}
	return out
}

// mirror serves pins 0..n-1; bad names the one whose content is wrong, -1 none. It counts requests.
func mirror(t *testing.T, n, bad int) (string, *int) {
	t.Helper()
	var mu sync.Mutex
	count := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		count++
		mu.Unlock()
		for i := range n {
			if r.URL.Path == fmt.Sprintf("/debian/pool/main/p/p%d_1_all.deb", i) {
				b := content(i)
				if i == bad {
					b[0] = 'P'
				}
				w.Write(b)
				return
			}
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/debian/", &count
}

func options(t *testing.T) Options {
	return Options{Dir: t.TempDir(), NoApt: true, NoPublic: true}
}

func TestFetchFromMirror(t *testing.T) {
	pins := somePins(10)
	o := options(t)
	var requests *int
	o.Mirror, requests = mirror(t, 10, -1)
	s := &fakeStore{map[string]bool{}}
	var last Progress
	if err := Fetch(context.Background(), s, pins, o, func(p Progress) { last = p }); err != nil {
		t.Fatal(err)
	}
	for _, p := range pins {
		if !s.has[p.StorePath()] {
			t.Errorf("%s is not in the store", p)
		}
	}
	if last.Files != 10 || last.AllFiles != 10 || last.Bytes != last.AllBytes || last.Bytes == 0 {
		t.Errorf("progress ended at %+v", last)
	}
	if *requests != 10 {
		t.Errorf("%d requests for 10 files", *requests)
	}
	if left, _ := os.ReadDir(o.Dir); len(left) != 0 {
		t.Errorf("%d downloads left", len(left))
	}
}

func TestFetchStopsAtAWrongHash(t *testing.T) {
	o := options(t)
	o.Mirror, _ = mirror(t, 4, 2)
	s := &fakeStore{map[string]bool{}}
	pins := somePins(4)
	err := Fetch(context.Background(), s, pins, o, nil)
	var m *Mismatch
	if !errors.As(err, &m) || m.Pin.Name != "p2" || m.Got == m.Pin.SHA256 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"p2 1", pins[2].SHA256, m.Got, o.Mirror + "pool/main/p/p2_1_all.deb"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the message lacks %s: %v", want, err)
		}
	}
	if len(s.has) != 0 {
		t.Error("something was added all the same")
	}
}

func TestFetchTakesSeedsFirst(t *testing.T) {
	pins := somePins(3)
	o := options(t)
	o.Seeds = t.TempDir()
	os.Mkdir(filepath.Join(o.Seeds, "sha256"), 0o755)
	for i := range 2 {
		os.WriteFile(filepath.Join(o.Seeds, "sha256", pins[i].SHA256), content(i), 0o644)
	}
	var requests *int
	o.Mirror, requests = mirror(t, 3, -1)
	s := &fakeStore{map[string]bool{}}
	if err := Fetch(context.Background(), s, pins, o, nil); err != nil {
		t.Fatal(err)
	}
	if *requests != 1 || len(s.has) != 3 {
		t.Errorf("%d requests, %d in the store", *requests, len(s.has))
	}
	// The user's folder is the user's.
	if left, _ := os.ReadDir(filepath.Join(o.Seeds, "sha256")); len(left) != 2 {
		t.Errorf("%d of 2 seeds left", len(left))
	}
}

func TestFetchRefusesAWrongSeed(t *testing.T) {
	pins := somePins(1)
	o := options(t)
	o.Seeds = t.TempDir()
	os.Mkdir(filepath.Join(o.Seeds, "sha256"), 0o755)
	os.WriteFile(filepath.Join(o.Seeds, "sha256", pins[0].SHA256), []byte("else"), 0o644)
	o.Mirror, _ = mirror(t, 1, -1)
	err := Fetch(context.Background(), &fakeStore{map[string]bool{}}, pins, o, nil)
	var m *Mismatch
	if !errors.As(err, &m) || !strings.HasPrefix(m.Source, o.Seeds) {
		t.Errorf("got %v", err)
	}
}

func TestFetchKeepsWhatIsDone(t *testing.T) {
	pins := somePins(4)
	o := options(t)
	o.Mirror, _ = mirror(t, 3, -1) // the fourth is nowhere
	s := &fakeStore{map[string]bool{}}
	err := Fetch(context.Background(), s, pins, o, nil)
	var u *Unavailable
	if !errors.As(err, &u) || len(u.Pins) != 1 || u.Pins[0].Name != "p3" || !strings.Contains(err.Error(), "404") || u.Hint() == "" {
		t.Fatalf("got %v", err)
	}
	var requests *int
	o.Mirror, requests = mirror(t, 4, -1)
	if err := Fetch(context.Background(), s, pins, o, nil); err != nil || *requests != 1 {
		t.Errorf("the second run asked %d times: %v", *requests, err)
	}
}

func TestFetchIgnoresABrokenLeftover(t *testing.T) {
	pins := somePins(1)
	o := options(t)
	os.WriteFile(filepath.Join(o.Dir, pins[0].FileName()), []byte("half"), 0o644)
	o.Mirror, _ = mirror(t, 1, -1)
	if err := Fetch(context.Background(), &fakeStore{map[string]bool{}}, pins, o, nil); err != nil {
		t.Error(err)
	}
}

func TestFetchAsksTheNextMirrorWhenOneIsDown(t *testing.T) {
	o := options(t)
	o.Mirror = "http://127.0.0.1:1/debian"
	err := Fetch(context.Background(), &fakeStore{map[string]bool{}}, somePins(8), o, nil)
	var u *Unavailable
	if !errors.As(err, &u) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	}))
	defer s.Close()
	o := options(t)
	o.Mirror = s.URL
	if err := Fetch(ctx, &fakeStore{map[string]bool{}}, somePins(8), o, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(o.Dir, "*.part"))
	if len(left) != 0 {
		t.Errorf("left %q", left)
	}
}

func TestMissing(t *testing.T) {
	l, _ := repositoryLock(t)
	s := &fakeStore{map[string]bool{}}
	all, err := l.Missing(context.Background(), s)
	if err != nil || len(all) != len(l.Packages) {
		t.Fatalf("an empty store lacks %d of %d: %v", len(all), len(l.Packages), err)
	}
	// A tree that is there needs no packages; what another tree shares with it is still needed.
	s.has[l.TreePath("tools")] = true
	some, _ := l.Missing(context.Background(), s)
	for _, p := range some {
		if slices.Equal(p.Groups, []string{"tools"}) {
			t.Errorf("%s is fetched for a tree that is built", p)
		}
	}
	if len(some) != len(l.Of("qemu"))+len(l.Of("linux"))+len(l.Of("glibc")) {
		t.Errorf("%d missing", len(some))
	}
	s.has[l.TreePath("qemu")] = true
	for _, part := range []string{"linux", "glibc"} {
		s.has[l.Of(part)[0].StorePath()] = true
	}
	if none, _ := l.Missing(context.Background(), s); len(none) != 0 {
		t.Errorf("still missing: %v", none)
	}
}

func TestInPlan(t *testing.T) {
	l, _ := repositoryLock(t)
	bash := l.Packages["bash"]
	p := Pin{Path: bash.Path}
	got := l.InPlan([]string{"/nix/store/00000000000000000000000000000000-" + p.FileName() + ".drv", "/nix/store/00000000000000000000000000000000-glibc.drv"})
	if len(got) != 1 || got[0].Name != "bash" {
		t.Errorf("got %v", got)
	}
}

func TestFetchAsksAgainWhenTheLineBreaks(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path]++
		n := asked[r.URL.Path]
		mu.Unlock()
		for i, p := range somePins(3) {
			if r.URL.Path == "/"+p.Path {
				w.Header().Set("Content-Length", fmt.Sprint(p.Size))
				w.Write(content(i)[:p.Size/2])
				if n == 1 {
					panic(http.ErrAbortHandler)
				}
				w.Write(content(i)[p.Size/2:])
			}
		}
	}))
	defer s.Close()
	o := options(t)
	o.Mirror = s.URL
	if err := Fetch(context.Background(), &fakeStore{map[string]bool{}}, somePins(3), o, nil); err != nil {
		t.Error(err)
	}
}
