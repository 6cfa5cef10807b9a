/*
 * init of process mode and of mode distro: what the patched kernel does for an application of its own image, done from
 * ring 3. In mode distro the kernel is a distribution's, which also lacks drivers, the address of ip=, and an fsync() of
 * the console's ports that waits for the host.
 *
 * in   /app, the application; /ukl/app, its place in a root of its own; /ukl/argv, /ukl/env, strings that end with NUL;
 *      /ukl/user, the numbers of its user, group and other groups, and /ukl/cwd, its directory, likewise;
 *      /ukl/mounts, a line for each volume;
 *      /ukl/modules/order, a line for each driver, if the kernel has any as modules (distro/kernel.sh); ip= on the kernel's
 *      command line, if it has no CONFIG_IP_PNP;
 *      /dev/vport0p1 to 3, its streams; /dev/vport0p4, what host and guest tell each other, as of init/ring0_control.c
 * out  its end as a line on the console: "ukl: app exited with status N" or "ukl: app killed by signal N"; before it,
 *      where it crashed, as lines "ukl: crash"; core files of processes that may leave one
 *
 * The application is not process 1: as that an ordinary process has no default actions of signals, and its end a
 * kernel panic.
 * The kernel hands core dumps to this same program, so that nothing has to trace the application while it runs.
 */
#define _GNU_SOURCE /* pipe2 */
#include <arpa/inet.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/procfs.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* say prints a line on the console, even if the kernel was told to be quiet. */
static void say(const char *format, ...)
{
	char line[500] = "<0>";
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

/* load_drivers loads the drivers of a kernel that has them as modules, those of volumes only if there are such. Their
 * files then need no memory any more. */
static void load_drivers(const char *mounts)
{
	size_t size;
	char *order = contents("/ukl/modules/order", &size), *volume, *path;
	int fd;

	while (order && (volume = strsep(&order, "\n"))) {
		path = strsep(&volume, " ");
		if (!*path)
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (strstr(mounts, volume ? volume : "") && syscall(SYS_finit_module, fd, "", 0)))
			die(path);
		close(fd);
		unlink(path);
	}
	rmdir("/ukl/modules");
}

/* Where the layers of the root are, and where the application is, as in the patched kernel. */
#define LAYERS "/.root"
#define MERGED LAYERS "/merged"

static char *app_path = "/app";

/* enter_root makes a read-only file system the root, as enter_root() of the patched kernel does. place is the file of it
 * that the application stands for, or NULL. */
static void enter_root(const char *type, const char *source, const char *options, char *place)
{
	static const char *const layers[] = { LAYERS, LAYERS "/base", LAYERS "/image", LAYERS "/files", LAYERS "/work", MERGED };
	static const char *const moved[] = { "/dev", "/proc", "/sys" };
	char path[4200];
	size_t i;

	for (i = 0; i < sizeof(layers) / sizeof(*layers); i++)
		mkdir(layers[i], 0755);
	if (mount(source, LAYERS "/image", type, MS_RDONLY, options))
		die(source);
	if (mount("overlay", MERGED, "overlay", 0,
		  "lowerdir=" LAYERS "/image:" LAYERS "/base,upperdir=" LAYERS "/files,workdir=" LAYERS "/work"))
		die("overlay");
	for (i = 0; i < sizeof(moved) / sizeof(*moved); i++) {
		snprintf(path, sizeof(path), MERGED "%s", moved[i]);
		mkdir(path, 0755);
		if (mount(moved[i], path, NULL, MS_MOVE, NULL))
			die(moved[i]);
	}
	mkdir(MERGED "/tmp", 01777);
	if (place)
		app_path = place;
	snprintf(path, sizeof(path), MERGED "%s", app_path);
	if (!place)
		close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0555));
	if (mount("/app", path, NULL, MS_BIND, NULL) || chdir(MERGED) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot("."))
		die(app_path);
}

static char *mounted[16]; /* the directories of volumes */
static size_t volumes;

