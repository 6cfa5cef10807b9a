/* io.c: descriptors of every kind that a server uses. */
#include "tap.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { PAGE = 4096 };

/* Writes, reads all of it. False: end of file or error. */
static bool write_all(int fd, const void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const char *)data + done, size - done);

		if (n < 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool read_all(int fd, void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = read(fd, (char *)data + done, size - done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

TEST(io, pipe)
{
	char text[8];
	int pipes[2];

	MUST(pipe2(pipes, O_NONBLOCK));
	FAILS(read(pipes[0], text, 1), EAGAIN);
	CHECK_EQ(write(pipes[1], "abc", 3), 3);
	CHECK_EQ(read(pipes[0], text, 2), 2);
	CHECK_EQ(read(pipes[0], text, 8), 1);
	while (write(pipes[1], "x", 1) == 1)
		;
	CHECK_EQ(errno, EAGAIN);
	close(pipes[1]);
	while (read(pipes[0], text, 8) > 0)
		;
	CHECK_EQ(read(pipes[0], text, 8), 0); /* end of file */
}

enum { BULK = 4 << 20 };

static int send_bulk(void *argument)
{
	int fd = *(int *)argument;
	unsigned *data = malloc(BULK);

	for (unsigned i = 0; i < BULK / sizeof *data; i++)
		data[i] = i * 2654435761u;
	return write_all(fd, data, BULK) ? 0 : 1;
}

static void receive_bulk(int fd)
{
	unsigned *data = malloc(BULK);

	CHECK(read_all(fd, data, BULK));
	for (unsigned i = 0; i < BULK / sizeof *data; i++)
		CHECK_EQ(data[i], i * 2654435761u);
	free(data);
}

TEST(io, pipe_bulk)
{
	int pipes[2];
	pid_t child;

	MUST(pipe(pipes));
	child = spawn(send_bulk, &pipes[1]);
	receive_bulk(pipes[0]);
	CHECK_EQ(reap(child), 0);
}

TEST(io, poll_and_select)
{
	struct timeval soon = { .tv_usec = 5000 };
	struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLOUT } };
	int64_t begin = now();
	int pipes[2];
	fd_set set;

	MUST(pipe(pipes));
	fds[0].fd = pipes[0];
	fds[1].fd = pipes[1];
	CHECK_EQ(poll(fds, 1, 10), 0);
	CHECK(now() - begin >= 10 * 1000000);
	CHECK_EQ(poll(fds, 2, -1), 1);
	CHECK_EQ(fds[1].revents, POLLOUT);
	FD_ZERO(&set);
	FD_SET(pipes[0], &set);
	CHECK_EQ(select(pipes[0] + 1, &set, NULL, NULL, &soon), 0);
	CHECK_EQ(write(pipes[1], "x", 1), 1);
	FD_SET(pipes[0], &set);
	CHECK_EQ(select(pipes[0] + 1, &set, NULL, NULL, NULL), 1);
	close(pipes[1]);
	CHECK_EQ(read(pipes[0], fds, 1), 1);
	fds[0] = (struct pollfd){ .fd = pipes[0], .events = POLLIN };
	CHECK_EQ(poll(fds, 1, -1), 1);
	CHECK_EQ(fds[0].revents, POLLHUP);
}

static void watch(int epoll, int fd, uint32_t events, int operation)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	MUST(epoll_ctl(epoll, operation, fd, &event));
}

