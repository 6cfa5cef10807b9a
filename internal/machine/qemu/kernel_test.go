package qemu

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// elfFile is an ELF file with one section of a name, and segments.
func elfFile(t *testing.T, name string, section []byte, segments ...elf.Prog64) []byte {
	t.Helper()
	names := []byte("\x00" + name + "\x00.shstrtab\x00")
	begin := uint64(64 + 56*len(segments))
	head := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(segments)),
		Shoff: begin, Shentsize: 64, Shnum: 3, Shstrndx: 2,
	}
	begin += 3 * 64
	end := begin + uint64(len(section))
	var b bytes.Buffer
	for _, part := range []any{head, segments, []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: begin, Size: uint64(len(section))},
		{Name: uint32(len(name) + 2), Type: uint32(elf.SHT_STRTAB), Off: end, Size: uint64(len(names))},
	}, section, names} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestReadKernel(t *testing.T) {
	const mib = 1 << 20
	load := func(at, size uint64, flags elf.ProgFlag) elf.Prog64 {
		return elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(flags), Paddr: at, Memsz: size}
	}
	app := elfFile(t, ".data", nil, load(0x400000, 5000, elf.PF_R|elf.PF_X), load(0x600000, 7000, elf.PF_R|elf.PF_W))
	text := elf.Prog64{Type: uint32(elf.PT_NOTE), Paddr: 1 << 40, Memsz: 100}
	segments := []elf.Prog64{
		load(16*mib, 3*mib, elf.PF_X), load(20*mib, 2*mib, elf.PF_W), load(19*mib, mib, elf.PF_W), text,
	}
	bz := make([]byte, 5000)
	copy(bz[bzMagic:], "HdrS")
	binary.LittleEndian.PutUint64(bz[bzPrefAddress:], 16*mib)
	binary.LittleEndian.PutUint32(bz[bzInitSize:], 18*mib)
	for name, c := range map[string]struct {
		file []byte
		want Kernel
	}{
		"with an application": {
			elfFile(t, appSection, app, segments...),
			Kernel{End: 22 * mib, Size: 6 * mib, App: uint64(len(app)), Writable: 7000},
		},
		"with something else": {elfFile(t, appSection, []byte("text"), segments...), Kernel{22 * mib, 6 * mib, 4, 0}},
		"without one":         {elfFile(t, ".text", app, segments...), Kernel{End: 22 * mib, Size: 6 * mib}},
		"without a segment":   {elfFile(t, ".text", nil, text), Kernel{}},
		"bzImage":             {bz, Kernel{End: 34 * mib, Size: 18 * mib}},
		"half a header":       {bz[:bzInitSize], Kernel{}},
		"of 32 bits":          {SerialGuest("x"), Kernel{}},
		"text":                {[]byte("log ukl: app exited with status 0\n"), Kernel{}},
		"nothing":             {nil, Kernel{}},
	} {
		file := filepath.Join(t.TempDir(), "kernel")
		if err := os.WriteFile(file, c.file, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadKernel(file); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	broken := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(broken, []byte(elf.ELFMAG+"\x02\x01\x01"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{broken, broken + "x"} {
		if k, err := ReadKernel(file); err == nil {
			t.Errorf("%s: %+v, without an error", filepath.Base(file), k)
		}
	}
}

// A kernel's file may have the text of its version more than once, and without the number of the build.
func TestRelease(t *testing.T) {
	for text, want := range map[string]string{
		"\x00Linux version 6.1.0-57-x (a@b) (gcc-12 (Debian 12.2.0) 12.2.0, GNU ld) #1 SMP Debian 6.1.192-3 (2026-11-26)\n\x00": "6.1.0-57-x #1 SMP Debian 6.1.192-3 (2026-11-26)",
		"Linux version 6.1.192 (a@b) (gcc) #1 SMP y\nLinux version %s (a@b)\n":                                                  "6.1.192 #1 SMP y",
		"Linux version 6.1 without an end": "",
		"Linux version 6.1 (a@b) (gcc)\n":  "",
		"":                                 "",
	} {
		file := filepath.Join(t.TempDir(), "vmlinux")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := Release(file); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	if _, err := Release(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there has a release")
	}
}
