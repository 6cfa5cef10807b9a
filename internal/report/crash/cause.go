package crash

import (
	"fmt"
	"strings"
	"syscall"
)

// Codes of a siginfo, from the kernel's asm-generic/siginfo.h.
const (
	fromUser   = 0
	fromKernel = 0x80
	fromQueue  = -1
	fromThread = -6
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
	switch r.Code {
	case fromUser:
		return "sent by kill()"
	case fromQueue:
		return "sent by sigqueue()"
	case fromThread:
		if r.Signal == int(syscall.SIGABRT) {
			return "the application called abort(), or an assertion failed"
		}
		return "the application sent it to itself, as with raise()"
	}
	if s := faults()[fault{syscall.Signal(r.Signal), r.Code}]; s != "" {
		return strings.ReplaceAll(s, "@", fmt.Sprintf("%#x", r.Address))
	}
	return fmt.Sprintf("code %d, address %#x", r.Code, r.Address)
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

// faults are sentences; @ is the address.
func faults() map[fault]string {
	return map[fault]string{
		{syscall.SIGSEGV, 1}:          "invalid address @, nothing is mapped there",
		{syscall.SIGSEGV, 2}:          "invalid access to address @, whose mapping does not permit it",
		{syscall.SIGSEGV, fromKernel}: "general protection: most likely an address that is not canonical",
		{syscall.SIGBUS, 1}:           "misaligned address @",
		{syscall.SIGBUS, 2}:           "address @ has no memory behind it, like the rest of a file that is too short",
		{syscall.SIGBUS, 3}:           "an error of the hardware at address @",
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
		{syscall.SIGTRAP, fromKernel}: "a breakpoint without a debugger",
		{syscall.SIGSYS, 1}:           "forbidden system call",
	}
}
