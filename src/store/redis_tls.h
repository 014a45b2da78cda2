/* SPDX-License-Identifier: MIT */
#ifndef REDIS_TLS_H
#define REDIS_TLS_H

#include "../base/bytes.h"
#include "../base/result.h"

/*
 * redis_tls: a TLS client on a non-blocking socket (OpenSSL).  The server's certificate
 * must be valid for the host's name or address, by the system's authorities or those
 * in SSL_CERT_FILE and SSL_CERT_DIR.  One thread at a time.
 */
struct redis_tls;

struct redis_tls *redis_tls_new(void);
void redis_tls_free(struct redis_tls *t);

/* Begin on a connected socket, ending what was before. */
MUST_USE enum result redis_tls_start(struct redis_tls *t, int fd,
				     const char *host);
void redis_tls_end(struct redis_tls *t);

/* Each gives R_OK, R_BUSY (poll for redis_tls_events(), come again) or
 * R_UNAVAILABLE (see redis_tls_problem()). */
MUST_USE enum result redis_tls_handshake(struct redis_tls *t);
MUST_USE enum result redis_tls_read(struct redis_tls *t, char *to, size_t size,
				    size_t *got);
MUST_USE enum result redis_tls_write(struct redis_tls *t, struct bytes from,
				     size_t *done);

/* What the last call waits for, if it gave R_BUSY: POLLIN or POLLOUT; else
 * POLLIN. */
short redis_tls_events(const struct redis_tls *t);
const char *redis_tls_problem(const struct redis_tls *t);

#endif
