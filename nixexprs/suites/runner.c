/*
 * runner.c: runs test programs of other projects in a guest, some at once, and says how each ended.
 *
 * usage  runner PROGRAMS LIST AT-ONCE SECONDS
 *
 * PROGRAMS is a directory: its file "cases" describes the cases, its subdirectory "ring0" or "ring3" holds their programs.
 * LIST names those to run, one a line, in that order. A case that takes more than SECONDS is killed.
 *
 * A case is some lines, "KEY VALUE" each, begun by "case":
 *     case NAME       also the file of its program below ring0 or ring3
 *     program PATH    where it believes to be, and can be executed by itself and others
 *     dir PATH        where it runs
 *     arg WORD        an argument           stdin FILE
 *     env NAME=VALUE  besides the usual     bare         nothing but that
 *     skip STATUS     its exit status if it cannot run here; 77 if it does not say
 *     alone           no other case runs beside it: it changes what all see, or measures time
 * object and library lines are for whoever links it.
 *
 * In ring 0 PATH is a script whose interpreter is the image's application, loader.c; so is /bin/sh. In ring 3 both are links.
 *
 * Its stdout has for each case "start NAME", then "end NAME VERDICT MILLISECONDS", where VERDICT is pass, skip, timeout, exit-N
 * or signal-N, after it, unless that is pass, the end of what it has written, each line behind "| ".
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 32, SLOTS = 16, SHOWN = 3000, SKIP = 77 };

struct one {
	const char *name, *program, *dir, *in;
	char *arg[WORDS + 2]; /* the first is the program */
	char *env[WORDS + 1];
	int args, envs, skip;
	bool bare, alone;
};

struct slot {
	const struct one *one; /* NULL: free */
	pid_t pid;
	int out;
	long long began; /* ms */
	bool late;
};

static const char *ring;
static struct slot slots[SLOTS];

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static char *text_of(const char *file)
{
	struct stat st;
	char *text;
	FILE *f = fopen(file, "re");

	if (!f || fstat(fileno(f), &st))
		err(2, "%s", file);
	text = calloc(1, (size_t)st.st_size + 1);
	if (!text || fread(text, 1, (size_t)st.st_size, f) != (size_t)st.st_size)
		err(2, "%s", file);
	fclose(f);
	return text;
}

static void add(const struct one *one, char **list, int *n, int most, char *word)
{
	if (*n == most)
		errx(2, "%s: more than %d words", one->name, most);
	list[(*n)++] = word;
}

/* The cases of a text, which is cut into strings, in *all; their number is returned. */
static size_t parse(char *text, struct one **all)
{
	struct one *one = NULL;
	size_t n = 0;

	for (char *line; (line = strsep(&text, "\n"));) {
		char *key = strsep(&line, " ");
		char *value = line ? line : key + strlen(key);

		if (!strcmp(key, "case")) {
			*all = reallocarray(*all, n + 1, sizeof(**all));
			if (!*all)
				err(2, NULL);
			one = memset(&(*all)[n++], 0, sizeof(*one));
			one->name = value;
			one->args = 1;
			one->skip = SKIP;
		} else if (!one) {
			continue;
		} else if (!strcmp(key, "program")) {
			one->program = one->arg[0] = value;
		} else if (!strcmp(key, "dir")) {
			one->dir = value;
		} else if (!strcmp(key, "stdin")) {
			one->in = value;
		} else if (!strcmp(key, "arg")) {
			add(one, one->arg, &one->args, WORDS, value);
		} else if (!strcmp(key, "env")) {
			add(one, one->env, &one->envs, WORDS - 8, value);
		} else if (!strcmp(key, "skip")) {
			one->skip = atoi(value);
		} else if (!strcmp(key, "bare")) {
			one->bare = true;
		} else if (!strcmp(key, "alone")) {
			one->alone = true;
		}
	}
	return n;
}

/* Makes a directory and those above it. */
static void make_directory(const char *path)
{
	char part[PATH_MAX];

	for (size_t i = 1; path[i - 1]; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)i, path);
		if (mkdir(part, 0755) && errno != EEXIST && errno != EROFS)
			err(2, "%s", part);
	}
}

static void make_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0 || fclose(f))
		err(2, "%s", path);
}

