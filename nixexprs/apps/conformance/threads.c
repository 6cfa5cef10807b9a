/* threads.c: POSIX threads, all of whose promises rest on futexes, preemption, signals and thread-local storage. */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

static pthread_t start(void *(*function)(void *), void *argument)
{
	pthread_t thread;

	OK(pthread_create(&thread, NULL, function, argument));
	return thread;
}

static void *join(pthread_t thread)
{
	void *value;

	OK(pthread_join(thread, &value));
	return value;
}

/* An absolute time on CLOCK, so many milliseconds from now. */
static struct timespec in_ms(clockid_t clock, int ms)
{
	struct timespec t;

	clock_gettime(clock, &t);
	t.tv_nsec += ms % 1000 * 1000000l;
	t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static void *echo(void *argument) { return argument; }

TEST(threads, create_and_join)
{
	for (intptr_t i = 0; i < 500; i++)
		CHECK_EQ((intptr_t)join(start(echo, (void *)i)), i);
}

static void *exit_deep(void *levels);
static void *(*volatile deeper)(void *) = exit_deep; /* volatile: GCC takes the plain call for an endless one */

static void *exit_deep(void *levels)
{
	if (levels != NULL)
		deeper((char *)levels - 1);
	pthread_exit((void *)77);
}

TEST(threads, exit_value) { CHECK_EQ((intptr_t)join(start(exit_deep, (void *)10)), 77); }

enum { CROWD = 1000 };

static pthread_barrier_t crowd;
static atomic_int present;

static void *attend(void *argument)
{
	atomic_fetch_add(&present, 1);
	pthread_barrier_wait(&crowd); /* all there */
	return argument;
}

TEST(threads, a_thousand_at_once)
{
	static pthread_t threads[CROWD];
	pthread_attr_t small;

	OK(pthread_barrier_init(&crowd, NULL, CROWD + 1));
	OK(pthread_attr_init(&small));
	OK(pthread_attr_setstacksize(&small, 32 * 1024));
	for (intptr_t i = 0; i < CROWD; i++)
		OK(pthread_create(&threads[i], &small, attend, (void *)i));
	pthread_barrier_wait(&crowd);
	CHECK_EQ(present, CROWD);
	for (intptr_t i = 0; i < CROWD; i++)
		CHECK_EQ((intptr_t)join(threads[i]), i);
	pthread_attr_destroy(&small);
}

static sem_t done;

static void *post_done(void *argument)
{
	sem_post(&done);
	return argument;
}

static long pages_mapped(void)
{
	long pages = 0;
	FILE *stream = fopen("/proc/self/statm", "r");

	CHECK(stream != NULL);
	CHECK_EQ(fscanf(stream, "%ld", &pages), 1);
	fclose(stream);
	return pages;
}

static void detached_round(int threads)
{
	pthread_attr_t detached;

	OK(pthread_attr_init(&detached));
	OK(pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED));
	for (int i = 0; i < threads; i++) {
		pthread_t thread;

		OK(pthread_create(&thread, &detached, post_done, NULL));
		MUST(sem_wait(&done));
	}
	pthread_attr_destroy(&detached);
}

TEST(threads, detached_give_back_their_stacks)
{
	long before;

	MUST(sem_init(&done, 0, 0));
	detached_round(50); /* fills the cache of stacks */
	before = pages_mapped();
	detached_round(500);
	CHECK(pages_mapped() - before < 20 * 1024); /* 500 stacks of 8 MiB would be a million pages */
}

static int shared_count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *count_up(void *argument)
{
	for (int i = 0; i < 2000; i++) {
		OK(pthread_mutex_lock(argument));
		shared_count++;
		OK(pthread_mutex_unlock(argument));
	}
	return NULL;
}

static void contend(pthread_mutex_t *lock)
{
	pthread_t threads[8];

	shared_count = 0;
	for (int i = 0; i < 8; i++)
		threads[i] = start(count_up, lock);
	for (int i = 0; i < 8; i++)
		join(threads[i]);
	CHECK_EQ(shared_count, 8 * 2000);
}

TEST(threads, mutex_contention) { contend(&mutex); }

