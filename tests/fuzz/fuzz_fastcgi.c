/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "web/fastcgi.h"
#include "web/request.h"

#include <stdlib.h>
#include <string.h>

/*
 * fuzz_fastcgi: bytes from a socket through fastcgi_feed() and request_parse().
 * The first byte of the input says in what pieces the rest arrives; whatever they
 * are, the same requests must come out as when it arrives at once.
 */
#define BODY_LIMIT 1000

struct seen {
	uint64_t hash;
	unsigned events;
};

static void
see(struct seen *s, struct bytes what)
{
	s->hash = s->hash * 1099511628211u + bytes_hash(what);
	s->events++;
}

static void
see_request(struct seen *s, const struct fastcgi_reader *r)
{
	struct request rq = { .body = buf_bytes(&r->body) };
	enum result result = request_parse(&rq, r->whole_params);

	see(s, (struct bytes){ (const char *)&result, sizeof(result) });
	if (result == R_OK && request_keep(&rq) == R_OK) {
		see(s, rq.path);
		see(s, rq.query);
		see(s, rq.authorization);
		see(s, rq.api_key);
		see(s, rq.accept_encoding);
		see(s, rq.if_none_match);
		see(s, rq.content_type);
		see(s, rq.body);
	}
	arena_fini(&rq.arena);
}

/* False: broken. */
static bool
feed(struct seen *s, struct fastcgi_reader *r, struct bytes *input,
     struct buf *reply)
{
	for (;;) {
		enum fastcgi_event event =
			fastcgi_feed(r, input, BODY_LIMIT, reply);

		if (event == FASTCGI_MORE)
			return (true);
		if (event == FASTCGI_BROKEN)
			return (false);
		if (event == FASTCGI_REQUEST)
			see_request(s, r);
		if (event != FASTCGI_REPLY)
			fastcgi_reader_reset(r);
	}
}

static struct seen
run(struct bytes stream, size_t piece)
{
	struct seen s = { 0 };
	struct fastcgi_reader r = { 0 };
	struct buf reply = { 0 }, rest = { 0 };
	bool whole = true;

	while (stream.len > 0 && whole) {
		size_t n = piece < stream.len ? piece : stream.len;
		struct bytes input;
		char *copy;

		buf_add(&rest, (struct bytes){ stream.at, n });
		stream = bytes_from(stream, n);
		copy = malloc(rest.len); /* of its exact size */
		memcpy(copy, rest.at, rest.len);
		input = (struct bytes){ copy, rest.len };
		whole = feed(&s, &r, &input, &reply);
		buf_clear(&rest);
		buf_add(&rest, input);
		free(copy);
	}
	see(&s, buf_bytes(&reply));
	see(&s, whole ? BYTES("whole") : BYTES("broken"));
	fastcgi_reader_fini(&r);
	buf_fini(&reply);
	buf_fini(&rest);
	return (s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes stream;
	struct seen once, parts;

	if (size == 0)
		return (0);
	stream = (struct bytes){ (const char *)data + 1, size - 1 };
	once = run(stream, stream.len);
	parts = run(stream, 1 + (size_t)data[0]);
	FUZZ_MUST(once.hash == parts.hash && once.events == parts.events);
	return (0);
}
