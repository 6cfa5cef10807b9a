// Package virtiofs lends a directory of the host to a guest, through the virtiofsd of QEMU's tree. A server serves one
// directory to one guest, and ends with it. It needs no privilege but a user and a mount namespace.
package virtiofs

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ukl/internal/host/userns"
	"ukl/internal/machine/confine"
	"ukl/internal/machine/qemu"
	"ukl/internal/machine/seccomp"
)

// First arguments by which the program that calls Start or Command must know what it is asked for.
const (
	Inside    = "virtiofsd-inside" // by Start: hand over to Child
	Listening = "virtiofsd-listen" // by Command: hand over to Listen
)

// ErrNamespaces is wrapped when the machine refuses the namespaces that a server needs, or what it does in them.
var ErrNamespaces = errors.New("no namespaces for a server here")

// Server is a running virtiofsd.
type Server struct{ process *qemu.Process }

// Access is what a guest may do to a directory.
type Access struct {
	ReadOnly bool
	// Trusted lets the guest set owners, and bits that lend an owner's rights, as far as the user who runs ukl may.
	Trusted bool
}

// Start serves a directory, whose path is as of realpath.Of, by a virtiofsd, which argv runs. guest is the other end,
// for QEMU to inherit; the caller closes it. A server ends when QEMU closes that end, or when ukl ends.
func Start(argv []string, dir string, may Access) (s Server, guest *os.File, err error) {
	listener, guest, err := pair()
	if err != nil {
		return Server{}, nil, err
	}
	defer listener.Close()
	cmd := child(argv, listener, dir, may)
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	p, err := qemu.StartProcess(cmd)
	if err != nil {
		guest.Close()
		return Server{}, nil, refused(err)
	}
	return Server{p}, guest, nil
}

// refused is the error of a child that did not start.
func refused(err error) error {
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EUSERS) {
		return fmt.Errorf("%w: %v", ErrNamespaces, err)
	}
	return err
}

// Command is what somebody types to serve a directory at a socket, by the program self. It ends when QEMU can connect;
// the server ends with the guest.
func Command(self, socket string, argv []string, dir string, may Access) []string {
	return append([]string{self, Listening, socket, dir, may.word()}, argv...)
}

// Listen does what Command asks for, with the arguments behind Listening. What the server says is in a file beside the
// socket, SOCKET.log: it complains of each guest's end.
func Listen(args []string) error {
	if len(args) < 4 {
		return fmt.Errorf("%s is what ukl run --dry-run prints", Listening)
	}
	_ = os.Remove(args[0]) // an earlier one
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: args[0], Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	listener, err := l.File()
	if err != nil {
		return err
	}
	defer listener.Close()
	said, err := os.Create(args[0] + ".log")
	if err != nil {
		return err
	}
	defer said.Close()
	cmd := child(args[3:], listener, args[1], accessOf(args[2]))
	cmd.Stdout, cmd.Stderr = said, said
	return refused(cmd.Start())
}

// child is the command that becomes the server of those who connect to a socket.
func child(argv []string, listener *os.File, dir string, may Access) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", append([]string{Inside, dir, may.word()}, argv...)...)
	cmd.Args[0] = os.Args[0]
	cmd.ExtraFiles = []*os.File{listener}
	cmd.SysProcAttr = isolation()
	return cmd
}

// word is the third argument of the child.
func (a Access) word() string {
	w := "rw"
	if a.ReadOnly {
		w = "ro"
	}
	if a.Trusted {
		w += ",trusted"
	}
	return w
}

// accessOf reads word back.
func accessOf(word string) Access {
	mode, trusted := strings.CutSuffix(word, ",trusted")
	return Access{ReadOnly: mode == "ro", Trusted: trusted}
}

// isolation is how the child starts: with mounts of its own. An ordinary user needs to be root of a namespace to change
// them.
func isolation() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		a = userns.Root(syscall.CLONE_NEWNS)
	}
	a.Setpgid = true
	return a
}