static void mount_volumes(char *text, char *place)
{
	char *line;

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
		options = strcmp(options, "-") ? options : NULL;
		if (!strcmp(dir, "/")) {
			enter_root(type, source, options, place);
			continue;
		}
		for (s = dir; (s = strchr(s + 1, '/')); *s = '/') {
			*s = 0;
			mkdir(dir, 0755);
		}
		mkdir(dir, 0755);
		if (mount(source, dir, type, strcmp(mode, "ro") ? 0 : MS_RDONLY, options))
			die(dir);
		if (volumes < sizeof(mounted) / sizeof(*mounted))
			mounted[volumes++] = dir;
	}
}

/* unmount_volumes leaves disks clean, with all that was written to them. No process uses them any more. */
static void unmount_volumes(void)
{
	sync();
	while (volumes)
		umount2(mounted[--volumes], 0); /* if it is still busy, sync() has written all */
}

/* open_port opens a port of the console. The host adds the ports one by one. */
static int open_port(int nr, int flags)
{
	char path[32];
	int tries, fd = -1;

	snprintf(path, sizeof(path), "/dev/vport0p%d", nr);
	for (tries = 0; tries < 10000; tries++) {
		fd = open(path, flags | O_CLOEXEC);
		if (fd >= 0 || (errno != ENOENT && errno != ENXIO))
			break;
		usleep(300);
	}
	if (fd < 0)
		die(path);
	return fd;
}

/* command_line is the kernel's. */
static char *command_line(void)
{
	static char line[4096];
	int fd = open("/proc/cmdline", O_RDONLY);

	if (!*line && read(fd, line, sizeof(line) - 1) < 0)
		die("/proc/cmdline");
	close(fd);
	return line;
}

/* asked tells whether a parameter is on the kernel's command line. */
static int asked(const char *parameter)
{
	return strstr(command_line(), parameter) != NULL;
}

static struct sockaddr_in address_of(const char *text)
{
	struct sockaddr_in a = { .sin_family = AF_INET };

	if (inet_pton(AF_INET, text, &a.sin_addr) != 1) {
		errno = EINVAL;
		die("ip=: an address");
	}
	return a;
}

/* give sets an address of a network interface. */
static void give(int s, struct ifreq *card, unsigned long request, const char *address)
{
	struct sockaddr_in a = address_of(address);

	memcpy(&card->ifr_addr, &a, sizeof(a));
	if (ioctl(s, request, card))
		die(card->ifr_name);
}

static void switch_on(int s, struct ifreq *card)
{
	card->ifr_flags = IFF_UP;
	if (ioctl(s, SIOCSIFFLAGS, card))
		die(card->ifr_name);
}

/* set_address does what a kernel with CONFIG_IP_PNP does by itself: it sets up the loopback interface, and gives a card
 * the address, and the route, of the last ip= on the command line (Documentation/admin-guide/nfs/nfsroot.rst). */
static void set_address(void)
{
	struct ifreq lo = { .ifr_name = "lo" }, card = { 0 };
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	char *line, *words, *word, *ip = NULL, *field[6];
	struct sockaddr_in to = { .sin_family = AF_INET }, by;
	int s, i, ip_given;

	if (!access("/proc/net/pnp", F_OK))
		return;
	line = words = strdup(command_line());
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (!line || s < 0)
		die("socket");
	switch_on(s, &lo);
	while ((word = strsep(&words, " \n")))
		if (!strncmp(word, "ip=", 3))
			ip = word + 3;
	ip_given = ip != NULL;
	for (i = 0; i < 6; i++)
		field[i] = ip ? strsep(&ip, ":") : NULL;
	if (ip_given && !field[5]) {
		errno = EINVAL;
		die("want ip=ADDRESS::GATEWAY:NETMASK:HOSTNAME:DEVICE");
	}
	if (ip_given) {
		strncpy(card.ifr_name, field[5], IFNAMSIZ - 1);
		give(s, &card, SIOCSIFADDR, field[0]);
		give(s, &card, SIOCSIFNETMASK, field[3]);
		switch_on(s, &card);
		by = address_of(field[2]);
		memcpy(&route.rt_dst, &to, sizeof(to));
		memcpy(&route.rt_genmask, &to, sizeof(to));
		memcpy(&route.rt_gateway, &by, sizeof(by));
		if (ioctl(s, SIOCADDRT, &route))
			die("ip=: the gateway");
	}
	close(s);
	free(line);
}

