/* cpu.c: the state of the CPU belongs to the thread, whatever happens in between; clocks; odd ways into the kernel. */
#include "tap.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/times.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { FLAG_DIRECTION = 1 << 10, FLAG_ALIGNMENT = 1 << 18 };

/* Loads sixteen vector registers from IN, spins, stores them to OUT. */
void hold_xmm(const void *in, void *out, uint64_t spins);
void hold_ymm(const void *in, void *out, uint64_t spins);
void hold_zmm(const void *in, void *out, uint64_t spins);
__asm__(".macro hold name, move, register, size, finish\n"
	"	.text; .balign 16; \\name:\n"
	"	.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	\\move \\n*\\size(%rdi), %\\register\\n\n"
	"	.endr\n"
	"1:	pause; dec %rdx; jnz 1b\n"
	"	.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	\\move %\\register\\n, \\n*\\size(%rsi)\n"
	"	.endr\n"
	"	\\finish\n"
	"	ret\n"
	".endm\n"
	"hold hold_xmm, movups, xmm, 16, nop\n"
	"hold hold_ymm, vmovups, ymm, 32, vzeroupper\n"
	"hold hold_zmm, vmovups, zmm, 64, vzeroupper\n");

/* A way to hold vector registers and how many bytes they have. */
struct vector {
	void (*hold)(const void *, void *, uint64_t);
	size_t size;
	const char *name;
};

static struct vector vectors[3];
static atomic_bool stop;

static int vector_kinds(void)
{
	int n = 0;

	vectors[n++] = (struct vector){ hold_xmm, 16, "SSE" };
	if (__builtin_cpu_supports("avx"))
		vectors[n++] = (struct vector){ hold_ymm, 32, "AVX" };
	if (__builtin_cpu_supports("avx512f"))
		vectors[n++] = (struct vector){ hold_zmm, 64, "AVX-512" };
	return n;
}

static void check_hold(const struct vector *vector, uint64_t seed, uint64_t spins)
{
	uint64_t in[16 * 8], out[16 * 8] = { 0 };

	for (size_t i = 0; i < 16 * 8; i++)
		in[i] = seed * 0x9e3779b97f4a7c15u + i;
	vector->hold(in, out, spins);
	CHECK(memcmp(in, out, 16 * vector->size) == 0);
}

static void *hold_until_stop(void *argument)
{
	uint64_t seed = (uintptr_t)argument;
	const struct vector *vector = &vectors[seed % (uint64_t)vector_kinds()];

	while (!stop) {
		check_hold(vector, seed, 500);
		sched_yield(); /* sometimes through the kernel, mostly by preemption */
		check_hold(vector, ~seed, 20000);
	}
	return NULL;
}

static void run_holders(void)
{
	pthread_t threads[6];

	for (uintptr_t i = 0; i < 6; i++)
		OK(pthread_create(&threads[i], NULL, hold_until_stop, (void *)(i + 1)));
	sleep_ms(600);
	stop = true;
	for (int i = 0; i < 6; i++)
		OK(pthread_join(threads[i], NULL));
}

TEST(cpu, vectors_across_preemption)
{
	for (int i = 0, n = vector_kinds(); i < n; i++)
		tap_note("%s", vectors[i].name);
	CHECK(pin(0));
	run_holders();
}

TEST(cpu, vectors_on_all_cpus) { run_holders(); }

static volatile sig_atomic_t hits;

static void clobber_vectors(int signal)
{
	char junk[16 * 64], out[16 * 64];
	int n = vector_kinds();

	memset(junk, signal, sizeof junk);
	vectors[n - 1].hold(junk, out, 1);
	hits++;
}

TEST(cpu, vectors_across_signals)
{
	int n = vector_kinds();
	int64_t begin = now();

	on_signal(SIGALRM, clobber_vectors, 0);
	alarm_us(500, 500);
	while (now() - begin < 500 * 1000000ll || hits < 50)
		for (int i = 0; i < n; i++)
			check_hold(&vectors[i], (uint64_t)i + 3, 2000);
	alarm_us(0, 0);
}

static char fork_in[16 * 16], fork_out[16 * 16];

