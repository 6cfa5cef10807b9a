package console

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// LogFile opens the file that keeps a guest's kernel log: kernel.log in dir, or kernel.2.log and so on while other
// guests of the same application run. It holds the log of the latest run and stays locked until it is closed.
func LogFile(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for n := 1; ; n++ {
		name := "kernel.log"
		if n > 1 {
			name = fmt.Sprintf("kernel.%d.log", n)
		}
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, f.Truncate(0)
		}
		f.Close()
		if err != syscall.EWOULDBLOCK {
			return nil, fmt.Errorf("%s: lock: %w", f.Name(), err)
		}
	}
}
