package nix

import "syscall"

// stNoexec is ST_NOEXEC of statvfs(3), which package syscall lacks.
const stNoexec = 8

// mayExecute tells whether programs in a directory can be executed, as far as its mount says.
func mayExecute(dir string) bool {
	var st syscall.Statfs_t
	return syscall.Statfs(dir, &st) == nil && st.Flags&stNoexec == 0
}

// buildDir is what TMPDIR must be so that builds work: Nix until 2.29 builds below it, and hardened machines mount /tmp noexec, where no
// configure script can start what it has compiled. "" leaves it as it is: it is well, or nothing better is known.
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
