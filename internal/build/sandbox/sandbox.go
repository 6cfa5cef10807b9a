// Package sandbox runs a command inside a tree of Debian binaries as if the tree were the machine: own user and mount
// namespace, the tree read-only at /, and nothing else of the outside but /nix/store, /proc, /dev and an empty /build.
// The paths that a build sees (/build/src, /build/obj, /usr/bin/gcc) are the same wherever it runs. Needs no privilege
// but user namespaces, and works inside Nix's own sandbox.
package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// Linux constants that package syscall lacks.
const (
	capSysAdmin        = 21
	capabilityVersion3 = 0x20080522
	// statfs and mount(2) number these alike; relatime is the exception.
	sameFlags  = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC | syscall.MS_NOATIME | syscall.MS_NODIRATIME
	stRelatime = 0x1000
)

// Inside is the first argument by which the program that calls Run must know its own child, and hand over to Child.
const Inside = "enter-inside"

// Options of one run. Only Tree is needed.
type Options struct {
	Tree   string   // directory made by package tree
	Source string   // directory to show read-only at /build/src
	Binds  []string // further HOST:INSIDE directories, writable, INSIDE below /build; for work by hand
	Args   []string // of /bin/sh; none is an interactive shell
}

// ErrNamespaces is wrapped when the machine refuses user namespaces.
var ErrNamespaces = errors.New("no user namespaces here (user.max_user_namespaces, " +
	"kernel.unprivileged_userns_clone, AppArmor or a container's seccomp filter forbid them)")

// Run starts the command and returns its exit status; a command killed by signal N gives 128+N.
func Run(o Options) (int, error) {
	work, err := os.MkdirTemp(os.Getenv("NIX_BUILD_TOP"), "enter-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(work)
	cmd := exec.Command("/proc/self/exe", append([]string{Inside, o.Tree, work, o.Source, strings.Join(o.Binds, "\n")},
		o.Args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		// Not root inside: tar and configure behave for an ordinary user as on anybody's machine.
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 100, HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{capSysAdmin},
		Pdeathsig:   syscall.SIGKILL,
	}
	// Pdeathsig is tied to the thread that starts the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
	defer signal.Reset(syscall.SIGINT, syscall.SIGTERM)
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		ws := exit.Sys().(syscall.WaitStatus)
		if ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return ws.ExitStatus(), nil
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EUSERS):
		return 0, fmt.Errorf("%w: %v", ErrNamespaces, err)
	default:
		return 0, err
	}
}

// Child finishes what Run began, inside the new namespaces. It returns only on error.
func Child(args []string) error {
	if len(args) < 4 {
		return fmt.Errorf("%s is started by stage0 itself", Inside)
	}
	// Capabilities belong to a thread; the one that drops them must be the one that executes.
	runtime.LockOSThread()
	o := Options{Tree: args[0], Source: args[2], Args: args[4:]}
	if args[3] != "" {
		o.Binds = strings.Split(args[3], "\n")
	}
	if err := mounts(args[1], o); err != nil {
		return err
	}
	if err := dropCapabilities(); err != nil {
		return err
	}
	syscall.Umask(0o022)
	argv := append([]string{"sh", "-eu"}, o.Args...)
	if len(o.Args) == 0 {
		argv = []string{"sh", "-i"}
	}
	return fmt.Errorf("/bin/sh: %w", syscall.Exec("/bin/sh", argv, environment(os.Environ())))
}

// dropCapabilities empties every set of the calling thread, and with the permitted set the ambient one.
func dropCapabilities() error {
	header := struct {
		version uint32
		pid     int32
	}{version: capabilityVersion3}
	var none [2]struct{ effective, permitted, inheritable uint32 }
	if _, _, e := syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)),
		0); e != 0 {
		return fmt.Errorf("dropping capabilities: %w", e)
	}
	return nil
}

// mounts builds the new root below work, which holds nothing yet, and moves into it.
func mounts(work string, o Options) error {
	root, build, tmp := filepath.Join(work, "root"), filepath.Join(work, "build"), filepath.Join(work, "tmp")
	for _, d := range []string{root, tmp, filepath.Join(build, "src"), filepath.Join(build, "obj")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := bind(o.Tree, root); err != nil {
		return err
	}
	if err := readOnly(root); err != nil {
		return err
	}
	type mount struct{ from, to string }
	list := []mount{{build, "/build"}, {tmp, "/tmp"}, {"/proc", "/proc"}, {"/dev", "/dev"}}
	if _, err := os.Stat("/nix/store"); err == nil {
		list = append(list, mount{"/nix/store", "/nix/store"})
	}
	for _, b := range o.Binds {
		from, to, ok := strings.Cut(b, ":")
		if !ok || !strings.HasPrefix(filepath.Clean(to), "/build/") {
			return fmt.Errorf("%q is not HOST:/build/DIRECTORY", b)
		}
		if err := os.MkdirAll(filepath.Join(work, filepath.Clean(to)), 0o755); err != nil {
			return err
		}
		list = append(list, mount{from, to})
	}
	if o.Source != "" {
		list = append(list, mount{o.Source, "/build/src"})
	}
	for _, m := range list {
		if err := bind(m.from, root+m.to); err != nil {
			return err
		}
	}
	if o.Source != "" {
		if err := readOnly(root + "/build/src"); err != nil {
			return err
		}
	}
	// pivot_root(".", ".") stacks the old root over the new one; detaching it leaves no way back.
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := syscall.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := syscall.Unmount(".", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the old root: %w", err)
	}
	return os.Chdir("/build")
}

func bind(from, to string) error {
	if err := syscall.Mount(from, to, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("mounting %s at %s: %w", from, to, err)
	}
	return nil
}

// readOnly makes a bind mount read-only and keeps the flags that a user namespace may not clear.
func readOnly(at string) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(at, &s); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	flags := uintptr(s.Flags) & sameFlags
	if s.Flags&stRelatime != 0 {
		flags |= syscall.MS_RELATIME
	}
	if err := syscall.Mount("", at, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY|flags, ""); err != nil {
		return fmt.Errorf("making %s read-only: %w", at, err)
	}
	return nil
}

// environment keeps what the caller's derivation set and fixes the rest.
func environment(in []string) []string {
	fixed := []string{
		"HOME=/build", "LC_ALL=C", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "SHELL=/bin/sh", "SOURCE_DATE_EPOCH=1",
		"TMPDIR=/tmp", "TZ=UTC", "USER=build", "LOGNAME=build",
	}
	gone := map[string]bool{
		"NIX_BUILD_TOP": true, "NIX_LOG_FD": true, "NIX_STORE": true, "TMP": true, "TEMP": true, "TEMPDIR": true, "PWD": true,
		"OLDPWD": true, "builder": true, "system": true,
	}
	for _, v := range fixed {
		name, _, _ := strings.Cut(v, "=")
		gone[name] = true
	}
	var out []string
	for _, v := range in {
		name, value, _ := strings.Cut(v, "=")
		switch {
		case gone[name]:
		case name == "NIX_BUILD_CORES" && value == "0":
			out = append(out, name+"="+strconv.Itoa(runtime.NumCPU()))
		default:
			out = append(out, v)
		}
	}
	return append(out, fixed...)
}
