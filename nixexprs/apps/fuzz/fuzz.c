/* fuzz: what can ring 3 do to a ring-0 program?
 *
 * Shows: that programs which this one starts in ring 3, as root, neither get into ring 0, nor change memory or code of a
 *        ring-0 process, nor bring the kernel to complain. They make random system calls, with arguments that concern
 *        this program: its processes, addresses, descriptors and files (attacker.c).
 * Run:   ukl run fuzz -- [--self-test WHAT] [SECONDS [SEED]]
 * See:   a line a minute; at the end what was found, and how many calls were made. Status 1 if anything was found.
 *        The seed of a finding runs first if it is given. The order of the calls of several processes is by chance.
 *
 * As an ordinary process, root's usual rights are enough to change it: there the fuzzer shows that it finds that.
 *
 * Not tried is what any root may do: to kill, stop or starve this program, to end the machine, to unmount its files.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <cpuid.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern const char attacker_start[], attacker_end[], reporter_start[], reporter_end[];

enum {
	ATTACKERS = 4,
	VICTIMS = 2,
	CALLS = 3000,       /* of a seed */
	PATIENCE = 3,       /* seconds without a call until an attacker is killed */
	AGE = 6,            /* seconds that a stray process may live */
	DIES_WITHIN = 60,   /* seconds until a killed process must be gone */
	GOES_ON_WITHIN = 60, /* seconds in which each worker must have done something when nobody attacks any more */
	PF_KTHREAD = 0x00200000,
};

/* What the self-tests break: each check must see it. */
enum { SELF_NONE, SELF_CANARY, SELF_CODE, SELF_RING, SELF_STATUS, SELF_LOG, SELF_PLANT, SELF_STALL, SELF_DEATH };
static const char *const self_tests[] = { "", "canary", "code", "ring", "status", "log", "plant", "stall", "death" };
static int self_test;

static int ring(void)
{
	unsigned long cs;

	__asm__("mov %%cs, %0" : "=r"(cs));
	return (int)(cs & 3);
}

/* By QEMU's TCG? */
static bool emulated(void)
{
	unsigned eax, ebx, ecx, edx;

	__cpuid(0x40000000, eax, ebx, ecx, edx);
	return ebx == 0x54474354 && ecx == 0x43544743 && edx == 0x47435447; /* TCGTCGTCGTCG */
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sleep_ms(int ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000l };

	nanosleep(&t, NULL);
}

static double begun;
static char findings[20][200];
static int finding_count;

static __attribute__((format(printf, 1, 2))) void found(const char *format, ...)
{
	char text[sizeof findings[0]];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	for (int i = 0; i < finding_count; i++)
		if (strcmp(findings[i], text) == 0)
			return;
	if (finding_count < 20)
		strcpy(findings[finding_count++], text);
	printf("found after %.0f s: %s\n", now() - begun, text);
}

/* What victims tell the keeper. */
enum { CHECKER, PIPES, LIBRARY, FORKS, EVENTS, WORKERS };
static const char *const workers[] = { "the checker", "pipes", "libraries", "forks", "events" };

static struct board {
	atomic_ulong beats[VICTIMS][WORKERS];
	atomic_int tids[VICTIMS][WORKERS];
	atomic_bool changed, planted;
	char what[100];
} *board;

static struct pool pool;

/* Memory that must stay as it is, and a copy. */
static struct {
	const char *name;
	const void *at;
	void *copy;
	size_t size;
} watched[16];
static unsigned watched_count;

static void watch(const char *name, const void *at, size_t size)
{
	void *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (copy == MAP_FAILED)
		err(EXIT_FAILURE, "mmap");
	memcpy(copy, at, size);
	watched[watched_count].name = name;
	watched[watched_count].at = at;
	watched[watched_count].copy = copy;
	watched[watched_count++].size = size;
	pool.addresses[pool.address_count++] = (uint64_t)at;
	pool.target_count++;
}

static void target(const void *at)
{
	pool.addresses[pool.address_count++] = (uint64_t)at;
}

/* What has changed, or NULL. */
static const char *changed(void)
{
	for (unsigned i = 0; i < watched_count; i++)
		if (memcmp(watched[i].at, watched[i].copy, watched[i].size) != 0)
			return watched[i].name;
	return NULL;
}

static void *fill(void *page)
{
	uint64_t *at = page;

	for (size_t i = 0; i < PAGE / sizeof *at; i++)
		at[i] = (uint64_t)(at + i) * 0x9e3779b97f4a7c15ull;
	return page;
}

static char canary[2 * PAGE] __attribute__((aligned(PAGE)));

/* A page of code: it returns. */
static void *fill_code(void *page)
{
	fill(page);
	*(unsigned char *)page = 0xc3;
	return page;
}