/* Attributes: type, robustness, protocol, sharing. */
static void init_mutex(pthread_mutex_t *lock, int type, int robust, int protocol, int shared)
{
	pthread_mutexattr_t attributes;

	OK(pthread_mutexattr_init(&attributes));
	OK(pthread_mutexattr_settype(&attributes, type));
	OK(pthread_mutexattr_setrobust(&attributes, robust));
	OK(pthread_mutexattr_setprotocol(&attributes, protocol));
	OK(pthread_mutexattr_setpshared(&attributes, shared));
	OK(pthread_mutex_init(lock, &attributes));
	pthread_mutexattr_destroy(&attributes);
}

static void *try_lock(void *lock) { return (void *)(intptr_t)pthread_mutex_trylock(lock); }

TEST(threads, mutex_types)
{
	struct timespec soon = in_ms(CLOCK_REALTIME, 20);
	pthread_mutex_t lock;

	init_mutex(&lock, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, PTHREAD_PROCESS_PRIVATE);
	CHECK_EQ(pthread_mutex_unlock(&lock), EPERM);
	OK(pthread_mutex_lock(&lock));
	CHECK_EQ(pthread_mutex_lock(&lock), EDEADLK);
	CHECK_EQ((intptr_t)join(start(try_lock, &lock)), EBUSY);
	OK(pthread_mutex_unlock(&lock));

	init_mutex(&lock, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, PTHREAD_PROCESS_PRIVATE);
	OK(pthread_mutex_lock(&lock));
	OK(pthread_mutex_lock(&lock));
	OK(pthread_mutex_unlock(&lock));
	CHECK_EQ((intptr_t)join(start(try_lock, &lock)), EBUSY);
	OK(pthread_mutex_unlock(&lock));

	OK(pthread_mutex_lock(&mutex));
	CHECK_EQ(pthread_mutex_timedlock(&mutex, &soon), ETIMEDOUT);
}

static void *lock_and_die(void *lock)
{
	OK(pthread_mutex_lock(lock));
	return NULL;
}

static void check_owner_dead(pthread_mutex_t *lock)
{
	CHECK_EQ(pthread_mutex_lock(lock), EOWNERDEAD);
	OK(pthread_mutex_consistent(lock));
	OK(pthread_mutex_unlock(lock));
	OK(pthread_mutex_lock(lock));
	OK(pthread_mutex_unlock(lock));
}

static int lock_and_be_killed(void *lock)
{
	OK(pthread_mutex_lock(lock));
	raise(SIGKILL);
	return 1;
}

static void robust(int protocol)
{
	pthread_mutex_t *lock = MUST(mmap(NULL, sizeof *lock, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));

	init_mutex(lock, PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, protocol, PTHREAD_PROCESS_SHARED);
	join(start(lock_and_die, lock));
	check_owner_dead(lock);
	CHECK_EQ(reap(spawn(lock_and_be_killed, lock)), -SIGKILL);
	check_owner_dead(lock);
	join(start(lock_and_die, lock));
	CHECK_EQ(pthread_mutex_lock(lock), EOWNERDEAD);
	OK(pthread_mutex_unlock(lock)); /* not made consistent */
	CHECK_EQ(pthread_mutex_lock(lock), ENOTRECOVERABLE);
}

TEST(threads, robust_mutex) { robust(PTHREAD_PRIO_NONE); }
TEST(threads, robust_pi_mutex) { robust(PTHREAD_PRIO_INHERIT); }

TEST(threads, pi_mutex)
{
	pthread_mutex_t lock;

	init_mutex(&lock, PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT, PTHREAD_PROCESS_PRIVATE);
	contend(&lock);
}

static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int turn;

static void *ping(void *argument)
{
	int mine = (int)(intptr_t)argument;

	OK(pthread_mutex_lock(&mutex));
	for (int i = 0; i < 500; i++) {
		while (turn != mine)
			OK(pthread_cond_wait(&condition, &mutex));
		turn = !mine;
		OK(pthread_cond_signal(&condition));
	}
	OK(pthread_mutex_unlock(&mutex));
	return NULL;
}

TEST(threads, condition_ping_pong)
{
	pthread_t other = start(ping, (void *)1);

	ping((void *)0);
	join(other);
}

