package confine

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Lacks is what this machine does not give to a confined QEMU or the servers of its volumes, each a sentence without
// its full stop; none is that it gives everything.
func Lacks() []string {
	sets, err := capabilities()
	mounts := err != nil || has(sets, unix.CAP_SYS_ADMIN)
	return lacks("/proc/sys/kernel", Landlock(), os.Geteuid() == 0, Own().ID != 0, mounts)
}

// lacks has own if root may become another user, and mounts if root may mount; an ordinary user needs neither.
func lacks(kernel string, landlock int, root, own, mounts bool) []string {
	read := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(kernel, name)) // what is not there is not set
		return strings.TrimSpace(string(b))
	}
	var list []string
	if landlock == 0 {
		list = append(list, "the kernel has no Landlock, so QEMU may open all files of its user")
	}
	if root && !own {
		list = append(list, "root may not become another user here, so QEMU's user is root without capabilities")
	}
	if root && !mounts {
		list = append(list, "root may not mount here, so directories are lent over 9P only")
	}
	scope := read("yama/ptrace_scope")
	switch {
	case !strings.Contains(read("seccomp/actions_avail"), "user_notif"):
		list = append(list, "the kernel does not ask about system calls, so guests without --allow-host reach no other machine")
	case !root && (scope == "2" || scope == "3"):
		list = append(list, "yama/ptrace_scope is "+scope+", so guests without --allow-host reach no other machine")
	}
	return list
}