static void *anonymous(int protection)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		err(EXIT_FAILURE, "mmap");
	fill_code(page);
	if (mprotect(page, PAGE, protection) < 0)
		err(EXIT_FAILURE, "mprotect");
	return page;
}

static void write_file(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	if (fd >= 0 && write(fd, data, size) != (ssize_t)size)
		warn("%s", path); /* an attacker may have made it something else */
	if (fd >= 0)
		close(fd);
}

static int code_fd = -1, memfd_code = -1;

/* Executable pages of the program, in files of its own. */
static void map_code(int fd, const char *shared, const char *private)
{
	void *a = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	void *b = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

	if (a == MAP_FAILED || b == MAP_FAILED)
		err(EXIT_FAILURE, "mmap of code");
	watch(shared, a, PAGE);
	watch(private, b, PAGE);
}

static uint64_t msr(uint32_t number)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
	return (uint64_t)high << 32 | low;
}

/* Addresses of the kernel, which only ring 0 knows; one table of it must not change. */
static void kernel_addresses(void)
{
	static const uint64_t guesses[] = { 0xffffffff81000000, 0xffffffff81800000, 0xffff888000000000, 0xffff888001000000,
					    0xfffffe0000000000, 0xffffc90000000000, 0xffffffffff600000, 0x00007ffffffff000,
					    0x8000000000000000, 0xfffffffffffff000 };
	struct __attribute__((packed)) {
		uint16_t limit;
		const void *base;
	} table;

	if (ring() == 0) {
		__asm__ volatile("sidt %0" : "=m"(table));
		watch("the interrupt table", table.base, table.limit + 1u);
		__asm__ volatile("sgdt %0" : "=m"(table));
		target(table.base);
		target((const void *)msr(0xc0000082)); /* LSTAR: the entry of system calls */
		target((const void *)msr(0xc0000101)); /* GS: data of the CPU */
		target((const void *)msr(0xc0000102));
	}
	for (unsigned i = 0; i < sizeof guesses / sizeof guesses[0]; i++)
		target((const void *)guesses[i]);
}

static void give(int fd)
{
	if (fd >= 0 && pool.fd_count < FDS)
		pool.fds[pool.fd_count++] = fd;
}

static void send_descriptors(int socket, int a, int b)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(2 * sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(2 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec byte = { "", 1 };
	struct msghdr message = {
		.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
	};

	memcpy(CMSG_DATA(&control.header), &a, sizeof a);
	memcpy(CMSG_DATA(&control.header) + sizeof a, &b, sizeof b);
	sendmsg(socket, &message, MSG_DONTWAIT);
}

static int io_uring(uint32_t flags)
{
	struct io_uring_params params = { .flags = flags, .sq_thread_idle = 2000 };
	int fd = (int)syscall(SYS_io_uring_setup, 8, &params);

	if (fd < 0)
		return fd;
	fcntl(fd, F_SETFD, 0);
	mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0x10000000);
	/* A buffer of the program, and one of its files. */
	syscall(SYS_io_uring_register, fd, IORING_REGISTER_BUFFERS, &(struct iovec){ canary, PAGE }, 1);
	syscall(SYS_io_uring_register, fd, IORING_REGISTER_FILES, (int[]){ code_fd }, 1);
	return fd;
}

/* Opens one of each kind. What the kernel does not have is left out. */
static void open_objects(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	struct perf_event_attr counter = { .type = PERF_TYPE_SOFTWARE, .size = sizeof counter, .config = PERF_COUNT_SW_CPU_CLOCK,
					   .sample_period = 1000000, .sample_type = PERF_SAMPLE_IP };
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT };
	const struct itimerspec often = { { 0, 50000000 }, { 0, 50000000 } };
	int pair[2], poller = epoll_create1(0);
	sigset_t signals;
	loff_t start = 0;

	if (pipe2(pair, O_NONBLOCK) == 0) { /* pages of the canary and of the code are in it */
		vmsplice(pair[1], &(struct iovec){ canary, PAGE }, 1, SPLICE_F_NONBLOCK);
		splice(code_fd, &start, pair[1], NULL, PAGE, SPLICE_F_NONBLOCK);
		give(pair[0]);
		give(pair[1]);
		epoll_ctl(poller, EPOLL_CTL_ADD, pair[0], &event);
	}
	give(io_uring(IORING_SETUP_SQPOLL));
	give(io_uring(0));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0) {
		send_descriptors(pair[0], code_fd, poller);
		give(pair[0]);
		give(pair[1]);
	}
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0) {
		give(pair[0]);
		give(pair[1]);
	}
	give(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (pair[0] >= 0 && bind(pair[0], (struct sockaddr *)&any, sizeof any) == 0)
		listen(pair[0], 5);
	give(pair[0]);
	pair[0] = eventfd(1, EFD_NONBLOCK);
	epoll_ctl(poller, EPOLL_CTL_ADD, pair[0], &event);
	give(pair[0]);
	give(poller);
	pair[0] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	timerfd_settime(pair[0], 0, &often, NULL);
	give(pair[0]);
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR2);
	give(signalfd(-1, &signals, SFD_NONBLOCK));
	pair[0] = inotify_init1(IN_NONBLOCK);
	inotify_add_watch(pair[0], "/fuzz", IN_ALL_EVENTS);
	give(pair[0]);
	give(memfd_create("data", 0));
	give((int)syscall(SYS_userfaultfd, O_NONBLOCK));
	pair[0] = (int)syscall(SYS_perf_event_open, &counter, 0, -1, -1, 0);
	if (pair[0] >= 0)
		mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, pair[0], 0);
	give(pair[0]);
	pair[0] = (int)syscall(SYS_pidfd_open, getpid(), 0);
	fcntl(pair[0], F_SETFD, 0);
	give(pair[0]);
	/* Ring 0 may write by this. What inherits it may not. */
	give(open("/proc/self/mem", O_RDWR));
	give(open("/proc/self/clear_refs", O_WRONLY));
	give(open("/proc/self/exe", O_RDONLY));
	give(open("/proc/self", O_RDONLY | O_DIRECTORY));
	give(open("/", O_RDONLY | O_DIRECTORY));
	give(open("/fuzz/code", O_RDONLY));
}

