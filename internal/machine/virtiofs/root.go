package virtiofs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ukl/internal/host/realpath"
)

// volume is where a server finds the directory that it serves.
const volume = "/.volume"

// fileMax is a file that virtiofsd wants to read, though it needs no number from there.
const fileMax = "/proc/sys/fs/file-max"

// enter moves this process, whose mount namespace must be its own, into a root that has nothing but the directory at
// volume, what argv names by absolute paths, alone or between colons, /proc/self, and fileMax. The directory's path has
// no link in it.
//
// A guest may ask for the directory above any other, and somebody may move that one out of the volume meanwhile. The
// directory is a mount of its own, therefore: the kernel knows no way up from what is not below a mount's root. A mere
// chroot() would let the server climb to the host's root.
func enter(dir string, argv []string) error {
	// What is mounted here must not appear outside. What is mounted or unmounted outside does appear here.
	if err := mount("", "/", unix.MS_SLAVE|unix.MS_REC); err != nil {
		return err
	}
	shared, err := realpath.Open(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer shared.Close()
	named, err := open(paths(argv))
	if err != nil {
		return err
	}
	self, err := os.OpenFile("/proc/self", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer self.Close()

	// The new root grows over /proc, which is everywhere. The way to what was opened is by the directory of this
	// process, which stays the working directory.
	const root = "/proc"
	if err := self.Chdir(); err != nil {
		return err
	}
	if err := unix.Mount("ukl", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=4k,mode=755"); err != nil {
		return refusal("mount", root, err)
	}
	for _, f := range named {
		if err := bind(f, root+f.Name()); err != nil {
			return err
		}
		f.Close()
	}
	for _, d := range []string{root + volume, root + "/proc/self"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := mount(".", root+"/proc/self", unix.MS_BIND|unix.MS_REC); err != nil {
		return err
	}
	// Where the kernel cannot do that (before Linux 5.12), a server that a guest has taken over may change its program.
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	err = unix.MountSetattr(unix.AT_FDCWD, root, unix.AT_RECURSIVE, &attr)
	if err != nil && err != unix.ENOSYS {
		return refusal("mount_setattr", root, err)
	}
	if err := bind(shared, root+volume); err != nil {
		return err
	}

	// pivot_root(".", ".") stacks the old root over the new one; detaching it leaves no way back.
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return refusal("pivot_root", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return refusal("umount", "/", err)
	}
	return os.Chdir("/")
}

// open opens the files and directories that are there.
func open(paths []string) ([]*os.File, error) {
	var list []*os.File
	for _, path := range paths {
		f, err := os.OpenFile(path, unix.O_PATH, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

// paths are the absolute paths in argv, and fileMax.
func paths(argv []string) []string {
	list := []string{fileMax}
	for _, word := range argv {
		for path := range strings.SplitSeq(word, ":") {
			if filepath.IsAbs(path) {
				list = append(list, filepath.Clean(path))
			}
		}
	}
	return list
}

// bind makes an open file or directory appear at a path too, with all mounts below it.
func bind(f *os.File, at string) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if fi.IsDir() {
		err = os.MkdirAll(at, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(at), 0o755); err == nil {
		err = os.WriteFile(at, nil, 0o444)
	}
	if err != nil {
		return err
	}
	return mount(fmt.Sprintf("fd/%d", f.Fd()), at, unix.MS_BIND|unix.MS_REC)
}

func mount(from, to string, flags uintptr) error {
	if err := unix.Mount(from, to, "", flags, ""); err != nil {
		return refusal("mount", to, err)
	}
	return nil
}

// refusal is the error of a system call that needs a namespace, and rights there.
func refusal(call, path string, err error) error {
	return fmt.Errorf("%w: %w", ErrNamespaces, &fs.PathError{Op: call, Path: path, Err: err})
}