/* fork without the C library, which may use the registers: the child's registers are the parent's. */
TEST(cpu, vectors_across_fork)
{
	long child;

	for (size_t i = 0; i < sizeof fork_in; i++)
		fork_in[i] = (char)i;
	__asm__ volatile("movups 112+%1, %%xmm7; movups 240+%1, %%xmm15" : : "a"(0), "m"(fork_in) : "xmm7", "xmm15");
	child = syscall(SYS_fork);
	__asm__ volatile("movups %%xmm7, 112+%0; movups %%xmm15, 240+%0" : "=m"(fork_out));
	CHECK(memcmp(fork_out + 112, fork_in + 112, 16) == 0);
	CHECK(memcmp(fork_out + 240, fork_in + 240, 16) == 0);
	if (child == 0)
		_exit(4);
	CHECK_EQ(reap((pid_t)child), 4);
}

/* The volatile operands keep the compiler from computing the quotient itself. */
static double third(void)
{
	volatile double one = 1, three = 3;

	return one / three;
}

static void *check_rounding(void *argument)
{
	static const int modes[] = { FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO };
	int mode = modes[(uintptr_t)argument % 4];
	double expected;

	CHECK_EQ(fesetround(mode), 0);
	expected = third();
	while (!stop) {
		for (int i = 0; i < 20000; i++)
			CHECK(third() == expected);
		CHECK_EQ(fegetround(), mode);
		if ((uintptr_t)argument & 1)
			sched_yield();
	}
	return NULL;
}

TEST(cpu, rounding_modes_of_threads)
{
	pthread_t threads[4];

	CHECK(pin(0));
	for (uintptr_t i = 0; i < 4; i++)
		OK(pthread_create(&threads[i], NULL, check_rounding, (void *)i));
	sleep_ms(200);
	stop = true;
	for (int i = 0; i < 4; i++)
		OK(pthread_join(threads[i], NULL));
}

static void check_in_handler(int signal)
{
	(void)signal;
	if (fegetround() == FE_TONEAREST) /* a handler starts with defaults */
		hits++;
}

TEST(cpu, rounding_mode_across_signal)
{
	on_signal(SIGUSR1, check_in_handler, 0);
	CHECK_EQ(fesetround(FE_UPWARD), 0);
	raise(SIGUSR1);
	CHECK_EQ(fegetround(), FE_UPWARD);
	fesetround(FE_TONEAREST);
}

static __thread long thread_local;

static void *check_fs(void *argument)
{
	uintptr_t base = 0, self;

	thread_local = (long)argument;
	for (int i = 0; i < 300; i++) {
		MUST(syscall(SYS_arch_prctl, ARCH_GET_FS, &base));
		__asm__ volatile("mov %%fs:0, %0" : "=r"(self));
		CHECK_AT(base, self);
		CHECK_AT(self, pthread_self());
		CHECK_EQ(thread_local, (long)argument);
		sched_yield();
	}
	return NULL;
}

TEST(cpu, fs_base)
{
	pthread_t threads[8];

	for (intptr_t i = 0; i < 8; i++)
		OK(pthread_create(&threads[i], NULL, check_fs, (void *)i));
	for (int i = 0; i < 8; i++)
		OK(pthread_join(threads[i], NULL));
}

static volatile uint64_t flags_in_handler;

static void note_flags(int signal)
{
	(void)signal;
	__asm__ volatile("pushfq; pop %0" : "=r"(flags_in_handler));
	hits++;
}

/* Sets FLAG, spins until so many signals have come, gives the flags as they are then and clears FLAG. */
uint64_t hold_flag(uint64_t flag, volatile sig_atomic_t *signals, int until);
__asm__(".text; .balign 16; hold_flag:\n"
	"	pushfq; or %rdi, (%rsp); popfq\n"
	"1:	cmp %edx, (%rsi); jl 1b\n"
	"	pushfq; pop %rax\n"
	"	not %rdi; pushfq; and %rdi, (%rsp); popfq\n"
	"	ret");

/* The interrupted code has its flag back. A handler starts with the direction flag clear, as the ABI has it. */
static void hold_across_signals(uint64_t flag)
{
	on_signal(SIGALRM, note_flags, 0);
	alarm_us(2000, 2000);
	CHECK(hold_flag(flag, &hits, 5) & flag);
	alarm_us(0, 0);
}

