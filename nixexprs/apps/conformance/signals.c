/* signals.c: delivery, masks, queues, timers, and that a signal leaves no trace in what it interrupts. */
#include "tap.h"

#include <errno.h>
#include <execinfo.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t hits;
static volatile siginfo_t last;

static void count(int signal)
{
	(void)signal;
	hits++;
}

static void record(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	last = *info;
	hits++;
}

static void on_signal_info(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	MUST(sigaction(signal, &action, NULL));
}

static sigset_t set_of(int signal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	return set;
}

static void block(int signal)
{
	sigset_t set = set_of(signal);

	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
}

static void unblock(int signal)
{
	sigset_t set = set_of(signal);

	MUST(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

TEST(signals, raise_and_info)
{
	on_signal_info(SIGUSR1, record, 0);
	MUST(raise(SIGUSR1));
	CHECK_EQ(hits, 1);
	CHECK_EQ(last.si_code, SI_TKILL);
	CHECK_EQ(last.si_pid, getpid());
	MUST(kill(getpid(), SIGUSR1));
	CHECK_EQ(hits, 2);
	CHECK_EQ(last.si_code, SI_USER);
	MUST(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 1234 }));
	CHECK_EQ(hits, 3);
	CHECK_EQ(last.si_code, SI_QUEUE);
	CHECK_EQ(last.si_value.sival_int, 1234);
	CHECK_EQ(last.si_uid, getuid());
}

TEST(signals, action)
{
	struct sigaction action;

	on_signal(SIGUSR1, count, SA_RESTART);
	MUST(sigaction(SIGUSR1, NULL, &action));
	CHECK(action.sa_handler == count);
	CHECK(action.sa_flags & SA_RESTART);
	FAILS(sigaction(SIGKILL, &action, NULL), EINVAL);
	FAILS(sigaction(SIGSTOP, &action, NULL), EINVAL);
	FAILS(sigaction(65, &action, NULL), EINVAL);
	on_signal(SIGUSR1, count, SA_RESETHAND);
	raise(SIGUSR1);
	MUST(sigaction(SIGUSR1, NULL, &action));
	CHECK(action.sa_handler == SIG_DFL);
}

static int die_of(void *signal)
{
	raise((int)(intptr_t)signal);
	return 0;
}

TEST(signals, default_actions)
{
	static const int fatal[] = { SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGUSR1, SIGSEGV, SIGPIPE, SIGALRM, SIGTERM,
				     SIGKILL, SIGXCPU, SIGSYS };
	static const int harmless[] = { SIGCHLD, SIGURG, SIGWINCH, SIGCONT };

	for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
		CHECK_EQ(reap(spawn(die_of, (void *)(intptr_t)fatal[i])), -fatal[i]);
	CHECK_EQ(reap(spawn(die_of, (void *)(intptr_t)SIGRTMIN)), -SIGRTMIN);
	for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
		CHECK_EQ(reap(spawn(die_of, (void *)(intptr_t)harmless[i])), 0);
}

TEST(signals, mask_and_pending)
{
	sigset_t pending;

	on_signal(SIGUSR1, count, 0);
	block(SIGUSR1);
	raise(SIGUSR1);
	raise(SIGUSR1); /* a standard signal does not queue */
	CHECK_EQ(hits, 0);
	MUST(sigpending(&pending));
	CHECK(sigismember(&pending, SIGUSR1));
	unblock(SIGUSR1);
	CHECK_EQ(hits, 1);
	MUST(sigpending(&pending));
	CHECK(!sigismember(&pending, SIGUSR1));
	block(SIGUSR1);
	raise(SIGUSR1);
	on_signal(SIGUSR1, SIG_IGN, 0); /* discards it */
	on_signal(SIGUSR1, count, 0);
	unblock(SIGUSR1);
	CHECK_EQ(hits, 1);
}

static int order[8];

static void nest(int signal)
{
	order[hits++] = signal;
	if (signal == SIGUSR1)
		raise(SIGUSR2);
	else if (signal == SIGUSR2)
		raise(SIGHUP); /* in the mask of SIGUSR2: comes when the handler has returned */
	order[hits++] = -signal;
}

