// Package distribution knows which Linux distribution this machine has, and the command that installs a package on it.
// It only words hints; it runs nothing.
package distribution

import (
	"os"
	"strings"
)

// Family is a group of distributions that share a package manager; "" is none that is known.
type Family string

const (
	Debian Family = "debian" // Ubuntu, Mint, Raspberry Pi OS
	Fedora Family = "fedora" // CentOS Stream, Rocky, Alma
	Arch   Family = "arch"   // Manjaro, EndeavourOS
	SUSE   Family = "suse"   // openSUSE, SLES
	Alpine Family = "alpine" // postmarketOS
)

// Here is the family of this machine.
func Here() Family {
	for _, file := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if text, err := os.ReadFile(file); err == nil {
			return Parse(string(text))
		}
	}
	return ""
}

// Parse reads the text of an os-release file. ID counts before ID_LIKE, and there what stands first.
func Parse(text string) Family {
	var id, like string
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.ToLower(strings.Trim(value, `"'`))
		switch key {
		case "ID":
			id = value
		case "ID_LIKE":
			like = value
		}
	}
	for _, word := range append([]string{id}, strings.Fields(like)...) {
		switch {
		case word == "debian" || word == "ubuntu":
			return Debian
		case word == "fedora" || word == "rhel" || word == "centos":
			return Fedora
		case word == "arch" || word == "archlinux":
			return Arch
		case word == "suse" || word == "sles" || strings.HasPrefix(word, "opensuse"):
			return SUSE
		case word == "alpine":
			return Alpine
		}
	}
	return ""
}

// Install is the command that installs packages; "" for an unknown family.
func (f Family) Install(packages ...string) string {
	command := map[Family]string{
		Debian: "apt-get install",
		Fedora: "dnf install",
		Arch:   "pacman -S",
		SUSE:   "zypper install",
		Alpine: "apk add",
	}[f]
	if command == "" {
		return ""
	}
	return AsRoot(command + " " + strings.Join(packages, " "))
}

// AsRoot is a command with sudo before it, where root is not who asks.
func AsRoot(command string) string {
	if os.Getuid() == 0 {
		return command
	}
	return "sudo " + command
}
