/*
 * init of process mode: what the patched kernel does for an application of its own image, done from ring 3.
 *
 * in   /app, the application; /ukl/argv, /ukl/env, strings that end with NUL; /ukl/mounts, a line for each volume;
 *      /dev/vport0p1 to 3, its streams
 * out  its end as a line on the console: "ukl: app exited with status N" or "ukl: app killed by signal N"
 *
 * The application is process 2: as process 1 an ordinary process has no default actions of signals, and its end a kernel panic.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* say prints a line on the console, even if the kernel was told to be quiet. */
static void say(const char *format, ...)
{
	char line[200] = "<0>";
	va_list args;
	int fd;

	va_start(args, format);
	vsnprintf(line + 3, sizeof(line) - 3, format, args);
	va_end(args);
	fd = open("/dev/kmsg", O_WRONLY);
	if (fd >= 0 && write(fd, line, strlen(line)) < 0)
		fd = -1; /* nobody is left to tell */
	close(fd);
}

/* die ends the machine as a kernel does that cannot start its application. */
static void die(const char *what)
{
	say("Kernel panic - not syncing: process mode: %s: %s", what, strerror(errno));
	reboot(RB_AUTOBOOT);
	_exit(1);
}

static void mount_at(const char *type, const char *dir, unsigned long flags)
{
	mkdir(dir, 0755);
	if (mount(type, dir, type, MS_NOSUID | flags, NULL) && errno != EBUSY)
		die(dir);
}

static void furnish(void)
{
	mount_at("devtmpfs", "/dev", MS_NOEXEC);
	mount_at("proc", "/proc", MS_NOEXEC | MS_NODEV);
	mount_at("sysfs", "/sys", MS_NOEXEC | MS_NODEV);
	mount_at("devpts", "/dev/pts", MS_NOEXEC);
	mount_at("tmpfs", "/dev/shm", MS_NODEV);
	chmod("/dev/shm", 01777);
	mkdir("/tmp", 01777);
	chmod("/tmp", 01777);
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("/proc/self/fd/0", "/dev/stdin") ||
	    symlink("/proc/self/fd/1", "/dev/stdout") || symlink("/proc/self/fd/2", "/dev/stderr"))
		die("/dev");
}

/* contents returns a file with a NUL behind it, and its size; NULL if there is none. */
static char *contents(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	char *text;
	ssize_t n;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) || !(text = malloc(st.st_size + 1)))
		die(path);
	for (*size = 0; (n = read(fd, text + *size, st.st_size - *size)) > 0;)
		*size += n;
	if (n < 0)
		die(path);
	text[*size] = 0;
	close(fd);
	unlink(path);
	return text;
}

/* strings is a file of strings as an array that ends with NULL; NULL if there is no file. */
static char **strings(const char *path)
{
	size_t size, n = 0, i;
	char *text = contents(path, &size), *s, **list;

	if (!text)
		return NULL;
	for (i = 0; i < size; i++)
		n += !text[i];
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		die(path);
	for (i = 0, s = text; i < n; i++, s += strlen(s) + 1)
		list[i] = s;
	return list;
}

static void mount_volumes(void)
{
	size_t size;
	char *text = contents("/ukl/mounts", &size), *line;

	while (text && (line = strsep(&text, "\n"))) {
		char *dir = line, *type, *source, *mode, *options, *s;

		if (!*line)
			continue;
		type = strsep(&dir, " ");
		source = strsep(&dir, " ");
		mode = strsep(&dir, " ");
		options = strsep(&dir, " ");
		if (!dir || *dir != '/') {
			errno = EINVAL;
			die("/ukl/mounts");
		}
		for (s = dir; (s = strchr(s + 1, '/')); *s = '/') {
			*s = 0;
			mkdir(dir, 0755);
		}
		mkdir(dir, 0755);
		if (mount(source, dir, type, strcmp(mode, "ro") ? 0 : MS_RDONLY, strcmp(options, "-") ? options : NULL))
			die(dir);
	}
}

/* open_streams makes the ports of the console the standard streams. The host adds them one by one. */
static void open_streams(void)
{
	static const char *const port[] = { "/dev/vport0p1", "/dev/vport0p2", "/dev/vport0p3" };
	int i, tries, fd;

	for (i = 0; i < 3; i++)
		close(i);
	for (i = 0; i < 3; i++) {
		for (tries = 0; tries < 10000; tries++) {
			fd = open(port[i], i ? O_WRONLY : O_RDONLY);
			if (fd >= 0 || (errno != ENOENT && errno != ENXIO))
				break;
			usleep(300);
		}
		if (fd != i)
			die(port[i]);
	}
}

int main(void)
{
	char *only[] = { "app", NULL }, *none[] = { NULL }, **argv, **env;
	int status;
	pid_t app;

	furnish();
	argv = strings("/ukl/argv");
	env = strings("/ukl/env");
	mount_volumes();
	rmdir("/ukl");
	open_streams();
	app = fork();
	if (app < 0)
		die("fork");
	if (!app) {
		execve("/app", argv && argv[0] ? argv : only, env ? env : none);
		die("/app");
	}
	/* init holds no end of the streams: the application's closing one must be seen. */
	for (int i = 0; i < 3; i++)
		close(i);
	while (waitpid(-1, &status, 0) != app)
		;
	if (WIFSIGNALED(status))
		say("ukl: app killed by signal %d", WTERMSIG(status));
	else
		say("ukl: app exited with status %d", WEXITSTATUS(status));
	reboot(RB_AUTOBOOT);
	return 1;
}