TEST(cpu, direction_flag)
{
	hold_across_signals(FLAG_DIRECTION);
	CHECK(!(flags_in_handler & FLAG_DIRECTION));
}

/* read() through the C library with the direction flag set. */
long read_with_direction(int fd, void *to, size_t size);
__asm__(".text; .balign 16; read_with_direction:\n"
	"	sub $8, %rsp\n"
	"	mov %rdx, %rcx; mov %rsi, %rdx; movslq %edi, %rsi; xor %edi, %edi\n"
	"	std; call syscall; cld\n"
	"	add $8, %rsp\n"
	"	ret");
_Static_assert(SYS_read == 0, "the zero of read_with_direction");

/* The kernel's copies go forwards, and stay inside of what the system call was given. */
TEST(cpu, direction_flag_in_system_call)
{
	enum { SIZE = 4096 };
	static unsigned char memory[3 * SIZE], expected[3 * SIZE], pattern[SIZE];
	int zero = open("/dev/zero", O_RDONLY), ends[2];

	for (int i = 0; i < SIZE; i++)
		pattern[i] = (unsigned char)(i * 7 + 1);
	memset(memory, 0xaa, sizeof memory);
	memset(expected, 0xaa, sizeof expected);
	memset(expected + SIZE, 0, SIZE);
	CHECK_EQ(read_with_direction(zero, memory + SIZE, SIZE), SIZE);
	CHECK(memcmp(memory, expected, sizeof memory) == 0);

	memcpy(expected + SIZE, pattern, SIZE);
	CHECK_EQ(pipe(ends), 0);
	CHECK_EQ(write(ends[1], pattern, SIZE), SIZE);
	CHECK_EQ(read_with_direction(ends[0], memory + SIZE, SIZE), SIZE);
	CHECK(memcmp(memory, expected, sizeof memory) == 0);
}

