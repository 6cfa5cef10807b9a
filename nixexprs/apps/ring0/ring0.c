/* ring0: does what no ordinary process can.
 *
 * Shows: that the program runs in ring 0. CR0, the register that turns on protection and paging, can be read
 * there only.
 * Run:   ukl run ring0
 *        cc ring0.c && ./a.out   the same source as an ordinary process
 * See:   the value of CR0 and what some of its bits mean; as an ordinary process, death by SIGSEGV.
 */
#include <stdio.h>

static const struct {
	unsigned long mask;
	const char *name, *meaning;
} bits[] = {
	{ 1ul << 0, "PE", "protected mode" },
	{ 1ul << 16, "WP", "the kernel obeys read-only pages" },
	{ 1ul << 31, "PG", "paging" },
};

int main(void)
{
	unsigned long cr0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("Reading CR0.");
	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	printf("CR0 = 0x%lx\n", cr0);
	for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++)
		printf("  %s %s: %s\n", bits[i].name, cr0 & bits[i].mask ? "on " : "off", bits[i].meaning);
	return 0;
}
