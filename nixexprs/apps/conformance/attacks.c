/* attacks.c: only the image's own file runs in ring 0, and nobody in ring 3 can change that.
 *
 * As an ordinary process the same cases show that the attacks are real: there most of them are plain root's rights.
 */
#include "tap.h"
#include "programs.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LATER = 44, NOT_EXECUTED = 200, SHARED_PAGE = 0x20000000 };

/* A copy of the app calls an address of the kernel from ring 3, if it is not an ordinary program anyway. */
#define CHECK_NOT_RING_0(status)                                                                 \
	do {                                                                                     \
		int status_ = (status);                                                          \
		if (status_ != -SIGSEGV)                                                         \
			CHECK_EQ(status_, REPORTED_RING + 3);                                    \
	} while (0)

/* The path of the running program; static storage. */
static const char *own_path(void)
{
	static char path[200];
	ssize_t n = MUST(readlink("/proc/self/exe", path, sizeof path - 1));

	path[n] = '\0';
	return path;
}

/* Copies the running program to the open file. */
static void copy_self(int out)
{
	static char buffer[64 * 1024];
	int in = MUST(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	ssize_t n;

	while ((n = MUST(read(in, buffer, sizeof buffer))) > 0)
		CHECK_EQ(write(out, buffer, (size_t)n), n);
	close(in);
}

TEST(attacks, copy)
{
	const char *path = scratch_file("app");
	int fd = MUST(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755));

	copy_self(fd);
	MUST(close(fd));
	CHECK_NOT_RING_0(run_program(path));
}

TEST(attacks, memfd)
{
	int fd = MUST(memfd_create("app", 0));
	char path[32];

	copy_self(fd);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	CHECK_NOT_RING_0(run_program(path));
}

TEST(attacks, bind_mount)
{
	char helper[200], over[200];

	snprintf(helper, sizeof helper, "%s", write_program("helper", &reporter, sizeof reporter));
	snprintf(over, sizeof over, "%s", write_program("over", "", 0));
	/* In a private namespace, so that nothing outlives the case. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		tap_skip("no mounting here");
	if (mount(helper, own_path(), NULL, MS_BIND, NULL) == 0) {
		CHECK_NOT_RING_0(run_program(own_path())); /* another file at the app's path */
		MUST(umount2(own_path(), MNT_DETACH));
	}
	MUST(mount(helper, over, NULL, MS_BIND, NULL));
	CHECK_NOT_RING_0(run_program(over));
}

/* A file that claims everything a loader might look at. */
TEST(attacks, crafted_header)
{
	struct program crafted = reporter;
	static const unsigned char abis[] = { 0x55, 0xff, ELFOSABI_LINUX, ELFOSABI_STANDALONE };

	for (size_t i = 0; i < sizeof abis; i++) {
		crafted.header.e_ident[EI_OSABI] = abis[i];
		crafted.header.e_ident[EI_ABIVERSION] = abis[i];
		crafted.header.e_flags = 0xffffffff;
		crafted.segment.p_flags |= PF_MASKOS;
		CHECK_NOT_RING_0(run_program(write_program("init", &crafted, sizeof crafted)));
	}
}

/* A tracer cannot write itself, or a ring-3 child, into ring 0. */
TEST(attacks, registers_of_ring_3)
{
	struct user_regs_struct registers;
	pid_t child = spawn(exec_traced, (void *)write_program("helper", &reporter, sizeof reporter));
	int status;

	CHECK_EQ(MUST(waitpid(child, &status, 0)), child); /* stopped by the exec */
	CHECK(WIFSTOPPED(status));
	MUST(ptrace(PTRACE_GETREGS, child, 0, &registers));
	CHECK_EQ(registers.cs & 3, 3);
	registers.cs = 0x10;
	registers.ss = 0x18;
	FAILS(ptrace(PTRACE_SETREGS, child, 0, &registers), EIO);
	MUST(ptrace(PTRACE_CONT, child, 0, 0));
	CHECK_EQ(reap(child), REPORTED_RING + 3);
}

/* The attacker: what follows in section ring3 is a program of its own, which the cases write to a file and execute. It may use
 * nothing but its own functions and its stack: no library, no constant that the compiler puts elsewhere. Arguments: what to do,
 * a process, an address there, a path. Exit status: 0 if the attack succeeded, or an errno. */
#define RING3 __attribute__((section("ring3"), noinline, used, optimize("no-jump-tables", "no-tree-switch-conversion", \
						      "no-tree-slp-vectorize", "no-tree-loop-distribute-patterns")))
extern const char __start_ring3[], __stop_ring3[];

__asm__(".pushsection ring3, \"ax\", @progbits\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call attacker\n"
	"	ud2\n"
	".popsection\n");

static RING3 long call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "+a"(number)
			 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return number;
}

static RING3 long decimal(const char *s)
{
	long n = 0;

	while (*s != '\0')
		n = n * 10 + *s++ - '0';
	return n;
}

/* Attaches to the process and stops it. */
static RING3 long seize(long pid)
{
	int status;
	long n = call(SYS_ptrace, PTRACE_SEIZE, pid, 0, 0, 0, 0);

	if (n == 0)
		n = call(SYS_ptrace, PTRACE_INTERRUPT, pid, 0, 0, 0, 0);
	if (n == 0 && call(SYS_wait4, pid, (long)&status, __WALL, 0, 0, 0) != pid)
		n = -ECHILD;
	return n;
}

/* Fills memory with zeros, by itself. */
static RING3 void clear(void *memory, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		((volatile char *)memory)[i] = 0;
}

/* Sends the process a SIGSEGV that kill() has not sent. */
static RING3 long fake_fault(long pid)
{
	siginfo_t info;

	clear(&info, sizeof info);
	info.si_signo = SIGSEGV;
	info.si_code = SI_QUEUE;
	return call(SYS_rt_sigqueueinfo, pid, SIGSEGV, (long)&info, 0, 0, 0);
}

/* Sends it a signal that looks like that of a timer. */
static RING3 long fake_timer(long pid)
{
	siginfo_t info;

	clear(&info, sizeof info);
	info.si_signo = SIGUSR1;
	info.si_code = SI_TIMER;
	info.si_value.sival_int = LATER;
	return call(SYS_rt_tgsigqueueinfo, pid, pid, SIGUSR1, (long)&info, 0, 0);
}

/* Adds a pipe to the epoll that was inherited. */
static RING3 long add_to_epoll(int epoll)
{
	struct epoll_event event;
	int pipe[2];
	long n = call(SYS_pipe2, (long)pipe, 0, 0, 0, 0, 0);

	clear(&event, sizeof event);
	event.events = EPOLLOUT;
	event.data.u64 = LATER;
	return n < 0 ? n : call(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, pipe[1], (long)&event, 0, 0);
}

