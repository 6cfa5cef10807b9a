package virtiofs

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// setFilter makes the calling thread, and what it executes, subject to a seccomp filter.
func setFilter(p *unix.SockFprog) error {
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(p)), 0, 0)
}
