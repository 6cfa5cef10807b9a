/* attacker: a ring-3 program that makes random system calls with arguments that concern the ring-0 program which started it.
 *
 * It uses no libc: its calls may take away any page, descriptor or register that a libc counts on. What faults goes on at
 * the loop, on a fresh stack.
 */
#include "attacker.h"

static struct pool pool;
static struct share *share;
static uint64_t state;
static uint32_t made;
static bool in_child;
static int children[8];
static unsigned child_count;

/* A thread has a block of this, which begins with the stack of its signal handlers. */
enum { BLOCK = 64 * 1024, ALTERNATE = 24 * 1024, THREADS = 4, ARENA = 64 * 1024, SLOT = 512, FAULTS = 500 };
static char blocks[THREADS][BLOCK] __attribute__((aligned(BLOCK)));
static unsigned threads = 1;
/* Where arguments point to: by itself, so that the kernel writes over nothing else. */
#define arena ((char *)0x30000000)

/* Pages whose loss does no harm. */
#define GROUND 0x20000000ul
enum { GROUND_SIZE = 1 << 20, CODE_AT = GROUND_SIZE };

__attribute__((noreturn)) void loop(void);

__asm__(".globl _start, landing, restorer, spawn_thread\n"
	"_start:	lea blocks+65472(%rip), %rsp\n"
	"	call begin\n"
	"	ud2\n"
	"landing:	cld\n"
	"	call loop\n"
	"	ud2\n"
	"restorer:	mov $15, %eax\n"
	"	syscall\n"
	"spawn_thread:	mov $56, %eax\n" /* flags, stack */
	"	xor %edx, %edx\n"
	"	xor %r10d, %r10d\n"
	"	xor %r8d, %r8d\n"
	"	syscall\n"
	"	test %rax, %rax\n"
	"	jnz 1f\n"
	"	call loop\n"
	"	ud2\n"
	"1:	ret\n");
extern const char landing[], restorer[];
long spawn_thread(unsigned long flags, void *stack);

void *memset(void *to, int value, size_t size)
{
	char *at = to;

	while (size-- > 0)
		*at++ = (char)value;
	return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
	char *at = to;
	const char *source = from;

	while (size-- > 0)
		*at++ = *source++;
	return to;
}

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "+a"(number)
			 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return number;
}

#define CALL0(n) call(n, 0, 0, 0, 0, 0, 0)
#define CALL1(n, a) call(n, (long)(a), 0, 0, 0, 0, 0)
#define CALL2(n, a, b) call(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define CALL3(n, a, b, c) call(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define CALL4(n, a, b, c, d) call(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define CALL6(n, a, b, c, d, e, f) call(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static __attribute__((noreturn)) void end(int status)
{
	for (;;)
		CALL1(SYS_exit_group, status);
}

/* Something that ring 3 executed is in ring 0: what this program is for. */
static __attribute__((noreturn)) void report_ring0(uint64_t evidence)
{
	if (!in_child)
		share->evidence = evidence;
	CALL3(SYS_write, CALL2(SYS_open, "/dev/kmsg", O_WRONLY), RING0_LINE, sizeof RING0_LINE - 1);
	end(REPORTED_RING);
}

static void check_ring(void)
{
	unsigned long cs;

	__asm__ volatile("mov %%cs, %0" : "=r"(cs));
	if ((cs & 3) == 0 || (pool.pretend && made > 50))
		report_ring0(cs);
}

static uint64_t number(void) /* xorshift64 (Marsaglia 2003) */
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1d;
}

static unsigned below(unsigned n)
{
	return (unsigned)((number() >> 32) % n);
}

static bool chance(unsigned percent)
{
	return below(100) < percent;
}

static int32_t any_pid(void)
{
	switch (below(16)) {
	case 0:
		return 0;
	case 1:
		return (int32_t)CALL0(SYS_getpid);
	case 2:
		return child_count > 0 ? children[below(child_count)] : 1;
	case 3:
		return (int32_t)below(64) - 2;
	default:
		return pool.pids[below(pool.pid_count)];
	}
}

static int32_t any_fd(void)
{
	switch (below(8)) {
	case 0:
		return below(4) ? AT_FDCWD : -1;
	case 1:
	case 2:
		return pool.fds[below(pool.fd_count)];
	default:
		return (int32_t)below(64);
	}
}

static uint64_t any_address(void)
{
	uint64_t address = chance(50) ? pool.addresses[below(pool.target_count)] : pool.addresses[below(pool.address_count)];

	return chance(70) ? address : address + below(PAGE);
}

static uint64_t word(void)
{
	switch (below(12)) {
	case 0:
		return below(16);
	case 1:
		return 1ull << below(64);
	case 2:
		return number();
	case 3:
		return (uint64_t)any_pid();
	case 4:
		return (uint64_t)any_fd();
	case 5:
	case 6:
		return any_address();
	case 7:
		return (uint64_t)arena + below(ARENA);
	case 8:
		return GROUND + below(GROUND_SIZE / PAGE) * PAGE;
	case 9:
		return (uint64_t)-below(4096);
	case 10:
		return below(PAGE);
	default:
		return 0;
	}
}

static uint64_t flags(void)
{
	uint64_t bits = 0;

	for (unsigned n = below(5); n > 0; n--)
		bits |= 1ull << below(chance(90) ? 24 : 64);
	return bits;
}

static uint64_t size(void)
{
	switch (below(8)) {
	case 0:
		return below(65);
	case 1:
		return 8;
	case 2:
		return PAGE * (1ull + below(16));
	case 3:
		return chance(30) ? number() : 1;
	default:
		return below(SLOT);
	}
}

/* A place of the arena, which anything may be in. */
static uint64_t *slot(void)
{
	uint64_t *at = (uint64_t *)(arena + below(ARENA / SLOT - 1) * SLOT);

	for (unsigned n = SLOT / 8, i = chance(50) ? n : below(n); i > 0; i--)
		at[n - i] = word();
	return at;
}

/* Mostly a place of the arena; else one that this process has no business with. */
static uint64_t buffer(void)
{
	switch (below(16)) {
	case 0:
		return 0;
	case 1:
	case 2:
		return any_address();
	case 3:
		return GROUND + below(GROUND_SIZE);
	case 4:
		return word();
	default:
		return (uint64_t)slot();
	}
}

static char *digits(char *at, uint64_t n, unsigned base)
{
	char reverse[24];
	int i = 0;

	do
		reverse[i++] = "0123456789abcdef"[n % base];
	while ((n /= base) > 0);
	while (i > 0)
		*at++ = reverse[--i];
	return at;
}

