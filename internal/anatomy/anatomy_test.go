package anatomy

import (
	"os"
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
