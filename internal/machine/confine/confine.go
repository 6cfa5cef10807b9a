// Package confine starts QEMU with less than ukl itself may do. A process of ukl gives up what the plan says, and then
// becomes the program: there is no moment at which the program has more.
package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"ukl/internal/machine/seccomp"
)

// Inside is the first argument by which the program that uses this package must know that it is asked to hand over to
// Child.
const Inside = "confine-inside"

// Plan is what a program gives up.
type Plan struct {
	Rules []seccomp.Rule
	Drop  []int // capabilities; those that ukl has not got itself do not matter
	User  User
	// Paths are all that the program may use of the host's files, where the kernel has Landlock; none is no limit.
	Paths []Path
	// Line is the child's descriptor of a Unix socket, by which it tells what it could do: see Told. 0 is none.
	Line int
	// Files are how many descriptors the program has besides the first three; others that ukl has inherited itself, and
	// does not know, end here. 0 leaves all.
	Files int
	// Otherwise are words of the program's arguments and what takes their place if rules cannot ask.
	Otherwise map[string]string
}

// Command is the command that becomes argv by way of Child. It takes the same descriptors.
func Command(p Plan, argv []string) (*exec.Cmd, error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, err
	}
	plan, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe", append([]string{Inside, string(plan), path}, argv[1:]...)...)
	cmd.Args[0] = os.Args[0]
	return cmd, nil
}

// Child gives up what a plan says and becomes the program. It returns only on error.
func Child(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("%s is started by ukl itself", Inside)
	}
	var p Plan
	if err := json.Unmarshal([]byte(args[0]), &p); err != nil {
		return err
	}
	argv := slices.Clone(args[1:])
	if p.Line != 0 {
		unix.CloseOnExec(p.Line)
	}
	runtime.LockOSThread() // what follows belongs to the thread, which executes
	if err := p.give(); err != nil {
		return err
	}
	listener, err := seccomp.Install(p.Rules)
	if err != nil && p.Line != 0 { // an old kernel, or somebody else asks already
		rest := slices.DeleteFunc(p.Rules, func(r seccomp.Rule) bool { return r.Ask })
		if listener, err = seccomp.Install(rest); err == nil {
			for i, a := range argv {
				for from, to := range p.Otherwise {
					argv[i] = strings.Replace(a, from, to, 1)
				}
			}
		}
	}
	if err != nil {
		return fmt.Errorf("seccomp filter: %w", err)
	}
	if p.Line != 0 {
		if err := tell(p.Line, listener); err != nil {
			return err
		}
	}
	if p.Files > 0 {
		if err := CloseFrom(3 + p.Files); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: %w", argv[0], syscall.Exec(argv[0], argv, os.Environ()))
}

// CloseFrom makes all descriptors from one on end when this process executes another program: whoever has started ukl
// may have left some open.
func CloseFrom(first int) error {
	err := unix.CloseRange(uint(first), math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}
	entries, err := os.ReadDir("/proc/self/fd") // before Linux 5.11
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= first {
			unix.CloseOnExec(fd)
		}
	}
	return err
}

// give gives up all but system calls.
func (p Plan) give() error {
	parent := os.Getppid()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	// The guest's memory is in a core dump, and the guest can bring one about.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	if err := restrict(p.Paths); err != nil {
		return err
	}
	if err := bound(p.Drop); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if err := p.User.become(); err != nil {
		return fmt.Errorf("user %d: %w", p.User.ID, err)
	}
	if len(p.Drop) > 0 {
		if err := drop(p.Drop); err != nil {
			return fmt.Errorf("capabilities: %w", err)
		}
	}
	// Another user is no longer ended with ukl, unless the program asks for that again.
	if p.User.ID != 0 {
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
			return err
		}
		if os.Getppid() != parent {
			return errors.New("ukl has ended")
		}
	}
	return nil
}

// tell sends the listener, or none.
func tell(line, listener int) error {
	var rights []byte
	if listener >= 0 {
		rights = unix.UnixRights(listener)
	}
	return unix.Sendmsg(line, []byte{'.'}, rights, nil, 0)
}

// ErrNoListener says that the machine's kernel lets nobody ask about system calls.
var ErrNoListener = errors.New("the kernel of this machine does not ask about system calls")

// Told waits for the child to give up what it shall, and returns the listener of its filter; ErrNoListener if there is
// none.
func Told(line *net.UnixConn) (*os.File, error) {
	b, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	n, nr, _, _, err := line.ReadMsgUnix(b, rights)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("the child has ended")
	}
	list, err := unix.ParseSocketControlMessage(rights[:nr])
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, ErrNoListener
	}
	fds, err := unix.ParseUnixRights(&list[0])
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "seccomp listener"), nil
}
