/* singlethreaded: a TCP echo server for one client at a time.
 *
 * Shows: sockets and line-buffered output; what every server has to get right even without threads (short
 * writes, clients that vanish, descriptors that are closed).
 * Run:   ukl run singlethreaded          then, elsewhere: telnet 127.0.0.1 5555
 *        ukl run singlethreaded -- 7777  listens on another port of the guest
 * See:   one line `Message received: ...' for each piece that arrives; the client gets back exactly what it sent.
 *        A second client waits until the first one has gone.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEFAULT_PORT = 5555, BACKLOG = 128, PIECE = 1024 };

static int listen_on(uint16_t port)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_ANY),
	};
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(EXIT_FAILURE, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
		err(EXIT_FAILURE, "SO_REUSEADDR");
	if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
		err(EXIT_FAILURE, "bind to port %u", port);
	if (listen(fd, BACKLOG) < 0)
		err(EXIT_FAILURE, "listen");
	return fd;
}

/* The message as one line: its end of line is dropped, what a terminal would obey is shown as \xNN. */
static void show(const unsigned char *text, size_t length)
{
	while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		length--;
	fputs("Message received: ", stdout);
	for (size_t i = 0; i < length; i++)
		if (isprint(text[i]) || text[i] == '\t')
			putchar(text[i]);
		else
			printf("\\x%02x", text[i]);
	putchar('\n');
}

/* Sends all of it. False: the client has gone. MSG_NOSIGNAL, or the server would go with it. */
static int send_all(int fd, const unsigned char *data, size_t length)
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

/* Echoes until the client shuts its side or breaks off. */
static void serve(int fd)
{
	unsigned char piece[PIECE];

	for (;;) {
		ssize_t n = recv(fd, piece, sizeof piece, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		show(piece, (size_t)n);
		if (!send_all(fd, piece, (size_t)n))
			return;
	}
}

int main(int argc, char **argv)
{
	int port = argc > 1 ? atoi(argv[1]) : DEFAULT_PORT;
	int listener;

	if (argc > 2 || port < 1 || port > UINT16_MAX)
		errx(2, "usage: singlethreaded [PORT]");
	setvbuf(stdout, NULL, _IOLBF, 0);
	listener = listen_on((uint16_t)port);
	printf("Listening on port %d.\n", port);
	for (;;) {
		int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (client < 0)
			err(EXIT_FAILURE, "accept");
		serve(client);
		close(client);
	}
}
