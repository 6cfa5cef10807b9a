/* reporter: a program that attackers execute in every way they know. Its exit status is the ring that it runs in. */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/syscall.h>

static long call(long number, long a, long b, long c)
{
	__asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return number;
}

void _start(void)
{
	unsigned long cs;

	__asm__("mov %%cs, %0" : "=r"(cs));
	if ((cs & 3) == 0)
		call(SYS_write, call(SYS_open, (long)"/dev/kmsg", O_WRONLY, 0), (long)RING0_LINE, sizeof RING0_LINE - 1);
	for (;;)
		call(SYS_exit_group, REPORTED_RING + (long)(cs & 3), 0, 0);
}