TEST(io, epoll)
{
	struct epoll_event events[4];
	int epoll = MUST(epoll_create1(0)), event = MUST(eventfd(0, EFD_NONBLOCK)), pipes[2];

	MUST(pipe(pipes));
	watch(epoll, event, EPOLLIN, EPOLL_CTL_ADD);
	watch(epoll, pipes[0], EPOLLIN | EPOLLET, EPOLL_CTL_ADD);
	CHECK_EQ(epoll_wait(epoll, events, 4, 5), 0);
	MUST(eventfd_write(event, 1));
	CHECK_EQ(epoll_wait(epoll, events, 4, -1), 1);
	CHECK_EQ(events[0].data.fd, event);
	CHECK_EQ(epoll_wait(epoll, events, 4, -1), 1); /* level: still there */
	CHECK_EQ(write(pipes[1], "a", 1), 1);
	CHECK_EQ(epoll_wait(epoll, events, 4, -1), 2);
	CHECK_EQ(epoll_wait(epoll, events, 4, -1), 1); /* edge: only the level is left */
	watch(epoll, pipes[0], EPOLLIN | EPOLLONESHOT, EPOLL_CTL_MOD);
	CHECK_EQ(epoll_wait(epoll, events, 4, -1), 2);
	CHECK_EQ(epoll_wait(epoll, events, 4, -1), 1);
	MUST(epoll_ctl(epoll, EPOLL_CTL_DEL, event, NULL));
	CHECK_EQ(epoll_wait(epoll, events, 4, 0), 0);
	FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, events), EINVAL);
}

TEST(io, eventfd)
{
	int fd = MUST(eventfd(3, EFD_NONBLOCK)), semaphore = MUST(eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE));
	uint64_t value;

	MUST(eventfd_write(fd, 4));
	MUST(eventfd_read(fd, &value));
	CHECK_EQ(value, 7);
	FAILS(eventfd_read(fd, &value), EAGAIN);
	MUST(eventfd_read(semaphore, &value));
	CHECK_EQ(value, 1);
	MUST(eventfd_read(semaphore, &value));
	FAILS(eventfd_read(semaphore, &value), EAGAIN);
}

TEST(io, unix_sockets)
{
	char text[16];
	int pair[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CHECK(write_all(pair[0], "stream", 6));
	CHECK_EQ(read(pair[1], text, 3), 3);
	CHECK_EQ(read(pair[1], text, 16), 3);
	MUST(shutdown(pair[0], SHUT_WR));
	CHECK_EQ(read(pair[1], text, 16), 0);
	CHECK(write_all(pair[1], "back", 4)); /* the other way still works */
	CHECK_EQ(read(pair[0], text, 16), 4);

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	CHECK(write_all(pair[0], "one", 3) && write_all(pair[0], "second", 6));
	CHECK_EQ(read(pair[1], text, 16), 3); /* messages keep their bounds */
	CHECK_EQ(recv(pair[1], text, 2, MSG_TRUNC), 6);
}

TEST(io, pass_descriptors)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	char c = 'x';
	struct iovec data = { &c, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof control };
	int pair[2], pipes[2], passed;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	MUST(pipe(pipes));
	memcpy(CMSG_DATA(&control.header), &pipes[1], sizeof(int));
	CHECK_EQ(sendmsg(pair[0], &message, 0), 1);
	close(pipes[1]);
	memset(&control, 0, sizeof control);
	CHECK_EQ(recvmsg(pair[1], &message, 0), 1);
	memcpy(&passed, CMSG_DATA(&control.header), sizeof(int));
	CHECK(write_all(passed, "via", 3));
	CHECK_EQ(read(pipes[0], &c, 1), 1);
	CHECK_EQ(c, 'v');
}

TEST(io, named_unix_socket)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), client = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), server;
	char text[4];

	snprintf(address.sun_path, sizeof address.sun_path, "%s", scratch_file("socket"));
	FAILS(connect(client, (struct sockaddr *)&address, sizeof address), ENOENT);
	MUST(bind(listener, (struct sockaddr *)&address, sizeof address));
	FAILS(connect(client, (struct sockaddr *)&address, sizeof address), ECONNREFUSED);
	MUST(listen(listener, 1));
	MUST(connect(client, (struct sockaddr *)&address, sizeof address));
	server = MUST(accept(listener, NULL, NULL));
	CHECK(write_all(client, "four", 4) && read_all(server, text, 4));
}