/* Makes a file at path run as path, in the ring of this test. */
static void make_program(const char *path, const char *file)
{
	char text[PATH_MAX + 16];

	snprintf(text, sizeof(text), "%s", path);
	*strrchr(text, '/') = '\0';
	make_directory(text);
	if (access(path, F_OK) == 0)
		return;
	snprintf(text, sizeof(text), "#!/app %s\n", file);
	if (strcmp(ring, "ring0")) {
		if (symlink(file, path))
			err(2, "%s", path);
		return;
	}
	make_file(path, text);
	if (chmod(path, 0755))
		err(2, "%s", path);
}

/* Shows a directory at another place, too, where the guest may have one of its own. */
static void make_place(const char *of, const char *path)
{
	make_directory(path);
	if (mount(of, path, NULL, MS_BIND, NULL))
		err(2, "mounting %s", path);
}

static void make_mount(const char *type, const char *path)
{
	make_directory(path);
	if (mount(type, path, type, 0, NULL) && errno != EBUSY)
		err(2, "mounting %s", path);
}

/* What programs of Debian, and tests, take for granted. */
static void make_system(void)
{
	static const char *const programs[] = {"sh", "cat", "echo", "true", "false", "ls", "sleep", "kill", "touch", "rm", "pwd", "env"};
	struct ifreq lo = {.ifr_name = "lo"};
	char from[64], to[64];
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	make_place("/tree/usr", "/usr");
	make_place("/tree/lib", "/lib");
	make_place("/tree/lib64", "/lib64");
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
		snprintf(from, sizeof(from), "/tree/usr/bin/%s", strcmp(programs[i], "sh") ? programs[i] : "dash");
		snprintf(to, sizeof(to), "/bin/%s", programs[i]);
		make_program(to, from);
	}
	make_directory("/etc");
	make_file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n");
	make_file("/etc/group", "root:x:0:\nnogroup:x:65534:\n");
	make_file("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
	make_file("/etc/services", "echo 7/tcp\ndomain 53/udp\n");
	make_file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
	make_directory("/root");
	make_directory("/var/tmp");
	make_mount("tmpfs", "/tmp");
	make_mount("tmpfs", "/dev/shm");
	make_mount("mqueue", "/dev/mqueue");
	make_mount("devpts", "/dev/pts");
	if (chmod("/tmp", 01777) || chmod("/dev/shm", 01777) || chmod("/var/tmp", 01777))
		err(2, "/tmp");
	if (s < 0 || ioctl(s, SIOCGIFFLAGS, &lo))
		err(2, "lo");
	lo.ifr_flags |= IFF_UP;
	if (ioctl(s, SIOCSIFFLAGS, &lo))
		err(2, "lo");
	close(s);
}

/* What a process that cannot be killed for lack of memory, or must be first, writes about itself. */
static void set_badness(const char *value)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		err(2, "oom_score_adj");
	close(fd);
}

static _Noreturn void become(const struct one *one, int out)
{
	static char *const usual[] = {"PATH=/bin:/usr/bin:/sbin", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh", "TERM=dumb",
		/* Where Debian has its libraries: our libc, which looks elsewhere by itself, opens these, too. */
		"LD_LIBRARY_PATH=/lib/x86_64-linux-gnu"};
	char *env[WORDS + 1] = {NULL};
	sigset_t none;
	int in, n = 0;

	sigemptyset(&none);
	setsid();
	sigprocmask(SIG_SETMASK, &none, NULL);
	set_badness("500");
	in = open(one->in ? one->in : "/dev/null", O_RDONLY);
	if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		err(126, "%s", one->in);
	if (in > 2)
		close(in);
	if (one->dir && chdir(one->dir))
		err(126, "%s", one->dir);
	for (size_t i = 0; !one->bare && i < sizeof(usual) / sizeof(*usual); i++)
		env[n++] = usual[i];
	for (int i = 0; i < one->envs; i++)
		env[n++] = one->env[i];
	execve(one->program, one->arg, env);
	err(126, "%s", one->program);
}

static void begin(struct slot *slot, const struct one *one)
{
	printf("start %s\n", one->name);
	fflush(stdout);
	*slot = (struct slot){.one = one, .began = now(), .out = open("/tmp", O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC, 0600)};
	if (slot->out < 0)
		err(2, "/tmp");
	slot->pid = fork();
	if (slot->pid < 0)
		err(2, "fork");
	if (slot->pid == 0)
		become(one, slot->out);
}

