/* bench: what single operations cost.
 *
 * Run:   ukl run bench -- [SAMPLES [NAME...]]     7 samples of each operation, or of those named
 * See:   a line for each operation: its name, how many of them a sample has, then the nanoseconds of each sample.
 *        Only differences of CLOCK_MONOTONIC are measured, loop and C library included. With QEMU's
 *        `-icount shift=0,sleep=off' the clock advances a nanosecond with each instruction: then these are exact
 *        numbers of instructions, and all samples but the first few are nearly the same.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, MAX_SAMPLES = 99 };

static char buffer[65536];
static int zero, null, pipes[2], unix_sockets[2], tcp_sockets[2];

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void must(bool condition, const char *what)
{
	if (!condition)
		err(EXIT_FAILURE, "%s", what);
}

static void getppid_(size_t size)
{
	(void)size;
	getppid();
}

static void read_(size_t size) { must(read(zero, buffer, size) == (ssize_t)size, "read"); }

static void write_(size_t size) { must(write(null, buffer, size) == (ssize_t)size, "write"); }

/* There and back within one thread: no context switch. */
static void through(int in, int out, size_t size)
{
	must(write(in, buffer, size) == (ssize_t)size, "write");
	for (size_t got = 0; got < size;) {
		ssize_t n = read(out, buffer, size - got);

		must(n > 0, "read");
		got += (size_t)n;
	}
}

static void pipe_(size_t size) { through(pipes[1], pipes[0], size); }

static void unix_(size_t size)
{
	through(unix_sockets[0], unix_sockets[1], size);
	through(unix_sockets[1], unix_sockets[0], size);
}

static void tcp(size_t size)
{
	through(tcp_sockets[0], tcp_sockets[1], size);
	through(tcp_sockets[1], tcp_sockets[0], size);
}

/* One page is touched; a mapping has 512 of them. */
static void page_fault(size_t size)
{
	static char *area;
	static int next = 512;

	(void)size;
	if (next == 512) {
		if (area != NULL)
			munmap(area, 512 * PAGE);
		area = mmap(NULL, 512 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(area != MAP_FAILED, "mmap");
		next = 0;
	}
	area[next++ * PAGE] = 1;
}

static void map(size_t size)
{
	void *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(area != MAP_FAILED && munmap(area, size) == 0, "mmap");
}

static void fork_(size_t size)
{
	pid_t pid = fork();

	(void)size;
	must(pid >= 0, "fork");
	if (pid == 0)
		_exit(0);
	must(waitpid(pid, NULL, 0) == pid, "waitpid");
}

static void *nothing(void *argument) { return argument; }

static void thread(size_t size)
{
	pthread_t id;

	(void)size;
	errno = pthread_create(&id, NULL, nothing, NULL);
	must(errno == 0, "pthread_create");
	pthread_join(id, NULL);
}

/* A byte to another thread and back through two pipes: two context switches. */
static int there[2], back[2];

static void *bounce(void *argument)
{
	char byte;

	while (read(there[0], &byte, 1) == 1)
		must(write(back[1], &byte, 1) == 1, "write");
	return argument;
}

static void context_switch(size_t size)
{
	static pthread_t other;
	char byte = 0;

	(void)size;
	if (other == 0) {
		errno = pthread_create(&other, NULL, bounce, NULL);
		must(errno == 0, "pthread_create");
	}
	must(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "pipe");
}

/* Nobody waits. */
static void futex_wake(size_t size)
{
	static uint32_t word;

	(void)size;
	must(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0, "futex");
}

static void handler(int signal) { (void)signal; }

/* Sent to oneself, handled, returned from. */
static void signal_(size_t size)
{
	(void)size;
	raise(SIGUSR1);
}

static void clock_(size_t size)
{
	struct timespec t;

	(void)size;
	clock_gettime(CLOCK_MONOTONIC, &t);
}

static const struct operation {
	const char *name;
	void (*run)(size_t size);
	size_t size;   /* bytes */
	int times;     /* in a sample */
} operations[] = {
	{ "getppid", getppid_, 0, 1000 },
	{ "read/1", read_, 1, 1000 },
	{ "read/4096", read_, 4096, 1000 },
	{ "write/1", write_, 1, 1000 },
	{ "pipe/1", pipe_, 1, 1000 },
	{ "pipe/4096", pipe_, 4096, 500 },
	{ "pipe/65536", pipe_, 65536, 100 },
	{ "unix/1", unix_, 1, 500 },
	{ "unix/4096", unix_, 4096, 500 },
	{ "unix/65536", unix_, 65536, 50 },
	{ "tcp/1", tcp, 1, 200 },
	{ "tcp/4096", tcp, 4096, 200 },
	{ "tcp/65536", tcp, 65536, 50 },
	{ "page-fault", page_fault, 0, 2048 },
	{ "mmap-munmap", map, 64 * PAGE, 500 },
	{ "fork-wait", fork_, 0, 20 },
	{ "futex-wake", futex_wake, 0, 1000 },
	{ "signal", signal_, 0, 500 },
	{ "clock_gettime", clock_, 0, 1000 },
	/* Last: with a second thread the C library and the kernel do more for each system call. */
	{ "thread-join", thread, 0, 50 },
	{ "context-switch", context_switch, 0, 200 },
};

static void connect_tcp(int ends[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	must(listener >= 0 && bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 1) == 0, "listen");
	must(getsockname(listener, (struct sockaddr *)&address, &length) == 0, "getsockname");
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	must(ends[0] >= 0 && connect(ends[0], (struct sockaddr *)&address, length) == 0, "connect");
	ends[1] = accept(listener, NULL, NULL);
	must(ends[1] >= 0, "accept");
	for (int i = 0; i < 2; i++)
		must(setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "TCP_NODELAY");
	close(listener);
}

static bool chosen(const char *name, char **names)
{
	if (*names == NULL)
		return true;
	for (; *names != NULL; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	int samples = argc > 1 ? atoi(argv[1]) : 7;
	char **names = argc > 2 ? argv + 2 : (char *[]){ NULL };
	unsigned short cs;

	if (samples < 1 || samples > MAX_SAMPLES)
		errx(2, "usage: bench [SAMPLES [NAME...]]");
	zero = open("/dev/zero", O_RDONLY);
	null = open("/dev/null", O_WRONLY);
	must(zero >= 0 && null >= 0, "/dev/zero, /dev/null");
	must(pipe(pipes) == 0 && pipe(there) == 0 && pipe(back) == 0, "pipe");
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, unix_sockets) == 0, "socketpair");
	/* Room for the largest message, which nobody reads before it is written. */
	must(fcntl(pipes[1], F_SETPIPE_SZ, (int)sizeof buffer) >= (int)sizeof buffer, "F_SETPIPE_SZ");
	connect_tcp(tcp_sockets);
	signal(SIGUSR1, handler);
	asm("mov %%cs, %0" : "=r"(cs));
	printf("ring %d\n", cs & 3);
	for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
		const struct operation *o = &operations[i];
		int64_t sample[MAX_SAMPLES];

		if (!chosen(o->name, names))
			continue;
		for (int t = 0; t < o->times / 10 + 1; t++)
			o->run(o->size);
		for (int s = 0; s < samples; s++) {
			int64_t begin = now();

			for (int t = 0; t < o->times; t++)
				o->run(o->size);
			sample[s] = now() - begin;
		}
		printf("%s %d", o->name, o->times);
		for (int s = 0; s < samples; s++)
			printf(" %lld", (long long)sample[s]);
		putchar('\n');
		fflush(stdout);
	}
	return EXIT_SUCCESS;
}
