/* companion: a ring-3 program beside the application.
 *
 * Run:   ukl run --volume DIR:/x:ro companion -- /x/PROGRAM ARGUMENTS...
 * See:   what the program prints. Only the image's own file runs in ring 0; whatever it executes is an ordinary process
 *        of the patched kernel. `ukl bench` measures with this that such processes pay nothing for ring 0.
 * Status: the program's; 128+N if signal N killed it; 127 if it cannot be started.
 */
#include <err.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv)
{
	pid_t pid;
	int status;

	if (argc < 2)
		errx(127, "usage: companion PROGRAM [ARGUMENT...]");
	errno = posix_spawn(&pid, argv[1], NULL, NULL, argv + 1, environ);
	if (errno != 0)
		err(127, "%s", argv[1]);
	if (waitpid(pid, &status, 0) != pid)
		err(127, "waitpid");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
