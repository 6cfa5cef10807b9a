// Package lifeline starts programs that end with ukl, however ukl ends, together with all that they have started. The
// kernel's death signal reaches only a child: so the child is a shell that has the rest in its process group.
package lifeline

import (
	"context"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// keeper runs a program and ends with its code. The death signal, SIGTERM, makes it kill its group, itself included.
const keeper = `trap 'kill -KILL 0' TERM; "$@" & wait $!`

// Command is a program in a process group of its own, which ends as a whole with ctx. Start it with Start.
func Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	path, err := exec.LookPath(program)
	cmd := exec.CommandContext(ctx, "/bin/sh", slices.Concat([]string{"-c", keeper, "sh", path}, args)...)
	if err != nil {
		cmd.Err = err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Start starts a command that has a death signal, and returns what waits for its end; call it once. The kernel sends
// the signal when the THREAD that forked ends, so that thread lives as long as the command.
func Start(cmd *exec.Cmd) (wait func() error, err error) {
	started, ended, read := make(chan error), make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		<-read
		ended <- cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return func() error {
		close(read) // Wait closes pipes that nobody may read then
		return <-ended
	}, nil
}

// Run is Start and waiting.
func Run(cmd *exec.Cmd) error {
	wait, err := Start(cmd)
	if err != nil {
		return err
	}
	return wait()
}