TEST(signals, nested_and_masked)
{
	static const int expected[] = { SIGUSR1, SIGUSR2, -SIGUSR2, SIGHUP, -SIGHUP, -SIGUSR1 };
	struct sigaction action = { .sa_handler = nest, .sa_mask = set_of(SIGHUP) };

	on_signal(SIGUSR1, nest, 0);
	on_signal(SIGHUP, nest, 0);
	MUST(sigaction(SIGUSR2, &action, NULL));
	raise(SIGUSR1);
	CHECK_EQ(hits, 6);
	CHECK(memcmp(order, expected, sizeof expected) == 0);
}

static void again(int signal)
{
	if (++hits < 100)
		raise(signal);
}

TEST(signals, nodefer)
{
	on_signal(SIGUSR1, again, SA_NODEFER);
	raise(SIGUSR1);
	CHECK_EQ(hits, 100);
}

static char alternate[64 * 1024];
static volatile bool was_on_alternate;

static void where(int signal)
{
	stack_t current;
	char here;
	(void)signal;

	was_on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
	MUST(sigaltstack(NULL, &current));
	CHECK_EQ(!!(current.ss_flags & SS_ONSTACK), was_on_alternate);
	if (was_on_alternate)
		FAILS(sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL), EPERM);
}

TEST(signals, alternate_stack)
{
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate }, old;

	FAILS(sigaltstack(&(stack_t){ .ss_sp = alternate, .ss_size = 100 }, NULL), ENOMEM);
	MUST(sigaltstack(&stack, NULL));
	on_signal(SIGUSR1, where, SA_ONSTACK);
	on_signal(SIGUSR2, where, 0);
	raise(SIGUSR1);
	CHECK(was_on_alternate);
	raise(SIGUSR2);
	CHECK(!was_on_alternate);
	MUST(sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, &old));
	CHECK_AT(old.ss_sp, alternate);
	raise(SIGUSR1);
	CHECK(!was_on_alternate);
}

static int pipes[2];

/*
 * Sends a signal to its parent every 20 ms, three times, then writes a byte. It is a real-time signal: of others, two that
 * come before the first is handled are one.
 */
static int disturb(void *unused)
{
	(void)unused;
	for (int i = 0; i < 3; i++) {
		sleep_ms(20);
		kill(getppid(), SIGRTMIN);
	}
	sleep_ms(20);
	return write(pipes[1], "x", 1) == 1 ? 0 : 1;
}

TEST(signals, restart)
{
	char c = 0;
	pid_t child;

	MUST(pipe(pipes));
	on_signal(SIGRTMIN, count, SA_RESTART);
	child = spawn(disturb, NULL);
	CHECK_EQ(read(pipes[0], &c, 1), 1);
	CHECK_EQ(c, 'x');
	CHECK_EQ(hits, 3);
	CHECK_EQ(reap(child), 0);
}

TEST(signals, no_restart)
{
	struct timespec left, wanted = { .tv_sec = 5 };
	struct pollfd poll_fd = { .events = POLLIN };
	char c;

	MUST(pipe(pipes));
	poll_fd.fd = pipes[0];
	on_signal(SIGALRM, count, 0);
	alarm_us(20000, 20000); /* on a busy host the first may come before a call */
	FAILS(read(pipes[0], &c, 1), EINTR);
	on_signal(SIGALRM, count, SA_RESTART); /* these never restart */
	FAILS(poll(&poll_fd, 1, -1), EINTR);
	FAILS(pause(), EINTR);
	FAILS(nanosleep(&wanted, &left), EINTR);
	alarm_us(0, 0);
	CHECK(left.tv_sec < 5);
	CHECK(hits >= 4);
}

static int sleep_through(void *unused)
{
	struct timespec t = { .tv_nsec = 120 * 1000000 };
	int64_t begin = now();
	(void)unused;

	MUST(nanosleep(&t, NULL));
	CHECK(now() - begin >= 119 * 1000000);
	return 3;
}

