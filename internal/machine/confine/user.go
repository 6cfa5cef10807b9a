package confine

import (
	"bufio"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// User is whom a program becomes. The zero value changes nothing.
type User struct {
	ID     int   // of user and group
	Groups []int // further ones
}

// Users that nobody is: a range that no distribution hands out, of which each process of ukl takes one, and nobody.
const (
	firstUser = 0x50000000
	nobody    = 65534
)

// Own is a user for one program, whom no other program is. It is the zero value where this process may not become that
// user, or could not look after its child then.
func Own() User {
	sets, err := capabilities()
	if err != nil || os.Geteuid() != 0 {
		return User{}
	}
	// To become the user; then to end it, to see where it connects to, and to share a port with it.
	for _, c := range []int{unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_KILL, unix.CAP_SYS_PTRACE, unix.CAP_CHOWN} {
		if !has(sets, c) {
			return User{}
		}
	}
	for _, id := range []int{firstUser + os.Getpid(), nobody} {
		if mapped("/proc/self/uid_map", id) && mapped("/proc/self/gid_map", id) {
			return User{ID: id}
		}
	}
	return User{}
}

// mapped tells whether a map of a user namespace has an ID.
func mapped(file string, id int) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var first, outer, count int64
		if n, _ := fmt.Sscan(sc.Text(), &first, &outer, &count); n == 3 && int64(id) >= first && int64(id)-first < count {
			return true
		}
	}
	return false
}

// become makes the thread the user, and keeps what capabilities it has.
func (u User) become() error {
	if u.ID == 0 {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return err
	}
	groups := make([]uint32, len(u.Groups)+1)
	for i, g := range u.Groups {
		groups[i] = uint32(g)
	}
	// System calls of the thread alone: the functions of package syscall would stop the others first.
	id := uintptr(u.ID)
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(u.Groups)), uintptr(unsafe.Pointer(&groups[0])), 0)
	for _, call := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
		if errno == 0 {
			_, _, errno = unix.RawSyscall(call, id, id, id)
		}
	}
	if errno != 0 {
		return errno
	}
	return nil
}