/* Whatever signal comes, from whomever: it is handled. A fault of the program itself is none of these.
 * SIGTRAP is: a tracer that lets a thread go on by single steps, and dies, leaves one. */
static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_code > 0 && (number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE))
		signal(number, SIG_DFL);
}

static void handle_signals(void)
{
	/* A trap that is blocked would kill. */
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_RESTART | SA_SIGINFO | SA_NODEFER };
	uint64_t raw[4];

	for (int i = 1; i <= SIGRTMAX; i++)
		if (i != SIGKILL && i != SIGSTOP && i != SIGCHLD)
			sigaction(i, &action, NULL);
	/* Those that libc keeps for itself end a process that has not cancelled a thread yet. */
	if (syscall(SYS_rt_sigaction, SIGUSR1, NULL, raw, 8) == 0)
		for (int i = 32; i < SIGRTMIN; i++)
			syscall(SYS_rt_sigaction, i, raw, NULL, 8);
}

/* --- A victim: a process with a few threads that go on whatever happens to their files. --- */

static int victim_index;

static void beat(int worker)
{
	board->tids[victim_index][worker] = (int)gettid();
	if (self_test == SELF_STALL && worker == PIPES && now() - begun > 3)
		for (;;)
			sleep_ms(1000);
	board->beats[victim_index][worker]++;
}

static void *check_always(void *unused)
{
	for (;;) {
		const char *what = changed();

		if (what != NULL && !board->changed) {
			snprintf(board->what, sizeof board->what, "%s", what);
			board->changed = true;
		}
		for (unsigned i = 0; i < watched_count; i++)
			if (*(const unsigned char *)watched[i].at == 0xc3 && what == NULL && strstr(watched[i].name, "code in") != NULL)
				((void (*)(void))watched[i].at)();
		beat(CHECKER);
		sleep_ms(5);
	}
	return unused;
}

static void *pipes(void *unused)
{
	int ends[2] = { -1, -1 };
	char byte = 'x';

	for (unsigned round = 0;; round++) {
		struct pollfd readable = { .fd = ends[0], .events = POLLIN };

		if (round % 64 == 0) {
			close(ends[0]);
			close(ends[1]);
			if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
				ends[0] = ends[1] = -1;
			readable.fd = ends[0];
		}
		if (write(ends[1], &byte, 1) == 1 && poll(&readable, 1, 100) == 1 && read(ends[0], &byte, 1) < 0 && errno != EAGAIN)
			sleep_ms(1);
		beat(PIPES);
		sleep_ms(2);
	}
	return unused;
}

/* Maps what is where a program looks for libraries, as dlopen() would. */
static void *libraries(void *unused)
{
	const uint64_t planted = ~NOT_PLANTED;

	for (unsigned round = 0;; round++) {
		int fd = open(pool.paths[pool.library + round % LIBRARIES], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		struct stat status;
		void *page = MAP_FAILED;

		if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
			page = mmap(NULL, PAGE, PROT_READ | (round & 4 ? PROT_EXEC : 0), round & 8 ? MAP_SHARED : MAP_PRIVATE, fd, 0);
			if (page != MAP_FAILED && !(round & 4) && mprotect(page, PAGE, PROT_READ | PROT_EXEC) < 0) {
				munmap(page, PAGE);
				page = MAP_FAILED;
			}
		}
		if (page != MAP_FAILED) {
			/* By pread: an attacker may have cut the file off meanwhile. */
			uint64_t words[64] = { 0 };
			ssize_t n = pread(fd, words, sizeof words, 0);

			for (ssize_t i = 0; i < n / 8; i++)
				if (words[i] == planted)
					board->planted = true;
			munmap(page, PAGE);
		}
		if (fd >= 0)
			close(fd);
		beat(LIBRARY);
		sleep_ms(3);
	}
	return unused;
}