static struct sockaddr_in loopback(int type, int *listener)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;

	*listener = MUST(socket(AF_INET, type, 0));
	MUST(bind(*listener, (struct sockaddr *)&address, length));
	MUST(getsockname(*listener, (struct sockaddr *)&address, &length));
	if (type == SOCK_STREAM)
		MUST(listen(*listener, 128));
	return address;
}

static int connect_to(const struct sockaddr_in *address)
{
	int fd = MUST(socket(AF_INET, SOCK_STREAM, 0));

	MUST(connect(fd, (const struct sockaddr *)address, sizeof *address));
	return fd;
}

static void *echo(void *argument)
{
	int fd = (int)(intptr_t)argument;
	char *data = malloc(65536);
	ssize_t n;

	while ((n = read(fd, data, 65536)) > 0)
		CHECK(write_all(fd, data, (size_t)n));
	CHECK_EQ(n, 0);
	free(data);
	close(fd);
	return NULL;
}

static struct sockaddr_in server_address;

static void *converse(void *argument)
{
	static const size_t sizes[] = { 1, 1460, 100, 65536, 1461, 4096, 30000 };
	unsigned char *sent = malloc(65536), *received = malloc(65536);
	int fd = connect_to(&server_address);

	for (size_t i = 0; i < 3 * sizeof sizes / sizeof sizes[0]; i++) {
		size_t size = sizes[i % (sizeof sizes / sizeof sizes[0])];

		for (size_t k = 0; k < size; k++)
			sent[k] = (unsigned char)(k * 7 + i + (uintptr_t)argument);
		CHECK(write_all(fd, sent, size) && read_all(fd, received, size));
		CHECK(memcmp(sent, received, size) == 0);
	}
	close(fd);
	free(sent);
	free(received);
	return NULL;
}

TEST(io, tcp_many_connections)
{
	pthread_t clients[30], servers[30];
	int listener;

	server_address = loopback(SOCK_STREAM, &listener);
	for (uintptr_t i = 0; i < 30; i++)
		OK(pthread_create(&clients[i], NULL, converse, (void *)i));
	for (int i = 0; i < 30; i++)
		OK(pthread_create(&servers[i], NULL, echo, (void *)(intptr_t)MUST(accept(listener, NULL, NULL))));
	for (int i = 0; i < 30; i++) {
		OK(pthread_join(clients[i], NULL));
		OK(pthread_join(servers[i], NULL));
	}
}

TEST(io, tcp_bulk)
{
	int listener, server;
	struct sockaddr_in address = loopback(SOCK_STREAM, &listener);
	int client = connect_to(&address);
	pid_t child = spawn(send_bulk, &client);

	server = MUST(accept(listener, NULL, NULL));
	receive_bulk(server);
	CHECK_EQ(reap(child), 0);
}

TEST(io, tcp_ends)
{
	const struct linger reset = { 1, 0 };
	int listener, server, client;
	struct sockaddr_in address = loopback(SOCK_STREAM, &listener);
	struct pollfd poll_fd = { .events = POLLIN };
	char c;

	client = connect_to(&address);
	server = MUST(accept(listener, NULL, NULL));
	MUST(shutdown(client, SHUT_WR));
	CHECK_EQ(read(server, &c, 1), 0);
	CHECK(write_all(server, "x", 1) && read_all(client, &c, 1)); /* half closed */
	close(server);
	close(client);

	client = connect_to(&address);
	server = MUST(accept(listener, NULL, NULL));
	MUST(setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset));
	close(client);
	poll_fd.fd = server;
	CHECK_EQ(poll(&poll_fd, 1, -1), 1);
	FAILS(read(server, &c, 1), ECONNRESET);
	close(server);
	close(listener);
	client = MUST(socket(AF_INET, SOCK_STREAM, 0));
	FAILS(connect(client, (struct sockaddr *)&address, sizeof address), ECONNREFUSED);
}

