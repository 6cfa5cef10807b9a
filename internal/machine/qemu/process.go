package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ukl/internal/host/lifeline"
	"ukl/internal/host/socketpair"
	"ukl/internal/machine/confine"
	"ukl/internal/machine/egress"
	"ukl/internal/machine/seccomp"
)

// patience is how long QEMU may take to end when told to.
const patience = 2 * time.Second

// Process is a running QEMU, or what serves one of its devices.
type Process struct {
	done   chan struct{}
	stuck  chan struct{}
	cmd    *exec.Cmd
	stderr tail
	err    error // of Wait; valid once done is closed
}

// Limits are what QEMU may not do on the host. The zero value lets it do what ukl may.
type Limits struct {
	// Loopback keeps QEMU from this machine's own services. Where the kernel cannot do that alone, QEMU's user network
	// leads nowhere at all, and Refused is told.
	Loopback bool
	Peers    bool // with Loopback: QEMU answers whoever sends it a datagram, as forwards of UDP do
	// Squash makes files that QEMU makes belong to the user who runs ukl, without bits that lend this user's rights.
	Squash bool
	// Confined is what QEMU has if it shall have nothing but what its machine needs; nil is no such limit.
	Confined *Confined
	Refused  func(string) // called once, from another goroutine, with what QEMU wanted to reach; may be nil
}

// Start runs QEMU with files as its descriptors 3 and up. It has a process group of its own, so a terminal's Ctrl-C
// reaches only ukl, and the kernel kills it when ukl dies without a word.
func (p Program) Start(args []string, files []*os.File, limits Limits) (*Process, error) {
	argv := slices.Concat(p.Argv, args)
	cmd := exec.Command(argv[0], argv[1:]...)
	var line *net.UnixConn
	if limits.any() {
		plan := confine.Plan{}
		if limits.Squash {
			plan.Rules, plan.Drop = seccomp.Squash(), lending()
		}
		if limits.Confined != nil {
			limits.Confined.confine(&plan, p.Tree)
			argv = append(argv, sandbox...)
		}
		if limits.Loopback {
			ours, theirs, err := socketpair.Open("line")
			if err != nil {
				return nil, err
			}
			defer theirs.Close()
			line = ours
			files = append(slices.Clip(files), theirs)
			plan.Line, plan.Rules = 3+len(files)-1, append(plan.Rules, egress.Rules(limits.Peers)...)
			plan.Otherwise = map[string]string{userNetwork: userNetwork + ",restrict=on"}
		}
		plan.Files = len(files)
		var err error
		if cmd, err = confine.Command(plan, argv); err != nil {
			if line != nil {
				line.Close()
			}
			return nil, err
		}
	}
	cmd.Env = append(os.Environ(), p.Env...)
	if limits.Confined != nil { // passwords of the user are often there
		cmd.Env = append([]string{}, p.Env...)
	}
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	proc, err := StartProcess(cmd)
	if line != nil {
		if err != nil {
			line.Close()
		} else {
			go proc.guard(line, limits.Refused)
		}
	}
	return proc, err
}

// any tells whether there is anything that QEMU may not do.
func (l Limits) any() bool { return l.Loopback || l.Squash || l.Confined != nil }

// lending are the capabilities by which a file could lend its owner's rights, or be a device.
func lending() []int { return []int{unix.CAP_SETFCAP, unix.CAP_FSETID, unix.CAP_MKNOD} }

// guard answers for QEMU's connections until it has ended.
func (p *Process) guard(line *net.UnixConn, refused func(string)) {
	listener, err := confine.Told(line)
	line.Close()
	if errors.Is(err, confine.ErrNoListener) && refused != nil {
		refused("any other machine: the kernel of this one cannot keep it from this one alone")
	}
	if err != nil {
		return // a child that failed has said why
	}
	g, err := egress.Serve(listener, p.PID(), refused)
	if err != nil {
		return // it has ended: nobody waits
	}
	<-p.done
	g.Close()
}

// StartProcess runs a command whose attributes have a death signal, and reads its stderr.
func StartProcess(cmd *exec.Cmd) (*Process, error) {
	proc := &Process{done: make(chan struct{}), stuck: make(chan struct{}), cmd: cmd}
	proc.stderr.alarm = func() { close(proc.stuck) }
	cmd.Stderr = &proc.stderr
	wait, err := lifeline.Start(cmd)
	if err != nil {
		return nil, err
	}
	go func() {
		proc.err = wait()
		close(proc.done)
	}()
	return proc, nil
}

// Starved is how long that thread of QEMU has waited for a processor of the host which has waited longest: the second
// number of /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst), in nanoseconds. It is 0 where the
// host's kernel does not tell.
func (p *Process) Starved() time.Duration { return starved(fmt.Sprintf("/proc/%d/task", p.PID())) }

func starved(tasks string) time.Duration {
	var longest time.Duration
	files, _ := filepath.Glob(filepath.Join(tasks, "*", "schedstat")) // the pattern is right
	for _, f := range files {
		text, err := os.ReadFile(f)
		if words := strings.Fields(string(text)); err == nil && len(words) > 1 {
			if ns, err := strconv.ParseInt(words[1], 10, 64); err == nil {
				longest = max(longest, time.Duration(ns))
			}
		}
	}
	return longest
}

// Done is closed when QEMU has ended and was waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stuck is closed when QEMU has said that KVM gave up. It then stays, with the guest halted for ever.
func (p *Process) Stuck() <-chan struct{} { return p.stuck }

// Stop ends QEMU: at first politely, so that it removes what it made, then surely.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-p.done:
	case <-time.After(patience):
		p.Kill()
	}
}

// Kill ends QEMU at once.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Failure is what QEMU said if it was stuck or ended badly by its own doing; "" if it was not. It may be called once
// Done or Stuck is closed.
func (p *Process) Failure() string {
	said := p.stderr.String()
	select {
	case <-p.stuck:
		line, _, _ := strings.Cut(said[max(strings.Index(said, kvmError), 0):], "\n")
		return line
	default:
	}
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		return ""
	case errors.As(p.err, &exit) && said != "":
		return said
	case said != "":
		said = ": " + said
	}
	return p.err.Error() + said
}

// ExitCode is QEMU's exit code, -1 after a signal. It may be called once Done is closed.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// PID is QEMU's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// tail keeps the end of what is written to it, and raises the alarm once when it reads that QEMU is stuck.
type tail struct {
	mu    sync.Mutex
	buf   []byte
	alarm func()
}

// kvmError is what QEMU says when KVM cannot run the guest any further.
const kvmError = "KVM internal error"

// tailSize is enough for QEMU's own messages and small enough to print.
const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if t.alarm != nil && bytes.Contains(t.buf, []byte(kvmError)) {
		t.alarm()
		t.alarm = nil
	}
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = slices.Delete(t.buf, 0, over)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
