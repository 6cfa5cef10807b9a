package qemu

import (
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

// Process is a running QEMU.
type Process struct {
	done   chan struct{}
	cmd    *exec.Cmd
	stderr tail
	err    error // of Wait; valid once done is closed
}

// Start runs QEMU with files as its descriptors 3 and up. It has a process group of its own, so a terminal's Ctrl-C reaches
// only ukl, and the kernel kills it when ukl dies without a word.
func (p Program) Start(args []string, files []*os.File) (*Process, error) {
	cmd := exec.Command(p.Argv[0], slices.Concat(p.Argv[1:], args)...)
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	proc := &Process{done: make(chan struct{}), cmd: cmd}
	cmd.Stderr = &proc.stderr
	started := make(chan error)
	go func() {
		// The death signal comes when the THREAD that forked ends, so that thread must live as long as QEMU.
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

// Failure is what QEMU said if it ended badly by its own doing; "" if it did not. It may be called once Done is closed.
func (p *Process) Failure() string {
	var exit *exec.ExitError
	if p.err == nil {
		return ""
	}
	said := p.stderr.String()
	if errors.As(p.err, &exit) && said != "" {
		return said
	}
	if said != "" {
		said = ": " + said
	}
	return p.err.Error() + said
}

// ExitCode is QEMU's exit code, -1 after a signal. It may be called once Done is closed.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// PID is QEMU's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// tailSize is enough for QEMU's own messages and small enough to print.
const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
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
