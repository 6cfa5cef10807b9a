// Package qemu describes virtual machines as QEMU command lines and runs them. Args is pure: it reads no file, clock,
// device or environment, so what is printed is what runs. A started QEMU never outlives ukl, however ukl ends.
package qemu

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Channel is one byte stream between ukl and the guest, in the order of Machine.Channels.
type Channel int

const (
	Stdin Channel = iota
	Stdout
	Stderr
	Log // the kernel's console, on the first serial port
	Channels
)

// Name is the channel's name in the guest (a virtio serial port) and of its QEMU chardev.
func (c Channel) Name() string {
	return [...]string{"ukl.stdin", "ukl.stdout", "ukl.stderr", "ukl.log"}[c]
}

// Network of the guest. QEMU's user network is 10.0.2.0/24 with the host at .2; the guest's address is fixed, so that
// nothing waits for DHCP.
const (
	GuestAddress = "10.0.2.15"
	HostAddress  = "10.0.2.2"
	NameServer   = "10.0.2.3" // hands questions on to the host's
	Netmask      = "255.255.255.0"
)

// Machine is a guest before it runs. Every guest has one network card, three virtio serial ports and one serial line.
type Machine struct {
	Kernel   string // vmlinux (booted through PVH) or bzImage
	PC       bool   // it is a PC, which kernels of distributions are made for; false is the smallest machine there is
	Initrd   string // "" is none
	Append   string // kernel command line
	KVM      bool   // false is TCG
	CPU      string // QEMU's model; "" is the default of the accelerator
	Memory   int    // MiB
	CPUs     int
	Network  Network
	Forwards []Forward
	Volumes  []Volume
	// Backends are the host's ends of the channels, as QEMU's -chardev options without the id: "socket,fd=3". A channel
	// other than Log may have none: the guest then finds its end.
	Backends [Channels]string
	Control  string // likewise, of the control channel; "" is none
	Monitor  string // likewise, of the line that Watch follows; "" is none
	GDB      string // likewise, of the gdb stub, for which the guest then waits; "" is none
	Plugin   Plugin
	Extra    []string // appended as they are
}

// Plugin is a plugin of QEMU's software emulation. The zero value is none.
type Plugin struct {
	File string
	Args []string // K=V
}

// args are QEMU's arguments that load the plugin.
func (p Plugin) args() []string {
	if p.File == "" {
		return nil
	}
	s := Value(p.File)
	for _, a := range p.Args {
		s += "," + Value(a)
	}
	return []string{"-plugin", s}
}

// Defaults for what neither ukl.toml nor the command line says. A guest gets DefaultMemory MiB besides the memory that
// its start takes.
const (
	DefaultMemory = 128
	DefaultCPUs   = 1
)

// Hardware of the guest, chosen by measurement; nothing else in ukl names a machine type. Under TCG the interval timer
// and the interrupt controller of the PC can be left out because the kernel is told the TSC's frequency.
const (
	board       = "microvm,acpi=off"
	machineType = board + ",pit=off,pic=off,rtc=on,isa-serial=on,auto-kernel-cmdline=on"
	// A PC, with all that its firmware and ACPI give: what a virtual machine of a distribution gets. Of QEMU's two the
	// older one, which boots in a sixth less of processor time.
	pcType = "pc"
	// QEMU's emulation takes a step for each byte that an instruction of strings moves or sets. With these two features
	// the kernel takes those of bytes for all that is long, and without them those of eight bytes: a page fault then
	// takes 2450 instructions instead of 6070, and 64 MB through the streams 1.0 s instead of 1.6 s.
	cpuTCG = "max,-erms,-fsrm"
	// One thread for all processors of the guest. With a thread each, QEMU 7.2 now and then executes a breakpoint that the
	// kernel has already taken out again (static keys): one boot in 40 on two processors died of "int3: 0000".
	accelTCG = "tcg,thread=single"
	cpuKVM   = "host"
)

// Type is QEMU's name of the machine.
func (m Machine) Type() string {
	if m.PC {
		return pcType
	}
	board, _, _ := strings.Cut(board, ",")
	return board
}

// Model is QEMU's name of the processor.
func (m Machine) Model() string {
	switch {
	case m.CPU != "":
		return m.CPU
	case m.KVM:
		return cpuKVM
	}
	return cpuTCG
}

// device is QEMU's name of a virtio device for the bus that the machine has.
func (m Machine) device(kind string) string {
	if m.PC {
		return kind + "-pci"
	}
	return kind + "-device"
}

