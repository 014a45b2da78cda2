/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "cache/entry.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 76
#define KEY "models:openrouter:all"

static const struct lifetime life = { 1700000000000, 1700000480000,
				      1700000600000, 1700004200000 };

static struct entry_parts
parts_of(struct bytes body)
{
	return ((struct entry_parts){
		.key = BYTES(KEY),
		.arguments = BYTES("gateway=openrouter"),
		.validators = BYTES("\"abc\"\0Sat, 01 Jan 2022 00:00:00 GMT"),
		.body = body,
		.life = life,
		.fence = 42,
		.cost_ms = 2345,
	});
}

static struct entry *
make(struct bytes body)
{
	struct entry_parts parts = parts_of(body);
	struct entry *e = NULL;

	ck_assert_int_eq(entry_new(&parts, &e), R_OK);
	return (e);
}

/* A body that is compressible, `len` bytes long; the caller frees it. */
static struct bytes
long_body(size_t len)
{
	char *at = malloc(len);

	ck_assert_ptr_nonnull(at);
	for (size_t i = 0; i < len; i++)
		at[i] = "{\"id\":\"model\", "[i % 15 == 13 ? i % 7 : i % 15];
	return ((struct bytes){ at, len });
}

static void
release(struct bytes b)
{
	free((void *)(uintptr_t)b.at);
}

static void
assert_same(const struct entry *a, const struct entry *b)
{
	ck_assert(bytes_equal(a->key, b->key));
	ck_assert(bytes_equal(a->arguments, b->arguments));
	ck_assert(bytes_equal(a->validators, b->validators));
	ck_assert(bytes_equal(a->body, b->body));
	ck_assert(bytes_equal(a->gzip, b->gzip));
	ck_assert_mem_eq(&a->life, &b->life, sizeof(a->life));
	ck_assert_int_eq(a->fence, b->fence);
	ck_assert_uint_eq(a->cost_ms, b->cost_ms);
	ck_assert_str_eq(a->etag, b->etag);
}

START_TEST(entry_copies_its_parts)
{
	char body[] = "{\"data\":[]}";
	struct entry *e = make((struct bytes){ body, strlen(body) });

	memset(body, 'x', strlen(body));
	ck_assert(bytes_equal(e->body, BYTES("{\"data\":[]}")));
	ck_assert(bytes_equal(e->key, BYTES(KEY)));
	ck_assert_uint_eq(e->validators.len, 35);
	ck_assert_int_eq(e->fence, 42);
	ck_assert_uint_ge(e->size_bytes, sizeof(*e) + e->body.len);
	entry_unref(e);
	entry_unref(NULL);
}
END_TEST

START_TEST(etag_is_quoted_hex_and_follows_the_body_alone)
{
	struct entry_parts parts = parts_of(BYTES("{}"));
	struct entry *a = make(BYTES("{}")), *b = make(BYTES("[]")), *c;

	parts.key = BYTES("other");
	parts.fence = 1;
	ck_assert_int_eq(entry_new(&parts, &c), R_OK);
	ck_assert_uint_eq(strlen(a->etag), 34);
	ck_assert_int_eq(a->etag[0], '"');
	ck_assert_int_eq(a->etag[33], '"');
	ck_assert_uint_eq(strspn(a->etag + 1, "0123456789abcdef"), 32);
	ck_assert_str_ne(a->etag, b->etag);
	ck_assert_str_eq(a->etag, c->etag);
	entry_unref(a);
	entry_unref(b);
	entry_unref(c);
}
END_TEST

START_TEST(etag_of_a_body_never_changes)
{
	struct entry *e = make(BYTES("{\"data\":[]}"));

	/* Clients hold these across releases. */
	ck_assert_str_eq(e->etag, "\"35b8564af43c1302eac9a53676625934\"");
	entry_unref(e);
}
END_TEST

START_TEST(only_long_and_compressible_bodies_are_compressed)
{
	struct bytes body = long_body(1025), noise = long_body(4096);
	struct entry *e = make((struct bytes){ body.at, 1024 });
	char *at = (char *)(uintptr_t)noise.at;
	uint64_t x = 88172645463325252u;

	ck_assert_uint_eq(e->gzip.len, 0);
	entry_unref(e);
	e = make(body);
	ck_assert_uint_gt(e->gzip.len, 0);
	ck_assert_uint_lt(e->gzip.len, e->body.len);
	entry_unref(e);
	for (size_t i = 0; i < noise.len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		at[i] = (char)(x >> 24);
	}
	e = make(noise);
	ck_assert_uint_eq(e->gzip.len, 0);
	entry_unref(e);
	release(body);
	release(noise);
}
END_TEST