TEST(io, udp)
{
	int one, other;
	struct sockaddr_in address = loopback(SOCK_DGRAM, &one), from;
	socklen_t length = sizeof from;
	char data[2000];

	loopback(SOCK_DGRAM, &other);
	CHECK_EQ(sendto(other, data, 1500, 0, (struct sockaddr *)&address, sizeof address), 1500);
	CHECK_EQ(recvfrom(one, data, sizeof data, 0, (struct sockaddr *)&from, &length), 1500);
	CHECK_EQ(sendto(one, data, 3, 0, (struct sockaddr *)&from, length), 3);
	CHECK_EQ(recv(other, data, sizeof data, 0), 3);
}

TEST(io, names)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM }, *result;
	char host[64];

	CHECK_EQ(getaddrinfo("127.0.0.1", "5555", &hints, &result), 0);
	CHECK_EQ(((struct sockaddr_in *)result->ai_addr)->sin_port, htons(5555));
	CHECK_EQ(getnameinfo(result->ai_addr, result->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST), 0);
	CHECK(strcmp(host, "127.0.0.1") == 0);
	freeaddrinfo(result);
}

TEST(io, files)
{
	char other[128], text[16];
	struct stat status;
	int fd, entries = 0;
	DIR *directory;

	snprintf(other, sizeof other, "%s", scratch_file("other"));
	fd = MUST(open(scratch_file("file"), O_RDWR | O_CREAT | O_EXCL, 0640));
	FAILS(open(scratch_file("file"), O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
	CHECK(write_all(fd, "0123456789", 10));
	CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
	CHECK_EQ(read(fd, text, 16), 5);
	MUST(ftruncate(fd, 3));
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_size, 3);
	CHECK(S_ISREG(status.st_mode));
	MUST(rename(scratch_file("file"), other));
	FAILS(stat(scratch_file("file"), &status), ENOENT);
	MUST(symlink("other", scratch_file("link")));
	MUST(stat(scratch_file("link"), &status));
	CHECK_EQ(status.st_size, 3);
	directory = opendir(scratch());
	CHECK(directory != NULL);
	while (readdir(directory) != NULL)
		entries++;
	CHECK_EQ(entries, 4);
	closedir(directory);
	MUST(unlink(other));
	CHECK_EQ(pread(fd, text, 16, 0), 3); /* unlinked, still open */
	CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 50), 50);
	CHECK_EQ(fcntl(50, F_GETFD), FD_CLOEXEC);
}

static int try_lock(void *argument)
{
	const struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(*(int *)argument, F_SETLK, &lock) < 0 ? errno : 0;
}

TEST(io, locks)
{
	int fd = MUST(open(scratch_file("lock"), O_RDWR | O_CREAT, 0600));

	CHECK_EQ(try_lock(&fd), 0);
	CHECK_EQ(reap(spawn(try_lock, &fd)), EAGAIN);
	MUST(fcntl(fd, F_SETLK, &(struct flock){ .l_type = F_UNLCK, .l_whence = SEEK_SET }));
	CHECK_EQ(reap(spawn(try_lock, &fd)), 0);
}

/* Holes take no room and read as zeros, also beyond what 32 bits can count. */
TEST(io, sparse_files)
{
	const off_t far = 5ll << 30;
	int fd = MUST(open(scratch_file("sparse"), O_RDWR | O_CREAT, 0600));
	struct stat status;
	char text[6];

	CHECK_EQ(pwrite(fd, "end", 3, far), 3);
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_size, far + 3);
	CHECK(status.st_blocks < 2048);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), far);
	FAILS(lseek(fd, far + 3, SEEK_DATA), ENXIO);
	CHECK_EQ(pread(fd, text, sizeof text, far - 3), sizeof text);
	CHECK(memcmp(text, "\0\0\0end", sizeof text) == 0);
}

static volatile siginfo_t ready;
static volatile sig_atomic_t readies;