/* Has the kernel send one, when there is something to read in a pipe. */
static RING3 long signal_by_io(long pid, int sig)
{
	int pipe[2];
	long n = call(SYS_pipe2, (long)pipe, 0, 0, 0, 0, 0);

	if (n == 0)
		n = call(SYS_fcntl, pipe[0], F_SETOWN, pid, 0, 0, 0);
	if (n == 0)
		n = call(SYS_fcntl, pipe[0], F_SETSIG, sig, 0, 0, 0);
	if (n == 0)
		n = call(SYS_fcntl, pipe[0], F_SETFL, O_ASYNC, 0, 0, 0);
	if (n == 0)
		n = call(SYS_write, pipe[1], (long)&n, 1, 0, 0, 0);
	return n == 1 ? 0 : n;
}

/* Has a counter of the process send it a SIGTRAP that looks like a breakpoint's. */
static RING3 long fake_breakpoint(long pid)
{
	struct perf_event_attr attr;
	long n;

	clear(&attr, sizeof attr);
	attr.size = sizeof attr;
	attr.type = PERF_TYPE_SOFTWARE;
	attr.config = PERF_COUNT_SW_PAGE_FAULTS;
	attr.sample_period = 1;
	attr.sigtrap = attr.remove_on_exec = 1;
	attr.disabled = 1;
	n = call(SYS_perf_event_open, (long)&attr, pid, -1, -1, 0, 0);
	return n < 0 ? n : 0;
}

