/* jumps.c: leaving a context for another: setjmp, siglongjmp out of handlers, ucontext. */
#define _FORTIFY_SOURCE 2 /* longjmp is the checking one, which asks the kernel about the signal stack */
#include "tap.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int hits;

static __attribute__((noinline)) void descend(int levels)
{
	volatile char frame[100];

	frame[0] = (char)levels;
	if (levels == 0)
		siglongjmp(back, 5);
	descend(levels - 1);
	(void)frame[0];
}

TEST(jumps, longjmp)
{
	volatile double before = 1.5;
	jmp_buf here;
	int value = sigsetjmp(back, 0);

	if (value == 0)
		descend(50);
	CHECK_EQ(value, 5);
	CHECK(before == 1.5);
	value = setjmp(here);
	if (value == 0)
		longjmp(here, 0); /* arrives as 1 */
	CHECK_EQ(value, 1);
}

static void jump_out(int signal)
{
	hits++;
	siglongjmp(back, signal);
}

/* The mask comes back, with sigsetjmp(..., 1), or the second round would hang. */
TEST(jumps, out_of_handler)
{
	on_signal(SIGUSR1, jump_out, 0);
	for (volatile int i = 0; i < 100; i++)
		if (sigsetjmp(back, 1) == 0) {
			raise(SIGUSR1);
			tap_fail(__FILE__, __LINE__, "came back");
		}
	CHECK_EQ(hits, 100);
}

static void jump_out_of_busy(int signal)
{
	(void)signal;
	hits++;
	siglongjmp(back, 1);
}

TEST(jumps, out_of_busy_loop)
{
	on_signal(SIGALRM, jump_out_of_busy, SA_NODEFER);
	for (volatile int i = 0; i < 50; i++)
		if (sigsetjmp(back, 0) == 0) {
			alarm_us(1000, 0);
			for (;;)
				__asm__ volatile("");
		}
	CHECK_EQ(hits, 50);
}

/* From the signal stack, wherever it lies, back to the ordinary one. */
TEST(jumps, off_signal_stack)
{
	static char low[64 * 1024];
	stack_t stack = { .ss_sp = low, .ss_size = sizeof low };

	on_signal(SIGUSR1, jump_out, SA_ONSTACK);
	for (volatile int i = 0; i < 2; i++) {
		sigaltstack(&stack, NULL);
		if (sigsetjmp(back, 1) == 0)
			raise(SIGUSR1);
		CHECK_EQ(hits, i + 1);
		stack.ss_sp = alloca(sizeof low); /* below this function's frame, as seen from the handler */
	}
}

static void jump_down(int signal)
{
	(void)signal;
	longjmp(back, 1);
}

static __attribute__((noinline)) void set_deeper(void)
{
	volatile char frame[4096];

	frame[0] = 0;
	if (setjmp(back) != 0)
		_exit(3);
	(void)frame[0];
}

static int jump_into_dead_frame(void *unused)
{
	(void)unused;
	set_deeper();
	jump_down(0);
	return 1;
}

/* The checking longjmp refuses a frame that has returned. */
TEST(jumps, into_dead_frame_aborts) { CHECK_EQ(reap(spawn(jump_into_dead_frame, NULL)), -SIGABRT); }

static ucontext_t main_context, contexts[2];
static char stacks[2][64 * 1024];
static int steps[2];

static void step(int self, int rounds)
{
	double sum = self;

	for (int i = 0; i < rounds; i++) {
		sum += 0.5;
		steps[self]++;
		if (swapcontext(&contexts[self], &contexts[!self]) < 0)
			tap_fail(__FILE__, __LINE__, "swapcontext");
	}
	CHECK(sum == self + 0.5 * rounds);
}

static void tick(int signal)
{
	(void)signal;
	hits++;
}

TEST(jumps, coroutines)
{
	on_signal(SIGALRM, tick, 0);
	alarm_us(1000, 1000);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(getcontext(&contexts[i]), 0);
		contexts[i].uc_stack.ss_sp = stacks[i];
		contexts[i].uc_stack.ss_size = sizeof stacks[i];
		contexts[i].uc_link = &main_context;
		makecontext(&contexts[i], (void (*)(void))(void (*)(int, int))step, 2, i, 5000);
	}
	CHECK_EQ(swapcontext(&main_context, &contexts[0]), 0); /* back when one of them returns */
	alarm_us(0, 0);
	CHECK_EQ(steps[0], 5000);
	CHECK_EQ(steps[1], 5000);
}

TEST(jumps, setcontext_again)
{
	static volatile int times;
	ucontext_t here;
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	CHECK_EQ(getcontext(&here), 0);
	if (times++ < 10) {
		sigprocmask(SIG_BLOCK, &mask, NULL);
		setcontext(&here);
	}
	CHECK_EQ(times, 11);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	CHECK(!sigismember(&mask, SIGUSR1)); /* the context's mask */
}
