package qemu

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
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

// Start runs QEMU with files as its descriptors 3 and up. It has a process group of its own, so a terminal's Ctrl-C
// reaches only ukl, and the kernel kills it when ukl dies without a word.
func (p Program) Start(args []string, files []*os.File) (*Process, error) {
	cmd := exec.Command(p.Argv[0], slices.Concat(p.Argv[1:], args)...)
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return StartProcess(cmd)
}

// StartProcess runs a command whose attributes have a death signal, and reads its stderr.
func StartProcess(cmd *exec.Cmd) (*Process, error) {
	proc := &Process{done: make(chan struct{}), stuck: make(chan struct{}), cmd: cmd}
	proc.stderr.alarm = func() { close(proc.stuck) }
	cmd.Stderr = &proc.stderr
	started := make(chan error)
	go func() {
		// The death signal comes when the THREAD that forked ends, so that thread must live as long as the process.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		proc.err = cmd.Wait()
		close(proc.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return proc, nil
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
