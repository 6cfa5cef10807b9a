package confine

import (
	"slices"

	"golang.org/x/sys/unix"
)

// capabilities are the thread's sets.
func capabilities() (sets [2]unix.CapUserData, err error) {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	err = unix.Capget(&head, &sets[0])
	return sets, err
}

// has tells whether a capability is effective.
func has(sets [2]unix.CapUserData, c int) bool { return sets[c/32].Effective>>(c%32)&1 != 0 }

// bound takes capabilities from what a program of root can ever get. Who may not do that gets nothing by executing.
func bound(list []int) error {
	for _, c := range list {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		if err != nil && err != unix.EPERM && err != unix.EINVAL {
			return err
		}
	}
	return nil
}

// drop takes capabilities from the thread. What is left passes on to what it executes, also without root.
func drop(list []int) error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	sets, err := capabilities()
	if err != nil {
		return err
	}
	for _, c := range list {
		sets[c/32].Permitted &^= 1 << (c % 32)
	}
	for i := range sets {
		sets[i].Effective, sets[i].Inheritable = sets[i].Permitted, sets[i].Permitted
	}
	if err := unix.Capset(&head, &sets[0]); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	for c := range unix.CAP_LAST_CAP + 1 {
		if has(sets, c) {
			if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// AllBut are all capabilities but some.
func AllBut(some ...int) []int {
	var list []int
	for c := range 64 { // more than any kernel has
		if !slices.Contains(some, c) {
			list = append(list, c)
		}
	}
	return list
}
