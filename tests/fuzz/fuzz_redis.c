/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "base/log.h"
#include "cache/redis_lease.h"
#include "cache/redis_log.h"
#include "cache/redis_tier.h"
#include "redis_line.h"

#include <stdlib.h>
#include <string.h>

/*
 * fuzz_redis: what a Redis that is none says, from the bytes on its socket to what the
 * cache makes of them.  The first line of the input is what it is asked, a letter for
 * each question (see ask()), and with an 'h' the greeting's answers are the input's,
 * too; its first byte says in what pieces the rest arrives.  In that
 *
 *	0xFC	ends what is said to one command
 *	0xFE n	is an entry under the key that is asked for, with the fence n
 *	0xFD n	the same under another key
 *
 * so that entries with a right checksum come by.  In whatever pieces it arrives, the same
 * must come out; and what is served must be what may be believed.
 */
#define KEY BYTES("models:openrouter:all")
#define OTHER_KEY BYTES("models:user:0123456789abcdef")
#define QUESTIONS_MAX 16
#define EXPECTED 3 /* where our own follower is in the log */

/* ---- questions */

struct seen {
	uint64_t hash;
};

static void
see(struct seen *s, int64_t number)
{
	s->hash = (s->hash ^ (uint64_t)number) * 1099511628211u;
}

struct found {
	unsigned times;
	enum result result;
	struct entry *entry;
};

static void
find(void *arg, enum result r, struct entry *e)
{
	struct found *found = arg;

	found->times++;
	found->result = r;
	found->entry = e;
}

static struct found
get(struct redis_tier *t)
{
	struct found found = { 0 };
	enum result r = redis_tier_get(t, KEY, find, &found);

	if (r == R_OK)
		redis_line_work(redis_tier_redis(t));
	FUZZ_MUST(found.times == (r == R_OK));
	if (r != R_OK)
		found.result = r;
	FUZZ_MUST((found.entry != NULL) == (found.result == R_OK));
	if (found.entry != NULL)
		FUZZ_MUST(bytes_equal(found.entry->key, KEY));
	return (found);
}

static struct entry *
new_entry(struct bytes key, int64_t fence)
{
	const struct entry_parts parts = {
		.key = key,
		.body = BYTES("{\"data\":[]}"),
		.life = { 1, INT64_MAX, INT64_MAX, INT64_MAX },
		.fence = fence,
	};
	struct entry *e;

	FUZZ_MUST(entry_new(&parts, &e) == R_OK);
	return (e);
}

static enum result
push(struct redis_tier *t, int64_t *knows)
{
	const struct redis_log_record records[] = {
		{ 2, BYTES("models:*"), false },
		{ 3, BYTES("*"), true },
	};

	return (redis_log_push(t, 1, EXPECTED, records, 2, knows));
}

static void
note_peek(void *arg, enum result r)
{
	see(arg, r);
}

static void
ask(struct redis_tier *t, char question, struct seen *s)
{
	struct redis_tier_view view = { 0 };
	struct lease_state lease = { 0 };
	struct entry *e;
	struct found found;
	int64_t knows = 0;

	switch (question) {
	case 'g':
		found = get(t);
		see(s, found.result);
		see(s, found.entry != NULL ? found.entry->fence : 0);
		entry_unref(found.entry);
		break;
	case 'i':
		see(s, redis_tier_inspect(t, KEY, &view));
		see(s, view.position);
		see(s, view.left_ms);
		entry_unref(view.entry);
		break;
	case 'p':
		e = new_entry(KEY, EXPECTED);
		see(s, redis_tier_put(t, e));
		entry_unref(e);
		break;
	case 't':
		see(s, redis_lease_take(t, KEY, "me", 2000, &lease));
		see(s, lease.outcome);
		FUZZ_MUST((lease.outcome == LEASE_FAILED) ==
			  (lease.failure != R_OK));
		break;
	case 'k':
		see(s, redis_lease_keep(t, KEY, "me", 2000, R_OK));
		break;
	case 'r':
		see(s, redis_lease_give(t, KEY, "me"));
		break;
	case 'e':
		see(s, redis_lease_peek(t, KEY, note_peek, s));
		redis_line_work(redis_tier_redis(t));
		break;
	case 'l':
		see(s, push(t, &knows));
		see(s, knows);
		break;
	case 'b':
		see(s, redis_log_begin(t, EXPECTED));
		break;
	case 'u':
		redis_log_prune(t);
		break;
	default:
		break;
	}
}

