package program

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// header is an ELF file of one loadable segment and perhaps an interpreter.
func header(class, machine byte, kind uint16, entry uint64, interp bool) []byte {
	var b bytes.Buffer
	b.WriteString("\x7fELF")
	b.Write([]byte{class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	put := func(vs ...any) {
		for _, v := range vs {
			_ = binary.Write(&b, binary.LittleEndian, v)
		}
	}
	segments := uint16(1)
	if interp {
		segments = 2
	}
	put(kind, uint16(machine), uint32(1))
	if class == 1 {
		put(uint32(entry), uint32(52), uint32(0), uint32(0), uint16(52), uint16(32), segments, uint16(0), uint16(0),
			uint16(0))
		b.Write(make([]byte, 64))
		return b.Bytes()
	}
	put(entry, uint64(64), uint64(0), uint32(0), uint16(64), uint16(56), segments, uint16(64), uint16(0), uint16(0))
	segment := func(kind uint32) {
		base := entry &^ 0xfff
		put(kind, uint32(5), uint64(0), base, base, uint64(64), uint64(0x1000), uint64(0x1000))
	}
	segment(1)
	if interp {
		segment(3)
	}
	return b.Bytes()
}

func TestCheck(t *testing.T) {
	const x86, arm = 62, 183
	for _, c := range []struct {
		name string
		text []byte
		want string // "" is fit
	}{
		{"static", header(2, x86, 2, 0x401000, false), ""},
		{"static PIE", header(2, x86, 3, 0x1000, false), ""},
		{"dynamic", header(2, x86, 3, 0x1000, true), ""},
		{"library", header(2, x86, 3, 0, false), "perhaps it is a library"},
		{"arm", header(2, arm, 2, 0x401000, false), "for another machine: aarch64"},
		{"i386", header(1, 3, 2, 0x401000, false), "for another machine: 386"},
		{"x32", header(1, x86, 2, 0x401000, false), "not a 64-bit program"},
		{"object", header(2, x86, 1, 0, false), "an object file"},
		{"core", header(2, x86, 4, 0, false), "a core dump"},
		{"cut", []byte("\x7fELF\x02\x01"), "a broken ELF file"},
		{"script", []byte("#!/bin/sh\n"), "a script, which /bin/sh runs"},
		{"script of env", []byte("#! /usr/bin/env python3 -u"), "a script, which python3 runs"},
		{"no interpreter", []byte("#!\n"), "not an ELF file"},
		{"text", []byte("hello"), "not an ELF file"},
		{"empty", nil, "not an ELF file"},
	} {
		file := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(file, c.text, 0o644); err != nil {
			t.Fatal(err)
		}
		err := Check(file)
		var u *Unfit
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (!errors.As(err, &u) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if err := Check(t.TempDir() + "/nothere"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// A program asks for its loader, or not.
func TestDynamic(t *testing.T) {
	const x86 = 62
	for _, c := range []struct {
		name string
		text []byte
		want bool
	}{
		{"static", header(2, x86, 2, 0x401000, false), false},
		{"dynamic", header(2, x86, 3, 0x1000, true), true},
		{"text", []byte("hello"), false},
	} {
		file := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(file, c.text, 0o644); err != nil {
			t.Fatal(err)
		}
		if got := Dynamic(file); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// The loader's rules for segments. The first is a good one, and each other differs in one field.
func TestMisplaced(t *testing.T) {
	type segment struct{ off, vaddr, filesz, memsz uint64 }
	good := segment{0, 0x400000, 120, 0x2000}
	for _, c := range []struct {
		name  string
		kind  uint16
		entry uint64
		segment
		want string
	}{
		{"good", 2, 0x401000, good, ""},
		{"kernel address", 2, 1<<63 + 0x1000, segment{0, 1 << 63, 120, 0x2000}, "beyond what programs can have"},
		{"last page", 2, 0x7fffffffe000, segment{0, 0x7fffffffe000, 120, 0x1000}, ""},
		{"behind it", 2, 0x7fffffffe000, segment{0, 0x7fffffffe000, 120, 0x1001}, "which ends at 0x7ffffffff000"},
		{"wraps", 2, 0x401000, segment{0, 0x400000, 120, ^uint64(0)}, "beyond what programs can have"},
		{"PIE", 3, 0x1000, segment{0, 0, 120, 0x2000}, ""},
		{"high PIE", 3, 0x7f0000001000, segment{0, 0x7f0000000000, 120, 0x2000}, "beyond what programs can have"},
		{"more in the file", 2, 0x400010, segment{0, 0x400000, 120, 100}, "120 bytes in the file, and only 100 in memory"},
		{"askew", 2, 0x401000, segment{8, 0x400000, 100, 0x2000}, "equal within a page of 4096 bytes"},
		{"cut", 2, 0x401000, segment{0, 0x400000, 121, 0x2000}, "ends beyond the file, which has 120 bytes"},
		{"far in the file", 2, 0x401000, segment{1 << 62, 0x400000, 120, 0x2000}, "beyond the file"},
	} {
		text := header(2, 62, c.kind, c.entry, false)
		for i, v := range []uint64{c.off, c.vaddr, c.vaddr, c.filesz, c.memsz} {
			binary.LittleEndian.PutUint64(text[64+8+8*i:], v)
		}
		file := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		switch err := Check(file); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v; want %s", c.name, err, c.want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(header(2, 62, 2, 0x401000, true))
	f.Add([]byte("#!"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		err := Check(file)
		var u *Unfit
		if err != nil && !errors.As(err, &u) {
			t.Errorf("%T: %v", err, err)
		}
	})
}
