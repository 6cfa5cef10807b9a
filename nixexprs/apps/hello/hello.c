/* hello: the smallest program that says where it runs.
 *
 * Shows: arguments go in, standard output and the exit status come out.
 * Run:   ukl run hello
 *        ukl run hello -- 42 two 'three words'; echo $?
 * See:   the ring that the CPU is in (0 in a unikernel, 3 in an ordinary process), the arguments, one a line; the
 *        status is the first argument, 0 without one.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	unsigned short cs;
	long status = 0;

	/* The two lowest bits of the code segment's selector are the ring. */
	__asm__("mov %%cs, %0" : "=r"(cs));
	printf("Hello from ring %d.\n", cs & 3);
	for (int i = 1; i < argc; i++)
		printf("argument %d: %s\n", i, argv[i]);
	if (argc > 1) {
		char *end;

		status = strtol(argv[1], &end, 10);
		if (*end != '\0' || status < 0 || status > 255)
			errx(2, "usage: hello [STATUS [WORD...]], STATUS is 0 ... 255");
	}
	return (int)status;
}