static void *forks(void *unused)
{
	for (;;) {
		int status;
		pid_t child = fork();

		if (child == 0)
			_exit(changed() != NULL);
		if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) != 0)
			board->changed = true;
		beat(FORKS);
		sleep_ms(50);
	}
	return unused;
}

static void *events(void *unused)
{
	for (;;) {
		struct epoll_event event[4];
		void *page = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (page != MAP_FAILED) {
			memset(page, 1, 4 * PAGE);
			munmap(page, 4 * PAGE);
		}
		for (unsigned i = 0; i < pool.fd_count; i++)
			if (epoll_wait(pool.fds[i], event, 4, 0) > 0)
				break;
		beat(EVENTS);
		sleep_ms(5);
	}
	return unused;
}

static void become_victim(int index)
{
	static void *(*const work[])(void *) = { check_always, pipes, libraries, forks, events };
	pthread_t thread;

	victim_index = index;
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pool.fd_count = 0;
	open_objects(); /* its own, besides those that it shares with the keeper */
	for (int i = 1; i < WORKERS; i++) {
		errno = pthread_create(&thread, NULL, work[i], NULL);
		if (errno != 0)
			err(EXIT_FAILURE, "pthread_create");
	}
	if (index == 0 && (self_test == SELF_CANARY || self_test == SELF_CODE)) {
		sleep(2);
		if (self_test == SELF_CODE)
			mprotect((void *)watched[watched_count - 1].at, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
		*(volatile char *)(self_test == SELF_CODE ? (char *)watched[watched_count - 1].at + 80 : canary + 80) ^= 1;
	}
	if (index == 0 && self_test == SELF_DEATH) {
		sleep(2);
		_exit(0);
	}
	check_always(NULL);
}

/* --- The keeper: starts attackers and victims, and looks at what becomes of them. --- */

static pid_t victims[VICTIMS];
static DIR *proc;
static int null, log_fd;

static struct slot {
	pid_t pid;
	uint64_t seed, progress;
	double born, moved, killed;
	struct share *share;
} slots[ATTACKERS];

static uint64_t next_seed, seeds, killed_count, made[NUMBERS], succeeded[NUMBERS];

/* In a memfd that nobody can write or make shorter. Its descriptor. */
static int program_file(const char *start, const char *end)
{
	int fd = memfd_create("program", MFD_CLOEXEC), again = -1;
	char name[40];

	if (fd >= 0 && write(fd, start, (size_t)(end - start)) == end - start) {
		snprintf(name, sizeof name, "self/fd/%d", fd);
		again = openat(dirfd(proc), name, O_RDONLY | O_CLOEXEC);
	}
	close(fd);
	return again;
}

static void start_attacker(struct slot *slot)
{
	int fd = memfd_create("share", MFD_CLOEXEC | MFD_ALLOW_SEALING), program = program_file(attacker_start, attacker_end);
	struct share *share = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, sizeof *share) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		share = mmap(NULL, sizeof *share, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (share != MAP_FAILED && program >= 0) {
		pool.seed = next_seed;
		pool.calls = CALLS;
		pool.pretend = self_test == SELF_RING && seeds == 5;
		share->pool = pool;
		slot->pid = fork();
		if (slot->pid == 0) {
			char *const arguments[] = { "attacker", NULL };

			for (int i = 0; i < 3; i++)
				dup2(null, i);
			dup2(fd, SHARE_FD);
			if (chdir("/fuzz") < 0 || self_test == SELF_STATUS)
				_exit(self_test == SELF_STATUS ? REPORTED_RING : 1);
			syscall(SYS_execveat, program, "", arguments, arguments + 1, AT_EMPTY_PATH);
			_exit(100 + errno % 100);
		}
	}
	if (slot->pid > 0) {
		slot->seed = next_seed++;
		slot->share = share;
		slot->progress = 0;
		slot->born = slot->moved = now();
		slot->killed = 0;
		seeds++;
	} else if (share != MAP_FAILED) {
		slot->pid = 0;
		munmap(share, sizeof *share);
	}
	if (fd >= 0)
		close(fd);
	if (program >= 0)
		close(program);
}

static void forget_attacker(struct slot *slot)
{
	for (int i = 0; i < NUMBERS; i++) {
		/* It may have written anything there. */
		uint32_t n = slot->share->made[i], ok = slot->share->succeeded[i];

		if (n <= 10 * CALLS && ok <= n) {
			made[i] += n;
			succeeded[i] += ok;
		}
	}
	munmap(slot->share, sizeof *slot->share);
	slot->share = NULL;
	slot->pid = 0;
}

static void print_calls(const struct slot *slot)
{
	printf("  seed %llu, process %d, its last calls:\n", (unsigned long long)slot->seed, slot->pid);
	for (uint64_t i = 0, n = slot->share->progress; i < KEPT; i++) {
		const struct call *call = &slot->share->last[(n + i) % KEPT];

		printf("    %lld(%#llx, %#llx, %#llx, %#llx, %#llx, %#llx) = %lld\n", (long long)call->number,
		       (unsigned long long)call->arguments[0], (unsigned long long)call->arguments[1],
		       (unsigned long long)call->arguments[2], (unsigned long long)call->arguments[3],
		       (unsigned long long)call->arguments[4], (unsigned long long)call->arguments[5], (long long)call->result);
	}
}

/* The ends of children: attackers, what became of their children, victims. */
static void reap(void)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		struct slot *slot = NULL;

		if (WIFSTOPPED(status)) { /* a child that made this process its tracer */
			kill(pid, SIGKILL);
			continue;
		}
		for (int i = 0; i < ATTACKERS; i++)
			if (slots[i].pid == pid)
				slot = &slots[i];
		if (WIFEXITED(status) && WEXITSTATUS(status) == REPORTED_RING) {
			found("ring 0: process %d says so%s", pid, slot == NULL ? "" : ", an attacker");
			if (slot != NULL) {
				printf("  by %#llx\n", (unsigned long long)slot->share->evidence);
				print_calls(slot);
			}
		}
		if (slot != NULL)
			forget_attacker(slot);
		for (int i = 0; i < VICTIMS; i++)
			if (victims[i] == pid) {
				found("victim %d ended with %#x", i, status);
				victims[i] = 0;
			}
	}
}