static void *wait_for_turn(void *argument)
{
	OK(pthread_mutex_lock(&mutex));
	while (!turn)
		OK(pthread_cond_wait(&condition, &mutex));
	OK(pthread_mutex_unlock(&mutex));
	return argument;
}

TEST(threads, condition_broadcast)
{
	pthread_t threads[50];

	for (intptr_t i = 0; i < 50; i++)
		threads[i] = start(wait_for_turn, (void *)i);
	OK(pthread_mutex_lock(&mutex));
	turn = 1;
	OK(pthread_cond_broadcast(&condition));
	OK(pthread_mutex_unlock(&mutex));
	for (intptr_t i = 0; i < 50; i++)
		CHECK_EQ((intptr_t)join(threads[i]), i);
}

TEST(threads, condition_timeout)
{
	struct timespec monotonic = in_ms(CLOCK_MONOTONIC, 30), real = in_ms(CLOCK_REALTIME, 30);
	int64_t begin = now();

	OK(pthread_mutex_lock(&mutex));
	CHECK_EQ(pthread_cond_timedwait(&condition, &mutex, &real), ETIMEDOUT);
	CHECK_EQ(pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &monotonic), ETIMEDOUT);
	CHECK(now() - begin >= 25 * 1000000);
	CHECK_EQ((intptr_t)join(start(try_lock, &mutex)), EBUSY); /* it is locked again */
}

static pthread_barrier_t barrier;
static atomic_int phases[20];

static void *march(void *argument)
{
	int leaders = 0;
	(void)argument;

	for (int i = 0; i < 20; i++) {
		atomic_fetch_add(&phases[i], 1);
		leaders += pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
		CHECK_EQ(phases[i], 6); /* nobody came through early */
	}
	return (void *)(intptr_t)leaders;
}

