package guest

import (
	"fmt"
	"strings"

	"ukl/internal/qemu"
)

// Alone is what a guest gets that boots without ukl: a kernel command line and an initramfs with arguments and environment. Its
// console is the first serial port, for the kernel's log and the application's streams alike. The address is that of QEMU's user
// network; words are added to the command line, where a second ip= replaces it. no_timer_check: on a loaded host QEMU's interval timer
// is later than the kernel believes a timer can be.
func Alone(argv, env []string, words string) (cmdline string, archive []byte) {
	cmdline = fmt.Sprintf("console=ttyS0 panic=-1 reboot=t no_timer_check %s quiet %s", address(), words)
	return strings.TrimSpace(cmdline), initrd(argv, environ(defaultEnv(), env), "")
}

// address is the guest's, as the kernel's command line has it.
func address() string {
	return fmt.Sprintf("ip=%s::%s:%s:ukl:eth0:off", qemu.GuestAddress, qemu.HostAddress, qemu.Netmask)
}