static void watch_attackers(bool start)
{
	double t = now();

	for (int i = 0; i < ATTACKERS; i++) {
		struct slot *slot = &slots[i];

		if (slot->pid == 0) {
			if (start)
				start_attacker(slot);
			continue;
		}
		if (slot->share->progress != slot->progress) {
			slot->progress = slot->share->progress;
			slot->moved = t;
		}
		if (slot->killed == 0 && (!start || t - slot->moved > PATIENCE || t - slot->born > 10 * PATIENCE)) {
			kill(slot->pid, SIGKILL);
			slot->killed = t;
			killed_count += start;
		} else if (slot->killed != 0 && t - slot->killed > DIES_WITHIN) {
			found("seed %llu: its process %d does not die", (unsigned long long)slot->seed, slot->pid);
			print_calls(slot);
			slot->killed = t;
		}
	}
}

static bool ours(pid_t pid)
{
	bool is = pid == getpid();

	for (int i = 0; i < VICTIMS; i++)
		is = is || pid == victims[i] || (victims[i] != 0 && getpgid(pid) == victims[i]);
	for (int i = 0; i < ATTACKERS; i++)
		is = is || pid == slots[i].pid;
	return is || pid == 1;
}

/* Kills what attackers have left behind, if it is older than AGE. How many there are. */
static int sweep(int age)
{
	int strays = 0;
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	rewinddir(proc);
	for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
		char name[40], text[600], *at;
		unsigned flags;
		unsigned long long start;
		pid_t pid = atoi(entry->d_name);
		ssize_t n;
		int fd;

		if (pid <= 0 || ours(pid))
			continue;
		snprintf(name, sizeof name, "%d/stat", pid);
		fd = openat(dirfd(proc), name, O_RDONLY | O_CLOEXEC);
		n = read(fd, text, sizeof text - 1);
		if (fd >= 0)
			close(fd);
		if (n <= 0)
			continue;
		text[n] = '\0';
		at = strrchr(text, ')'); /* the process chose its name */
		if (at == NULL || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &flags,
					 &start) != 2)
			continue;
		if (flags & PF_KTHREAD || at[2] == 'Z')
			continue;
		strays++;
		if (t.tv_sec - (long long)(start / 100) > age)
			kill(pid, SIGKILL);
	}
	return strays;
}

static void empty(const char *path)
{
	DIR *directory = opendir(path);

	if (directory == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
		if (unlinkat(dirfd(directory), entry->d_name, 0) < 0)
			unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR);
	closedir(directory);
}

