/* faults.c: what the CPU refuses becomes a signal with the right number, code and address, and can be survived. */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGE = 4096 };

#define KERNEL_TEXT 0xffffffff81000000ul /* mapped for ring 0, where KASLR is off */
#define KERNEL_HOLE 0xffff800000001000ul /* mapped for nobody */
#define NONCANONICAL 0x8000000000000000ul

/* The last signal that trap() caught. */
static struct {
	siginfo_t info;
	uintptr_t ip, sp;
	bool on_alternate_stack;
} seen;

static sigjmp_buf back;
static char alternate_stack[64 * 1024];

static void caught(int signal, siginfo_t *info, void *context)
{
	const greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	char here;

	seen.info = *info;
	seen.ip = (uintptr_t)registers[REG_RIP];
	seen.sp = (uintptr_t)registers[REG_RSP];
	seen.on_alternate_stack = &here >= alternate_stack && &here < alternate_stack + sizeof alternate_stack;
	siglongjmp(back, signal);
}

static const int fault_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };

static void catch_faults(void)
{
	const stack_t stack = { .ss_sp = alternate_stack, .ss_size = sizeof alternate_stack };
	struct sigaction action = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	MUST(sigaltstack(&stack, NULL));
	for (size_t i = 0; i < sizeof fault_signals / sizeof fault_signals[0]; i++)
		MUST(sigaction(fault_signals[i], &action, NULL));
}

/* Runs FUNCTION; the signal that ended it, 0 if it returned. */
static int trap(void (*function)(void))
{
	int signal;

	memset(&seen, 0, sizeof seen);
	catch_faults();
	signal = sigsetjmp(back, 1);
	if (signal == 0)
		function();
	else
		CHECK(seen.on_alternate_stack);
	return signal;
}

static volatile uintptr_t target;

static void read_target(void) { (void)*(volatile char *)target; }
static void write_target(void) { *(volatile char *)target = 1; }
static void or_target(void) { *(volatile char *)target |= 0; } /* a write that changes nothing, should it succeed */
static void call_target(void) { ((void (*)(void))target)(); }

#define CHECK_FAULT(function, address, signal, code)                                             \
	do {                                                                                     \
		target = (uintptr_t)(address);                                                   \
		CHECK_EQ(trap(function), signal);                                                \
		CHECK_EQ(seen.info.si_signo, signal);                                            \
		CHECK_EQ(seen.info.si_code, code);                                               \
		CHECK_AT(seen.info.si_addr, (int)(code) == (int)SI_KERNEL ? 0 : (uintptr_t)(address));     \
	} while (0)

