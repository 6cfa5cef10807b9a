package guest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ukl/internal/machine/qemu"
)

// measured is a start of Linux 6.1.192 under TCG: with so many MiB the application ran with all of its files or not.
type measured struct {
	name string
	start
	fails, works int
}

// measurements are of `ukl run` with an application that prints one line. ukl's kernel takes 14.1 MiB, with an
// application of up to 1.5 MiB in what there is for alignment; that of process mode takes 12.1 MiB.
func measurements() []measured {
	ring0 := func(app uint64) qemu.Kernel {
		const linux = 14*mib + 96*kib
		return qemu.Kernel{End: 16*mib + linux + app*mib, Size: linux + app*mib, App: app * mib}
	}
	const process = 12*mib + 96*kib
	ring3 := qemu.Kernel{End: 16*mib + process, Size: process}
	debian := qemu.Kernel{End: 62 * mib, Size: 46 * mib}
	const drivers = 1100 * kib
	root := func(own uint64) content { return content{size: own + 60*kib} } // with the files of /etc
	// The archive without files, and with /init and a small /app.
	const args, init = 8 * kib, 1700 * kib
	return []measured{
		{"hello", start{ring0(0), args, root(0), 1, false}, 30, 31},
		{"constants of 1 MiB", start{ring0(0), args, root(0), 1, false}, 30, 31},
		{"constants of 40 MiB", start{ring0(40), args, root(0), 1, false}, 70, 71},
		{"constants of 200 MiB", start{ring0(200), args, root(0), 1, false}, 233, 234},
		{"a file of 40 MiB", start{ring0(0), 40*mib + args, root(40 * mib), 1, false}, 139, 140},
		{"a file of 200 MiB", start{ring0(0), 200*mib + args, root(200 * mib), 1, false}, 626, 627},
		{"hello as a process", start{ring3, init, root(init), 1, false}, 28, 30},
		{"constants of 40 MiB as a process", start{ring3, 43584000 + args, content{size: 42630 * kib}, 1, false}, 140, 143},
		{"hello on Debian's kernel", start{debian, init + drivers, root(init + drivers), 1, true}, 72, 74},
		{"hello as bzImage", start{qemu.Kernel{End: 33488 * kib, Size: 17104 * kib}, args, root(0), 1, false}, 32, 33},
	}
}

func TestNeed(t *testing.T) {
	for _, c := range measurements() {
		if got := c.need().Least; got < c.works || got > c.works+2 {
			t.Errorf("%s: %d MiB; it starts with %d, and not with %d", c.name, got, c.works, c.fails)
		}
	}
}

// More of anything never needs less, and what nobody asked for has room for the application's data and 128 MiB.
func TestNeedGrows(t *testing.T) {
	for app := uint64(0); app < 500; app += 9 {
		for files := uint64(0); files < 500; files += 11 {
			one := start{
				qemu.Kernel{End: (30 + app) * mib, Size: (14 + app) * mib, App: app * mib, Writable: 3 * mib},
				files * mib,
				content{size: files * mib},
				1, false,
			}
			n := one.need()
			k := one.kernel
			for _, more := range []start{
				{qemu.Kernel{End: k.End + mib, Size: k.Size + mib, App: k.App + mib}, one.archive, one.root, 1, false},
				{k, one.archive + mib, content{size: one.root.size + mib}, 1, false},
				{k, one.archive, one.root, 64, false},
				{k, one.archive, one.root, 1, true},
			} {
				if m := more.need(); m.Least < n.Least {
					t.Fatalf("%+v needs %d, and %+v only %d", one, n.Least, more, m.Least)
				}
			}
			if n.Usual != n.Least+3+qemu.DefaultMemory {
				t.Fatalf("%+v: %+v", one, n)
			}
		}
	}
}

// image is the file of a kernel that is loaded from 16 MiB on, with an application.
func image(t *testing.T, size uint64, app []byte) string {
	t.Helper()
	const name = ".init.ring0_app"
	names := []byte("\x00" + name + "\x00.shstrtab\x00")
	head := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shoff: 120, Shentsize: 64, Shnum: 3, Shstrndx: 2,
	}
	load := elf.Prog64{Type: uint32(elf.PT_LOAD), Paddr: 16 * mib, Memsz: size}
	begin := uint64(120 + 3*64)
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: begin, Size: uint64(len(app))},
		{
			Name: uint32(len(name) + 2), Type: uint32(elf.SHT_STRTAB), Off: begin + uint64(len(app)),
			Size: uint64(len(names)),
		},
	}
	var b bytes.Buffer
	for _, part := range []any{head, load, sections, app, names} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestNeedOfFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(file, make([]byte, 10*mib), 0o644); err != nil {
		t.Fatal(err)
	}
	o := Options{Argv: []string{"app"}, Files: []File{{Guest: "/big", Host: file}}}
	o.Machine.Kernel = image(t, 14*mib, []byte("an application"))
	with, err := o.Need()
	if err != nil {
		t.Fatal(err)
	}
	o.Files = nil
	without, err := o.Need()
	if err != nil || with.Least < without.Least+10 {
		t.Errorf("%+v without 10 MiB of files, %+v with them (%v)", without, with, err)
	}
	// the same bytes in a root file system of its own
	root := filepath.Join(t.TempDir(), "root.cpio")
	var b bytes.Buffer
	a := &archive{w: &b}
	a.add(application, 0o100755, make([]byte, 10*mib))
	a.add("TRAILER!!!", 0, nil)
	b.Write(make([]byte, 500/4*4))
	if err := os.WriteFile(root, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	o.Root = root
	if n, err := o.Need(); err != nil || n.Least < with.Least || n.Least > with.Least+1 {
		t.Errorf("%+v with a root of 10 MiB, %+v with files of 10 MiB (%v)", n, with, err)
	}
}

func TestCheck(t *testing.T) {
	n := Need{Least: 71, Usual: 200}
	for _, memory := range []int{71, 72, 5000} {
		if err := n.Check(memory); err != nil {
			t.Errorf("%d: %v", memory, err)
		}
	}
	for _, memory := range []int{0, 18, 70} {
		err := n.Check(memory)
		if err == nil || !strings.HasSuffix(err.Error(), "MiB of memory are too little: to start, the application needs 71") {
			t.Errorf("%d: %v", memory, err)
		}
	}
	if err := (Need{}).Check(1); err != nil {
		t.Errorf("a kernel that ukl knows nothing of: %v", err)
	}
}
