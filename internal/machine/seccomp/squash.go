package seccomp

import "golang.org/x/sys/unix"

// Squash are the rules for a program that makes files on the host for somebody else. What is made belongs to the user
// of the program: calls that change an owner succeed and do nothing. No file gets a bit that lends its owner's rights
// to whoever executes it, and none is a device (EPERM).
func Squash() []Rule {
	const (
		lending = unix.S_ISUID | unix.S_ISGID
		device  = unix.S_IFCHR // block devices have this bit, too, and nothing else that mknod() makes
	)
	list := []Rule{
		{Call: unix.SYS_CHMOD, Answer: unix.EPERM, Argument: 1, Flags: lending},
		{Call: unix.SYS_FCHMOD, Answer: unix.EPERM, Argument: 1, Flags: lending},
		{Call: unix.SYS_FCHMODAT, Answer: unix.EPERM, Argument: 2, Flags: lending},
		{Call: unix.SYS_FCHMODAT2, Answer: unix.EPERM, Argument: 2, Flags: lending},
		{Call: unix.SYS_OPEN, Answer: unix.EPERM, Argument: 2, Flags: lending},
		{Call: unix.SYS_OPENAT, Answer: unix.EPERM, Argument: 3, Flags: lending},
		{Call: unix.SYS_CREAT, Answer: unix.EPERM, Argument: 1, Flags: lending},
		{Call: unix.SYS_OPENAT2, Answer: unix.ENOSYS}, // its mode is in memory
		{Call: unix.SYS_MKNOD, Answer: unix.EPERM, Argument: 1, Flags: lending | device},
		{Call: unix.SYS_MKNODAT, Answer: unix.EPERM, Argument: 2, Flags: lending | device},
		// What a rename leaves behind then is a device, for which Linux 5.8 and later ask for no right.
		{Call: unix.SYS_RENAMEAT2, Answer: unix.EINVAL, Argument: 4, Flags: unix.RENAME_WHITEOUT},
		{Call: unix.SYS_IO_URING_SETUP, Answer: unix.ENOSYS}, // a way around the filter
	}
	for _, call := range []uint32{unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT} {
		list = append(list, Rule{Call: call})
	}
	return list
}
