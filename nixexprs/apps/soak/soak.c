/* soak: mixed load, and what is left of it.
 *
 * Shows: that neither the kernel nor the process leaks, and that the kernel finds nothing to warn of. Workers do, each
 *        as fast as it can and checking every result: connections over the loopback, fork and wait, signals into
 *        system calls, threads, and mappings.
 * Run:   ukl run soak -- SECONDS
 * See:   a line each ten seconds; at the end what memory was in use before and after, when nothing runs. Status 1 if
 *        more than 1 MiB has gone, if a worker had a wrong result, or if the kernel log has a warning.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, ALLOWED_KB = 1024, WARM_UP = 5 };

static atomic_bool stop;
static _Thread_local uint64_t seed;

static uint64_t random_number(void) /* xorshift64 (Marsaglia 2003) */
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void must(bool condition, const char *what)
{
	if (!condition)
		err(EXIT_FAILURE, "%s", what);
}

static void whole(int fd, void *data, size_t size, bool out)
{
	for (char *at = data; size > 0;) {
		ssize_t n = out ? write(fd, at, size) : read(fd, at, size);

		must(n > 0, out ? "write" : "read");
		at += n;
		size -= (size_t)n;
	}
}

static void *echo_once(void *argument)
{
	int fd = (int)(intptr_t)argument;
	char buffer[8192];
	ssize_t n;

	while ((n = read(fd, buffer, sizeof buffer)) > 0)
		whole(fd, buffer, (size_t)n, true);
	close(fd);
	return NULL;
}

static void connection(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), served;
	size_t size = 1 + random_number() % 6000;
	char sent[6000], back[6000];
	pthread_t thread;

	must(listener >= 0 && client >= 0, "socket");
	must(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 1) == 0, "listen");
	must(getsockname(listener, (struct sockaddr *)&address, &length) == 0, "getsockname");
	must(connect(client, (struct sockaddr *)&address, length) == 0, "connect");
	served = accept(listener, NULL, NULL);
	must(served >= 0, "accept");
	errno = pthread_create(&thread, NULL, echo_once, (void *)(intptr_t)served);
	must(errno == 0, "pthread_create");
	for (size_t i = 0; i < size; i++)
		sent[i] = (char)random_number();
	whole(client, sent, size, true);
	whole(client, back, size, false);
	must(memcmp(sent, back, size) == 0, "echo differs");
	/* Without TIME_WAIT, so that an hour does not run out of ports. */
	must(setsockopt(client, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger)) == 0,
	     "SO_LINGER");
	close(client);
	errno = pthread_join(thread, NULL);
	must(errno == 0, "pthread_join");
	close(listener);
}

static void child(void)
{
	int expected = (int)(random_number() % 200), status;
	volatile char *pages = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	must(pages != MAP_FAILED, "mmap");
	for (int i = 0; i < 16; i++)
		pages[i * PAGE] = 1;
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		for (int i = 0; i < 16; i++)
			pages[i * PAGE] = 2; /* a copy each */
		_exit(expected);
	}
	must(waitpid(pid, &status, 0) == pid, "waitpid");
	must(WIFEXITED(status) && WEXITSTATUS(status) == expected, "status of a child");
	for (int i = 0; i < 16; i++)
		must(pages[i * PAGE] == 1, "a child changed its parent");
	munmap((void *)pages, 16 * PAGE);
}

static atomic_ulong handled;

static void handler(int signal)
{
	(void)signal;
	handled++;
}

/* A signal for a thread that sits in a read: the read is restarted. */
static void *reader(void *fd)
{
	char byte = 0;

	must(read(*(int *)fd, &byte, 1) == 1 && byte == 'x', "a read that signals interrupt");
	return NULL;
}

static void signals(void)
{
	int ends[2];
	pthread_t thread;

	must(pipe(ends) == 0, "pipe");
	errno = pthread_create(&thread, NULL, reader, &ends[0]);
	must(errno == 0, "pthread_create");
	for (int i = 0; i < 20; i++) {
		must(pthread_kill(thread, SIGUSR1) == 0, "pthread_kill");
		sched_yield();
	}
	must(write(ends[1], "x", 1) == 1, "write");
	errno = pthread_join(thread, NULL);
	must(errno == 0, "pthread_join");
	close(ends[0]);
	close(ends[1]);
}

static void *touch_stack(void *argument)
{
	volatile char deep[64 * 1024];

	for (size_t i = 0; i < sizeof deep; i += PAGE)
		deep[i] = 1;
	return argument;
}