/* Kills what a case has left: all of its session. */
static void kill_session(pid_t session)
{
	char path[64], line[512];
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		err(2, "/proc");
	kill(-session, SIGKILL);
	while ((entry = readdir(proc))) {
		char *after;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%.20s/stat", entry->d_name);
		if (!isdigit((unsigned char)entry->d_name[0]) || !(f = fopen(path, "re")))
			continue;
		/* pid (name) state ppid pgrp session */
		after = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
		fclose(f);
		int of;
		if (after && sscanf(after + 1, " %*c %*d %*d %d", &of) == 1 && of == session)
			kill(atoi(entry->d_name), SIGKILL);
	}
	closedir(proc);
}

static void show(int out)
{
	struct stat st;
	char *text, *rest;
	off_t from;

	if (fstat(out, &st))
		return;
	from = st.st_size > SHOWN ? st.st_size - SHOWN : 0;
	text = rest = calloc(1, SHOWN + 1);
	if (!text || pread(out, text, SHOWN, from) < 0)
		err(2, "output of a case");
	for (char *line; (line = strsep(&rest, "\n"));)
		if (*line || rest)
			printf("| %s\n", line);
	free(text);
}

static void end(struct slot *slot, int status)
{
	const struct one *one = slot->one;
	char verdict[32];

	kill_session(slot->pid);
	if (slot->late)
		strcpy(verdict, "timeout");
	else if (WIFSIGNALED(status))
		snprintf(verdict, sizeof(verdict), "signal-%d", WTERMSIG(status));
	else if (WEXITSTATUS(status) == one->skip)
		strcpy(verdict, "skip");
	else if (WEXITSTATUS(status))
		snprintf(verdict, sizeof(verdict), "exit-%d", WEXITSTATUS(status));
	else
		strcpy(verdict, "pass");
	printf("end %s %s %lld\n", one->name, verdict, now() - slot->began);
	if (strcmp(verdict, "pass"))
		show(slot->out);
	fflush(stdout);
	close(slot->out);
	slot->one = NULL;
}

/* Waits at most a second for the end of some case, and kills those that take too long. */
static void watch(long long limit)
{
	struct timespec second = {.tv_sec = 1};
	sigset_t child;
	int status;
	pid_t pid;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigtimedwait(&child, NULL, &second);
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < SLOTS; i++)
			if (slots[i].one && slots[i].pid == pid)
				end(&slots[i], status);
	for (int i = 0; i < SLOTS; i++) {
		if (slots[i].one && now() - slots[i].began > limit) {
			slots[i].late = true;
			kill_session(slots[i].pid);
		}
	}
}

/* Waits for a free slot, or for all. */
static struct slot *free_slot(int most, long long limit)
{
	for (;;) {
		struct slot *found = NULL;
		int used = 0;

		for (int i = 0; i < SLOTS; i++) {
			if (slots[i].one)
				used++;
			else
				found = &slots[i];
		}
		if (used < most)
			return found;
		watch(limit);
	}
}

int main(int argc, char **argv)
{
	struct one *all = NULL;
	char path[PATH_MAX], *list;
	unsigned short cs;
	bool alone = false;
	sigset_t child;
	size_t n;

	if (argc != 5 || atoi(argv[3]) < 1 || atoi(argv[3]) > SLOTS || atoi(argv[4]) < 1)
		errx(2, "usage: runner PROGRAMS LIST AT-ONCE SECONDS");
	__asm__("mov %%cs, %0" : "=r"(cs));
	ring = cs & 3 ? "ring3" : "ring0";
	snprintf(path, sizeof(path), "%s/cases", argv[1]);
	n = parse(text_of(path), &all);
	list = text_of(argv[2]);

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		err(2, "subreaper");
	set_badness("-1000");
	umask(022);
	make_system();
	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s/%s", argv[1], ring, all[i].name);
		make_program(all[i].program, path);
	}
	printf("runs in %s\n", ring);

	for (char *name; (name = strsep(&list, "\n"));) {
		const struct one *one = NULL;

		for (size_t i = 0; i < n; i++)
			if (!strcmp(all[i].name, name))
				one = &all[i];
		if (!*name)
			continue;
		if (!one)
			errx(2, "no case %s", name);
		begin(free_slot(one->alone || alone ? 1 : atoi(argv[3]), atoll(argv[4]) * 1000), one);
		alone = one->alone;
	}
	free_slot(1, atoll(argv[4]) * 1000);
	printf("done\n");
	return 0;
}
