/* SPDX-License-Identifier: MIT */
#include "entry.h"

#include "../base/alloc.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define GZIP_LEVEL 6
#define GZIP_WINDOW_BITS (15 + 16) /* 16: gzip's header, with no time in it */
#define GZIP_MEMORY_LEVEL 8
#define GZIP_OVER_BYTES 1024

#define VERSION 1
#define CHECKSUM_AT 4
#define SUMMED_AT 12 /* what the checksum covers begins here */
#define HEADER_BYTES 76

/* More is no time that any clock of ours shows; sums of two are safe. */
#define TIME_MAX_MS (INT64_MAX / 4)

/*
 * What is really allocated.  The count stands before the entry, so that it shares
 * a cache line with the key's address: a lookup touches both.
 *
 * A renewed entry borrows the bytes of `lender`, the one that was made with them;
 * a lender never has a lender itself.
 */
struct block {
	atomic_uint references;
	const struct block *lender; /* one reference, or NULL */
	struct entry entry;
};

static struct block *
block_of(const struct entry *e)
{
	return ((struct block *)((uintptr_t)e - offsetof(struct block, entry)));
}

/* zlib's memory comes from where all ours does. */
static void *
gzip_alloc(void *unused, unsigned count, unsigned size)
{
	(void)unused;
	return (mem_grow(NULL, (size_t)count * size));
}

static void
gzip_free(void *unused, void *at)
{
	(void)unused;
	free(at);
}

/* Compress into `to`, which holds `room` bytes; `*length` is 0 when they do
 * not suffice. */
static enum result
gzip_into(struct bytes body, char *to, size_t room, size_t *length)
{
	z_stream z = { .zalloc = gzip_alloc, .zfree = gzip_free };
	int end;

	if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS,
			 GZIP_MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		return (R_NO_MEMORY);
	z.next_in = (z_const Bytef *)(uintptr_t)body.at;
	z.avail_in = (uInt)body.len;
	z.next_out = (Bytef *)to;
	z.avail_out = (uInt)room;
	end = deflate(&z, Z_FINISH);
	*length = end == Z_STREAM_END ? room - z.avail_out : 0;
	(void)deflateEnd(&z);
	return (R_OK);
}

/* `*out` is the compressed body on the heap, or empty when that does not
 * help. */
static enum result
compress_body(struct bytes body, struct bytes *out)
{
	enum result r;
	size_t length;
	char *to;

	*out = BYTES_NONE;
	if (body.len <= GZIP_OVER_BYTES)
		return (R_OK);
	to = mem_grow(NULL, body.len - 1);
	if (to == NULL)
		return (R_NO_MEMORY);
	r = gzip_into(body, to, body.len - 1, &length);
	if (r != R_OK || length == 0) {
		free(to);
		return (r);
	}
	*out = (struct bytes){ to, length };
	return (R_OK);
}

static void
make_etag(struct bytes body, char *etag)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char hash[16];

	bytes_hash128(body, hash);
	*etag++ = '"';
	for (size_t i = 0; i < sizeof(hash); i++) {
		*etag++ = digits[hash[i] >> 4];
		*etag++ = digits[hash[i] & 15];
	}
	*etag++ = '"';
	*etag = '\0';
}

/* Copy `from` to `*at`, step over it, and return the copy. */
static struct bytes
lay_down(char **at, struct bytes from)
{
	struct bytes copy = { *at, from.len };

	if (from.len > 0)
		memcpy(*at, from.at, from.len);
	*at += from.len;
	return (copy);
}

static bool
fits(struct bytes b, size_t *total)
{
	return (b.len <= UINT32_MAX &&
		!__builtin_add_overflow(*total, b.len, total));
}

