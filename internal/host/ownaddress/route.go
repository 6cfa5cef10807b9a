package ownaddress

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// answerTime is how long the kernel may take to say where packets go: it answers before send() returns.
const answerTime = time.Second

// leaves tells whether the kernel would send what is sent to an address to another machine: not to this one, which may
// have whole networks (ip route add local) and anycast addresses besides those of its interfaces, and not to a group.
// What the kernel sends nowhere leaves: it will say so itself. Fact: rtnetlink(7), RTM_GETROUTE.
func leaves(a netip.Addr) bool {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(answerTime.Nanoseconds())
	if unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait) != nil ||
		unix.Sendto(fd, routeQuestion(a), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) != nil {
		return false
	}
	b := make([]byte, 64<<10)
	n, from, err := unix.Recvfrom(fd, b, 0)
	if k, ok := from.(*unix.SockaddrNetlink); err != nil || !ok || k.Pid != 0 {
		return false
	}
	return leads(b[:n])
}

// routeQuestion asks for the route to an address.
func routeQuestion(a netip.Addr) []byte {
	family, dst := byte(unix.AF_INET6), a.AsSlice()
	if a.Is4() {
		family = unix.AF_INET
	}
	b := make([]byte, unix.NLMSG_HDRLEN)
	b = append(b, family, byte(8*len(dst)), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // struct rtmsg
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(dst)))
	b = binary.NativeEndian.AppendUint16(b, unix.RTA_DST)
	b = append(b, dst...)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], unix.RTM_GETROUTE)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	return b
}

// leads reads the answer: a route to another machine, or that there is none.
func leads(b []byte) bool {
	if len(b) < unix.NLMSG_HDRLEN+unix.SizeofRtMsg {
		return false
	}
	body := b[unix.NLMSG_HDRLEN:]
	switch kind := binary.NativeEndian.Uint16(b[4:]); kind {
	case unix.NLMSG_ERROR:
		nowhere := []unix.Errno{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES}
		return slices.Contains(nowhere, unix.Errno(-int32(binary.NativeEndian.Uint32(body))))
	case unix.RTM_NEWROUTE:
		to := body[unsafe.Offsetof(unix.RtMsg{}.Type)]
		return to == unix.RTN_UNICAST || to == unix.RTN_UNREACHABLE || to == unix.RTN_PROHIBIT || to == unix.RTN_BLACKHOLE
	}
	return false
}
