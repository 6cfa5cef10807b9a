package qemu

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// A port of the host may change hands while clients connect to it. To close one socket and let QEMU open another leaves
// a moment in which clients are refused. So ukl borrows a socket on which QEMU listens already, and makes it listen on
// the port beside ukl's own: the kernel lets sockets of one user share a port (SO_REUSEPORT) and a filter choose among
// them. There is no moment without a listener.

// spares is how many of QEMU's sockets listen on one port. In each turn of its loop, which looks at every connection,
// QEMU accepts one client of each socket: with one, 10,000 clients at once take as many turns. With 64 they come so
// fast that the guest's kernel gives some up before it has got to their packets.
const spares = 8

// Spares are forwards to a guest's port for Adopt. Each is on a loopback address of its own, by which QEMU's socket is
// found, and on any port, since the kernel lets go of a port only if nobody asked for that one. n counts the ports of a
// machine that have spares.
func Spares(n, guest int) []Forward {
	var all []Forward
	for i := n * spares; i < (n+1)*spares; i++ {
		all = append(all, Forward{Addr: fmt.Sprintf("127.85.%d.%d", i/250, 1+i%250), Guest: guest})
	}
	return all
}

// Adopt makes QEMU's sockets of spare forwards listen where l does, and all new connections go to QEMU. What is in l's
// queue is still the caller's to accept, before it closes l. After an error l goes on as it was, perhaps beside some of
// QEMU's.
func (p *Process) Adopt(spares []Forward, l *net.TCPListener) error {
	at, ok := l.Addr().(*net.TCPAddr)
	if !ok || at.IP.To4() == nil {
		return fmt.Errorf("%s is no IPv4 address", l.Addr())
	}
	to := &unix.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())}
	pidfd, err := unix.PidfdOpen(p.PID(), 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	moved := 0
	var failed error
	err = borrow(pidfd, p.PID(), func(fd int) bool {
		addr, port := listening(fd)
		if !slices.ContainsFunc(spares, func(f Forward) bool { return f.Addr == addr }) {
			return false
		}
		if failed = onListener(l, func(own int) error { return move(fd, own, to) }); failed != nil {
			failed = fmt.Errorf("%s:%d: %w", addr, port, failed)
			return true
		}
		moved++
		return moved == len(spares)
	})
	switch {
	case errors.Join(err, failed) != nil:
		return errors.Join(err, failed)
	case moved == 0:
		return errors.New("QEMU does not listen on its spare ports")
	}
	return onListener(l, func(own int) error { return others(own, moved) })
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
	return nil
}

// others has all new connections go to the n sockets that share own's port, each to any of them. Without this filter
// some would go to own, and those that come while it is closed be lost. When own, the first of the port, has been
// closed, what the filter gives may be one too many: the kernel then chooses itself.
func others(own, n int) error {
	const random = 1<<32 - 0x1000 + 56 // SKF_AD_OFF + SKF_AD_RANDOM of linux/filter.h
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: random},
		{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: uint32(n)},
		{Code: unix.BPF_ALU | unix.BPF_ADD | unix.BPF_K, K: 1},
		{Code: unix.BPF_RET | unix.BPF_A},
	}
	return unix.SetsockoptSockFprog(own, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}