/* An entry from copies of the parts and of `gzip`. */
static enum result
build(const struct entry_parts *parts, struct bytes gzip, struct entry **out)
{
	size_t size = sizeof(struct block);
	struct block *b;
	struct entry *e;
	char *at;

	if (!fits(parts->key, &size) || !fits(parts->arguments, &size) ||
	    !fits(parts->validators, &size) || !fits(parts->body, &size) ||
	    !fits(gzip, &size))
		return (R_TOO_LARGE);
	b = mem_grow(NULL, size);
	if (b == NULL)
		return (R_NO_MEMORY);
	memset(b, 0, sizeof(*b));
	atomic_init(&b->references, 1);
	at = (char *)(b + 1);
	e = &b->entry;
	e->key = lay_down(&at, parts->key);
	e->arguments = lay_down(&at, parts->arguments);
	e->validators = lay_down(&at, parts->validators);
	e->body = lay_down(&at, parts->body);
	e->gzip = lay_down(&at, gzip);
	e->life = parts->life;
	e->fence = parts->fence;
	e->cost_ms = parts->cost_ms;
	e->size_bytes = size;
	make_etag(e->body, e->etag);
	*out = e;
	return (R_OK);
}

enum result
entry_new(const struct entry_parts *parts, struct entry **out)
{
	struct bytes gzip = BYTES_NONE;
	enum result r;

	if (parts->body.len > UINT32_MAX)
		return (R_TOO_LARGE);
	r = compress_body(parts->body, &gzip);
	if (r != R_OK)
		return (r);
	r = build(parts, gzip, out);
	if (gzip.len > 0)
		free((void *)(uintptr_t)gzip.at);
	return (r);
}

enum result
entry_renew(const struct entry *old, const struct lifetime *life, int64_t fence,
	    uint32_t cost_ms, struct entry **out)
{
	const struct block *lender = block_of(old);
	struct block *b = mem_alloc(sizeof(*b));

	if (b == NULL)
		return (R_NO_MEMORY);
	if (lender->lender != NULL)
		lender = lender->lender;
	(void)entry_ref(&lender->entry);
	atomic_init(&b->references, 1);
	b->lender = lender;
	b->entry = lender->entry;
	b->entry.life = *life;
	b->entry.fence = fence;
	b->entry.cost_ms = cost_ms;
	b->entry.size_bytes = sizeof(*b) + lender->entry.size_bytes;
	*out = &b->entry;
	return (R_OK);
}

struct entry *
entry_ref(const struct entry *e)
{
	struct block *b = block_of(e);
	unsigned before = atomic_fetch_add_explicit(&b->references, 1,
						    memory_order_relaxed);

	assert(before > 0 && before < UINT32_MAX / 2);
	return (&b->entry);
}

void
entry_unref(const struct entry *e)
{
	const struct block *lender;
	struct block *b;
	unsigned before;

	if (e == NULL)
		return;
	b = block_of(e);
	before = atomic_fetch_sub_explicit(&b->references, 1,
					   memory_order_acq_rel);
	assert(before > 0);
	if (before > 1)
		return;
	lender = b->lender;
	free(b);
	if (lender != NULL)
		entry_unref(&lender->entry);
}

static void
store_number(char **at, uint64_t value, unsigned bytes)
{
	while (bytes-- > 0) {
		*(*at)++ = (char)(value & 0xff);
		value >>= 8;
	}
}

static uint64_t
load_number(const char **at, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)(unsigned char)(*at)[i] << (8 * i);
	*at += bytes;
	return (value);
}

static void
encode_header(const struct entry *e, char *at)
{
	*at++ = 'W';
	*at++ = 'F';
	*at++ = VERSION;
	*at++ = 0;
	store_number(&at, 0, 8); /* the checksum, once all else is there */
	store_number(&at, (uint64_t)e->fence, 8);
	store_number(&at, (uint64_t)e->life.loaded_at_ms, 8);
	store_number(&at, (uint64_t)e->life.refresh_at_ms, 8);
	store_number(&at, (uint64_t)e->life.fresh_until_ms, 8);
	store_number(&at, (uint64_t)e->life.stale_until_ms, 8);
	store_number(&at, e->cost_ms, 4);
	store_number(&at, e->key.len, 4);
	store_number(&at, e->arguments.len, 4);
	store_number(&at, e->validators.len, 4);
	store_number(&at, e->body.len, 4);
	store_number(&at, e->gzip.len, 4);
}

