package guest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"ukl/internal/machine/qemu"
)

// longestHost is what a label of a domain name may have.
const longestHost = 63

// hostname makes a host name of an application's: letters, digits and hyphens, which other programs and name servers
// take.
func hostname(app string) string {
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, app)
	name = strings.Trim(name[:min(len(name), longestHost)], "-")
	if name == "" {
		name = "ukl"
	}
	return name
}

// naming is the part of the kernel's command line that gives the guest its name and address. An ip= of somebody else's,
// behind it, leaves the name if it has none.
func (o *Options) naming() string {
	host := hostname(o.Name)
	return "hostname=" + host + " ip=" + o.Machine.Network.IP(host)
}

// pings is the part of the kernel's command line that lets every group send echo requests without a raw socket, as
// distributions do. The kernel's own range is empty: not even root may.
const pings = `sysctl.net.ipv4.ping_group_range="0 2147483647"`

// backlog is the part of the kernel's command line that lets a listener hold as many clients as a large server asks for
// (SOMAXCONN of Linux). QEMU's user network has accepted a client before the guest hears of it. Where the guest has no
// place for it, QEMU tries again after 6, 12 and 24 seconds and then resets it.
const backlog = "sysctl.net.ipv4.tcp_min_backlog=16384"

// mssOnce is the part of the kernel's command line for a fault of QEMU's user network (libslirp's tcp_mss()): it
// empties a connection's buffers when the guest, busy with others, sends its answer to a SYN once more with the option
// of the maximum segment size. What the client has sent by then is lost.
const mssOnce = "sysctl.net.ipv4.tcp_synack_mss_once=1"

// sysctl are the parts of the kernel's command line that set parameters (fs/proc/proc_sysctl.c). A value with spaces is
// quoted.
func (o *Options) sysctl() []string {
	var words []string
	for _, s := range slices.Concat(o.userSysctl(), o.Sysctl) {
		name, value, _ := strings.Cut(s, "=")
		if strings.Contains(value, " ") {
			value = `"` + value + `"`
		}
		words = append(words, "sysctl."+name+"="+value)
	}
	return words
}

// etc are the files of /etc that programs of an ordinary Linux count on: without them nobody is called root or nobody,
// localhost has no address, no name is asked for anywhere, and neither http nor tcp has a number. Without host.conf
// libc takes only the first address that hosts has of a name. By name in the archive.
func (o *Options) etc() map[string]string {
	n, host := o.Machine.Network, hostname(o.Name)
	address, gateway := qemu.GuestAddress, qemu.HostAddress
	if n.Tap != "" {
		address, gateway = n.Address.Addr().String(), n.Gateway.String()
	}
	files := map[string]string{
		"etc/passwd":    "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
		"etc/group":     "root:x:0:\nnobody:x:65534:\nnogroup:x:65534:\n",
		"etc/host.conf": "multi on\n",
		"etc/hostname":  host + "\n",
		"etc/hosts": fmt.Sprintf("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n%s %s\n%s host\n",
			address, host, gateway),
		"etc/networks": "default 0.0.0.0\nloopback 127.0.0.0\nlink-local 169.254.0.0\n",
		"etc/protocols": "ip 0 IP\nicmp 1 ICMP\nigmp 2 IGMP\nipencap 4 IP-ENCAP\ntcp 6 TCP\nudp 17 UDP\ndccp 33 DCCP\n" +
			"ipv6 41 IPv6\nipv6-route 43 IPv6-Route\nipv6-frag 44 IPv6-Frag\ngre 47 GRE\nesp 50 IPSEC-ESP\nah 51 IPSEC-AH\n" +
			"ipv6-icmp 58 IPv6-ICMP icmpv6\nipv6-nonxt 59 IPv6-NoNxt\nipv6-opts 60 IPv6-Opts\nospf 89 OSPFIGP\npim 103 PIM\n" +
			"vrrp 112 VRRP\nsctp 132 SCTP\nudplite 136 UDPLite\n",
		"etc/services": "ftp 21/tcp\nssh 22/tcp\ntelnet 23/tcp\nsmtp 25/tcp\ndomain 53/tcp\ndomain 53/udp\n" +
			"http 80/tcp www\nntp 123/udp\n" +
			"https 443/tcp\nsyslog 514/udp\nhttp-alt 8080/tcp webcache\n",
	}
	if n.Tap == "" {
		files["etc/resolv.conf"] = "nameserver " + qemu.NameServer + "\n"
	}
	if o.MachineID != "" {
		files["etc/machine-id"] = o.MachineID + "\n"
	}
	return files
}

// places are the directories and links beside /etc that programs of an ordinary Linux count on, in the order in which
// they can be made.
func places() []place {
	const dir, all, link = 0o040755, 0o041777, 0o120777
	return []place{
		{"run", dir, ""},
		{"run/lock", all, ""},
		{"var/cache", dir, ""},
		{"var/lib", dir, ""},
		{"var/lock", link, "/run/lock"},
		{"var/log", dir, ""},
		{"var/run", link, "/run"},
		{"var/spool", dir, ""},
		{"var/tmp", all, ""},
	}
}

type place struct {
	name   string // in the archive
	mode   int
	target string // of a link
}

// addFurniture appends those files of /etc, and the directories that servers write to, for which there is room. What
// lies behind a link to a volume is the volume's.
func (o *Options) addFurniture(t *tree) {
	files := o.etc()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		t.furnish(name, 0o100644, files[name])
	}
	for _, p := range places() {
		t.furnish(p.name, p.mode, p.target)
	}
	if dir := strings.TrimPrefix(o.Dir, "/"); dir != "" {
		t.furnish(dir, 0o040755, "")
	}
}

// addIdentity appends what is about this guest, and not about the system whose files are in its root.
func (o *Options) addIdentity(t *tree) {
	files := o.etc()
	for _, name := range []string{"etc/hostname", "etc/hosts", "etc/machine-id", "etc/resolv.conf"} {
		if text, ok := files[name]; ok {
			t.furnish(name, 0o100644, text)
		}
	}
}

// furnish appends a member if there is room for it.
func (t *tree) furnish(name string, mode int, data string) {
	if t.room(name) {
		t.addParents(path.Dir(name))
		t.add(name, mode, []byte(data))
	}
}
