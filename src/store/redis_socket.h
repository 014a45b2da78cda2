/* SPDX-License-Identifier: MIT */
#ifndef REDIS_SOCKET_H
#define REDIS_SOCKET_H

#include "../base/bytes.h"
#include "../base/result.h"
#include "redis_url.h"

/*
 * redis_socket: bytes to and from a Redis over TCP, TLS or a UNIX socket.  Nothing here
 * waits.  One thread at a time.
 */
struct redis_socket;

/* `url` must outlive it. */
struct redis_socket *redis_socket_new(const struct redis_url *url);
void redis_socket_free(struct redis_socket *s);

/* Begin to connect; then redis_socket_advance() whenever poll(2) says so. */
MUST_USE enum result redis_socket_open(struct redis_socket *s);
void redis_socket_close(struct redis_socket *s);

/* What to poll while connecting, and later; -1 when closed. */
int redis_socket_fd(const struct redis_socket *s);
enum redis_socket_wish { REDIS_SOCKET_READ, REDIS_SOCKET_READ_AND_WRITE };
short redis_socket_events(const struct redis_socket *s,
			  enum redis_socket_wish wish);

/* Each gives R_OK, R_BUSY (not now) or R_UNAVAILABLE (see
 * redis_socket_problem()). */
MUST_USE enum result redis_socket_advance(struct redis_socket *s);
MUST_USE enum result redis_socket_read(struct redis_socket *s, char *to,
				       size_t size, size_t *got);
MUST_USE enum result redis_socket_write(struct redis_socket *s,
					struct bytes from, size_t *done);

/* In words, for the log. */
const char *redis_socket_problem(const struct redis_socket *s);

#endif
