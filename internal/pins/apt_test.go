package pins

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeApt puts an apt on PATH that offers the first n of somePins, as they are or, with other set, with other content.
func fakeApt(t *testing.T, n int, other bool) {
	t.Helper()
	dir := t.TempDir()
	files := filepath.Join(dir, "files")
	os.Mkdir(files, 0o755)
	var show strings.Builder
	for i, p := range somePins(n) {
		hash := p.SHA256
		if other {
			hash = strings.Repeat("0", 64)
		}
		show.WriteString("Package: " + p.Name + "\nVersion: 1\nFilename: " + p.Path + "\nSize: 5\nSHA256: " + hash + "\n\n")
		os.WriteFile(filepath.Join(files, p.Name), content(i), 0o644)
	}
	os.WriteFile(filepath.Join(dir, "show"), []byte(show.String()), 0o644)
	// Arguments: options, then the verb, then NAME=VERSION.
	os.WriteFile(filepath.Join(dir, "apt-cache"), []byte("#!/bin/sh\ncat "+dir+"/show\n"), 0o755)
	os.WriteFile(filepath.Join(dir, "apt-get"), []byte(`#!/bin/sh
echo "$@" >>`+dir+`/calls
for a; do
  case $a in
    -* | *::*) ;;
    p*=1) cp `+files+`/"${a%=1}" "${a%=1}_1_all.deb" ;;
  esac
done
`), 0o755)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestFetchFromApt(t *testing.T) {
	fakeApt(t, 9, false)
	s := &fakeStore{map[string]bool{}}
	pins := somePins(9)
	o := Options{Dir: t.TempDir(), Mirror: NoMirror}
	if err := Fetch(context.Background(), s, pins, o, nil); err != nil {
		t.Fatal(err)
	}
	if len(s.has) != 9 {
		t.Errorf("%d of 9 in the store", len(s.has))
	}
	if left, _ := os.ReadDir(o.Dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFetchTakesFromTheMirrorWhatAptLacks(t *testing.T) {
	fakeApt(t, 4, false)
	o := Options{Dir: t.TempDir(), NoPublic: true}
	var requests *int
	o.Mirror, requests = mirror(t, 6, -1)
	if err := Fetch(context.Background(), &fakeStore{map[string]bool{}}, somePins(6), o, nil); err != nil || *requests != 2 {
		t.Errorf("%d requests: %v", *requests, err)
	}
}

// A derivative of Debian may have built the same version itself; only if nobody has the pinned file is that an error.
func TestFetchTellsOfAnotherBuildOfTheVersion(t *testing.T) {
	fakeApt(t, 2, true)
	o := Options{Dir: t.TempDir(), NoPublic: true}
	o.Mirror, _ = mirror(t, 2, -1)
	if err := Fetch(context.Background(), &fakeStore{map[string]bool{}}, somePins(2), o, nil); err != nil {
		t.Error(err)
	}
	o = Options{Dir: t.TempDir(), Mirror: NoMirror}
	err := Fetch(context.Background(), &fakeStore{map[string]bool{}}, somePins(2), o, nil)
	var m *Mismatch
	if !errors.As(err, &m) || m.Source != "apt" || m.Got != strings.Repeat("0", 64) {
		t.Errorf("got %v", err)
	}
}
