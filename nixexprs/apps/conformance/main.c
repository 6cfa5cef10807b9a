/* conformance: every promise of a Linux process, one named case each.
 *
 * Shows: that a program in ring 0 behaves as on Linux: the same source passes as an ordinary process.
 * Run:   ukl run conformance                       all cases
 *        ukl run conformance -- signals threads.tls   those whose names begin so
 *        ukl run conformance -- --list             their names
 *        ukl run conformance -- --time             with the milliseconds that each took
 *        ukl run conformance -- --limit 200        for a slow kernel: seconds that a case may take, instead of 20
 * See:   TAP: a plan, then `ok' or `not ok' with number and name, `#' lines that say why. The status is 0 if all
 *        passed, 1 if one failed, 2 if no case has such a name.
 *
 * Each case runs in a child with a process group of its own. A case that takes longer than the limit is killed
 * with its group and has failed; the run goes on.
 */
#include "tap.h"

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POLL_MS = 1 };

static struct {
	const struct test *first;
	struct test *last;
	bool time;         /* --time */
	int limit;         /* --limit, seconds */
} state = { .limit = 20 };

void tap_register(struct test *test)
{
	if (state.last != NULL)
		state.last->next = test;
	else
		state.first = test;
	state.last = test;
}

/* One write, so that lines of several processes do not mix; no stdio, whose lock a thread may hold. */
static void say(const char *prefix, const char *format, va_list arguments)
{
	char line[400];
	int used = snprintf(line, sizeof line, "# %s", prefix);

	used += vsnprintf(line + used, sizeof line - 1 - (size_t)used, format, arguments);
	if (used > (int)sizeof line - 2)
		used = (int)sizeof line - 2;
	line[used++] = '\n';
	if (write(STDOUT_FILENO, line, (size_t)used) < 0)
		_exit(EXIT_FAILURE);
}

void tap_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say("", format, arguments);
	va_end(arguments);
}

_Noreturn void tap_fail(const char *file, int line, const char *format, ...)
{
	char place[80];
	va_list arguments;

	snprintf(place, sizeof place, "%s:%d: ", strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line);
	va_start(arguments, format);
	say(place, format, arguments);
	va_end(arguments);
	_exit(EXIT_FAILURE);
}

_Noreturn void tap_skip(const char *reason)
{
	tap_note("%s", reason);
	_exit(EXIT_SKIP);
}

/* Waits for the case; its wait status, or -1 if it was killed for taking too long. */
static int wait_for(pid_t child)
{
	int64_t deadline = now() + state.limit * 1000000000ll;
	bool late = false;
	int status;

	/* Polls: a runner that slept in sigtimedwait would prove nothing where signals are what is broken. */
	while (waitpid(child, &status, WNOHANG) == 0) {
		if (now() > deadline && !late) {
			late = true;
			kill(-child, SIGKILL);
			kill(child, SIGKILL);
		}
		sleep_ms(POLL_MS);
	}
	kill(-child, SIGKILL); /* what it left behind */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return late ? -1 : status;
}

/* Runs one case and prints its line; true if it passed or does not apply. */
static bool run(const struct test *test, int number)
{
	int64_t start = now();
	char took[40] = "";
	const char *skip = "";
	bool passed = false;
	int status;
	pid_t child = fork();

	if (child < 0)
		err(EXIT_FAILURE, "fork");
	if (child == 0) {
		setpgid(0, 0);
		test->run();
		exit(EXIT_SUCCESS);
	}
	setpgid(child, child);
	status = wait_for(child);
	if (status == -1)
		printf("# no end within %d s\n", state.limit);
	else if (WIFSIGNALED(status))
		printf("# killed by signal %d\n", WTERMSIG(status));
	else if (WEXITSTATUS(status) == EXIT_SKIP)
		skip = " # SKIP";
	else if (WEXITSTATUS(status) > EXIT_FAILURE)
		printf("# exited with status %d\n", WEXITSTATUS(status));
	passed = status != -1 && WIFEXITED(status) && (WEXITSTATUS(status) == 0 || *skip != '\0');
	if (state.time)
		snprintf(took, sizeof took, " # %lld ms", (long long)(now() - start) / 1000000);
	printf("%s %d - %s.%s%s\n", passed ? "ok" : "not ok", number, test->group, test->name,
	       *skip != '\0' ? skip : took);
	return passed;
}

/* True if one of the WORDS begins the name, or there are none. */
static bool chosen(const struct test *test, char **words)
{
	char name[100];

	snprintf(name, sizeof name, "%s.%s", test->group, test->name);
	if (*words == NULL)
		return true;
	for (; *words != NULL; words++)
		if (strncmp(name, *words, strlen(*words)) == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	bool list = false;
	int count = 0, number = 0, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (argc--, argv++; argc > 0 && strncmp(*argv, "--", 2) == 0; argc--, argv++)
		if (strcmp(*argv, "--list") == 0)
			list = true;
		else if (strcmp(*argv, "--time") == 0)
			state.time = true;
		else if (strcmp(*argv, "--limit") == 0 && argc > 1 && atoi(argv[1]) > 0)
			state.limit = atoi(argv[1]), argc--, argv++;
		else if (strcmp(*argv, "--ring") == 0)
			return 40 + ring(); /* for processes.exec_self and its like */
		else
			errx(2, "usage: conformance [--list] [--time] [--limit SECONDS] [NAME...]");

	for (const struct test *test = state.first; test != NULL; test = test->next)
		if (chosen(test, argv)) {
			count++;
			if (list)
				printf("%s.%s\n", test->group, test->name);
		}
	if (count == 0)
		errx(2, "no case has such a name");
	if (list)
		return EXIT_SUCCESS;

	printf("# ring %d, %d CPUs\n1..%d\n", ring(), cpus(), count);
	for (const struct test *test = state.first; test != NULL; test = test->next)
		if (chosen(test, argv))
			failed += !run(test, ++number);
	printf("# %d of %d failed\n", failed, count);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
