/* SPDX-License-Identifier: MIT */
#include "response.h"

#include "../base/clock.h"

#include <string.h>

bool
response_accepts_gzip(struct bytes accept_encoding)
{
	struct bytes rest = accept_encoding, coding, weight;
	bool any = false, is_any;

	while (rest.len > 0) {
		weight = bytes_cut(&rest, ',');
		coding = bytes_trim(bytes_cut(&weight, ';'));
		is_any = bytes_equal(coding, BYTES("*"));
		if (!is_any && !bytes_equal_nocase(coding, BYTES("gzip")))
			continue;
		weight = bytes_trim(weight);
		if (weight.len >= 3 &&
		    (weight.at[0] == 'q' || weight.at[0] == 'Q')) {
			/* "q=0", "q=0.000": anything but zeros is a yes. */
			weight = bytes_from(weight, 2);
			while (weight.len > 0 &&
			       (weight.at[0] == '0' || weight.at[0] == '.'))
				weight = bytes_from(weight, 1);
			if (weight.len == 0 && !is_any)
				return (false);
			if (weight.len == 0)
				continue;
		}
		if (!is_any)
			return (true);
		any = true;
	}
	return (any);
}

/* `etag` is quoted; its gzip form has "-gzip" before the closing quote. */
static bool
is_form_of(struct bytes candidate, struct bytes etag)
{
	struct bytes stem = { etag.at, etag.len - 1 };

	if (bytes_starts(candidate, BYTES("W/")))
		candidate = bytes_from(candidate, 2);
	if (bytes_equal(candidate, etag))
		return (true);
	return (bytes_starts(candidate, stem) &&
		bytes_equal(bytes_from(candidate, stem.len), BYTES("-gzip\"")));
}

bool
response_matches(struct bytes if_none_match, struct bytes etag)
{
	struct bytes rest = if_none_match, candidate;

	while (rest.len > 0) {
		candidate = bytes_trim(bytes_cut(&rest, ','));
		if (bytes_equal(candidate, BYTES("*")) ||
		    is_form_of(candidate, etag))
			return (true);
	}
	return (false);
}

/* A head in the making; RESPONSE_HEAD_MAX is more than all lines together. */
struct head {
	char *at;
	size_t len;
};

static void
add(struct head *h, struct bytes text)
{
	memcpy(h->at + h->len, text.at, text.len);
	h->len += text.len;
}

#define ADD(h, literal) add(h, BYTES(literal))

static void
add_int(struct head *h, int64_t value)
{
	char digits[20];
	uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (value < 0)
		ADD(h, "-");
	add(h, (struct bytes){ digits + n, sizeof(digits) - n });
}

static const struct bytes tiers[] = {
	[CACHE_MEMORY] = { "memory", 6 },
	[CACHE_REDIS] = { "redis", 5 },
	[CACHE_POSTGRES] = { "postgresql", 10 },
	[CACHE_ORIGIN] = { "origin", 6 },
};

/* From one time to another, as far as an integer of RFC 9651 (15 digits)
 * goes. */
#define FAR_MS DAYS(365 * 1000)

static int64_t
between(int64_t from_ms, int64_t to_ms)
{
	int64_t ms;

	if (__builtin_sub_overflow(to_ms, from_ms, &ms))
		ms = to_ms > from_ms ? FAR_MS : -FAR_MS;
	if (ms > FAR_MS)
		ms = FAR_MS;
	return (ms < -FAR_MS ? -FAR_MS : ms);
}

/* Whole seconds of `ms`, rounded down. */
static int64_t
seconds(int64_t ms)
{
	return (ms >= 0 ? ms / 1000 : -((999 - ms) / 1000));
}

static void
add_cache_status(struct head *h, const struct cache_answer *a, int64_t left_ms)
{
	switch (a->status) {
	case CACHE_HIT:
		ADD(h, "X-Cache: HIT\r\nCache-Status: warmfront; hit; ttl=");
		add_int(h, seconds(left_ms));
		ADD(h, "; detail=");
		add(h, tiers[a->tier]);
		break;
	case CACHE_STALE:
		ADD(h, "X-Cache: STALE\r\nCache-Status: warmfront; hit; ttl=");
		add_int(h, seconds(left_ms));
		ADD(h, "; fwd=stale; detail=");
		add(h, tiers[a->tier]);
		break;
	case CACHE_MISS:
		ADD(h, "X-Cache: MISS\r\n"
		       "Cache-Status: warmfront; fwd=uri-miss");
		if (a->stored)
			ADD(h, "; stored");
		if (a->collapsed)
			ADD(h, "; collapsed");
		break;
	case CACHE_BYPASS:
		ADD(h, "X-Cache: BYPASS\r\n"
		       "Cache-Status: warmfront; fwd=bypass");
		break;
	}
	ADD(h, "\r\n");
}

static void
add_cache_control(struct head *h, const struct cache_answer *a,
		  const struct policy *p, enum audience audience,
		  int64_t left_ms)
{
	if (audience == AUDIENCE_PRIVATE) {
		ADD(h, "Cache-Control: private, no-cache\r\n");
		return;
	}
	if (a->status == CACHE_BYPASS) {
		ADD(h, "Cache-Control: no-store\r\n");
		return;
	}
	ADD(h, "Cache-Control: public, max-age=");
	add_int(h, left_ms > 0 ? left_ms / 1000 : 0);
	ADD(h, ", stale-while-revalidate=");
	add_int(h, p->grace_ms / 1000);
	ADD(h, ", stale-if-error=");
	add_int(h, p->grace_ms / 1000);
	ADD(h, "\r\n");
}

static void
release_entry(const void *owner)
{
	entry_unref(owner);
}

void
response_from_cache(const struct request *rq, const struct cache_answer *a,
		    const struct policy *p, enum audience audience,
		    char head[static RESPONSE_HEAD_MAX], struct answer *out)
{
	const struct entry *e = a->entry;
	struct bytes etag = bytes_of(e->etag);
	int64_t now = clock_wall_ms();
	int64_t left_ms = between(now, e->life.fresh_until_ms);
	int64_t age_ms = between(e->life.loaded_at_ms, now);
	bool unchanged = rq->if_none_match.len > 0 &&
			 response_matches(rq->if_none_match, etag);
	bool gzip = e->gzip.len > 0 && rq->accept_encoding.len > 0 &&
		    response_accepts_gzip(rq->accept_encoding);
	struct bytes body = gzip ? e->gzip : e->body;
	struct head h = { head, 0 };

	if (unchanged) {
		ADD(&h, "Status: 304 Not Modified\r\n");
	} else {
		ADD(&h, "Content-Type: application/json; charset=utf-8\r\n"
			"Content-Length: ");
		add_int(&h, (int64_t)body.len);
		ADD(&h, "\r\n");
		if (gzip)
			ADD(&h, "Content-Encoding: gzip\r\n");
	}
	ADD(&h, "ETag: ");
	add(&h, (struct bytes){ etag.at, etag.len - 1 });
	add(&h, gzip ? BYTES("-gzip\"\r\n") : BYTES("\"\r\n"));
	ADD(&h, "Vary: Accept-Encoding\r\n");
	add_cache_control(&h, a, p, audience, left_ms);
	ADD(&h, "Age: ");
	add_int(&h, age_ms > 0 ? age_ms / 1000 : 0);
	ADD(&h, "\r\n");
	add_cache_status(&h, a, left_ms);
	ADD(&h, "\r\n");
	*out = (struct answer){
		.head = { head, h.len },
		.body = unchanged || rq->method == METHOD_HEAD ? BYTES_NONE
							       : body,
		.release = release_entry,
		.owner = e,
	};
}
