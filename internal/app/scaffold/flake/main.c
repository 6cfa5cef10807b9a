#include <err.h>
#include <stdio.h>

int main(void)
{
	puts("Hello, world!");
	if (fflush(stdout) != 0)
		err(1, "stdout");
	return 0;
}
