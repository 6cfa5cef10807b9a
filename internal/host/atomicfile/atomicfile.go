// Package atomicfile writes files whole: whoever looks finds the old content or the new one, also after a crash or on a
// full disk. A directory that is finished elsewhere appears at its place in one step.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// File gives a file this content; mode is that of a new one, as with os.WriteFile. It follows symbolic links. A
// temporary beside the file, whose name begins with a dot, is gone when it returns.
func File(path string, text []byte, mode fs.FileMode) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if fi, err := os.Stat(path); err == nil {
		mode = fi.Mode().Perm()
	}
	dir, name := filepath.Split(path)
	tmp, err := os.CreateTemp(filepath.Clean(dir), "."+name+"-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err := errors.Join(err, tmp.Chmod(mode), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// Directory moves the finished directory made to its place, where there is nothing or an empty directory. What is there
// otherwise stays, and is an error. Both are on one file system.
func Directory(made, dir string) error {
	// os.Rename refuses an empty directory, which rename(2) would replace. os.Remove would take a file, too.
	if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return os.Rename(made, dir)
}