START_TEST(compressed_form_is_a_plain_gzip_of_the_body)
{
	char path[] = "/tmp/warmfront-gzip-XXXXXX", command[64];
	struct bytes body = long_body(50000);
	struct entry *e = make(body);
	char *back = malloc(body.len + 1);
	int fd = mkstemp(path);
	FILE *f;

	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_nonnull(back);
	f = fdopen(fd, "wb");
	ck_assert_uint_eq(fwrite(e->gzip.at, 1, e->gzip.len, f), e->gzip.len);
	ck_assert_int_eq(fclose(f), 0);
	(void)snprintf(command, sizeof(command), "gzip -dc <%s", path);
	f = popen(command, "r");
	ck_assert_uint_eq(fread(back, 1, body.len + 1, f), body.len);
	ck_assert_int_eq(pclose(f), 0);
	ck_assert_mem_eq(back, body.at, body.len);
	(void)remove(path);
	free(back);
	entry_unref(e);
	release(body);
}
END_TEST

START_TEST(one_body_is_always_compressed_to_the_same_bytes)
{
	struct bytes body = long_body(30000);
	struct entry *a = make(body), *b = make(body);

	ck_assert(bytes_equal(a->gzip, b->gzip));
	ck_assert_mem_eq(a->gzip.at + 4, "\0\0\0\0", 4); /* no time */
	entry_unref(a);
	entry_unref(b);
	release(body);
}
END_TEST

START_TEST(renewed_entry_has_the_old_bytes_and_outlives_the_old)
{
	struct bytes body = long_body(5000);
	struct lifetime later = { 5, 6, 7, 8 }, last = { 9, 10, 11, 12 };
	struct entry *a = make(body), *b, *c;
	struct bytes gzip = a->gzip;

	ck_assert_int_eq(entry_renew(a, &later, 43, 12, &b), R_OK);
	entry_unref(a);
	ck_assert_int_eq(entry_renew(b, &last, 44, 13, &c), R_OK);
	ck_assert_int_eq(b->life.fresh_until_ms, 7);
	ck_assert_int_eq(b->fence, 43);
	ck_assert_uint_eq(b->cost_ms, 12);
	entry_unref(b);
	ck_assert(bytes_equal(c->body, body));
	ck_assert(bytes_equal(c->key, BYTES(KEY)));
	ck_assert_ptr_eq(c->gzip.at, gzip.at); /* not copied */
	ck_assert_int_eq(c->life.stale_until_ms, 12);
	ck_assert_uint_ge(c->size_bytes, body.len);
	ck_assert_uint_le(c->size_bytes, body.len + gzip.len + 1024);
	entry_unref(c);
	release(body);
}
END_TEST

START_TEST(wire_form_brings_everything_back)
{
	size_t sizes[] = { 0, 2, 1500, 100000 };

	for (size_t i = 0; i < 4; i++) {
		struct bytes body = long_body(sizes[i]);
		struct entry *e = make(body), *back = NULL;
		struct buf wire = { 0 };
		size_t body_at;

		buf_str(&wire, "before");
		body_at = entry_encode(e, &wire);
		ck_assert_int_eq(buf_error(&wire), R_OK);
		ck_assert_int_eq(entry_decode(bytes_from(buf_bytes(&wire), 6),
					      BYTES(KEY), &back),
				 R_OK);
		assert_same(e, back);
		ck_assert(
			bytes_starts(bytes_from(buf_bytes(&wire), 6 + body_at),
				     body));
		entry_unref(e);
		entry_unref(back);
		buf_fini(&wire);
		release(body);
	}
}
END_TEST

/* The bytes of a file under tests/golden; the caller frees them. */
static struct bytes
golden(const char *name)
{
	const char *top = getenv("srcdir");
	char path[4096], *at = malloc(65536);
	struct bytes b = { at, 0 };
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/tests/golden/%s",
		       top != NULL ? top : ".", name);
	f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "cannot open %s", path);
	ck_assert_ptr_nonnull(at);
	b.len = fread(at, 1, 65536, f);
	ck_assert_int_eq(fclose(f), 0);
	return (b);
}

