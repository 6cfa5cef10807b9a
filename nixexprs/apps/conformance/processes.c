/* processes.c: fork, exec and wait; what children share and what they must not. */
#include "tap.h"
#include "programs.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* The direct mapping of memory begins there. */
#define KERNEL_ADDRESS 0xffff888001000000ul

enum { PAGE = 4096 };

static int global = 1;

struct memory {
	int *heap, *stack, *mapped;
};

static int change_all(void *argument)
{
	struct memory *memory = argument;

	CHECK(global == 1 && *memory->heap == 1 && *memory->stack == 1 && *memory->mapped == 1);
	global = *memory->heap = *memory->stack = *memory->mapped = 2;
	CHECK(global == 2 && *memory->heap == 2 && *memory->stack == 2 && *memory->mapped == 2);
	return 0;
}

TEST(processes, fork_copies_on_write)
{
	int on_stack = 1;
	struct memory memory = {
		.heap = malloc(sizeof(int)),
		.stack = &on_stack,
		.mapped = MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
	};

	*memory.heap = *memory.mapped = 1;
	CHECK_EQ(reap(spawn(change_all, &memory)), 0);
	CHECK(global == 1 && *memory.heap == 1 && on_stack == 1 && *memory.mapped == 1);
}

static int expect_ones(void *argument)
{
	int *pipe = argument;
	char go;

	CHECK_EQ(read(pipe[0], &go, 1), 1);
	CHECK_EQ(global, 1);
	return 0;
}

/* The parent's writes after the fork are not the child's either. */
TEST(processes, fork_isolates_parent)
{
	int pipes[2];
	pid_t child;

	MUST(pipe(pipes));
	child = spawn(expect_ones, pipes);
	global = 3;
	CHECK_EQ(write(pipes[1], "", 1), 1);
	CHECK_EQ(reap(child), 0);
}

enum { MANY_PAGES = 1024 };

static int scribble(void *memory)
{
	for (int i = 0; i < MANY_PAGES; i++)
		((char *)memory)[i * PAGE] = (char)~i;
	return 0;
}

TEST(processes, fork_many_pages)
{
	char *memory = malloc(MANY_PAGES * PAGE);

	for (int i = 0; i < MANY_PAGES; i++)
		memory[i * PAGE] = (char)i;
	CHECK_EQ(reap(spawn(scribble, memory)), 0);
	for (int i = 0; i < MANY_PAGES; i++)
		CHECK_EQ(memory[i * PAGE], (char)i);
}

/* Until a signal ends it. */
static int sleep_on(void *unused)
{
	(void)unused;
	pause();
	return 1;
}

static int give(void *number) { return (int)(intptr_t)number; }

TEST(processes, exit_statuses)
{
	pid_t children[100];

	for (int i = 0; i < 100; i++)
		children[i] = spawn(give, (void *)(intptr_t)i);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(reap(children[i]), i);
	FAILS(waitpid(-1, NULL, 0), ECHILD);
}

static int fork_to_depth(void *argument)
{
	int depth = (int)(intptr_t)argument;

	return depth == 0 ? 0 : 1 + reap(spawn(fork_to_depth, (void *)(intptr_t)(depth - 1)));
}

TEST(processes, fork_nested) { CHECK_EQ(fork_to_depth((void *)20), 20); }

static void *fork_in_thread(void *argument)
{
	(void)argument;
	for (int i = 0; i < 10; i++)
		CHECK_EQ(reap(spawn(give, (void *)(intptr_t)i)), i);
	return NULL;
}

TEST(processes, fork_from_threads)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		OK(pthread_create(&threads[i], NULL, fork_in_thread, NULL));
	for (int i = 0; i < 4; i++)
		OK(pthread_join(threads[i], NULL));
}

static int handlers_run;
static void before(void) { handlers_run |= 1; }
static void in_parent(void) { handlers_run |= 2; }
static void in_child(void) { handlers_run |= 4; }
static int give_handlers(void *unused) { (void)unused; return handlers_run; }

