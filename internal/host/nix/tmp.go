package nix

import (
	"syscall"

	"ukl/internal/host/distribution"
)

// stNoexec is ST_NOEXEC of statvfs(3), which package syscall lacks.
const stNoexec = 8

// mayExecute tells whether programs in a directory can be executed, as far as its mount says.
func mayExecute(dir string) bool {
	var st syscall.Statfs_t
	return syscall.Statfs(dir, &st) == nil && st.Flags&stNoexec == 0
}

// DaemonHint is what helps a build that a daemon runs below a /tmp where nothing can be executed; "" where that is not
// so. The daemon has a TMPDIR of its own.
func DaemonHint() string {
	if mayExecute("/tmp") {
		return ""
	}
	return "/tmp is mounted noexec, and Nix's daemon builds there: " +
		distribution.AsRoot("systemctl edit nix-daemon") + ", and there: [Service] Environment=TMPDIR=/var/tmp"
}

// buildDir is what TMPDIR must be so that builds work: Nix until 2.29 builds below it, and hardened machines mount /tmp
// noexec, where no configure script can start what it has compiled. "" leaves it as it is: it is well, or nothing
// better is known.
func buildDir(tmpdir string, may func(string) bool) string {
	if tmpdir == "" {
		tmpdir = "/tmp"
	}
	const other = "/var/tmp"
	if may(tmpdir) || !may(other) {
		return ""
	}
	return other
}
