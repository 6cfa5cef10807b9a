/* observed.c: what others see of a process: core files, /proc, perf, watchpoints. */
#include "tap.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };

static bool in_kernel_half(uint64_t address) { return address >> 63; }

/* Core files. */

static char marker[] = "in the core file";

void crash_with_known_registers(void);
extern char crash_is_here[];
__asm__(".text\ncrash_with_known_registers:\n"
	"	mov $0x1122334455667788, %rbx\n"
	"	mov $-2, %r12\n"
	"	xor %eax, %eax\n"
	"crash_is_here:\n"
	"	movl $1, (%rax)\n");

static int dump_core(void *directory)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	MUST(chdir(directory));
	MUST(setrlimit(RLIMIT_CORE, &all));
	marker[0] = 'I';
	crash_with_known_registers();
	return 0;
}

/* The note of TYPE in the LENGTH bytes at NOTES, or NULL. */
static const void *note(const char *notes, size_t length, unsigned type)
{
	for (const char *at = notes; at + sizeof(Elf64_Nhdr) <= notes + length;) {
		const Elf64_Nhdr *header = (const void *)at;
		const char *content = at + sizeof *header + (header->n_namesz + 3) / 4 * 4;

		if (header->n_type == type)
			return content;
		at = content + (header->n_descsz + 3) / 4 * 4;
	}
	return NULL;
}

/* Sets where cores go (core(5)); what was set before is in BEFORE. */
static void core_pattern(const char *pattern, char before[128])
{
	int fd = MUST(open("/proc/sys/kernel/core_pattern", O_RDWR | O_CLOEXEC));
	ssize_t n = MUST(read(fd, before, 127));

	before[n] = '\0';
	CHECK_EQ(pwrite(fd, pattern, strlen(pattern), 0), strlen(pattern));
	close(fd);
}

TEST(observed, core_file)
{
	const char *directory = scratch();
	char before[128], own[128]; /* of process mode, whose init makes crash reports of cores */
	pid_t child;
	const struct elf_prstatus *state = NULL;
	const Elf64_Ehdr *header;
	const Elf64_Phdr *segment;
	const char *core;
	bool seen_marker = false;
	struct stat file;
	int status, fd;

	core_pattern("core", before);
	child = spawn(dump_core, (void *)directory);
	CHECK_EQ(MUST(waitpid(child, &status, 0)), child);
	core_pattern(before, own);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	CHECK(WCOREDUMP(status));
	fd = open(scratch_file("core"), O_RDONLY);
	if (fd < 0) {
		char name[40];

		snprintf(name, sizeof name, "core.%d", child);
		fd = MUST(open(scratch_file(name), O_RDONLY));
	}
	MUST(fstat(fd, &file));
	core = MUST(mmap(NULL, file.st_size, PROT_READ, MAP_PRIVATE, fd, 0));
	header = (const void *)core;
	CHECK(memcmp(header->e_ident, ELFMAG, SELFMAG) == 0);
	CHECK_EQ(header->e_type, ET_CORE);
	segment = (const void *)(core + header->e_phoff);
	for (int i = 0; i < header->e_phnum; i++, segment++) {
		uintptr_t offset = (uintptr_t)marker - segment->p_vaddr;

		if (segment->p_type == PT_NOTE)
			state = note(core + segment->p_offset, segment->p_filesz, NT_PRSTATUS);
		else if (segment->p_type == PT_LOAD && offset < segment->p_filesz)
			seen_marker = strcmp(core + segment->p_offset + offset, "In the core file") == 0;
	}
	CHECK(seen_marker);
	CHECK(state != NULL);
	CHECK_EQ(state->pr_cursig, SIGSEGV);
	CHECK_EQ(state->pr_pid, child);
	CHECK_AT(((const struct user_regs_struct *)state->pr_reg)->rip, crash_is_here);
	CHECK_EQ(((const struct user_regs_struct *)state->pr_reg)->rbx, 0x1122334455667788);
	CHECK_EQ(((const struct user_regs_struct *)state->pr_reg)->r12, -2);
	CHECK_EQ(((const struct user_regs_struct *)state->pr_reg)->cs & 3, ring());
	CHECK(!in_kernel_half(((const struct user_regs_struct *)state->pr_reg)->rsp));
}

/* /proc. */

static int sleep_for_ever(void *pipe)
{
	char byte;

	return read(*(int *)pipe, &byte, 1) == 0;
}

TEST(observed, system_call_it_is_in)
{
	unsigned long argument[6], sp = 0, pc = 0;
	char path[40];
	pid_t child;
	long number = -1;
	int pipes[2];

	MUST(pipe(pipes));
	child = spawn(sleep_for_ever, pipes);
	snprintf(path, sizeof path, "/proc/%d/syscall", child);
	for (int64_t begin = now(); number != SYS_read && now() - begin < 5000000000ll; sleep_ms(1)) {
		char line[200] = "";
		int fd = MUST(open(path, O_RDONLY));

		CHECK(read(fd, line, sizeof line - 1) > 0);
		close(fd);
		if (sscanf(line, "%ld %lx %lx %lx %lx %lx %lx %lx %lx", &number, argument, argument + 1, argument + 2,
			   argument + 3, argument + 4, argument + 5, &sp, &pc) != 9)
			number = -1;
	}
	CHECK_EQ(number, SYS_read);
	CHECK_EQ(argument[0], pipes[0]);
	CHECK_EQ(argument[2], 1);
	CHECK(sp != 0 && !in_kernel_half(sp));
	CHECK(pc != 0);
	MUST(kill(child, SIGKILL));
	CHECK_EQ(reap(child), -SIGKILL);
}

