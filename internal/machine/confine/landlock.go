package confine

import (
	"errors"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Path is a file or directory that a program may use, with everything below it. Others it cannot open.
type Path struct {
	Name    string
	Write   bool // to read is always allowed
	Execute bool
	Device  bool // to control it by ioctl()
}

// Rights of Landlock that the versions of its interface have brought.
const (
	first = 1<<13 - 1 // version 1

	reads  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	ofFile = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// Landlock is the version of the kernel's interface to keep a program from files; 0 is none. Version 1 refuses to
// rename a file into another directory.
func Landlock() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// restrict leaves the thread some paths, where the kernel can do that. A path that is not there is left out.
func restrict(paths []Path) error {
	version := Landlock()
	if version == 0 || len(paths) == 0 {
		return nil
	}
	handled := uint64(first)
	attr := unix.LandlockRulesetAttr{}
	for _, right := range []struct {
		version int
		access  uint64
	}{{2, unix.LANDLOCK_ACCESS_FS_REFER}, {3, unix.LANDLOCK_ACCESS_FS_TRUNCATE}, {5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV}} {
		if version >= right.version {
			handled |= right.access
		}
	}
	if version >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	attr.Handled_access_fs = handled
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)),
		unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(rules))
	for _, p := range paths {
		if err := p.allow(int(rules), handled); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &fs.PathError{Op: "landlock", Path: p.Name, Err: err}
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// allow adds a path to the rules.
func (p Path) allow(rules int, handled uint64) error {
	access := uint64(reads)
	if p.Write {
		access = handled &^ (unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV |
			unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR)
	}
	if p.Execute {
		access |= unix.LANDLOCK_ACCESS_FS_EXECUTE
	}
	if p.Device {
		access |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	fi, err := os.Stat(p.Name)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		access &= ofFile
	}
	fd, err := unix.Open(p.Name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	attr := unix.LandlockPathBeneathAttr{Allowed_access: access & handled, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
