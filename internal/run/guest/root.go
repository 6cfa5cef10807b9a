package guest

import (
	"os"
	"path"
	"slices"
	"strings"

	"ukl/internal/machine/qemu"
)

// own are names at the top of the root that stay the guest's when a volume is its root.
func own() []string {
	return []string{"app", "dev", "init", "proc", "sys", "tmp", "ukl", path.Base(qemu.Root)}
}

// usual are the names of the Filesystem Hierarchy Standard, for a disk image: ukl does not read what is in it.
func usual() []string {
	return []string{
		"bin", "boot", "etc", "home", "lib", "lib32", "lib64", "media", "mnt", "opt", "root", "run", "sbin",
		"srv", "usr", "var",
	}
}

// tops are the names at the top of the volume that is the root, without the guest's own; none without such a volume.
func tops(volumes []qemu.Volume) ([]string, error) {
	at := slices.IndexFunc(volumes, qemu.Volume.IsRoot)
	if at < 0 {
		return nil, nil
	}
	if volumes[at].FileSystem != "" {
		return usual(), nil
	}
	entries, err := os.ReadDir(volumes[at].Host)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !slices.Contains(own(), e.Name()) && !strings.ContainsRune(e.Name(), '\n') {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// addLinks makes what is at the top of a volume for "/" appear there; what the tree has stays.
func (t *tree) addLinks(volumes []qemu.Volume) error {
	names, err := tops(volumes)
	for _, name := range names {
		if !t.has(name) {
			t.add(name, 0o120777, []byte(path.Join(qemu.Root, name)))
		}
	}
	return err
}

// Layers of the root of a guest whose root is a volume that nobody writes to: what comes first, and what comes last
// (init/ring0_rootfs.c).
const (
	firstLayer = qemu.Root + "/files/"
	lastLayer  = qemu.Root + "/base/"
)

// packed is where the kernel finds the image of a root that is on no disk.
const packed = qemu.Root + "/image.squashfs"

// layered tells whether the root is made of layers.
func (o *Options) layered() bool {
	return o.Packed != "" || slices.ContainsFunc(o.Machine.Volumes, qemu.Volume.Layered)
}

// mounts are what the kernel mounts before it starts the application, a line each.
func (o *Options) mounts() string {
	lines := o.Machine.Mounts()
	if o.Packed != "" {
		lines = "squashfs " + packed + " ro - /\n" + lines
	}
	return lines
}

// layers appends what is in the layers of the root besides the volume, and returns the first.
func (o *Options) layers(a *archive) (*tree, error) {
	a.add(qemu.Root[1:], 0o040755, nil)
	first, last := newTree(a, firstLayer[1:]), newTree(a, lastLayer[1:])
	for _, t := range []*tree{first, last} {
		a.add(strings.TrimSuffix(t.at, "/"), 0o040755, nil)
	}
	if o.Packed != "" {
		if err := a.pack(o.Packed); err != nil {
			return nil, err
		}
	}
	if err := first.addFiles(o.Files); err != nil {
		return nil, err
	}
	o.addIdentity(first)
	if err := last.addUsual(o.Usual); err != nil {
		return nil, err
	}
	o.addFurniture(last)
	return first, nil
}

// pack appends the image of a root that is on no disk.
func (a *archive) pack(image string) error {
	f, err := os.Open(image)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	return a.copy(packed[1:], 0o100600, fi.Size(), f)
}