/* Puts a result that was none into the io_uring that was inherited, by one of its own. */
static RING3 long message(int ring)
{
	struct io_uring_params params;
	struct io_uring_sqe *entry;
	unsigned *tail, *array, *results;
	long n, own, queue;

	clear(&params, sizeof params);
	own = call(SYS_io_uring_setup, 4, (long)&params, 0, 0, 0, 0);
	if (own < 0)
		return own;
	queue = call(SYS_mmap, 0, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, own, IORING_OFF_SQ_RING);
	n = call(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, own, IORING_OFF_SQES);
	if (queue < 0 || n < 0)
		return -ENOMEM;
	entry = (struct io_uring_sqe *)n;
	tail = (unsigned *)(queue + params.sq_off.tail);
	array = (unsigned *)(queue + params.sq_off.array);
	results = (unsigned *)(queue + params.cq_off.cqes);
	entry->opcode = IORING_OP_MSG_RING;
	entry->fd = ring;
	entry->off = LATER;
	*array = 0;
	*(volatile unsigned *)tail = 1;
	n = call(SYS_io_uring_enter, own, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
	return n == 1 ? (int)results[2] : n; /* struct io_uring_cqe: user_data, res */
}

static RING3 long attack(char what, long pid, long address, const char *path)
{
	int value = LATER;
	struct iovec here = { &value, sizeof value }, there = { (void *)address, sizeof value };
	struct user_regs_struct registers;
	long n, flags = 0;

	if (what == 'v') { /* write by process_vm_writev */
		n = call(SYS_process_vm_writev, pid, (long)&here, 1, (long)&there, 1, 0);
		return n == sizeof value ? 0 : n;
	}
	if (what == 'm') { /* write to /proc/PID/mem, the path */
		n = call(SYS_open, (long)path, O_RDWR, 0, 0, 0, 0);
		if (n < 0)
			return n;
		n = call(SYS_pwrite64, n, (long)&value, sizeof value, address, 0, 0);
		return n == sizeof value ? 0 : n;
	}
	if (what == 'x') { /* execute the path */
		char ring[] = { '-', '-', 'r', 'i', 'n', 'g', '\0' };
		char *arguments[] = { ring, ring, NULL };

		return call(SYS_execve, (long)path, (long)arguments, (long)(arguments + 2), 0, 0, 0);
	}
	if (what == 'w') { /* write to the path */
		n = call(SYS_open, (long)path, O_RDONLY, 0, 0, 0, 0);
		if (n >= 0 && call(SYS_ioctl, n, FS_IOC_GETFLAGS, (long)&flags, 0, 0, 0) == 0) {
			flags &= ~FS_IMMUTABLE_FL;
			call(SYS_ioctl, n, FS_IOC_SETFLAGS, (long)&flags, 0, 0, 0);
		}
		n = call(SYS_open, (long)path, O_WRONLY, 0, 0, 0, 0);
		return n < 0 ? n : 0;
	}
	if (what == 'a') { /* append a byte to the path */
		n = call(SYS_open, (long)path, O_WRONLY | O_APPEND | O_CREAT, 0755, 0, 0, 0);
		if (n >= 0)
			n = call(SYS_write, n, (long)&value, 1, 0, 0, 0);
		return n < 0 ? n : 0;
	}
	if (what == 'c') /* cut the path off */
		return call(SYS_truncate, (long)path, 0, 0, 0, 0, 0);
	if (what == 'C') { /* cut it off by open() */
		n = call(SYS_open, (long)path, O_RDONLY | O_TRUNC, 0, 0, 0, 0);
		return n < 0 ? n : 0;
	}
	if (what == 'n') { /* send a message to the netlink socket with that address */
		struct sockaddr_nl to;

		clear(&to, sizeof to);
		to.nl_family = AF_NETLINK;
		to.nl_pid = (unsigned)decimal(path);
		n = call(SYS_socket, AF_NETLINK, SOCK_RAW, 0, 0, 0, 0);
		if (n >= 0)
			n = call(SYS_sendto, n, (long)&value, sizeof value, 0, (long)&to, sizeof to);
		return n == sizeof value ? 0 : n;
	}
	if (what == 'h') { /* hold a shared page of memory with a RET in it */
		n = call(SYS_mmap, SHARED_PAGE, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		if (n == SHARED_PAGE)
			*(volatile unsigned char *)n = 0xc3;
		for (;;)
			call(SYS_pause, 0, 0, 0, 0, 0, 0);
	}
	if (what == 'i') { /* read a port of the clock by the file descriptor that was inherited */
		n = call(SYS_pread64, decimal(path), (long)&value, 1, 0x71, 0, 0);
		return n == 1 ? 0 : n;
	}
	if (what == 'd') { /* write a byte to the file descriptor that was inherited */
		n = call(SYS_write, decimal(path), (long)&value, 1, 0, 0, 0);
		return n == 1 ? 0 : n;
	}
	if (what == 's') { /* receive a file descriptor from the socket that was inherited, and write a byte to it */
		struct {
			struct cmsghdr header;
			int fd;
		} control;
		struct iovec byte = { &value, 1 };
		struct msghdr message = { .msg_iov = &byte, .msg_iovlen = 1 };

		message.msg_control = &control;
		message.msg_controllen = sizeof control;
		n = call(SYS_recvmsg, decimal(path), (long)&message, 0, 0, 0, 0);
		if (n == 1 && message.msg_controllen == 0)
			return -ENOMSG;
		if (n == 1)
			n = call(SYS_write, control.fd, (long)&value, 1, 0, 0, 0);
		return n == 1 ? 0 : n;
	}
	if (what == 'o') { /* open the path for writing, and read 1 byte at 0x71: a port of the clock */
		n = call(SYS_open, (long)path, O_RDWR, 0, 0, 0, 0);
		if (n >= 0)
			n = call(SYS_pread64, n, (long)&value, 1, 0x71, 0, 0);
		return n < 0 ? n : 0;
	}
	if (what == 'g') { /* get the file descriptor of the process */
		n = call(SYS_pidfd_open, pid, 0, 0, 0, 0, 0);
		if (n >= 0)
			n = call(SYS_pidfd_getfd, n, decimal(path), 0, 0, 0, 0);
		return n < 0 ? n : 0;
	}
	if (what == 'q') { /* map the queue of the io_uring that was inherited */
		n = call(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, decimal(path), 0);
		return n < 0 && n > -4096 ? n : 0;
	}
	if (what == 'f')
		return fake_fault(pid);
	if (what == 'F')
		return signal_by_io(pid, SIGSEGV);
	if (what == 'P')
		return fake_breakpoint(pid);
	if (what == 'M')
		return message(decimal(path));
	if (what == 'T')
		return fake_timer(pid);
	if (what == 'E')
		return add_to_epoll(decimal(path));
	if (what == 'I') { /* add a watch to the inotify that was inherited */
		char top[] = { '/', '\0' };

		n = call(SYS_inotify_add_watch, decimal(path), (long)top, IN_ATTRIB, 0, 0, 0);
		return n < 0 ? n : 0;
	}
	if (what == 'D') { /* change the signals of the signalfd that was inherited */
		unsigned long none = 0;

		n = call(SYS_signalfd4, decimal(path), (long)&none, sizeof none, 0, 0, 0);
		return n < 0 ? n : 0;
	}
	if (what == 'K') { /* let a kernel thread be scheduled as it is */
		int zero = 0;

		return call(SYS_sched_setscheduler, 2, SCHED_OTHER, (long)&zero, 0, 0, 0);
	}
	if (what == 'O')
		return signal_by_io(pid, SIGUSR1);
	if (what == 'H') { /* open a file by its handle, which it may know without a name */
		struct {
			struct file_handle head;
			char bytes[MAX_HANDLE_SZ];
		} handle;
		int mount;

		clear(&handle, sizeof handle);
		handle.head.handle_bytes = MAX_HANDLE_SZ;
		n = call(SYS_name_to_handle_at, AT_FDCWD, (long)path, (long)&handle, (long)&mount, 0, 0);
		if (n < 0)
			return n;
		n = call(SYS_open, (long)path, O_RDONLY, 0, 0, 0, 0);
		if (n >= 0)
			n = call(SYS_open_by_handle_at, n, (long)&handle, O_RDWR, 0, 0, 0);
		return n < 0 ? n : 0;
	}
	if (what == 'W') { /* have each line that the kernel prints wait */
		char zero = '0';

		n = call(SYS_open, (long)path, O_WRONLY, 0, 0, 0, 0);
		if (n >= 0)
			n = call(SYS_write, n, (long)&zero, 1, 0, 0, 0);
		return n < 0 ? n : 0;
	}
	if (what == 'y') { /* type into the terminal that was inherited */
		char key = 'y';

		return call(SYS_ioctl, decimal(path), TIOCSTI, (long)&key, 0, 0, 0);
	}
	if (what == 'l' || what == 'L') { /* lower the limit of its files, or raise it */
		struct rlimit limit;

		n = call(SYS_prlimit64, pid, RLIMIT_NOFILE, 0, (long)&limit, 0, 0);
		limit.rlim_cur += what == 'l' ? -1 : 1;
		return n < 0 ? n : call(SYS_prlimit64, pid, RLIMIT_NOFILE, (long)&limit, 0, 0, 0);
	}
	if (what == 'e') /* submit nothing to it */
		return call(SYS_io_uring_enter, decimal(path), 0, 0, 0, 0, 0);
	n = seize(pid);
	if (n < 0)
		return n;
	if (what == 'k') /* look */
		return call(SYS_ptrace, PTRACE_PEEKDATA, pid, address, (long)&value, 0, 0);
	if (what == 't') { /* watch its system calls, as strace does, until it comes to the one that it waits in */
		for (int i = 0; i < 50; i++) {
			n = call(SYS_ptrace, PTRACE_SYSCALL, pid, 0, 0, 0, 0);
			if (n == 0 && call(SYS_wait4, pid, (long)&value, __WALL, 0, 0, 0) != pid)
				n = -ECHILD;
			if (n == 0)
				n = call(SYS_ptrace, PTRACE_GETREGS, pid, 0, (long)&registers, 0, 0);
			if (n < 0 || registers.orig_rax == SYS_pause)
				return n;
		}
		return -ENOMSG;
	}
	if (what == 'p')
		return call(SYS_ptrace, PTRACE_POKEDATA, pid, address, LATER, 0, 0);
	if (what == 'b') { /* unblock its signals */
		unsigned long none = 0;

		return call(SYS_ptrace, PTRACE_SETSIGMASK, pid, sizeof none, (long)&none, 0, 0);
	}
	if (what == '1') /* step it */
		return call(SYS_ptrace, PTRACE_SINGLESTEP, pid, 0, 0, 0, 0);
	if (what == 'S') { /* stop it before a system call, and go on with a signal */
		for (int i = 0; i < 2; i++) {
			n = call(SYS_ptrace, PTRACE_SYSCALL, pid, 0, i == 0 ? 0 : SIGSEGV, 0, 0);
			if (n == 0 && i == 0 && call(SYS_wait4, pid, (long)&value, __WALL, 0, 0, 0) != pid)
				n = -ECHILD;
			if (n < 0)
				return n;
		}
		/* the signal stops it once more, and the tracer's end lets it go on */
		return call(SYS_wait4, pid, (long)&value, __WALL, 0, 0, 0) == pid ? 0 : -ECHILD;
	}
	if (what == 'u')
		return call(SYS_ptrace, PTRACE_POKEUSER, pid, offsetof(struct user, regs.rbx), LATER, 0, 0);
	n = call(SYS_ptrace, PTRACE_GETREGS, pid, 0, (long)&registers, 0, 0);
	return n < 0 ? n : call(SYS_ptrace, PTRACE_SETREGS, pid, 0, (long)&registers, 0, 0);
}

__attribute__((section("ring3"), used)) void attacker(char **stack)
{
	long n = attack(*stack[2], decimal(stack[3]), decimal(stack[4]), stack[5]);

	call(SYS_exit_group, -n, 0, 0, 0, 0, 0);
}

static volatile int target = 1;

static int wait_to_be_killed(void *unused)
{
	for (;;)
		pause();
	return unused != NULL;
}

/* Lets a ring-3 program do WHAT to PATH or to a process. What reap gives, NOT_EXECUTED if ETXTBSY was why. */
static int attack_on(pid_t victim, char what, const char *path)
{
	struct program program = program_of(__start_ring3, (size_t)(__stop_ring3 - __start_ring3));
	char kind[] = { what, '\0' }, pid[20], address[24], memory[40];
	pid_t attacker;

	snprintf(pid, sizeof pid, "%d", victim);
	snprintf(address, sizeof address, "%ju", (uintmax_t)(uintptr_t)&target);
	snprintf(memory, sizeof memory, "/proc/%d/mem", victim);
	attacker = MUST(fork());
	if (attacker == 0) {
		execl(write_program("attacker", &program, sizeof program), "attacker", kind, pid, address,
		      path != NULL ? path : memory, (char *)NULL);
		_exit(errno == ETXTBSY ? NOT_EXECUTED : NOT_EXECUTED + 1);
	}
	return reap(attacker);
}

/* The same to PATH or to a child of this process; *AFTER is the child's target then. */
static int attacked(char what, const char *path, int *after)
{
	pid_t victim = spawn(wait_to_be_killed, NULL);
	struct iovec here = { after, sizeof *after }, there = { (void *)&target, sizeof target };
	int status = attack_on(victim, what, path);

	CHECK_EQ(MUST(process_vm_readv(victim, &here, 1, &there, 1, 0)), sizeof *after);
	MUST(kill(victim, SIGKILL));
	CHECK_EQ(reap(victim), -SIGKILL);
	return status;
}

TEST(attacks, memory_from_ring_3)
{
	int after;

	CHECK_EQ(attacked('k', NULL, &after), 0); /* it can attach, and look, */
	CHECK_EQ(attacked('t', NULL, &after), 0); /* and watch: the call that the stop interrupted begins again */
	for (const char *what = "pvm"; *what != '\0'; what++) {
		CHECK_EQ(attacked(*what, NULL, &after), ring() == 0 ? EPERM : 0);
		CHECK_EQ(after, ring() == 0 ? 1 : LATER);
	}
}

TEST(attacks, registers_from_ring_3)
{
	int after;

	CHECK_EQ(attacked('u', NULL, &after), ring() == 0 ? EPERM : 0);
	CHECK_EQ(attacked('r', NULL, &after), ring() == 0 ? EPERM : 0);
	CHECK_EQ(attacked('1', NULL, &after), ring() == 0 ? EPERM : 0);
	CHECK_EQ(attacked('b', NULL, &after), ring() == 0 ? EPERM : 0);
}

TEST(attacks, exec_from_ring_3)
{
	int after, want = ring() == 0 ? EPERM : REPORTED_RING + 3;
	char script[200], link[200], line[220];

	CHECK_EQ(attacked('x', own_path(), &after), want);
	snprintf(link, sizeof link, "%s", scratch_file("link"));
	MUST(symlink(own_path(), link));
	CHECK_EQ(attacked('x', link, &after), want);
	snprintf(line, sizeof line, "#!%s --ring\n", own_path());
	snprintf(script, sizeof script, "%s", write_program("script", line, strlen(line)));
	CHECK_EQ(run_program(script), REPORTED_RING + ring()); /* in ring 0 it may be an interpreter */
	CHECK_EQ(attacked('x', script, &after), want);
}

/* There is one name of it only, on a file system of its own, and what it holds stays. */
TEST(attacks, file_of_the_application)
{
	int after, status = attacked('w', own_path(), &after);

	CHECK(status == ETXTBSY || status == EPERM);
	if (ring() == 0)
		FAILS(link(own_path(), "/another-name"), EXDEV);
}

/* Maps FILE executable, at once and later, for this process only and shared. 0, or the first errno. */
static int map_code(const char *file)
{
	int fd = MUST(open(file, O_RDONLY | O_CLOEXEC)), error = 0;

	for (int i = 0; i < 4 && error == 0; i++) {
		int type = i & 1 ? MAP_SHARED : MAP_PRIVATE;
		void *p = mmap(NULL, 4096, PROT_READ | (i & 2 ? 0 : PROT_EXEC), type, fd, 0);

		if (p == MAP_FAILED || mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0)
			error = errno;
		if (p != MAP_FAILED)
			munmap(p, 4096);
	}
	close(fd);
	return error;
}

/* Maps the file's data, as a loader does or as others do; 0 or errno. */
static int map_data(const char *file, int as_a_loader)
{
	int fd = MUST(open(file, O_RDONLY | O_CLOEXEC)), error = 0;

	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | (as_a_loader ? MAP_DENYWRITE : 0), fd, 0) == MAP_FAILED)
		error = errno;
	close(fd);
	return error;
}

