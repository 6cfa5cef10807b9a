package sizes

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

func TestDissect(t *testing.T) {
	p, err := Dissect("/proc/self/exe", 3)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(p.Sections, func(s Part) bool { return s.Name == ".text" && s.Size > 1000 }) {
		t.Errorf("sections: %v", p.Sections)
	}
	if len(p.Largest) > 3 || !slices.IsSortedFunc(p.Largest, func(a, b Part) int { return int(b.Size) - int(a.Size) }) {
		t.Errorf("largest: %v", p.Largest)
	}
	if p.Size < 1000 || len(p.SHA256) != 64 || len(p.Kernel) != 0 {
		t.Errorf("%+v", p.File)
	}
	file := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(file, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Dissect(file, 1); err == nil {
		t.Error("a text was dissected")
	}
}

func TestObjects(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "objects")
	if got, err := Objects(file); got != nil || err != nil {
		t.Errorf("none: %v, %v", got, err)
	}
	if err := os.WriteFile(file, []byte("57578 libc.a(C-ctype.o)\n12 my file.c.o\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []Part{{"libc.a(C-ctype.o)", 57578}, {"my file.c.o", 12}}
	if got, err := Objects(file); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.WriteFile(file, []byte("main.c.o\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := Objects(file); err == nil {
		t.Errorf("of a broken list: %v", got)
	}
}

func TestMap(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "x.c")
	if err := os.WriteFile(source, []byte("int zeros[5000]; int data[300] = {1}; const char text[2000] = {1};\nint main(void) { return zeros[1] + data[2] + text[3]; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "x")
	if out, err := exec.Command("gcc", "-O0", "-o", file, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sections, err := Map(file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Part{Code: {"main", 0}, Zeros: {"zeros", 20000}, Data: {"data", 1200}, Constants: {"text", 2000}}
	for _, s := range sections {
		var sum uint64
		for _, p := range s.Symbols {
			sum += p.Size
			if w := want[s.Kind]; p.Name == w.Name && (w.Size == 0 || w.Size == p.Size) {
				delete(want, s.Kind)
			}
		}
		if sum > s.Size {
			t.Errorf("%s: %d bytes of symbols in %d", s.Name, sum, s.Size)
		}
	}
	if len(want) > 0 {
		t.Errorf("not found: %v in %+v", want, sections)
	}
	if _, err := Map(source); err == nil {
		t.Error("a source file was taken")
	}
}