/* Stopped and continued without a handler, a sleep goes on for the time that is left: restart_syscall. */
TEST(signals, restart_block)
{
	pid_t child = spawn(sleep_through, NULL);

	for (int i = 0; i < 3; i++) {
		sleep_ms(15);
		MUST(kill(child, SIGSTOP));
		sleep_ms(5);
		MUST(kill(child, SIGCONT));
	}
	CHECK_EQ(reap(child), 3);
}

static int values[16];

static void append(int signal, siginfo_t *info, void *context)
{
	(void)context;
	values[hits++] = (signal - SIGRTMIN) * 100 + info->si_value.sival_int;
}

TEST(signals, realtime_queue)
{
	static const int expected[] = { 100, 101, 102, 200, 201, 202 };

	for (int signal = 1; signal <= 2; signal++) {
		on_signal_info(SIGRTMIN + signal, append, 0);
		block(SIGRTMIN + signal);
	}
	for (int i = 0; i < 3; i++)
		for (int signal = 2; signal >= 1; signal--)
			MUST(sigqueue(getpid(), SIGRTMIN + signal, (union sigval){ .sival_int = i }));
	for (int signal = 2; signal >= 1; signal--)
		unblock(SIGRTMIN + signal);
	CHECK_EQ(hits, 6);
	/* Each in the order sent. SIGRTMIN+2 was unblocked first. */
	CHECK(memcmp(values, expected + 3, 3 * sizeof *values) == 0);
	CHECK(memcmp(values + 3, expected, 3 * sizeof *values) == 0);
}

TEST(signals, wait)
{
	const struct timespec soon = { .tv_nsec = 10000000 };
	sigset_t set = set_of(SIGUSR1);
	siginfo_t info;
	int signal;

	block(SIGUSR1);
	FAILS(sigtimedwait(&set, NULL, &soon), EAGAIN);
	MUST(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 7 }));
	CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
	CHECK_EQ(info.si_value.sival_int, 7);
	raise(SIGUSR1);
	OK(sigwait(&set, &signal));
	CHECK_EQ(signal, SIGUSR1);
}

TEST(signals, suspend)
{
	sigset_t none, current;

	sigemptyset(&none);
	on_signal(SIGALRM, count, 0);
	block(SIGALRM);
	alarm_us(10000, 0);
	FAILS(sigsuspend(&none), EINTR);
	CHECK_EQ(hits, 1);
	MUST(sigprocmask(SIG_BLOCK, NULL, &current));
	CHECK(sigismember(&current, SIGALRM));
}

TEST(signals, signalfd)
{
	sigset_t set = set_of(SIGUSR1);
	struct signalfd_siginfo info;
	int fd;

	sigaddset(&set, SIGCHLD);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	fd = MUST(signalfd(-1, &set, SFD_NONBLOCK));
	FAILS(read(fd, &info, sizeof info), EAGAIN);
	MUST(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 9 }));
	CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
	CHECK_EQ(info.ssi_signo, SIGUSR1);
	CHECK_EQ(info.ssi_int, 9);
	CHECK_EQ(reap(spawn(die_of, (void *)(intptr_t)SIGTERM)), -SIGTERM);
	CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
	CHECK_EQ(info.ssi_code, CLD_KILLED);
	CHECK_EQ(info.ssi_status, SIGTERM);
}

TEST(signals, child)
{
	pid_t child;

	on_signal_info(SIGCHLD, record, SA_NOCLDSTOP);
	block(SIGCHLD);
	child = spawn(die_of, (void *)(intptr_t)SIGWINCH);
	CHECK_EQ(reap(child), 0);
	unblock(SIGCHLD);
	CHECK_EQ(hits, 1);
	CHECK_EQ(last.si_pid, child);
	CHECK_EQ(last.si_code, CLD_EXITED);
	on_signal(SIGCHLD, SIG_IGN, 0); /* children leave nothing to wait for */
	spawn(die_of, (void *)(intptr_t)SIGWINCH);
	FAILS(wait(NULL), ECHILD);
}