/* IRET fails with the flag NT set. The kernel keeps it over a switch of tasks, so it hits whoever runs next. */
TEST(cpu, nested_task_flag)
{
	pid_t child = MUST(fork());
	int status;

	if (child == 0) {
		struct timespec used;

		do
			clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
		while (used.tv_sec == 0 && used.tv_nsec < 300000000);
		_exit(42);
	}
	while (waitpid(child, &status, WNOHANG) == 0) {
		__asm__ volatile("sub $128, %%rsp; pushfq; orl $0x4000, (%%rsp); popfq; add $128, %%rsp" ::: "memory", "cc");
		usleep(1000);
	}
	__asm__ volatile("sub $128, %%rsp; pushfq; andl $~0x4000, (%%rsp); popfq; add $128, %%rsp" ::: "memory", "cc");
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

/* With SMAP this flag opens user memory to the kernel: it must not be lost, nor do harm in a system call. */
TEST(cpu, alignment_flag)
{
	hold_across_signals(FLAG_ALIGNMENT);
	for (int i = 0; i < 100; i++) {
		__asm__ volatile("sub $128, %%rsp; pushfq; orl %0, (%%rsp); popfq; add $128, %%rsp"
				 : : "i"(FLAG_ALIGNMENT) : "cc", "memory");
		syscall(SYS_getppid);
		__asm__ volatile("sub $128, %%rsp; pushfq; andl %0, (%%rsp); popfq; add $128, %%rsp"
				 : : "i"(~FLAG_ALIGNMENT) : "cc", "memory");
	}
}

TEST(cpu, raw_system_call)
{
	for (int i = 0; i < 1000; i++) {
		long result;

		__asm__ volatile("syscall" : "=a"(result) : "0"(SYS_getppid) : "rcx", "r11", "memory");
		CHECK_EQ(result, getppid());
	}
	CHECK_EQ(syscall(9999), -1);
	CHECK_EQ(errno, ENOSYS);
}

/* What the kernel promises to preserve: every register but rax, rcx and r11. Through the C library, thus by the
 * call where there is one. 0, or the number of the register that changed. */
int registers_across_call(void);
__asm__(".text; .balign 16; registers_across_call:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; sub $24, %rsp\n"
	"	mov $3, %ebx; mov $6, %ebp; mov $12, %r12d; mov $13, %r13d; mov $14, %r14d; mov $15, %r15d\n"
	"	movq $77, 8(%rsp)\n"
	"	mov $110, %edi; call syscall\n"
	"	mov $3, %eax; cmp %eax, %ebx; jne 1f; mov $6, %eax; cmp %eax, %ebp; jne 1f\n"
	"	mov $12, %eax; cmp %eax, %r12d; jne 1f; inc %eax; cmp %eax, %r13d; jne 1f\n"
	"	inc %eax; cmp %eax, %r14d; jne 1f; inc %eax; cmp %eax, %r15d; jne 1f\n"
	"	mov $77, %eax; cmp %rax, 8(%rsp); jne 1f\n"
	"	xor %eax, %eax\n"
	"1:	add $24, %rsp; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret");

TEST(cpu, registers_across_system_call)
{
	for (int i = 0; i < 1000; i++)
		CHECK_EQ(registers_across_call(), 0);
}

/* Likewise for the instruction, with all registers. */
int registers_across_instruction(void);
__asm__(".text; .balign 16; registers_across_instruction:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov $3, %ebx; mov $4, %edx; mov $5, %esi; mov $6, %ebp; mov $7, %edi; mov $8, %r8d; mov $9, %r9d\n"
	"	mov $10, %r10d; mov $12, %r12d; mov $13, %r13d; mov $14, %r14d; mov $15, %r15d\n"
	"	mov $110, %eax; syscall\n"
	"	mov $3, %eax; cmp %eax, %ebx; jne 1f; inc %eax; cmp %eax, %edx; jne 1f; inc %eax; cmp %eax, %esi; jne 1f\n"
	"	inc %eax; cmp %eax, %ebp; jne 1f; inc %eax; cmp %eax, %edi; jne 1f; inc %eax; cmp %eax, %r8d; jne 1f\n"
	"	inc %eax; cmp %eax, %r9d; jne 1f; inc %eax; cmp %eax, %r10d; jne 1f\n"
	"	mov $12, %eax; cmp %eax, %r12d; jne 1f; inc %eax; cmp %eax, %r13d; jne 1f\n"
	"	inc %eax; cmp %eax, %r14d; jne 1f; inc %eax; cmp %eax, %r15d; jne 1f\n"
	"	xor %eax, %eax\n"
	"1:	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret");

TEST(cpu, registers_across_instruction)
{
	for (int i = 0; i < 1000; i++)
		CHECK_EQ(registers_across_instruction(), 0);
}

static void skip_int80(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
	hits++;
}

/* The 32-bit way: a signal, ENOSYS or a result, but no harm. */
TEST(cpu, int80)
{
	const struct sigaction action = { .sa_sigaction = skip_int80, .sa_flags = SA_SIGINFO };
	long result;

	MUST(sigaction(SIGSEGV, &action, NULL));
	__asm__ volatile("int $0x80" : "=a"(result) : "0"(20 /* getpid */) : "memory", "r8", "r9", "r10", "r11");
	CHECK(hits == 1 || (int)result == getpid() || (int)result == -ENOSYS);
	CHECK_EQ(getppid(), syscall(SYS_getppid));
}

TEST(cpu, cpuid_and_tsc)
{
	unsigned a, b, c, d;
	uint64_t before = __builtin_ia32_rdtsc();

	CHECK(__get_cpuid(1, &a, &b, &c, &d));
	CHECK(d & (1 << 26)); /* SSE2 */
	sleep_ms(1);
	CHECK(__builtin_ia32_rdtsc() > before);
}

TEST(cpu, restartable_sequences)
{
	struct rseq *area = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);

	if (__rseq_size == 0)
		tap_skip("not registered");
	for (int cpu = 0; cpu < cpus(); cpu++) {
		CHECK(pin(cpu));
		for (int i = 0; i < 100; i++) {
			CHECK_EQ(area->cpu_id, cpu);
			CHECK_EQ(sched_getcpu(), cpu);
		}
	}
}

static void *watch_clock(void *argument)
{
	int64_t last = now();

	for (int i = 0; i < 50000; i++) {
		int64_t current = now();

		CHECK(current >= last);
		last = current;
	}
	return argument;
}

