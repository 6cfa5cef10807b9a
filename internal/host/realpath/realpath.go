// Package realpath opens what a path led to when it was looked at, and nothing else: somebody who may write to a
// directory on the way, a guest say, may have put a link there since.
package realpath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ukl/internal/cli/exit"
)

// Moved says that a path which had no link in it has one now.
type Moved struct{ Path string }

func (e *Moved) Error() string {
	return fmt.Sprintf("%s has changed: a link is on the way now", e.Path)
}

// ExitCode is the code of a command that this ends.
func (*Moved) ExitCode() exit.Code { return exit.Input }

// Of is the absolute path, without any link in it, of what a path leads to.
func Of(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// Inside tells whether a path is that of a directory or of something below it. Both are as Of has them.
func Inside(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// Open opens a path of Of, with flags as those of os.OpenFile. It follows no link: one is an error that wraps a *Moved.
func Open(path string, flags int) (*os.File, error) {
	dir, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/", Err: err}
	}
	defer func() { unix.Close(dir) }()
	names := strings.Split(strings.Trim(filepath.Clean(path), "/"), "/")
	for i, name := range names {
		how, last := unix.O_PATH|unix.O_DIRECTORY, i == len(names)-1
		if name == "" {
			name = "." // the path is "/"
		}
		if last {
			how = flags
		}
		fd, err := unix.Openat(dir, name, how|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) && isLink(dir, name) {
			return nil, &Moved{path}
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		if last {
			if flags&unix.O_PATH != 0 && isLink(dir, name) { // which O_PATH opens itself
				unix.Close(fd)
				return nil, &Moved{path}
			}
			return os.NewFile(uintptr(fd), path), nil
		}
		unix.Close(dir)
		dir = fd
	}
	panic("a path has at least one name")
}

func isLink(dir int, name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK
}
