package pins

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// seedFolder makes a folder of seeds with the first n of somePins.
func seedFolder(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, p := range somePins(n) {
		if err := os.WriteFile(filepath.Join(dir, "sha256", p.SHA256), content(i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Each source says for itself whether it has a pin; the first that has ends the search.
func TestSources(t *testing.T) {
	p := somePins(1)[0]
	p.snapshot = "20260102T030405Z"
	full, none := newPool(t, 1, nil), newPool(t, 0, nil)
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Seeds: seedFolder(t, 1), Mirror: full.base}, "seeds: ok"},
		{
			Options{Seeds: seedFolder(t, 0), Mirror: full.base + "/debian/"},
			"seeds: no file sha256/" + p.SHA256 + " (p0 1), " + full.base + "/debian: ok",
		},
		{
			Options{Seeds: "/none", Mirror: NoMirror},
			"seeds: /none: there is no such folder or archive, other mirrors: not asked, since --mirror or UKL_MIRROR is \"none\"",
		},
		{Options{Mirror: none.base}, none.base + ": " + p.Path + ": 404 Not Found"},
		{
			Options{Mirror: none.base, Snapshot: full.base + "/archive"},
			none.base + ": " + p.Path + ": 404 Not Found, " + full.base + "/archive: ok",
		},
		{Options{Mirror: "http://127.0.0.1:1"}, "http://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused"},
		{Options{}, ""},
	} {
		c.o.NoApt, c.o.NoPublic = true, true
		asked, err := Sources(context.Background(), p, c.o)
		if err != nil {
			t.Errorf("%+v: %v", c.o, err)
		}
		var got []string
		for _, s := range asked {
			text := "ok"
			if s.Err != nil {
				text = strings.TrimPrefix(s.Err.Error(), c.o.Seeds+": ")
				if c.o.Seeds == "/none" {
					text = s.Err.Error()
				}
			}
			got = append(got, s.Name+": "+text)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%+v: %q, not %q", c.o, got, c.want)
		}
	}
}

func TestUnseeded(t *testing.T) {
	pins := somePins(3)
	for _, c := range []struct {
		from string
		want int
	}{{"", 3}, {seedFolder(t, 2), 1}, {seedFolder(t, 3), 0}, {"/none", 3}} {
		left, err := Unseeded(pins, c.from)
		if err != nil || len(left) != c.want {
			t.Errorf("%s: %d left: %v", c.from, len(left), err)
		}
	}
}

// What lies under a hash and is no regular file is named and left alone; a link to a seed is a seed, and stays the
// user's.
func TestFetchOfOddSeeds(t *testing.T) {
	pins := somePins(4)
	from, links := seedFolder(t, 4), seedFolder(t, 0)
	at := func(i int) string { return filepath.Join(links, "sha256", pins[i].SHA256) }
	if err := errors.Join(os.Symlink("/dev/zero", at(0)), syscall.Mkfifo(at(1), 0o644), os.Mkdir(at(2), 0o755),
		os.Symlink(filepath.Join(from, "sha256", pins[3].SHA256), at(3))); err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Seeds = links
	var nowhere *Unavailable
	notes, err := fetchAll(t, pins, o)
	if !errors.As(err, &nowhere) || len(nowhere.Pins) != 3 || len(notes) != 3 {
		t.Fatalf("%v, %q", err, notes)
	}
	for i, note := range notes {
		kind := []string{"a device", "a pipe", "a directory"}[i]
		if note != at(i)+" is skipped: it is "+kind+", not a file" {
			t.Errorf("note %q", note)
		}
	}
	if _, err := os.Lstat(at(3)); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(o.Dir); len(left) != 0 { // what was there is in the store
		t.Errorf("left: %v", left)
	}
}
