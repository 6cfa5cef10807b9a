/* printing: five threads that print, none of which ever sleeps.
 *
 * Shows: preemption. Nobody yields or waits, so on one CPU the threads take turns only because the kernel makes
 * them.
 * Run:   ukl run printing          until Ctrl-C
 *        ukl run printing -- 100   a hundred rounds of each thread, then it ends
 * See:   lines `Thread N = word', each whole, those of a thread in their order, those of the five threads mixed;
 *        at the end `pthread_join worked for thread id N', one line for each thread.
 */
#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 5 };

struct printer {
	pthread_t thread;
	int id;                /* 1 ... THREADS */
	unsigned long rounds;  /* how many; 0: for ever */
};

static const char *const words[] = { "A", "quick", "brown", "fox", "jumped", "over", "a", "lazy", "dog." };

static void *print(void *argument)
{
	const struct printer *self = argument;

	for (unsigned long round = 0; self->rounds == 0 || round < self->rounds; round++)
		for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
			printf("Thread %d = %s\n", self->id, words[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	struct printer printers[THREADS];
	unsigned long rounds = 0;
	int error;

	if (argc > 1) {
		char *end;

		rounds = strtoul(argv[1], &end, 10);
		if (argc > 2 || *end != '\0' || rounds == 0)
			errx(2, "usage: printing [ROUNDS]");
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < THREADS; i++) {
		printers[i] = (struct printer){ .id = i + 1, .rounds = rounds };
		error = pthread_create(&printers[i].thread, NULL, print, &printers[i]);
		if (error != 0)
			errx(EXIT_FAILURE, "pthread_create: %s", strerror(error));
	}
	for (int i = 0; i < THREADS; i++) {
		error = pthread_join(printers[i].thread, NULL);
		if (error != 0)
			errx(EXIT_FAILURE, "pthread_join: %s", strerror(error));
		printf("pthread_join worked for thread id %d\n", printers[i].id);
	}
	return EXIT_SUCCESS;
}