/* When waitpid() returns, the handler of the child's end has run. */
TEST(signals, child_before_its_wait)
{
	on_signal(SIGCHLD, count, SA_RESTART);
	for (int i = 1; i <= 200; i++) {
		CHECK_EQ(reap(spawn(die_of, (void *)(intptr_t)SIGWINCH)), 0);
		CHECK_EQ(hits, i);
	}
}

TEST(signals, pipe)
{
	MUST(pipe(pipes));
	close(pipes[0]);
	on_signal(SIGPIPE, count, 0);
	FAILS(write(pipes[1], "x", 1), EPIPE);
	CHECK_EQ(hits, 1);
	on_signal(SIGPIPE, SIG_IGN, 0);
	FAILS(write(pipes[1], "x", 1), EPIPE);
}

/* Spins until SIGNAL has come N times. */
static void spin_for(int n)
{
	int64_t deadline = now() + 15 * 1000000000ll;

	while (hits < n)
		CHECK(now() < deadline);
}

TEST(signals, interval_timers)
{
	const struct itimerval fast = { { 0, 5000 }, { 0, 5000 } }, off = { 0 };
	struct itimerval left;
	int64_t begin = now();

	on_signal(SIGALRM, count, 0);
	on_signal(SIGVTALRM, count, 0);
	on_signal(SIGPROF, count, 0);
	alarm_us(5000, 5000);
	spin_for(10);
	alarm_us(0, 0);
	CHECK(now() - begin >= 45 * 1000000);
	hits = 0;
	MUST(setitimer(ITIMER_VIRTUAL, &fast, NULL));
	spin_for(5);
	MUST(setitimer(ITIMER_VIRTUAL, &off, &left));
	CHECK_EQ(left.it_interval.tv_usec, 5000);
	hits = 0;
	MUST(setitimer(ITIMER_PROF, &fast, NULL));
	spin_for(5);
	MUST(setitimer(ITIMER_PROF, &off, NULL));
	alarm(1);
	CHECK_EQ(alarm(0), 1);
}

static volatile int expirations; /* with those that were merged into one signal */

static void count_overrun(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	last = *info;
	expirations += 1 + info->si_overrun;
	hits++;
}

static atomic_int expired;

static void expire(union sigval value) { atomic_fetch_add(&expired, value.sival_int); }

TEST(signals, posix_timers)
{
	const struct itimerspec periodic = { { 0, 3000000 }, { 0, 3000000 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3, .sigev_value.sival_int = 11 };
	timer_t timer;

	on_signal_info(SIGRTMIN + 3, count_overrun, 0);
	MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
	MUST(timer_settime(timer, 0, &periodic, NULL));
	spin_for(5);
	CHECK_EQ(last.si_code, SI_TIMER);
	CHECK_EQ(last.si_value.sival_int, 11);
	block(SIGRTMIN + 3);
	expirations = 0;
	sleep_ms(50);
	unblock(SIGRTMIN + 3);
	CHECK(expirations >= 10);
	CHECK(timer_getoverrun(timer) >= 0);
	MUST(timer_delete(timer));

	event = (struct sigevent){ .sigev_notify = SIGEV_THREAD, .sigev_notify_function = expire, .sigev_value.sival_int = 1 };
	MUST(timer_create(CLOCK_REALTIME, &event, &timer));
	MUST(timer_settime(timer, 0, &periodic, NULL));
	while (expired < 3)
		sleep_ms(1);
	MUST(timer_delete(timer));

	event = (struct sigevent){ .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3 };
	hits = 0;
	MUST(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer));
	MUST(timer_settime(timer, 0, &periodic, NULL));
	spin_for(2);
}

TEST(signals, timerfd)
{
	const struct itimerspec periodic = { { 0, 2000000 }, { 0, 2000000 } };
	int fd = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
	uint64_t times = 0, sum = 0;

	MUST(timerfd_settime(fd, 0, &periodic, NULL));
	while (sum < 20) {
		CHECK_EQ(read(fd, &times, sizeof times), sizeof times);
		CHECK(times > 0);
		sum += times;
	}
}