/* ---- one input */

static void
lag(void *arg)
{
	(void)arg;
}

static struct redis_tier *
connect_tier(const struct redis_line *line)
{
	const struct redis_tier_options options = {
		.redis = redis_line_new(line),
		.prefix = "wf",
		.version = "v1",
		.ttl_max_ms = INT64_MAX / 4,
		.lag_limit_ms = 1000,
		.behind = lag,
	};
	const struct redis_tier_sight sight = { EXPECTED, 1, 1 };
	struct redis_tier *t = redis_tier_new(&options);

	FUZZ_MUST(t != NULL);
	redis_tier_expect(t, &sight);
	return (t);
}

static void
disconnect_tier(struct redis_tier *t)
{
	struct redis *r = redis_tier_redis(t);

	redis_tier_free(t);
	redis_line_free(r);
}

static struct seen
converse(const struct redis_line *line, struct bytes questions)
{
	struct redis_tier *t = connect_tier(line);
	struct seen s = { 0 };

	for (size_t i = 0; i < questions.len && i < QUESTIONS_MAX; i++)
		ask(t, questions.at[i], &s);
	disconnect_tier(t);
	return (s);
}

/* A lookup serves just what a look at the same reply says may be served. */
static void
check_judgement(const struct redis_line *line)
{
	struct redis_tier *t = connect_tier(line);
	struct found found = get(t);
	struct redis_tier_view v;
	bool may;

	disconnect_tier(t);
	t = connect_tier(line);
	(void)!redis_tier_inspect(t, KEY, &v);
	disconnect_tier(t);
	may = v.entry != NULL && v.knows_log && v.believed &&
	      v.position >= EXPECTED && v.entry->fence >= v.floor &&
	      v.entry->fence >= v.hard;
	FUZZ_MUST(may == (found.result == R_OK));
	entry_unref(found.entry);
	entry_unref(v.entry);
}

static void
add_entry(struct buf *to, struct bytes key, unsigned char fence)
{
	struct entry *e = new_entry(key, fence);
	struct buf wire = { 0 };

	entry_encode(e, &wire);
	entry_unref(e);
	buf_printf(to, "$%zu\r\n", wire.len);
	buf_add(to, buf_bytes(&wire));
	buf_str(to, "\r\n");
	buf_fini(&wire);
}

/* What is said, with its entries; cut at 0xFC. */
static void
unfold(struct bytes from, struct buf *to, struct redis_line *line)
{
	size_t ends[REDIS_LINE_MAX], start = 0;

	while (from.len > 0 && line->count < REDIS_LINE_MAX) {
		struct bytes part = bytes_cut(&from, '\xFC');

		for (size_t i = 0; i < part.len; i++) {
			unsigned char c = (unsigned char)part.at[i];

			if (c < 0xFD || c == 0xFF || i + 1 == part.len)
				buf_char(to, part.at[i]);
			else
				add_entry(to, c == 0xFE ? KEY : OTHER_KEY,
					  (unsigned char)part.at[++i]);
		}
		ends[line->count++] = to->len;
	}
	FUZZ_MUST(buf_error(to) == R_OK);
	for (unsigned i = 0; i < line->count; start = ends[i++])
		line->says[i] =
			bytes_from((struct bytes){ to->at, ends[i] }, start);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = { (const char *)data, size }, questions;
	struct redis_line line = { .piece = SIZE_MAX };
	struct seen once, parts;
	struct buf text = { 0 };

	if (size == 0)
		return (0);
	FUZZ_MUST(log_open("stderr", LOG_LEVEL_ERROR) == R_OK);
	questions = bytes_cut(&rest, '\n');
	unfold(rest, &text, &line);
	line.is_polite = bytes_find(questions, 'h') < 0;
	once = converse(&line, questions);
	check_judgement(&line);
	line.piece = 1 + (size_t)data[0] % 64;
	parts = converse(&line, questions);
	FUZZ_MUST(once.hash == parts.hash);
	buf_fini(&text);
	return (0);
}
