package qemu

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ukl/internal/machine/confine"
)

// A confined QEMU has what its machine needs, and nothing else; what it inherits it does not open.
func TestConfined(t *testing.T) {
	plain := Machine{}.Confined("/nix/store/x")
	if len(plain.Keep) != 0 || !slices.Equal(plain.Paths, []confine.Path{{Name: "/nix/store/x"}}) {
		t.Errorf("%+v", plain)
	}
	if plain.User.ID == 0 && os.Geteuid() == 0 && confine.Own().ID != 0 {
		t.Errorf("root's QEMU is root: %+v", plain)
	}
	if got := (Machine{Forwards: []Forward{{Host: 0}, {Host: 5353, UDP: true}}}).Confined().Keep; len(got) != 0 {
		t.Errorf("ports for everybody: %v", got)
	}
	got := (Machine{Forwards: []Forward{{Host: 53, UDP: true}}}).Confined().Keep
	if !slices.Equal(got, []int{unix.CAP_NET_BIND_SERVICE}) {
		t.Errorf("port 53: %v", got)
	}
	lent := Machine{Volumes: []Volume{{Host: "/srv", NineP: true, ReadOnly: true}, {Host: "/img", FileSystem: "ext2"}}}
	c := lent.Confined()
	paths := []confine.Path{{Name: "/srv"}}
	if c.User.ID != 0 || slices.Contains(c.Keep, unix.CAP_CHOWN) || !slices.Equal(c.Paths, paths) {
		t.Errorf("9P: %+v", c)
	}
	lent.Volumes[0].Trusted = true
	if c = lent.Confined(); !slices.Contains(c.Keep, unix.CAP_CHOWN) {
		t.Errorf("trusted: %+v", c)
	}
}

func TestInherited(t *testing.T) {
	m := Machine{
		Network: Network{Tap: "ukl0", Descriptor: 8},
		Volumes: []Volume{{Host: "/img", FileSystem: "ext2", Descriptor: 9}},
	}
	args := strings.Join(m.Args(), " ")
	for _, want := range []string{"tap,id=net0,fd=8 ", "-add-fd fd=9,set=9 ", "file.filename=/dev/fdset/9 "} {
		if !strings.Contains(args+" ", want) {
			t.Errorf("no %q in %q", want, args)
		}
	}
	if strings.Contains(args, "/img") || strings.Contains(args, "ukl0") {
		t.Errorf("a name in %q", args)
	}
}