static void send_descriptor(int socket, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof fd)];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec byte = { "", 1 };
	struct msghdr message = { .msg_iov = &byte,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof control };

	memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	CHECK_EQ(sendmsg(socket, &message, 0), 1);
}

/* What ring 3 has written is never code of ring 0: no library for getpwnam(), no plugin. */
TEST(attacks, code_from_ring_3)
{
	char file[200];
	int after;

	snprintf(file, sizeof file, "%s", write_program("library", "\xc3", 1));
	CHECK_EQ(attacked('a', file, &after), 0);
	CHECK_EQ(map_code(file), ring() == 0 ? EPERM : 0);
	CHECK_EQ(map_data(file, 1), ring() == 0 ? EPERM : 0); /* relocations could write code */
	CHECK_EQ(map_data(file, 0), 0);
	MUST(unlink(file));
	CHECK_EQ(attacked('a', file, &after), 0); /* it makes one */
	MUST(chmod(file, 0444));
	CHECK_EQ(map_code(file), ring() == 0 ? EPERM : 0);
}

/* The C library believes much of what it reads of a library before it maps it, and of its tables. */
TEST(attacks, library_from_ring_3)
{
	static const char *const tables[] = { "/etc/ld.so.cache", "/etc/ld.so.preload" };
	char file[200], plain[200];
	int after, fd;

	snprintf(file, sizeof file, "%s", write_program("library.so.2", "x", 1));
	close(MUST(open(file, O_RDONLY))); /* it has written that itself, and so it stays */
	CHECK_EQ(attacked('a', file, &after), ring() == 0 ? ETXTBSY : 0);
	MUST(unlink(file));
	CHECK_EQ(attacked('a', file, &after), 0);
	if (ring() == 0)
		FAILS(open(file, O_RDONLY), EACCES);
	else
		close(MUST(open(file, O_RDONLY)));
	close(MUST(open(file, O_RDWR)));
	snprintf(plain, sizeof plain, "%s", scratch_file("library.sound"));
	MUST(rename(file, plain));
	close(MUST(open(plain, O_RDONLY))); /* no library has such a name */
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		CHECK_EQ(attacked('a', tables[i], &after), 0);
		fd = open(tables[i], O_RDONLY);
		if (ring() == 0)
			CHECK(fd < 0 && errno == EACCES);
		else
			CHECK(fd >= 0);
		MUST(unlink(tables[i]));
	}
}