static char *text(char *at, const char *s)
{
	while (*s != '\0')
		*at++ = *s++;
	return at;
}

static bool keeper(int32_t pid)
{
	for (unsigned i = 0; i < pool.keeper_count; i++)
		if (pool.pids[i] == pid)
			return true;
	return false;
}

/* A file of /proc about a process. */
static char *process_path(char *path)
{
	static const char *const names[] = {
		"mem", "mem", "mem", "maps", "exe", "exe", "root/app", "root/fuzz/code", "cwd/code", "comm", "clear_refs", "pagemap",
		"syscall", "stat", "status", "smaps", "numa_maps", "coredump_filter", "timerslack_ns", "environ", "auxv", "stack",
		"personality", "wchan", "oom_adj", "mountinfo", "io", "limits", "sched", "setgroups", "uid_map", "attr/exec",
		"ns/user", "arch_status", "net/unix", "autogroup", "loginuid", "timers", "patch_state", "seccomp_cache", "fail-nth",
	};
	int32_t pid = any_pid(), n;
	char *at = text(path, "/proc/");

	at = pid <= 0 ? text(at, chance(50) ? "self" : "thread-self") : digits(at, (uint64_t)pid, 10);
	if (chance(20)) {
		at = text(at, "/task/");
		at = digits(at, (uint64_t)(uint32_t)pool.pids[below(pool.pid_count)], 10);
	}
	*at++ = '/';
	switch (below(6)) {
	case 0:
	case 1:
		/* The results of the run go where the keeper's first descriptors go. */
		n = any_fd() & 0xff;
		at = text(at, chance(70) ? "fd/" : "fdinfo/");
		at = digits(at, (uint64_t)(n < 3 ? n + 3 : n), 10);
		break;
	case 2:
		at = text(at, "map_files/");
		at = digits(at, pool.addresses[below(pool.target_count)] & -(uint64_t)PAGE, 16);
		*at++ = '-';
		at = digits(at, (pool.addresses[below(pool.target_count)] & -(uint64_t)PAGE) + PAGE, 16);
		break;
	default:
		at = text(at, names[below(sizeof names / sizeof names[0])]);
		if (!chance(5))
			break;
		at = text(at, "/..");
	}
	*at = '\0';
	return path;
}

static char *path(void)
{
	char *at = arena + below(ARENA / SLOT - 1) * SLOT;

	if (chance(30))
		return process_path(at);
	memcpy(at, pool.paths[below(pool.path_count)], PATH_SIZE);
	return at;
}

static uint64_t *strings(void)
{
	uint64_t *at = slot();
	unsigned n = 1 + below(4);

	for (unsigned i = 0; i < n; i++)
		at[i] = (uint64_t)path();
	at[n] = 0;
	return at;
}

static uint64_t *vector(void)
{
	uint64_t *at = slot();

	for (unsigned i = 0; i < 8; i++) {
		at[2 * i] = chance(60) ? (uint64_t)slot() : any_address();
		at[2 * i + 1] = chance(90) ? below(SLOT) : word();
	}
	return at;
}

static uint64_t *address_of_socket(void)
{
	uint64_t *at = slot();
	static const uint16_t families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNSPEC };

	*(uint16_t *)at = families[below(6)];
	if (*(uint16_t *)at == AF_UNIX)
		memcpy((char *)at + 2, pool.paths[below(pool.path_count)], PATH_SIZE);
	return at;
}

static uint64_t *message(void)
{
	uint64_t *at = slot();
	struct msghdr *header = (struct msghdr *)at;

	header->msg_name = chance(70) ? NULL : address_of_socket();
	header->msg_namelen = below(128);
	header->msg_iov = (struct iovec *)vector();
	header->msg_iovlen = 1 + below(4);
	header->msg_flags = (int)flags();
	header->msg_control = NULL;
	header->msg_controllen = 0;
	if (chance(70)) {
		struct cmsghdr *control = (struct cmsghdr *)slot();
		unsigned n = 1 + below(6);

		header->msg_control = control;
		header->msg_controllen = CMSG_SPACE(n * sizeof(int));
		control->cmsg_len = chance(95) ? CMSG_LEN(n * sizeof(int)) : word();
		control->cmsg_level = chance(95) ? SOL_SOCKET : (int)below(300);
		control->cmsg_type = chance(90) ? SCM_RIGHTS : (int)below(8);
		for (unsigned i = 0; i < n; i++)
			((int *)(control + 1))[i] = any_fd();
	}
	return at;
}

static uint64_t *moment(void)
{
	uint64_t *at = slot();

	for (int i = 0; i < 4; i++) {
		at[2 * i] = chance(95) ? 0 : word();
		at[2 * i + 1] = chance(95) ? below(1000000) : word();
	}
	return at;
}

static int any_signal(void)
{
	int n = (int)below(66);

	/* Whoever is root may end or stop any process by these: only this program's own children get them. */
	return n == SIGKILL || n == SIGSTOP ? SIGUSR1 : n;
}