TEST(threads, barrier)
{
	pthread_t threads[6];
	intptr_t leaders = 0;

	OK(pthread_barrier_init(&barrier, NULL, 6));
	for (int i = 0; i < 6; i++)
		threads[i] = start(march, NULL);
	for (int i = 0; i < 6; i++)
		leaders += (intptr_t)join(threads[i]);
	CHECK_EQ(leaders, 20);
	OK(pthread_barrier_destroy(&barrier));
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static volatile int pair[2];

static void *read_pair(void *argument)
{
	for (int i = 0; i < 1000; i++) {
		OK(pthread_rwlock_rdlock(&rwlock));
		CHECK_EQ(pair[0], pair[1]);
		OK(pthread_rwlock_unlock(&rwlock));
	}
	return argument;
}

static void *write_pair(void *argument)
{
	for (int i = 0; i < 1000; i++) {
		OK(pthread_rwlock_wrlock(&rwlock));
		pair[0]++;
		pair[1]++;
		OK(pthread_rwlock_unlock(&rwlock));
	}
	return argument;
}

TEST(threads, rwlock)
{
	pthread_t threads[6];

	for (int i = 0; i < 6; i++)
		threads[i] = start(i % 3 ? read_pair : write_pair, NULL);
	for (int i = 0; i < 6; i++)
		join(threads[i]);
	CHECK_EQ(pair[0], 2000);
}

static pthread_spinlock_t spinlock;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_once(void)
{
	turn++;
	sleep_ms(5);
}

static void *spin_count(void *argument)
{
	OK(pthread_once(&once, init_once));
	for (int i = 0; i < 1000; i++) {
		OK(pthread_spin_lock(&spinlock));
		shared_count++;
		OK(pthread_spin_unlock(&spinlock));
	}
	return argument;
}

TEST(threads, spinlock_and_once)
{
	pthread_t threads[4];

	OK(pthread_spin_init(&spinlock, PTHREAD_PROCESS_PRIVATE));
	for (int i = 0; i < 4; i++)
		threads[i] = start(spin_count, NULL);
	for (int i = 0; i < 4; i++)
		join(threads[i]);
	CHECK_EQ(shared_count, 4000);
	CHECK_EQ(turn, 1);
}

static int post_shared(void *semaphore)
{
	for (int i = 0; i < 100; i++)
		sem_post(semaphore);
	return 0;
}

TEST(threads, semaphore_between_processes)
{
	struct timespec soon = in_ms(CLOCK_REALTIME, 10);
	sem_t *semaphore = MUST(mmap(NULL, sizeof *semaphore, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	pid_t child;

	MUST(sem_init(semaphore, 1, 0));
	FAILS(sem_trywait(semaphore), EAGAIN);
	FAILS(sem_timedwait(semaphore, &soon), ETIMEDOUT);
	child = spawn(post_shared, semaphore);
	for (int i = 0; i < 100; i++)
		MUST(sem_wait(semaphore));
	CHECK_EQ(reap(child), 0);
}

static char trace[32];
static void note(void *letter) { strncat(trace, letter, 1); }

/* Cancellation: the thread is to die inside BLOCK, its handlers run, last first. */
struct victim {
	void (*block)(void);
	int type;
	sem_t ready;
};

static void *suffer(void *argument)
{
	struct victim *victim = argument;

	OK(pthread_setcanceltype(victim->type, NULL));
	pthread_cleanup_push(note, "b");
	pthread_cleanup_push(note, "a");
	sem_post(&victim->ready);
	for (;;)
		victim->block();
	pthread_cleanup_pop(0);
	pthread_cleanup_pop(0);
	return NULL;
}

static int pipes[2];

static void block_in_read(void)
{
	char c;

	if (read(pipes[0], &c, 1) < 0)
		CHECK_EQ(errno, EINTR);
}

static void block_in_nanosleep(void) { usleep(100000); }
static void block_in_test(void) { pthread_testcancel(); }
static void block_in_loop(void) { __asm__ volatile("pause"); }
static void block_in_getppid(void) { syscall(SYS_getppid); }
static void block_in_semaphore(void) { sem_wait(&done); }

static void unlock(void *lock) { OK(pthread_mutex_unlock(lock)); }

static void block_in_condition(void)
{
	OK(pthread_mutex_lock(&mutex));
	pthread_cleanup_push(unlock, &mutex);
	OK(pthread_cond_wait(&condition, &mutex));
	pthread_cleanup_pop(1);
}

static void cancel(void (*block)(void), int type, int delay_ms)
{
	struct victim victim = { .block = block, .type = type };
	pthread_t thread;

	trace[0] = '\0';
	MUST(sem_init(&victim.ready, 0, 0));
	thread = start(suffer, &victim);
	MUST(sem_wait(&victim.ready));
	sleep_ms(delay_ms);
	OK(pthread_cancel(thread));
	CHECK(join(thread) == PTHREAD_CANCELED);
	CHECK(strcmp(trace, "ab") == 0);
}

TEST(threads, cancel_deferred)
{
	MUST(pipe(pipes));
	MUST(sem_init(&done, 0, 0));
	for (int delay = 0; delay < 10; delay += 3) {
		cancel(block_in_read, PTHREAD_CANCEL_DEFERRED, delay);
		cancel(block_in_nanosleep, PTHREAD_CANCEL_DEFERRED, delay);
		cancel(block_in_test, PTHREAD_CANCEL_DEFERRED, delay);
		cancel(block_in_semaphore, PTHREAD_CANCEL_DEFERRED, delay);
		cancel(block_in_condition, PTHREAD_CANCEL_DEFERRED, delay);
		OK(pthread_mutex_lock(&mutex)); /* the handler had it back and gave it up */
		OK(pthread_mutex_unlock(&mutex));
	}
}

/* Wherever the signal strikes, the stack can be unwound, at the entry of a system call too. */
TEST(threads, cancel_asynchronous)
{
	for (int i = 0; i < 50; i++) {
		cancel(block_in_loop, PTHREAD_CANCEL_ASYNCHRONOUS, 0);
		cancel(block_in_getppid, PTHREAD_CANCEL_ASYNCHRONOUS, 0);
	}
}

static void *refuse_cancel(void *argument)
{
	int64_t begin = now();

	OK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL));
	sem_post(argument);
	sleep_ms(30);
	CHECK(now() - begin > 25 * 1000000);
	OK(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL));
	pthread_testcancel();
	return NULL;
}

