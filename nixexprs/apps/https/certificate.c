/* certificate.c: a server's key and certificate, made anew at each start: an image that held a key would give it to everybody. */
#include <err.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "server.h"

enum { DAY = 24 * 60 * 60 /* s */ };

static void need(int ok, const char *what)
{
	if (ok)
		return;
	ERR_print_errors_fp(stderr);
	errx(EXIT_FAILURE, "%s", what);
}

static void extend(X509 *certificate, int kind, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
	need(extension && X509_add_ext(certificate, extension, -1), value);
	X509_EXTENSION_free(extension);
}

static X509 *sign_own(EVP_PKEY *key)
{
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	uint64_t serial;

	need(RAND_bytes((unsigned char *)&serial, sizeof serial) == 1, "random numbers");
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1);
	/* A day back: the client's clock may be behind this one's. */
	X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 30 * DAY);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	need(X509_set_pubkey(certificate, key), "public key");
	extend(certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
	extend(certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:10.0.2.15");
	need(X509_sign(certificate, key, EVP_sha256()) > 0, "signature");
	return certificate;
}

SSL_CTX *make_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate;

	need(context && key, "a new key");
	certificate = sign_own(key);
	need(SSL_CTX_use_certificate(context, certificate) && SSL_CTX_use_PrivateKey(context, key), "TLS context");
	need(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION), "TLS 1.2");
	need(PEM_write_X509(stdout, certificate) && fflush(stdout) == 0, "stdout");
	X509_free(certificate);
	EVP_PKEY_free(key);
	return context;
}
