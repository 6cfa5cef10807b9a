package seccomp

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Question is a system call that a filter asks about. Its thread waits for the answer.
type Question struct {
	ID    uint64
	PID   uint32 // of the thread
	Flags uint32
	Call  int32
	Arch  uint32
	IP    uint64
	Args  [6]uint64
}

// answer is struct seccomp_notif_resp.
type answer struct {
	ID    uint64
	Value int64
	Error int32
	Flags uint32
}

// Listener is where the questions of a filter arrive.
type Listener struct {
	file *os.File
	stop [2]*os.File // a pipe
}

// Listen takes over a listener's descriptor.
func Listen(file *os.File) (*Listener, error) {
	r, w, err := os.Pipe()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Listener{file, [2]*os.File{r, w}}, nil
}

// ErrClosed says that no question will come: the listener was stopped, or nobody is left who could ask.
var ErrClosed = errors.New("the listener is closed")

// Next waits for a question.
func (l *Listener) Next() (Question, error) {
	for {
		fds := []unix.PollFd{
			{Fd: int32(l.file.Fd()), Events: unix.POLLIN},
			{Fd: int32(l.stop[0].Fd()), Events: unix.POLLIN},
		}
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		} else if err != nil {
			return Question{}, err
		}
		if fds[1].Revents != 0 || fds[0].Revents&unix.POLLIN == 0 {
			return Question{}, ErrClosed
		}
		var q Question
		err := l.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&q))
		if err == unix.EINTR || err == unix.ENOENT { // who asked is gone
			continue
		}
		return q, err
	}
}

// Answer makes the call of a question return value, or fail. An error means that who asked is gone.
func (l *Listener) Answer(q Question, value int, failure unix.Errno) {
	a := answer{ID: q.ID, Value: int64(value), Error: -int32(failure)}
	_ = l.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a))
}

// Continue lets the kernel do the call. Other threads may have changed by now what its pointers lead to.
func (l *Listener) Continue(q Question) {
	a := answer{ID: q.ID, Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	_ = l.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a))
}

// Stop ends Next.
func (l *Listener) Stop() { l.stop[1].Close() }

// Close frees the descriptors; Next must have ended.
func (l *Listener) Close() {
	l.file.Close()
	l.stop[0].Close()
	l.stop[1].Close()
}

func (l *Listener) ioctl(request uintptr, what unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, l.file.Fd(), request, uintptr(what)); errno != 0 {
		return errno
	}
	return nil
}