TEST(threads, cancel_disabled)
{
	pthread_t thread;

	MUST(sem_init(&done, 0, 0));
	thread = start(refuse_cancel, &done);
	MUST(sem_wait(&done));
	OK(pthread_cancel(thread));
	CHECK(join(thread) == PTHREAD_CANCELED);
}

static pthread_key_t key;

static void destroy_value(void *value)
{
	note(value);
	if (*(char *)value == 'x') /* set again: destructors run once more */
		OK(pthread_setspecific(key, "y"));
}

static void *exit_with_everything(void *argument)
{
	(void)argument;
	OK(pthread_setspecific(key, "x"));
	pthread_cleanup_push(note, "2");
	pthread_cleanup_push(note, "1");
	exit_deep((void *)3);
	pthread_cleanup_pop(0);
	pthread_cleanup_pop(0);
	return NULL;
}

TEST(threads, exit_runs_handlers_and_destructors)
{
	OK(pthread_key_create(&key, destroy_value));
	CHECK_EQ((intptr_t)join(start(exit_with_everything, NULL)), 77);
	CHECK(strcmp(trace, "12xy") == 0);
	CHECK(pthread_getspecific(key) == NULL);
}

static __thread int tls_initialised = 42;
static __thread int tls_zero;
static __thread char tls_aligned[100] __attribute__((aligned(64))) = "aligned";

static void *use_tls(void *argument)
{
	CHECK_EQ(tls_initialised, 42);
	CHECK_EQ(tls_zero, 0);
	CHECK_EQ((uintptr_t)tls_aligned % 64, 0);
	CHECK(strcmp(tls_aligned, "aligned") == 0);
	for (int i = 0; i < 100; i++) {
		tls_initialised += 2;
		tls_zero -= 1;
		memset(tls_aligned, i, sizeof tls_aligned);
		sched_yield();
		CHECK_EQ(tls_aligned[99], i);
	}
	CHECK_EQ(tls_initialised, 242);
	CHECK_EQ(tls_zero, -100);
	return argument;
}

static int tls_in_child(void *unused)
{
	(void)unused;
	return tls_initialised == 242 && join(start(use_tls, "x")) != NULL ? 0 : 1;
}

TEST(threads, tls)
{
	pthread_t threads[20];

	for (int i = 0; i < 20; i++)
		threads[i] = start(use_tls, NULL);
	for (int i = 0; i < 20; i++)
		join(threads[i]);
	use_tls(NULL);
	CHECK_EQ(reap(spawn(tls_in_child, NULL)), 0);
}

static __attribute__((noinline)) int deep(int levels)
{
	volatile char frame[4096];

	frame[0] = 1;
	return levels == 0 ? 0 : deep(levels - 1) + frame[0];
}

static void *use_stack(void *argument) { return (void *)(intptr_t)deep((int)(intptr_t)argument); }

TEST(threads, stacks_are_big)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		threads[i] = start(use_stack, (void *)1000);
	for (int i = 0; i < 4; i++)
		CHECK_EQ((intptr_t)join(threads[i]), 1000);
}

static void *linger(void *argument)
{
	sleep_ms(20);
	exit((int)(intptr_t)argument);
}

static int leave_main(void *argument)
{
	start(linger, argument);
	pthread_exit(NULL);
}

TEST(threads, main_may_leave_first) { CHECK_EQ(reap(spawn(leave_main, (void *)23)), 23); }

/* Nobody yields: only preemption lets both, and this thread, get on. */
static atomic_bool stop;

static void *spin(void *counter)
{
	while (!stop)
		++*(volatile long *)counter;
	return NULL;
}

/* None has had ten times as much as another. */
static bool shared(const volatile long *counts, int n)
{
	for (int i = 0; i < n; i++)
		if (counts[i] <= counts[0] / 10 || counts[0] <= counts[i] / 10)
			return false;
	return true;
}

TEST(threads, busy_threads_share_a_cpu)
{
	long counts[5] = { 0 };
	pthread_t threads[5];
	bool fair = false;

	CHECK(pin(0));
	for (int i = 0; i < 5; i++)
		threads[i] = start(spin, &counts[i]);
	for (int tries = 0; tries < 20 && !fair; tries++) { /* half a second is little for a kernel that is slow */
		sleep_ms(500);
		fair = shared(counts, 5);
	}
	stop = true;
	for (int i = 0; i < 5; i++)
		join(threads[i]);
	CHECK(fair);
}

