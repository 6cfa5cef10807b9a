// Package egress decides where QEMU's user network connects to. The host's own services are not for a guest: what
// listens on the loopback interface trusts who is on this machine, and a guest is not. Nor are the services of the
// host's link, such as a cloud's metadata. Everything else can be reached.
package egress

import (
	"bufio"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"ukl/internal/host/ownaddress"
	"ukl/internal/machine/seccomp"
)

// Rules are what a filter asks a Guard. peers also asks who has sent a datagram, as a guest with forwards of UDP needs.
func Rules(peers bool) []seccomp.Rule {
	rules := []seccomp.Rule{
		{Call: unix.SYS_CONNECT, Ask: true},
		{Call: unix.SYS_SENDTO, Ask: true, Argument: 4, Pointer: true},
		// Ways around the filter, of which QEMU needs none.
		{Call: unix.SYS_IO_URING_SETUP, Answer: unix.ENOSYS},
		{Call: unix.SYS_SENDMMSG, Answer: unix.EPERM},
		{Call: unix.SYS_SENDMSG, Answer: unix.EPERM, Argument: 2, Flags: unix.MSG_FASTOPEN},
	}
	if peers {
		rules = append(rules, seccomp.Rule{Call: unix.SYS_RECVFROM, Ask: true, Argument: 4, Pointer: true})
	}
	return rules
}

// Guard answers for one process.
type Guard struct {
	listener *seccomp.Listener
	pid      int
	pidfd    int
	refused  func(string)
	ended    chan struct{}
	calls    sync.WaitGroup

	// Of the goroutine that answers, but for own, which has a lock.
	peers map[peer]bool
	own   ownaddress.Table
	once  sync.Once
}

// peer is who has sent a datagram to a socket.
type peer struct{ socket, from netip.AddrPort }

// mostPeers bounds what is remembered; who is forgotten is learnt again with the next datagram.
const mostPeers = 4096

// Serve answers the questions of a process until Close. refused is told, once, what the process may not reach.
func Serve(listener *os.File, pid int, refused func(string)) (*Guard, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		listener.Close()
		return nil, err
	}
	l, err := seccomp.Listen(listener)
	if err != nil {
		unix.Close(pidfd)
		return nil, err
	}
	g := &Guard{listener: l, pid: pid, pidfd: pidfd, refused: refused, ended: make(chan struct{}), peers: map[peer]bool{}}
	go g.serve()
	return g, nil
}

// Close ends the guard. The process must have ended: its calls would wait for ever.
func (g *Guard) Close() {
	g.listener.Stop()
	<-g.ended
	g.calls.Wait()
	g.listener.Close()
	unix.Close(g.pidfd)
}

func (g *Guard) serve() {
	defer close(g.ended)
	for {
		q, err := g.listener.Next()
		if err != nil {
			return
		}
		switch q.Call {
		case unix.SYS_CONNECT: // may take long where the socket blocks
			g.calls.Add(1)
			go func() {
				defer g.calls.Done()
				g.reply(q, g.connect(q))
			}()
		case unix.SYS_SENDTO:
			n, err := g.send(q)
			if err != nil {
				g.reply(q, err)
			} else {
				g.listener.Answer(q, n, 0)
			}
		default:
			if errno := g.learn(q); errno != 0 {
				g.listener.Answer(q, 0, errno)
			} else {
				g.listener.Continue(q)
			}
		}
	}
}

// reply ends a call that returns nothing but success or failure.
func (g *Guard) reply(q seccomp.Question, err error) {
	var errno unix.Errno
	if err != nil && !errors.As(err, &errno) {
		errno = unix.EPERM
	}
	g.listener.Answer(q, 0, errno)
}

// errUnseen says that ukl may not look into the process, so the host's kernel gives it no way to decide.
const errUnseen = unix.EPERM

// address copies a socket address out of the process.
func (g *Guard) address(at, size uint64) ([]byte, error) {
	if size > unix.SizeofSockaddrAny {
		return nil, unix.EINVAL
	}
	return g.memory(at, size)
}

// memory copies from the process.
func (g *Guard) memory(at, size uint64) ([]byte, error) {
	b := make([]byte, size)
	if size == 0 {
		return b, nil
	}
	n, err := unix.ProcessVMReadv(g.pid, []unix.Iovec{{Base: &b[0], Len: size}},
		[]unix.RemoteIovec{{Base: uintptr(at), Len: int(size)}}, 0)
	switch {
	case err == unix.EPERM || err == unix.ENOSYS:
		g.tell("anything: this machine does not let ukl see where it connects to")
		return nil, errUnseen
	case err != nil:
		return nil, err
	case uint64(n) != size:
		return nil, unix.EFAULT
	}
	return b, nil
}

// socket is the process's descriptor, here.
func (g *Guard) socket(q seccomp.Question) (int, error) {
	fd, err := unix.PidfdGetfd(g.pidfd, int(int32(q.Args[0])), 0)
	if err == unix.EPERM || err == unix.ENOSYS {
		g.tell("anything: this machine does not let ukl see where it connects to")
	}
	return fd, err
}