static struct bytes
golden_body(void)
{
	struct buf b = { 0 };
	struct bytes copy;

	buf_str(&b, "{\"data\":[");
	for (int i = 0; i < 40; i++)
		buf_printf(&b, "%s{\"id\":\"vendor/model-%d\",\"price\":1.10}",
			   i > 0 ? "," : "", i);
	buf_str(&b, "]}");
	ck_assert_int_eq(buf_error(&b), R_OK);
	copy = (struct bytes){ mem_string(buf_bytes(&b)), b.len };
	buf_fini(&b);
	return (copy);
}

START_TEST(first_wire_form_is_still_read)
{
	struct bytes wire = golden("entry-v1.bin"), body = golden_body();
	struct entry *e = NULL;

	ck_assert_int_eq(entry_decode(wire, BYTES(KEY), &e), R_OK);
	ck_assert(bytes_equal(e->body, body));
	ck_assert(bytes_equal(e->arguments, BYTES("gateway=openrouter")));
	ck_assert_uint_eq(e->validators.len, 35);
	ck_assert_mem_eq(&e->life, &life, sizeof(life));
	ck_assert_int_eq(e->fence, 42);
	ck_assert_uint_eq(e->cost_ms, 2345);
	ck_assert_uint_gt(e->gzip.len, 0);
	entry_unref(e);
	release(wire);
	release(body);
}
END_TEST

/* All but the compressed bytes, which are zlib's own affair. */
START_TEST(first_wire_form_is_still_written)
{
	struct bytes wire = golden("entry-v1.bin"), body = golden_body();
	struct entry *e = make(body);
	struct buf now = { 0 };
	size_t end = entry_encode(e, &now) + body.len;

	ck_assert_int_eq(buf_error(&now), R_OK);
	ck_assert_uint_ge(wire.len, end);
	ck_assert_mem_eq(now.at, wire.at, 4);
	ck_assert_mem_eq(now.at + 12, wire.at + 12, HEADER - 4 - 12);
	ck_assert_mem_eq(now.at + HEADER, wire.at + HEADER, end - HEADER);
	entry_unref(e);
	buf_fini(&now);
	release(wire);
	release(body);
}
END_TEST

/* Decode a copy that ends where its heap block does, so that a sanitizer sees a
 * read past the end. */
static enum result
decode_copy(struct bytes wire, struct bytes key)
{
	char *at = malloc(wire.len > 0 ? wire.len : 1);
	struct entry *e = NULL;
	enum result r;

	ck_assert_ptr_nonnull(at);
	memcpy(at, wire.at, wire.len);
	r = entry_decode((struct bytes){ at, wire.len }, key, &e);
	if (r == R_OK)
		entry_unref(e);
	free(at);
	return (r);
}

START_TEST(every_truncation_is_a_miss)
{
	struct bytes wire = golden("entry-v1.bin");

	for (size_t len = 0; len < wire.len; len++)
		ck_assert_int_eq(decode_copy((struct bytes){ wire.at, len },
					     BYTES(KEY)),
				 R_NOT_FOUND);
	release(wire);
}
END_TEST

START_TEST(every_flipped_bit_is_a_miss)
{
	struct bytes wire = golden("entry-v1.bin");
	char *at = (char *)(uintptr_t)wire.at;

	for (size_t i = 0; i < wire.len * 8; i++) {
		at[i / 8] = (char)(at[i / 8] ^ (1 << i % 8));
		ck_assert_int_eq(decode_copy(wire, BYTES(KEY)), R_NOT_FOUND);
		at[i / 8] = (char)(at[i / 8] ^ (1 << i % 8));
	}
	ck_assert_int_eq(decode_copy(wire, BYTES(KEY)), R_OK);
	release(wire);
}
END_TEST

START_TEST(entry_of_another_key_is_a_miss)
{
	struct bytes wire = golden("entry-v1.bin");

	ck_assert_int_eq(decode_copy(wire, BYTES("models:openrouter:al")),
			 R_NOT_FOUND);
	ck_assert_int_eq(decode_copy(wire, BYTES("models:openrouter:alL")),
			 R_NOT_FOUND);
	ck_assert_int_eq(decode_copy(wire, BYTES_NONE), R_NOT_FOUND);
	release(wire);
}
END_TEST

