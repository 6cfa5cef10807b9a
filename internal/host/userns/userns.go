// Package userns tells whether this process may make user namespaces, of which Nix's sandbox and stage0 inside it are
// made, and what of the machine forbids it. It changes nothing.
package userns

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Try runs a program in a user, a mount and a PID namespace. program must end by itself, soon and well.
func Try(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = Root(syscall.CLONE_NEWNS | syscall.CLONE_NEWPID)
	return cmd.Run()
}

// Root makes a child root of a user namespace in which there is no other user than this one, and gives it further
// namespaces (CLONE_NEW…).
func Root(namespaces uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | namespaces,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
}

// Remedy is the command that lifts what forbids user namespaces here; where no setting does, it is what a container
// needs.
func Remedy() string { return remedy("/proc/sys", os.Getuid() == 0) }

func remedy(sys string, root bool) string {
	for _, s := range []struct{ file, bad, good string }{
		{"kernel/unprivileged_userns_clone", "0", "1"},             // Debian's kernels
		{"kernel/apparmor_restrict_unprivileged_userns", "1", "0"}, // Ubuntu's, since 23.10
		{"user/max_user_namespaces", "0", "10000"},
	} {
		b, err := os.ReadFile(filepath.Join(sys, s.file))
		if err == nil && strings.TrimSpace(string(b)) == s.bad {
			set := fmt.Sprintf("sysctl %s=%s", strings.ReplaceAll(s.file, "/", "."), s.good)
			if root {
				return set
			}
			return "sudo " + set
		}
	}
	return "no namespaces below a chroot; a container needs --security-opt seccomp=unconfined, or --privileged"
}
