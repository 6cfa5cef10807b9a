package pins

import (
	"bytes"
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
	"time"
)

// fakeStore holds what was added, by store path.
type fakeStore struct {
	mu  sync.Mutex
	has map[string]bool
}

func newStore() *fakeStore { return &fakeStore{has: map[string]bool{}} }

func (s *fakeStore) Invalid(_ context.Context, paths []string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return s.has[p] }), nil
}

func (s *fakeStore) AddFixed(_ context.Context, recursive bool, files []string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
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
		out = append(out, Pin{
			Name: fmt.Sprint("p", i), Version: "1", Archive: Main,
			Path: fmt.Sprintf("pool/main/p/p%d_1_all.deb", i), SHA256: digest(b), Size: int64(len(b)),
		})
	}
	return out
}

// pool is a server on loopback that has the first of somePins, in each of Debian's places.
type pool struct {
	base string // .../debian is a mirror, .../archive one of snapshots
	n    int    // how many pins it has
	// fault says what is wrong with the answer to the n-th request for a path, from 1 on: "" is nothing. See pool.answer.
	fault func(path string, n int) string

	mu    sync.Mutex
	asked []string // paths
}

func newPool(t *testing.T, n int, fault func(string, int) string) *pool {
	t.Helper()
	p := &pool{n: n, fault: fault}
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.answer(w, r, done) }))
	p.base = s.URL
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(done) })
	return p
}

func (p *pool) answer(w http.ResponseWriter, r *http.Request, done <-chan struct{}) {
	p.mu.Lock()
	p.asked = append(p.asked, r.URL.Path)
	n := 0
	for _, a := range p.asked {
		if a == r.URL.Path {
			n++
		}
	}
	p.mu.Unlock()
	i := slices.IndexFunc(somePins(p.n), func(q Pin) bool { return strings.HasSuffix(r.URL.Path, "/"+q.Path) })
	fault := ""
	if p.fault != nil {
		fault = p.fault(r.URL.Path, n)
	}
	if i < 0 || fault == "gone" {
		http.NotFound(w, r)
		return
	}
	b := content(i)
	switch fault {
	case "":
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	case "wrong": // of the right size
		b[0] = 'P'
		w.Write(b)
	case "page":
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte("<html>Please log in</html>"))
	case "unavailable":
		http.Error(w, "try later", http.StatusServiceUnavailable)
	case "cut", "silent":
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		w.Write(b[:len(b)/2])
		w.(http.Flusher).Flush()
		if fault == "cut" {
			panic(http.ErrAbortHandler)
		}
		select {
		case <-r.Context().Done():
		case <-done:
		}
	default:
		panic(fault)
	}
}

// requests returns and forgets what was asked.
func (p *pool) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = nil
	return asked
}

// always is a fault of every answer.
func always(fault string) func(string, int) string { return func(string, int) string { return fault } }

// of is a fault of the files whose path ends so.
func of(ending, fault string) func(string, int) string {
	return func(path string, _ int) string {
		if strings.HasSuffix(path, ending) {
			return fault
		}
		return ""
	}
}

// mirrorAt makes a mirror with pins 0..n-1; bad names the one whose content is wrong, -1 none.
func mirrorAt(t *testing.T, n, bad int) (string, *pool) {
	t.Helper()
	p := newPool(t, n, of(fmt.Sprintf("p%d_1_all.deb", bad), "wrong"))
	return p.base + "/debian/", p
}

func options(t *testing.T) Options {
	return Options{Dir: t.TempDir(), NoApt: true, NoPublic: true}
}

func TestFetchFromMirror(t *testing.T) {
	pins := somePins(10)
	o := options(t)
	var asked *pool
	o.Mirror, asked = mirrorAt(t, 10, -1)
	s := newStore()
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
	if n := len(asked.requests()); n != 10 {
		t.Errorf("%d requests for 10 files", n)
	}
	if left, _ := os.ReadDir(o.Dir); len(left) != 0 {
		t.Errorf("%d downloads left", len(left))
	}
}

func TestFetchStopsAtAWrongHash(t *testing.T) {
	o := options(t)
	o.Mirror, _ = mirrorAt(t, 4, 2)
	s := newStore()
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
	var asked *pool
	o.Mirror, asked = mirrorAt(t, 3, -1)
	s := newStore()
	if err := Fetch(context.Background(), s, pins, o, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(asked.requests()); n != 1 || len(s.has) != 3 {
		t.Errorf("%d requests, %d in the store", n, len(s.has))
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
	o.Mirror, _ = mirrorAt(t, 1, -1)
	err := Fetch(context.Background(), newStore(), pins, o, nil)
	var m *Mismatch
	if !errors.As(err, &m) || !strings.HasPrefix(m.Source, o.Seeds) {
		t.Errorf("got %v", err)
	}
}

func TestFetchKeepsWhatIsDone(t *testing.T) {
	pins := somePins(4)
	o := options(t)
	o.Mirror, _ = mirrorAt(t, 3, -1) // the fourth is nowhere
	s := newStore()
	err := Fetch(context.Background(), s, pins, o, nil)
	var u *Unavailable
	if !errors.As(err, &u) || len(u.Pins) != 1 || u.Pins[0].Name != "p3" || !strings.Contains(err.Error(), "404") ||
		u.Hint() == "" {
		t.Fatalf("got %v", err)
	}
	var asked *pool
	o.Mirror, asked = mirrorAt(t, 4, -1)
	if err := Fetch(context.Background(), s, pins, o, nil); err != nil {
		t.Error(err)
	}
	if n := len(asked.requests()); n != 1 {
		t.Errorf("the second run asked %d times", n)
	}
}

func TestFetchIgnoresABrokenLeftover(t *testing.T) {
	pins := somePins(1)
	o := options(t)
	os.WriteFile(filepath.Join(o.Dir, pins[0].FileName()), []byte("half"), 0o644)
	o.Mirror, _ = mirrorAt(t, 1, -1)
	if err := Fetch(context.Background(), newStore(), pins, o, nil); err != nil {
		t.Error(err)
	}
}

func TestFetchAsksTheNextMirrorWhenOneIsDown(t *testing.T) {
	o := options(t)
	o.Mirror = "http://127.0.0.1:1/debian"
	err := Fetch(context.Background(), newStore(), somePins(8), o, nil)
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
	if err := Fetch(ctx, newStore(), somePins(8), o, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestMissing(t *testing.T) {
	l, _ := repositoryLock(t)
	s := newStore()
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
	wanted := 0
	for _, group := range []string{"qemu", Data, "squashfs", "linux", "glibc", Distro} {
		wanted += len(l.Of(group))
	}
	if len(some) != wanted {
		t.Errorf("%d missing", len(some))
	}
	for _, tree := range []string{"qemu", Data, "squashfs"} {
		s.has[l.TreePath(tree)] = true
	}
	for _, part := range []string{"linux", "glibc", Distro} {
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
	got := l.InPlan([]string{
		"/nix/store/00000000000000000000000000000000-" + p.FileName() + ".drv",
		"/nix/store/00000000000000000000000000000000-glibc.drv",
	})
	if len(got) != 1 || got[0].Name != "bash" {
		t.Errorf("got %v", got)
	}
}