/* A standard stream of the application: a pipe to a port of the console, or from one. */
static struct stream {
	int from, to, app; /* app is the application's end of the pipe */
	long long carried; /* bytes */
	pthread_t thread;
} streams[3];

static int streams_open; /* 2 if standard error is standard output */

/* carry copies bytes until either end is closed, and then closes the pipe. */
static void *carry(void *data)
{
	struct stream *s = data;
	char bytes[65536];
	ssize_t n, done, m;

	while ((n = read(s->from, bytes, sizeof(bytes))) > 0)
		for (done = 0; done < n; done += m)
			if ((m = write(s->to, bytes + done, n - done)) < 0)
				goto end;
			else
				s->carried += m;
end:
	close(s == streams ? s->to : s->from);
	return NULL;
}

static void open_streams(void)
{
	int i, end[2], port;

	while ((i = open("/dev/null", O_RDWR)) < 2)
		if (i < 0)
			die("/dev/null");
	if (i > 2)
		close(i); /* the application inherits what is open */
	streams_open = asked("ukl.stdio=vport,joined") ? 2 : 3;
	for (i = 0; i < streams_open; i++) {
		struct stream *s = &streams[i];

		port = open_port(i + 1, i ? O_WRONLY : O_RDONLY);
		if (pipe2(end, O_CLOEXEC))
			die("pipe");
		s->from = i ? end[0] : port;
		s->to = i ? port : end[1];
		s->app = end[i ? 1 : 0];
		if (pthread_create(&s->thread, NULL, carry, s))
			die("thread");
	}
}

static void interrupted(int sig __attribute__((unused)))
{
}

/* close_streams ends the threads that carry what the application wrote, once they have carried all of it. No process is
 * left, but the pipe may have a writer: a descriptor in a socket that nobody can read. */
static void close_streams(void)
{
	struct sigaction action = { .sa_handler = interrupted, .sa_flags = SA_RESTART };
	int i;

	sigaction(SIGUSR1, &action, NULL);
	for (i = 1; i < streams_open; i++) {
		struct stream *s = &streams[i];

		if (!pthread_tryjoin_np(s->thread, NULL))
			continue;
		/* A read() that waits is done again after the signal, and then waits no more. */
		fcntl(s->from, F_SETFL, O_NONBLOCK);
		pthread_kill(s->thread, SIGUSR1);
		pthread_join(s->thread, NULL);
	}
}

static int control = -1; /* the port to the host, if it listens */

static void tell(const char *format, int n)
{
	char line[64];

	snprintf(line, sizeof(line), format, n);
	if (write(control, line, strlen(line)) < 0)
		return; /* the host is gone, and the machine with it */
}

/* next_line waits for a line of the host for so many milliseconds, -1 is for ever; NULL is none. */
static char *next_line(int timeout)
{
	static char line[64], text[256];
	static size_t at, end, n;

	for (;;) {
		while (at < end) {
			char c = text[at++];

			if (c == '\n') {
				line[n] = 0;
				n = 0;
				return line;
			}
			if (n < sizeof(line) - 1)
				line[n++] = c;
		}
		struct pollfd p = { control, POLLIN, 0 };
		ssize_t got = poll(&p, 1, timeout) > 0 ? read(control, text, sizeof(text)) : 0;

		if (got <= 0)
			return NULL;
		at = 0;
		end = got;
	}
}

#define SECOND 1000000000LL

static int is_time(const char *line, long long *ns)
{
	long long sec;
	long nsec;

	if (sscanf(line, "time %lld.%9ld", &sec, &nsec) != 2)
		return 0;
	*ns = sec * SECOND + nsec;
	return 1;
}

static pid_t app;

static sem_t taken; /* posted when the host has answered drain() */

static void obey(const char *line)
{
	int sig;

	if (!strcmp(line, "taken"))
		sem_post(&taken);
	if (sscanf(line, "signal %d", &sig) == 1 && app > 0)
		kill(app, sig);
}

static long long monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