static char *map(size_t size, int protection)
{
	return MUST(mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

TEST(faults, null_read) { CHECK_FAULT(read_target, 0, SIGSEGV, SEGV_MAPERR); }
TEST(faults, null_write) { CHECK_FAULT(write_target, 8, SIGSEGV, SEGV_MAPERR); }
TEST(faults, null_call)
{
	CHECK_FAULT(call_target, 0, SIGSEGV, SEGV_MAPERR);
	CHECK_EQ(seen.ip, 0);
}

TEST(faults, wild_call)
{
	CHECK_FAULT(call_target, 0x1234, SIGSEGV, SEGV_MAPERR);
	CHECK_EQ(seen.ip, 0x1234);
}

TEST(faults, unmapped)
{
	char *page = map(PAGE, PROT_READ | PROT_WRITE);

	*page = 1;
	MUST(munmap(page, PAGE));
	CHECK_FAULT(read_target, page + 123, SIGSEGV, SEGV_MAPERR);
	CHECK_FAULT(write_target, page + PAGE - 1, SIGSEGV, SEGV_MAPERR);
}

TEST(faults, noncanonical)
{
	CHECK_FAULT(read_target, NONCANONICAL, SIGSEGV, SI_KERNEL);
	CHECK_FAULT(write_target, NONCANONICAL, SIGSEGV, SI_KERNEL);
}

TEST(faults, kernel_hole)
{
	CHECK_FAULT(read_target, KERNEL_HOLE, SIGSEGV, SEGV_MAPERR);
	CHECK_FAULT(write_target, KERNEL_HOLE, SIGSEGV, SEGV_MAPERR);
	CHECK_FAULT(call_target, KERNEL_HOLE, SIGSEGV, SEGV_MAPERR);
}

TEST(faults, kernel_text_write) { CHECK_FAULT(or_target, KERNEL_TEXT, SIGSEGV, SEGV_MAPERR); }

static const char constant[] = "read only";

TEST(faults, rodata_write) { CHECK_FAULT(or_target, constant, SIGSEGV, SEGV_ACCERR); }
TEST(faults, text_write) { CHECK_FAULT(or_target, catch_faults, SIGSEGV, SEGV_ACCERR); }

TEST(faults, execute_data)
{
	static char data[16] = "\xc3"; /* ret */
	char stack[16] = "\xc3";
	char *heap = malloc(16);

	CHECK(heap != NULL);
	*heap = (char)0xc3;
	CHECK_FAULT(call_target, data, SIGSEGV, SEGV_ACCERR);
	CHECK_FAULT(call_target, stack, SIGSEGV, SEGV_ACCERR);
	CHECK_FAULT(call_target, heap, SIGSEGV, SEGV_ACCERR);
	free(heap);
}

TEST(faults, protected_page)
{
	char *page = map(PAGE, PROT_READ);

	CHECK_FAULT(write_target, page, SIGSEGV, SEGV_ACCERR);
	MUST(mprotect(page, PAGE, PROT_NONE));
	CHECK_FAULT(read_target, page + 7, SIGSEGV, SEGV_ACCERR);
}

TEST(faults, beyond_end_of_file)
{
	int fd = MUST(memfd_create("short", 0));
	char *pages;

	MUST(ftruncate(fd, PAGE));
	pages = MUST(mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	pages[0] = 1;
	CHECK_FAULT(read_target, pages + PAGE, SIGBUS, BUS_ADRERR);
}

/* Exceptions of instructions: the address is that of the instruction. */
#define CHECK_INSTRUCTION(function, signal, code)                                                \
	do {                                                                                     \
		CHECK_EQ(trap(function), signal);                                                \
		CHECK_EQ(seen.info.si_code, code);                                               \
		CHECK_AT(seen.info.si_addr, seen.ip);                                            \
	} while (0)

static void divide_by_zero(void) { __asm__ volatile("divl %0" : : "r"(0), "a"(1), "d"(0) : "cc"); }
static void divide_overflow(void) { __asm__ volatile("idivl %0" : : "r"(-1), "a"(0x80000000), "d"(-1) : "cc"); }

TEST(faults, divide)
{
	CHECK_INSTRUCTION(divide_by_zero, SIGFPE, FPE_INTDIV);
	CHECK_INSTRUCTION(divide_overflow, SIGFPE, FPE_INTDIV);
}

static void invalid_opcode(void) { __asm__ volatile("ud2"); }

TEST(faults, invalid_opcode)
{
	CHECK_INSTRUCTION(invalid_opcode, SIGILL, ILL_ILLOPN);
	CHECK(memcmp((const void *)seen.ip, "\x0f\x0b", 2) == 0);
}

static void sse_divide(void)
{
	const unsigned mxcsr = 0x1f80 & ~0x200u; /* division by zero not masked */

	__asm__ volatile("ldmxcsr %0; divss %1, %2" : : "m"(mxcsr), "x"(0.0f), "x"(1.0f));
}

static void x87_divide(void)
{
	const unsigned short control = 0x37f & ~0x4u;

	__asm__ volatile("fldcw %0; fldz; fld1; fdivp; fwait" : : "m"(control));
}

TEST(faults, floating_point)
{
	CHECK_EQ(trap(x87_divide), SIGFPE);
	CHECK_EQ(seen.info.si_code, FPE_FLTDIV);
}

TEST(faults, floating_point_sse)
{
	if (emulated())
		tap_skip("QEMU's TCG raises no #XM, in no ring");
	CHECK_EQ(trap(sse_divide), SIGFPE);
	CHECK_EQ(seen.info.si_code, FPE_FLTDIV);
}

static void unaligned_sse(void)
{
	static char data[32] __attribute__((aligned(16)));

	__asm__ volatile("movaps %%xmm0, %0" : : "m"(data[1]));
}

TEST(faults, unaligned_sse)
{
	CHECK_EQ(trap(unaligned_sse), SIGSEGV);
	CHECK_EQ(seen.info.si_code, SI_KERNEL);
	CHECK_AT(seen.info.si_addr, 0);
}

static void breakpoint(void) { __asm__ volatile("int3"); }

TEST(faults, breakpoint)
{
	CHECK_EQ(trap(breakpoint), SIGTRAP);
	CHECK_EQ(seen.info.si_code, SI_KERNEL);
	CHECK_EQ(*(const unsigned char *)(seen.ip - 1), 0xcc);
}

/* Sets TF; the trap comes after the first `nop'. */
void single_step_stub(void);
extern const char single_step_trap[];
__asm__(".text; single_step_stub: pushfq; orq $0x100, (%rsp); popfq; nop; single_step_trap: nop; ret");

static void stepped(int signal, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)signal;
	seen.info = *info;
	seen.ip = (uintptr_t)registers[REG_RIP];
	registers[REG_EFL] &= ~0x100;
}

TEST(faults, single_step)
{
	const struct sigaction action = { .sa_sigaction = stepped, .sa_flags = SA_SIGINFO };

	MUST(sigaction(SIGTRAP, &action, NULL));
	single_step_stub();
	CHECK_EQ(seen.info.si_code, TRAP_TRACE);
	CHECK_AT(seen.info.si_addr, single_step_trap);
	CHECK_AT(seen.ip, single_step_trap);
}

/* Sets TF, calls FUNCTION, clears TF; what TF was after the call. */
long single_step_call(void *function);
__asm__(".text; single_step_call: sub $8, %rsp; pushfq; orq $0x100, (%rsp); popfq; call *%rdi\n"
	"	pushfq; pop %rax; and $0x100, %eax; pushfq; andq $~0x100, (%rsp); popfq; add $8, %rsp; ret");

static volatile int counted;

static void count(int signal)
{
	(void)signal;
	counted++;
}

/* A process that steps itself is still stepped after a system call. */
TEST(faults, single_step_over_calls)
{
	on_signal(SIGTRAP, count, 0);
	CHECK_EQ(single_step_call(getppid), 0x100);
	CHECK(counted >= 8);
	counted = 0;
	CHECK_EQ(single_step_call(getpid), 0x100);
	CHECK(counted >= 8);
}

/* GCC sees that this never returns, which is the point. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winfinite-recursion"
static __attribute__((noinline)) int recurse(int depth)
{
	volatile char frame[1024];

	frame[0] = (char)depth;
	return recurse(depth + 1) + frame[0];
}
#pragma GCC diagnostic pop

static void overflow(void) { recurse(0); }

static void limit_stack(rlim_t size)
{
	const struct rlimit limit = { size, size };

	MUST(setrlimit(RLIMIT_STACK, &limit));
}

TEST(faults, stack_overflow)
{
	limit_stack(1024 * 1024);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(trap(overflow), SIGSEGV);
		CHECK_EQ(seen.info.si_code, SEGV_MAPERR);
		CHECK((uintptr_t)seen.info.si_addr - (seen.sp - PAGE) < 2 * PAGE);
	}
}

static void *overflow_thread(void *argument)
{
	pthread_attr_t attributes;
	void *stack;
	size_t size, guard;
	(void)argument;

	OK(pthread_getattr_np(pthread_self(), &attributes));
	OK(pthread_attr_getstack(&attributes, &stack, &size));
	OK(pthread_attr_getguardsize(&attributes, &guard));
	CHECK_EQ(trap(overflow), SIGSEGV);
	CHECK_EQ(seen.info.si_code, SEGV_ACCERR);
	CHECK((uintptr_t)seen.info.si_addr - ((uintptr_t)stack - guard) < 2 * guard);
	pthread_attr_destroy(&attributes);
	return NULL;
}

TEST(faults, stack_overflow_thread)
{
	for (int i = 0; i < 3; i++) {
		pthread_t thread;

		OK(pthread_create(&thread, NULL, overflow_thread, NULL));
		OK(pthread_join(thread, NULL));
	}
}

static void push_at_target(void)
{
	uintptr_t stack = target + 8;

	__asm__ volatile("xchg %0, %%rsp; pushq $1; xchg %0, %%rsp" : "+r"(stack) : : "memory");
}

TEST(faults, stack_pointer_wild) { CHECK_FAULT(push_at_target, 0x1000, SIGSEGV, SEGV_MAPERR); }

/* What is no address of the process is a bad stack as well, and not the kernel's own. */
TEST(faults, stack_pointer_in_kernel_half)
{
	CHECK_FAULT(push_at_target, KERNEL_HOLE, SIGSEGV, SEGV_MAPERR);
	CHECK_FAULT(push_at_target, 0xffffc80000000000ul, SIGSEGV, SEGV_MAPERR);
	target = 0x80007ffd00000000ul;
	CHECK(trap(push_at_target) != 0);
}

/* Nothing uses that stack but the processor, for an interrupt, if the kernel lets it. */
TEST(faults, stack_pointer_in_kernel_half_under_interrupts)
{
	const uintptr_t wild[] = { KERNEL_HOLE, KERNEL_TEXT + 0x100000, 0xffff888000100000ul, 0x80007ffd00000000ul };

	catch_faults();
	on_signal(SIGALRM, count, SA_ONSTACK);
	alarm_us(1000, 1000);
	for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++) {
		counted = 0;
		__asm__ volatile("mov %%rsp, %%rbx; mov %0, %%rsp; 1: cmpl $20, %1; jl 1b; mov %%rbx, %%rsp"
				 : : "r"(wild[i]), "m"(counted) : "rbx", "cc", "memory");
	}
	alarm_us(0, 0);
}

/* A stack fault proper, which Linux reports as a bus error. */
TEST(faults, stack_pointer_noncanonical)
{
	if (emulated())
		tap_skip("QEMU's TCG raises #PF instead of #SS, in any ring");
	target = 0x0000900000000000ul;
	CHECK_EQ(trap(push_at_target), SIGBUS);
	CHECK_EQ(seen.info.si_code, SI_KERNEL);
}

static void no_return(int signal)
{
	(void)signal;
	_exit(99);
}

static int die_without_stack(void *argument)
{
	(void)argument;
	on_signal(SIGSEGV, no_return, 0); /* no alternate stack: there is no room for its frame */
	target = 0x1000;
	push_at_target();
	return 1;
}

TEST(faults, stack_pointer_wild_without_alternate) { CHECK_EQ(reap(spawn(die_without_stack, NULL)), -SIGSEGV); }

static char *own_stack;
enum { OWN_STACK = 4 * PAGE };

static void unmap_own_stack(void)
{
	__asm__ volatile("mov %0, %%rsp; call *%1; ud2"
			 : : "r"(own_stack + OWN_STACK), "r"(munmap), "D"(own_stack), "S"(OWN_STACK) : "memory");
}

/* A system call takes away the stack that it is to return on. If a file was there, its last use leaves work for the way out. */
TEST(faults, stack_unmapped_by_call)
{
	for (int i = 0; i < 2; i++) {
		int file = MUST(memfd_create("stack", 0));

		MUST(ftruncate(file, OWN_STACK));
		own_stack = i == 0 ? map(OWN_STACK, PROT_READ | PROT_WRITE)
				   : MUST(mmap(NULL, OWN_STACK, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
		close(file);
		CHECK_EQ(trap(unmap_own_stack), SIGSEGV);
		CHECK_EQ(seen.info.si_code, SEGV_MAPERR);
		CHECK((uintptr_t)seen.info.si_addr - (uintptr_t)(own_stack + OWN_STACK - 64) < 64);
	}
}

static int die(void *function)
{
	((void (*)(void))function)();
	return 1;
}

TEST(faults, default_action)
{
	target = 8;
	CHECK_EQ(reap(spawn(die, write_target)), -SIGSEGV);
	CHECK_EQ(reap(spawn(die, call_target)), -SIGSEGV);
	target = NONCANONICAL;
	CHECK_EQ(reap(spawn(die, read_target)), -SIGSEGV);
	target = KERNEL_HOLE;
	CHECK_EQ(reap(spawn(die, read_target)), -SIGSEGV);
	CHECK_EQ(reap(spawn(die, divide_by_zero)), -SIGFPE);
	CHECK_EQ(reap(spawn(die, invalid_opcode)), -SIGILL);
	CHECK_EQ(reap(spawn(die, breakpoint)), -SIGTRAP);
	CHECK_EQ(reap(spawn(die, unaligned_sse)), -SIGSEGV);
	limit_stack(1024 * 1024);
	CHECK_EQ(reap(spawn(die, overflow)), -SIGSEGV);
}

static int die_ignoring(void *argument)
{
	sigset_t set;

	if (argument != NULL) {
		on_signal(SIGSEGV, SIG_IGN, 0);
	} else {
		sigemptyset(&set);
		sigaddset(&set, SIGSEGV);
		on_signal(SIGSEGV, no_return, 0);
		sigprocmask(SIG_BLOCK, &set, NULL);
	}
	target = 8;
	write_target();
	return 1;
}

TEST(faults, ignored_or_blocked_kills)
{
	CHECK_EQ(reap(spawn(die_ignoring, "ignored")), -SIGSEGV);
	CHECK_EQ(reap(spawn(die_ignoring, NULL)), -SIGSEGV);
}

static void *fault_thread(void *argument)
{
	target = 8;
	write_target();
	return argument;
}

static int die_in_thread(void *argument)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, fault_thread, argument) == 0)
		pause();
	return 1;
}