/* Files that attackers find, again and again: they remove and fill them. */
static void furnish(void)
{
	static const char *const places[] = { "/fuzz", "/tmp", "/etc", "/lib", "/run", "/var/tmp" };
	static const char scripts[][40] = { "#!/app script\n", "#!/fuzz/reporter x\n" };
	char value[] = "-1000";

	for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++)
		for (int n = 0; n < 50 && umount2(places[i], MNT_DETACH) == 0; n++)
			;
	empty("/fuzz");
	empty("/tmp");
	empty("/run");
	empty("/var/tmp");
	for (unsigned i = 0; i < LIBRARIES; i++)
		unlink(pool.paths[pool.library + i]);
	mkdir("/fuzz", 0755);
	write_file("/fuzz/reporter", reporter_start, (size_t)(reporter_end - reporter_start));
	write_file("/fuzz/appscript", scripts[0], strlen(scripts[0]));
	write_file("/fuzz/script", scripts[1], strlen(scripts[1]));
	symlink("/app", "/fuzz/link");
	mkdir("/fuzz/dir", 0755);
	/* Root may have the kernel choose whom it kills when there is no memory. */
	for (int i = -1; i < VICTIMS; i++) {
		char name[40];
		int fd;

		snprintf(name, sizeof name, "%d/oom_score_adj", i < 0 ? getpid() : victims[i]);
		fd = openat(dirfd(proc), name, O_WRONLY | O_CLOEXEC);
		if (fd >= 0) {
			if (write(fd, value, sizeof value - 1) < 0)
				warn("oom_score_adj");
			close(fd);
		}
		if (i >= 0 && victims[i] != 0)
			kill(-victims[i], SIGCONT); /* a tracer that died may have left it stopped */
	}
}

/* Lines of the kernel that must not come, and those of them that may, with the reason. */
static const char *const alarms[] = {
	"BUG", "WARNING", "KASAN", "KCSAN", "UBSAN", "possible ", "deadlock", "suspicious", "Oops", "general protection", "INFO:",
	"nable to handle", "ouble fault", "kernel stack", "inconsistent", "sleeping function", "scheduling while", "corrupt", "refcount",
	"stall", "lockup", "leaked", "bad page", "Bad page", "imbalance", "panic",
};
static const struct {
	const char *text, *reason;
} expected[] = {
	{ "traps: ", "a ring-3 process had a general protection fault" },
	{ "The mand mount option", "mount() with MS_MANDLOCK says so once" },
};

/* A record of /dev/kmsg. */
static void look_at(const char *record)
{
	const char *text = strchr(record, ';');
	char line[160];
	size_t n;

	if (text == NULL)
		return;
	n = strcspn(++text, "\n");
	snprintf(line, sizeof line, "%.*s", (int)(n < sizeof line ? n : sizeof line - 1), text);
	if (strtoul(record, NULL, 10) >= 8) { /* not from the kernel */
		if (strstr(line, RING0_LINE) != NULL)
			found("%s, in the kernel's log", RING0_LINE);
		return;
	}
	for (unsigned i = 0; i < sizeof expected / sizeof expected[0]; i++)
		if (strstr(line, expected[i].text) != NULL)
			return;
	for (unsigned i = 0; i < sizeof alarms / sizeof alarms[0]; i++)
		if (strstr(line, alarms[i]) != NULL) {
			found("the kernel says: %s", line);
			return;
		}
}

static unsigned lost;

static void read_log(void)
{
	char record[8192];
	ssize_t n;

	while ((n = read(log_fd, record, sizeof record - 1)) > 0 || (n < 0 && errno == EPIPE)) {
		if (n < 0) {
			lost++;
			continue;
		}
		record[n] = '\0';
		look_at(record);
	}
	if (self_test == SELF_LOG && now() - begun > 2)
		look_at("4,1,1,-;WARNING: this is a test\n");
}

/* Whether each worker of each victim does something within a time. */
static void go_on(int seconds)
{
	unsigned long before[VICTIMS][WORKERS];
	double end = now() + seconds;
	bool all;

	for (int i = 0; i < VICTIMS; i++)
		for (int j = 0; j < WORKERS; j++)
			before[i][j] = board->beats[i][j];
	do {
		sleep_ms(50);
		reap();
		all = true;
		for (int i = 0; i < VICTIMS; i++)
			for (int j = 0; j < WORKERS; j++)
				all = all && (victims[i] == 0 || board->beats[i][j] > before[i][j] + 2);
	} while (!all && now() < end);
	for (int i = 0; i < VICTIMS && !all; i++)
		for (int j = 0; j < WORKERS; j++)
			if (victims[i] != 0 && board->beats[i][j] <= before[i][j] + 2)
				found("victim %d makes no progress: %s", i, workers[j]);
}

static uint64_t sum(const uint64_t *counts, int *distinct)
{
	uint64_t all = 0;

	*distinct = 0;
	for (int i = 0; i < NUMBERS; i++) {
		all += counts[i];
		*distinct += counts[i] > 0;
	}
	return all;
}