/* real_offset is how much CLOCK_REALTIME is after CLOCK_MONOTONIC. The quickest of several looks is the most exact. */
static long long real_offset(void)
{
	long long offset = 0, quickest = LLONG_MAX;

	for (int i = 0; i < 8; i++) {
		long long before = monotonic(), took;
		struct timespec ts;

		clock_gettime(CLOCK_REALTIME, &ts);
		took = monotonic() - before;
		if (took < quickest) {
			quickest = took;
			offset = ts.tv_sec * SECOND + ts.tv_nsec - before - took / 2;
		}
	}
	return offset;
}

/* step_clock sets CLOCK_REALTIME so much forwards. An absolute time would be over when it is set. */
static void step_clock(long long ns)
{
	struct timex tx = { .modes = ADJ_SETOFFSET | ADJ_NANO };

	tx.time.tv_usec = ns % SECOND; /* nanoseconds, not negative */
	if (tx.time.tv_usec < 0)
		tx.time.tv_usec += SECOND;
	tx.time.tv_sec = (ns - tx.time.tv_usec) / SECOND;
	adjtimex(&tx);
}

static long long ask_at; /* when the host is asked for the time again, by monotonic(); 0 is never */

/* set_clock sets the clock by the host's, as ring0_control.c does: all answers together tell more than the quickest. A
 * clock that may be right is left alone unless the answers are better than those that it was set by. */
static void set_clock(void)
{
	static long long known = LLONG_MAX, pause = SECOND;
	long long low = 1, high = 0, begun = monotonic(), asked, answered, host, offset;
	char *line;
	int i = 0;

	do {
		asked = monotonic();
		tell("time\n", 0);
		while ((line = next_line(-1)) && !is_time(line, &host))
			obey(line);
		if (!line)
			return;
		answered = monotonic();
		low = host - answered > low ? host - answered : low;
		high = host - asked < high ? host - asked : high;
		if (low > high) { /* it is the first answer, or somebody has set the host's clock */
			low = host - answered;
			high = host - asked;
		}
		i++;
	} while (high - low > (i < 8 ? 200000 : 1000000) && answered - begun < 4 * SECOND);
	offset = real_offset();
	if (high - low < known || offset < low || offset > high) {
		known = high - low;
		step_clock(low + known / 2 - offset);
	}
	ask_at = 0;
	if (known > 1000000) {
		ask_at = monotonic() + pause;
		pause = pause < 64 * SECOND ? 2 * pause : pause;
	}
}

static void open_control(void)
{
	if (!asked("ukl.control=vport"))
		return;
	if (sem_init(&taken, 0, 0))
		die("semaphore");
	control = open_port(4, O_RDWR);
	set_clock();
}

/* tell_ports tells the host of TCP ports on which somebody listens, once each. */
static void tell_ports(const char *table)
{
	static unsigned char told[65536];
	char line[512], state[8], address[64];
	FILE *f = fopen(table, "r");
	unsigned int port;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, " %*d: %63[0-9A-F]:%4X %*s %7s", address, &port, state) != 3 || strcmp(state, "0A"))
			continue;
		if (!strcmp(address, "0100007F") || !strcmp(address, "00000000000000000000000001000000") || told[port])
			continue;
		told[port] = 1;
		tell("listen tcp %d\n", port);
	}
	if (f)
		fclose(f);
}

/* serve_host tells the host when the application starts, which closes a pipe, and listens; and does what the host
 * says. */
static void *serve_host(void *pipe)
{
	long long begun;
	long long host;
	char *line, c;

	if (read(*(int *)pipe, &c, 1) == 0)
		tell("started\n", 0);
	for (begun = monotonic();;) {
		tell_ports("/proc/net/tcp");
		tell_ports("/proc/net/tcp6");
		if (ask_at && monotonic() > ask_at)
			set_clock();
		while ((line = next_line(monotonic() - begun < 30 * SECOND ? 10 : 500))) {
			if (is_time(line, &host))
				set_clock();
			else
				obey(line);
		}
	}
	return NULL;
}

/* drain waits until the host has all that was written to the ports. A driver whose fsync() does not wait has no way to
 * know what the host has taken, so the host itself is asked. Without a control channel it was, when the closing of a
 * port returns, if it takes what comes at once: QEMU serves the ports first. */
