package guest

import (
	"strings"

	"ukl/internal/machine/qemu"
)

// Alone is what a guest gets that boots without ukl: a kernel command line and an initramfs with the name, files,
// arguments and environment of a run. It has no machine ID, since there may be many of it. Its console is the first
// serial port, for the kernel's log and the application's streams alike. The address is that of QEMU's user network;
// words are added to the command line, where a second ip= replaces it. no_timer_check: on a loaded host QEMU's interval
// timer is later than the kernel believes a timer can be.
func Alone(run Options, words string) (cmdline string, archive []byte, err error) {
	run.Machine, run.MachineID = qemu.Machine{}, ""
	own := append([]string{"console=ttyS0 panic=-1 reboot=t no_timer_check", run.naming(), pings, "quiet"}, run.sysctl()...)
	cmdline = strings.Join(append(own, words), " ")
	archive, err = run.initrd()
	return strings.TrimSpace(cmdline), archive, err
}
