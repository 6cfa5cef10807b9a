package ownaddress

import (
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAddresses(t *testing.T) {
	var o Table
	for a, want := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "0.0.0.0": true, "::": true, "::ffff:127.0.0.1": true,
		"239.1.2.3": true, "ff02::fb": true,
		"169.254.169.254": true, "fe80::1": true, "fd00:ec2::254": true, "::ffff:169.254.169.254": true,
		"100.100.100.200": true, "168.63.129.16": true, "fd20:ce::254": true, "fd00:42::42": true, "192.0.0.192": true,
		"169.253.1.1": false, "fd00:ec2::253": false, "100.100.100.201": false,
		"192.0.2.1": false, "2001:db8::1": false,
	} {
		if got := o.Has(netip.MustParseAddr(a)); got != want {
			t.Errorf("Has(%s) = %v", a, got)
		}
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range own {
		if a := netip.MustParsePrefix(n.String()).Addr(); !o.Has(a) {
			t.Errorf("%s is not this machine's", a)
		}
	}
}

// A machine may have addresses that no interface has: networks of its own, and anycast.
func TestAddressesOfRoutes(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip on this machine")
	}
	runtime.LockOSThread() // for good: the thread has a network of its own
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network of its own: %v", err)
	}
	for _, words := range []string{
		"link set lo up", "address add 10.81.0.1/24 dev lo", "route add local 10.82.0.0/16 dev lo",
		"tuntap add dev out mode tap", "link set out up", "address add 10.83.0.1/24 dev out",
		"route add unreachable 10.84.0.0/16",
		"route add 10.85.0.0/16 via 10.83.0.9",
	} {
		if out, err := exec.Command("ip", strings.Fields(words)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v: %s", words, err, out)
		}
	}
	var o Table
	for a, want := range map[string]bool{
		"10.81.0.1": true, "10.81.0.77": true, "10.82.3.4": true, "10.83.0.1": true, "10.83.0.255": true,
		"10.83.0.9": false, "10.84.0.1": false, "10.85.1.1": false, "10.99.0.1": false, "2001:db8::1": false,
	} {
		if got := o.Has(netip.MustParseAddr(a)); got != want {
			t.Errorf("Has(%s) = %v", a, got)
		}
	}
}
