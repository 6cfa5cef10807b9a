package virtiofs

import (
	"golang.org/x/sys/unix"

	"ukl/internal/machine/seccomp"
)

// changeNothing are the rules of a server that only reads: of the calls that virtiofsd's own filter lets through, those
// that change something fail. A read-only mount would do so, too, but virtiofsd opens a file for writing to lock it.
// write() stays: virtiofsd writes files by pwrite() and pwritev(), and signals of the queue by write().
func changeNothing() []seccomp.Rule {
	var list []seccomp.Rule
	for _, call := range []uint32{
		unix.SYS_PWRITE64, unix.SYS_PWRITEV, unix.SYS_PWRITEV2, unix.SYS_COPY_FILE_RANGE, unix.SYS_SENDFILE, unix.SYS_SPLICE,
		unix.SYS_TRUNCATE, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_CREAT,
		unix.SYS_LINK, unix.SYS_LINKAT, unix.SYS_SYMLINK, unix.SYS_SYMLINKAT, unix.SYS_MKDIR, unix.SYS_MKDIRAT,
		unix.SYS_MKNOD, unix.SYS_MKNODAT, unix.SYS_UNLINK, unix.SYS_UNLINKAT, unix.SYS_RMDIR,
		unix.SYS_RENAME, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2,
		unix.SYS_CHMOD, unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2,
		unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT,
		unix.SYS_UTIME, unix.SYS_UTIMES, unix.SYS_FUTIMESAT, unix.SYS_UTIMENSAT,
		unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR,
		unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR,
	} {
		list = append(list, seccomp.Rule{Call: call, Answer: unix.EROFS})
	}
	const change = unix.O_CREAT | unix.O_TRUNC | unix.O_TMPFILE&^unix.O_DIRECTORY
	return append(list,
		seccomp.Rule{Call: unix.SYS_OPEN, Answer: unix.EROFS, Argument: 1, Flags: change},
		seccomp.Rule{Call: unix.SYS_OPENAT, Answer: unix.EROFS, Argument: 2, Flags: change},
		seccomp.Rule{Call: unix.SYS_OPENAT2, Answer: unix.EROFS})
}

// oneUser are the rules that make all files belong to the user who runs ukl, whoever in the guest makes them: virtiofsd
// stays that user. They also let virtiofsd start in a namespace of one user, where it drops its groups first; no
// namespace of an ordinary user permits that.
func oneUser() []seccomp.Rule {
	return append([]seccomp.Rule{
		{Call: unix.SYS_SETGROUPS}, {Call: unix.SYS_SETRESUID}, {Call: unix.SYS_SETRESGID},
	}, seccomp.Squash()...)
}