static void *run_on(void *argument)
{
	int cpu = (int)(intptr_t)argument;

	CHECK(pin(cpu));
	for (int i = 0; i < 200; i++) {
		CHECK_EQ(sched_getcpu(), cpu);
		atomic_fetch_add(&present, 1);
	}
	return NULL;
}

TEST(threads, every_cpu)
{
	pthread_t threads[64];
	int count = cpus() < 64 ? cpus() : 64;

	for (int i = 0; i < count; i++)
		threads[i] = start(run_on, (void *)(intptr_t)i);
	for (int i = 0; i < count; i++)
		join(threads[i]);
	CHECK_EQ(present, 200 * count);
}

static long futex(void *word, int operation, unsigned value, const struct timespec *timeout, void *second, unsigned third)
{
	return syscall(SYS_futex, word, operation, value, timeout, second, third);
}

static void *wait_on(void *word)
{
	while (futex(word, FUTEX_WAIT, 0, NULL, NULL, 0) < 0 && errno == EINTR)
		;
	atomic_fetch_add(&present, 1);
	return NULL;
}

TEST(threads, futex)
{
	static atomic_uint first, second;
	const struct timespec short_time = { .tv_nsec = 10000000 };
	pthread_t threads[10];
	long moved = 0;

	FAILS(futex(&first, FUTEX_WAIT, 1, NULL, NULL, 0), EAGAIN);
	FAILS(futex(&first, FUTEX_WAIT, 0, &short_time, NULL, 0), ETIMEDOUT);
	FAILS(futex((char *)&first + 1, FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
	FAILS(futex((void *)8, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
	for (int i = 0; i < 10; i++)
		threads[i] = start(wait_on, &first);
	while (moved < 10) /* none is woken, all are moved */
		moved += MUST(futex(&first, FUTEX_CMP_REQUEUE, 0, (void *)INT_MAX, &second, 0));
	CHECK_EQ(present, 0);
	CHECK_EQ(futex(&first, FUTEX_WAKE, INT_MAX, NULL, NULL, 0), 0);
	CHECK_EQ(futex(&second, FUTEX_WAKE, INT_MAX, NULL, NULL, 0), 10);
	for (int i = 0; i < 10; i++)
		join(threads[i]);
}

static int thrd_echo(void *argument) { return (int)(intptr_t)argument; }

TEST(threads, c11)
{
	static once_flag flag = ONCE_FLAG_INIT;
	thrd_t thread;
	mtx_t lock;
	int value;

	call_once(&flag, init_once);
	CHECK_EQ(turn, 1);
	CHECK_EQ(mtx_init(&lock, mtx_plain), thrd_success);
	CHECK_EQ(mtx_lock(&lock), thrd_success);
	CHECK_EQ(mtx_trylock(&lock), thrd_busy);
	CHECK_EQ(thrd_create(&thread, thrd_echo, (void *)5), thrd_success);
	CHECK_EQ(thrd_join(thread, &value), thrd_success);
	CHECK_EQ(value, 5);
}

static void *allocate(void *argument)
{
	unsigned seed = (unsigned)(intptr_t)argument;
	char *blocks[64] = { NULL };

	for (int i = 0; i < 5000; i++) {
		int slot = rand_r(&seed) % 64;
		size_t size = (size_t)rand_r(&seed) % (i % 100 == 0 ? 200000 : 2000) + 1;

		free(blocks[slot]);
		blocks[slot] = malloc(size);
		CHECK(blocks[slot] != NULL);
		memset(blocks[slot], slot, size);
	}
	for (int i = 0; i < 64; i++)
		free(blocks[i]);
	return NULL;
}

TEST(threads, malloc)
{
	pthread_t threads[8];

	for (intptr_t i = 0; i < 8; i++)
		threads[i] = start(allocate, (void *)i);
	for (int i = 0; i < 8; i++)
		join(threads[i]);
}
