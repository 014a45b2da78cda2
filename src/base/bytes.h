/* SPDX-License-Identifier: MIT */
#ifndef BYTES_H
#define BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * bytes: a view of bytes that somebody else owns.  Never NUL-terminated unless
 * its maker says so.  Passed by value.
 */
struct bytes {
	const char *at;
	size_t len;
};

/* From a string literal; BYTES_INIT is for static initialisers. */
#define BYTES_INIT(literal)                     \
	{                                       \
		"" literal, sizeof(literal) - 1 \
	}
#define BYTES(literal) ((struct bytes)BYTES_INIT(literal))
#define BYTES_NONE ((struct bytes){ "", 0 })

/* For printf's "%.*s". */
#define BYTES_ARG(b) ((int)(b).len), (b).at

bool bytes_equal_nocase(struct bytes a, struct bytes b); /* ASCII only */
bool bytes_ends(struct bytes b, struct bytes suffix);

struct bytes bytes_trim(struct bytes b); /* spaces and tabs */

/* A whole decimal number, optional minus, nothing else around it, no
 * overflow. */
bool bytes_to_int64(struct bytes b, int64_t *value);

bool bytes_is_utf8(struct bytes b); /* RFC 3629; no surrogates, no NUL */

bool bytes_have_control(struct bytes b); /* below a space, or DEL */

/* Percent-decode (RFC 3986, section 2.1) into `to`, which has room for b.len, the length
 * into `*len`; false when it is malformed. */
bool bytes_percent_decode(struct bytes b, bool plus_is_space, char *to,
			  size_t *len);

/* 36 characters, digits of either case (RFC 9562). */
bool bytes_is_uuid(struct bytes b);

/* The length of the UTF-8 character that `b` begins with (RFC 3629; a NUL is
 * one); 0 when it begins with none. */
size_t bytes_utf8_length(struct bytes b);

/* XXH3: 64 bits; the same with a seed, for tables that hostile keys reach; and
 * 128 bits in the canonical (big-endian) form. */
uint64_t bytes_hash(struct bytes b);
uint64_t bytes_hash_seeded(struct bytes b, uint64_t seed);
void bytes_hash128(struct bytes b, unsigned char out[static 16]);

/* The smallest, which every request needs by the hundred: */

/* NULL gives BYTES_NONE */
static inline struct bytes
bytes_of(const char *string)
{
	if (string == NULL)
		return (BYTES_NONE);
	return ((struct bytes){ string, strlen(string) });
}

static inline bool
bytes_equal(struct bytes a, struct bytes b)
{
	return (a.len == b.len &&
		(a.len == 0 || memcmp(a.at, b.at, a.len) == 0));
}

static inline bool
bytes_starts(struct bytes b, struct bytes prefix)
{
	return (b.len >= prefix.len &&
		bytes_equal((struct bytes){ b.at, prefix.len }, prefix));
}

/* -1 when absent, else the offset of the first `c`. */
static inline ptrdiff_t
bytes_find(struct bytes b, char c)
{
	const char *found;

	if (b.len == 0)
		return (-1);
	found = memchr(b.at, c, b.len);
	return (found != NULL ? found - b.at : -1);
}

/* Drop a front. */
static inline struct bytes
bytes_from(struct bytes b, size_t offset)
{
	if (offset == 0)
		return (b); /* NULL + 0 is undefined */
	if (offset > b.len)
		offset = b.len;
	return ((struct bytes){ b.at + offset, b.len - offset });
}

/* Take what stands before the first `separator` off the front of `*rest`, and
 * the separator with it; all of it when there is none. */
static inline struct bytes
bytes_cut(struct bytes *rest, char separator)
{
	struct bytes first = *rest;
	ptrdiff_t where = bytes_find(*rest, separator);

	if (where < 0) {
		*rest = bytes_from(*rest, rest->len);
		return (first);
	}
	first.len = (size_t)where;
	*rest = bytes_from(*rest, first.len + 1);
	return (first);
}

#endif
