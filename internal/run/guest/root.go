package guest

import (
	"bytes"
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

// addLinks makes what is at the top of a volume for "/" appear there; had are the names of all members of the archive,
// which stay.
func addLinks(b *bytes.Buffer, volumes []qemu.Volume, had members) error {
	names, err := tops(volumes)
	for _, name := range names {
		if !had.has(name) {
			entry(b, name, 0o120777, []byte(path.Join(qemu.Root, name)))
			had[name] = link
		}
	}
	return err
}
