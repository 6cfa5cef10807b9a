package crash

import (
	"fmt"
	"strings"
	"syscall"
)

// Codes of a siginfo, from the kernel's asm-generic/siginfo.h.
const (
	fromUser       = 0
	fromKernel     = 0x80
	fromQueue      = -1
	fromTimer      = -2
	fromMessage    = -3
	fromAsyncIO    = -4
	fromDescriptor = -5
	fromThread     = -6
	fromLookup     = -60
	lastPoll       = 6 // 1 to 6 say what a descriptor is ready for, if the signal has no codes of its own
)

// signalName is how C has it.
func signalName(n int) string {
	for name, s := range map[string]syscall.Signal{
		"SIGQUIT": syscall.SIGQUIT, "SIGILL": syscall.SIGILL, "SIGTRAP": syscall.SIGTRAP, "SIGABRT": syscall.SIGABRT,
		"SIGBUS": syscall.SIGBUS, "SIGFPE": syscall.SIGFPE, "SIGSEGV": syscall.SIGSEGV, "SIGXCPU": syscall.SIGXCPU,
		"SIGXFSZ": syscall.SIGXFSZ, "SIGSYS": syscall.SIGSYS,
	} {
		if n == int(s) {
			return name
		}
	}
	return fmt.Sprintf("signal %d", n)
}

// Cause says which signal, and why it was sent.
func (r *Report) Cause() string { return fmt.Sprintf("%s (%s)", signalName(r.Signal), r.why()) }

func (r *Report) why() string {
	if s := faults()[fault{syscall.Signal(r.Signal), r.Code}]; s != "" {
		return strings.ReplaceAll(s, "@", fmt.Sprintf("%#x", r.Address))
	}
	if s := senders()[r.Code]; s != "" {
		return s
	}
	if r.Code > 0 && r.Code <= lastPoll && !r.ownCodes() {
		return senders()[fromDescriptor]
	}
	return fmt.Sprintf("code %d, address %#x", r.Code, r.Address)
}

// ownCodes tells whether positive codes of the signal mean something that no other signal's do.
func (r *Report) ownCodes() bool {
	switch syscall.Signal(r.Signal) {
	case syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGXCPU, syscall.SIGXFSZ:
		return false
	}
	return true
}

// senders are sentences for codes that any signal can have.
func senders() map[int]string {
	return map[int]string{
		fromUser:       "sent by kill()",
		fromKernel:     "sent by the kernel",
		fromQueue:      "sent by sigqueue()",
		fromTimer:      "a timer of timer_create() ran out",
		fromMessage:    "a message came into a queue, as mq_notify() asked",
		fromAsyncIO:    "asynchronous input or output, such as aio_read(), ended",
		fromDescriptor: "a file descriptor became ready, as F_SETSIG of fcntl() asked",
		fromThread:     "sent by raise(), pthread_kill() or tgkill()",
		fromLookup:     "a query of getaddrinfo_a() ended",
	}
}

// redZone is what a function may use below its stack pointer (System V ABI for AMD64, 3.2.2). A push and a call store
// there too, and the processor tells of both with the stack pointer as it was.
const redZone = 128

// belowStack tells whether the fault is at an address that only something that needs more stack uses.
func (r *Report) belowStack() bool {
	memory := r.Signal == int(syscall.SIGSEGV) && (r.Code == 1 || r.Code == 2)
	return memory && r.regs[rsp]-r.Address-1 < redZone
}

type fault struct {
	signal syscall.Signal
	code   int
}

// faults are sentences for what a code means with one signal alone; @ is the address. The kernel sends SIGXFSZ with the
// code of kill().
func faults() map[fault]string {
	return map[fault]string{
		{syscall.SIGSEGV, 1}: "invalid address @, nothing is mapped there",
		{syscall.SIGSEGV, 2}: "invalid access to address @, whose mapping does not permit it",
		{syscall.SIGSEGV, 4}: "invalid access to address @, which a protection key forbids",
		{syscall.SIGSEGV, fromKernel}: "general protection: most likely an address that is not canonical, " +
			"or no stack for a signal handler",
		{syscall.SIGBUS, 1}:           "misaligned address @",
		{syscall.SIGBUS, 2}:           "address @ has no memory behind it, like the rest of a file that is too short",
		{syscall.SIGBUS, 3}:           "an error of the hardware at address @",
		{syscall.SIGBUS, 4}:           "memory at address @ that the hardware cannot read",
		{syscall.SIGBUS, fromKernel}:  "a fault of the stack segment, such as a stack pointer that is not canonical",
		{syscall.SIGFPE, 1}:           "division of an integer by zero, or a quotient that does not fit",
		{syscall.SIGFPE, 2}:           "overflow of an integer",
		{syscall.SIGFPE, 3}:           "division of a floating-point number by zero",
		{syscall.SIGFPE, 4}:           "overflow of a floating-point number",
		{syscall.SIGFPE, 5}:           "underflow of a floating-point number",
		{syscall.SIGFPE, 6}:           "inexact result of floating-point arithmetic",
		{syscall.SIGFPE, 7}:           "invalid operation of floating-point arithmetic",
		{syscall.SIGILL, 1}:           "illegal instruction",
		{syscall.SIGILL, 2}:           "illegal instruction",
		{syscall.SIGILL, 5}:           "privileged instruction",
		{syscall.SIGTRAP, 1}:          "a breakpoint without a debugger",
		{syscall.SIGTRAP, 2}:          "single step",
		{syscall.SIGTRAP, 4}:          "a breakpoint or watchpoint of the hardware without a debugger",
		{syscall.SIGTRAP, 6}:          "an event of perf_event_open()",
		{syscall.SIGTRAP, fromKernel}: "a breakpoint without a debugger",
		{syscall.SIGSYS, 1}:           "forbidden system call",
		{syscall.SIGSYS, 2}:           "system call that PR_SET_SYSCALL_USER_DISPATCH of prctl() stops",
		{syscall.SIGABRT, fromThread}: "the application called abort(), or an assertion failed",
		{syscall.SIGQUIT, fromKernel}: "the quit key of a terminal",
		{syscall.SIGXCPU, fromKernel}: "the application used up the CPU time that RLIMIT_CPU or RLIMIT_RTTIME permits",
		{syscall.SIGXFSZ, fromUser}:   "a file would grow beyond what RLIMIT_FSIZE permits, or kill() sent it",
	}
}