/* A name may lead to what no file system keeps: what a process says of itself in /proc, a disk, a pipe. OpenSSL's
 * configuration names libraries. */
TEST(attacks, library_that_is_no_file)
{
	static const char *const content[] = { "/proc/self/cmdline", "/dev/zero" };
	char library[200], pipe[200];
	int after;

	snprintf(library, sizeof library, "%s", scratch_file("library.so"));
	snprintf(pipe, sizeof pipe, "%s", scratch_file("pipe.so.1"));
	for (size_t i = 0; i < sizeof content / sizeof *content; i++) {
		MUST(symlink(content[i], library));
		if (ring() == 0)
			FAILS(open(library, O_RDONLY), EACCES);
		else
			close(MUST(open(library, O_RDONLY)));
		MUST(unlink(library));
	}
	MUST(mkfifo(pipe, 0600));
	if (ring() == 0)
		FAILS(open(pipe, O_RDONLY | O_NONBLOCK), EACCES);
	else
		close(MUST(open(pipe, O_RDONLY | O_NONBLOCK)));
	close(MUST(open("/proc/self/cmdline", O_RDONLY)));
	MUST(mkdir(library, 0700));
	close(MUST(open(library, O_RDONLY | O_DIRECTORY)));

	snprintf(library, sizeof library, "%s", scratch_file("openssl.cnf"));
	CHECK_EQ(attacked('a', library, &after), 0);
	if (ring() == 0)
		FAILS(open(library, O_RDONLY), EACCES);
	else
		close(MUST(open(library, O_RDONLY)));
}

/* Ring 3 gets no file that the application shares with nobody. */
TEST(attacks, private_files)
{
	int after, memory = MUST(memfd_create("private", MFD_CLOEXEC)), ends[2];
	char path[40], link[80];

	MUST(pipe2(ends, O_CLOEXEC));
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "/proc/%d/fd/%d", getpid(), i == 0 ? memory : ends[1]);
		CHECK_EQ(attacked('a', path, &after), ring() == 0 ? EPERM : 0);
		CHECK(MUST(readlink(path, link, sizeof link)) > 0);
		snprintf(path, sizeof path, "/proc/self/fd/%d", i == 0 ? memory : ends[1]);
		close(MUST(open(path, O_WRONLY))); /* its own */
	}
}

/* Nor does it choose the pointers that an epoll of the application gives back. */
TEST(attacks, epoll_of_ring_0)
{
	int after, epoll = MUST(epoll_create(1));
	struct epoll_event event = { 0 };
	char number[20];

	snprintf(number, sizeof number, "%d", epoll);
	CHECK_EQ(attacked('E', number, &after), ring() == 0 ? EPERM : 0);
	CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0); /* its pipe is gone */
}

/* Nor the indices that an inotify has, or the signals that come by a signalfd. */
TEST(attacks, watches_and_signals_of_ring_0)
{
	int after, watches = MUST(inotify_init()), signals;
	char number[20];
	sigset_t set;

	snprintf(number, sizeof number, "%d", watches);
	CHECK_EQ(attacked('I', number, &after), ring() == 0 ? EPERM : 0);
	MUST(inotify_rm_watch(watches, MUST(inotify_add_watch(watches, "/tmp", IN_CREATE))));
	sigemptyset(&set);
	signals = MUST(signalfd(-1, &set, 0));
	snprintf(number, sizeof number, "%d", signals);
	CHECK_EQ(attacked('D', number, &after), ring() == 0 ? EPERM : 0);
	MUST(signalfd(signals, &set, 0));
}

/* Nor the commands of a shell or a prompt that reads a terminal. */
TEST(attacks, typing_for_ring_0)
{
	int after, master, slave;
	char number[20], key = 'n';

	MUST(openpty(&master, &slave, NULL, NULL, NULL));
	snprintf(number, sizeof number, "%d", slave);
	CHECK_EQ(attacked('y', number, &after), ring() == 0 ? EPERM : 0);
	CHECK_EQ(write(master, "m\n", 2), 2);
	CHECK_EQ(read(slave, &key, 1), 1);
	CHECK_EQ(key, ring() == 0 ? 'm' : 'y');
	MUST(ioctl(slave, TIOCSTI, "r")); /* the twin: its own process may */
}

/* The machine could not end without its threads. */
TEST(attacks, scheduling_of_the_kernel)
{
	int after;

	CHECK_EQ(attacked('K', NULL, &after), ring() == 0 ? EPERM : 0);
}

/* Nor soon, if each line of its log took ten seconds. */
TEST(attacks, pace_of_the_log)
{
	int after;

	CHECK_EQ(attacked('W', "/proc/sys/kernel/printk_delay", &after), ring() == 0 ? EPERM : 0);
}

/* A file that has no name, but a number, may be open in a ring-0 process and nowhere else. */
TEST(attacks, files_by_handle)
{
	char file[200];
	int after;

	snprintf(file, sizeof file, "%s", write_program("numbered", "\xc3", 1));
	CHECK_EQ(attacked('H', file, &after), ring() == 0 ? EPERM : 0);
}

static volatile sig_atomic_t came, came_code, came_fd;

static void informed(int sig, siginfo_t *info, void *context)
{
	(void)context;
	came = sig;
	came_code = info->si_code;
	came_fd = info->si_fd;
}