static void drain(void)
{
	int i, known = 1;

	for (i = 1; i < streams_open; i++)
		if (fsync(streams[i].to))
			known = 0;
	if (known)
		return;
	for (i = 1; control < 0 && i < streams_open; i++)
		close(streams[i].to);
	while (control >= 0) {
		struct timespec limit;
		char line[64];

		snprintf(line, sizeof(line), "written %lld %lld\n", streams[1].carried, streams[2].carried);
		if (write(control, line, strlen(line)) < 0)
			return; /* the host is gone, and the machine with it */
		clock_gettime(CLOCK_REALTIME, &limit);
		limit.tv_sec++;
		if (!sem_timedwait(&taken, &limit))
			return;
	}
}

static void set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		die(path);
	close(fd);
}

/* receive_crashes lets the kernel start this program when a process dumps core, and wait for it. The caller is the
 * application. */
static void receive_crashes(void)
{
	char pattern[64];

	set("/proc/sys/kernel/printk_devkmsg", "on\n"); /* a report has more lines than a process may write at once */
	set("/proc/sys/kernel/core_pipe_limit", "16");
	snprintf(pattern, sizeof(pattern), "|/init crash %d %%P %%I", getpid());
	set("/proc/sys/kernel/core_pattern", pattern);
}

/* Most of a core dump's beginning that this program reads: the notes of some ten thousand threads. */
#define MOST_NOTES (64UL << 20)

/* beginning reads a core dump up to the end of its notes, and gives the size; NULL if it is none. */
static char *beginning(FILE *core, size_t *size)
{
	struct {
		Elf64_Ehdr head;
		Elf64_Phdr notes;
	} first;
	char *text;

	if (fread(&first, sizeof(first), 1, core) != 1 || first.head.e_phoff != sizeof(first.head) ||
	    !first.head.e_phnum || first.notes.p_type != PT_NOTE || first.notes.p_offset < sizeof(first) ||
	    first.notes.p_offset > MOST_NOTES || first.notes.p_filesz > MOST_NOTES)
		return NULL;
	*size = first.notes.p_offset + first.notes.p_filesz;
	text = malloc(*size);
	if (!text)
		return NULL;
	memcpy(text, &first, sizeof(first));
	return fread(text + sizeof(first), *size - sizeof(first), 1, core) == 1 ? text : NULL;
}

/* crashed finds in a core dump's beginning the registers of the thread that crashed, and why. */
static int crashed(const char *text, struct user_regs_struct *regs, siginfo_t *info)
{
	const Elf64_Phdr *part = (const void *)(text + sizeof(Elf64_Ehdr));
	const char *at = text + part->p_offset, *end = at + part->p_filesz;
	int have_regs = 0, have_info = 0;

	while ((size_t)(end - at) >= sizeof(Elf64_Nhdr) && !(have_regs && have_info)) {
		const Elf64_Nhdr *note = (const void *)at;
		unsigned long name = (note->n_namesz + 3UL) & ~3UL;
		unsigned long desc = (note->n_descsz + 3UL) & ~3UL;

		at += sizeof(*note);
		if (name + desc > (size_t)(end - at))
			return 0;
		at += name;
		if (note->n_type == NT_PRSTATUS && !have_regs && desc >= sizeof(struct elf_prstatus)) {
			/* the first is the one that crashed */
			memcpy(regs, &((const struct elf_prstatus *)at)->pr_reg, sizeof(*regs));
			have_regs = 1;
		} else if (note->n_type == NT_SIGINFO && desc >= sizeof(*info)) {
			memcpy(info, at, sizeof(*info));
			have_info = 1;
		}
		at += desc;
	}
	return have_regs && have_info;
}

/* has_address tells whether the kernel says what address a signal is about. */
static int has_address(const siginfo_t *info)
{
	switch (info->si_signo) {
	case SIGSEGV:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
	case SIGTRAP:
		return info->si_code > SI_USER && info->si_code < SI_KERNEL;
	}
	return 0;
}

