package qemu

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// minMemory is where ukl's kernels begin, in MiB: no guest has less. How much one needs says its kernel's file.
const minMemory = 16

// smallest is what the smallest application needs, in MiB: hello, with the kernel below it.
const smallest = 31

// maxMemory keeps typing errors from becoming an allocation: 1 TiB.
const maxMemory = 1 << 20

// ParseMemory reads a size in MiB: 64, 64M, 64MiB, 2G, 1T. A number alone is MiB.
func ParseMemory(s string) (int, error) {
	digits := strings.TrimRight(s, "aAbBgGiImMtT ")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a size; want 64, 64M or 2G", s)
	}
	switch strings.ToLower(strings.TrimSpace(s[len(digits):])) {
	case "", "m", "mb", "mib":
	case "g", "gb", "gib":
		if n > maxMemory {
			return 0, fmt.Errorf("%q is more than any machine has", s)
		}
		n *= 1024
	case "t", "tb", "tib":
		if n > maxMemory>>20 {
			return 0, fmt.Errorf("%q is more than any machine has", s)
		}
		n <<= 20
	default:
		return 0, fmt.Errorf("%q is not a size; want 64, 64M or 2G", s)
	}
	return n, CheckMemory(n)
}

// CheckMemory says whether a guest can have n MiB.
func CheckMemory(n int) error {
	switch {
	case n < minMemory:
		return fmt.Errorf("%d MiB of memory are too little: the smallest application needs %d", n, smallest)
	case n > maxMemory:
		return fmt.Errorf("%d MiB of memory are more than any machine has", n)
	}
	return nil
}

// Excess is more memory for a guest than a machine has, in MiB.
type Excess struct {
	Memory int
	Host   int // with its swap
}

func (e *Excess) Error() string {
	return fmt.Sprintf("%d MiB of memory are more than the %d MiB that this machine has, with its swap", e.Memory, e.Host)
}

// CheckHost says whether this machine has n MiB at all.
func CheckHost(n int) error {
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) != nil {
		return nil // QEMU will say it
	}
	if host := int((s.Totalram + s.Totalswap) * uint64(s.Unit) >> 20); n > host {
		return &Excess{n, host}
	}
	return nil
}

// MaxCPUs is how many CPUs a guest can have. The table of the microvm's processors has one byte for a number, so QEMU
// ends under TCG with more than 255. CONFIG_NR_CPUS of ukl's kernels is not smaller: a kernel starts no CPU beyond it,
// and says so only in its log.
const MaxCPUs = 255

// CheckCPUs says whether a guest whose kernel has room for most CPUs can have n.
func CheckCPUs(n, most int) error {
	if n < 1 || n > most {
		return fmt.Errorf("%d CPUs: want 1 to %d", n, most)
	}
	return nil
}
