// Package format turns a built image into the file that somebody else's machine boots: a kernel, a disk or CD, a
// container image. Everything is made from the image and ukl.toml alone, so equal inputs give equal bytes.
package format

import (
	"fmt"
	"os"
	"strings"

	"ukl/internal/app/manifest"
	"ukl/internal/build/disk"
	"ukl/internal/build/image"
	"ukl/internal/build/oci"
	"ukl/internal/machine/qemu"
	"ukl/internal/run/guest"
)

// Format is a kind of file.
type Format string

const (
	BzImage Format = "bzImage" // the kernel as boot loaders take it
	Vmlinux Format = "vmlinux" // the kernel as an ELF file, for PVH
	ISO     Format = "iso"     // boots as a CD
	QCOW2   Format = "qcow2"   // a disk in QEMU's format
	Raw     Format = "raw"     // a disk, byte for byte
	OCI     Format = "oci"     // a container image for urunc
)

// All are the formats in the order in which help names them.
func All() []Format { return []Format{BzImage, Vmlinux, ISO, QCOW2, Raw, OCI} }

// Booting names the formats with a boot loader, as a sentence does: "a, b or c".
func Booting() string {
	var names []string
	for _, f := range All() {
		if f.Boots() {
			names = append(names, string(f))
		}
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// Names are all formats, with sep between them.
func Names(sep string) string {
	var names []string
	for _, f := range All() {
		names = append(names, string(f))
	}
	return strings.Join(names, sep)
}

// Parse reads a format's name.
func Parse(s string) (Format, error) {
	for _, f := range All() {
		if s == string(f) {
			return f, nil
		}
	}
	return "", fmt.Errorf("--format %q: want %s", s, Names(", "))
}

// File is the name of an application's file in this format.
func (f Format) File(app string) string {
	if f == OCI {
		return app + ".oci.tar"
	}
	return app + "." + string(f)
}

// Boots tells whether the file has a boot loader, and with it a command line and an initramfs.
func (f Format) Boots() bool { return f == ISO || f == QCOW2 || f == Raw }

// Inputs are what a file is made from.
type Inputs struct {
	App    *manifest.Manifest
	Image  *image.Image
	Files  []guest.File // for the root file system; of formats that boot
	Usual  []guest.File // likewise, where Files has nothing
	Root   image.Rootfs // of the application; of formats that boot
	User   *guest.User  // who it is; nil is root
	Dir    string       // where it starts; "" is the root
	Boot   string       // file with the boot sector; of formats that boot
	Append string       // words for the kernel's command line; of formats that boot
	Memory int          // MiB that the boot sector asks of the machine, as Memory returns them; 0 is nothing
}

// Make returns the file.
func (f Format) Make(in Inputs) ([]byte, error) {
	switch f {
	case BzImage:
		return os.ReadFile(in.Image.BzImage)
	case Vmlinux:
		return os.ReadFile(in.Image.Vmlinux)
	case OCI:
		return container(in)
	case ISO, Raw:
		return in.disk()
	case QCOW2:
		d, err := in.disk()
		if err != nil {
			return nil, err
		}
		return disk.QCOW2(d), nil
	}
	return nil, fmt.Errorf("nothing makes a file of format %q", f)
}

// Memory is the smallest memory, in MiB, of a machine with one CPU that boots the file; 0 is unknown.
func (f Format) Memory(in Inputs) (int, error) {
	k, err := qemu.ReadKernel(in.Image.Vmlinux)
	if err != nil || f == Vmlinux || f == OCI {
		return guest.NeedOf(k, nil, 1).Least, err
	}
	packed, err := qemu.ReadKernel(in.Image.BzImage)
	if err != nil {
		return 0, err
	}
	var archive []byte
	if f.Boots() {
		if _, archive, err = in.alone(); err != nil {
			return 0, err
		}
	}
	k.End = packed.End // and once it is unpacked, it is as big as the other
	return guest.NeedOf(k, archive, 1).Least, nil
}

// alone is what a file brings besides the kernel.
func (in Inputs) alone() (cmdline string, archive []byte, err error) {
	return guest.Alone(guest.Options{
		Name: in.App.Name, Argv: append([]string{in.App.Called()}, in.App.Args...), Env: in.App.Env,
		User: in.User, Dir: in.Dir, Sysctl: in.App.Sysctl,
		Files: in.Files, Usual: in.Usual, Packed: in.Root.Image, Place: in.Root.Place,
	}, in.Append)
}

func (in Inputs) disk() ([]byte, error) {
	kernel, err := os.ReadFile(in.Image.BzImage)
	if err != nil {
		return nil, err
	}
	boot, err := os.ReadFile(in.Boot)
	if err != nil {
		return nil, err
	}
	c := disk.Contents{Boot: boot, Kernel: kernel, Label: in.App.Name, Memory: in.Memory}
	if c.Append, c.Initrd, err = in.alone(); err != nil {
		return nil, err
	}
	return disk.Image(c)
}

func container(in Inputs) ([]byte, error) {
	kernel, err := os.ReadFile(in.Image.Vmlinux)
	if err != nil {
		return nil, err
	}
	c := oci.Contents{Name: in.App.Name, Kernel: kernel, Args: in.App.Args, Env: in.App.Env}
	for _, p := range in.App.Ports {
		c.Ports = append(c.Ports, p.Exposed())
	}
	return oci.Archive(c)
}
