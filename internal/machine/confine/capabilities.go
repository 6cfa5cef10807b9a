package confine

import "golang.org/x/sys/unix"

// drop takes capabilities from the thread, and from all that it executes.
func drop(list []int) error {
	if len(list) == 0 {
		return nil
	}
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&head, &sets[0]); err != nil {
		return err
	}
	for _, c := range list {
		// What a program of root gets is limited by this set alone. Who may not change it gets nothing by executing.
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		if err != nil && err != unix.EPERM && err != unix.EINVAL {
			return err
		}
		bit := uint32(1) << (c % 32)
		s := &sets[c/32]
		s.Effective &^= bit
		s.Permitted &^= bit
		s.Inheritable &^= bit
	}
	return unix.Capset(&head, &sets[0])
}
