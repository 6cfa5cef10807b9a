// Package inuse tells whether several processes of one user use the same directory, wherever it is mounted and by
// whatever name. It locks a file of its own: a lock of the directory itself could be in the way of programs.
package inuse

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Hold notes that this process uses dir until done is called or it ends; others tells whether a process does already.
// The notes are in a folder, which is made; what that takes can fail.
func Hold(dir, folder string) (others bool, done func(), err error) {
	fi, err := os.Stat(dir)
	if err != nil {
		return false, nil, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return false, nil, fmt.Errorf("%s: no device and inode", dir)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return false, nil, err
	}
	name := filepath.Join(folder, fmt.Sprintf("%d-%d", st.Dev, st.Ino))
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return false, nil, err
		}
		others, err := share(f)
		if err != nil {
			f.Close()
			return false, nil, err
		}
		if is(f, name) {
			return others, func() { release(f) }, nil
		}
		f.Close() // the last user has removed it in the meantime
	}
}

func lock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how); err != syscall.EINTR {
			return err
		}
	}
}

// share takes part in the lock and tells whether it is not the only one.
func share(f *os.File) (others bool, err error) {
	switch err := lock(f, syscall.LOCK_EX|syscall.LOCK_NB); err {
	case nil:
	case syscall.EWOULDBLOCK:
		others = true
	default:
		return false, err
	}
	return others, lock(f, syscall.LOCK_SH) // nobody keeps the other kind for long
}

// is tells whether the open file has that name.
func is(f *os.File, name string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(name)
	return err == nil && os.SameFile(mine, there)
}

// release removes the file if nobody else has it locked.
func release(f *os.File) {
	if lock(f, syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		os.Remove(f.Name())
	}
	f.Close()
}
