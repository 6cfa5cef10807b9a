package crash

import (
	"debug/elf"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A guest may write the file of a library: no file is read that has, or says that it has, more than anybody needs.
func TestMostFile(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "program")
	open := func() error { _, err := Open(file, ""); return err }
	write := func(size int64) {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, size); err != nil {
			t.Fatal(err)
		}
	}
	if write(int64(len(text))); open() != nil {
		t.Fatal(open())
	}
	if write(mostFile + 1); open() == nil || !strings.Contains(open().Error(), "more than 1024 MiB") {
		t.Errorf("a large file: %v", open())
	}
	// Offsets of an ELF file's header: e_phoff 32, e_phentsize 54; p_filesz is 32 bytes into a header.
	binary.LittleEndian.PutUint64(text[binary.LittleEndian.Uint64(text[32:])+32:], math.MaxInt64)
	if write(int64(len(text))); open() == nil {
		t.Error("a segment that says that it is large")
	}
	f := &elf.File{}
	for range 2 {
		f.Sections = append(f.Sections, &elf.Section{SectionHeader: elf.SectionHeader{Name: ".debug_info", Size: 1 << 63}})
	}
	if unpacked(f) != math.MaxUint64 {
		t.Error("sizes that overflow")
	}
}

// What a file of the guest calls a function is shown, and not obeyed by a terminal.
func TestFrameOfTheGuest(t *testing.T) {
	f := Frame{Function: "\x1b]0;evil\a\nukl: error: forged", Module: "x\r\u202e.so", Offset: 1}
	if s := f.String(); strings.ContainsAny(s, "\x1b\a\n\r\u202e") || !strings.Contains(s, `\x1b]0;evil\x07\x0aukl`) {
		t.Errorf("%q", s)
	}
}
