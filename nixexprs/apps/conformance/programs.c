/* programs.c: see programs.h. */
#include "tap.h"
#include "programs.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

enum { PAGE = 4096, BASE = 0x10000000 };

#define HEADERS                                                                                  \
	.header = {                                                                              \
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT }, \
		.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = EV_CURRENT,              \
		.e_entry = BASE + offsetof(struct program, code),                                \
		.e_phoff = offsetof(struct program, segment), .e_ehsize = sizeof(Elf64_Ehdr),    \
		.e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1,                                 \
	},                                                                                       \
	.segment = {                                                                             \
		.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = BASE, .p_align = PAGE,     \
		.p_filesz = sizeof(struct program), .p_memsz = sizeof(struct program),           \
	}

const struct program reporter = {
	HEADERS,
	.code = {
		0x8c, 0xcf,             /* mov %cs, %edi */
		0x83, 0xe7, 3,          /* and $3, %edi */
		0x83, 0xc7, REPORTED_RING, /* add $REPORTED_RING, %edi */
		0xb8, SYS_exit, 0, 0, 0, /* mov $SYS_exit, %eax */
		0x0f, 0x05,             /* syscall */
	},
};

struct program program_of(const void *code, size_t size)
{
	struct program program = { HEADERS };

	CHECK(size <= sizeof program.code);
	memcpy(program.code, code, size);
	return program;
}

const char *write_program(const char *name, const void *image, size_t size)
{
	const char *path = scratch_file(name);
	int fd = MUST(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755));

	CHECK_EQ(write(fd, image, size), size);
	MUST(close(fd));
	return path;
}

int run_program(const char *path)
{
	char *const arguments[] = { "program", "--ring", NULL };
	pid_t child;

	OK(posix_spawn(&child, path, NULL, NULL, arguments, environ));
	return reap(child);
}

int exec_traced(void *path)
{
	MUST(ptrace(PTRACE_TRACEME, 0, 0, 0));
	execl(path, "program", "--ring", (char *)NULL);
	return 1;
}