static pthread_t target_thread;

static void check_thread(int signal)
{
	(void)signal;
	CHECK(pthread_equal(pthread_self(), target_thread));
	hits++;
}

static void *wait_for_hits(void *argument)
{
	while (hits < 100)
		usleep(100);
	return argument;
}

TEST(signals, directed_at_thread)
{
	on_signal(SIGUSR1, check_thread, 0);
	OK(pthread_create(&target_thread, NULL, wait_for_hits, NULL));
	for (int seen = 0; seen < 100; seen++) {
		OK(pthread_kill(target_thread, SIGUSR1));
		while (hits == seen)
			usleep(50);
	}
	OK(pthread_join(target_thread, NULL));
}

static void *take_process_signal(void *argument)
{
	unblock(SIGUSR2);
	while (hits == 0)
		usleep(100);
	return argument;
}

/* A signal for the process goes to a thread that does not block it. */
TEST(signals, goes_to_a_thread_that_wants_it)
{
	block(SIGUSR2);
	on_signal(SIGUSR2, check_thread, 0);
	OK(pthread_create(&target_thread, NULL, take_process_signal, NULL));
	sleep_ms(5);
	MUST(kill(getpid(), SIGUSR2));
	OK(pthread_join(target_thread, NULL));
	CHECK_EQ(hits, 1);
}

/* What a handler writes into the context is what is returned to. */
static void change_context(int signal, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	(void)signal, (void)info;

	registers[REG_RIP] += 2; /* skips the ud2 */
	registers[REG_RAX] = 0x1122334455667788;
	registers[REG_RBX] ^= -1;
	registers[REG_R11] = 11;
	registers[REG_RCX] = 12;
	registers[REG_EFL] |= 1; /* carry */
	sigaddset(&((ucontext_t *)context)->uc_sigmask, SIGUSR2);
}

TEST(signals, return_with_changed_context)
{
	uint64_t a = 1, b = 0x0f0f0f0f0f0f0f0f, c = 3, r11;
	sigset_t mask;
	bool carry;

	on_signal_info(SIGILL, change_context, 0);
	__asm__ volatile("clc; ud2; setc %0; mov %%r11, %4"
			 : "=r"(carry), "+a"(a), "+b"(b), "+c"(c), "=r"(r11) : : "r11", "cc");
	CHECK_EQ(a, 0x1122334455667788);
	CHECK_EQ(b, 0xf0f0f0f0f0f0f0f0);
	CHECK_EQ(c, 12);
	CHECK_EQ(r11, 11);
	CHECK(carry);
	MUST(sigprocmask(SIG_BLOCK, NULL, &mask));
	CHECK(sigismember(&mask, SIGUSR2));
}

static int return_nowhere(void *address)
{
	ucontext_t context;

	getcontext(&context);
	/* A signal frame whose instruction pointer is nonsense: a signal for the app, not a fault of the kernel. */
	on_signal_info(SIGUSR1, NULL, 0);
	context.uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)address;
	setcontext(&context);
	return 1;
}

static void *nowhere;

static void jump_nowhere(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)nowhere;
}

static int sigreturn_nowhere(void *address)
{
	nowhere = address;
	on_signal_info(SIGUSR1, jump_nowhere, 0);
	raise(SIGUSR1);
	return 1;
}

TEST(signals, return_to_nonsense)
{
	CHECK_EQ(reap(spawn(sigreturn_nowhere, (void *)8)), -SIGSEGV);
	CHECK_EQ(reap(spawn(sigreturn_nowhere, (void *)0x8000000000000000)), -SIGSEGV);
	CHECK_EQ(reap(spawn(sigreturn_nowhere, (void *)0xffff800000001000)), -SIGSEGV);
	CHECK_EQ(reap(spawn(return_nowhere, (void *)8)), -SIGSEGV);
}

