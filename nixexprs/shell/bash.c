/* bash: become the bash of a tree of Debian packages, through the tree's own loader.
 *
 * Reads the environment variable "tree", the tree's directory. Arguments are bash's.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *tree;

static char *in_tree(const char *path)
{
	char *s;

	if (asprintf(&s, "%s/%s", tree, path) < 0)
		err(127, "memory");
	return s;
}

int main(int argc, char **argv)
{
	char **words = calloc(argc + 4, sizeof(*words));

	tree = getenv("tree");
	if (!tree)
		errx(127, "the variable tree is not set");
	if (!words)
		err(127, "memory");
	words[0] = in_tree("usr/lib64/ld-linux-x86-64.so.2");
	words[1] = "--library-path";
	words[2] = in_tree("usr/lib/x86_64-linux-gnu");
	words[3] = in_tree("usr/bin/bash");
	memcpy(words + 4, argv + 1, (argc - 1) * sizeof(*words));
	execv(words[0], words);
	err(127, "%s", words[0]);
}