// pair is a socket that listens, and a connection that waits there. virtiofsd accepts one; a pair made at once would
// not do.
func pair() (listener, guest *os.File, err error) {
	dir, err := os.MkdirTemp("", "ukl-virtiofs-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	open, err := os.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	defer open.Close()
	// A socket's name has at most 107 bytes, the path of a directory any number.
	name := &net.UnixAddr{Name: fmt.Sprintf("/proc/self/fd/%d/s", open.Fd()), Net: "unix"}
	l, err := net.ListenUnix("unix", name)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	c, err := net.DialUnix("unix", nil, name)
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	if listener, err = l.File(); err != nil {
		return nil, nil, err
	}
	if guest, err = c.File(); err != nil {
		listener.Close()
	}
	return listener, guest, err
}

// Done is closed when the server has ended.
func (s Server) Done() <-chan struct{} { return s.process.Done() }

// Failure is why the server ended, if it ended badly; nil if it is still there, or ended when its guest did.
func (s Server) Failure() error {
	select {
	case <-s.Done():
	default:
		return nil
	}
	why := s.process.Failure()
	if why == "" {
		return nil
	}
	if _, said, ok := strings.Cut(why, ErrNamespaces.Error()); ok { // by the child
		return fmt.Errorf("%w%s", ErrNamespaces, said)
	}
	return errors.New("virtiofsd: " + why)
}

// patience is how long a server may take to end when its guest has.
const patience = time.Second

// Close waits for the server's end, and makes one if need be. The guest must have ended.
func (s Server) Close() {
	select {
	case <-s.Done():
	case <-time.After(patience):
		s.process.Kill()
	}
}

// socket is the number of the listening socket in the child.
const socket = 3

// Child becomes the server, in the namespace that Start has made. It returns only on error.
func Child(args []string) error {
	if len(args) < 3 {
		return fmt.Errorf("%s is started by ukl itself", Inside)
	}
	dir, may, argv := args[0], accessOf(args[1]), args[2:]
	lone := inNamespace()
	if err := enter(dir, argv); err != nil {
		return err
	}
	if err := raiseFiles(); err != nil {
		return fmt.Errorf("%s: number of open files: %w", dir, err)
	}
	// The kernel writes a core dump into the working directory, the volume, whatever the filter says: a guest can have
	// virtiofsd abort, and its own memory is in the dump.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("%s: core dumps: %w", dir, err)
	}
	if err := confine.CloseFrom(socket + 1); err != nil {
		return fmt.Errorf("%s: descriptors: %w", dir, err)
	}
	var rules []seccomp.Rule
	if may.ReadOnly {
		rules = append(rules, changeNothing()...)
	}
	if !may.Trusted || lone {
		rules = append(rules, oneUser()...)
	}
	runtime.LockOSThread() // a filter belongs to the thread, which executes
	if _, err := seccomp.Install(rules); err != nil {
		return fmt.Errorf("%s: seccomp filter: %w", dir, err)
	}
	return fmt.Errorf("%s: %w", argv[0], syscall.Exec(argv[0], append(argv, options(may)...), []string{}))
}

// options of virtiofsd. With timeout=0 the guest asks the host each time whether a file is still what it was, so that
// each side sees what the other writes. A guest makes no devices on the host, even if root runs ukl. Unless it is
// trusted, no file gets capabilities, and a file that is written loses its set-user-id bit. Other attributes in
// security., the labels of SELinux above all, are the host's alone: ENOTSUP, since EPERM would keep the guest's kernel
// from running programs.
func options(may Access) []string {
	capabilities := "-mknod"
	if !may.Trusted {
		capabilities += ":-setfcap:-fsetid"
	}
	return []string{
		"-f", fmt.Sprintf("--fd=%d", socket), "--rlimit-nofile=0",
		"-o", "source=" + volume,
		"-o", "xattrmap=" + attributes,
		"-o", "sandbox=chroot,cache=auto,timeout=0,posix_lock,flock,log_level=warn,modcaps=" + capabilities,
	}
}

// attributes are virtiofsd's rules for extended attributes, the first of which that fits counts:
// :TYPE:SCOPE:NAME ON THE GUEST'S SIDE:NAME ON THE HOST'S:.
const attributes = ":ok:all:security.capability:security.capability:" +
	":unsupported:all:security.:security.:" +
	":ok:all:::"

// raiseFiles lets the server open as many files as it may: it holds one for each that the guest's kernel knows.
func raiseFiles() error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	l.Cur = l.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
}

// inNamespace tells whether the child is root by a namespace only.
func inNamespace() bool {
	m, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(m))
	return err == nil && len(f) == 3 && f[2] == "1"
}