/* Handlers that use a lot of stack and every register while the interrupted code holds values in the red zone.
 * Gives how many of ROUNDS calls found one changed. */
uint64_t hold_red_zone(uint64_t rounds);
__asm__(".text; .balign 16; hold_red_zone:"
	"	xor %eax, %eax\n"
	"1:	mov %rdi, -8(%rsp)\n"
	"	mov %rdi, -64(%rsp)\n"
	"	mov %rdi, -128(%rsp)\n"
	"	mov $30, %ecx\n"
	"2:	dec %ecx\n"
	"	jnz 2b\n"
	"	mov -8(%rsp), %rdx\n"
	"	xor %rdi, %rdx\n"
	"	mov -64(%rsp), %rcx\n"
	"	xor %rdi, %rcx\n"
	"	or %rcx, %rdx\n"
	"	mov -128(%rsp), %rcx\n"
	"	xor %rdi, %rcx\n"
	"	or %rcx, %rdx\n"
	"	cmp $1, %rdx\n"
	"	sbb $-1, %rax\n" /* one more if rdx is not 0 */
	"	dec %rdi\n"
	"	jnz 1b\n"
	"	ret");

static void use_stack(int signal)
{
	volatile char frame[2000];

	for (size_t i = 0; i < sizeof frame; i++)
		frame[i] = (char)signal;
	hits++;
	(void)frame[0];
}

TEST(signals, red_zone)
{
	int64_t begin = now();
	uint64_t wrong = 0, rounds = 0;

	on_signal(SIGALRM, use_stack, 0);
	alarm_us(1000, 1000);
	while (now() - begin < 2000 * 1000000ll || hits < 100) {
		wrong += hold_red_zone(100000);
		rounds += 100000;
	}
	alarm_us(0, 0);
	tap_note("%llu rounds, %d signals", (unsigned long long)rounds, (int)hits);
	CHECK_EQ(wrong, 0);
}

/* Fills all registers that a program owns, spins, compares. 0, or the number of the one that changed. */
int hold_registers(uint64_t spins);
__asm__(".text; .balign 16; hold_registers:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov $1, %eax; mov $2, %ebx; mov $3, %ecx; mov $4, %edx; mov $5, %esi; mov $6, %ebp\n"
	"	mov $8, %r8d; mov $9, %r9d; mov $10, %r10d; mov $11, %r11d\n"
	"	mov $12, %r12d; mov $13, %r13d; mov $14, %r14d; mov $15, %r15d\n"
	"1:	dec %rdi\n"
	"	jnz 1b\n"
	"	cmp $1, %eax; jne 2f; mov $2, %eax; cmp %eax, %ebx; jne 2f; inc %eax; cmp %eax, %ecx; jne 2f\n"
	"	inc %eax; cmp %eax, %edx; jne 2f; inc %eax; cmp %eax, %esi; jne 2f; inc %eax; cmp %eax, %ebp; jne 2f\n"
	"	mov $8, %eax; cmp %eax, %r8d; jne 2f; inc %eax; cmp %eax, %r9d; jne 2f; inc %eax; cmp %eax, %r10d; jne 2f\n"
	"	inc %eax; cmp %eax, %r11d; jne 2f; inc %eax; cmp %eax, %r12d; jne 2f; inc %eax; cmp %eax, %r13d; jne 2f\n"
	"	inc %eax; cmp %eax, %r14d; jne 2f; inc %eax; cmp %eax, %r15d; jne 2f\n"
	"	xor %eax, %eax\n"
	"2:	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret");

TEST(signals, registers_survive)
{
	int64_t begin = now();

	on_signal(SIGALRM, use_stack, 0);
	alarm_us(1000, 700);
	while (now() - begin < 500 * 1000000ll || hits < 50)
		CHECK_EQ(hold_registers(20000), 0);
	alarm_us(0, 0);
}

static void call_kernel(int signal)
{
	(void)signal;
	if (syscall(SYS_getppid) != getppid())
		_exit(9);
	hits++;
}

