package treediff

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, file string, text []byte, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, mode); err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for i, dir := range []string{a, b} {
		write(t, dir+"/same", []byte("text"), 0o644)
		write(t, dir+"/byte", []byte{1, 2, byte(i)}, 0o644)
		write(t, dir+"/short", bytes.Repeat([]byte("x"), 3+i), 0o644)
		write(t, dir+"/mode", nil, os.FileMode(0o644+0o100*i))
		write(t, fmt.Sprintf("%s/only%d", dir, i), nil, 0o644)
		if err := os.Symlink(fmt.Sprint(i), dir+"/link"); err != nil {
			t.Fatal(err)
		}
	}
	places, err := Find(a, b)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range places {
		got = append(got, p.String())
	}
	want := []string{
		"byte: byte 2 is 0x00 in the first build, 0x01 in the second",
		"link: points to 0 in the first build, to 1 in the second",
		"mode: mode -rw-r--r-- in the first build, -rwxr--r-- in the second",
		"only0: only in the first build",
		"only1: only in the second build",
		"short: byte 3 is the end in the first build, 0x78 in the second; 3 and 4 bytes long",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if same, err := Find(a, a); err != nil || len(same) > 0 {
		t.Errorf("a tree and itself: %v %v", same, err)
	}
	if _, err := Find(a, b+"/nothere"); err == nil {
		t.Error("a tree that is not there has no differences")
	}
}

// marker is looked for in this very test program, which is an ELF file with symbols.
var marker = "where is this marker"

func TestPart(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	at := int64(bytes.Index(self, []byte(marker)))
	if got := part("/proc/self/exe", at+3); !strings.HasPrefix(got, "section .") || !strings.Contains(got, "+0x") {
		t.Errorf("byte %d of the test: %q", at, got)
	}
	dir := t.TempDir()
	head := func(name string, size int) string {
		return fmt.Sprintf("%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "644", size)
	}
	names := "a-name-longer-than-sixteen.o/\n"
	text := "!<arch>\n" + head("//", len(names)) + names + head("one.o/", 3) + "123\n" + head("/0", 4) + "4567"
	file := filepath.Join(dir, "x.a")
	write(t, file, []byte(text), 0o644)
	if got := part(file, int64(strings.Index(text, "23\n"))); got != "member one.o" {
		t.Errorf("one.o: %q", got)
	}
	if got := part(file, int64(len(text)-1)); got != "member a-name-longer-than-sixteen.o" {
		t.Errorf("the last byte: %q", got)
	}
	write(t, file, []byte("!<arch>\nshort"), 0o644)
	if got := part(file, 9); got != "" {
		t.Errorf("a broken archive: %q", got)
	}
}