/* What comes with a signal of a file, ring 3 would choose: where si_fd is, si_value has a pointer. */
TEST(attacks, signals_of_files)
{
	struct sigaction action = { .sa_sigaction = informed, .sa_flags = SA_SIGINFO | SA_RESTART };
	int pipes[2];

	MUST(sigaction(SIGUSR1, &action, NULL));
	MUST(sigaction(SIGIO, &action, NULL));
	CHECK_EQ(attack_on(getpid(), 'O', NULL), 0);
	CHECK_EQ(came, ring() == 0 ? SIGIO : SIGUSR1);
	CHECK_EQ(came_code, ring() == 0 ? SI_KERNEL : POLL_IN);
	/* the twin: of its own it is informed */
	MUST(pipe(pipes));
	MUST(fcntl(pipes[0], F_SETOWN, getpid()));
	MUST(fcntl(pipes[0], F_SETSIG, SIGUSR1));
	MUST(fcntl(pipes[0], F_SETFL, O_ASYNC));
	CHECK_EQ(write(pipes[1], "", 1), 1);
	CHECK_EQ(came, SIGUSR1);
	CHECK_EQ(came_fd, pipes[0]);
}

/* What opening NAME for writing gives, which leads to PATH. */
static int opened_by_link(const char *path)
{
	const char *name = scratch_file("store");
	int fd;

	unlink(name);
	MUST(symlink(path, name));
	fd = open(name, O_RDWR);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

/* A process writes to memory, code and devices by names that say so. Who puts a link in its way does not make it. */
TEST(attacks, names_that_lead_elsewhere)
{
	int refused = ring() == 0 ? EACCES : 0, fd = MUST(memfd_create("jit", 0)), pipes[2];
	char path[128];
	void *page;

	close(MUST(open("/proc/self/mem", O_RDWR)));
	CHECK_EQ(opened_by_link("/proc/self/mem"), refused);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	close(MUST(open(path, O_RDWR)));
	CHECK_EQ(opened_by_link(path), refused);
	CHECK_EQ(opened_by_link("/proc/sys/kernel/hostname"), refused);
	/* streams and terminals may have other names */
	MUST(pipe(pipes));
	snprintf(path, sizeof path, "/proc/self/fd/%d", pipes[1]);
	CHECK_EQ(opened_by_link(path), 0);
	CHECK_EQ(opened_by_link("/dev/null"), 0);
	/* and files, but for a library, say, as long as it is mapped */
	snprintf(path, sizeof path, "%s", scratch_file("code"));
	fd = MUST(open(path, O_RDWR | O_CREAT, 0600));
	MUST(ftruncate(fd, 4096));
	CHECK_EQ(opened_by_link(path), 0);
	page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	CHECK(page != MAP_FAILED);
	CHECK_EQ(opened_by_link(path), refused);
	MUST(munmap(page, 4096));
	CHECK_EQ(opened_by_link(path), 0);
}

/* Mounts an overlay of a directory in TOP at another one there. */
static int overlay(const char *top, const char *lower, const char *name)
{
	char options[1000], at[300];

	snprintf(at, sizeof at, "%s/%s", top, name);
	MUST(mkdir(at, 0755));
	snprintf(options, sizeof options, "lowerdir=%s/%s,upperdir=%s/%s-upper,workdir=%s/%s-work", top, lower, top, name, top,
		 name);
	snprintf(at, sizeof at, "%s/%s-upper", top, name);
	MUST(mkdir(at, 0755));
	snprintf(at, sizeof at, "%s/%s-work", top, name);
	MUST(mkdir(at, 0755));
	snprintf(at, sizeof at, "%s/%s", top, name);
	return mount("overlay", at, "overlay", 0, options);
}

static const char *below(const char *top, const char *name)
{
	static char path[2][300];
	static unsigned n;

	snprintf(path[++n % 2], sizeof *path, "%s/%s", top, name);
	return path[n % 2];
}

static void write_code(const char *path)
{
	int fd = MUST(open(path, O_WRONLY | O_CREAT, 0755));

	CHECK_EQ(write(fd, "\xc3", 1), 1);
	MUST(close(fd));
}

/* A file of an overlay becomes another one once it is written to, or its mode changes. */
TEST(attacks, copies_of_an_overlay)
{
	static const char *const names[] = { "library.so.1", "opened", "mapped" };
	char top[200], buffer[10];
	int after, fd;
	void *p;

	snprintf(top, sizeof top, "%s", scratch_file("overlays"));
	MUST(mkdir(top, 0755));
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", top, "tmpfs", 0, NULL) < 0)
		tap_skip("no mounting here");
	MUST(mkdir(below(top, "lower"), 0755));
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char lower[300];

		snprintf(lower, sizeof lower, "lower/%s", names[i]);
		write_code(below(top, lower));
	}
	CHECK_EQ(attacked('a', below(top, "lower/theirs"), &after), 0);
	if (overlay(top, "lower", "o") < 0)
		tap_skip("no overlays here");

	/* The copy of what ring 3 has written is what ring 3 has written, whoever has caused it. */
	MUST(chmod(below(top, "o/theirs"), 0700));
	CHECK_EQ(map_code(below(top, "o/theirs")), ring() == 0 ? EPERM : 0);

	/* A library that is open does not become what ring 3 has written. */
	fd = MUST(open(below(top, "o/library.so.1"), O_RDONLY));
	MUST(chmod(below(top, "o/library.so.1"), 0700));
	CHECK_EQ(attacked('a', below(top, "o/library.so.1"), &after), ring() == 0 ? ETXTBSY : 0);
	CHECK_EQ(read(fd, buffer, sizeof buffer), ring() == 0 ? 1 : 2);
	MUST(close(MUST(open(below(top, "o/library.so.1"), O_RDONLY))));

	/* What is mapped is looked at, not its copy: where it is mapped first, and where it becomes code. */
	fd = MUST(open(below(top, "o/opened"), O_RDONLY));
	MUST(chmod(below(top, "o/opened"), 0700));
	CHECK_EQ(attacked('a', below(top, "lower/opened"), &after), 0);
	p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	CHECK_EQ(p == MAP_FAILED ? errno : 0, ring() == 0 ? EPERM : 0);
	p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, MUST(open(below(top, "o/mapped"), O_RDONLY)), 0);
	CHECK(p != MAP_FAILED);
	MUST(chmod(below(top, "o/mapped"), 0700));
	CHECK_EQ(attacked('a', below(top, "lower/mapped"), &after), 0);
	CHECK_EQ(mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0 ? errno : 0, ring() == 0 ? EPERM : 0);

	/* To truncate a file of a layer to which nobody can write is to write to its copy. */
	MUST(mkdir(below(top, "fixed"), 0755));
	MUST(mount("tmpfs", below(top, "fixed"), "tmpfs", 0, NULL));
	write_code(below(top, "fixed/cut"));
	write_code(below(top, "fixed/whole"));
	MUST(mount(NULL, below(top, "fixed"), NULL, MS_REMOUNT | MS_RDONLY, NULL));
	MUST(overlay(top, "fixed", "f"));
	CHECK_EQ(attacked('c', below(top, "f/cut"), &after), 0);
	CHECK_EQ(map_code(below(top, "f/cut")), ring() == 0 ? EPERM : 0);
	MUST(truncate(below(top, "f/whole"), 1));
	CHECK_EQ(map_code(below(top, "f/whole")), 0);

	/* In an overlay of an overlay a file may change twice. */
	MUST(overlay(top, "o", "twice"));
	if (ring() == 0)
		FAILS(open(below(top, "twice/library.so.1"), O_RDONLY), EACCES);
	else
		close(MUST(open(below(top, "twice/library.so.1"), O_RDONLY)));
	write_code(below(top, "o/clean"));
	CHECK_EQ(map_code(below(top, "o/clean")), 0);
	CHECK_EQ(map_code(below(top, "twice/clean")), ring() == 0 ? EPERM : 0);
}

