/* https: a server for HTTP and HTTPS that packs what it is sent.
 *
 * Shows: libraries in a unikernel that Debian has compiled for ordinary processes: libevent's loop over epoll and its HTTP,
 *        OpenSSL's TLS and certificates, zlib's compression. One thread serves all connections.
 * Run:   ukl run https                  ports 8080 (HTTP) and 8443 (HTTPS)
 *        then, with its first lines in the file server.pem:
 *        curl --cacert server.pem --data-binary @FILE https://localhost:8443/pack >FILE.gz
 * See:   its certificate, which is new at each start, then `Serving HTTP on port 80, HTTPS on port 443.'
 *        GET / says how the request came; POST /pack answers with the body packed by gzip, POST /unpack unpacks it (400 if it
 *        is broken); all else is 404. A body may have 64 MiB.
 */
#include <err.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "server.h"

enum { HTTP = 80, HTTPS = 443, MAX_BODY = 64 << 20, IDLE = 60 /* s */ };

/* The buffers of a connection that goes through TLS. */
static struct bufferevent *secure(struct event_base *base, void *context)
{
	struct bufferevent *b = bufferevent_openssl_socket_new(base, -1, SSL_new(context), BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);

	if (b)
		bufferevent_openssl_set_allow_dirty_shutdown(b, 1); /* as most clients end */
	return b;
}

static void greet(struct evhttp_request *request, void *unused)
{
	struct evbuffer *out = evhttp_request_get_output_buffer(request);
	SSL *ssl = bufferevent_openssl_get_ssl(evhttp_connection_get_bufferevent(evhttp_request_get_connection(request)));

	(void)unused;
	if (ssl)
		evbuffer_add_printf(out, "%s, %s\n", SSL_get_version(ssl), SSL_get_cipher_name(ssl));
	else
		evbuffer_add_printf(out, "not encrypted\n");
	evhttp_send_reply(request, HTTP_OK, "OK", NULL);
}

static void turn(struct evhttp_request *request, int (*change)(struct evbuffer *in, struct evbuffer *out))
{
	struct evbuffer *out = evhttp_request_get_output_buffer(request);

	if (evhttp_request_get_command(request) != EVHTTP_REQ_POST) {
		evhttp_send_error(request, HTTP_BADMETHOD, "POST it");
	} else if (!change(evhttp_request_get_input_buffer(request), out)) {
		evbuffer_drain(out, evbuffer_get_length(out));
		evhttp_send_error(request, HTTP_BADREQUEST, "This is no gzip file");
	} else {
		evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "application/octet-stream");
		evhttp_send_reply(request, HTTP_OK, "OK", NULL);
	}
}

static void serve_pack(struct evhttp_request *request, void *unused)
{
	(void)unused;
	turn(request, pack);
}

static void serve_unpack(struct evhttp_request *request, void *unused)
{
	(void)unused;
	turn(request, unpack);
}

/* Serves on a port, through TLS if there is a context for it. */
static void serve(struct event_base *base, int port, SSL_CTX *context)
{
	struct evhttp *http = evhttp_new(base);

	if (!http)
		errx(EXIT_FAILURE, "evhttp_new");
	evhttp_set_max_body_size(http, MAX_BODY);
	evhttp_set_timeout(http, IDLE);
	evhttp_set_cb(http, "/", greet, NULL);
	evhttp_set_cb(http, "/pack", serve_pack, NULL);
	evhttp_set_cb(http, "/unpack", serve_unpack, NULL);
	if (context)
		evhttp_set_bevcb(http, secure, context);
	if (evhttp_bind_socket(http, "0.0.0.0", (ev_uint16_t)port) < 0)
		err(EXIT_FAILURE, "port %d", port);
}

int main(void)
{
	struct event_base *base = event_base_new();

	signal(SIGPIPE, SIG_IGN); /* a client may go while it is written to */
	if (!base)
		errx(EXIT_FAILURE, "event_base_new");
	serve(base, HTTP, NULL);
	serve(base, HTTPS, make_context());
	printf("Serving HTTP on port %d, HTTPS on port %d.\n", HTTP, HTTPS);
	fflush(stdout);
	return event_base_dispatch(base) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
