/* SPDX-License-Identifier: MIT */
#ifndef ENTRY_H
#define ENTRY_H

#include "../base/buf.h"
#include "../base/bytes.h"
#include "../base/result.h"
#include "policy.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * entry: one cached answer.  Immutable once made and reference-counted; one block of
 * memory holds it and all its bytes (a renewed one borrows those of the entry it came
 * from, and keeps that alive).  Any thread may hold and drop references.
 *
 * Wire form (Redis, PostgreSQL; little endian):
 *	"WF" version(1) flags(1) xxh3-64 of all that follows(8)
 *	fence(8) loaded_at(8) refresh_at(8) fresh_until(8) stale_until(8) cost_ms(4)
 *	lengths of key, arguments, validators, body, gzip (4 each), then those bytes.
 * A reader takes an unknown version, a wrong checksum or a key other than the one asked for as a miss.
 */
struct entry {
	struct bytes key;
	struct bytes
		arguments; /* what the loader needs besides the key, packed; see query.h */
	struct bytes
		validators; /* the origin's ETag and Last-Modified; see upstream.h */
	struct bytes body; /* JSON */
	struct bytes gzip; /* of body; empty when that would not help */
	struct lifetime life;
	int64_t fence;	  /* log position read before the load began */
	uint32_t cost_ms; /* how long the load took */
	char etag
		[36]; /* strong, quoted: XXH3-128 of the body in hex; NUL-terminated (34 characters) */
	size_t size_bytes; /* memory it occupies, or keeps occupied */
};

struct entry_parts {
	struct bytes key, arguments, validators, body;
	struct lifetime life;
	int64_t fence;
	uint32_t cost_ms;
};

/* Make an entry with one reference from copies of the parts, compressing the
 * body when over 1 KiB. */
MUST_USE enum result entry_new(const struct entry_parts *parts,
			       struct entry **out);

/* The same body under a new lifetime (an origin said "unchanged").  Copies
 * no bytes. */
MUST_USE enum result entry_renew(const struct entry *old,
				 const struct lifetime *life, int64_t fence,
				 uint32_t cost_ms, struct entry **out);

struct entry *entry_ref(const struct entry *e);
void entry_unref(const struct entry *e); /* NULL is allowed */

/* Append the wire form; returns how far into it the body begins. */
size_t entry_encode(const struct entry *e, struct buf *to);

/* Read a wire form that should be `key`'s.  R_NOT_FOUND when it is not
 * usable. */
MUST_USE enum result entry_decode(struct bytes wire, struct bytes key,
				  struct entry **out);

#endif
