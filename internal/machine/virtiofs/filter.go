package virtiofs

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// rule is an answer to a system call, in place of the kernel's.
type rule struct {
	call   uint32
	answer unix.Errno // 0 is success, without any effect
	// If flags is not 0, the rule holds only if the argument has one of these bits.
	argument int
	flags    uint32
}

// changeNothing are the rules of a server that only reads: of the calls that virtiofsd's own filter lets through, those
// that change something fail. A read-only mount would do so, too, but virtiofsd opens a file for writing to lock it.
// write() stays: virtiofsd writes files by pwrite() and pwritev(), and signals of the queue by write().
func changeNothing() []rule {
	var list []rule
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
		list = append(list, rule{call: call, answer: unix.EROFS})
	}
	const change = unix.O_CREAT | unix.O_TRUNC | unix.O_TMPFILE&^unix.O_DIRECTORY
	return append(list,
		rule{call: unix.SYS_OPEN, answer: unix.EROFS, argument: 1, flags: change},
		rule{call: unix.SYS_OPENAT, answer: unix.EROFS, argument: 2, flags: change},
		rule{call: unix.SYS_OPENAT2, answer: unix.EROFS})
}

// oneUser are the rules of a namespace with one user: the calls that change users and owners succeed and do nothing.
// Files belong to the user who runs ukl, whoever in the guest makes them, and a chown changes nothing. The rules also
// let virtiofsd start, which drops its groups first; no namespace of an ordinary user permits that.
func oneUser() []rule {
	var list []rule
	for _, call := range []uint32{
		unix.SYS_SETGROUPS, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
		unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT,
	} {
		list = append(list, rule{call: call})
	}
	return list
}

// filter makes the rules hold for the calling thread and what it executes, for ever. The first rule of a call counts.
func filter(rules []rule) error {
	if len(rules) == 0 {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	code := program(rules)
	f := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&f)), 0, 0)
}

// program is the filter for rules. Calls of another architecture, whose numbers are others, end the server.
func program(rules []rule) []unix.SockFilter {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		anyOf = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		end   = unix.BPF_RET | unix.BPF_K
		// Offsets in struct seccomp_data; the low half of an argument is first.
		number, architecture, arguments = 0, 4, 16
	)
	code := []unix.SockFilter{
		{Code: load, K: architecture},
		{Code: equal, K: unix.AUDIT_ARCH_X86_64, Jt: 1},
		{Code: end, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: number},
	}
	for _, r := range rules {
		answer := unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ERRNO | uint32(r.answer)}
		if r.flags == 0 {
			code = append(code, unix.SockFilter{Code: equal, K: r.call, Jf: 1}, answer)
			continue
		}
		code = append(code,
			unix.SockFilter{Code: equal, K: r.call, Jf: 4},
			unix.SockFilter{Code: load, K: uint32(arguments + 8*r.argument)},
			unix.SockFilter{Code: anyOf, K: r.flags, Jf: 1},
			answer,
			unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ALLOW})
	}
	return append(code, unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ALLOW})
}