/* say_maps says where code of files is mapped in a process, of as many as the patched kernel. */
static void say_maps(const char *pid)
{
	unsigned long start, end, offset;
	char line[4200], rights[8], *path;
	int n = 0;
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%s/maps", pid);
	f = fopen(line, "r");
	while (f && n < 64 && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s %lx", &start, &end, rights, &offset) == 4 && rights[2] == 'x' &&
		    (path = strchr(line, '/'))) {
			say("ukl: crash map %lx %lx %lx %.*s", start, end, offset, (int)strcspn(path, "\n"), path);
			n++;
		}
	if (f)
		fclose(f);
}

/* report says where the application crashes, as ring0_report_crash() of the patched kernel does. */
static void report(const char *core, const char *pid, const char *thread)
{
	struct user_regs_struct r = { 0 };
	siginfo_t info = { 0 };
	unsigned long word[8];
	char path[64];
	int fd, i;

	if (!crashed(core, &r, &info))
		return;
	say("ukl: crash signal %d code %d address %lx thread %s", info.si_signo, info.si_code,
	    has_address(&info) ? (unsigned long)info.si_addr : 0, strcmp(pid, thread) ? thread : "1");
	say("ukl: crash registers ax %llx dx %llx cx %llx bx %llx si %llx di %llx bp %llx sp %llx r8 %llx r9 %llx r10 %llx "
	    "r11 %llx r12 %llx r13 %llx r14 %llx r15 %llx ip %llx flags %llx",
	    r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15,
	    r.rip, r.eflags);
	say_maps(pid);
	snprintf(path, sizeof(path), "/proc/%s/mem", thread);
	fd = open(path, O_RDONLY);
	for (i = 0; i < 32 && pread(fd, word, sizeof(word), r.rsp) == sizeof(word); i++, r.rsp += sizeof(word))
		say("ukl: crash stack %llx: %lx %lx %lx %lx %lx %lx %lx %lx", r.rsp, word[0], word[1], word[2], word[3], word[4],
		    word[5], word[6], word[7]);
	close(fd);
}

/* become takes the rights to files that a process has: those of its file system user and group. */
static void become(const char *pid)
{
	unsigned int user = 0, group = 0;
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "Uid: %*u %*u %*u %u", &user);
		sscanf(line, "Gid: %*u %*u %*u %u", &group);
	}
	if (f)
		fclose(f);
	setfsgid(group);
	setfsuid(user);
}

/* create_core opens the file "core" in the directory of a process, with the conditions of do_coredump() of the kernel;
 * -1 is no file. */
static int create_core(const char *pid)
{
	char path[64], name[32] = "core", digit = '0';
	struct stat st;
	int dir, fd;

	fd = open("/proc/sys/kernel/core_uses_pid", O_RDONLY);
	if (fd >= 0 && read(fd, &digit, 1) == 1 && digit != '0')
		snprintf(name, sizeof(name), "core.%s", pid);
	close(fd);
	snprintf(path, sizeof(path), "/proc/%s/cwd", pid);
	dir = open(path, O_PATH | O_DIRECTORY);
	become(pid);
	fd = openat(dir, name, O_CREAT | O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0600);
	close(dir);
	if (fd < 0)
		return -1;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_nlink == 1 && (st.st_mode & 0677) == 0600 &&
	    st.st_uid == (uid_t)setfsuid(-1) && !ftruncate(fd, 0))
		return fd;
	close(fd);
	return -1;
}

/* put writes bytes at a place of a file, and is 0 if that went wrong. */
static int put(int fd, const char *text, size_t n, off_t at)
{
	ssize_t done;

	for (; n; text += done, n -= done, at += done)
		if ((done = pwrite(fd, text, n, at)) <= 0)
			return 0;
	return 1;
}

/* save writes a core dump, of which the beginning has been read, into a file, if the process has room for one. The
 * kernel gives a pipe the pages that were never touched as zeros; in a file they are holes. */
