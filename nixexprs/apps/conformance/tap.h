/* tap.h: what a file of cases needs, and nothing else. See main.c for how they are run.
 *
 *	TEST(faults, null_write)            a case, named faults.null_write
 *	{
 *		CHECK(trap(write_null) == SIGSEGV);
 *		CHECK_EQ(seen.si_code, SEGV_MAPERR);
 *	}
 *
 * A case runs in a process of its own, whose death is a failure, and ends in time or is killed with its process
 * group. It is over when its function returns. The first check that fails says so and ends it, from any thread.
 */
#ifndef TAP_H
#define TAP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum { EXIT_SKIP = 77 };

struct test {
	const char *group, *name;
	void (*run)(void);
	const struct test *next;
};

/* Called before main, in the order of the files and of the cases in them. */
void tap_register(struct test *test);

#define TEST(group, name)                                                                        \
	static void group##_##name(void);                                                        \
	__attribute__((constructor)) static void register_##group##_##name(void)                 \
	{                                                                                        \
		static struct test test = { #group, #name, group##_##name, NULL };               \
		tap_register(&test);                                                             \
	}                                                                                        \
	static void group##_##name(void)

/* Says FORMAT with the place and ends the case. Safe in any thread and in any child of the case. */
_Noreturn void tap_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Ends the case as not applicable here, for a REASON that is printed. */
_Noreturn void tap_skip(const char *reason);
/* A line for the reader, `# ' in front. */
void tap_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(condition)                                                                         \
	do {                                                                                     \
		if (!(condition))                                                                \
			tap_fail(__FILE__, __LINE__, "%s", #condition);                          \
	} while (0)

/* Both are shown when they differ. For numbers of any integer type. */
#define CHECK_EQ(got, want)                                                                      \
	do {                                                                                     \
		long long got_ = (long long)(got), want_ = (long long)(want);                    \
		if (got_ != want_)                                                               \
			tap_fail(__FILE__, __LINE__, "%s = %lld (0x%llx), want %s = %lld (0x%llx)", \
				 #got, got_, (unsigned long long)got_, #want, want_,             \
				 (unsigned long long)want_);                                     \
	} while (0)

/* For pointers. */
#define CHECK_AT(got, want) CHECK_EQ((uintptr_t)(got), (uintptr_t)(want))

/* A call that must not return -1; gives its value. errno is shown. */
#define MUST(call)                                                                               \
	({                                                                                       \
		__typeof__(call) must_ = (call);                                                 \
		if (must_ == (__typeof__(must_))-1)                                              \
			tap_fail(__FILE__, __LINE__, "%s: %m", #call);                           \
		must_;                                                                           \
	})

/* A call that returns an error number, as the pthread functions do, and must return 0. */
#define OK(call)                                                                                 \
	do {                                                                                     \
		int error_ = (call);                                                             \
		if (error_ != 0)                                                                 \
			tap_fail(__FILE__, __LINE__, "%s: error %d", #call, error_);             \
	} while (0)

/* A call that must return -1 with this errno. */
#define FAILS(call, error)                                                                       \
	do {                                                                                     \
		errno = 0;                                                                       \
		CHECK_EQ((call), -1);                                                            \
		CHECK_EQ(errno, error);                                                          \
	} while (0)

/* Helpers that several files use (helpers.c). */

/* The two lowest bits of CS: 0 in a unikernel, 3 in an ordinary process. */
int ring(void);
/* fork; the child runs FUNCTION and exits with what it returns. Gives the child. */
pid_t spawn(int (*function)(void *), void *argument);
/* Waits for CHILD; gives its exit status, or -N if signal N killed it. */
int reap(pid_t child);
/* Is the processor QEMU's software emulation? It lacks two exceptions. */
bool emulated(void);
/* Monotonic nanoseconds. */
int64_t now(void);
void sleep_ms(int ms);
/* Puts the calling thread on CPU; false if there is none such. */
bool pin(int cpu);
int cpus(void);
/* A new empty directory that is removed with its files at the end of the case; the process's own. */
const char *scratch(void);
/* Path of FILE in the scratch directory; static storage. */
const char *scratch_file(const char *name);
/* A one-shot or, with PERIOD, periodic real-time timer that sends SIGALRM; microseconds, 0 stops it. */
void alarm_us(int first, int period);
/* Installs HANDLER with FLAGS and an empty mask. */
void on_signal(int signal, void (*handler)(int), int flags);

#endif
