/* What the parts of the server have for each other. */
#ifndef SERVER_H
#define SERVER_H

#include <event2/buffer.h>
#include <openssl/ssl.h>

/* certificate.c: a TLS context with a new key and a certificate for localhost, 127.0.0.1 and 10.0.2.15 that it has signed itself.
 * The certificate is printed on stdout, in PEM, for clients to trust. Ends the program if OpenSSL cannot. */
SSL_CTX *make_context(void);

/* body.c: moves all of IN, packed or unpacked by gzip, to OUT. False: IN is no gzip file, or memory is short. */
int pack(struct evbuffer *in, struct evbuffer *out);
int unpack(struct evbuffer *in, struct evbuffer *out);

#endif