static void summary(const char *head)
{
	int kinds, good;
	uint64_t all = sum(made, &kinds), ok = sum(succeeded, &good);

	printf("%s%llu seeds, %llu killed, %llu calls of %d kinds, %llu succeeded, of %d kinds\n", head, (unsigned long long)seeds,
	       (unsigned long long)killed_count, (unsigned long long)all, kinds, (unsigned long long)ok, good);
}

static void list_paths(void)
{
	static const char *const paths[] = {
		/* What is executed most; see execute() in attacker.c. */
		"/app", "/fuzz/reporter", "/fuzz/script", "/fuzz/appscript", "/fuzz/link", "/proc/self/exe", "/fuzz/new", "/app",
		/* Where ring 0 looks for code. */
		"/lib/libnss_x.so.2", "/fuzz/library.so", "/tmp/plugin.so", "/fuzz/dir/module.so",
		"/fuzz", "/fuzz/dir", "/fuzz/code", "/fuzz/data", "/fuzz/a", "/fuzz/b", "/fuzz/dir/c", "/tmp/x", "/tmp", "/etc/nsswitch.conf",
		"/etc/ld.so.preload", "/etc/passwd", "/etc/hosts", "/lib", "/", ".", "..", "", "x", "/dev/null", "/dev/zero", "/dev/full",
		"/dev/random", "/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/dev/tty", "/dev/console", "/dev/ttyS0", "/dev/hvc0",
		"/dev/vport0p1", "/dev/vport0p4", "/dev/cpu/0/msr", "/dev/cpu/0/cpuid", "/dev/userfaultfd", "/dev/shm", "/dev/shm/x",
		"/dev/fuse", "/dev/net/tun", "/dev/loop0", "/dev/vda", "/dev/hpet", "/dev/nvram", "/dev/cpu_dma_latency", "/dev/udmabuf",
		"/proc", "/proc/1/mem", "/proc/1/exe", "/proc/1/maps", "/proc/1/cwd", "/proc/kcore", "/proc/kallsyms", "/proc/iomem",
		"/proc/ioports", "/proc/interrupts", "/proc/self/mem", "/proc/self/maps", "/proc/self/fd", "/proc/thread-self/mem",
		"/proc/self/attr/current", "/proc/self/map_files", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/core_uses_pid",
		"/proc/sys/kernel/domainname", "/proc/sys/vm/mmap_min_addr", "/proc/sys/kernel/randomize_va_space", "/proc/cmdline",
		"/proc/mounts", "/sys", "/sys/kernel/uevent_helper", "/sys/kernel/notes", "/sys/kernel/vmcoreinfo", "/sys/devices",
		"/sys/devices/system/cpu/cpu1/uevent", "/sys/devices/platform/uevent", "/sys/firmware/acpi/tables/DSDT",
		"/sys/bus/virtio/devices", "tmpfs", "ramfs", "proc",
	};

	_Static_assert(sizeof paths / sizeof paths[0] <= PATHS, "PATHS");
	for (unsigned i = 0; i < sizeof paths / sizeof paths[0]; i++)
		snprintf(pool.paths[i], PATH_SIZE, "%s", paths[i]);
	pool.path_count = sizeof paths / sizeof paths[0];
	pool.library = 8;
}

static void prepare(char *stack)
{
	char code[PAGE];

	mkdir("/fuzz", 0755);
	mkdir("/lib", 0755);
	list_paths();
	fill(canary);
	fill(canary + PAGE);
	watch("a canary in .bss", canary, sizeof canary);
	watch("a canary in the heap", fill(malloc(PAGE)), PAGE);
	watch("a canary in anonymous memory", anonymous(PROT_READ | PROT_WRITE), PAGE);
	watch("a canary in memory that is read-only", anonymous(PROT_READ), PAGE);
	watch("a canary on the stack", fill(stack), PAGE);
	watch("the program's code", (const void *)((uintptr_t)changed & -(uintptr_t)PAGE), PAGE);
	watch("code in anonymous memory", anonymous(PROT_READ | PROT_EXEC), PAGE);
	fill_code(code);
	write_file("/fuzz/code", code, sizeof code);
	code_fd = open("/fuzz/code", O_RDONLY); /* they inherit it */
	map_code(code_fd, "code in a file", "code in a file, private");
	memfd_code = memfd_create("code", MFD_CLOEXEC);
	if (write(memfd_code, code, sizeof code) != sizeof code)
		err(EXIT_FAILURE, "memfd");
	map_code(memfd_code, "code in a memfd", "code in a memfd, private");
	kernel_addresses();
	open_objects();
	give(code_fd);
	if (self_test == SELF_CODE) /* the last one that is watched */
		watch("code in anonymous memory, for the test", anonymous(PROT_READ | PROT_EXEC), PAGE);
	if (self_test == SELF_PLANT) {
		const uint64_t word = ~NOT_PLANTED;

		write_file(pool.paths[pool.library], &word, sizeof word);
	}
}