static uint64_t argument(char kind)
{
	uint64_t *at;

	if (chance(4))
		return word();
	switch (kind) {
	case 'f':
		return (uint64_t)any_fd();
	case 'd':
		return chance(60) ? (uint64_t)AT_FDCWD : (uint64_t)any_fd();
	case 'p':
		return (uint64_t)any_pid();
	case 'a':
		return buffer();
	case 'n':
		return size();
	case 'N':
		return below(9);
	case 's':
		return (uint64_t)path();
	case 'S':
		return (uint64_t)strings();
	case 'x':
		return flags();
	case 'c':
		return below(48);
	case 'C':
		return chance(60) ? commands[below(COMMANDS)] : number() & 0xffffffff;
	case 'm':
		return chance(80) ? 0755 : below(0x10000);
	case 'g':
		return (uint64_t)any_signal();
	case 'o':
		return chance(40) ? any_address() : chance(60) ? below(4 * PAGE) : word();
	case 'v':
		return chance(80) ? any_address() : word();
	case 'y':
		return chance(90) ? GROUND + below(GROUND_SIZE / PAGE) * PAGE : word();
	case 'Y': /* the size of something there */
		return chance(95) ? PAGE * (1 + below(16)) : word();
	case 't':
		return chance(10) ? 0 : (uint64_t)moment();
	case 'I':
		return chance(95) ? (uint64_t)vector() : word();
	case 'M':
		return (uint64_t)message();
	case 'A':
		return (uint64_t)address_of_socket();
	case 'E': /* struct sigevent */
		at = slot();
		((int *)at)[2] = any_signal();
		((int *)at)[3] = (int)below(6);
		((int *)at)[4] = (int)CALL0(SYS_gettid);
		return (uint64_t)at;
	case 'U': /* struct io_uring_params */
		at = slot();
		memset(at, 0, 120);
		((uint32_t *)at)[2] = (uint32_t)flags() & 0xffff;
		((uint32_t *)at)[4] = below(50);
		((uint32_t *)at)[6] = (uint32_t)any_fd();
		return (uint64_t)at;
	case 'P': /* struct perf_event_attr */
		at = slot();
		((uint32_t *)at)[0] = below(6);
		((uint32_t *)at)[1] = chance(90) ? 112 + 8 * below(4) : below(256);
		at[1] = chance(70) ? below(12) : word();
		at[5] = chance(50) ? flags() : word();
		return (uint64_t)at;
	case 'B': /* union bpf_attr */
		at = slot();
		((uint32_t *)at)[0] = below(32);
		return (uint64_t)at;
	case 'H': /* struct open_how */
		at = slot();
		at[0] = flags() & 037777777;
		at[1] = at[0] & O_CREAT ? 0755 : 0;
		at[2] = flags() & 0x3f;
		return (uint64_t)at;
	case 'i':
		return below(13);
	case '8': /* the size of a signal set */
		return 8;
	case 'D':
		return chance(80) ? below(4) : below(46);
	case 'k': /* struct sigaction of the kernel */
		at = slot();
		at[0] = chance(50) ? below(2) : word();
		at[2] = (uint64_t)restorer;
		return (uint64_t)at;
	default:
		return kind == '0' ? 0 : word();
	}
}

/* Whose scheduling may change: that of victims and attackers. Any root may slow down the keeper, and threads of the
 * kernel for which all others wait, as for the end of an RCU grace period. 0 is the caller. */
static uint64_t other(uint64_t pid)
{
	for (unsigned i = pool.keeper_count; i < pool.pid_count; i++)
		if (pool.pids[i] == (int32_t)pid)
			return pid;
	for (unsigned i = 0; i < child_count; i++)
		if (children[i] == (int32_t)pid)
			return pid;
	return 0;
}

/* Makes a call that would end the run, or only wait, another one. False if it is not to be made at all. */
static bool tame(long n, uint64_t *a)
{
	switch (n) {
	/* They end the machine, or this program; or they wait. */
	case SYS_reboot:
	case SYS_exit:
	case SYS_exit_group:
	case SYS_pause:
	case SYS_rt_sigsuspend:
	/* They come with a child, a stack or a program: see the deeds. */
	case SYS_fork:
	case SYS_vfork:
	case SYS_clone:
	case SYS_clone3:
	case SYS_execve:
	case SYS_execveat:
	case SYS_rt_sigreturn:
		return false;
	/* Any root may kill, and stop: only signals that the victim handles. */
	case SYS_kill:
	case SYS_tkill:
	case SYS_rt_sigqueueinfo:
	case SYS_pidfd_send_signal:
		a[1] = (uint32_t)a[1] == SIGKILL || (uint32_t)a[1] == SIGSTOP ? SIGUSR2 : a[1];
		if ((int32_t)a[0] == -1)
			a[0] = 1;
		return true;
	case SYS_tgkill:
	case SYS_rt_tgsigqueueinfo:
		a[2] = (uint32_t)a[2] == SIGKILL || (uint32_t)a[2] == SIGSTOP ? SIGUSR2 : a[2];
		return true;
	case SYS_fcntl:
		if ((uint32_t)a[1] == F_SETSIG && ((uint32_t)a[2] == SIGKILL || (uint32_t)a[2] == SIGSTOP))
			a[2] = SIGUSR1;
		if ((uint32_t)a[1] == F_SETPIPE_SZ)
			a[2] &= 0xfffff;
		return true;
	case SYS_ptrace:
		/* A thread that blocks SIGTRAP, and is let go on by single steps, dies of the next one. */
		if ((uint32_t)a[0] == PTRACE_KILL || (uint32_t)a[0] == PTRACE_SETSIGMASK)
			return false;
		/* Whoever is traced waits for its tracer. The keeper is the one that ends tracers that do nothing. */
		if (((uint32_t)a[0] == PTRACE_ATTACH || (uint32_t)a[0] == PTRACE_SEIZE) && keeper((int32_t)a[1]))
			return false;
		if ((uint32_t)a[0] == PTRACE_SEIZE || (uint32_t)a[0] == PTRACE_SETOPTIONS)
			a[3] &= ~(uint64_t)PTRACE_O_EXITKILL;
		/* The others take an address or a signal: PTRACE_CONT, PTRACE_DETACH, ... */
		if (a[3] == SIGKILL || a[3] == SIGSTOP)
			a[3] = 0;
		return true;
	/* Limits of other processes end them; what no other process of root can get on with starves the run. */
	case SYS_prlimit64:
		if (a[2] != 0)
			a[0] = 0;
		return true;
	case SYS_sched_setscheduler:
		a[0] = other(a[0]);
		a[1] = a[1] & 1 ? SCHED_BATCH : SCHED_IDLE;
		return true;
	case SYS_sched_setattr:
		a[0] = other(a[0]);
		if (a[1] >= (uint64_t)arena && a[1] < (uint64_t)arena + ARENA - 16)
			((uint32_t *)a[1])[1] = below(2) ? SCHED_OTHER : SCHED_IDLE;
		else
			a[1] = 0;
		return true;
	case SYS_sched_setparam:
	case SYS_sched_setaffinity:
		a[0] = other(a[0]);
		return true;
	case SYS_setpriority:
		a[0] = PRIO_PROCESS;
		a[1] = other(a[1]);
		return true;
	/* Memory is for all. */
	case SYS_truncate:
	case SYS_ftruncate:
		a[1] &= 0xfffff;
		return true;
	case SYS_fallocate:
		a[2] &= 0xfffff;
		a[3] &= 0xfffff;
		return true;
	case SYS_sendfile:
	case SYS_tee:
		a[n == SYS_tee ? 2 : 3] &= 0xffff;
		return true;
	case SYS_splice:
	case SYS_copy_file_range:
		a[4] &= 0xffff;
		return true;
	case SYS_readahead:
		a[2] &= 0xffff;
		return true;
	case SYS_io_setup:
		a[0] &= 63;
		return true;
	case SYS_close_range:
		if (!chance(2))
			a[1] = a[0] + below(4);
		return true;
	/* The faults of ring 3 carry the seed by the name of the process. */
	case SYS_prctl:
		return (uint32_t)a[0] != PR_SET_NAME && ((uint32_t)a[0] != PR_SET_SECCOMP || chance(5));
	case SYS_seccomp:
		return chance(20);
	default:
		return true;
	}
}

