// Package kconfig says why the guest's kernel is configured as it is: each line in which its configuration differs from
// tinyconfig has a reason. A test holds the table against nixexprs/linux/config.
package kconfig

import "strings"

// Option is a line of a configuration, and why it is there; "" if nobody has said.
type Option struct{ Line, Reason string }

// Explained gives the lines of a configuration their reasons.
func Explained(config string) []Option {
	why := reasons()
	var all []Option
	for line := range strings.Lines(config) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "CONFIG_") {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "CONFIG_"), "=")
		all = append(all, Option{line, why[name]})
	}
	return all
}

// group is options that one reason has brought.
type group struct{ names, reason string }

func reasons() map[string]string {
	all := map[string]string{}
	for _, g := range []group{
		{"64BIT", "the application is a 64-bit program"},
		{"SMP", "guests may have several processors"},
		{"HYPERVISOR_GUEST PARAVIRT KVM_GUEST", "the clock and wake-ups of KVM, if the guest runs under it"},
		{"PVH", "QEMU enters the vmlinux directly: no decompression at boot"},
		{"PRINTK BUG", "a dying kernel must say why"},
		{"PRINTK_TIME", "the log shows how long each step of a boot takes"},
		{"MULTIUSER", "programs that give up root, such as servers, find the calls"},
		{"SYSFS PROC_FS PROC_SYSCTL SYSCTL", "libc and programs read facts about the machine there"},
		{"TMPFS SHMEM", "/dev/shm and shared anonymous memory"},
		{"DEVTMPFS", "/dev without a program that fills it"},
		{"BLK_DEV_INITRD", "arguments, environment and files come in an initrd"},
		{"FUTEX FUTEX_PI", "locks of the C library"},
		{"EPOLL SIGNALFD TIMERFD EVENTFD", "event loops"},
		{"AIO IO_URING", "asynchronous input and output"},
		{"ADVISE_SYSCALLS", "madvise(): allocators give memory back"},
		{"MEMBARRIER RSEQ", "libc and language runtimes use them if the kernel has them"},
		{"POSIX_TIMERS", "timer_create(), setitimer()"},
		{"SYSVIPC POSIX_MQUEUE", "System V and POSIX queues, semaphores, shared memory"},
		{"CROSS_MEMORY_ATTACH FHANDLE INOTIFY_USER FILE_LOCKING", "system calls that ordinary programs make"},
		{"ELF_CORE COREDUMP", "signals that dump core behave as elsewhere, and process mode reports crashes by it"},
		{"BINFMT_ELF", "the application's format"},
		{"BINFMT_SCRIPT", "the application may start scripts"},
		{"TTY UNIX98_PTYS", "terminals for programs that open some"},
		{"LEGACY_PTYS", "256 terminals that no program of today opens took a quarter of the boot"},
		{"VT", "there is no screen"},
		{"SERIAL_8250 SERIAL_8250_CONSOLE", "the kernel's log goes to the first serial port"},
		{
			"VIRTIO_MENU VIRTIO_MMIO VIRTIO_MMIO_CMDLINE_DEVICES",
			"the devices of QEMU's microvm, which the command line lists",
		},
		{"PCI PCI_MSI VIRTIO_PCI", "the devices of machines with PCI, such as other hypervisors have"},
		{"VIRTIO_CONSOLE", "stdin, stdout and stderr"},
		{
			"RANDOM_TRUST_CPU RANDOM_TRUST_BOOTLOADER",
			"getrandom(GRND_NONBLOCK) answers from the application's first line on: the host gives the processor, too",
		},
		{"HW_RANDOM HW_RANDOM_VIRTIO", "randomness from the host, if it offers some"},
		{"NET PACKET UNIX INET", "sockets"},
		{"IP_PNP", "the address is set from the command line before the application starts"},
		{"IP_PNP_DHCP", "without an address on the command line, the kernel can ask for one"},
		{"SERIAL_8250_NR_UARTS SERIAL_8250_RUNTIME_UARTS", "a search for more than the one port takes time at boot"},
		{"BLOCK BLK_DEV VIRTIO_BLK EXT2_FS", "disks, and a plain file system on them"},
		{"MQ_IOSCHED_DEADLINE MQ_IOSCHED_KYBER SWAP BLOCK_LEGACY_AUTOLOAD", "disks of guests do not need them"},
		{"PARTITION_ADVANCED MSDOS_PARTITION EFI_PARTITION", "disks have no partitions"},
		{"IPV6", "sockets for both families, as most servers open them"},
		{"NETDEVICES NET_CORE VIRTIO_NET", "the network card"},
		{"ETHERNET WIRELESS WLAN", "no drivers of hardware"},
		{"HIGH_RES_TIMERS", "sleeps end when they should"},
		{"NO_HZ_IDLE", "an idle guest costs the host nothing"},
		{"HZ_1000", "a slice of the processor ends after a millisecond"},
		{"PREEMPT_NONE", "one application: throughput before latency"},
		{"X86_MPPARSE", "the microvm lists its processors in that table"},
		{"X86_X2APIC", "the interrupt controller of guests"},
		{"KALLSYMS", "backtraces of the kernel have names"},
		{"UNWINDER_GUESS", "the smallest unwinder; it reads stacks of both rings"},
		{"CC_OPTIMIZE_FOR_PERFORMANCE", "speed before size"},
		{"KERNEL_XZ", "the smallest bzImage"},
		{"RELOCATABLE RANDOMIZE_BASE", "addresses are fixed: the application is linked against them"},
		{"SPECULATION_MITIGATIONS", "they protect a border between application and kernel, which ring 0 does not have"},
		{"STACKPROTECTOR", "cost on each call of the kernel, for no border"},
		{"IA32_EMULATION MODIFY_LDT_SYSCALL LEGACY_VSYSCALL_NONE", "no relics of 32-bit and old programs"},
		{"STRICT_KERNEL_RWX", "code stays read-only, in ring 0 as well"},
		{"VMAP_STACK", "an overflow of a kernel stack is caught"},
		{"TRANSPARENT_HUGEPAGE TRANSPARENT_HUGEPAGE_MADVISE", "large pages for programs that ask"},
		{"SECCOMP", "programs can confine themselves and their children"},
		{"CGROUPS NAMESPACES", "one application has the whole machine"},
		{"EXPERT EMBEDDED", "makes the other options visible"},
		{"RING0_PROCESS", "the series: the application in ring 0"},
		{"QEMU_TCG_GUEST", "the series: boots under QEMU's emulation without calibrating clocks"},
		{"X86_ESPFIX64 X86_16BIT", "no 16-bit segments"},
		{"ACPI", "the microvm has none"},
		{
			"PERF_EVENTS_INTEL_UNCORE PERF_EVENTS_INTEL_RAPL PERF_EVENTS_INTEL_CSTATE",
			"no counters of hardware that guests do not see",
		},
		{
			"X86_PKG_TEMP_THERMAL X86_THERMAL_VECTOR X86_MCE THERMAL PM POWER_SUPPLY CPU_FREQ",
			"temperature, power and broken hardware are the host's business",
		},
		{"PCIEASPM VGA_ARB PCI_QUIRKS", "repairs of real boards"},
		{"IPV6_SIT", "no tunnels"},
		{"NLS", "no foreign file systems"},
		{"SCHED_DEBUG SLUB_DEBUG", "debugging that costs memory"},
		{"SERIAL_8250_PCI SERIAL_8250_PNP", "the one port is known"},
		{"CPU_SUP_HYGON CPU_SUP_CENTAUR CPU_SUP_ZHAOXIN PROCESSOR_SELECT", "processors of two makers suffice"},
		{"NR_CPUS", "tables for no more than a guest uses"},
		{"JUMP_LABEL", "switched-off features cost nothing"},
		{"SCHED_MC_PRIO", "guests do not see which core is faster"},
		{"BASE_FULL", "hash tables of ordinary size"},
		{"SLUB", "the allocator that scales"},
		{"NET_9P NET_9P_VIRTIO NETWORK_FILESYSTEMS 9P_FS", "volumes: directories of the host"},
		{"FUSE_FS VIRTIO_FS", "volumes whose locks hold on the host, too"},
		{
			"MISC_FILESYSTEMS SQUASHFS SQUASHFS_FILE_DIRECT SQUASHFS_DECOMP_MULTI_PERCPU SQUASHFS_ZLIB SQUASHFS_ZSTD",
			"root file systems of packages: read-only images, compressed by zstd",
		},
		{"OVERLAY_FS TMPFS_XATTR", "what is written to such a root, in memory above it"},
		{"BLK_DEV_RAM BLK_DEV_RAM_COUNT BLK_DEV_RAM_SIZE", "such a root in a disk or CD that boots alone"},
		{"NFS_FS", "no other network file systems"},
		{"ETHTOOL_NETLINK", "no program asks a virtual card that way"},
		{
			"CRYPTO CRYPTO_HW CRYPTO_MANAGER_DISABLE_TESTS",
			"no test of the random numbers' hash at each boot; there is no other way to leave it out",
		},
		{"RD_BZIP2 RD_LZMA RD_XZ RD_LZO RD_LZ4 RD_ZSTD", "initrds are not compressed, or by gzip"},
	} {
		for name := range strings.FieldsSeq(g.names) {
			all[name] = g.reason
		}
	}
	return all
}
