package pins

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// fetchAll fetches pins to a store of its own and returns what was noted.
func fetchAll(t *testing.T, pins []Pin, o Options) (notes []string, err error) {
	t.Helper()
	o.Note = func(s string) { notes = append(notes, s) }
	s := newStore()
	err = Fetch(context.Background(), s, pins, o, nil)
	if err == nil && len(s.has) != len(pins) {
		t.Errorf("%d of %d pins in the store", len(s.has), len(pins))
	}
	return notes, err
}

// A server that cannot be had, falls silent or sends something else is skipped and named; the next one is asked.
func TestFetchSkipsAnUnfitServer(t *testing.T) {
	for _, c := range []struct{ fault, note string }{
		{"silent", "no byte for 300ms"},
		{"page", "has 26 bytes there instead of 10000 (text/html)"},
		{"unavailable", "503 Service Unavailable"},
	} {
		pins := somePins(6)
		bad, good := newPool(t, 6, always(c.fault)), newPool(t, 6, nil)
		o := options(t)
		o.Mirror, o.Snapshot, o.Stall = bad.base+"/debian", good.base+"/archive", 300*time.Millisecond
		for i := range pins {
			pins[i].snapshot = "20260102T030405Z"
		}
		notes, err := fetchAll(t, pins, o)
		if err != nil {
			t.Errorf("%s: %v", c.fault, err)
		}
		if len(notes) != 1 || !strings.HasPrefix(notes[0], bad.base+"/debian is skipped: ") ||
			!strings.Contains(notes[0], c.note) {
			t.Errorf("%s: %q", c.fault, notes)
		}
	}
	// Nothing listens, and nobody else has it.
	o := options(t)
	o.Mirror = "http://127.0.0.1:1/debian"
	notes, err := fetchAll(t, somePins(2), o)
	var nowhere *Unavailable
	if !errors.As(err, &nowhere) || len(notes) != 1 || !strings.Contains(notes[0], "refused") {
		t.Errorf("%v, %q", err, notes)
	}
}

// A server learns which program asks.
func TestFetchNamesTheProgram(t *testing.T) {
	var agent string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agent = r.UserAgent()
		_, _ = w.Write(content(0))
	}))
	defer server.Close()
	o := options(t)
	o.Mirror, o.Agent = server.URL+"/debian", "ukl/1.2"
	if _, err := fetchAll(t, somePins(1), o); err != nil || agent != "ukl/1.2" {
		t.Errorf("%q, %v", agent, err)
	}
}

// A file that breaks off is gone on with from the byte where it broke, at the same server and at the next one.
func TestFetchResumes(t *testing.T) {
	pins := somePins(3)
	p := newPool(t, 3, func(_ string, n int) string { return map[int]string{1: "cut"}[n] })
	o := options(t)
	o.Mirror = p.base + "/debian"
	if notes, err := fetchAll(t, pins, o); err != nil || len(notes) != 0 {
		t.Errorf("%v, %q", err, notes)
	}
	if n := len(p.requests()); n != 6 {
		t.Errorf("%d requests for 3 files that broke once", n)
	}

	// An interrupted run leaves its beginnings, and the next run asks for the rest.
	o = options(t)
	ctx, stop := context.WithCancel(context.Background())
	p = newPool(t, 1, func(_ string, n int) string { return map[int]string{1: "silent"}[n] })
	o.Mirror = p.base + "/debian"
	progress := func(now Progress) {
		if now.Bytes > 0 {
			stop()
		}
	}
	if err := Fetch(ctx, newStore(), pins[:1], o, progress); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	left, err := os.ReadFile(o.Dir + "/" + pins[0].FileName() + ".part")
	if err != nil || !strings.HasPrefix(string(content(0)), string(left)) {
		t.Errorf("%d bytes are left: %v", len(left), err)
	}
	if _, err := fetchAll(t, pins[:1], o); err != nil {
		t.Error(err)
	}
}

