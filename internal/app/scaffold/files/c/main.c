#include <err.h>
#include <stdio.h>

/* Greets everybody whom the arguments name. */
int main(int argc, char **argv)
{
	if (argc < 2)
		puts("Hello, world!");
	for (int i = 1; i < argc; i++)
		printf("Hello, %s!\n", argv[i]);
	if (fflush(stdout) != 0)
		err(1, "stdout");
	return 0;
}