size_t
entry_encode(const struct entry *e, struct buf *to)
{
	char header[HEADER_BYTES], *at;
	size_t start = to->len;
	struct bytes summed;

	encode_header(e, header);
	(void)buf_reserve(to, HEADER_BYTES + e->key.len + e->arguments.len +
				      e->validators.len + e->body.len +
				      e->gzip.len);
	buf_add(to, (struct bytes){ header, sizeof(header) });
	buf_add(to, e->key);
	buf_add(to, e->arguments);
	buf_add(to, e->validators);
	buf_add(to, e->body);
	buf_add(to, e->gzip);
	if (buf_error(to) == R_OK) {
		summed = bytes_from(buf_bytes(to), start + SUMMED_AT);
		at = to->at + start + CHECKSUM_AT;
		store_number(&at, bytes_hash(summed), 8);
	}
	return (HEADER_BYTES + e->key.len + e->arguments.len +
		e->validators.len);
}

/* The next `length` bytes of the wire form, or false. */
static bool
take(struct bytes *rest, uint64_t length, struct bytes *part)
{
	if (length > rest->len)
		return (false);
	*part = (struct bytes){ rest->at, (size_t)length };
	*rest = bytes_from(*rest, (size_t)length);
	return (true);
}

/* Cut `wire`, whose header is whole, into views of its parts. */
static bool
cut_parts(struct bytes wire, struct entry_parts *parts, struct bytes *gzip)
{
	const char *at = wire.at + SUMMED_AT;
	struct bytes rest = bytes_from(wire, HEADER_BYTES);
	uint64_t lengths[5];

	parts->fence = (int64_t)load_number(&at, 8);
	parts->life.loaded_at_ms = (int64_t)load_number(&at, 8);
	parts->life.refresh_at_ms = (int64_t)load_number(&at, 8);
	parts->life.fresh_until_ms = (int64_t)load_number(&at, 8);
	parts->life.stale_until_ms = (int64_t)load_number(&at, 8);
	parts->cost_ms = (uint32_t)load_number(&at, 4);
	for (size_t i = 0; i < 5; i++)
		lengths[i] = load_number(&at, 4);
	return (take(&rest, lengths[0], &parts->key) &&
		take(&rest, lengths[1], &parts->arguments) &&
		take(&rest, lengths[2], &parts->validators) &&
		take(&rest, lengths[3], &parts->body) &&
		take(&rest, lengths[4], gzip) && rest.len == 0);
}

static bool
is_time(int64_t ms)
{
	return (ms >= 0 && ms <= TIME_MAX_MS);
}

static bool
are_times(const struct lifetime *l)
{
	return (is_time(l->loaded_at_ms) && is_time(l->refresh_at_ms) &&
		is_time(l->fresh_until_ms) && is_time(l->stale_until_ms));
}

enum result
entry_decode(struct bytes wire, struct bytes key, struct entry **out)
{
	struct entry_parts parts;
	struct bytes gzip;
	const char *at;

	if (wire.len < HEADER_BYTES || memcmp(wire.at, "WF", 2) != 0 ||
	    wire.at[2] != VERSION || wire.at[3] != 0)
		return (R_NOT_FOUND);
	if (!cut_parts(wire, &parts, &gzip) || !bytes_equal(parts.key, key))
		return (R_NOT_FOUND);
	at = wire.at + CHECKSUM_AT;
	if (load_number(&at, 8) != bytes_hash(bytes_from(wire, SUMMED_AT)) ||
	    parts.fence < 0 || !are_times(&parts.life) ||
	    (gzip.len > 0 && gzip.len >= parts.body.len))
		return (R_NOT_FOUND);
	return (build(&parts, gzip, out));
}