static void note_ready(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	ready = *info;
	readies++;
}

/* A signal of the process's own choice says which descriptor has data, until it is turned off. */
TEST(io, signal_driven)
{
	const struct sigaction action = { .sa_sigaction = note_ready, .sa_flags = SA_SIGINFO };
	int pair[2], on = 1, off = 0;

	MUST(sigaction(SIGRTMIN, &action, NULL));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	MUST(ioctl(pair[0], FIOASYNC, &on));
	MUST(fcntl(pair[0], F_SETOWN, getpid()));
	MUST(fcntl(pair[0], F_SETSIG, SIGRTMIN));
	CHECK_EQ(write(pair[1], "x", 1), 1);
	CHECK_EQ(readies, 1);
	CHECK_EQ(ready.si_fd, pair[0]);
	CHECK(ready.si_band & POLLIN);
	MUST(ioctl(pair[0], FIOASYNC, &off));
	CHECK_EQ(write(pair[1], "x", 1), 1);
	CHECK_EQ(readies, 1);
}

/* A process of the background may not take the terminal. */
static int take_terminal(void *unused)
{
	(void)unused;
	MUST(setpgid(0, 0));
	return tcsetpgrp(STDIN_FILENO, getpgrp());
}

/* Runs on a terminal, and says on it what it sees of it. */
static int use_terminal(void)
{
	struct winsize size;
	sigset_t set;
	char line[16], end;
	int signal, status;
	pid_t other;

	CHECK(isatty(STDIN_FILENO));
	CHECK_EQ(tcgetsid(STDIN_FILENO), getpid());
	CHECK_EQ(tcgetpgrp(STDIN_FILENO), getpgrp());
	close(MUST(open("/dev/tty", O_RDWR)));
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGINT);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	dprintf(STDOUT_FILENO, "ready\n");
	OK(sigwait(&set, &signal));
	CHECK_EQ(signal, SIGWINCH);
	MUST(ioctl(STDIN_FILENO, TIOCGWINSZ, &size));
	dprintf(STDOUT_FILENO, "%d columns\n", size.ws_col);
	OK(sigwait(&set, &signal));
	CHECK_EQ(signal, SIGINT);
	other = spawn(take_terminal, NULL);
	CHECK_EQ(waitpid(other, &status, WUNTRACED), other);
	CHECK(WIFSTOPPED(status));
	CHECK_EQ(WSTOPSIG(status), SIGTTOU);
	CHECK_EQ(tcgetpgrp(STDIN_FILENO), getpgrp());
	MUST(kill(other, SIGKILL));
	CHECK_EQ(reap(other), -SIGKILL);
	/* Linux echoes ^C after the signal: the other side says when it has come. */
	OK(sigwait(&set, &signal));
	CHECK_EQ(signal, SIGWINCH);
	dprintf(STDOUT_FILENO, "interrupted\n");
	CHECK_EQ(read(STDIN_FILENO, line, sizeof line), 4);
	/* The end of the session takes away what the other side has not read (tty_ldisc_hangup() of Linux). */
	CHECK_EQ(read(STDIN_FILENO, &end, 1), 1);
	return memcmp(line, "abc\n", 4) != 0;
}

static void expect(int fd, const char *text)
{
	char got[64] = "";

	CHECK(read_all(fd, got, strlen(text)));
	if (strcmp(got, text) != 0)
		tap_fail(__FILE__, __LINE__, "on the terminal: %s, want %s", got, text);
}

/* What an editor, a shell and a debugger need of a terminal: its size, Ctrl-C, the foreground, edited lines. */
TEST(io, terminal)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	int terminal;
	pid_t child = MUST(forkpty(&terminal, NULL, NULL, &size));

	if (child == 0)
		_exit(use_terminal());
	expect(terminal, "ready\r\n");
	size.ws_col = 120;
	MUST(ioctl(terminal, TIOCSWINSZ, &size));
	expect(terminal, "120 columns\r\n");
	CHECK(write_all(terminal, "\3", 1));
	expect(terminal, "^C");
	size.ws_col = 100;
	MUST(ioctl(terminal, TIOCSWINSZ, &size));
	expect(terminal, "interrupted\r\n");
	CHECK(write_all(terminal, "abx\177c\n", 6));
	expect(terminal, "abx\b \bc\r\n");
	CHECK(write_all(terminal, "\n", 1));
	CHECK_EQ(reap(child), 0);
}

