package qemu

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Forward is a port of the host that leads to a port of the guest.
type Forward struct {
	Addr  string // the host's address
	Host  int    // 0 is any free one: see Reserve
	Guest int
	UDP   bool
}

// Exposed is the guest's port as container images have it: 80/tcp.
func (f Forward) Exposed() string {
	if f.UDP {
		return fmt.Sprintf("%d/udp", f.Guest)
	}
	return fmt.Sprintf("%d/tcp", f.Guest)
}

// ParseForward reads [ADDR:]HOST:GUEST[/udp], or PORT for the same port on both sides. The address is 127.0.0.1 unless
// it is given; an IPv6 address stands in brackets.
func ParseForward(s string) (Forward, error) {
	bad := func(why string) (Forward, error) {
		return Forward{}, fmt.Errorf("port %q: %s; want [ADDR:]HOST:GUEST[/udp]", s, why)
	}
	f := Forward{Addr: "127.0.0.1"}
	rest, proto, _ := strings.Cut(s, "/")
	switch proto {
	case "", "tcp":
		if strings.HasSuffix(s, "/") {
			return bad("no protocol after the slash")
		}
	case "udp":
		f.UDP = true
	default:
		return bad("unknown protocol " + strconv.Quote(proto))
	}
	parts := strings.Split(rest, ":")
	if strings.HasPrefix(rest, "[") {
		addr, tail, ok := strings.Cut(rest[1:], "]:")
		if !ok {
			return bad("no port after the address")
		}
		parts = append([]string{addr}, strings.Split(tail, ":")...)
	}
	switch len(parts) {
	case 1:
		parts = []string{parts[0], parts[0]}
	case 2:
	case 3:
		ip, err := netip.ParseAddr(parts[0])
		if err != nil || ip.Zone() != "" {
			return bad("not an IP address: " + strconv.Quote(parts[0]))
		}
		if ip = ip.Unmap(); ip.Is6() && f.UDP {
			return bad("UDP is forwarded from IPv4 addresses only")
		}
		f.Addr, parts = ip.String(), parts[1:]
	default:
		return bad("too many colons")
	}
	var err error
	if f.Host, err = port(parts[0]); err != nil {
		return bad(err.Error())
	}
	if f.Guest, err = port(parts[1]); err != nil {
		return bad(err.Error())
	}
	if f.Guest == 0 {
		return bad("the guest's port cannot be 0")
	}
	return f, nil
}

func port(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || len(s) > 5 {
		return 0, fmt.Errorf("%q is not a port number", s)
	}
	return int(n), nil
}

func (f Forward) proto() string {
	if f.UDP {
		return "udp"
	}
	return "tcp"
}

// String is f as ParseForward reads it.
func (f Forward) String() string {
	s := fmt.Sprintf("%s:%d", f.HostPort(), f.Guest)
	if f.UDP {
		s += "/udp"
	}
	return s
}

// HostPort is the host's side, as net.Dial takes it.
func (f Forward) HostPort() string { return net.JoinHostPort(f.Addr, strconv.Itoa(f.Host)) }

// V6 tells whether the host's address is of IPv6. QEMU's user network does not listen there: ukl itself does.
func (f Forward) V6() bool { return strings.Contains(f.Addr, ":") }

func (f Forward) hostfwd() string {
	return fmt.Sprintf("%s:%s:%d-%s:%d", f.proto(), f.Addr, f.Host, GuestAddress, f.Guest)
}