// Args is the machine as arguments of qemu-system-x86_64.
func (m Machine) Args() []string {
	accel, board, card := accelTCG, machineType, ""
	if m.KVM {
		accel = "kvm"
	}
	if m.PC {
		board, card = pcType, ",romfile=" // nothing boots from the network
	}
	args := []string{
		"-no-user-config", "-nodefaults", "-no-reboot",
		"-display", "none",
		"-machine", board,
		"-accel", accel,
		"-cpu", m.Model(),
		"-m", strconv.Itoa(m.Memory),
		"-smp", strconv.Itoa(m.CPUs),
		"-kernel", m.Kernel,
		"-append", m.Append,
	}
	if m.Initrd != "" {
		args = append(args, "-initrd", m.Initrd)
	}
	if slices.ContainsFunc(m.Volumes, Volume.VirtioFS) {
		// Their servers write into the guest's memory, and know devices of virtio 1.0 alone.
		if !m.PC {
			args = append(args, "-global", "virtio-mmio.force-legacy=off")
		}
		args = append(args, "-machine", "memory-backend=memory",
			"-object", fmt.Sprintf("memory-backend-memfd,id=memory,size=%dM,share=on", m.Memory))
	}
	ports := int(Channels) // with port 0, which QEMU keeps for a console
	if m.Control != "" {
		ports++
	}
	args = append(args, "-device", fmt.Sprintf("%s,max_ports=%d", m.device("virtio-serial"), ports))
	for c := Stdin; c < Channels; c++ {
		if m.Backends[c] == "" {
			args = append(args, "-device", fmt.Sprintf("virtserialport,nr=%d,name=%s", int(c)+1, c.Name()))
			continue
		}
		args = append(args, "-chardev", chardev(m.Backends[c], c.Name()))
		if c == Log {
			args = append(args, "-serial", "chardev:"+c.Name())
			continue
		}
		args = append(args, "-device", serialPort(int(c)+1, c.Name()))
	}
	if m.Control != "" {
		args = append(args, "-chardev", chardev(m.Control, controlID), "-device", serialPort(int(Channels), controlID))
	}
	if m.Monitor != "" {
		args = append(args, "-chardev", chardev(m.Monitor, monitorID), "-mon", "mode=control,chardev="+monitorID)
	}
	if m.GDB != "" {
		args = append(args, "-chardev", chardev(m.GDB, gdbID), "-gdb", "chardev:"+gdbID, "-S")
	}
	args = append(args, "-netdev", m.Network.netdev(m.Forwards), "-device", m.device("virtio-net")+",netdev=net0"+card)
	for n, v := range m.Volumes {
		args = append(args, v.args(n, m.device)...)
	}
	if m.Counts() {
		args = append(args, countedArgs...)
	}
	args = append(args, m.Plugin.args()...)
	return append(args, m.Extra...)
}

// Counts tells whether QEMU counts instructions, which the guest's clock then follows. Nothing may depend on the host's
// clock.
func (m Machine) Counts() bool { return slices.Contains(m.Extra, "-icount") }

// Limits are what a QEMU with this machine may not do. refused is told, once, what the guest may not reach.
func (m Machine) Limits(refused func(string)) Limits {
	l := m.Network.limits(m.Forwards, refused)
	l.Squash = slices.ContainsFunc(m.Volumes, func(v Volume) bool { return v.NineP && !v.Trusted })
	return l
}

// countedArgs are the date and the random numbers of a machine that counts instructions. They are always the same ones,
// so that its runs are; QEMU takes a later -rtc or -seed instead. What the network card sends leaves by a timer of the
// guest's clock: by default another thread of QEMU sends it, and the guest is interrupted when that thread comes to it.
var countedArgs = []string{
	"-rtc", "base=2026-01-01T00:00:00,clock=vm", "-seed", "1",
	"-global", "virtio-net-device.tx=timer", "-global", "virtio-net-device.x-txtimer=1",
}

// controlID is the name of the control channel in the guest and of its chardev.
const controlID = "ukl.control"

// gdbID is the name of the gdb stub's chardev.
const gdbID = "ukl.gdb"

// serialPort is a virtio serial port, which has its chardev's name.
func serialPort(nr int, name string) string {
	return fmt.Sprintf("virtserialport,nr=%d,chardev=%s,name=%[2]s,id=%[2]s", nr, name)
}

// chardev puts the id behind the backend's type: "socket,fd=3" becomes "socket,id=NAME,fd=3".
func chardev(backend, name string) string {
	kind, rest, more := strings.Cut(backend, ",")
	s := kind + ",id=" + name
	if more {
		s += "," + rest
	}
	return s
}

// Value makes s safe as a value in one of QEMU's key=value lists, where a comma is doubled.
func Value(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// ProbeArgs is the machine for LoopGuest: nothing but a CPU, memory and the device that ends it.
func ProbeArgs(guest, accelerator, cpu string) []string {
	return []string{
		"-no-user-config", "-nodefaults", "-no-reboot",
		"-display", "none",
		"-machine", board + ",accel=" + accelerator,
		"-cpu", cpu,
		"-m", "32",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=1",
		"-kernel", guest,
	}
}
