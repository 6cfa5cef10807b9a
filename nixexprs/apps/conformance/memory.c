/* memory.c: mappings, protections, the heap, and the kernel's own uses of the app's pages. */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };

static char *map_anonymous(size_t size)
{
	return MUST(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static int touch(void *address)
{
	*(volatile char *)address = 1;
	return 0;
}

/* Whether a write there is a SIGSEGV; tried by a child. */
static bool forbidden(void *address) { return reap(spawn(touch, address)) == -SIGSEGV; }

TEST(memory, map_and_unmap)
{
	char *memory = map_anonymous(16 * PAGE);

	for (int i = 0; i < 16 * PAGE; i++)
		CHECK_EQ(memory[i], 0);
	memset(memory, 1, 16 * PAGE);
	MUST(munmap(memory + 4 * PAGE, 4 * PAGE));
	CHECK(forbidden(memory + 4 * PAGE));
	CHECK(!forbidden(memory + 3 * PAGE) && !forbidden(memory + 8 * PAGE));
	CHECK_AT(mmap(memory + 4 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
		 memory + 4 * PAGE);
	FAILS((long)mmap(memory, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	FAILS((long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
	/* No mapping in the kernel's half. */
	FAILS((long)mmap((void *)0xffff800000000000, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
	      ENOMEM);
}

TEST(memory, protect)
{
	char *memory = map_anonymous(2 * PAGE);

	MUST(mprotect(memory, PAGE, PROT_READ));
	CHECK(forbidden(memory) && !forbidden(memory + PAGE));
	MUST(mprotect(memory, PAGE, PROT_READ | PROT_WRITE));
	CHECK(!forbidden(memory));
	MUST(munmap(memory + PAGE, PAGE));
	FAILS(mprotect(memory, 2 * PAGE, PROT_READ), ENOMEM);
}

/* Also globals: they are ordinary memory. */
static char global_page[PAGE] __attribute__((aligned(PAGE)));

TEST(memory, protect_globals)
{
	global_page[0] = 7;
	MUST(mprotect(global_page, PAGE, PROT_READ));
	CHECK_EQ(global_page[0], 7);
	CHECK(forbidden(global_page));
	MUST(mprotect(global_page, PAGE, PROT_READ | PROT_WRITE));
	MUST(madvise(global_page, PAGE, MADV_DONTNEED)); /* .bss: zero again */
	CHECK_EQ(global_page[0], 0);
}

TEST(memory, generated_code)
{
	static const unsigned char code[] = { 0x8d, 0x47, 0x01, 0xc3 }; /* lea 1(%rdi), %eax; ret */
	unsigned char *page = (unsigned char *)map_anonymous(PAGE);
	int (*function)(int) = (int (*)(int))(uintptr_t)page;

	for (int i = 1; i < 50; i++) {
		MUST(mprotect(page, PAGE, PROT_READ | PROT_WRITE));
		memcpy(page, code, sizeof code);
		page[2] = (unsigned char)i;
		MUST(mprotect(page, PAGE, PROT_READ | PROT_EXEC));
		CHECK_EQ(function(100), 100 + i);
	}
}

TEST(memory, remap)
{
	char *memory = map_anonymous(4 * PAGE), *moved;

	for (int i = 0; i < 4; i++)
		memory[i * PAGE] = (char)(i + 1);
	moved = MUST(mremap(memory, 4 * PAGE, 400 * PAGE, MREMAP_MAYMOVE));
	for (int i = 0; i < 4; i++)
		CHECK_EQ(moved[i * PAGE], i + 1);
	CHECK_EQ(moved[399 * PAGE], 0);
	memory = map_anonymous(400 * PAGE);
	CHECK_AT(mremap(moved, 400 * PAGE, 400 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, memory), memory);
	CHECK_EQ(memory[PAGE], 2);
	CHECK(forbidden(moved));
	CHECK_AT(mremap(memory, 400 * PAGE, PAGE, 0), memory);
	CHECK(forbidden(memory + PAGE));
}

TEST(memory, advise)
{
	char *memory = map_anonymous(64 * PAGE);
	unsigned char resident[64];

	memset(memory, 9, 64 * PAGE);
	MUST(madvise(memory + PAGE, PAGE, MADV_DONTNEED));
	CHECK_EQ(memory[PAGE], 0);
	CHECK_EQ(memory[2 * PAGE], 9);
	MUST(madvise(memory, 64 * PAGE, MADV_DONTNEED));
	MUST(mincore(memory, 64 * PAGE, resident));
	CHECK_EQ(resident[5] & 1, 0);
	memory[5 * PAGE] = 1;
	MUST(mincore(memory, 64 * PAGE, resident));
	CHECK_EQ(resident[5] & 1, 1);
	MUST(madvise(memory, PAGE, MADV_DONTFORK));
}

TEST(memory, huge_pages)
{
	const size_t huge = 2 << 20;
	char *memory = map_anonymous(4 * huge);

	if (madvise(memory, 4 * huge, MADV_HUGEPAGE) < 0)
		tap_skip("no transparent huge pages here");
	for (size_t i = 0; i < 4 * huge; i += PAGE)
		memory[i] = (char)(i / PAGE);
	MUST(mprotect(memory + huge + PAGE, PAGE, PROT_READ)); /* splits one */
	for (size_t i = 0; i < 4 * huge; i += PAGE)
		CHECK_EQ(memory[i], (char)(i / PAGE));
}

TEST(memory, files)
{
	int fd = MUST(open(scratch_file("data"), O_RDWR | O_CREAT | O_TRUNC, 0600));
	char *shared, *private, text[4];

	CHECK_EQ(write(fd, "abcd", 4), 4);
	shared = MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	private = MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	CHECK(memcmp(shared, "abcd", 4) == 0 && memcmp(private, "abcd", 4) == 0);
	private[0] = 'P';
	shared[1] = 'S';
	MUST(msync(shared, PAGE, MS_SYNC));
	CHECK_EQ(pread(fd, text, 4, 0), 4);
	CHECK(memcmp(text, "aScd", 4) == 0);
	CHECK_EQ(pwrite(fd, "X", 1, 2), 1);
	CHECK_EQ(shared[2], 'X');
	CHECK_EQ(private[0], 'P');
}

static int write_shared(void *memory)
{
	memcpy(memory, "from child", 11);
	return 0;
}

TEST(memory, shared_with_child)
{
	char *memory = MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));

	CHECK_EQ(reap(spawn(write_shared, memory)), 0);
	CHECK(strcmp(memory, "from child") == 0);
}

TEST(memory, program_break)
{
	char *start = sbrk(0);

	CHECK_AT(sbrk(100 * PAGE), start);
	memset(start, 5, 100 * PAGE);
	CHECK_AT(sbrk(-100 * PAGE), start + 100 * PAGE);
	CHECK_AT(sbrk(0), start);
}

TEST(memory, heap)
{
	char *blocks[200], *aligned;

	for (int round = 0; round < 10; round++) {
		for (size_t i = 0; i < 200; i++) {
			blocks[i] = malloc(i * i * 3 + 1);
			CHECK(blocks[i] != NULL);
			memset(blocks[i], (int)i, i * i * 3 + 1);
		}
		for (size_t i = 0; i < 200; i++) {
			CHECK_EQ((unsigned char)blocks[i][i * i * 3], i);
			blocks[i] = realloc(blocks[i], i * 100 + 1);
			CHECK(blocks[i] != NULL && (i == 0 || (unsigned char)blocks[i][0] == i));
		}
		for (size_t i = 0; i < 200; i++)
			free(blocks[i]);
	}
	OK(posix_memalign((void **)&aligned, 1 << 16, 100));
	CHECK_EQ((uintptr_t)aligned % (1 << 16), 0);
	free(aligned);
}

/* More than the machine has is refused or kills nobody but the asker. */
TEST(memory, limit)
{
	const struct rlimit limit = { 256 << 20, 256 << 20 };

	MUST(setrlimit(RLIMIT_AS, &limit));
	FAILS((long)mmap(NULL, 512 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
	errno = 0;
	CHECK(malloc(300 << 20) == NULL);
	CHECK_EQ(errno, ENOMEM);
}

static __attribute__((noinline)) int use_stack(int levels)
{
	volatile char frame[4096 - 64];

	frame[0] = 1;
	return levels == 0 ? 0 : use_stack(levels - 1) + frame[0];
}

TEST(memory, stack_grows)
{
	for (int i = 0; i < 3; i++)
		CHECK_EQ(use_stack(1500), 1500);
}

/* The stack may grow by a lot at once, and an interrupt may come while its new end has no page yet. */
TEST(memory, stack_grows_under_interrupts)
{
	volatile char *far;
	int64_t begin = now();

	for (int i = 0; now() - begin < 100 * 1000000; i++) {
		__asm__ volatile("mov %%rsp, %%rbx; sub %1, %%rsp; and $-4096, %%rsp; mov $100000, %%ecx;"
				 "1: dec %%ecx; jnz 1b; movb $1, (%%rsp); mov %%rsp, %0; mov %%rbx, %%rsp"
				 : "=&r"(far) : "r"((long)(i % 64 + 2) * 16 * PAGE) : "rbx", "rcx", "memory");
		CHECK_EQ(*far, 1);
		madvise((void *)far, PAGE, MADV_DONTNEED);
	}
}

TEST(memory, lock)
{
	char *memory = map_anonymous(4 * PAGE);
	unsigned char resident[4];
	const struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_MEMLOCK, &limit);
	MUST(mlock(memory, 4 * PAGE));
	MUST(mincore(memory, 4 * PAGE, resident));
	for (int i = 0; i < 4; i++)
		CHECK_EQ(resident[i] & 1, 1);
	MUST(mlock(global_page, PAGE));
	MUST(munlock(memory, 4 * PAGE));
	MUST(mlockall(MCL_CURRENT));
	MUST(munlockall());
}

static char source_global[3 * PAGE] = "global";

/* Pages that the kernel pins, of every kind that an app has. */
TEST(memory, pages_for_the_kernel)
{
	char on_stack[100] = "stack", *heap = strdup("heap"), text[100];
	const char *sources[] = { source_global, on_stack, heap, "constant" };
	int pipes[2];

	MUST(pipe(pipes));
	for (size_t i = 0; i < 4; i++) {
		size_t length = strlen(sources[i]) + 1;
		struct iovec local = { text, length }, remote = { (void *)(uintptr_t)sources[i], length };

		CHECK_EQ(vmsplice(pipes[1], &remote, 1, 0), length);
		CHECK_EQ(read(pipes[0], text, sizeof text), length);
		CHECK(strcmp(text, sources[i]) == 0);
		memset(text, 0, sizeof text);
		CHECK_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), length);
		CHECK(strcmp(text, sources[i]) == 0);
	}
	free(heap);
}

static int wait_and_see(void *pipe)
{
	char go;

	CHECK_EQ(read(((int *)pipe)[0], &go, 1), 1);
	return source_global[0] == 'W' ? 0 : 1;
}

TEST(memory, other_process)
{
	char text[8] = { 0 };
	struct iovec local = { text, 7 }, remote = { source_global, 7 };
	char path[40];
	int pipes[2], fd;
	pid_t child;

	MUST(pipe(pipes));
	child = spawn(wait_and_see, pipes);
	CHECK_EQ(process_vm_readv(child, &local, 1, &remote, 1, 0), 7);
	CHECK(strcmp(text, "global") == 0);
	text[0] = 'w';
	CHECK_EQ(process_vm_writev(child, &local, 1, &remote, 1, 0), 7);
	snprintf(path, sizeof path, "/proc/%d/mem", child);
	fd = MUST(open(path, O_RDWR));
	CHECK_EQ(pread(fd, text, 1, (off_t)(uintptr_t)source_global), 1);
	CHECK_EQ(text[0], 'w');
	CHECK_EQ(pwrite(fd, "W", 1, (off_t)(uintptr_t)source_global), 1);
	CHECK_EQ(write(pipes[1], "", 1), 1);
	CHECK_EQ(reap(child), 0);
	CHECK_EQ(source_global[0], 'g');
}

/* No page of the program is both writable and executable. */
TEST(memory, write_xor_execute)
{
	char line[512], permissions[5];
	bool seen_text = false;
	FILE *maps = fopen("/proc/self/maps", "r");

	CHECK(maps != NULL);
	while (fgets(line, sizeof line, maps) != NULL) {
		unsigned long begin, end;

		CHECK_EQ(sscanf(line, "%lx-%lx %4s", &begin, &end, permissions), 3);
		CHECK(!(permissions[1] == 'w' && permissions[2] == 'x'));
		if ((uintptr_t)touch >= begin && (uintptr_t)touch < end) {
			seen_text = true;
			CHECK(permissions[1] == '-' && permissions[2] == 'x');
		}
		if ((uintptr_t)global_page >= begin && (uintptr_t)global_page < end)
			CHECK(permissions[1] == 'w' && permissions[2] == '-');
	}
	CHECK(seen_text);
	fclose(maps);
}

TEST(memory, memfd_seals)
{
	int fd = MUST(memfd_create("sealed", MFD_ALLOW_SEALING));

	MUST(ftruncate(fd, PAGE));
	MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW));
	FAILS(write(fd, "x", 1), EPERM);
	FAILS((long)mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
}

/* A ring buffer whose beginning also follows its end: process and kernel write across the seam. */
TEST(memory, mapped_twice)
{
	int fd = MUST(memfd_create("ring", 0)), pipes[2];
	char *ring = map_anonymous(2 * PAGE);

	MUST(ftruncate(fd, PAGE));
	for (char *at = ring; at < ring + 2 * PAGE; at += PAGE)
		CHECK_AT(mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), at);
	memcpy(ring + PAGE - 4, "end+head", 8);
	MUST(pipe(pipes)); /* the compiler may not look at the beginning before the end is written */
	CHECK(memcmp(ring, "head", 4) == 0);
	CHECK_EQ(write(pipes[1], "01234567", 8), 8);
	CHECK_EQ(read(pipes[0], ring + PAGE - 4, 8), 8);
	CHECK(memcmp(ring, "4567", 4) == 0);
	CHECK(memcmp(ring, ring + PAGE, PAGE) == 0);
}

/* Big copies into fresh memory: the kernel takes the page faults. */
TEST(memory, system_calls_fault_pages_in)
{
	const size_t size = 8 << 20;
	char *memory = map_anonymous(size);
	int fd = MUST(open("/dev/zero", O_RDONLY));

	CHECK_EQ(read(fd, memory, size), size);
	CHECK_EQ(memory[size - 1], 0);
	MUST(madvise(memory, size, MADV_DONTNEED));
	fd = MUST(open("/dev/null", O_WRONLY));
	CHECK_EQ(write(fd, memory, size), size);
	/* Half of the buffer is missing: as much as could be. */
	memory = map_anonymous(2 * PAGE);
	MUST(munmap(memory + PAGE, PAGE));
	fd = MUST(open("/dev/zero", O_RDONLY));
	CHECK_EQ(read(fd, memory, 2 * PAGE), PAGE);
	FAILS(read(fd, memory + PAGE, PAGE), EFAULT);
}

static int take_all(void *unused)
{
	int fd = MUST(open("/proc/self/oom_score_adj", O_WRONLY));

	(void)unused;
	CHECK_EQ(write(fd, "1000", 4), 4);
	for (int i = 0; i < 1024; i++)
		MUST(mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE, -1, 0));
	return 1;
}

/* A child that takes all memory is killed for it, and nobody else. */
TEST(memory, out_of_memory)
{
	struct sysinfo info;

	MUST(sysinfo(&info));
	if (info.totalram > 2ull << 30)
		tap_skip("a machine with so much memory takes too long");
	CHECK_EQ(reap(spawn(take_all, NULL)), -SIGKILL);
	memset(map_anonymous(1 << 20), 1, 1 << 20);
}
