package format

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ukl/internal/app/manifest"
	"ukl/internal/build/image"
	"ukl/internal/machine/qemu"
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
