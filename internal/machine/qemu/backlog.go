package qemu

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// QEMU's user network listens with a queue of one connection. The host's kernel drops what comes while it is full, and
// the client tries again after 1, 3, 7, ... seconds: of a hundred connections at once some wait for half a minute. A
// second listen() on the same socket makes the queue longer; QEMU is a child of ukl, which therefore may borrow its
// sockets.

// backlog is the queue's new length; the host's net.core.somaxconn limits it further.
const backlog = 4096

// Widen gives QEMU's listening sockets a longer queue, as soon as they are there. It returns when all are done, when
// QEMU has ended or when it is clear that this host does not allow it; an error harms nobody.
func (p *Process) Widen(forwards []Forward) error {
	want := map[string]bool{}
	for _, f := range forwards {
		if !f.UDP && !f.V6() {
			want[f.HostPort()] = true
		}
	}
	if len(want) == 0 {
		return nil
	}
	pidfd, err := unix.PidfdOpen(p.PID(), 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	for range 500 {
		if err := widen(pidfd, p.PID(), want); err != nil || len(want) == 0 {
			return err
		}
		select {
		case <-p.done:
			return nil
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("QEMU does not listen")
}

// Listen waits until QEMU listens on the TCP ports of the host, for 5 seconds at most, or until it has ended.
func (p *Process) Listen(forwards []Forward) {
	for range 500 {
		if !slices.ContainsFunc(forwards, func(f Forward) bool { return !f.UDP && !f.V6() && !Listening(f) }) {
			return
		}
		select {
		case <-p.done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// widen looks once through QEMU's descriptors and takes what it has done out of want.
func widen(pidfd, pid int, want map[string]bool) error {
	return borrow(pidfd, pid, func(fd int) bool {
		addr, port := listening(fd)
		if name := fmt.Sprintf("%s:%d", addr, port); want[name] && unix.Listen(fd, backlog) == nil {
			delete(want, name)
		}
		return len(want) == 0
	})
}

// borrow calls f with QEMU's sockets, one by one, until f says that it is done.
func borrow(pidfd, pid int, f func(fd int) bool) error {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // it has ended
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		n, nerr := strconv.Atoi(e.Name())
		if err != nil || nerr != nil || !strings.HasPrefix(target, "socket:") {
			continue
		}
		fd, err := unix.PidfdGetfd(pidfd, n, 0)
		if err == unix.EBADF {
			continue
		}
		if err != nil {
			return fmt.Errorf("pidfd_getfd: %w", err)
		}
		done := f(fd)
		unix.Close(fd)
		if done {
			return nil
		}
	}
	return nil
}

// listening is the IPv4 address and TCP port that a socket listens on; "" if it does not.
func listening(fd int) (addr string, port int) {
	if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || on == 0 {
		return "", 0
	}
	name, err := unix.Getsockname(fd)
	in, ok := name.(*unix.SockaddrInet4)
	if err != nil || !ok {
		return "", 0
	}
	return netip.AddrFrom4(in.Addr).String(), in.Port
}
