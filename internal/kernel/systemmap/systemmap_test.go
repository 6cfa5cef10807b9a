package systemmap

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const text = "ffffffff81000000 T _text\nffffffff81000010 t local\nffffffff81000020 t local\n\nnot a line\nzz T no\nffffffff82000000 D data"

func TestParse(t *testing.T) {
	want := []Symbol{
		{0xffffffff81000000, "_text"},
		{0xffffffff81000010, "local"},
		{0xffffffff81000020, "local"},
		{0xffffffff82000000, "data"},
	}
	if got := slices.Collect(Parse(text)); !slices.Equal(got, want) {
		t.Errorf("%x, not %x", got, want)
	}
	for s := range Parse(text) { // the reader may stop
		if s.Name != "_text" {
			t.Errorf("first is %q", s.Name)
		}
		break
	}
}

func TestAddresses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "System.map")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{"_text": 0xffffffff81000000, "local": 0xffffffff81000020, "data": 0xffffffff82000000}
	if got, err := Addresses(file); err != nil || !maps.Equal(got, want) {
		t.Errorf("%x, %v", got, err)
	}
	if _, err := Addresses(file + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