/* Makes a call, and notes it. */
static long made_call(long n, uint64_t *a)
{
	struct call *note = &share->last[share->progress++ % KEPT];
	long result;

	note->number = n;
	memcpy(note->arguments, a, sizeof note->arguments);
	note->result = 0x7fffffff; /* it has not returned */
	made++;
	result = call(n, (long)a[0], (long)a[1], (long)a[2], (long)a[3], (long)a[4], (long)a[5]);
	note->result = result;
	if (n >= 0 && n < NUMBERS) {
		share->made[n]++;
		if (result >= 0 || result < -4095)
			share->succeeded[n]++;
	}
	check_ring();
	return result;
}

static void random_call(void)
{
	long n = (long)below(452);
	const char *kinds = n < SIGNATURES && signatures[n] != NULL && chance(92) ? signatures[n] : "------";
	uint64_t a[6] = { 0 };

	if (kinds[0] == '!') /* a number that there is not */
		return;
	for (int i = 0; i < 6 && (kinds[i] != '\0' || chance(2)); i++)
		a[i] = kinds[i] == '\0' ? (kinds = "------", word()) : argument(kinds[i]);
	if (chance(1))
		n |= chance(50) ? 0x40000000 : (long)0xffffffff00000000; /* x32, and what is cut off */
	if (tame(n & 0xfff, a))
		made_call(n, a);
}

static void handle(int signal, void *action, unsigned long flag)
{
	const uint64_t value[4] = { (uint64_t)action, SA_RESTORER | flag, (uint64_t)restorer, 0 };

	CALL4(SYS_rt_sigaction, signal, value, 0, 8);
}

/* Words of struct ucontext of the kernel, with the struct sigcontext in it. */
enum { UC_FLAGS, UC_R8 = 5, UC_SP = 20, UC_IP, UC_RFLAGS, UC_SELECTORS, UC_FPSTATE = 28, UC_MASK = 37, UC_WORDS };

static void *stack_top(void)
{
	return (void *)(((uint64_t)__builtin_frame_address(0) & -(uint64_t)BLOCK) + BLOCK - 64);
}

/* The selectors of what a signal has interrupted. The frame may be where another thread, or the kernel for a random call, writes:
 * so it must be right in all that the kernel writes there. */
static void check_selectors(uint64_t selectors)
{
	uint16_t cs = (uint16_t)selectors, ss = (uint16_t)(selectors >> 48);

	if ((cs == 0x10 || cs == 0x08) && (selectors >> 16 & 0xffffffff) == 0 && (ss == 0x18 || ss == 0x2b))
		report_ring0(selectors);
}

static void on_fault(int signal, void *info, uint64_t *context)
{
	(void)signal;
	(void)info;
	check_ring();
	check_selectors(context[UC_SELECTORS]);
	context[UC_SP] = (uint64_t)stack_top();
	context[UC_IP] = (uint64_t)landing;
	context[UC_RFLAGS] = 0x202;
	context[UC_SELECTORS] = 0x33 | 0x2bull << 48; /* it may have come to compatibility mode */
	context[UC_MASK] = 0;
}

static void on_signal(int signal, void *info, uint64_t *context)
{
	(void)signal;
	(void)info;
	check_ring();
	check_selectors(context[UC_SELECTORS]);
}

static void map_private(uint64_t at, size_t size, int protection)
{
	CALL6(SYS_mmap, at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* Random calls have changed this, too. */
static void arm(bool all)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS };
	const uint64_t stack[3] = { (uint64_t)stack_top() & -(uint64_t)BLOCK, 0, ALTERNATE }, none = 0;
	const uint64_t often[4] = { 0, 10000, 0, 10000 };

	CALL2(SYS_sigaltstack, stack, 0);
	for (int i = 1; all && i < 65; i++)
		if (i != SIGKILL && i != SIGSTOP && i != SIGCHLD)
			handle(i, on_signal, SA_ONSTACK | SA_SIGINFO);
	handle(SIGALRM, on_signal, SA_ONSTACK | SA_SIGINFO);
	for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++)
		handle(faults[i], on_fault, SA_ONSTACK | SA_SIGINFO | SA_NODEFER);
	CALL4(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, 8);
	CALL3(SYS_setitimer, ITIMER_REAL, often, 0); /* a call that waits is interrupted */
	map_private(GROUND, GROUND_SIZE + PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	if (all)
		map_private((uint64_t)arena, ARENA, PROT_READ | PROT_WRITE);
}

/* What may have become of the children. */
static void look_after_children(bool all)
{
	int status;
	long pid;

	if (child_count == 8 || all) {
		for (unsigned i = 0; i < child_count; i++)
			CALL2(SYS_kill, children[i], SIGKILL);
		child_count = 0;
	}
	for (int i = 0; i < 16 && (pid = CALL4(SYS_wait4, -1, &status, WNOHANG | __WALL, 0)) > 0; i++) {
		if ((status & 0x7f) == 0 && status >> 8 == REPORTED_RING)
			report_ring0((uint64_t)pid << 32 | (uint64_t)status);
		if ((status & 0xff) == 0x7f) /* stopped: traced */
			CALL4(SYS_ptrace, chance(80) ? PTRACE_CONT : PTRACE_DETACH, pid, 0, 0);
	}
}

static __attribute__((noreturn)) void execute(void)
{
	char *const file = path();
	uint64_t a[6] = { (uint64_t)file, (uint64_t)strings(), (uint64_t)strings() };

	if (chance(40))
		memcpy(file, pool.paths[below(8)], PATH_SIZE);
	if (chance(20))
		((char **)a[1])[0] = "--ring";
	if (chance(15)) {
		uint64_t how[6] = { (uint64_t)any_fd(), (uint64_t)(chance(50) ? "" : file), a[1], a[2], AT_EMPTY_PATH };

		made_call(SYS_execveat, how);
	} else {
		made_call(SYS_execve, a);
	}
	end(0);
}

