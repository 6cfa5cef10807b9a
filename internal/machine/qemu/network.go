package qemu

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Network is how the guest's card is connected. The zero value is QEMU's user network.
type Network struct {
	Tap string // a tap interface of the host; "" is the user network
	// Descriptor is that of the tap interface, which QEMU inherits; 0 lets it open the interface itself.
	Descriptor int
	Address    netip.Prefix // of the guest, behind a tap
	Gateway    netip.Addr
	IPv6       bool // the user network advertises an IPv6 prefix, too
	Host       bool // the user network leads to this machine's own services, too
}

// userBits is the length of Netmask.
const userBits = 24

// ParseNetwork reads "user" or tap:INTERFACE[,ADDRESS/BITS[,GATEWAY]]. Behind a tap the guest's address and gateway are
// those of the user network unless they are given.
func ParseNetwork(s string) (Network, error) {
	bad := func(why string) (Network, error) {
		return Network{}, fmt.Errorf("network %q: %s; want user or tap:INTERFACE[,ADDRESS/BITS[,GATEWAY]]", s, why)
	}
	if s == "user" {
		return Network{}, nil
	}
	rest, ok := strings.CutPrefix(s, "tap:")
	if !ok {
		return bad("unknown kind")
	}
	parts := strings.Split(rest, ",")
	const longest = 15 // of an interface's name: IFNAMSIZ of Linux, less its NUL
	if n := parts[0]; n == "" || len(n) > longest || n == "." || n == ".." || strings.ContainsAny(n, "/: \t\n\x00") {
		return bad("the interface has no name")
	}
	n := Network{
		Tap: parts[0], Address: netip.PrefixFrom(netip.MustParseAddr(GuestAddress), userBits),
		Gateway: netip.MustParseAddr(HostAddress),
	}
	var err error
	switch {
	case len(parts) > 3:
		return bad("too many commas")
	case len(parts) > 1:
		if n.Address, err = netip.ParsePrefix(parts[1]); err != nil || !n.Address.Addr().Is4() || n.Address.Bits() > 30 {
			return bad("not an IPv4 address with a prefix length: " + parts[1])
		}
		n.Gateway = n.Address.Masked().Addr().Next()
	}
	if len(parts) > 2 {
		if n.Gateway, err = netip.ParseAddr(parts[2]); err != nil {
			return bad("no gateway: " + parts[2])
		}
	}
	if !n.Address.Contains(n.Gateway) || n.Gateway == n.Address.Addr() {
		return bad(fmt.Sprintf("%s and %s are not in the same network", n.Gateway, n.Address))
	}
	return n, nil
}

// limits are those of a QEMU with this network.
func (n Network) limits(forwards []Forward, refused func(string)) Limits {
	return Limits{
		Loopback: n.Tap == "" && !n.Host, Refused: refused,
		Peers: slices.ContainsFunc(forwards, func(f Forward) bool { return f.UDP }),
	}
}

// Open takes the tap interface for a QEMU that inherits it.
func (n Network) Open() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(n.Tap)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR) // as QEMU does
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("--net tap:%s: %w", n.Tap, err)
	}
	return os.NewFile(uintptr(fd), n.Tap), nil
}

// IP is the value of ip= on the kernel's command line. Without a host name there, the kernel takes the address for one.
func (n Network) IP(host string) string {
	if n.Tap == "" {
		return fmt.Sprintf("%s::%s:%s:%s:eth0:off", GuestAddress, HostAddress, Netmask, host)
	}
	mask := ^uint32(0) << (32 - n.Address.Bits())
	return fmt.Sprintf("%s::%s:%d.%d.%d.%d:%s:eth0:off", n.Address.Addr(), n.Gateway, byte(mask>>24), byte(mask>>16),
		byte(mask>>8), byte(mask), host)
}

// NoTap is a tap interface that cannot be used.
type NoTap struct {
	Network Network
	Other   bool // there is an interface of that name, which is none
}

func (e *NoTap) Error() string {
	if e.Other {
		return fmt.Sprintf("--net tap:%s: that interface is not a tap", e.Network.Tap)
	}
	return fmt.Sprintf("--net tap:%s: there is no such interface", e.Network.Tap)
}

// Hint is the line that helps.
func (e *NoTap) Hint() string {
	if e.Other {
		return ""
	}
	return "run these commands as root to make it"
}

// Details are the commands that make the interface, as root; none if its name is taken. What is behind it is the host
// alone: no bridge, no route to elsewhere.
func (e *NoTap) Details() []string {
	n := e.Network
	if e.Other {
		return nil
	}
	return []string{
		fmt.Sprintf("ip tuntap add dev %s mode tap user $(id -u)", n.Tap),
		fmt.Sprintf("ip address add %s/%d dev %s", n.Gateway, n.Address.Bits(), n.Tap),
		fmt.Sprintf("ip link set dev %s up", n.Tap),
	}
}

// Check says whether the host has the interface. sys is where sysfs is mounted.
func (n Network) Check(sys string) error {
	if n.Tap == "" {
		return nil
	}
	dir := filepath.Join(sys, "class/net", n.Tap)
	if _, err := os.Stat(dir); err != nil {
		return &NoTap{Network: n}
	}
	if _, err := os.Stat(filepath.Join(dir, "tun_flags")); err != nil {
		return &NoTap{Network: n, Other: true}
	}
	return nil
}

// userNetwork begins the backend of the user network.
const userNetwork = "user,id=net0"

// netdev is QEMU's backend of the card.
func (n Network) netdev(forwards []Forward) string {
	if n.Tap != "" && n.Descriptor != 0 {
		return fmt.Sprintf("tap,id=net0,fd=%d", n.Descriptor)
	}
	if n.Tap != "" {
		return fmt.Sprintf("tap,id=net0,ifname=%s,script=no,downscript=no", Value(n.Tap))
	}
	s := userNetwork + ",ipv6=off"
	if n.IPv6 {
		s = userNetwork + ",ipv6=on"
	}
	for _, f := range forwards {
		if !f.V6() {
			s += ",hostfwd=" + f.hostfwd()
		}
	}
	return s
}