TEST(cpu, clock_never_goes_back)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		OK(pthread_create(&threads[i], NULL, watch_clock, NULL));
	for (int i = 0; i < 4; i++)
		OK(pthread_join(threads[i], NULL));
}

static int64_t read_clock(bool in_kernel, clockid_t clock)
{
	struct timespec t;

	if (in_kernel)
		MUST(syscall(SYS_clock_gettime, clock, &t));
	else
		MUST(clock_gettime(clock, &t));
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* The vDSO and the kernel tell the same time. */
TEST(cpu, clocks_agree)
{
	static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_REALTIME_COARSE };

	for (size_t c = 0; c < sizeof clocks / sizeof clocks[0]; c++)
		for (int i = 0; i < 100; i++) {
			int64_t first = read_clock(true, clocks[c]), second = read_clock(false, clocks[c]);
			int64_t third_time = read_clock(true, clocks[c]);

			CHECK(first <= second && second <= third_time);
		}
	CHECK(llabs(time(NULL) - read_clock(true, CLOCK_REALTIME) / 1000000000) <= 1);
}

/* With the system call forbidden on pain of death, the clock can still be read. */
TEST(cpu, clock_without_system_call)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	static const struct sock_fprog program = { sizeof code / sizeof code[0], code };

	CHECK(getauxval(AT_SYSINFO_EHDR) != 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		tap_skip("no seccomp here");
	for (int i = 0; i < 1000; i++)
		CHECK(read_clock(false, CLOCK_MONOTONIC) > 0);
}

static int use_forbidden(void *program)
{
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program) < 0)
		return 77;
	FAILS(syscall(SYS_getppid), EPERM);
	syscall(SYS_getpgrp);
	return 1;
}

/* Seccomp either holds or is not there at all. */
TEST(cpu, seccomp)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	static const struct sock_fprog program = { sizeof code / sizeof code[0], code };
	int status = reap(spawn(use_forbidden, (void *)&program));

	if (status == 77)
		tap_skip("no seccomp here");
	CHECK_EQ(status, -SIGSYS);
}

static int64_t cpu_time(void) { return read_clock(false, CLOCK_PROCESS_CPUTIME_ID); }

/* A machine that is short of time charges a process for some of its own pauses: one good try of ten is enough. */
TEST(cpu, sleep_and_cpu_time)
{
	int64_t begin, before, asleep = INT64_MAX;
	struct tms ignored;

	for (int i = 0; i < 10 && asleep > 5 * 1000000; i++) {
		begin = now();
		before = cpu_time();
		sleep_ms(20);
		asleep = cpu_time() - before;
		CHECK(now() - begin >= 20 * 1000000);
	}
	CHECK(asleep <= 5 * 1000000);
	before = cpu_time();
	for (begin = now(); now() - begin < 50 * 1000000;)
		;
	CHECK(cpu_time() - before > 1000000);
	CHECK(times(&ignored) != (clock_t)-1);
}

static volatile bool tired;

static void *busy(void *unused)
{
	while (!tired)
		syscall(SYS_getppid);
	return unused;
}

static bool set_online(int cpu, bool online)
{
	char path[60];
	int fd;
	bool done;

	snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return false;
	done = write(fd, online ? "1" : "0", 1) == 1;
	close(fd);
	return done;
}

/* A processor goes and comes back under a process that uses both. */
TEST(cpu, leaves_and_returns)
{
	pthread_t threads[3];

	if (cpus() < 2 || !set_online(1, true))
		tap_skip("no processor that could leave");
	for (int i = 0; i < 3; i++)
		OK(pthread_create(threads + i, NULL, busy, NULL));
	for (int i = 0; i < 5; i++) {
		CHECK(set_online(1, false));
		CHECK(!pin(1));
		sleep_ms(5);
		CHECK(set_online(1, true));
		CHECK(pin(1));
		CHECK(getppid() > 0);
		CHECK_EQ(sched_getcpu(), 1);
		CHECK(pin(0));
	}
	tired = true;
	for (int i = 0; i < 3; i++)
		OK(pthread_join(threads[i], NULL));
}