static __attribute__((noreturn)) void child(void)
{
	in_child = true;
	child_count = 0;
	threads = 1;
	made = 0;
	pool.calls = 8 + below(40);
	if (chance(10))
		CALL4(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
	if (chance(50))
		execute();
	if (chance(10)) { /* a core dump */
		const uint64_t unlimited[2] = { -1ull, -1ull };

		CALL2(SYS_setrlimit, RLIMIT_CORE, unlimited);
		handle(SIGSEGV, NULL, 0);
		*(volatile char *)0 = 0;
	}
	loop();
}

static void deed_fork(void)
{
	static const uint64_t bits[] = { CLONE_FS, CLONE_FILES, CLONE_SYSVSEM, CLONE_IO, CLONE_PTRACE, CLONE_UNTRACED,
					 CLONE_PARENT, CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET };
	uint64_t a[6] = { SIGCHLD };
	long pid;

	if (in_child)
		return;
	for (unsigned n = below(3); n > 0; n--)
		a[0] |= bits[below(sizeof bits / sizeof bits[0])];
	if (chance(20)) { /* clone3 */
		uint64_t *arguments = slot();

		memset(arguments, 0, 88);
		arguments[0] = a[0] & ~0xffull;
		arguments[4] = SIGCHLD;
		if (chance(20))
			arguments[below(11)] = word();
		arguments[5] = 0; /* the stack stays this one */
		arguments[6] = 0;
		arguments[0] &= ~(uint64_t)(CLONE_VM | CLONE_VFORK);
		a[0] = (uint64_t)arguments;
		a[1] = 88;
		pid = made_call(SYS_clone3, a);
	} else {
		if (chance(20)) {
			a[0] |= chance(50) ? CLONE_CHILD_SETTID : CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID;
			a[2] = buffer();
			a[3] = buffer();
		}
		if (chance(10)) {
			a[0] |= CLONE_SETTLS;
			a[4] = word();
		}
		pid = made_call(SYS_clone, a);
	}
	if (pid == 0)
		child();
	if (pid > 0 && child_count < 8)
		children[child_count++] = (int)pid;
}

static void deed_thread(void)
{
	if (threads < THREADS)
		spawn_thread(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | (chance(80) ? CLONE_FILES | CLONE_FS : 0), blocks[threads] + BLOCK - 64);
	threads++;
}

/* A frame as no signal makes it. */
static void deed_sigreturn(void)
{
	static const uint16_t selectors[] = { 0x10, 0x18, 0x23, 0x2b, 0x33, 0, 3, 0x7b, 0x20, 0x40 };
	uint64_t frame[UC_WORDS];

	for (int i = 0; i < UC_WORDS; i++)
		frame[i] = word();
	frame[UC_FLAGS] = below(8);
	frame[2] = (uint64_t)stack_top() & -(uint64_t)BLOCK; /* the alternate stack */
	frame[3] = 0;
	frame[4] = ALTERNATE;
	frame[UC_IP] = chance(70) ? (uint64_t)landing : any_address();
	frame[UC_SP] = chance(70) ? (uint64_t)stack_top() : any_address();
	frame[UC_RFLAGS] = chance(50) ? 0x202 : word();
	frame[UC_SELECTORS] = selectors[below(10)] | (uint64_t)selectors[below(10)] << 48;
	if (chance(40))
		frame[UC_SELECTORS] = 0x33 | 0x2bull << 48;
	frame[UC_FPSTATE] = chance(50) ? 0 : buffer();
	frame[UC_MASK] = 0;
	share->made[SYS_rt_sigreturn]++;
	share->progress++;
	__asm__ volatile("mov %0, %%rsp\n"
			 "mov $15, %%eax\n"
			 "syscall\n"
			 "ud2" : : "r"(frame) : "memory");
}

/* One instruction with registers that it should not have. */
static void deed_instruction(void)
{
	enum { LCALL = 5 };
	static const struct {
		unsigned char size, bytes[7];
	} instructions[] = {
		{ 2, { 0x0f, 0x05 } }, { 2, { 0x0f, 0x05 } }, { 2, { 0x0f, 0x05 } }, { 2, { 0xcd, 0x80 } }, { 2, { 0xcd, 0x80 } }, /* syscall, int $0x80 */
		{ 3, { 0x48, 0xff, 0x18 } }, /* lcall *(%rax) */
		{ 2, { 0x0f, 0x34 } }, { 1, { 0xcc } }, { 1, { 0xf1 } }, { 2, { 0xcd, 0x02 } }, { 2, { 0xcd, 0x08 } }, /* sysenter, int3, int1, int $2, $8 */
		{ 2, { 0x48, 0xcf } }, { 2, { 0x48, 0xcb } }, { 1, { 0xcf } }, { 1, { 0xcb } }, { 3, { 0x48, 0xff, 0x28 } }, /* iret, lret, ljmp */
		{ 3, { 0x0f, 0x01, 0xf8 } }, { 5, { 0xf3, 0x48, 0x0f, 0xae, 0xd8 } }, { 5, { 0xf3, 0x48, 0x0f, 0xae, 0xd0 } }, /* swapgs, wrgsbase, wrfsbase %rax */
		{ 2, { 0x0f, 0x32 } }, { 2, { 0x0f, 0x30 } }, { 1, { 0xfa } }, { 1, { 0xf4 } }, { 1, { 0xed } }, { 1, { 0xef } }, /* rdmsr, wrmsr, cli, hlt, in, out */
		{ 3, { 0x0f, 0x20, 0xc0 } }, { 3, { 0x0f, 0x22, 0xc0 } }, { 3, { 0x0f, 0x23, 0xf8 } }, { 3, { 0x0f, 0x01, 0x10 } }, /* mov cr0, dr7, lgdt (%rax) */
		{ 3, { 0x0f, 0x00, 0xd8 } }, { 2, { 0x8e, 0xd0 } }, { 2, { 0x8e, 0xd8 } }, { 2, { 0x8e, 0xe8 } }, { 2, { 0x8e, 0xe0 } }, /* ltr, mov ss, ds, gs, fs */
		{ 2, { 0xff, 0xe0 } }, { 2, { 0xff, 0xd0 } }, { 1, { 0xc3 } }, { 1, { 0x9d } }, { 2, { 0x89, 0x00 } }, /* jmp, call *%rax, ret, popf, store */
		{ 3, { 0x0f, 0xae, 0x08 } }, { 3, { 0x0f, 0xae, 0x28 } }, { 3, { 0x0f, 0xae, 0x10 } }, { 3, { 0x0f, 0x01, 0xd1 } }, /* fxrstor, xrstor, ldmxcsr, xsetbv */
		{ 3, { 0x0f, 0x01, 0xd9 } }, { 3, { 0x0f, 0x01, 0xc1 } }, { 3, { 0x0f, 0x01, 0x38 } }, { 2, { 0x0f, 0x0b } }, { 1, { 0xce } }, /* vmmcall, vmcall, invlpg */
	};
	static const uint16_t harmless[] = { SYS_getpid, SYS_gettid, SYS_sched_yield, SYS_rt_sigreturn, SYS_getppid, 600, 0xffff, SYS_read };
	unsigned char *at = (unsigned char *)GROUND + CODE_AT;
	unsigned chosen = below(sizeof instructions / sizeof instructions[0]);
	/* QEMU 7.2's software emulation is wrong about these. It pops and pushes for IRET, far RET and far CALL with the rights of
	 * ring 0: on a stack that ring 3 cannot reach, the first two end in an oops, and the last writes there. Its IRET of 32 bits
	 * enters virtual-8086 mode from long mode. No kernel can help that, so they get a stack of ring 3, and no VM flag. */
	const bool far = instructions[chosen].bytes[instructions[chosen].size - 1] == 0xcb ||
			 instructions[chosen].bytes[instructions[chosen].size - 1] == 0xcf || chosen == LCALL;

	/* movabs $word, %REGISTER */
	for (int r = 0; r < 16; r++) {
		uint64_t value = r != 0 ? word() : chosen < 5 ? harmless[below(8)] : any_address();

		if (r == 4) {
			if (pool.emulated && far) {
				value = (uint64_t)slot() + SLOT / 2;
				((uint32_t *)value)[2] &= ~(1u << 17);
			} else if (chance(50)) {
				continue;
			} else {
				value = chance(50) ? any_address() : (uint64_t)slot();
			}
		}
		*at++ = r < 8 ? 0x48 : 0x49;
		*at++ = 0xb8 + (r & 7);
		memcpy(at, &value, 8);
		at += 8;
	}
	if (chance(50)) { /* push $flags; popf: TF, DF, NT, AC, IOPL */
		const uint32_t value = ((uint32_t)number() & 0x47fd5) | 0x202;

		*at++ = 0x68;
		memcpy(at, &value, 4);
		at += 4;
		*at++ = 0x9d;
	}
	memcpy(at, instructions[chosen].bytes, instructions[chosen].size);
	at += instructions[chosen].size;
	*at++ = 0x0f; /* ud2: on_fault looks at the ring */
	*at++ = 0x0b;
	share->progress++;
	__asm__ volatile("jmp *%0" : : "r"(GROUND + CODE_AT) : "memory");
}

/* Opens something for good. */
static long deed_open(void)
{
	static const int ways[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_CREAT, O_PATH, O_RDWR | O_NONBLOCK, O_RDONLY | O_DIRECTORY };
	uint64_t a[6] = { (uint64_t)path(), (uint64_t)ways[below(7)], 0755 };

	if (chance(20))
		a[1] |= flags();
	return made_call(SYS_open, a);
}

/* Everything that could write to the memory of another process. */
static void deed_strike(void)
{
	uint64_t target = pool.addresses[below(pool.target_count)] + (chance(50) ? 0 : below(PAGE / 8) * 8);
	int32_t pid = pool.pids[below(pool.pid_count)];
	uint64_t *here = slot(), *vectors = slot(), *there = slot(), *name = slot();
	char *at;
	long fd;

	vectors[0] = (uint64_t)here;
	vectors[1] = 8 + below(64);
	there[0] = target;
	there[1] = vectors[1];
	switch (below(6)) {
	case 0:
		made_call(SYS_process_vm_writev, (uint64_t[6]){ (uint64_t)pid, (uint64_t)vectors, 1, (uint64_t)there, 1 });
		break;
	case 1:
	case 2:
		at = digits(text((char *)name, "/proc/"), (uint64_t)(uint32_t)pid, 10);
		if (chance(40))
			at = digits(text(at, "/task/"), (uint64_t)(uint32_t)pid, 10);
		*text(at, chance(80) ? "/mem" : "/cwd/../proc/self/../1/mem") = '\0';
		fd = made_call(SYS_open, (uint64_t[6]){ (uint64_t)name, O_RDWR });
		if (fd < 0)
			return;
		switch (below(5)) {
		case 0:
			made_call(SYS_pwritev, (uint64_t[6]){ (uint64_t)fd, (uint64_t)vectors, 1, target });
			break;
		case 1:
			made_call(SYS_lseek, (uint64_t[6]){ (uint64_t)fd, target, SEEK_SET });
			made_call(SYS_write, (uint64_t[6]){ (uint64_t)fd, (uint64_t)here, vectors[1] });
			break;
		case 2: /* from a file */
			made_call(SYS_lseek, (uint64_t[6]){ (uint64_t)fd, target, SEEK_SET });
			made_call(SYS_sendfile, (uint64_t[6]){ (uint64_t)fd, (uint64_t)any_fd(), 0, 64 });
			break;
		case 3: /* from a pipe */
			here[0] = target;
			made_call(SYS_splice, (uint64_t[6]){ (uint64_t)any_fd(), 0, (uint64_t)fd, (uint64_t)here, 64, SPLICE_F_NONBLOCK });
			break;
		default:
			made_call(SYS_pwrite64, (uint64_t[6]){ (uint64_t)fd, (uint64_t)here, vectors[1], target });
		}
		if (chance(70))
			CALL1(SYS_close, fd);
		break;
	case 3: { /* as a tracer */
		int status;

		if (keeper(pid) || CALL4(SYS_ptrace, PTRACE_SEIZE, pid, 0, chance(50) ? 0 : flags() & 0xff) != 0)
			return;
		CALL4(SYS_ptrace, PTRACE_INTERRUPT, pid, 0, 0);
		CALL4(SYS_wait4, pid, &status, __WALL, 0);
		for (unsigned n = 1 + below(6); n > 0; n--) {
			static const unsigned requests[] = {
				PTRACE_POKEDATA, PTRACE_POKETEXT, PTRACE_POKEUSER, PTRACE_SETREGS, PTRACE_SETFPREGS,
				PTRACE_SETREGSET, PTRACE_SETSIGINFO, PTRACE_SYSCALL, PTRACE_SINGLESTEP,
				PTRACE_CONT, PTRACE_INTERRUPT, PTRACE_LISTEN, PTRACE_GETREGSET, PTRACE_PEEKUSER, PTRACE_PEEKDATA,
				PTRACE_GETREGS, PTRACE_GETSIGINFO, 30, 31, 32, 33, 12, 13, /* arch_prctl, SYSEMU, SINGLEBLOCK, FPXREGS */
			};
			uint64_t request = requests[below(sizeof requests / sizeof requests[0])];
			uint64_t a[6] = { request, (uint64_t)pid, chance(50) ? target : chance(50) ? below(1000) : word(), (uint64_t)slot() };

			if (request == PTRACE_SETREGSET || request == PTRACE_GETREGSET)
				a[2] = chance(60) ? 1 + below(2) : 0x200 + below(8), a[3] = (uint64_t)vectors;
			if (request == PTRACE_SYSCALL || request == PTRACE_SINGLESTEP || request == PTRACE_CONT || request == PTRACE_LISTEN ||
			    (request > 30 && request < 34))
				a[3] = chance(80) ? 0 : SIGUSR1;
			made_call(SYS_ptrace, a);
			if (chance(50))
				CALL4(SYS_wait4, pid, &status, __WALL | WNOHANG, 0);
		}
		CALL4(SYS_ptrace, PTRACE_INTERRUPT, pid, 0, 0);
		CALL4(SYS_wait4, pid, &status, __WALL, 0);
		CALL4(SYS_ptrace, PTRACE_DETACH, pid, 0, 0);
		break;
	}
	case 4: /* by a descriptor of it */
		fd = CALL2(SYS_pidfd_open, pid, 0);
		made_call(SYS_pidfd_getfd, (uint64_t[6]){ (uint64_t)fd, 3 + below(60) });
		vectors[0] = target;
		vectors[1] = PAGE;
		made_call(SYS_process_madvise, (uint64_t[6]){ (uint64_t)fd, (uint64_t)vectors, 1, below(30) });
		CALL1(SYS_close, fd);
		break;
	default: /* what it has mapped or open */
		fd = made_call(SYS_open, (uint64_t[6]){ (uint64_t)process_path((char *)name), O_RDWR });
		made_call(SYS_pwrite64, (uint64_t[6]){ (uint64_t)fd, (uint64_t)here, 8, chance(50) ? 0 : target });
		made_call(SYS_mmap, (uint64_t[6]){ GROUND, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, (uint64_t)fd, 0 });
		if (chance(30))
			*(volatile uint64_t *)GROUND = number(); /* also faults */
	}
}

/* Writes what ring 0 must not execute to where it looks for code. */
static void deed_plant(void)
{
	char *file = pool.paths[pool.library + below(LIBRARIES)];
	uint64_t *here = (uint64_t *)(arena + ARENA - SLOT);
	volatile uint64_t inverted = NOT_PLANTED;
	long fd, other;
	int ends[2];

	for (unsigned i = 0; i < SLOT / 8; i++)
		here[i] = ~inverted;
	if (chance(20))
		made_call(SYS_unlink, (uint64_t[6]){ (uint64_t)file });
	fd = made_call(SYS_open, (uint64_t[6]){ (uint64_t)file, O_CREAT | (uint64_t)(chance(80) ? O_RDWR : O_RDONLY) | (chance(30) ? O_TRUNC : 0), 0755 });
	if (fd < 0)
		return;
	switch (below(6)) {
	case 0:
		made_call(SYS_ftruncate, (uint64_t[6]){ (uint64_t)fd, PAGE });
		if ((uint64_t)made_call(SYS_mmap, (uint64_t[6]){ GROUND, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, (uint64_t)fd, 0 }) == GROUND)
			memcpy((void *)GROUND, here, SLOT);
		break;
	case 1:
		if (CALL2(SYS_pipe2, ends, 0) != 0)
			break;
		CALL3(SYS_write, ends[1], here, SLOT);
		made_call(SYS_splice, (uint64_t[6]){ (uint64_t)ends[0], 0, (uint64_t)fd, 0, SLOT, flags() & 15 });
		CALL1(SYS_close, ends[0]);
		CALL1(SYS_close, ends[1]);
		break;
	case 2:
	case 3:
		other = CALL2(SYS_memfd_create, "x", 0);
		CALL3(SYS_write, other, here, SLOT);
		CALL3(SYS_lseek, other, 0, SEEK_SET);
		if (chance(50))
			made_call(SYS_sendfile, (uint64_t[6]){ (uint64_t)fd, (uint64_t)other, 0, SLOT });
		else
			made_call(SYS_copy_file_range, (uint64_t[6]){ (uint64_t)other, 0, (uint64_t)fd, 0, SLOT });
		CALL1(SYS_close, other);
		break;
	default:
		made_call(SYS_pwrite64, (uint64_t[6]){ (uint64_t)fd, (uint64_t)here, SLOT, 0 });
	}
	if (chance(80))
		CALL1(SYS_close, fd);
	if (chance(30))
		made_call(chance(50) ? SYS_rename : SYS_link, (uint64_t[6]){ (uint64_t)path(), (uint64_t)file });
}

/* Descriptors through a socket, there and back. */
static void deed_socket(void)
{
	uint64_t *there = message(), *back = message();
	int pair[2] = { any_fd(), any_fd() };

	if (chance(60) && CALL4(SYS_socketpair, AF_UNIX, chance(50) ? SOCK_STREAM : SOCK_DGRAM, 0, pair) != 0)
		return;
	((struct msghdr *)there)->msg_name = NULL;
	made_call(SYS_sendmsg, (uint64_t[6]){ (uint64_t)pair[0], (uint64_t)there, MSG_DONTWAIT });
	made_call(SYS_recvmsg, (uint64_t[6]){ (uint64_t)pair[1], (uint64_t)back, MSG_DONTWAIT | (flags() & 0x7f) });
}

/* Work that a ring of its own does, with descriptors and addresses of the victim. */
static void deed_ring(void)
{
	static uint32_t parameters[30];
	uint32_t *queue, entries = 1u << below(5), mask;
	char *sq, *sqes;
	long fd;

	memset(parameters, 0, sizeof parameters);
	parameters[2] = chance(50) ? 0 : (uint32_t)flags() & 0x3fff;
	parameters[4] = 20;
	fd = made_call(SYS_io_uring_setup, (uint64_t[6]){ entries, (uint64_t)parameters });
	if (fd < 0)
		return;
	sq = (char *)CALL6(SYS_mmap, 0, 64 * 1024, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	sqes = (char *)CALL6(SYS_mmap, 0, 64 * 128, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0x10000000);
	if ((uint64_t)sq > -4096ul)
		sq = (char *)CALL6(SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if ((uint64_t)sqes > -4096ul)
		sqes = (char *)CALL6(SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0x10000000);
	if ((uint64_t)sq < -4096ul && (uint64_t)sqes < -4096ul && parameters[10 + 6] < PAGE / 2) {
		/* sq_off begins at the tenth word: head, tail, mask, entries, flags, dropped, array. */
		queue = (uint32_t *)(sq + parameters[10 + 6]);
		mask = *(uint32_t *)(sq + parameters[10 + 2]);
		for (unsigned n = 1 + below(4); n > 0; n--) {
			uint32_t *tail = (uint32_t *)(sq + parameters[10 + 1]), i = *tail & mask;
			uint64_t *entry = (uint64_t *)(sqes + (size_t)i * 64);

			for (int w = 0; w < 8; w++)
				entry[w] = word();
			entry[0] = below(54) | (chance(70) ? 0 : flags() & 0xff) << 8 | (uint64_t)(uint32_t)any_fd() << 32;
			entry[1] = chance(50) ? 0 : any_address();
			entry[2] = chance(60) ? (uint64_t)slot() : any_address();
			entry[3] = below(SLOT) | (chance(80) ? 0 : flags() << 32);
			queue[i] = i;
			__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
		}
		made_call(SYS_io_uring_enter, (uint64_t[6]){ (uint64_t)fd, 4, 0, flags() & 3 });
	}
	if ((uint64_t)sq < -4096ul)
		CALL2(SYS_munmap, sq, 64 * 1024);
	if ((uint64_t)sqes < -4096ul)
		CALL2(SYS_munmap, sqes, 64 * 128);
	if (chance(80))
		CALL1(SYS_close, fd);
}

/* Registers of a child of its own. */
static void deed_trace(void)
{
	static uint64_t registers[27]; /* struct user_regs_struct: 16 ip, 17 cs, 18 flags, 19 sp, 20 ss */
	static const uint16_t selectors[] = { 0x10, 0x18, 0x13, 0x1b, 0x33, 0x2b };
	long pid;
	int status;

	if (in_child)
		return;
	pid = CALL1(SYS_clone, SIGCHLD);
	if (pid == 0)
		child();
	if (pid < 0)
		return;
	if (child_count < 8)
		children[child_count++] = (int)pid;
	if (CALL4(SYS_ptrace, PTRACE_SEIZE, pid, 0, 0) != 0)
		return;
	for (unsigned n = 1 + below(4); n > 0; n--) {
		CALL4(SYS_ptrace, PTRACE_INTERRUPT, pid, 0, 0);
		if (CALL4(SYS_wait4, pid, &status, __WALL, 0) != pid || (status & 0xff) != 0x7f)
			break;
		made_call(SYS_ptrace, (uint64_t[6]){ PTRACE_GETREGS, (uint64_t)pid, 0, (uint64_t)registers });
		for (unsigned k = below(4); k > 0; k--)
			registers[below(27)] = word();
		if (chance(50))
			registers[17] = selectors[below(6)];
		if (chance(50))
			registers[20] = selectors[below(6)];
		made_call(SYS_ptrace, (uint64_t[6]){ PTRACE_SETREGS, (uint64_t)pid, 0, (uint64_t)registers });
		made_call(SYS_ptrace, (uint64_t[6]){ PTRACE_POKEUSER, (uint64_t)pid, 8 * below(120), word() });
		if ((uint64_t)below(2))
			made_call(SYS_ptrace, (uint64_t[6]){ PTRACE_SINGLESTEP, (uint64_t)pid, 0, 0 });
		else
			made_call(SYS_ptrace, (uint64_t[6]){ PTRACE_CONT, (uint64_t)pid, 0, (uint64_t)(below(2) ? SIGTRAP : 0) });
	}
	CALL4(SYS_ptrace, PTRACE_DETACH, pid, 0, 0);
}

/* Programs that the kernel starts. */
static void deed_helper(void)
{
	static const char *const values[] = { "|/app helper", "|/fuzz/reporter", "core", "|/fuzz/script", "|/fuzz/library.so" };
	static const char *const files[] = { "/proc/sys/kernel/core_pattern", "/sys/kernel/uevent_helper", "/proc/sys/kernel/modprobe",
					     "/proc/sys/kernel/hotplug" };
	char *file = (char *)slot(), *value = (char *)slot();
	long fd;

	*text(file, files[chance(70) ? 0 : below(4)]) = '\0';
	*text(value, values[below(5)]) = '\0';
	fd = made_call(SYS_open, (uint64_t[6]){ (uint64_t)file, O_WRONLY });
	if (fd < 0)
		return;
	made_call(SYS_write, (uint64_t[6]){ (uint64_t)fd, (uint64_t)value, 20 });
	CALL1(SYS_close, fd);
}

__attribute__((noreturn)) void loop(void)
{
	static uint32_t starts;

	if (starts++ > FAULTS) /* it cannot go on */
		end(0);
	for (uint32_t round = 0; made < pool.calls; round++) {
		if (round % 64 == 0)
			arm(round % 512 == 0);
		if (round % 16 == 0)
			look_after_children(false);
		check_ring();
		switch (below(100)) {
		case 0 ... 5:
			deed_open();
			break;
		case 6 ... 13:
			deed_strike();
			break;
		case 14 ... 16:
			deed_plant();
			break;
		case 17 ... 19:
			deed_socket();
			break;
		case 20 ... 22:
			deed_ring();
			break;
		case 23:
			deed_sigreturn();
			break;
		case 24 ... 25:
			made++;
			deed_instruction();
			break;
		case 26 ... 27:
			deed_fork();
			break;
		case 28:
			if (chance(50))
				deed_trace();
			break;
		case 29:
			if (chance(10))
				deed_thread();
			if (chance(10))
				deed_helper();
			break;
		default:
			random_call();
		}
	}
	if (!in_child)
		look_after_children(true);
	end(0);
}

void begin(void)
{
	char name[16] = "seed ";

	share = (struct share *)CALL6(SYS_mmap, 0x7000000000, sizeof *share, PROT_READ | PROT_WRITE, MAP_SHARED, SHARE_FD, 0);
	if ((uint64_t)share != 0x7000000000)
		end(REPORTED_RING + 3); /* executed by an attacker, not by the keeper */
	memcpy(&pool, &share->pool, sizeof pool);
	CALL1(SYS_close, SHARE_FD);
	state = (pool.seed + 1) * 0x9e3779b97f4a7c15ull;
	*digits(name + 5, pool.seed % 1000000000, 10) = '\0';
	CALL2(SYS_prctl, PR_SET_NAME, name);
	loop();
}
