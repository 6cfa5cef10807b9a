/* multithreaded: a TCP echo server with a thread for each connection.
 *
 * Shows: threads in a unikernel. Each is detached on purpose and gives back its stack, its descriptor and its
 * buffer when the client goes: only memory and descriptors limit how many there are at once.
 * Run:   ukl run multithreaded          then, elsewhere: telnet 127.0.0.1 5555, or: ukl client
 *        ukl run multithreaded -- 7777  listens on another port of the guest
 * See:   the client gets the line `Multi-threaded TCP server', then back exactly what it sends. The server prints
 *        `Connection accepted.' and, when the client has gone, `Connection closed: N bytes echoed.'
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DEFAULT_PORT = 5555, BACKLOG = 1024, PIECE = 16 * 1024, THREAD_STACK = 64 * 1024 };

static const char banner[] = "Multi-threaded TCP server\n";

static int listen_on(uint16_t port)
{
	/* Accepted sockets inherit these. A client that is silent for a minute is asked three times if it is there. */
	static const struct { int level, name, value; } options[] = {
		{ SOL_SOCKET, SO_REUSEADDR, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 60 /* s */ },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 10 /* s */ },
		{ IPPROTO_TCP, TCP_KEEPCNT, 3 },
	};
	const struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(EXIT_FAILURE, "socket");
	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
		if (setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int)) < 0)
			err(EXIT_FAILURE, "socket option %d", options[i].name);
	if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
		err(EXIT_FAILURE, "bind to port %u", port);
	if (listen(fd, BACKLOG) < 0)
		err(EXIT_FAILURE, "listen");
	return fd;
}

/* Sends all of it. False: the client has gone. MSG_NOSIGNAL, or the server would go with it. */
static int send_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = send(fd, data, length, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return 0;
		data += n;
		length -= (size_t)n;
	}
	return 1;
}

/* The thread of a connection. Its argument is the descriptor, which it owns. */
static void *serve(void *argument)
{
	int fd = (int)(intptr_t)argument;
	unsigned long long echoed = 0;
	char piece[PIECE];
	ssize_t n = 0;

	for (int sent = send_all(fd, banner, strlen(banner)); sent; sent = send_all(fd, piece, (size_t)n)) {
		echoed += (unsigned long long)n;
		do
			n = recv(fd, piece, sizeof piece, 0);
		while (n < 0 && errno == EINTR);
		if (n <= 0)
			break;
	}
	close(fd);
	printf("Connection closed: %llu bytes echoed.\n", echoed);
	return NULL;
}

/* Out of descriptors, memory or threads: a client that goes makes room, so wait for that instead of giving up. */
static void wait_for_room(const char *what, int error)
{
	warnx("%s: %s", what, strerror(error));
	nanosleep(&(const struct timespec){ .tv_nsec = 50 * 1000 * 1000 }, NULL);
}

int main(int argc, char **argv)
{
	int port = argc > 1 ? atoi(argv[1]) : DEFAULT_PORT;
	struct rlimit descriptors;
	pthread_attr_t detached;
	pthread_t thread;
	int listener, error;

	if (argc > 2 || port < 1 || port > UINT16_MAX)
		errx(2, "usage: multithreaded [PORT]");
	setvbuf(stdout, NULL, _IOLBF, 0);
	getrlimit(RLIMIT_NOFILE, &descriptors);
	descriptors.rlim_cur = descriptors.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &descriptors) < 0)
		err(EXIT_FAILURE, "descriptor limit");
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	if (pthread_attr_setstacksize(&detached, THREAD_STACK) != 0)
		errx(EXIT_FAILURE, "stack size");
	listener = listen_on((uint16_t)port);
	printf("Listening on port %d.\n", port);
	for (;;) {
		int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (client < 0) {
			wait_for_room("accept", errno);
			continue;
		}
		puts("Connection accepted.");
		error = pthread_create(&thread, &detached, serve, (void *)(intptr_t)client);
		if (error != 0) {
			close(client);
			wait_for_room("pthread_create", error);
		}
	}
}