TEST(processes, atfork)
{
	OK(pthread_atfork(before, in_parent, in_child));
	CHECK_EQ(reap(spawn(give_handlers, NULL)), 5);
	CHECK_EQ(handlers_run, 3);
}

TEST(processes, vfork)
{
	volatile int shared = 0;

	for (int i = 1; i <= 20; i++) {
		pid_t child = vfork();

		if (child == 0) {
			shared = i;
			_exit(i);
		}
		CHECK(child > 0);
		CHECK_EQ(shared, i); /* the parent waited */
		CHECK_EQ(reap(child), i);
	}
}

static int set_and_give(void *argument)
{
	*(int *)argument = 7;
	return 8;
}

TEST(processes, clone_shares_memory)
{
	static char stack[64 * 1024] __attribute__((aligned(16)));
	int value = 0;

	CHECK_EQ(reap(MUST(clone(set_and_give, stack + sizeof stack, CLONE_VM | SIGCHLD, &value))), 8);
	CHECK_EQ(value, 7);
}

TEST(processes, clone3)
{
	int pidfd = -1;
	struct clone_args arguments = {
		.flags = CLONE_PIDFD, .exit_signal = SIGCHLD, .pidfd = (uintptr_t)&pidfd,
	};
	siginfo_t info;
	long child = MUST(syscall(SYS_clone3, &arguments, sizeof arguments));

	if (child == 0)
		_exit(9);
	MUST(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED));
	CHECK_EQ(info.si_pid, child);
	CHECK_EQ(info.si_code, CLD_EXITED);
	CHECK_EQ(info.si_status, 9);
}

TEST(processes, exec_is_ring_3) { CHECK_EQ(run_program(write_program("helper", &reporter, sizeof reporter)), REPORTED_RING + 3); }

static int exec(void *path)
{
	execl(path, "program", "--ring", (char *)NULL);
	return 1;
}

TEST(processes, fork_exec)
{
	const char *path = write_program("helper", &reporter, sizeof reporter);
	pid_t child;

	for (int i = 0; i < 10; i++)
		CHECK_EQ(reap(spawn(exec, (void *)path)), REPORTED_RING + 3);
	child = vfork();
	if (child == 0) {
		execl(path, path, (char *)NULL);
		_exit(1);
	}
	CHECK_EQ(reap(child), REPORTED_RING + 3);
}

static int exec_from_thread_result;

static void *exec_from_thread(void *path)
{
	exec_from_thread_result = exec(path);
	return NULL;
}

static int exec_in_second_thread(void *path)
{
	pthread_t thread;

	OK(pthread_create(&thread, NULL, exec_from_thread, path));
	OK(pthread_join(thread, NULL));
	return 1;
}

TEST(processes, exec_from_thread)
{
	const char *path = write_program("helper", &reporter, sizeof reporter);

	CHECK_EQ(reap(spawn(exec_in_second_thread, (void *)path)), REPORTED_RING + 3);
}

TEST(processes, exec_errors)
{
	char *const arguments[] = { "program", NULL };
	pid_t child;

	CHECK_EQ(posix_spawn(&child, "/no/such/file", NULL, NULL, arguments, environ), ENOENT);
	CHECK_EQ(posix_spawn(&child, write_program("text", "neither ELF nor #!\n", 19), NULL, NULL, arguments, environ),
		 ENOEXEC);
	FAILS(execv("/", arguments), EACCES);
}

TEST(processes, spawn_file_actions)
{
	const char *path = write_program("helper", &reporter, sizeof reporter);
	char *const arguments[] = { "program", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	siginfo_t info;
	pid_t child;

	OK(posix_spawn_file_actions_init(&actions));
	OK(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0));
	OK(posix_spawn_file_actions_adddup2(&actions, 0, 9));
	OK(posix_spawnattr_init(&attributes));
	OK(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK));
	OK(posix_spawn(&child, path, &actions, &attributes, arguments, environ));
	MUST(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
	CHECK_EQ(getpgid(child), child);
	CHECK_EQ(reap(child), REPORTED_RING + 3);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
}