/* Signals that strike at every point of the way into the kernel and back. */
TEST(signals, during_system_calls)
{
	int64_t begin = now();
	pid_t parent = getppid();
	char buffer[64];
	uint64_t calls = 0;

	MUST(pipe(pipes));
	on_signal(SIGALRM, call_kernel, SA_RESTART);
	alarm_us(500, 300);
	while (now() - begin < 1000 * 1000000ll || hits < 100)
		for (int i = 0; i < 50; i++, calls++) {
			CHECK_EQ(getppid(), parent);
			memset(buffer, i, sizeof buffer);
			CHECK_EQ(write(pipes[1], buffer, sizeof buffer), sizeof buffer);
			memset(buffer, 0, sizeof buffer);
			CHECK_EQ(read(pipes[0], buffer, sizeof buffer), sizeof buffer);
			CHECK(buffer[0] == i && buffer[63] == i);
		}
	alarm_us(0, 0);
	tap_note("%llu rounds, %d signals", (unsigned long long)calls, (int)hits);
}

/* A function in a section of its own: the linker names its ends. */
extern char __start_unwound[], __stop_unwound[];

__attribute__((noinline, section("unwound"))) static ssize_t read_byte(int fd, char *byte)
{
	ssize_t n = read(fd, byte, 1);

	asm volatile("" : "+r"(n)); /* no tail call */
	return n;
}

/* Unwinds the stack: the function that made the system call must be on it, whatever was interrupted. */
static void unwind(int signal)
{
	void *frames[32];
	int n = backtrace(frames, 32);

	(void)signal;
	for (int i = 0; i < n; i++)
		if ((char *)frames[i] > __start_unwound && (char *)frames[i] <= __stop_unwound) {
			hits++;
			return;
		}
	for (int i = 0; i < n; i++)
		dprintf(2, "# frame %d: %p\n", i, frames[i]);
	_exit(8);
}

/* pthread_cancel, C++ exceptions and profilers unwind from signal handlers. */
TEST(signals, unwind_from_restarted_call)
{
	char c = 0;
	pid_t child;
	void *warm[1];

	MUST(pipe(pipes));
	backtrace(warm, 1);
	on_signal(SIGRTMIN, unwind, SA_RESTART);
	child = spawn(disturb, NULL);
	CHECK_EQ(read_byte(pipes[0], &c), 1);
	CHECK_EQ(c, 'x');
	CHECK_EQ(hits, 3);
	CHECK_EQ(reap(child), 0);
}

static int64_t unwound_calls;

static void unwind_loop(int signal)
{
	void *frames[32];
	int n = backtrace(frames, 32);

	(void)signal;
	/* the handler, the trampoline, the interrupted function or its callee, its caller up to main */
	if (n < 5)
		_exit(8);
	hits++;
}

TEST(signals, unwind_from_any_instruction_of_a_call)
{
	int64_t begin = now();
	void *warm[1];

	backtrace(warm, 1);
	on_signal(SIGALRM, unwind_loop, SA_RESTART);
	alarm_us(500, 300);
	while (now() - begin < 1000 * 1000000ll || hits < 100) {
		for (int i = 0; i < 100; i++)
			getppid();
		unwound_calls += 100;
	}
	alarm_us(0, 0);
	tap_note("%lld calls, %d signals", (long long)unwound_calls, (int)hits);
}

static atomic_bool enough;

static void *pester(void *argument)
{
	while (!enough)
		OK(pthread_kill(target_thread, SIGUSR1));
	return argument;
}

/* As fast as another thread can send them. */
TEST(signals, storm)
{
	int64_t begin = now();
	pthread_t thread;

	target_thread = pthread_self();
	on_signal(SIGUSR1, use_stack, 0);
	OK(pthread_create(&thread, NULL, pester, NULL));
	while (now() - begin < 500 * 1000000 || hits < 10)
		CHECK_EQ(hold_registers(100), 0);
	enough = true;
	OK(pthread_join(thread, NULL));
	tap_note("%d signals", (int)hits);
}
