package qemu

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseNetwork(t *testing.T) {
	for s, ip := range map[string]string{
		"user":                             "10.0.2.15::10.0.2.2:255.255.255.0:name:eth0:off",
		"tap:ukl0":                         "10.0.2.15::10.0.2.2:255.255.255.0:name:eth0:off",
		"tap:t,192.168.7.20/20":            "192.168.7.20::192.168.0.1:255.255.240.0:name:eth0:off",
		"tap:t,192.168.7.2/30,192.168.7.1": "192.168.7.2::192.168.7.1:255.255.255.252:name:eth0:off",
		"tap:abcdefghijklmno,10.0.0.7/8,10.9.9.9": "10.0.0.7::10.9.9.9:255.0.0.0:name:eth0:off",
	} {
		n, err := ParseNetwork(s)
		if err != nil || n.IP("name") != ip {
			t.Errorf("ParseNetwork(%q) = %+v, %v, with %s; want %s", s, n, err, n.IP("name"), ip)
		}
	}
	for _, s := range []string{
		"", "none", "tap", "tap:", "tap:abcdefghijklmnop", "tap:a/b", "tap:..", "tap:t,", "tap:t,10.0.0.1", "tap:t,::1/64",
		"tap:t,10.0.0.1/31",
		"tap:t,10.0.0.2/24,", "tap:t,10.0.0.2/24,10.0.1.1", "tap:t,10.0.0.2/24,10.0.0.2", "tap:t,10.0.0.1/24",
		"tap:t,10.0.0.2/24,10.0.0.1,x",
	} {
		if n, err := ParseNetwork(s); err == nil {
			t.Errorf("ParseNetwork(%q) = %+v", s, n)
		}
	}
}

func FuzzParseNetwork(f *testing.F) {
	for _, s := range []string{"user", "tap:ukl0", "tap:t,192.168.7.2/30,192.168.7.1", "tap:t,0.0.0.0/0,255.255.255.255"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseNetwork(s)
		if err != nil {
			return
		}
		if ip := n.IP("name"); strings.ContainsAny(ip, " \n") || strings.Count(ip, ":") != 6 {
			t.Errorf("%q makes ip=%s", s, ip)
		}
		if s != "user" && len((&NoTap{Network: n}).Details()) != 3 {
			t.Errorf("%q has no commands", s)
		}
	})
}

func TestNetworkCheck(t *testing.T) {
	sys := t.TempDir()
	for _, dir := range []string{"eth0", "tap0"} {
		if err := os.MkdirAll(filepath.Join(sys, "class/net", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(sys, "class/net/tap0/tun_flags"), []byte("0x1002\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]string{
		"user": "", "tap:tap0": "", "tap:eth0": "is not a tap",
		"tap:other": "no such interface",
	} {
		n, err := ParseNetwork(s)
		if err != nil {
			t.Fatal(err)
		}
		err = n.Check(sys)
		var none *NoTap
		if want == "" && err != nil || want != "" && (!errors.As(err, &none) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v; want %q", s, err, want)
		}
	}
}

func TestNetworkArgs(t *testing.T) {
	m := machine()
	m.Forwards = append(m.Forwards, Forward{Addr: "::1", Host: 8080, Guest: 80})
	m.Network.IPv6 = true
	if args := m.Args(); !slices.ContainsFunc(args, func(a string) bool {
		return strings.HasPrefix(a, "user,id=net0,ipv6=on,hostfwd=tcp:127") && !strings.Contains(a, "8080")
	}) {
		t.Errorf("%q", args)
	}
	m.Network = Network{Tap: "t,0"}
	if args := m.Args(); !slices.Contains(args, "tap,id=net0,ifname=t,,0,script=no,downscript=no") {
		t.Errorf("%q", args)
	}
}
