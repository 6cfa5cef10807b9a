package guest

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"ukl/internal/machine/qemu"
)

// etc are the files of /etc that programs of an ordinary Linux count on: without them nobody is called root or nobody,
// localhost has no address, no name is asked for anywhere, and http has no port. By name in the archive.
func etc(n qemu.Network) map[string]string {
	address, gateway := qemu.GuestAddress, qemu.HostAddress
	if n.Tap != "" {
		address, gateway = n.Address.Addr().String(), n.Gateway.String()
	}
	files := map[string]string{
		"etc/passwd": "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
		"etc/group":  "root:x:0:\nnobody:x:65534:\nnogroup:x:65534:\n",
		"etc/hosts":  fmt.Sprintf("127.0.0.1 localhost\n::1 localhost\n%s ukl\n%s host\n", address, gateway),
		"etc/services": "ftp 21/tcp\nssh 22/tcp\ntelnet 23/tcp\nsmtp 25/tcp\ndomain 53/tcp\ndomain 53/udp\n" +
			"http 80/tcp www\nntp 123/udp\n" +
			"https 443/tcp\nsyslog 514/udp\nhttp-alt 8080/tcp webcache\n",
	}
	if n.Tap == "" {
		files["etc/resolv.conf"] = "nameserver " + qemu.NameServer + "\n"
	}
	return files
}

// addFurniture appends those files of /etc, and the directories that servers write to, which the archive does not have;
// had are the names of all its members. What lies behind one of the links is the volume's.
func addFurniture(b *bytes.Buffer, n qemu.Network, had, links map[string]bool) {
	add := func(name string, mode int, data string) {
		if top, _, _ := strings.Cut(name, "/"); had[name] || links[top] {
			return
		}
		addParents(b, path.Dir(name), had)
		entry(b, name, mode, []byte(data))
	}
	files := etc(n)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		add(name, 0o100644, files[name])
	}
	add("run", 0o040755, "")
	add("var/log", 0o040755, "")
	add("var/run", 0o120777, "/run")
	add("var/tmp", 0o041777, "")
}
