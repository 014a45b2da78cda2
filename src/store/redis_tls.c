/* SPDX-License-Identifier: MIT */
#include "redis_tls.h"

#include "../base/alloc.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct redis_tls {
	SSL_CTX *
		context; /* NULL until first used: reading the authorities takes a while */
	SSL *session;
	short events;
	char problem[160];
};

struct redis_tls *
redis_tls_new(void)
{
	return (mem_alloc(sizeof(struct redis_tls)));
}

void
redis_tls_free(struct redis_tls *t)
{
	if (t == NULL)
		return;
	redis_tls_end(t);
	SSL_CTX_free(t->context);
	free(t);
}

static enum result
fail(struct redis_tls *t, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	snprintf(t->problem, sizeof(t->problem), "TLS: %s%s%s", what,
		 reason != NULL ? ": " : "", reason != NULL ? reason : "");
	ERR_clear_error();
	return (R_UNAVAILABLE);
}

static enum result
make_context(struct redis_tls *t)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());

	if (c == NULL)
		return (fail(t, "no context"));
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE |
				    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				    SSL_MODE_RELEASE_BUFFERS);
	if (SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_default_verify_paths(c) != 1) {
		SSL_CTX_free(c);
		return (fail(t, "cannot read the certificate authorities"));
	}
	t->context = c;
	return (R_OK);
}

/* Check the certificate against `host`: an address as such, else as a name. */
static int
expect_host(SSL *session, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(session);

	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return (1);
	ERR_clear_error();
	SSL_set_hostflags(session, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	/* SSL_set_tlsext_host_name(), which wants `host` writable and leaves
	 * it alone. */
	return (SSL_set1_host(session, host) == 1 &&
		SSL_ctrl(session, SSL_CTRL_SET_TLSEXT_HOSTNAME,
			 TLSEXT_NAMETYPE_host_name,
			 (void *)(uintptr_t)host) == 1);
}

enum result
redis_tls_start(struct redis_tls *t, int fd, const char *host)
{
	enum result r;

	redis_tls_end(t);
	ERR_clear_error();
	if (t->context == NULL) {
		r = make_context(t);
		if (r != R_OK)
			return (r);
	}
	t->session = SSL_new(t->context);
	if (t->session == NULL || !expect_host(t->session, host) ||
	    SSL_set_fd(t->session, fd) != 1)
		return (fail(t, "cannot start"));
	SSL_set_connect_state(t->session);
	t->events = POLLOUT;
	return (R_OK);
}

void
redis_tls_end(struct redis_tls *t)
{
	SSL_free(t->session);
	t->session = NULL;
}

/* What an OpenSSL call that returned `ret`, not 1, means. */
static enum result
judge(struct redis_tls *t, int ret, const char *what)
{
	int error = errno;
	long verdict;

	switch (SSL_get_error(t->session, ret)) {
	case SSL_ERROR_WANT_READ:
		t->events = POLLIN;
		return (R_BUSY);
	case SSL_ERROR_WANT_WRITE:
		t->events = POLLOUT;
		return (R_BUSY);
	case SSL_ERROR_ZERO_RETURN:
		return (fail(t, "closed by the server"));
	case SSL_ERROR_SYSCALL:
		if (ERR_peek_last_error() == 0)
			return (fail(t, error != 0 ? strerror(error)
						   : "closed by the server"));
		return (fail(t, what));
	default:
		verdict = SSL_get_verify_result(t->session);
		if (verdict == X509_V_OK)
			return (fail(t, what));
		ERR_clear_error();
		return (fail(t, X509_verify_cert_error_string(verdict)));
	}
}

enum result
redis_tls_handshake(struct redis_tls *t)
{
	int ret;

	ERR_clear_error();
	errno = 0;
	ret = SSL_do_handshake(t->session);
	return (ret == 1 ? R_OK : judge(t, ret, "handshake failed"));
}

enum result
redis_tls_read(struct redis_tls *t, char *to, size_t size, size_t *got)
{
	int ret;

	ERR_clear_error();
	errno = 0;
	t->events = POLLIN;
	ret = SSL_read_ex(t->session, to, size, got);
	return (ret == 1 ? R_OK : judge(t, ret, "reading failed"));
}

enum result
redis_tls_write(struct redis_tls *t, struct bytes from, size_t *done)
{
	int ret;

	ERR_clear_error();
	errno = 0;
	t->events = POLLIN;
	ret = SSL_write_ex(t->session, from.at, from.len, done);
	return (ret == 1 ? R_OK : judge(t, ret, "writing failed"));
}

short
redis_tls_events(const struct redis_tls *t)
{
	return (t->events);
}

const char *
redis_tls_problem(const struct redis_tls *t)
{
	return (t->problem);
}