static void start_victims(void)
{
	pool.pids[pool.pid_count++] = getpid();
	pool.keeper_count = 1;
	pool.emulated = emulated();
	for (int i = 0; i < VICTIMS; i++) {
		victims[i] = fork();
		if (victims[i] < 0)
			err(EXIT_FAILURE, "fork");
		if (victims[i] == 0) {
			for (int fd = 0; fd < 2; fd++)
				dup2(null, fd); /* what it says goes to stderr, and nothing else does */
			become_victim(i);
		}
		pool.pids[pool.pid_count++] = victims[i];
		for (int j = 0; j < WORKERS; j++) {
			for (int n = 0; board->tids[i][j] == 0 && n < 2000; n++)
				sleep_ms(10);
			if (board->tids[i][j] != victims[i])
				pool.pids[pool.pid_count++] = board->tids[i][j];
		}
	}
}

static bool broken(void)
{
	const char *what = changed();

	if (what != NULL)
		found("the keeper: %s has changed", what);
	if (board->changed)
		found("a victim: %s has changed", board->what);
	if (board->planted)
		found("ring 3 has written a file that is code of %s", ring() == 0 ? "ring 0" : "the victim");
	return what != NULL || board->changed || (board->planted && ring() == 0) || (board->planted && self_test == SELF_PLANT);
}

static int usage(void)
{
	fprintf(stderr, "usage: fuzz [--self-test canary|code|ring|status|log|plant|stall|death] [SECONDS [SEED]]\n");
	return 2;
}

int main(int argc, char **argv)
{
	char stack[2 * PAGE];
	double seconds = 60, cleaned = 0, told;

	if (getppid() > 1) { /* an attacker has started the application */
		if (ring() == 0)
			write_file("/dev/kmsg", RING0_LINE, sizeof RING0_LINE - 1);
		return REPORTED_RING + ring();
	}
	if (argc > 2 && strcmp(argv[1], "--self-test") == 0) {
		for (unsigned i = 1; i < sizeof self_tests / sizeof self_tests[0]; i++)
			if (strcmp(argv[2], self_tests[i]) == 0)
				self_test = (int)i;
		if (self_test == SELF_NONE)
			return usage();
		argc -= 2;
		argv += 2;
	}
	if (argc > 1)
		seconds = strtod(argv[1], NULL);
	if (argc > 2)
		next_seed = strtoull(argv[2], NULL, 10);
	if (argc > 3 || !(seconds > 0))
		return usage();
	setvbuf(stdout, NULL, _IOLBF, 0);
	begun = told = now();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	proc = opendir("/proc");
	log_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (null < 0 || proc == NULL || log_fd < 0 || lseek(log_fd, 0, SEEK_END) < 0)
		err(EXIT_FAILURE, "/dev and /proc");
	board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		err(EXIT_FAILURE, "mmap");
	handle_signals();
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* what attackers leave behind comes here */
	prepare((char *)(((uintptr_t)stack + PAGE - 1) & -(uintptr_t)PAGE));
	start_victims();
	printf("ring %d, %u values of pids, %u of addresses, %u of descriptors, first seed %llu\n", ring(), pool.pid_count,
	       pool.address_count, pool.fd_count, (unsigned long long)next_seed);

	while (now() - begun < seconds && !broken()) {
		reap();
		if (now() - cleaned > 2) {
			if (self_test != SELF_PLANT)
				furnish();
			sweep(AGE);
			cleaned = now();
		}
		watch_attackers(true);
		read_log();
		if (now() - told > 60) {
			char head[32];

			told = now();
			snprintf(head, sizeof head, "%5.0f s: ", told - begun);
			summary(head);
		}
		sleep_ms(20);
	}
	if (broken())
		for (int i = 0; i < ATTACKERS; i++)
			if (slots[i].pid != 0)
				print_calls(&slots[i]);
	for (double end = now() + DIES_WITHIN; now() < end;) {
		bool some = false;

		watch_attackers(false);
		reap();
		for (int i = 0; i < ATTACKERS; i++)
			some = some || slots[i].pid != 0;
		if (sweep(-1) == 0 && !some)
			break;
		sleep_ms(50);
	}
	furnish();
	go_on(GOES_ON_WITHIN);
	broken();
	read_log();
	if (lost > 0)
		printf("%u times the kernel's log was faster\n", lost);
	for (int i = 0; i < VICTIMS; i++)
		if (victims[i] > 0)
			kill(victims[i], SIGKILL);
	summary(finding_count > 0 ? "FOUND SOMETHING: " : "found nothing: ");
	return finding_count > 0;
}
