/* helpers.c: what cases of more than one file need. */
#include "tap.h"

#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

int ring(void)
{
	unsigned short cs;

	__asm__("mov %%cs, %0" : "=r"(cs));
	return cs & 3;
}

bool emulated(void)
{
	unsigned eax, ebx, ecx, edx;

	__cpuid(1, eax, ebx, ecx, edx);
	if (!(ecx & 1u << 31))
		return false; /* no hypervisor */
	__cpuid(0x40000000, eax, ebx, ecx, edx);
	return ebx == 0x54474354 && ecx == 0x43544743 && edx == 0x47435447; /* TCGTCGTCGTCG */
}

pid_t spawn(int (*function)(void *), void *argument)
{
	pid_t child = MUST(fork());

	if (child == 0)
		_exit(function(argument));
	return child;
}

int reap(pid_t child)
{
	int status;

	CHECK_EQ(MUST(waitpid(child, &status, 0)), child);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

void sleep_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000l };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

bool pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof set, &set) == 0;
}

int cpus(void)
{
	return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static struct {
	char path[32];
	pid_t owner; /* a child of the case must not remove what the case still uses */
} directory;

static void remove_scratch(void)
{
	DIR *entries = directory.owner == getpid() ? opendir(directory.path) : NULL;

	if (entries == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
		unlinkat(dirfd(entries), entry->d_name, 0);
	closedir(entries);
	rmdir(directory.path);
}

const char *scratch(void)
{
	if (directory.path[0] == '\0') {
		/* The image of a unikernel need not have a /tmp. */
		snprintf(directory.path, sizeof directory.path, "%s/conf-XXXXXX", access("/tmp", W_OK) == 0 ? "/tmp" : "");
		if (mkdtemp(directory.path) == NULL)
			tap_fail(__FILE__, __LINE__, "mkdtemp: %m");
		directory.owner = getpid();
		atexit(remove_scratch);
	}
	return directory.path;
}

const char *scratch_file(const char *name)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/%s", scratch(), name);
	return path;
}

void alarm_us(int first, int period)
{
	const struct itimerval timer = {
		.it_value = { first / 1000000, first % 1000000 },
		.it_interval = { period / 1000000, period % 1000000 },
	};

	MUST(setitimer(ITIMER_REAL, &timer, NULL));
}

void on_signal(int signal, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	MUST(sigaction(signal, &action, NULL));
}
