// crash.c crashes in the way that its argument names and reports it as the kernel of a unikernel does: the lines of
// ring0_report_crash(), on stdout; a second argument is how many lines of the stack. The handler has a stack of its own, so it leaves that of the crash alone.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#define apart __attribute__((noinline, noclone))

enum { WORDS = 8 };
static int lines = 32;

/* Where code of files is; the program's own is called as in a guest. */
static void maps(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[4200], self[4096] = "", *path;
	unsigned long start, end, offset;
	char rights[8];

	readlink("/proc/self/exe", self, sizeof(self) - 1);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s %lx", &start, &end, rights, &offset) == 4 && rights[2] == 'x' &&
		    (path = strchr(line, '/'))) {
			path[strcspn(path, "\n")] = '\0';
			printf("[    0.5] ukl: crash map %lx %lx %lx %s\r\n", start, end, offset,
			       strcmp(path, self) ? path : "/app");
		}
	fclose(f);
}

static void report(int sig, siginfo_t *info, void *context)
{
	const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	unsigned long sp = g[REG_RSP], w[WORDS];
	int fault = info->si_code > 0 && info->si_code < 0x80;
	int i;

	printf("[    0.5] ukl: crash signal %d code %d address %lx thread 1\r\n", sig, info->si_code,
	       fault ? (unsigned long)info->si_addr : 0);
	printf("[    0.5] ukl: crash registers ax %llx dx %llx cx %llx bx %llx si %llx di %llx bp %llx sp %llx r8 %llx r9 %llx "
	       "r10 %llx r11 %llx r12 %llx r13 %llx r14 %llx r15 %llx ip %llx flags %llx\r\n",
	       g[REG_RAX], g[REG_RDX], g[REG_RCX], g[REG_RBX], g[REG_RSI], g[REG_RDI], g[REG_RBP], g[REG_RSP], g[REG_R8],
	       g[REG_R9], g[REG_R10], g[REG_R11], g[REG_R12], g[REG_R13], g[REG_R14], g[REG_R15], g[REG_RIP], g[REG_EFL]);
	if (!getenv("NOMAPS"))
		maps();
	for (i = 0; i < lines; i++, sp += sizeof(w)) {
		struct iovec to = { w, sizeof(w) }, from = { (void *)sp, sizeof(w) };
		if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != sizeof(w))
			break;
		printf("[    0.5] ukl: crash stack %lx: %lx %lx %lx %lx %lx %lx %lx %lx\r\n", sp, w[0], w[1], w[2], w[3], w[4],
		       w[5], w[6], w[7]);
	}
	printf("[    0.5] ukl: app killed by signal %d\r\n", sig);
	fflush(stdout);
	_exit(0);
}

static volatile int *volatile nowhere;
static volatile int zero;
static void (*volatile call)(void);

apart static int deeper(int n)
{
	volatile char room[1000];
	room[n % 1000] = 1;
	return deeper(n + 1) + room[n % 1000];
}

/* It needs the stack for its return addresses alone, so what fails is always the store of a call. */
int calls(void);
__asm__(".globl calls\n.type calls, @function\ncalls:\n.cfi_startproc\n\tcall calls\n\tret\n.cfi_endproc\n.size calls, .-calls\n");

apart static int smash(void)
{
	volatile unsigned long a[2];
	memset((void *)a, 0x41, 160);
	return a[0];
}

static inline __attribute__((always_inline)) void store(void)
{
	*nowhere = 1; // STORE
}

apart static int crash_here(const char *what)
{
	if (!strcmp(what, "null"))
		store(); // INLINED
	if (!strcmp(what, "divide"))
		return 100 / zero;
	if (!strcmp(what, "illegal"))
		__asm__ volatile("ud2");
	if (!strcmp(what, "abort"))
		abort(); // ABORT
	if (!strcmp(what, "call"))
		call();
	if (!strcmp(what, "kernel")) {
		call = (void (*)(void))0xffffffff81000010;
		call();
	}
	if (!strcmp(what, "signal"))
		raise(SIGUSR1);
	if (!strcmp(what, "overflow"))
		return deeper(0);
	if (!strcmp(what, "calls"))
		return calls();
	if (!strcmp(what, "smash"))
		return smash();
	return 0;
}

static void on_usr1(int sig)
{
	(void)sig;
	zero += crash_here("null") + 1;
}

apart static int handle(const char *what)
{
	volatile char room[100];
	room[0] = 1;
	return crash_here(what) + room[0]; // HANDLE
}

int main(int argc, char **argv)
{
	static const int all[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	static char stack[64 << 10];
	stack_t own = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction act = { .sa_sigaction = report, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	if (argc > 2)
		lines = atoi(argv[2]);
	sigaltstack(&own, NULL);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		sigaction(all[i], &act, NULL);
	signal(SIGUSR1, on_usr1);
	return handle(argc > 1 ? argv[1] : "") + 1; // MAIN
}
