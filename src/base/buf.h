/* SPDX-License-Identifier: MIT */
#ifndef BUF_H
#define BUF_H

#include "bytes.h"
#include "result.h"

#include <stdbool.h>

#include <stdarg.h>

/*
 * buf: a growing byte string with a sticky error.  Appending to a buf that has
 * failed does nothing; buf_error() reports the first failure.  So a long string
 * of appends needs one check, at its end.
 *
 * `at` is NUL-terminated after any append (the NUL is not counted in `len`).
 * Owned by its holder; buf_fini() accepts an all-zero buf and is idempotent.
 */
struct buf {
	char *at;
	size_t len;
	size_t capacity;
	size_t limit; /* bytes; past it R_TOO_LARGE; 0: none */
	enum result error;
	bool lent; /* the memory is not the buf's own */
};

/* Begin in memory of the caller's, which must outlive the buf and its fini; the
 * heap is asked when that is used up. */
void buf_over(struct buf *b, char *room, size_t size);

void buf_fini(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory, forgets the error */

void buf_add(struct buf *b, struct bytes more);
void buf_str(struct buf *b, const char *string);
void buf_char(struct buf *b, char c);
void buf_int(struct buf *b, int64_t value);
void buf_hex(struct buf *b, struct bytes raw); /* lower case */
void buf_printf(struct buf *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *format, va_list arguments)
	__attribute__((format(printf, 2, 0)));

/* A JSON string, quotes and escapes included (RFC 8259).  Bytes that are not
 * UTF-8 become U+FFFD. */
void buf_json(struct buf *b, struct bytes text);

/* Percent-encode all but [A-Za-z0-9._~-] (RFC 3986 "unreserved"). */
void buf_percent(struct buf *b, struct bytes text);

/* Make room for `more` bytes and return where they go; the caller then adds to
 * `len` what it wrote.  NULL once the buf has failed. */
char *buf_reserve(struct buf *b, size_t more);

static inline struct bytes
buf_bytes(const struct buf *b)
{
	return ((struct bytes){ b->at ? b->at : "", b->len });
}

static inline enum result
buf_error(const struct buf *b)
{
	return (b->error);
}

#endif