TEST(io, moving_data)
{
	int file = MUST(open(scratch_file("data"), O_RDWR | O_CREAT, 0600)), pipes[2], pair[2];
	char text[PAGE];

	memset(text, 'm', sizeof text);
	CHECK(write_all(file, text, sizeof text));
	MUST(pipe(pipes));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CHECK_EQ(sendfile(pair[0], file, &(off_t){ 0 }, PAGE), PAGE);
	CHECK_EQ(splice(pair[1], NULL, pipes[1], NULL, PAGE, 0), PAGE);
	memset(text, 0, sizeof text);
	CHECK(read_all(pipes[0], text, PAGE));
	CHECK_EQ(text[PAGE - 1], 'm');
}

TEST(io, inotify)
{
	char buffer[512] __attribute__((aligned(8)));
	const struct inotify_event *event = (void *)buffer;
	int fd = inotify_init1(IN_NONBLOCK);

	if (fd < 0 && errno == ENOSYS)
		tap_skip("no inotify here");
	MUST(fd);
	MUST(inotify_add_watch(fd, scratch(), IN_CREATE));
	close(MUST(open(scratch_file("born"), O_WRONLY | O_CREAT, 0600)));
	CHECK(read(fd, buffer, sizeof buffer) > 0);
	CHECK_EQ(event->mask, IN_CREATE);
	CHECK(strcmp(event->name, "born") == 0);
}

TEST(io, devices)
{
	unsigned char zeros[64], random[64] = { 0 }, more[64];
	int fd = MUST(open("/dev/zero", O_RDONLY));

	CHECK(read_all(fd, zeros, sizeof zeros));
	CHECK_EQ(zeros[63], 0);
	CHECK_EQ(write(MUST(open("/dev/null", O_WRONLY)), zeros, 64), 64);
	CHECK_EQ(getrandom(random, sizeof random, 0), 64);
	CHECK(memcmp(random, zeros, 64) != 0);
	CHECK(read_all(MUST(open("/dev/urandom", O_RDONLY)), more, 64));
	CHECK(memcmp(random, more, 64) != 0);
}

TEST(io, stdio)
{
	FILE *stream = fopen(scratch_file("text"), "w+");
	char line[64];
	double number;
	int integer;

	CHECK(stream != NULL);
	CHECK(fprintf(stream, "%d %.3f %s %#x\n", -5, 3.14159, "text", 255) > 0);
	rewind(stream);
	CHECK(fgets(line, sizeof line, stream) != NULL);
	CHECK(strcmp(line, "-5 3.142 text 0xff\n") == 0);
	CHECK_EQ(sscanf(line, "%d %lf", &integer, &number), 2);
	CHECK(integer == -5 && number == 3.142);
	CHECK(fgets(line, sizeof line, stream) == NULL && feof(stream));
	CHECK_EQ(fclose(stream), 0);
}

/* Appends TEXT to what stdout gets, by opening NAME. */
static void say_by_name(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_APPEND);

	if (fd < 0)
		tap_fail(__FILE__, __LINE__, "%s: %m", name);
	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	MUST(close(fd));
}

static int say_in_child(void *name)
{
	say_by_name(name, "# from a child\n");
	return 0;
}

