package distribution

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Family
	}{
		{"Debian", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n", Debian},
		{"Ubuntu", "ID=ubuntu\nID_LIKE=debian\n", Debian},
		{"Mint", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Debian},
		{"Fedora", "ID=fedora\n", Fedora},
		{"Rocky", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", Fedora},
		{"Arch", "ID=arch\n", Arch},
		{"Manjaro", "ID=manjaro\nID_LIKE=arch\n", Arch},
		{"Tumbleweed", "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n", SUSE},
		{"SLES", "ID='sles'\n", SUSE},
		{"Alpine", "ID=alpine\n", Alpine},
		{"NixOS", "ID=nixos\nID_LIKE=\"\"\n", ""},
		{"Void", "ID=\"void\"\n", ""},
		{"no ID", "NAME=debian\nVERSION_ID=1\n", ""},
		{"nothing", "", ""},
	} {
		if got := Parse(c.text); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestInstall(t *testing.T) {
	for family, want := range map[Family]string{
		Debian: "apt-get install git", Fedora: "dnf install git", Arch: "pacman -S git", SUSE: "zypper install git",
		Alpine: "apk add git",
	} {
		if got := strings.TrimPrefix(family.Install("git"), "sudo "); got != want {
			t.Errorf("%s: %q, want %q", family, got, want)
		}
	}
	if got := Family("").Install("git"); got != "" {
		t.Errorf("unknown: %q", got)
	}
	if Here() == "" {
		t.Log("the tests run on an unknown distribution")
	}
}
