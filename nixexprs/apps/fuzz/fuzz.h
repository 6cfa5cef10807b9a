/* fuzz.h: what the ring-0 program tells the attackers, and what they tell it. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>

enum {
	PAGE = 4096,
	SHARE_FD = 600,      /* struct share, as the attacker inherits it */
	REPORTED_RING = 40,  /* what runs in ring N exits with this plus N */
	PIDS = 24,
	ADDRESSES = 48,
	FDS = 48,
	PATHS = 96,
	PATH_SIZE = 64,
	NUMBERS = 512,       /* of system calls */
	KEPT = 16,           /* last calls that a report shows */
	LIBRARIES = 4,       /* paths, from LIBRARY on, where ring 3 plants code */
};

/* In the kernel's log: something that should be in ring 3 is in ring 0. */
#define RING0_LINE "ukl-fuzz: ring 0"

/* What attackers write into files that ring 0 would like to execute, inverted: it is in no file of the image. */
#define NOT_PLANTED 0x0badc0de5eedf00dull

/* The values that arguments are made of. Those of the victim come first in each list. */
struct pool {
	uint64_t seed;
	uint32_t calls;                        /* that the attacker is to make */
	uint32_t pretend;                      /* ring 0, to see that it is noticed */
	uint32_t emulated;                     /* by QEMU's TCG */
	uint32_t pid_count, address_count, fd_count, path_count;
	uint32_t target_count;                 /* addresses that may never change */
	uint32_t keeper_count;                 /* pids of the process that watches: these may not be stopped */
	uint32_t library;                      /* the first path of LIBRARIES */
	int32_t pids[PIDS];
	int32_t fds[FDS];
	uint64_t addresses[ADDRESSES];
	char paths[PATHS][PATH_SIZE];
};

struct call {
	int64_t number, result;
	uint64_t arguments[6];
};

/* One file for each attacker. Ring 3 writes to it: the numbers are believed for statistics only. */
struct share {
	struct pool pool;
	volatile uint64_t progress;
	volatile uint64_t evidence; /* the selectors, or a child's pid and status, by which it saw ring 0 */
	volatile uint32_t made[NUMBERS], succeeded[NUMBERS];
	struct call last[KEPT];
};

#endif