static void save(FILE *core, const char *begin, size_t size, const char *pid)
{
	static const char zeros[4096];
	char page[sizeof(zeros)];
	struct rlimit limit, most;
	rlim_t written = size;
	off_t at = size;
	size_t n;
	int fd;

	if (prlimit(atoi(pid), RLIMIT_CORE, NULL, &limit) || prlimit(atoi(pid), RLIMIT_FSIZE, NULL, &most) ||
	    limit.rlim_cur < sizeof(page))
		return;
	if (most.rlim_cur < limit.rlim_cur)
		limit = most;
	fd = create_core(pid);
	if (fd < 0)
		return;
	if (size <= limit.rlim_cur && put(fd, begin, size, 0)) {
		/* pages of the process begin where a page of the file does */
		while ((n = fread(page, 1, sizeof(page) - at % sizeof(page), core)) > 0) {
			if (memcmp(page, zeros, n)) {
				written += n;
				if (written > limit.rlim_cur || !put(fd, page, n, at))
					break;
			}
			at += n;
		}
		if (ftruncate(fd, at))
			at = 0; /* the file ends with its last bytes that are not zero */
	}
	close(fd);
}

/* dumped takes the core dump of a process from the kernel: a report if it is the application, and a file. */
static int dumped(const char *application, const char *pid, const char *thread)
{
	size_t size;
	char *begin = beginning(stdin, &size);

	if (!begin)
		return 1;
	if (!strcmp(pid, application))
		report(begin, pid, thread);
	save(stdin, begin, size, pid);
	return 0;
}

/* become_user makes this process the user that the application is to be: UID, GID and other groups. */
static void become_user(char **ids)
{
	gid_t groups[NGROUPS_MAX];
	size_t n;
	int i;

	for (n = 0; ids[n]; n++)
		if (n >= 2 && n < NGROUPS_MAX)
			groups[n - 2] = strtoul(ids[n], NULL, 10);
	if (n < 2 || n >= NGROUPS_MAX)
		die("/ukl/user");
	/* So that it can open /dev/stdout, as it could a pipe of its own. */
	for (i = 0; i < 3; i++)
		if (fchown(i, strtoul(ids[0], NULL, 10), strtoul(ids[1], NULL, 10)))
			continue;
	if (setgroups(n - 2, groups) || setgid(strtoul(ids[1], NULL, 10)) || setuid(strtoul(ids[0], NULL, 10)))
		die("/ukl/user");
}

int main(int argc, char **args)
{
	char *only[] = { "app", NULL }, *none[] = { NULL }, **argv, **env, **place, **ids, **dir, *mounts;
	size_t size;
	int status, i, executed[2];
	pthread_t host;
	pid_t pid;

	if (getpid() != 1)
		return argc == 5 ? dumped(args[2], args[3], args[4]) : 0;
	furnish();
	argv = strings("/ukl/argv");
	env = strings("/ukl/env");
	place = strings("/ukl/app");
	ids = strings("/ukl/user");
	dir = strings("/ukl/cwd");
	mounts = contents("/ukl/mounts", &size);
	load_drivers(mounts ? mounts : "");
	set_address();
	rmdir("/ukl");
	mount_volumes(mounts, place ? *place : NULL);
	open_streams();
	open_control();
	if (pipe2(executed, O_CLOEXEC))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		setsid();
		for (i = 0; i < 3; i++)
			dup2(streams[i < streams_open ? i : 1].app, i);
		receive_crashes();
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 1024, 1 << 20 });
		if (dir && dir[0] && chdir(dir[0]))
			die(dir[0]);
		if (ids)
			become_user(ids);
		execve(app_path, argv && argv[0] ? argv : only, env ? env : none);
		die(app_path);
	}
	app = pid;
	/* init holds no end of the streams: the application's closing one must be seen. */
	for (i = 0; i < streams_open; i++)
		close(streams[i].app);
	close(executed[1]);
	if (control >= 0 && pthread_create(&host, NULL, serve_host, &executed[0]))
		die("thread");
	while (waitpid(-1, &status, 0) != pid)
		;
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	close_streams();
	drain();
	unmount_volumes();
	if (WIFSIGNALED(status))
		say("ukl: app killed by signal %d", WTERMSIG(status));
	else
		say("ukl: app exited with status %d", WEXITSTATUS(status));
	/* A thread that is printing on another processor prints that, too. To open the console waits for it. */
	close(open("/dev/console", O_WRONLY | O_NOCTTY));
	reboot(RB_AUTOBOOT);
	return 1;
}
