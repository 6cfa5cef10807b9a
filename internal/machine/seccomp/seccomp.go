// Package seccomp makes filters of system calls, which hold for the calling thread and what it executes, for ever. A
// filter answers a call in place of the kernel, or asks ukl. It never allows what the kernel would not.
package seccomp

import (
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rule is an answer to a system call, in place of the kernel's. The first rule of a call that holds counts.
type Rule struct {
	Call   uint32
	Answer unix.Errno // 0 is success, without any effect
	Ask    bool       // the answer comes from whoever has the listener
	// If Flags is not 0, the rule holds only if the argument has one of these bits.
	Argument int
	Flags    uint32
	// Pointer makes a rule hold only if the argument is not NULL.
	Pointer bool
}

// Install makes the rules hold. listener is where questions arrive; -1 where no rule asks. The system refuses a second
// listener (EBUSY).
func Install(rules []Rule) (listener int, err error) {
	// Without it only root may install a filter. With it no program that is executed gains a privilege.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err
	}
	if len(rules) == 0 {
		return -1, nil
	}
	code := program(rules)
	f := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	var flags uintptr
	if slices.ContainsFunc(rules, func(r Rule) bool { return r.Ask }) {
		flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	set := func(more uintptr) (uintptr, unix.Errno) {
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags|more, uintptr(unsafe.Pointer(&f)))
		return fd, errno
	}
	var fd uintptr
	var errno unix.Errno
	if flags != 0 {
		// A signal must not repeat a call that ukl is doing already. Linux 5.19 knows how.
		fd, errno = set(unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	}
	if flags == 0 || errno == unix.EINVAL {
		fd, errno = set(0)
	}
	switch {
	case errno != 0:
		return -1, errno
	case flags == 0:
		return -1, nil
	}
	return int(fd), nil
}

// program is the filter for rules. Calls of another architecture, whose numbers are others, end the process.
func program(rules []Rule) []unix.SockFilter {
	const (
		load    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		minimum = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		anyOf   = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		end     = unix.BPF_RET | unix.BPF_K
		// Offsets in struct seccomp_data; the low half of an argument is first.
		number, architecture, arguments, half = 0, 4, 16, 4
		x32                                   = 1 << 30 // a bit of the numbers of the x32 ABI
	)
	code := []unix.SockFilter{
		{Code: load, K: architecture},
		{Code: equal, K: unix.AUDIT_ARCH_X86_64, Jt: 1},
		{Code: end, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: number},
		{Code: minimum, K: x32, Jf: 1},
		{Code: end, K: unix.SECCOMP_RET_KILL_PROCESS},
	}
	for _, r := range rules {
		answer := unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ERRNO | uint32(r.Answer)}
		if r.Ask {
			answer.K = unix.SECCOMP_RET_USER_NOTIF
		}
		low := uint32(arguments + 8*r.Argument)
		switch {
		case r.Pointer:
			code = append(code,
				unix.SockFilter{Code: equal, K: r.Call, Jf: 6},
				unix.SockFilter{Code: load, K: low},
				unix.SockFilter{Code: equal, K: 0, Jf: 2},
				unix.SockFilter{Code: load, K: low + half},
				unix.SockFilter{Code: equal, K: 0, Jt: 1},
				answer,
				unix.SockFilter{Code: load, K: number})
		case r.Flags != 0:
			code = append(code,
				unix.SockFilter{Code: equal, K: r.Call, Jf: 4},
				unix.SockFilter{Code: load, K: low},
				unix.SockFilter{Code: anyOf, K: r.Flags, Jf: 1},
				answer,
				unix.SockFilter{Code: load, K: number})
		default:
			code = append(code, unix.SockFilter{Code: equal, K: r.Call, Jf: 1}, answer)
		}
	}
	return append(code, unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ALLOW})
}
