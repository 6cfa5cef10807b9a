package guest

import (
	"fmt"
	"strings"

	"ukl/internal/machine/qemu"
)

// Alone is what a guest gets that boots without ukl: a kernel command line and an initramfs with files, arguments and
// environment. Its console is the first serial port, for the kernel's log and the application's streams alike. The
// address is that of QEMU's user network; words are added to the command line, where a second ip= replaces it.
// no_timer_check: on a loaded host QEMU's interval timer is later than the kernel believes a timer can be.
func Alone(argv, env []string, files []File, words string) (cmdline string, archive []byte, err error) {
	cmdline = fmt.Sprintf("console=ttyS0 panic=-1 reboot=t no_timer_check %s quiet %s", "ip="+qemu.Network{}.IP(), words)
	archive, err = initrd(argv, environ(defaultEnv(), env), qemu.Machine{}, files)
	return strings.TrimSpace(cmdline), archive, err
}