/* The image's own file is the only one that is allowed what this process is allowed. */
TEST(processes, exec_self) { CHECK_EQ(run_program("/proc/self/exe"), REPORTED_RING + ring()); }

TEST(processes, wait_variants)
{
	siginfo_t info = { 0 };
	pid_t child = spawn(sleep_on, NULL);
	int status;

	CHECK_EQ(MUST(waitpid(child, &status, WNOHANG)), 0);
	MUST(kill(child, SIGSTOP));
	CHECK_EQ(MUST(waitpid(child, &status, WUNTRACED)), child);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	MUST(kill(child, SIGCONT));
	CHECK_EQ(MUST(waitpid(child, &status, WCONTINUED)), child);
	CHECK(WIFCONTINUED(status));
	MUST(kill(child, SIGTERM));
	MUST(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
	CHECK_EQ(info.si_code, CLD_KILLED);
	CHECK_EQ(info.si_status, SIGTERM);
	CHECK_EQ(reap(child), -SIGTERM);
}

static int lead_session(void *argument)
{
	(void)argument;
	CHECK_EQ(setsid(), getpid());
	CHECK_EQ(getsid(0), getpid());
	CHECK_EQ(getpgrp(), getpid());
	FAILS(setsid(), EPERM);
	return 0;
}

TEST(processes, sessions_and_groups)
{
	pid_t children[3];

	CHECK_EQ(reap(spawn(lead_session, NULL)), 0);
	for (int i = 0; i < 3; i++) {
		children[i] = spawn(sleep_on, NULL);
		MUST(setpgid(children[i], children[0]));
	}
	MUST(kill(-children[0], SIGTERM));
	for (int i = 0; i < 3; i++)
		CHECK_EQ(reap(children[i]), -SIGTERM);
}

static int leave_orphan(void *argument)
{
	int *pipe = argument;
	pid_t parent = getpid();

	if (MUST(fork()) == 0) {
		while (getppid() == parent)
			sleep_ms(1);
		pid_t adopter = getppid();
		CHECK_EQ(write(pipe[1], &adopter, sizeof adopter), sizeof adopter);
		_exit(5);
	}
	return 0;
}

TEST(processes, orphans_are_adopted)
{
	pid_t adopter;
	int pipes[2], status;

	MUST(pipe(pipes));
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	CHECK_EQ(reap(spawn(leave_orphan, pipes)), 0);
	CHECK_EQ(read(pipes[0], &adopter, sizeof adopter), sizeof adopter);
	CHECK_EQ(adopter, getpid());
	MUST(wait(&status));
	CHECK_EQ(WEXITSTATUS(status), 5);
}

static int leave_dead_orphan(void *unused)
{
	(void)unused;
	if (MUST(fork()) == 0)
		_exit(77);
	return 0;
}

/* Orphans go to process 1, which reaps them: wait() gives none of them, and none stays as a zombie. */
TEST(processes, orphans_are_reaped)
{
	enum { ORPHANS = 300 };
	int status;

	for (int i = 0; i < ORPHANS; i++) {
		CHECK_EQ(reap(spawn(leave_dead_orphan, NULL)), 0);
		pid_t child = MUST(fork());
		if (child == 0)
			_exit(5);
		CHECK_EQ(wait(&status), child);
		CHECK_EQ(WEXITSTATUS(status), 5);
	}
	FAILS(wait(&status), ECHILD);
}

/* The application is no process 1, which no signal without a handler would end. */
TEST(processes, not_process_1)
{
	char name[32] = "";
	int fd = MUST(open("/proc/1/comm", O_RDONLY));

	CHECK(read(fd, name, sizeof name - 1) > 0);
	CHECK(strcmp(name, "init\n") == 0);
	CHECK(getpid() != 1 && getppid() != 1);
	CHECK_EQ(kill(1, SIGKILL), 0); /* it lets even root do so, and stays */
	CHECK_EQ(kill(1, 0), 0);
}

static int wait_for_death_of_parent(void *argument)
{
	(void)argument;
	if (MUST(fork()) == 0) {
		MUST(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
		kill(getppid(), SIGKILL);
		sleep_ms(10000);
		_exit(1);
	}
	pause();
	return 1;
}

TEST(processes, parent_death_signal)
{
	int status;

	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	CHECK_EQ(reap(spawn(wait_for_death_of_parent, NULL)), -SIGKILL);
	MUST(wait(&status)); /* the orphan */
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static int output;
static void say_first(void) { CHECK_EQ(write(output, "1", 1), 1); }
static void say_second(void) { CHECK_EQ(write(output, "2", 1), 1); }

static int exit_in_order(void *argument)
{
	output = *(int *)argument;
	atexit(say_second);
	atexit(say_first);
	CHECK(freopen("/dev/null", "w", stdout) != NULL);
	CHECK_EQ(dup2(output, STDOUT_FILENO), STDOUT_FILENO);
	fputs("3", stdout); /* flushed after the handlers */
	exit(6);
}

TEST(processes, exit_runs_handlers)
{
	char text[8] = "";
	int pipes[2];

	MUST(pipe(pipes));
	CHECK_EQ(reap(spawn(exit_in_order, &pipes[1])), 6);
	close(pipes[1]);
	CHECK_EQ(read(pipes[0], text, sizeof text), 3);
	CHECK(strcmp(text, "123") == 0);
}

static void *exit_from_thread(void *argument)
{
	(void)argument;
	exit(12);
}

static void *sleep_in_thread(void *unused)
{
	pause();
	return unused;
}

static int exit_in_thread(void *argument)
{
	pthread_t thread;
	(void)argument;

	for (int i = 0; i < 4; i++)
		OK(pthread_create(&thread, NULL, sleep_in_thread, NULL));
	OK(pthread_create(&thread, NULL, exit_from_thread, NULL));
	pause();
	return 1;
}

TEST(processes, exit_from_thread) { CHECK_EQ(reap(spawn(exit_in_thread, NULL)), 12); }

static int abort_now(void *unused)
{
	(void)unused;
	abort();
}

TEST(processes, abort) { CHECK_EQ(reap(spawn(abort_now, NULL)), -SIGABRT); }

/* True if a line of /proc/PID/FILE contains TEXT. */
static bool proc_says(pid_t pid, const char *file, const char *text)
{
	char path[64], line[512];
	bool found = false;
	FILE *stream;

	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	stream = fopen(path, "r");
	CHECK(stream != NULL);
	while (!found && fgets(line, sizeof line, stream) != NULL)
		found = strstr(line, text) != NULL;
	fclose(stream);
	return found;
}

TEST(processes, proc)
{
	char text[64];
	pid_t child = spawn(sleep_on, NULL);

	snprintf(text, sizeof text, "PPid:\t%d", getpid());
	CHECK(proc_says(child, "status", text));
	CHECK(proc_says(child, "maps", "[stack]"));
	CHECK(proc_says(child, "maps", "[vdso]"));
	CHECK(proc_says(child, "cmdline", "")); /* readable */
	MUST(kill(child, SIGKILL));
	CHECK_EQ(reap(child), -SIGKILL);
}

static int traced(void *argument)
{
	volatile int *value = argument;

	MUST(ptrace(PTRACE_TRACEME, 0, 0, 0));
	raise(SIGSTOP);
	getppid();
	return *value;
}

/* Stops at PTRACE_SYSCALL; the number of the system call that CHILD is in. */
static long next_system_call(pid_t child)
{
	struct user_regs_struct registers;
	int status;

	MUST(ptrace(PTRACE_SYSCALL, child, 0, 0));
	CHECK_EQ(MUST(waitpid(child, &status, 0)), child);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80));
	MUST(ptrace(PTRACE_GETREGS, child, 0, &registers));
	return (long)registers.orig_rax;
}

/* A stack pointer in the kernel's half would make a ring-0 process kernel context. */
TEST(processes, clone_with_stack_in_kernel_half)
{
	if (ring() == 0)
		FAILS(syscall(SYS_clone, SIGCHLD, KERNEL_ADDRESS, 0, 0, 0), EINVAL);
	else
		CHECK_EQ(reap(MUST((pid_t)syscall(SYS_clone, SIGCHLD, KERNEL_ADDRESS, 0, 0, 0))), -SIGSEGV);
}

TEST(processes, ptrace)
{
	static volatile int value = 3;
	struct user_regs_struct registers, same;
	pid_t child = spawn(traced, (void *)&value);
	int status;

	CHECK_EQ(MUST(waitpid(child, &status, 0)), child);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	MUST(ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	MUST(ptrace(PTRACE_POKEDATA, child, &value, 44));
	CHECK_EQ((int)ptrace(PTRACE_PEEKDATA, child, &value, 0), 44);
	MUST(ptrace(PTRACE_GETREGS, child, 0, &registers));
	CHECK(registers.rip != 0 && registers.rsp != 0);
	MUST(ptrace(PTRACE_SETREGS, child, 0, &registers)); /* what was read may be written */
	MUST(ptrace(PTRACE_GETREGS, child, 0, &same));
	CHECK(memcmp(&registers, &same, sizeof same) == 0);
	same.rsp = KERNEL_ADDRESS; /* would make a ring-0 process the kernel */
	if (ring() == 0)
		FAILS(ptrace(PTRACE_SETREGS, child, 0, &same), EIO);
	MUST(ptrace(PTRACE_SETREGS, child, 0, &registers));
	while (next_system_call(child) != SYS_getppid)
		;
	CHECK_EQ(next_system_call(child), SYS_getppid); /* its end */
	for (int i = 0; i < 50; i++) {
		MUST(ptrace(PTRACE_SINGLESTEP, child, 0, 0));
		CHECK_EQ(MUST(waitpid(child, &status, 0)), child);
		if (WIFEXITED(status))
			break;
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
	}
	if (!WIFEXITED(status)) {
		MUST(ptrace(PTRACE_CONT, child, 0, 0));
		CHECK_EQ(MUST(waitpid(child, &status, 0)), child);
	}
	CHECK_EQ(WEXITSTATUS(status), 44);
	CHECK_EQ(value, 3);
}

/* A selector that cannot be loaded, of the empty GDT entries for threads: the fault is the kernel's, with the process's GS. */
static void run_with_stale_gs(int (*traced_child)(void *), int expected)
{
	struct user_regs_struct registers;
	pid_t child;
	int status;

	child = spawn(traced_child, (void *)write_program("helper", &reporter, sizeof reporter));
	CHECK_EQ(MUST(waitpid(child, &status, 0)), child);
	CHECK(WIFSTOPPED(status));
	for (int i = 0; i < 20; i++) {
		MUST(ptrace(PTRACE_GETREGS, child, 0, &registers));
		registers.gs = 0x63;
		MUST(ptrace(PTRACE_SETREGS, child, 0, &registers));
		MUST(ptrace(PTRACE_SINGLESTEP, child, 0, 0));
		CHECK_EQ(MUST(waitpid(child, &status, 0)), child);
		if (WIFEXITED(status))
			break;
		CHECK(WIFSTOPPED(status));
	}
	if (!WIFEXITED(status)) {
		MUST(ptrace(PTRACE_CONT, child, 0, 0));
		CHECK_EQ(MUST(waitpid(child, &status, 0)), child);
	}
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), expected);
}

static int stop_and_spin(void *unused)
{
	(void)unused;
	MUST(ptrace(PTRACE_TRACEME, 0, 0, 0));
	raise(SIGSTOP);
	for (volatile int i = 0; i < 1000; i++)
		;
	return 5;
}

TEST(processes, stale_gs_selector) { run_with_stale_gs(stop_and_spin, 5); }

TEST(processes, stale_gs_selector_in_ring_3) { run_with_stale_gs(exec_traced, REPORTED_RING + 3); }