/* The standard streams are pipes or a terminal, and each process can open them again by their names. */
TEST(io, standard_streams)
{
	static char *const names[] = { "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1" };
	struct stat st;

	fflush(stdout);
	for (int fd = 0; fd < 3; fd++) {
		MUST(fstat(fd, &st));
		CHECK(S_ISFIFO(st.st_mode) || isatty(fd));
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		say_by_name(names[i], "# by name\n");
		CHECK_EQ(reap(spawn(say_in_child, names[i])), 0);
	}
	int fd = MUST(open("/dev/stdin", O_RDONLY | O_NONBLOCK));
	int unread = -1;
	MUST(ioctl(fd, FIONREAD, &unread));
	CHECK(unread >= 0);
	MUST(close(fd));
}

/* One read into a registered buffer, without a library. */
TEST(io, io_uring_fixed_buffer)
{
	static char buffer[PAGE] __attribute__((aligned(PAGE)));
	struct iovec registered = { buffer, sizeof buffer };
	struct io_uring_params parameters = { 0 };
	int ring = (int)syscall(SYS_io_uring_setup, 1, &parameters), pipes[2];
	struct io_uring_sqe *entry;
	struct io_uring_cqe *completion;
	char *queue, *completions;

	if (ring < 0)
		tap_skip("no io_uring here");
	queue = MUST(mmap(NULL, parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned), PROT_READ | PROT_WRITE,
			  MAP_SHARED, ring, IORING_OFF_SQ_RING));
	completions = MUST(mmap(NULL, parameters.cq_off.cqes + parameters.cq_entries * sizeof *completion,
				PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING));
	entry = MUST(mmap(NULL, sizeof *entry, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES));
	MUST(syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &registered, 1));
	MUST(pipe(pipes));
	CHECK(write_all(pipes[1], "through the ring", 17));
	*entry = (struct io_uring_sqe){ .opcode = IORING_OP_READ_FIXED, .fd = pipes[0], .addr = (uintptr_t)buffer,
					.len = sizeof buffer, .user_data = 42 };
	*(unsigned *)(queue + parameters.sq_off.array) = 0;
	__atomic_store_n((unsigned *)(queue + parameters.sq_off.tail), 1, __ATOMIC_RELEASE);
	CHECK_EQ(MUST(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0)), 1);
	completion = (void *)(completions + parameters.cq_off.cqes);
	CHECK_EQ(completion->user_data, 42);
	CHECK_EQ(completion->res, 17);
	CHECK(strcmp(buffer, "through the ring") == 0);
}

/* The kernel sends from the process's own pages: a global, the stack, the heap. */
TEST(io, send_without_copying)
{
	static char global[3 * PAGE];
	char stack[3 * PAGE], *heap = malloc(3 * PAGE), *sources[] = { global, stack, heap }, got[3 * PAGE];
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int listener = MUST(socket(AF_INET, SOCK_STREAM, 0)), client = MUST(socket(AF_INET, SOCK_STREAM, 0)), server, on = 1;

	MUST(bind(listener, (void *)&address, sizeof address));
	MUST(listen(listener, 1));
	MUST(getsockname(listener, (void *)&address, &length));
	MUST(connect(client, (void *)&address, sizeof address));
	server = MUST(accept(listener, NULL, NULL));
	if (setsockopt(client, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on) < 0)
		tap_skip("no MSG_ZEROCOPY here");
	for (int i = 0; i < 3; i++) {
		char control[200];
		struct msghdr message = { .msg_control = control, .msg_controllen = sizeof control };
		struct pollfd done = { .fd = client };

		memset(sources[i], 'a' + i, sizeof got);
		CHECK_EQ(send(client, sources[i], sizeof got, MSG_ZEROCOPY), sizeof got);
		CHECK_EQ(recv(server, got, sizeof got, MSG_WAITALL), sizeof got);
		CHECK(memcmp(got, sources[i], sizeof got) == 0);
		CHECK_EQ(poll(&done, 1, 5000), 1);
		CHECK(done.revents & POLLERR);
		MUST(recvmsg(client, &message, MSG_ERRQUEUE));
	}
	free(heap);
}
