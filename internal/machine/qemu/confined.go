package qemu

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"ukl/internal/machine/confine"
)

// sandbox is QEMU's own filter of system calls, with all that it can deny. It starts no program, changes neither its
// user nor its scheduling, and makes no call that is out of use.
var sandbox = []string{"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"}

// Confined is what a confined QEMU needs of the host. Whatever else it uses are descriptors that ukl has opened.
type Confined struct {
	User  confine.User
	Keep  []int // capabilities
	Paths []confine.Path
}

// Confined is what a QEMU with this machine needs. files are those that it opens by name.
func (m Machine) Confined(files ...string) *Confined {
	c := &Confined{User: confine.Own(), Paths: []confine.Path{}}
	for _, f := range files {
		c.Paths = append(c.Paths, confine.Path{Name: f})
	}
	if m.Plugin.File != "" {
		c.Paths = append(c.Paths, confine.Path{Name: m.Plugin.File, Execute: true})
	}
	if m.KVM {
		c.Paths = append(c.Paths, confine.Path{Name: kvmDevice, Write: true, Device: true})
		c.toKVM()
	}
	for _, v := range m.Volumes {
		if v.FileSystem != "" || !v.NineP {
			continue
		}
		// QEMU opens files there for as long as the guest runs: their owners may be anybody.
		c.User = confine.User{}
		c.Keep = append(c.Keep, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER)
		if v.Trusted {
			c.Keep = append(c.Keep, unix.CAP_CHOWN, unix.CAP_FSETID, unix.CAP_SETFCAP)
		}
		name := v.Host
		if v.Descriptor != 0 {
			name = fmt.Sprintf("/proc/self/fd/%d", v.Descriptor)
		}
		c.Paths = append(c.Paths, confine.Path{Name: name, Write: !v.ReadOnly})
		if !v.ReadOnly && confine.Landlock() == 1 { // it would refuse to rename
			c.Paths = nil
			break
		}
	}
	for _, f := range m.Forwards {
		if f.Host != 0 && f.Host < privileged && !f.V6() {
			c.Keep = append(c.Keep, unix.CAP_NET_BIND_SERVICE)
		}
	}
	return c
}

// privileged is the first port that everybody may listen on.
const privileged = 1024

const kvmDevice = "/dev/kvm"

// toKVM makes the user one who may use KVM.
func (c *Confined) toKVM() {
	fi, err := os.Stat(kvmDevice)
	if err != nil {
		return
	}
	const all, group = 0o006, 0o060
	switch mode := fi.Mode().Perm(); {
	case mode&all == all:
	case mode&group == group:
		c.User.Groups = append(c.User.Groups, int(fi.Sys().(*syscall.Stat_t).Gid))
	default: // root alone
		c.User = confine.User{}
	}
}

// confine adds to a plan what a QEMU of a tree shall not have.
func (c *Confined) confine(p *confine.Plan, tree string) {
	p.User, p.Drop = c.User, confine.AllBut(c.Keep...)
	if c.Paths == nil {
		return
	}
	p.Paths = append([]confine.Path{
		{Name: tree, Execute: true},
		{Name: "/proc"},
		{Name: "/sys/devices"},
		{Name: "/dev/null", Write: true},
		{Name: "/dev/urandom"},
		{Name: resolver()},
	}, c.Paths...)
}

// resolver is what QEMU's user network reads to find the host's name server: the folder, since the file is replaced.
func resolver() string {
	const file = "/etc/resolv.conf"
	if real, err := filepath.EvalSymlinks(file); err == nil {
		return filepath.Dir(real)
	}
	return file
}