/* A program may have no room for more than its limit: an fd_set, say. */
TEST(attacks, limits_from_ring_3)
{
	struct rlimit limit = { 500, 1000 };
	int after;

	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	CHECK_EQ(attacked('l', NULL, &after), 0);
	CHECK_EQ(attacked('L', NULL, &after), ring() == 0 ? EPERM : 0);
}

/* Nor does a library hear from ring 3 where it takes all that comes for the kernel's. */
TEST(attacks, netlink_from_ring_3)
{
	struct sockaddr_nl name = { .nl_family = AF_NETLINK };
	socklen_t size = sizeof name;
	int after, fd = MUST(socket(AF_NETLINK, SOCK_RAW, 0));
	char number[20];

	MUST(bind(fd, (struct sockaddr *)&name, sizeof name));
	MUST(getsockname(fd, (struct sockaddr *)&name, &size));
	snprintf(number, sizeof number, "%u", name.nl_pid);
	CHECK_EQ(attacked('n', number, &after), ring() == 0 ? EPERM : 0);
}

/* What is code of ring 0 already, ring 3 cannot write: not by its name, and not by an open file. */
TEST(attacks, code_of_ring_0)
{
	int after, mapped, fd = MUST(memfd_create("code", MFD_CLOEXEC));
	char file[200], path[32];
	struct stat status;

	snprintf(file, sizeof file, "%s", write_program("library", "\xc3", 1));
	CHECK_EQ(map_code(file), 0); /* it has written that itself */
	mapped = MUST(open(file, O_RDONLY | O_CLOEXEC)); /* a volume's file is code as long as it is mapped */
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, mapped, 0) != MAP_FAILED);
	MUST(close(mapped));
	CHECK_EQ(attacked('a', file, &after), ring() == 0 ? ETXTBSY : 0);
	CHECK_EQ(attacked('C', file, &after), ring() == 0 ? ETXTBSY : 0);
	CHECK_EQ(attacked('c', file, &after), ring() == 0 ? ETXTBSY : 0);
	CHECK_EQ(MUST(stat(file, &status)), 0);
	CHECK_EQ(status.st_size, ring() == 0 ? 1 : 0);
	CHECK_EQ(write(fd, "\xc3", 1), 1);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0) != MAP_FAILED);
	snprintf(path, sizeof path, "/proc/%d/fd/%d", getpid(), fd);
	CHECK_EQ(attacked('a', path, &after), ring() == 0 ? EPERM : 0); /* see private_files */
}

/* An open file is given away: at execve(), and through a socket. It is no code then, or not given away. */
TEST(attacks, files_for_ring_3)
{
	char file[200], number[20], socket[20];
	int after, fd, pair[2];

	for (int code = 0; code < 2; code++) {
		snprintf(file, sizeof file, "%s", write_program(code ? "code" : "data", "\xc3", 1));
		if (code)
			CHECK_EQ(map_code(file), 0);
		fd = MUST(open(file, O_WRONLY));
		snprintf(number, sizeof number, "%d", fd);
		CHECK_EQ(attacked('d', number, &after), code && ring() == 0 ? NOT_EXECUTED : 0);
		if (!code)
			CHECK_EQ(map_code(file), ring() == 0 ? EPERM : 0);
		MUST(close(fd));
	}
	for (int code = 0; code < 2; code++) {
		snprintf(file, sizeof file, "%s", write_program(code ? "code2" : "data2", "\xc3", 1));
		if (code)
			CHECK_EQ(map_code(file), 0);
		fd = MUST(open(file, O_WRONLY | O_CLOEXEC));
		MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
		MUST(fcntl(pair[1], F_SETFD, FD_CLOEXEC));
		send_descriptor(pair[1], fd);
		MUST(close(fd));
		snprintf(socket, sizeof socket, "%d", pair[0]);
		CHECK_EQ(attacked('s', socket, &after), code && ring() == 0 ? ENOMSG : 0);
		if (!code)
			CHECK_EQ(map_code(file), ring() == 0 ? EPERM : 0);
		MUST(close(pair[0]));
		MUST(close(pair[1]));
	}
}

/* Shared memory has a name for others, in /proc/PID/map_files: what ring 3 has there is no code, and what is there of ring 0 it
 * does not get. */
TEST(attacks, shared_memory)
{
	struct program program = program_of(__start_ring3, (size_t)(__stop_ring3 - __start_ring3));
	const char *path = write_program("holder", &program, sizeof program);
	char file[80];
	struct stat st;
	pid_t holder = MUST(fork());
	int after;
	char *page;

	if (holder == 0) {
		execl(path, "holder", "h", "0", "0", "", (char *)NULL);
		_exit(NOT_EXECUTED);
	}
	snprintf(file, sizeof file, "/proc/%d/map_files/%x-%x", holder, SHARED_PAGE, SHARED_PAGE + 4096);
	while (stat(file, &st) < 0)
		usleep(10000);
	CHECK_EQ(map_code(file), ring() == 0 ? EPERM : 0);
	MUST(kill(holder, SIGKILL));
	CHECK_EQ(reap(holder), -SIGKILL);

	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(page != MAP_FAILED);
	snprintf(file, sizeof file, "/proc/%d/map_files/%lx-%lx", getpid(), (unsigned long)page, (unsigned long)page + 4096);
	CHECK_EQ(attacked('a', file, &after), ring() == 0 ? EPERM : 0);
}

/* Lets ring 3 write to the script, which must not start the application in ring 0 then. */
static void check_script_of_ring_3(const char *script)
{
	int after;

	CHECK_EQ(attacked('a', script, &after), 0);
	if (ring() == 0)
		FAILS(execl(script, script, (char *)NULL), EPERM);
	else
		CHECK_EQ(run_program(script), REPORTED_RING + 3);
}

