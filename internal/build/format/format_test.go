package format

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ukl/internal/app/manifest"
	"ukl/internal/build/image"
	"ukl/internal/machine/qemu"
	"ukl/internal/run/guest"
)

func TestParse(t *testing.T) {
	for _, f := range All() {
		if got, err := Parse(string(f)); err != nil || got != f {
			t.Errorf("%s: %q, %v", f, got, err)
		}
	}
	for _, s := range []string{"", "ISO", "vmdk"} {
		if _, err := Parse(s); err == nil || !strings.Contains(err.Error(), "want bzImage, vmlinux, iso, qcow2, raw, oci") {
			t.Errorf("%q: %v", s, err)
		}
	}
	if OCI.File("a") != "a.oci.tar" || QCOW2.File("a") != "a.qcow2" {
		t.Error("file names")
	}
}

// What is broken, or not there, is an error and no file.
func TestMake(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "vmlinux")
	if err := os.WriteFile(file, []byte("\x7fELF"), 0o644); err != nil {
		t.Fatal(err)
	}
	in := Inputs{
		App:   &manifest.Manifest{Name: "a", Ports: []qemu.Forward{{Guest: 80}, {Guest: 53, UDP: true}}},
		Image: &image.Image{Vmlinux: file, BzImage: file},
		Boot:  file,
	}
	if b, err := Vmlinux.Make(in); err != nil || string(b) != "\x7fELF" {
		t.Errorf("vmlinux: %q, %v", b, err)
	}
	for _, f := range []Format{ISO, Raw, QCOW2} {
		if _, err := f.Make(in); err == nil || err.Error() != "not a bzImage" {
			t.Errorf("%s: %v", f, err)
		}
	}
	if _, err := Format("vmdk").Make(in); err == nil || err.Error() != `nothing makes a file of format "vmdk"` {
		t.Errorf("vmdk: %v", err)
	}
	b, err := OCI.Make(in)
	if err != nil || !strings.Contains(string(b), `"53/udp":{},"80/tcp":{}`) {
		t.Errorf("oci: %v", err)
	}
	in.Image.BzImage = filepath.Join(dir, "none")
	for _, f := range []Format{BzImage, ISO} {
		if _, err := f.Make(in); !os.IsNotExist(err) {
			t.Errorf("%s without a kernel: %v", f, err)
		}
	}
}

// A machine needs room for the kernel while that unpacks itself, and for the files.
func TestMemory(t *testing.T) {
	const mib = 1 << 20
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	bz := make([]byte, 1000)
	copy(bz[0x202:], "HdrS")
	binary.LittleEndian.PutUint64(bz[0x258:], 16*mib)
	binary.LittleEndian.PutUint32(bz[0x260:], 50*mib)
	var elf64 bytes.Buffer
	for _, part := range []any{
		elf.Header64{
			Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1,
			Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64,
		},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Paddr: 16 * mib, Memsz: 24 * mib},
	} {
		if err := binary.Write(&elf64, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	in := Inputs{
		App:   &manifest.Manifest{Name: "a"},
		Image: &image.Image{Vmlinux: write("vmlinux", elf64.Bytes()), BzImage: write("bzImage", bz)},
		Files: []guest.File{{Guest: "/x", Host: write("x", make([]byte, 5*mib))}},
	}
	for f, want := range map[Format]int{Vmlinux: 41, OCI: 41, BzImage: 67, ISO: 72, Raw: 72, QCOW2: 72} {
		if got, err := f.Memory(in); err != nil || got != want {
			t.Errorf("%s: %d MiB, %v; want %d", f, got, err, want)
		}
	}
	in.Image.Vmlinux = write("text", []byte("text"))
	if got, err := Vmlinux.Memory(in); err != nil || got != 0 {
		t.Errorf("of a file that is no kernel: %d, %v", got, err)
	}
	in.Image.BzImage = filepath.Join(dir, "none")
	if got, err := BzImage.Memory(in); !os.IsNotExist(err) {
		t.Errorf("of a file that is not there: %d, %v", got, err)
	}
}