static void threads(void)
{
	pthread_t thread[8];

	for (int i = 0; i < 8; i++) {
		errno = pthread_create(&thread[i], NULL, touch_stack, NULL);
		must(errno == 0, "pthread_create");
	}
	for (int i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
}

static void mappings(void)
{
	size_t pages = 1 + random_number() % 256;
	char *area = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(area != MAP_FAILED, "mmap");
	for (size_t i = 0; i < pages; i += 1 + random_number() % 4)
		area[i * PAGE] = (char)i;
	must(mprotect(area, PAGE * (pages / 2), PROT_READ) == 0, "mprotect");
	must(madvise(area, pages * PAGE, MADV_DONTNEED) == 0, "madvise");
	must(area[pages / 3 * PAGE] == 0, "MADV_DONTNEED");
	must(mprotect(area, pages * PAGE, PROT_READ | PROT_WRITE) == 0, "mprotect"); /* one mapping again */
	area = mremap(area, pages * PAGE, 2 * pages * PAGE, MREMAP_MAYMOVE);
	must(area != MAP_FAILED, "mremap");
	must(munmap(area, 2 * pages * PAGE) == 0, "munmap");
}

static struct worker {
	const char *name;
	void (*work)(void);
	atomic_ulong rounds;
	pthread_t thread;
} workers[] = {
	{ .name = "connections", .work = connection },
	{ .name = "forks", .work = child },
	{ .name = "signals", .work = signals },
	{ .name = "threads", .work = threads },
	{ .name = "mappings", .work = mappings },
};

enum { WORKERS = sizeof workers / sizeof workers[0] };

static void *run(void *argument)
{
	struct worker *worker = argument;

	seed = 88172645463325252ull + (uint64_t)(worker - workers);
	while (!stop) {
		worker->work();
		worker->rounds++;
	}
	return NULL;
}

static void load(long seconds)
{
	stop = false;
	for (int i = 0; i < WORKERS; i++) {
		errno = pthread_create(&workers[i].thread, NULL, run, &workers[i]);
		must(errno == 0, "pthread_create");
	}
	for (long passed = 1; passed <= seconds; passed++) {
		sleep(1);
		if (passed % 10 != 0 && passed != seconds)
			continue;
		printf("%5ld s:", passed);
		for (int i = 0; i < WORKERS; i++)
			printf(" %lu %s", workers[i].rounds, workers[i].name);
		printf(", %lu handled\n", handled);
	}
	stop = true;
	for (int i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
}

/* Lines of /proc/meminfo (Documentation/filesystems/proc.rst) that say what is in use, kB. */
static const char *const uses[] = { "Slab", "KernelStack", "PageTables", "VmallocUsed", "Percpu", "AnonPages", "Shmem" };

enum { USES = sizeof uses / sizeof uses[0] };

static void in_use(long kb[USES])
{
	char line[128], name[64];
	long value;
	FILE *file;

	sleep(2); /* what RCU and the workqueues still have to free */
	file = fopen("/proc/meminfo", "r");
	must(file != NULL, "/proc/meminfo");
	memset(kb, 0, sizeof(long) * USES);
	while (fgets(line, sizeof line, file) != NULL)
		if (sscanf(line, "%63[^:]: %ld kB", name, &value) == 2)
			for (int i = 0; i < USES; i++)
				if (strcmp(name, uses[i]) == 0)
					kb[i] = value;
	fclose(file);
}

/* Prints the warnings in the kernel's log; how many there are. */
static int warnings(int fd)
{
	int found = 0;
	char record[8192];
	ssize_t n;

	while ((n = read(fd, record, sizeof record - 1)) > 0) {
		record[n] = '\0';
		if (strstr(record, "WARNING:") || strstr(record, "BUG:") || strstr(record, "INFO: ")) {
			printf("%s", record);
			found++;
		}
	}
	return found;
}

int main(int argc, char **argv)
{
	long seconds = argc == 2 ? strtol(argv[1], NULL, 10) : 60, before[USES], after[USES], gone = 0;
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	int log, bad;

	if (argc > 2 || seconds <= 0)
		errx(2, "usage: soak [SECONDS]");
	setvbuf(stdout, NULL, _IOLBF, 0);
	log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	must(log >= 0 && lseek(log, 0, SEEK_END) == 0, "/dev/kmsg");
	must(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
	puts("warming up");
	load(WARM_UP);
	in_use(before);
	load(seconds);
	in_use(after);
	for (int i = 0; i < USES; i++) {
		printf("%-12s %8ld kB before, %8ld kB after\n", uses[i], before[i], after[i]);
		gone += after[i] - before[i];
	}
	bad = warnings(log);
	if (bad > 0 || gone > ALLOWED_KB) {
		printf("%ld kB have gone, the kernel warned %d times\n", gone, bad);
		return EXIT_FAILURE;
	}
	printf("nothing leaked: %ld kB, no warning of the kernel\n", gone);
	return EXIT_SUCCESS;
}