/* perf. */

static int perf_open(struct perf_event_attr *attributes)
{
	int fd;

	attributes->size = sizeof *attributes;
	fd = (int)syscall(SYS_perf_event_open, attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0 && (errno == ENOSYS || errno == EACCES || errno == ENOENT))
		tap_skip("no perf events here");
	return MUST(fd);
}

/* Frame pointers, for the call chain. What follows the spinning keeps the call from being the last thing done. */
__attribute__((noipa, optimize("no-omit-frame-pointer"))) static int spin_inner(int64_t end)
{
	int rounds = 0;

	while (now() < end)
		for (volatile int i = 0; i < 10000; i++)
			rounds++;
	return rounds;
}
__attribute__((noipa, optimize("no-omit-frame-pointer"))) static int spin_outer(int64_t end)
{
	return spin_inner(end) + 1;
}

static bool within(uint64_t address, void *function)
{
	return address - (uintptr_t)function < 400;
}

/* The first and last instructions of the gates are the process's; where there are no gates these are NULL. */
extern char ring0_gate[] __attribute__((weak)), ring0_bypass[] __attribute__((weak));

static bool in_gate(uint64_t address) { return within(address, ring0_gate) || within(address, ring0_bypass); }

struct profile {
	int samples, in_kernel_half, in_gate, in_inner, chained;
};

static struct profile profile(bool of_kernel, void (*work)(void))
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 200000, /* ns */
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_CALLCHAIN,
		.exclude_kernel = !of_kernel,
		.exclude_user = of_kernel,
	};
	const size_t size = 64 * PAGE, enough = 2 * PAGE; /* dozens of samples, however slow the kernel is */
	int fd = perf_open(&attributes);
	struct perf_event_mmap_page *control = MUST(mmap(NULL, PAGE + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	const char *records = (const char *)control + PAGE;
	struct profile seen = { 0 };

	do
		work();
	while (__atomic_load_n(&control->data_head, __ATOMIC_ACQUIRE) < enough);
	MUST(ioctl(fd, PERF_EVENT_IOC_DISABLE, 0));
	CHECK(control->data_head <= size); /* so nothing wrapped */
	for (uint64_t at = 0; at < control->data_head;) {
		const struct perf_event_header *header = (const void *)(records + at);
		const uint64_t *field = (const void *)(header + 1);

		CHECK(header->size > 0);
		at += header->size;
		if (header->type != PERF_RECORD_SAMPLE)
			continue;
		seen.samples++;
		seen.in_kernel_half += in_kernel_half(field[0]);
		seen.in_gate += in_gate(field[0]);
		seen.in_inner += within(field[0], spin_inner);
		for (uint64_t i = 0; i < field[1]; i++)
			if (within(field[2 + i], spin_outer)) {
				seen.chained++;
				break;
			}
	}
	close(fd);
	return seen;
}

static void spin(void) { CHECK(spin_outer(now() + 20000000) > 0); }

static void call(void)
{
	char buffer[PAGE];
	int fd = MUST(open("/dev/zero", O_RDONLY));

	for (int64_t end = now() + 20000000; now() < end;)
		CHECK_EQ(read(fd, buffer, sizeof buffer), sizeof buffer);
	close(fd);
}

TEST(observed, profile_of_the_process)
{
	struct profile seen = profile(false, spin);

	tap_note("%d samples, %d at an instruction of a gate", seen.samples, seen.in_gate);
	CHECK(seen.samples >= 10);
	CHECK_EQ(seen.in_kernel_half, seen.in_gate);
	CHECK(seen.in_inner > 0);
	CHECK(seen.chained > 0);
}

TEST(observed, profile_of_its_kernel)
{
	struct profile seen = profile(true, call);

	CHECK(seen.samples >= 10);
	CHECK_EQ(seen.in_kernel_half, seen.samples);
}

/* Watchpoints. In ring 0 the second slot is where a CALL of the gate puts its return address: the gate reads it back when
 * it is in the kernel already, on this stack. The debug exception comes there.
 */
__attribute__((noipa)) static long call_watched(int *watched, int rounds)
{
	uintptr_t sp;
	long parent = 0;

	__asm__ volatile("mov %%rsp, %0" : "=r"(sp));
	for (int i = 0; i < 2; i++) {
		struct perf_event_attr attributes = {
			.type = PERF_TYPE_BREAKPOINT,
			.bp_type = HW_BREAKPOINT_RW,
			.bp_addr = sp - 8 - 8 * i,
			.bp_len = HW_BREAKPOINT_LEN_8,
			.sample_period = 1,
			.exclude_hv = 1,
		};

		watched[i] = perf_open(&attributes);
	}
	for (int i = 0; i < rounds; i++)
		parent = syscall(SYS_getppid);
	return parent;
}

TEST(observed, watchpoints_on_the_stack)
{
	enum { ROUNDS = 2000 };
	uint64_t hits[2];
	int watched[2];

	CHECK_EQ(call_watched(watched, ROUNDS), getppid());
	for (int i = 0; i < 2; i++) {
		MUST(ioctl(watched[i], PERF_EVENT_IOC_DISABLE, 0));
		CHECK_EQ(read(watched[i], hits + i, sizeof *hits), sizeof *hits);
	}
	tap_note("%d calls: %llu accesses to the return address, %llu below it", ROUNDS, (unsigned long long)hits[0],
		 (unsigned long long)hits[1]);
	CHECK(hits[0] >= 2 * ROUNDS); /* written by CALL, read by RET */
}
