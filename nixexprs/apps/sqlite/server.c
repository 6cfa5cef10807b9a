/* sqlite: a database server. A line of SQL gets its rows, tab-separated, and a line that says how it went.
 *
 * Shows: SQLite in a unikernel, as Debian has compiled it: its file locks, its shared memory (WAL) and its mutexes. A thread
 *        and a database connection for each client; all share one file.
 * Run:   ukl run sqlite                                                          a database in memory, in /tmp
 *        ukl run sqlite --volume data:/data -- /data/my.db                       one that stays, in the directory `data'
 *        then, elsewhere: telnet 127.0.0.1 5432
 * See:   > SELECT 6*7, 'x';
 *        42	x
 *        -- 1 row
 *        > SELECT 1 FROM none;
 *        -- error: no such table: none
 */
#define _GNU_SOURCE
#include <err.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 5432, BACKLOG = 128, PATIENCE = 20000 /* ms that a client waits for another's lock */ };

static const char *file = "/tmp/data.db";

static void print_row(FILE *client, sqlite3_stmt *statement)
{
	for (int i = 0; i < sqlite3_column_count(statement); i++) {
		const unsigned char *text = sqlite3_column_text(statement, i);

		fprintf(client, "%s%s", i > 0 ? "\t" : "", text ? (const char *)text : "NULL");
	}
	fputc('\n', client);
}

/* Runs all statements of a line. The last line of the answer is a comment of SQL, and says how it went. */
static void answer(FILE *client, sqlite3 *db, const char *sql)
{
	unsigned long rows = 0;
	int status = SQLITE_OK;

	while (*sql && status == SQLITE_OK) {
		sqlite3_stmt *statement = NULL;

		status = sqlite3_prepare_v2(db, sql, -1, &statement, &sql);
		if (!statement) /* a comment, blanks, or an error */
			continue;
		while (sqlite3_step(statement) == SQLITE_ROW) {
			print_row(client, statement);
			rows++;
		}
		status = sqlite3_finalize(statement);
	}
	if (status == SQLITE_OK)
		fprintf(client, "-- %lu row%s\n", rows, rows == 1 ? "" : "s");
	else
		fprintf(client, "-- error: %s\n", sqlite3_errmsg(db));
	fflush(client);
}

/* The thread of a client. Its argument is the client's descriptor, which it owns. What the client has not committed is undone
 * when its connection to the database is closed. */
static void *serve(void *argument)
{
	int fd = (int)(intptr_t)argument;
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
	sqlite3 *db = NULL;
	char *line = NULL;
	size_t size = 0;

	if (!in || !out || sqlite3_open(file, &db) != SQLITE_OK) {
		warnx("%s: %s", file, db ? sqlite3_errmsg(db) : "no memory");
	} else {
		sqlite3_busy_timeout(db, PATIENCE);
		while (getline(&line, &size, in) > 0 && !ferror(out))
			answer(out, db, line);
	}
	sqlite3_close(db);
	free(line);
	if (out)
		fclose(out);
	if (in)
		fclose(in);
	else
		close(fd);
	return NULL;
}

static int listen_on(uint16_t port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0)
		err(EXIT_FAILURE, "port %u", port);
	return fd;
}

/* A file that cannot be opened, or is no database, is told before anybody connects. */
static void try_database(void)
{
	sqlite3 *db;

	if (sqlite3_open(file, &db) != SQLITE_OK || sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL) != SQLITE_OK)
		errx(EXIT_FAILURE, "%s: %s", file, sqlite3_errmsg(db));
	sqlite3_close(db);
}

int main(int argc, char **argv)
{
	int listener;

	if (argc > 2)
		errx(2, "usage: sqlite [FILE]");
	if (argc == 2)
		file = argv[1];
	signal(SIGPIPE, SIG_IGN); /* a client may go while it is written to */
	try_database();
	listener = listen_on(PORT);
	printf("SQLite %s serves %s on port %d.\n", sqlite3_libversion(), file, PORT);
	fflush(stdout);
	for (;;) {
		int client = accept(listener, NULL, NULL);
		pthread_t thread;

		if (client < 0) {
			warn("accept");
			sleep(1);
		} else if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)client) != 0) {
			warnx("no thread for a client");
			close(client);
		} else {
			pthread_detach(thread);
		}
	}
}