/* A script names arguments of its interpreter: if that is the application, ring 3 must not have written it. */
TEST(attacks, script_from_ring_3)
{
	char line[220], script[200];

	snprintf(line, sizeof line, "#!%s --ring\n", own_path());
	snprintf(script, sizeof script, "%s", write_program("script", line, strlen(line)));
	check_script_of_ring_3(script);

	/* it may name one of ours that names the application */
	snprintf(line, sizeof line, "#!%s --ring\n", own_path());
	snprintf(script, sizeof script, "%s", write_program("ours", line, strlen(line)));
	snprintf(line, sizeof line, "#!%s\n", script);
	snprintf(script, sizeof script, "%s", write_program("theirs", line, strlen(line)));
	check_script_of_ring_3(script);
}

/* The ports of the machine are ring 0. */
TEST(attacks, ports_from_ring_3)
{
	char number[20];
	int after, fd;

	if (access("/dev/port", F_OK) < 0)
		tap_skip("no /dev/port here");
	CHECK_EQ(attacked('o', "/dev/port", &after), ring() == 0 ? EPERM : 0);
	fd = MUST(open("/dev/port", O_RDWR));
	snprintf(number, sizeof number, "%d", fd);
	CHECK_EQ(attacked('i', number, &after), ring() == 0 ? EPERM : 0);
}

/* The thread behind an io_uring works on the memory of who made it, for whoever writes to its queue. */
TEST(attacks, io_uring_of_ring_0)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SQPOLL, .sq_thread_idle = 1 };
	int after, fd = MUST((int)syscall(SYS_io_uring_setup, 4, &params));
	char number[20];

	MUST(fcntl(fd, F_SETFD, 0));
	snprintf(number, sizeof number, "%d", fd);
	for (const char *what = "gqe"; *what != '\0'; what++)
		CHECK_EQ(attacked(*what, number, &after), ring() == 0 ? EPERM : 0);
}

/* Nor does ring 3 put a result into one that was left open for it. */
TEST(attacks, message_to_an_io_uring)
{
	struct io_uring_params params = { 0 };
	int after, fd = MUST((int)syscall(SYS_io_uring_setup, 4, &params));
	char number[20];

	MUST(fcntl(fd, F_SETFD, 0));
	snprintf(number, sizeof number, "%d", fd);
	CHECK_EQ(attacked('M', number, &after), ring() == 0 ? EPERM : 0);
}

static volatile sig_atomic_t seen_signal, seen_code;
static volatile pid_t seen_sender;

static void see(int signal, siginfo_t *info, void *unused)
{
	(void)unused;
	seen_code = info->si_code;
	seen_sender = info->si_pid;
	seen_signal = signal;
}

static int seen(void)
{
	for (int i = 0; i < 1000 && seen_signal == 0; i++)
		usleep(1000);
	return seen_signal;
}

/* A signal that somebody has sent does not look like a fault: Go's runtime would panic at any instruction. */
TEST(attacks, faults_from_ring_3)
{
	struct sigaction action = { .sa_sigaction = see, .sa_flags = SA_SIGINFO | SA_RESTART };
	union sigval data = { .sival_int = LATER };

	MUST(sigaction(SIGSEGV, &action, NULL));
	MUST(sigaction(SIGIO, &action, NULL));
	CHECK_EQ(attack_on(getpid(), 'f', NULL), 0);
	CHECK_EQ(seen(), SIGSEGV);
	CHECK_EQ(seen_code, ring() == 0 ? SI_USER : SI_QUEUE);
	CHECK(seen_sender != getpid());

	seen_signal = 0;
	CHECK_EQ(attack_on(getpid(), 'F', NULL), 0);
	CHECK_EQ(seen(), ring() == 0 ? SIGIO : SIGSEGV);
	CHECK_EQ(seen_code, ring() == 0 ? SI_KERNEL : SI_SIGIO);

	seen_signal = 0;
	CHECK_EQ(attack_on(getpid(), 'S', NULL), 0);
	CHECK_EQ(seen(), SIGSEGV);
	CHECK_EQ(seen_code, ring() == 0 ? SI_USER : SI_KERNEL);

	/* the application may, and other signals are as they are */
	seen_signal = 0;
	MUST(sigqueue(getpid(), SIGSEGV, data));
	CHECK_EQ(seen(), SIGSEGV);
	CHECK_EQ(seen_code, SI_QUEUE);
	CHECK_EQ(seen_sender, getpid());
}

/* Nor like the timer to which a program has given a pointer. */
TEST(attacks, timer_from_ring_3)
{
	struct sigaction action = { .sa_sigaction = see, .sa_flags = SA_SIGINFO | SA_RESTART };
	union sigval data = { .sival_int = LATER };

	MUST(sigaction(SIGUSR1, &action, NULL));
	CHECK_EQ(attack_on(getpid(), 'T', NULL), 0);
	CHECK_EQ(seen(), SIGUSR1);
	CHECK_EQ(seen_code, ring() == 0 ? SI_QUEUE : SI_TIMER);
	if (ring() == 0)
		CHECK(seen_sender > 0 && seen_sender != getpid());

	seen_signal = 0;
	MUST(sigqueue(getpid(), SIGUSR1, data));
	CHECK_EQ(seen(), SIGUSR1);
	CHECK_EQ(seen_sender, getpid());
}

TEST(attacks, breakpoint_from_ring_3)
{
	int after, status = attacked('P', NULL, &after);

	if (status == ENOSYS)
		tap_skip("no perf events here");
	CHECK_EQ(status, ring() == 0 ? EACCES : 0);
}

/* Debian's libc trusts whoever listens where nscd would. Ours does not ask. */
TEST(attacks, name_service_of_ring_3)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "/var/run/nscd/socket" }, other = name;
	int listener = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), client = MUST(socket(AF_UNIX, SOCK_STREAM, 0));

	for (char *slash = strchr(name.sun_path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(name.sun_path, 0755) < 0)
			CHECK_EQ(errno, EEXIST);
		*slash = '/';
	}
	MUST(bind(listener, (struct sockaddr *)&name, sizeof name));
	MUST(listen(listener, 2));
	if (ring() == 0)
		FAILS(connect(client, (struct sockaddr *)&name, sizeof name), ECONNREFUSED);
	else
		MUST(connect(client, (struct sockaddr *)&name, sizeof name));
	client = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	snprintf(other.sun_path, sizeof other.sun_path, "/var/run/nscd/other");
	MUST(rename(name.sun_path, other.sun_path));
	MUST(connect(client, (struct sockaddr *)&other, sizeof other));
	MUST(unlink(other.sun_path));
	MUST(rmdir("/var/run/nscd"));
}
