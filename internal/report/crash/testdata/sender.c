// sender.c gets a signal in the way that its argument names, and prints the signal's number and its siginfo code.
#define _GNU_SOURCE
#include <aio.h>
#include <err.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void report(int sig, siginfo_t *info, void *context)
{
	(void)context;
	printf("%d %d\n", sig, info->si_code);
	fflush(stdout);
	_exit(0);
}

static void limit(int resource, rlim_t soft, rlim_t hard)
{
	if (setrlimit(resource, &(struct rlimit){ soft, hard }))
		err(1, "setrlimit");
}

static void grow_a_file(void)
{
	FILE *f = tmpfile();

	limit(RLIMIT_FSIZE, 4096, RLIM_INFINITY);
	if (!f || ftruncate(fileno(f), 8192))
		err(1, "file");
}

static void spin(void)
{
	limit(RLIMIT_CPU, 1, 10);
	for (;;)
		;
}

static void timer(void)
{
	struct sigevent by = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGQUIT };
	timer_t t;

	if (timer_create(CLOCK_MONOTONIC, &by, &t) ||
	    timer_settime(t, 0, &(struct itimerspec){ .it_value.tv_nsec = 1 }, NULL))
		err(1, "timer");
}

/* wants has a descriptor send a signal when it is ready, and makes it ready. */
static void wants(int sig)
{
	int p[2];

	if (pipe(p) || fcntl(p[0], F_SETOWN, getpid()) || fcntl(p[0], F_SETSIG, sig) ||
	    fcntl(p[0], F_SETFL, O_ASYNC) || write(p[1], "x", 1) != 1)
		err(1, "pipe");
}

static void read_later(void)
{
	static char byte;
	static struct aiocb io = { .aio_buf = &byte, .aio_nbytes = 1,
		.aio_sigevent = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGABRT } };

	io.aio_fildes = open("/dev/zero", O_RDONLY);
	if (aio_read(&io))
		err(1, "aio_read");
}

static void await_message(void)
{
	char name[32];
	struct sigevent by = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGABRT };
	mqd_t q;

	snprintf(name, sizeof(name), "/ukl-sender-%d", getpid());
	q = mq_open(name, O_CREAT | O_RDWR, 0600, NULL);
	if (q == -1)
		err(1, "mq_open");
	mq_unlink(name);
	if (mq_notify(q, &by) || mq_send(q, "x", 1, 0))
		err(1, "message");
}

/* The process gets a terminal of its own, on which somebody presses Ctrl-\. */
static void press_quit(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), terminal;

	setsid(); /* it fails where that is done already */
	if (master < 0 || grantpt(master) || unlockpt(master))
		err(1, "master");
	terminal = open(ptsname(master), O_RDWR);
	if (terminal < 0 || write(master, "\034", 1) != 1)
		err(1, "terminal");
}

int main(int argc, char **argv)
{
	static const int all[] = { SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGXCPU, SIGXFSZ };
	struct sigaction act = { .sa_sigaction = report, .sa_flags = SA_SIGINFO };
	const char *how = argc > 1 ? argv[1] : "";

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		sigaction(all[i], &act, NULL);
	if (!strcmp(how, "file"))
		grow_a_file();
	if (!strcmp(how, "cpu"))
		spin();
	if (!strcmp(how, "kill"))
		kill(getpid(), atoi(argv[2]));
	if (!strcmp(how, "sigqueue"))
		sigqueue(getpid(), SIGABRT, (union sigval){ 0 });
	if (!strcmp(how, "raise"))
		raise(atoi(argv[2]));
	if (!strcmp(how, "timer"))
		timer();
	if (!strcmp(how, "descriptor"))
		wants(atoi(argv[2]));
	if (!strcmp(how, "aio"))
		read_later();
	if (!strcmp(how, "message"))
		await_message();
	if (!strcmp(how, "terminal"))
		press_quit();
	sleep(10);
	errx(1, "%s: no signal came", how);
}