TEST(faults, thread_kills_process) { CHECK_EQ(reap(spawn(die_in_thread, NULL)), -SIGSEGV); }

static volatile sig_atomic_t depth;

static void fault_again(int signal)
{
	(void)signal;
	if (++depth < 5)
		write_target();
	siglongjmp(back, 1);
}

TEST(faults, nested)
{
	on_signal(SIGSEGV, fault_again, SA_NODEFER);
	target = 8;
	if (sigsetjmp(back, 1) == 0)
		write_target();
	CHECK_EQ(depth, 5);
}

static void allow(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	depth++;
	MUST(mprotect(info->si_addr, PAGE, PROT_READ | PROT_WRITE));
}

TEST(faults, handler_repairs)
{
	const struct sigaction action = { .sa_sigaction = allow, .sa_flags = SA_SIGINFO };
	char *pages = map(64 * PAGE, PROT_NONE);

	MUST(sigaction(SIGSEGV, &action, NULL));
	for (int i = 0; i < 64; i++)
		pages[i * PAGE] = (char)i;
	for (int i = 0; i < 64; i++)
		CHECK_EQ(pages[i * PAGE], i);
	CHECK_EQ(depth, 64);
}

TEST(faults, survive_a_thousand)
{
	target = 8;
	for (int i = 0; i < 1000; i++)
		CHECK_EQ(trap(write_target), SIGSEGV);
}

/* A bad pointer in a system call is an error, not a signal; a kernel address is a bad pointer, in ring 0 too. */
TEST(faults, system_call_pointers)
{
	char *gone = map(PAGE, PROT_READ | PROT_WRITE);
	const uintptr_t bad[] = { 1, 0x1000, (uintptr_t)gone, KERNEL_HOLE, KERNEL_TEXT, 0xffff888000100000ul,
				  NONCANONICAL, 0x0000900000000000ul, (uintptr_t)-8 };
	int pipes[2];

	MUST(pipe2(pipes, O_NONBLOCK));
	CHECK_EQ(write(pipes[1], "12345678", 8), 8);
	MUST(munmap(gone, PAGE));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct stat status;

		FAILS(write(pipes[1], (void *)bad[i], 8), EFAULT);
		FAILS(read(pipes[0], (void *)bad[i], 8), EFAULT);
		FAILS(stat((const char *)bad[i], &status), EFAULT);
		FAILS(clock_gettime(-1, (void *)bad[i]), EINVAL);
		FAILS(sigaltstack((void *)bad[i], NULL), EFAULT);
	}
}
