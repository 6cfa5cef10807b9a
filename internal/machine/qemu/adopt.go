package qemu

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A port of the host may change hands while clients connect to it. To close one socket and let QEMU open another leaves
// a moment in which clients are refused. So ukl borrows a socket on which QEMU listens already, and makes it listen on
// the port beside ukl's own: the kernel lets sockets of one user share a port (SO_REUSEPORT) and a filter choose among
// them. There is no moment without a listener.

// Spare is a forward to a guest's port for Adopt. It is on a loopback address of its own, by which QEMU's socket is
// found, and on any port, since the kernel lets go of a port only if nobody asked for that one. n counts the spares of
// a machine.
func Spare(n, guest int) Forward {
	return Forward{Addr: fmt.Sprintf("127.85.%d.%d", n/250, 1+n%250), Guest: guest}
}

// Adopt makes QEMU's socket of a spare forward listen where l does, and all new connections go to QEMU. What is in l's
// queue is still the caller's to accept, before it closes l. After an error l is as it was.
func (p *Process) Adopt(spare Forward, l *net.TCPListener) error {
	at, ok := l.Addr().(*net.TCPAddr)
	if !ok || at.IP.To4() == nil {
		return fmt.Errorf("%s is no IPv4 address", l.Addr())
	}
	pidfd, err := unix.PidfdOpen(p.PID(), 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	failed := errors.New("QEMU does not listen on " + spare.Addr)
	err = borrow(pidfd, p.PID(), func(fd int) bool {
		addr, port := listening(fd)
		if addr != spare.Addr {
			return false
		}
		failed = onListener(l, func(own int) error {
			return move(fd, own, &unix.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())})
		})
		if failed != nil {
			failed = fmt.Errorf("%s:%d: %w", addr, port, failed)
		}
		return true
	})
	return errors.Join(err, failed)
}

func onListener(l *net.TCPListener, f func(fd int) error) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// move takes a listening socket to an address where own listens. For some microseconds it does not listen at all, of
// which poll(2) tells QEMU. When QEMU then accepts, the socket may listen again, with nobody in its queue: it must not
// wait for somebody, because all of the guest's network would wait with it.
func move(fd, own int, to unix.Sockaddr) error {
	if err := unix.SetNonblock(fd, true); err != nil { // QEMU's descriptor shares this flag
		return fmt.Errorf("O_NONBLOCK: %w", err)
	}
	if os.Geteuid() == 0 {
		_ = unix.Fchown(fd, 0, -1) // QEMU may be another user, and a port is shared among sockets of one
	}
	for _, s := range []int{fd, own} {
		if err := unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fmt.Errorf("SO_REUSEPORT: %w", err)
		}
	}
	if err := unix.Shutdown(fd, unix.SHUT_RDWR); err != nil {
		return fmt.Errorf("shutdown: %w", err)
	}
	berr := unix.Bind(fd, to)
	if err := unix.Listen(fd, backlog); berr != nil || err != nil { // without an address the kernel finds it a port
		return fmt.Errorf("bind or listen: %w", errors.Join(berr, err))
	}
	// Without the filter half of the new connections would go to own, and those that come while it is closed be lost.
	all := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 1}} // the second socket of the port
	return unix.SetsockoptSockFprog(own, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
		&unix.SockFprog{Len: uint16(len(all)), Filter: &all[0]})
}
