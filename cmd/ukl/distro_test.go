package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ukl/internal/cli/exit"
	"ukl/internal/machine/qemu"
)

// A kernel that nobody compiles has the lines of a ukl.toml already, or the mode is refused.
func TestUnlike(t *testing.T) {
	const config = "# Linux/x86 6.1\nCONFIG_EXT4_FS=y\nCONFIG_XFS_FS=m\n# CONFIG_NET_9P is not set\nCONFIG_HZ=250\n"
	for _, c := range []struct{ wanted, missing string }{
		{"", ""},
		{"CONFIG_EXT4_FS=y CONFIG_HZ=250 CONFIG_NET_9P=n CONFIG_NOTHING=n", ""},
		{"CONFIG_XFS_FS=y", "CONFIG_XFS_FS=y"},   // a module is not the same
		{"CONFIG_EXT4_FS=n", "CONFIG_EXT4_FS=n"}, // nor is what the kernel has and shall not
		{"CONFIG_EXT4_F=y CONFIG_HZ=100", "CONFIG_EXT4_F=y CONFIG_HZ=100"},
		{"CONFIG_EXT4_FS=y CONFIG_NET_9P=y", "CONFIG_NET_9P=y"},
	} {
		var lines []string
		for _, text := range unlike(config, strings.Fields(c.wanted)) {
			line, why, _ := strings.Cut(text, ": ")
			if lines = append(lines, line); !strings.Contains(why, "Debian's kernel") {
				t.Errorf("%q says nothing of Debian's kernel", text)
			}
		}
		if !slices.Equal(lines, strings.Fields(c.missing)) {
			t.Errorf("%s: missing %q, want %s", c.wanted, lines, c.missing)
		}
	}
}

func TestMountable(t *testing.T) {
	dir := qemu.Volume{Host: "/h", Guest: "/g"}
	disk := func(kind string) qemu.Volume { return qemu.Volume{Host: "/h.img", Guest: "/g", FileSystem: kind} }
	ninep := qemu.Volume{Host: "/h", Guest: "/g", NineP: true, ReadOnly: true}
	for _, v := range []qemu.Volume{dir, disk("ext2"), disk("ext3"), disk("ext4")} {
		if err := mountable([]qemu.Volume{v}); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
	for want, v := range map[string]qemu.Volume{
		"volume /h:/g:ro,9p: Debian's kernel for virtual machines has no 9P":                      ninep,
		"volume /h.img:/g: it holds xfs, and a guest of mode distro mounts ext2, ext3, ext4 only": disk("xfs"),
	} {
		err := mountable([]qemu.Volume{dir, v})
		var e *exit.Error
		if !errors.As(err, &e) || e.Code != exit.Usage || e.Error() != want || e.Hint == "" {
			t.Errorf("%v; want %s", err, want)
		}
	}
	if !ninep.NineP {
		t.Error("the volume itself was changed")
	}
}
