package guest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ukl/internal/run/newc"
)

// What is counted of an archive is what is written, by its size and by what the kernel makes of it.
func TestArchiveCounts(t *testing.T) {
	dir := hostTree(t)
	for name, size := range map[string]int{"large": readWhole + 3, "small": readWhole} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("x"), size), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{
		Argv: []string{"a"}, Name: "a", Root: filepath.Join(dir, "root.cpio"),
		Files: []File{
			{Guest: "/etc/conf", Host: dir + "/conf"},
			{Guest: "/srv", Host: dir + "/www"},
			{Guest: "/l", Host: dir + "/large"},
			{Guest: "/s", Host: dir + "/small"},
		},
	}
	var root bytes.Buffer
	for _, name := range []string{application, newc.Trailer} {
		if err := newc.Write(&root, name, 0o100755, make([]byte, 4*len(name))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(o.Root, append(root.Bytes(), make([]byte, 512)...), 0o600); err != nil {
		t.Fatal(err)
	}
	var counted archive
	if err := o.write(&counted); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	written := archive{w: &b}
	if err := o.write(&written); err != nil {
		t.Fatal(err)
	}
	if int(counted.size) != b.Len() || int(written.size) != b.Len() || counted.root != unpacked(b.Bytes()) {
		t.Errorf("counted %d bytes, %+v; written %d (%d), %+v", counted.size, counted.root, b.Len(), written.size,
			unpacked(b.Bytes()))
	}
}

// A file becomes part of an archive without being in memory as a whole.
func TestArchiveOfMuch(t *testing.T) {
	const much = 200 * mib
	file := filepath.Join(t.TempDir(), "zeros")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, much); err != nil {
		t.Fatal(err)
	}
	o := Options{Files: []File{{Guest: "/zeros", Host: file}}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, w := range []io.Writer{nil, io.Discard} {
		a := archive{w: w}
		if err := o.write(&a); err != nil || a.size < much {
			t.Errorf("%d bytes, %v", a.size, err)
		}
	}
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > much/10 {
		t.Errorf("%d MiB were allocated", (after.TotalAlloc-before.TotalAlloc)/mib)
	}
}

// A file that has lost bytes since its size was asked for breaks the archive, which is said.
func TestArchiveOfLess(t *testing.T) {
	err := (&archive{w: io.Discard}).copy("x", 0o100644, 10, strings.NewReader("012345678"))
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "x has 9 bytes instead of 10") {
		t.Error(err)
	}
}
