/* programs.h: whole small programs, which cases write to a file and execute. */
#ifndef PROGRAMS_H
#define PROGRAMS_H

#include <elf.h>
#include <stddef.h>

/* `conformance --ring' and the reporter exit with this plus their ring. */
enum { REPORTED_RING = 40, CODE_SIZE = 8192 };

/* One segment, read and executed. */
struct program {
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	unsigned char code[CODE_SIZE];
};

/* exit(REPORTED_RING + (CS & 3)), by the syscall instruction. */
extern const struct program reporter;

/* A program whose code is the SIZE bytes at CODE, which run wherever they are. */
struct program program_of(const void *code, size_t size);
/* Writes SIZE bytes to the file NAME in the scratch directory, executable; its path, as of scratch_file. */
const char *write_program(const char *name, const void *image, size_t size);
/* Executes PATH as `program --ring' in a child; what reap gives. */
int run_program(const char *path);
/* For spawn: lets the parent trace it, then executes PATH as `program --ring'. */
int exec_traced(void *path);

#endif
