package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(filepath.Join(from, "VERSION"), []byte("v"), 0o644); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	if code := run([]string{"toolchain", from, to}, &stderr); code != 0 || stderr.Len() != 0 {
		t.Errorf("exit %d: %s", code, &stderr)
	}
	if b, err := os.ReadFile(filepath.Join(to, "VERSION")); err != nil || string(b) != "v" {
		t.Errorf("%q %v", b, err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "ukl: error: usage: go toolchain GOROOT OUT | go modules DIR OUT\n"},
		{[]string{"toolchain", filepath.Join(from, "none"), to}, "no such file"},
		{[]string{"modules", from, to}, "go.mod: no such file"},
	} {
		stderr.Reset()
		code := run(c.args, &stderr)
		said := stderr.String()
		if code != 1 || !strings.Contains(said, c.want) || strings.Contains(said, "hint") {
			t.Errorf("%q: exit %d, %s", c.args, code, said)
		}
	}
}
