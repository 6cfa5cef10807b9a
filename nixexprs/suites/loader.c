/*
 * loader.c: runs another program in the ring of this one.
 *
 * usage  loader FILE ARGV0 ARGUMENTS...
 *
 * Only the image's own file has the kernel's ring, so this is that file when programs are tried in ring 0: it maps FILE, which is
 * static or has an interpreter, as execve() does, corrects what the kernel has told of itself in the auxiliary vector, and
 * jumps. As the interpreter of a script (#!/app FILE) it makes that script a program in ring 0, so that a program which
 * executes itself or others by their names stays there. It has no libc, does not return, and leaves nothing behind but its own
 * mapping, at an address that no other program uses; /proc/self/exe still leads to it, and the heap begins behind it.
 */
#include <elf.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE 4096ul
#define MAX_HEADERS 32

static long call(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f)
{
	register uintptr_t r10 __asm__("r10") = d;
	register uintptr_t r8 __asm__("r8") = e;
	register uintptr_t r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

static void say(const char *s) { call(SYS_write, 2, (uintptr_t)s, length(s), 0, 0, 0); }

static _Noreturn void fail(const char *file, const char *what)
{
	say("loader: ");
	say(file);
	say(": ");
	say(what);
	say("\n");
	for (;;)
		call(SYS_exit_group, 127, 0, 0, 0, 0, 0);
}

static uintptr_t map(const char *file, uintptr_t at, size_t size, int protection, int flags, int fd, size_t offset)
{
	long result = call(SYS_mmap, at, size, (uintptr_t)protection, (uintptr_t)(MAP_PRIVATE | flags), (uintptr_t)fd, offset);

	if (result < 0 && result > -4096)
		fail(file, "a segment cannot be mapped");
	return (uintptr_t)result;
}

/* What is known of a mapped file. */
struct program {
	uintptr_t base; /* what is added to the addresses in the file */
	uintptr_t entry;
	uintptr_t headers;
	size_t count;
	const char *interpreter;
	int stack; /* PF_* of its stack, PF_R | PF_W if it does not say */
};

static int protection(const Elf64_Phdr *p)
{
	return (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) | (p->p_flags & PF_X ? PROT_EXEC : 0);
}

/* Maps one segment. The bytes between the file's end and that of the segment are zero, in its last page and in those after it. */
static void map_segment(const char *file, int fd, const Elf64_Phdr *p, uintptr_t base, int placed)
{
	uintptr_t start = (base + p->p_vaddr) & -PAGE, filled = base + p->p_vaddr + p->p_filesz;
	uintptr_t mapped = (filled + PAGE - 1) & -PAGE, end = (base + p->p_vaddr + p->p_memsz + PAGE - 1) & -PAGE;
	int flags = placed ? MAP_FIXED : MAP_FIXED_NOREPLACE;

	if (p->p_filesz && map(file, start, filled - start, protection(p), flags, fd, p->p_offset & -PAGE) != start)
		fail(file, "its addresses are taken");
	if (!p->p_filesz)
		mapped = start;
	if (p->p_memsz > p->p_filesz && p->p_flags & PF_W && p->p_filesz)
		for (volatile char *byte = (char *)filled; (uintptr_t)byte < mapped; byte++)
			*byte = 0;
	if (end > mapped && map(file, mapped, end - mapped, protection(p), flags | MAP_ANONYMOUS, -1, 0) != mapped)
		fail(file, "its addresses are taken");
}

static struct program load(const char *file)
{
	struct program program = {.stack = PF_R | PF_W};
	Elf64_Phdr headers[MAX_HEADERS];
	uintptr_t low = UINTPTR_MAX, high = 0;
	Elf64_Ehdr elf;
	size_t size;
	long fd = call(SYS_open, (uintptr_t)file, O_RDONLY | O_CLOEXEC, 0, 0, 0, 0);

	if (fd < 0)
		fail(file, "cannot be opened");
	if (call(SYS_pread64, (uintptr_t)fd, (uintptr_t)&elf, sizeof(elf), 0, 0, 0) != sizeof(elf) ||
	    *(uint32_t *)elf.e_ident != 0x464c457f || elf.e_machine != EM_X86_64 || elf.e_phentsize != sizeof(headers[0]) ||
	    elf.e_phnum > MAX_HEADERS)
		fail(file, "is no program of x86-64");
	size = elf.e_phnum * sizeof(headers[0]);
	if (call(SYS_pread64, (uintptr_t)fd, (uintptr_t)headers, size, elf.e_phoff, 0, 0) != (long)size)
		fail(file, "has no program headers");
	for (int i = 0; i < elf.e_phnum; i++) {
		if (headers[i].p_type != PT_LOAD)
			continue;
		if (headers[i].p_vaddr < low)
			low = headers[i].p_vaddr & -PAGE;
		if (headers[i].p_vaddr + headers[i].p_memsz > high)
			high = headers[i].p_vaddr + headers[i].p_memsz;
	}
	if (elf.e_type == ET_DYN)
		program.base = map(file, 0, high - low, PROT_NONE, MAP_ANONYMOUS, -1, 0) - low;
	program.entry = program.base + elf.e_entry;
	program.count = elf.e_phnum;
	for (int i = 0; i < elf.e_phnum; i++) {
		const Elf64_Phdr *p = &headers[i];

		if (p->p_type == PT_LOAD) {
			map_segment(file, (int)fd, p, program.base, elf.e_type == ET_DYN);
			if (elf.e_phoff >= p->p_offset && elf.e_phoff < p->p_offset + p->p_filesz)
				program.headers = program.base + p->p_vaddr + (elf.e_phoff - p->p_offset);
		} else if (p->p_type == PT_GNU_STACK) {
			program.stack = (int)p->p_flags;
		}
	}
	for (int i = 0; i < elf.e_phnum; i++)
		if (headers[i].p_type == PT_INTERP)
			program.interpreter = (const char *)(program.base + headers[i].p_vaddr);
	call(SYS_close, (uintptr_t)fd, 0, 0, 0, 0, 0);
	return program;
}

/* Begins a program with the registers and flags of execve(): all are zero, and interrupts are on. MOV leaves the flags alone. */
static _Noreturn void enter(uintptr_t entry, const uintptr_t *stack)
{
	__asm__ volatile("mov %0, %%rsp\n\t"
			 "push %1\n\t"
			 "push $0x202\n\t"
			 "mov $0, %%eax\n\t"
			 "mov $0, %%ebx\n\t"
			 "mov $0, %%ecx\n\t"
			 "mov $0, %%edx\n\t"
			 "mov $0, %%esi\n\t"
			 "mov $0, %%edi\n\t"
			 "mov $0, %%ebp\n\t"
			 "mov $0, %%r8d\n\t"
			 "mov $0, %%r9d\n\t"
			 "mov $0, %%r10d\n\t"
			 "mov $0, %%r11d\n\t"
			 "mov $0, %%r12d\n\t"
			 "mov $0, %%r13d\n\t"
			 "mov $0, %%r14d\n\t"
			 "mov $0, %%r15d\n\t"
			 "popf\n\t"
			 "ret" : : "S"(stack), "a"(entry) : "memory");
	__builtin_unreachable();
}

/* The stack as the kernel has made it: argc, arguments, NULL, environment, NULL, auxiliary vector. Its first two arguments go:
 * 16 bytes, so that it stays aligned. */
_Noreturn void start(uintptr_t *stack)
{
	struct program program, interpreter = {0};
	uintptr_t *word = stack + 1;

	if (stack[0] < 3)
		fail("usage", "loader FILE ARGV0 ARGUMENTS...");
	program = load((char *)stack[2]);
	if (program.interpreter)
		interpreter = load(program.interpreter);
	if (program.stack & PF_X)
		call(SYS_mprotect, (uintptr_t)stack & -PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN, 0, 0, 0);

	while (*word++)
		;
	while (*word++)
		;
	for (Elf64_auxv_t *aux = (Elf64_auxv_t *)word; aux->a_type != AT_NULL; aux++) {
		switch (aux->a_type) {
		case AT_PHDR:
			aux->a_un.a_val = program.headers;
			break;
		case AT_PHNUM:
			aux->a_un.a_val = program.count;
			break;
		case AT_ENTRY:
			aux->a_un.a_val = program.entry;
			break;
		case AT_BASE:
			aux->a_un.a_val = interpreter.base;
			break;
		}
	}
	stack[2] = stack[0] - 2;
	enter(program.interpreter ? interpreter.entry : program.entry, stack + 2);
}

__asm__(".globl _start\n"
	"_start:\n\t"
	"mov %rsp, %rdi\n\t"
	"and $-16, %rsp\n\t"
	"call start\n\t"
	"ud2\n");
