/* body.c: gzip on libevent's buffers, a piece at a time, so that what is unpacked need not be in memory twice. */
#include <zlib.h>

#include "server.h"

enum { PIECE = 16 * 1024, GZIP = 16 /* zlib: a gzip file's head and end */, MAX_UNPACKED = 256 << 20 };

/* Runs STEP, which is deflate() or inflate(), over IN. Its last call is told so by FINISH. */
static int run(z_stream *z, int (*step)(z_stream *, int), int finish, struct evbuffer *in, struct evbuffer *out)
{
	unsigned char from[PIECE], to[PIECE];
	int status = Z_OK;

	do {
		int n = evbuffer_remove(in, from, sizeof from);
		int last = evbuffer_get_length(in) == 0;

		z->next_in = from;
		z->avail_in = n < 0 ? 0 : (unsigned)n;
		do {
			z->next_out = to;
			z->avail_out = sizeof to;
			status = step(z, last ? finish : Z_NO_FLUSH);
			if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
				return 0;
			if (evbuffer_add(out, to, sizeof to - z->avail_out) < 0 || evbuffer_get_length(out) > MAX_UNPACKED)
				return 0;
		} while (z->avail_out == 0);
	} while (evbuffer_get_length(in) > 0 && status != Z_STREAM_END);
	return status == Z_STREAM_END && evbuffer_get_length(in) == 0 && z->avail_in == 0;
}

int pack(struct evbuffer *in, struct evbuffer *out)
{
	z_stream z = { 0 };
	int done;

	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	done = run(&z, deflate, Z_FINISH, in, out);
	return deflateEnd(&z) == Z_OK && done;
}

int unpack(struct evbuffer *in, struct evbuffer *out)
{
	z_stream z = { 0 };
	int done;

	if (inflateInit2(&z, MAX_WBITS + GZIP) != Z_OK)
		return 0;
	done = run(&z, inflate, Z_NO_FLUSH, in, out);
	return inflateEnd(&z) == Z_OK && done;
}