/* Give a forged wire form the checksum that fits it. */
static void
seal(char *at, size_t len)
{
	uint64_t sum = bytes_hash((struct bytes){ at + 12, len - 12 });

	for (size_t i = 0; i < 8; i++)
		at[4 + i] = (char)(sum >> (8 * i));
}

START_TEST(lies_under_a_right_checksum_are_misses)
{
	struct bytes wire = golden("entry-v1.bin");
	char *at = (char *)(uintptr_t)wire.at;
	/* the top byte of each time and of the fence: negative, or absurd */
	size_t tops[] = { 19, 27, 35, 43, 51 };
	/* the lengths */
	size_t lengths[] = { 56, 60, 64, 68, 72 };

	for (size_t i = 0; i < 5; i++) {
		char old = at[tops[i]];

		at[tops[i]] = (char)0x80;
		seal(at, wire.len);
		ck_assert_int_eq(decode_copy(wire, BYTES(KEY)), R_NOT_FOUND);
		at[tops[i]] = old;
	}
	for (size_t i = 0; i < 5; i++) {
		char old[4];

		memcpy(old, at + lengths[i], 4);
		memset(at + lengths[i], 0xff, 4);
		seal(at, wire.len);
		ck_assert_int_eq(decode_copy(wire, BYTES(KEY)), R_NOT_FOUND);
		memset(at + lengths[i], 0, 4);
		seal(at, wire.len);
		ck_assert_int_eq(decode_copy(wire, BYTES(KEY)), R_NOT_FOUND);
		memcpy(at + lengths[i], old, 4);
	}
	seal(at, wire.len);
	ck_assert_int_eq(decode_copy(wire, BYTES(KEY)), R_OK);
	release(wire);
}
END_TEST

/* Make, renew, encode and decode; release everything on the first failure. */
static enum result
go_round(struct bytes body)
{
	struct entry *e = NULL, *renewed = NULL, *back = NULL;
	struct entry_parts parts = parts_of(body);
	struct buf wire = { 0 };
	enum result r;

	if ((r = entry_new(&parts, &e)) != R_OK)
		goto out;
	if ((r = entry_renew(e, &life, 43, 1, &renewed)) != R_OK)
		goto out;
	(void)entry_encode(renewed, &wire);
	if ((r = buf_error(&wire)) != R_OK)
		goto out;
	r = entry_decode(buf_bytes(&wire), BYTES(KEY), &back);
out:
	entry_unref(e);
	entry_unref(renewed);
	entry_unref(back);
	buf_fini(&wire);
	return (r);
}

START_TEST(every_failed_allocation_is_reported_and_leaks_nothing)
{
	struct bytes body = long_body(5000);
	unsigned failures = 0;
	enum result r;

	for (;;) {
		mem_fail_after(failures + 1);
		r = go_round(body);
		mem_fail_after(0);
		if (r == R_OK)
			break;
		ck_assert_int_eq(r, R_NO_MEMORY);
		failures++;
		ck_assert_uint_lt(failures, 100);
	}
	ck_assert_uint_ge(failures, 6);
	release(body);
}
END_TEST

Suite *suite_entry(void);

Suite *
suite_entry(void)
{
	Suite *s = suite_create("entry");
	TCase *t = tcase_create("entry");

	tcase_add_test(t, entry_copies_its_parts);
	tcase_add_test(t, etag_is_quoted_hex_and_follows_the_body_alone);
	tcase_add_test(t, etag_of_a_body_never_changes);
	tcase_add_test(t, only_long_and_compressible_bodies_are_compressed);
	tcase_add_test(t, compressed_form_is_a_plain_gzip_of_the_body);
	tcase_add_test(t, one_body_is_always_compressed_to_the_same_bytes);
	tcase_add_test(t, renewed_entry_has_the_old_bytes_and_outlives_the_old);
	suite_add_tcase(s, t);
	t = tcase_create("wire");
	tcase_add_test(t, wire_form_brings_everything_back);
	tcase_add_test(t, first_wire_form_is_still_read);
	tcase_add_test(t, first_wire_form_is_still_written);
	tcase_add_test(t, every_truncation_is_a_miss);
	tcase_add_test(t, every_flipped_bit_is_a_miss);
	tcase_add_test(t, entry_of_another_key_is_a_miss);
	tcase_add_test(t, lies_under_a_right_checksum_are_misses);
	tcase_add_test(t,
		       every_failed_allocation_is_reported_and_leaks_nothing);
	suite_add_tcase(s, t);
	return (s);
}
