// Package scratch makes temporary directories. Whoever makes one also removes those of its kind that a killed process
// left: a directory is locked as long as its process lives.
package scratch

import (
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// settling is how long a directory may be unlocked after it was made.
const settling = time.Minute

// Dir makes a directory in the usual place for temporary files. done removes it. The prefix names the kind: ukl-pins-.
func Dir(prefix string) (dir string, done func(), err error) {
	sweep(filepath.Join(os.TempDir(), prefix+"*"))
	dir, err = os.MkdirTemp("", prefix)
	if err != nil {
		return "", nil, err
	}
	lock, err := locked(dir)
	if err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	return dir, func() {
		os.RemoveAll(dir)
		lock.Close()
	}, nil
}

// locked opens a directory and locks it. A program that is executed does not inherit the lock.
func locked(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sweep removes this user's directories that fit a pattern and that no process has. It is best effort.
func sweep(pattern string) {
	dirs, _ := filepath.Glob(pattern) // the pattern is a good one
	for _, dir := range dirs {
		fi, err := os.Lstat(dir)
		if err != nil || !fi.IsDir() || time.Since(fi.ModTime()) < settling {
			continue
		}
		if st, ok := fi.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Getuid() {
			continue
		}
		lock, err := locked(dir)
		if err != nil {
			continue
		}
		os.RemoveAll(dir)
		lock.Close()
	}
}
