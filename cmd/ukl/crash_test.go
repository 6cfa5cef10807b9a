package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestEqual(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	long := bytes.Repeat([]byte("x"), 3*64<<10)
	a := file("a", append(long, 'a'))
	for _, c := range []struct {
		other string
		want  bool
	}{
		{file("same", append(long, 'a')), true},
		{file("last", append(long, 'b')), false},
		{file("shorter", long), false},
		{file("longer", append(long, "ab"...)), false},
		{file("empty", nil), false},
		{filepath.Join(dir, "nothere"), false},
	} {
		if equal(a, c.other) != c.want || equal(c.other, a) != c.want {
			t.Errorf("equal to %s: not %v", filepath.Base(c.other), c.want)
		}
	}
	if !equal(file("one", nil), file("two", nil)) || !equal(file("three", long), file("four", long)) {
		t.Error("the same is not equal")
	}
}