// connect does a connect() for the process, if it may. The address is a copy, which the process cannot change any more.
// It never answers ECONNREFUSED at once, which no host does for a socket that does not wait: libslirp 4.7.0 then sends
// the guest's own packet back and frees it, too. If the guest's address is not known yet, the packet waits and is used
// after it was freed (tcp_input(), tcp_respond(), if_encap()).
func (g *Guard) connect(q seccomp.Question) error {
	addr, err := g.address(q.Args[1], q.Args[2]&0xffffffff)
	if err != nil {
		return err
	}
	fd, err := g.socket(q)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	to, kind := parse(addr)
	switch {
	case kind == unix.AF_INET || kind == unix.AF_INET6:
		if !g.may(to) {
			g.tell(to.String())
			return unix.EHOSTUNREACH
		}
	case kind == unix.AF_UNIX:
		g.tell("its Unix sockets")
		return unix.EHOSTUNREACH
	case kind == unix.AF_NETLINK && !toKernel(addr):
		return unix.EPERM
	case kind != unix.AF_UNSPEC && kind != unix.AF_NETLINK:
		return unix.EAFNOSUPPORT
	}
	if len(addr) == 0 {
		return unix.EINVAL
	}
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&addr[0])), uintptr(len(addr)))
	switch errno {
	case 0:
		return nil
	case unix.ECONNREFUSED:
		return unix.EHOSTUNREACH
	}
	return errno
}

// send does a sendto() for the process, if it may.
func (g *Guard) send(q seccomp.Question) (int, error) {
	addr, err := g.address(q.Args[4], q.Args[5]&0xffffffff)
	if err != nil {
		return 0, err
	}
	to, kind := parse(addr)
	fd, err := g.socket(q)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	switch {
	case kind == unix.AF_INET || kind == unix.AF_INET6:
		if !g.may(to) && !g.peers[peer{name(fd), to}] {
			g.tell(to.String())
			return 0, unix.ECONNREFUSED
		}
	case kind != unix.AF_NETLINK:
		return 0, unix.EAFNOSUPPORT
	case !toKernel(addr):
		return 0, unix.EPERM
	}
	const most = 1 << 20 // more than any datagram
	data, err := g.memory(q.Args[1], min(q.Args[2], most))
	if err != nil {
		return 0, err
	}
	data = append(data, 0) // so that there is a first byte
	n, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)-1),
		uintptr(q.Args[3]|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL), uintptr(unsafe.Pointer(&addr[0])), uintptr(len(addr)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// learn looks who has sent the datagram that the process is about to receive: it may answer. Where there is none, a
// socket that does not wait gets that answer from here, and so does a pending error, which the look has taken: a
// datagram that came between the look and the process's own call would be received and its sender not known.
func (g *Guard) learn(q seccomp.Question) unix.Errno {
	fd, err := g.socket(q)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	_, from, err := unix.Recvfrom(fd, make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err != nil {
		flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		waits := flags&unix.O_NONBLOCK == 0 && q.Args[3]&unix.MSG_DONTWAIT == 0
		var errno unix.Errno
		if err == unix.EAGAIN && waits || !errors.As(err, &errno) {
			return 0
		}
		return errno
	}
	p := peer{name(fd), portOf(from)}
	if !p.from.IsValid() || g.peers[p] || !g.own.Has(p.from.Addr()) {
		return 0
	}
	if len(g.peers) >= mostPeers {
		clear(g.peers)
	}
	g.peers[p] = true
	return 0
}

// may tells whether the process may reach an address: it is not this machine's, or is where this machine's own
// questions for names go.
func (g *Guard) may(to netip.AddrPort) bool {
	return !g.own.Has(to.Addr()) || to.Port() == nameService && nameServer("/etc/resolv.conf", to.Addr())
}

func (g *Guard) tell(what string) {
	if g.refused != nil {
		g.once.Do(func() { g.refused(what) })
	}
}

const nameService = 53

// nameServer tells whether an address is in a resolv.conf.
func nameServer(file string, a netip.Addr) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		w := strings.Fields(sc.Text())
		if len(w) > 1 && w[0] == "nameserver" {
			if n, err := netip.ParseAddr(w[1]); err == nil && n.WithZone("") == a {
				return true
			}
		}
	}
	return false
}

// parse reads a socket address. The kernel takes one of no family for IPv4 where it sends a datagram.
func parse(b []byte) (netip.AddrPort, int) {
	if len(b) < 2 {
		return netip.AddrPort{}, -1
	}
	kind := int(b[0]) | int(b[1])<<8
	switch {
	case kind == unix.AF_INET && len(b) >= unix.SizeofSockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[2])<<8|uint16(b[3])), kind
	case kind == unix.AF_INET6 && len(b) >= unix.SizeofSockaddrInet6-4: // without the scope, as of old
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])).Unmap(), uint16(b[2])<<8|uint16(b[3])), kind
	case kind == unix.AF_INET || kind == unix.AF_INET6:
		return netip.AddrPort{}, -1
	}
	return netip.AddrPort{}, kind
}

// toKernel tells whether a netlink address is the kernel's. What goes to programs or groups would have ukl as its
// sender, whom those believe more than the process: root's ukl may send to groups, and udev's listeners obey root.
func toKernel(b []byte) bool {
	const port, end = 4, unix.SizeofSockaddrNetlink // port and groups, struct sockaddr_nl
	return len(b) >= end && !slices.ContainsFunc(b[port:end], func(c byte) bool { return c != 0 })
}

// name is the address that a socket is bound to.
func name(fd int) netip.AddrPort {
	s, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return portOf(s)
}

func portOf(s unix.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr).Unmap(), uint16(s.Port))
	}
	return netip.AddrPort{}
}