// A beginning that was of something else is thrown away, and the file asked for as a whole.
func TestFetchForgetsAWrongBeginning(t *testing.T) {
	pins := somePins(1)
	p := newPool(t, 1, nil)
	o := options(t)
	o.Mirror = p.base + "/debian"
	if err := os.WriteFile(o.Dir+"/"+pins[0].FileName()+".part", []byte("something else"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := fetchAll(t, pins, o); err != nil || len(p.requests()) != 2 {
		t.Error(err)
	}
}

// A pin that has left every pool is in the snapshot archive: at the lock's time, or a day later.
func TestFetchFromASnapshot(t *testing.T) {
	pins := somePins(4)
	for i := range pins {
		pins[i].snapshot = "20261231T235959Z"
	}
	pins[3].Archive = Security
	lost := newPool(t, 4, of("p1_1_all.deb", "gone"))
	archive := newPool(t, 4, of("/20261231T235959Z/"+pins[3].Path, "gone"))
	o := options(t)
	o.Mirror, o.Snapshot = lost.base+"/debian", archive.base+"/archive/"
	if notes, err := fetchAll(t, pins, o); err != nil || len(notes) != 0 {
		t.Fatal(err, notes)
	}
	if got, want := archive.requests(), []string{"/archive/debian/20261231T235959Z/" + pins[1].Path}; !slices.Equal(got,
		want) {
		t.Errorf("the snapshot archive was asked for %q", got)
	}

	o = options(t)
	o.Snapshot = archive.base + "/archive/"
	if _, err := fetchAll(t, pins[3:], o); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"/archive/debian-security/20261231T235959Z/" + pins[3].Path,
		"/archive/debian-security/20270101T235959Z/" + pins[3].Path,
	}
	if got := archive.requests(); !slices.Equal(got, want) {
		t.Errorf("the snapshot archive was asked for %q", got)
	}

	// Without a time there is nothing to ask for.
	pins[0].snapshot = ""
	o = options(t)
	o.Snapshot = archive.base
	var nowhere *Unavailable
	if _, err := fetchAll(t, pins[:1], o); !errors.As(err, &nowhere) || len(archive.requests()) != 0 {
		t.Error(err)
	}
}

func TestArchiveAt(t *testing.T) {
	for _, c := range []struct{ base, archive, want string }{
		{"http://x/debian", Main, "http://x/debian"},
		{"http://x/debian", Backports, "http://x/debian"},
		{"http://x/debian", Security, "http://x/debian-security"},
		{"http://x/all", Security, "http://x/all"}, // one folder for both
	} {
		if got := archiveAt(c.base, c.archive); got != c.want {
			t.Errorf("%s of %s: %s", c.archive, c.base, got)
		}
	}
}

// Two processes that need the same file download it once.
func TestFetchWaitsForAnother(t *testing.T) {
	pins := somePins(4)
	p := newPool(t, 4, nil)
	o := options(t)
	o.Mirror = p.base + "/debian"
	s := newStore()
	lock, err := lockFile(context.Background(), o.Dir+".lock", nil)
	if err != nil {
		t.Fatal(err)
	}
	noted := make(chan string, 1)
	o.Note = func(s string) { noted <- s }
	done := make(chan error)
	go func() { done <- Fetch(context.Background(), s, pins, o, nil) }()
	if note := <-noted; !strings.Contains(note, "waiting for another ukl") {
		t.Error(note)
	}
	s.mu.Lock()
	for _, q := range pins[1:] { // what the other process does
		s.has[q.StorePath()] = true
	}
	s.mu.Unlock()
	lock.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := p.requests(); len(got) != 1 || !strings.HasSuffix(got[0], pins[0].Path) {
		t.Errorf("asked for %q", got)
	}
}

// The password of a mirror is in no message.
func TestFetchKeepsPasswords(t *testing.T) {
	p := newPool(t, 2, of("p1_1_all.deb", "wrong"))
	o := options(t)
	o.Mirror = strings.Replace(p.base, "http://", "http://me:s3cret@", 1) + "/debian"
	_, err := fetchAll(t, somePins(2), o)
	var wrong *Mismatch
	if !errors.As(err, &wrong) || strings.Contains(err.Error(), "s3cret") ||
		!strings.Contains(err.Error(), "me:xxxxx@127.0.0.1") {
		t.Errorf("got %v", err)
	}
	o = options(t)
	o.Mirror = "http://me:s3cret@127.0.0.1:1/debian"
	notes, err := fetchAll(t, somePins(2), o)
	if err == nil || strings.Contains(err.Error()+strings.Join(notes, ""), "s3cret") || len(notes) != 1 {
		t.Errorf("%v, %q", err, notes)
	}
}

// A pin that nobody has does not keep those that somebody has out of the store. That servers were not asked is said.
func TestFetchAddsWhatItHas(t *testing.T) {
	o := options(t)
	o.Seeds, o.Mirror = seedFolder(t, 3), NoMirror
	s := newStore()
	err := Fetch(context.Background(), s, somePins(5), o, nil)
	var nowhere *Unavailable
	if !errors.As(err, &nowhere) || len(nowhere.Pins) != 2 ||
		!strings.Contains(err.Error(), `other mirrors: not asked, since --mirror or UKL_MIRROR is "none"`) {
		t.Errorf("got %v", err)
	}
	if len(s.has) != 3 {
		t.Errorf("%d in the store, not 3", len(s.has))
	}
}
