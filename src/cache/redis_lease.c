/* SPDX-License-Identifier: MIT */
#include "redis_lease.h"

#include "../base/alloc.h"
#include "redis_command.h"

#include <stdio.h>
#include <stdlib.h>

#define LEASE_MOST_MS 60000 /* over any lease's and any failure's life */

/* A lease's value is its holder's token, or "!" and how the load failed.  What has
 * no end, or none in sight, is no lease, whoever wrote it. */
static const char take_script[] =
	"local held, left = redis.pcall('GET', KEYS[1]), redis.call('PTTL', KEYS[1]) "
	"if type(held) == 'string' and left >= 0 and left <= tonumber(ARGV[3]) then "
	"  return {held, left} "
	"end "
	"redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) "
	"return {'', 0}";
static const char keep_script[] =
	"if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
	"redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) "
	"return 1";
static const char give_script[] =
	"if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
	"return redis.call('DEL', KEYS[1])";

static void
add_script(struct redis_command *c, const char *script, struct bytes key)
{
	redis_command_text(c, BYTES("EVAL"));
	redis_command_text(c, bytes_of(script));
	redis_command_text(c, BYTES("1"));
	redis_command_name(c, "@lease:", key);
}

static enum result
take_lease(void *arg, const struct redis_reply *reply)
{
	struct lease_state *state = arg;
	struct bytes held;
	int64_t failure;

	if (reply->type != REDIS_ARRAY || reply->count != 2 ||
	    reply->items[0].type != REDIS_STRING ||
	    reply->items[1].type != REDIS_INTEGER)
		return (R_BAD_ANSWER);
	held = reply->items[0].text;
	state->left_ms = reply->items[1].integer;
	state->failure = R_OK;
	state->outcome = held.len == 0 ? LEASE_WON : LEASE_HELD;
	if (held.len > 1 && held.at[0] == '!' &&
	    bytes_to_int64(bytes_from(held, 1), &failure) && failure > R_OK &&
	    failure < R_COUNT_) {
		state->outcome = LEASE_FAILED;
		state->failure = (enum result)failure;
	}
	return (R_OK);
}

enum result
redis_lease_take(struct redis_tier *t, struct bytes key, const char *holder,
		 int64_t for_ms, struct lease_state *state)
{
	struct redis_command c = { .prefix = redis_tier_prefix(t) };
	char life[24], most[24];

	snprintf(life, sizeof(life), "%lld", (long long)for_ms);
	snprintf(most, sizeof(most), "%d", LEASE_MOST_MS);
	add_script(&c, take_script, key);
	redis_command_text(&c, bytes_of(holder));
	redis_command_text(&c, bytes_of(life));
	redis_command_text(&c, bytes_of(most));
	return (redis_command_call(&c, redis_tier_redis(t), take_lease, state));
}

enum result
redis_lease_keep(struct redis_tier *t, struct bytes key, const char *holder,
		 int64_t for_ms, enum result failure)
{
	struct redis_command c = { .prefix = redis_tier_prefix(t) };
	char life[24], note[16];

	snprintf(life, sizeof(life), "%lld", (long long)for_ms);
	snprintf(note, sizeof(note), "!%d", (int)failure);
	add_script(&c, keep_script, key);
	redis_command_text(&c, bytes_of(holder));
	redis_command_text(&c,
			   failure == R_OK ? bytes_of(holder) : bytes_of(note));
	redis_command_text(&c, bytes_of(life));
	return (redis_command_call(&c, redis_tier_redis(t), redis_command_flag,
				   NULL));
}

enum result
redis_lease_give(struct redis_tier *t, struct bytes key, const char *holder)
{
	struct redis_command c = { .prefix = redis_tier_prefix(t) };

	add_script(&c, give_script, key);
	redis_command_text(&c, bytes_of(holder));
	return (redis_command_call(&c, redis_tier_redis(t), redis_command_flag,
				   NULL));
}

struct peek {
	redis_lease_seen *seen;
	void *arg;
};

static void
lease_peeked(void *arg, enum result r, const struct redis_reply *reply)
{
	struct peek *p = arg;

	if (r == R_OK && reply->type != REDIS_STRING)
		r = R_NOT_FOUND;
	else if (r == R_OK && bytes_starts(reply->text, BYTES("!")))
		r = R_CONFLICT;
	p->seen(p->arg, r);
	free(p);
}

enum result
redis_lease_peek(struct redis_tier *t, struct bytes key, redis_lease_seen *seen,
		 void *arg)
{
	struct redis_command c = { .prefix = redis_tier_prefix(t) };
	struct peek *p = mem_alloc(sizeof(*p));
	enum result r;

	if (p == NULL)
		return (R_NO_MEMORY);
	*p = (struct peek){ seen, arg };
	redis_command_text(&c, BYTES("GET"));
	redis_command_name(&c, "@lease:", key);
	r = redis_command_send(&c, redis_tier_redis(t), lease_peeked, p);
	if (r != R_OK)
		free(p);
	return (r);
}
