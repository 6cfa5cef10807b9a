// Package signalname knows the signals of Linux by the names and numbers that people type.
package signalname

import (
	"cmp"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Last is the highest number of a signal (_NSIG of the kernel's arch/x86/include/asm/signal.h).
const Last = 64

// firstRealTime is SIGRTMIN: glibc keeps 32 and 33 for itself.
const firstRealTime = 34

// Parse is the signal of a name, with or without SIG, as kill(1) has it, or of a number; false if there is none.
func Parse(word string) (syscall.Signal, bool) {
	if n, err := strconv.Atoi(word); err == nil {
		return syscall.Signal(n), n >= 1 && n <= Last
	}
	name := strings.TrimPrefix(strings.ToUpper(word), "SIG")
	for from, base := range map[string]int{"RTMIN": firstRealTime, "RTMAX": Last} {
		if offset, ok := strings.CutPrefix(name, from); ok {
			n, err := strconv.Atoi(cmp.Or(offset, "+0"))
			signed := offset == "" || strings.ContainsAny(offset[:1], "+-")
			return syscall.Signal(base + n), err == nil && signed && base+n >= firstRealTime && base+n <= Last
		}
	}
	n := unix.SignalNum("SIG" + name)
	return n, n != 0
}
