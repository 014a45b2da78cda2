/* SPDX-License-Identifier: MIT */
#include "redis_tier.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "redis_command.h"
#include "redis_tier_state.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The scopes that match `key`, as names. */
static bool
add_scopes(struct redis_command *c, struct bytes key)
{
	struct buf list = { 0 };
	struct bytes rest;
	unsigned n = scope_list(key, &list);

	for (rest = buf_bytes(&list); rest.len > 0 && n > 0 && !list.error;)
		redis_command_name(c, "@scope:", bytes_cut(&rest, '\0'));
	n = list.error ? 0 : n;
	buf_fini(&list);
	return (n > 0);
}

struct redis_tier *
redis_tier_new(const struct redis_tier_options *options)
{
	struct redis_tier *t = mem_alloc(sizeof(*t));
	struct buf prefix = { 0 };

	if (t == NULL)
		return (NULL);
	buf_printf(&prefix, "%s:%s:", options->prefix, options->version);
	if (buf_error(&prefix) != R_OK) {
		buf_fini(&prefix);
		free(t);
		return (NULL);
	}
	t->prefix = prefix.at;
	t->redis = options->redis;
	t->ttl_max_ms = options->ttl_max_ms;
	t->lag_limit_ms = options->lag_limit_ms;
	t->trust_ms = options->trust_ms;
	t->read_at_ms = -1;
	t->behind = options->behind;
	t->arg = options->arg;
	t->said = -1;
	return (t);
}

void
redis_tier_free(struct redis_tier *t)
{
	if (t == NULL)
		return;
	buf_fini(&t->token);
	free(t->prefix);
	free(t);
}

bool
redis_tier_is_usable(struct redis_tier *t)
{
	return (t != NULL && redis_state(t->redis) == BREAKER_CLOSED);
}

void
redis_tier_expect(struct redis_tier *t, const struct redis_tier_sight *sight)
{
	/* In this order: who sees that we looked sees what we saw. */
	atomic_store(&t->expected, sight->position);
	atomic_store(&t->connections, sight->connections);
	atomic_store(&t->read_at_ms, sight->read_at_ms);
	atomic_store(&t->blind, false);
}

uint64_t
redis_tier_connections(const struct redis_tier *t)
{
	return (redis_connections(t->redis));
}

void
redis_tier_lose_sight(struct redis_tier *t)
{
	atomic_store(&t->blind, true);
}

/* May a position that Redis was told at `told_ms` be taken for what it
 * knows? */
static bool
is_believed(const struct redis_tier *t, int64_t told_ms)
{
	int64_t read_at_ms = atomic_load(&t->read_at_ms);

	if (atomic_load(&t->blind))
		return (true);
	if (read_at_ms < 0)
		return (t->trust_ms == 0 &&
			llabs(clock_wall_ms() - told_ms) < t->lag_limit_ms);
	return (t->trust_ms == 0 ||
		(clock_monotonic_ms() - read_at_ms < t->trust_ms &&
		 atomic_load(&t->connections) == redis_connections(t->redis)));
}

int64_t
redis_tier_position(struct redis_tier *t)
{
	return (t == NULL ? -1 : atomic_load(&t->said));
}

/* Numbers with a space between; an absent value leaves them as they are. */
static bool
parse_numbers(const struct redis_reply *reply, int64_t *numbers, unsigned count)
{
	struct bytes rest = reply->text;

	if (reply->type != REDIS_STRING)
		return (false);
	while (count-- > 0)
		if (!bytes_to_int64(bytes_cut(&rest, ' '), numbers++))
			return (false);
	return (rest.len == 0);
}

struct lookup {
	struct redis_tier *tier;
	redis_tier_done *done;
	void *arg;
	struct bytes key;
	char room[];
};

static void
read_scope(const struct redis_reply *reply, struct redis_tier_view *v)
{
	int64_t newest[2]; /* hard, soft */

	if (reply->type == REDIS_NIL)
		return;
	/* What cannot be read may have said anything. */
	if (!parse_numbers(reply, newest, 2))
		newest[0] = newest[1] = INT64_MAX;
	if (newest[0] > v->hard)
		v->hard = newest[0];
	if (newest[1] > v->soft)
		v->soft = newest[1];
}

/* What an MGET of entry, @log and scopes says.  R_OK: there is an entry. */
static enum result
read_reply(struct redis_tier *t, struct bytes key,
	   const struct redis_reply *reply, struct redis_tier_view *v)
{
	int64_t log[3]; /* position, floor, time */
	unsigned i;

	*v = (struct redis_tier_view){ 0 };
	if (reply->type != REDIS_ARRAY || reply->count < 2)
		return (R_BAD_ANSWER);
	v->knows_log = parse_numbers(&reply->items[1], log, 3);
	if (v->knows_log) {
		v->position = log[0];
		v->floor = log[1];
		v->believed = log[0] >= atomic_load(&t->expected) &&
			      is_believed(t, log[2]);
	}
	for (i = 2; i < reply->count; i++)
		read_scope(&reply->items[i], v);
	if (reply->items[0].type != REDIS_STRING)
		return (R_NOT_FOUND);
	return (entry_decode(reply->items[0].text, key, &v->entry));
}

/* Judge it. */
static enum result
judge(struct redis_tier *t, const struct lookup *l,
      const struct redis_reply *reply, struct entry **out)
{
	struct redis_tier_view v;
	enum result r = read_reply(t, l->key, reply, &v);

	if (!v.believed) {
		t->behind(t->arg);
		r = r == R_OK ? R_NOT_FOUND : r;
	} else {
		atomic_store(&t->said, v.position);
	}
	if (r == R_OK && (v.entry->fence < v.floor || v.entry->fence < v.hard))
		r = R_NOT_FOUND;
	if (r != R_OK) {
		entry_unref(v.entry);
		return (r);
	}
	if (v.entry->fence < v.soft)
		lifetime_expire(&v.entry->life, clock_wall_ms());
	*out = v.entry;
	return (R_OK);
}

static void
looked_up(void *arg, enum result r, const struct redis_reply *reply)
{
	struct lookup *l = arg;
	struct entry *e = NULL;

	if (r == R_OK && reply->type == REDIS_ERROR) {
		log_warn("redis: lookup refused: %.*s", BYTES_ARG(reply->text));
		r = R_BAD_ANSWER;
	}
	if (r == R_OK)
		r = judge(l->tier, l, reply, &e);
	l->done(l->arg, r, r == R_OK ? e : NULL);
	free(l);
}

static bool
add_question(struct redis_command *c, struct bytes key)
{
	redis_command_text(c, BYTES("MGET"));
	redis_command_name(c, "", key);
	redis_command_name(c, "@log", BYTES_NONE);
	return (add_scopes(c, key));
}

enum result
redis_tier_get(struct redis_tier *t, struct bytes key, redis_tier_done *done,
	       void *arg)
{
	struct redis_command c = { .prefix = t->prefix };
	struct lookup *l = mem_alloc(sizeof(*l) + key.len);
	enum result r = R_NO_MEMORY;

	if (l == NULL)
		return (r);
	memcpy(l->room, key.at, key.len);
	*l = (struct lookup){ t, done, arg, { l->room, key.len } };
	if (add_question(&c, key))
		r = redis_command_send(&c, t->redis, looked_up, l);
	redis_command_fini(&c);
	if (r != R_OK)
		free(l);
	return (r);
}

struct inspection {
	struct redis_tier *tier;
	struct bytes key;
	struct redis_tier_view *view;
};

static enum result
take_view(void *arg, const struct redis_reply *reply)
{
	struct inspection *i = arg;

	(void)!read_reply(i->tier, i->key, reply, i->view);
	return (R_OK);
}

static enum result
take_left(void *arg, const struct redis_reply *reply)
{
	int64_t *left_ms = arg;

	if (reply->type == REDIS_INTEGER && reply->integer > 0)
		*left_ms = reply->integer;
	return (R_OK);
}

enum result
redis_tier_inspect(struct redis_tier *t, struct bytes key,
		   struct redis_tier_view *out)
{
	struct redis_command c = { .prefix = t->prefix };
	struct inspection i = { t, key, out };
	enum result r = R_INVALID;

	*out = (struct redis_tier_view){ 0 };
	if (add_question(&c, key))
		r = redis_command_call(&c, t->redis, take_view, &i);
	redis_command_fini(&c);
	if (r != R_OK || out->entry == NULL)
		return (r);
	c = (struct redis_command){ .prefix = t->prefix };
	redis_command_text(&c, BYTES("PTTL"));
	redis_command_name(&c, "", key);
	(void)!redis_command_call(&c, t->redis, take_left, &out->left_ms);
	redis_command_fini(&c);
	return (R_OK);
}

/* A scope that cannot be read may have said that all up to now is outdated: that is
 * what it says then. */
static const char put_script[] = REDIS_TIER_GET
	"local log = get(KEYS[2]) or '' "
	"local now, floor = string.match(log, '^(%d+) (%d+) %d+$') "
	"if not floor then return -1 end "
	"local fence = tonumber(ARGV[2]) "
	"if fence < tonumber(floor) then return 0 end "
	"for i = 3, #KEYS do "
	"  local at = get(KEYS[i]) "
	"  if at then "
	"    local hard, soft = string.match(at, '^(%d+) (%d+)$') "
	"    if not hard or tonumber(hard) > tonumber(now) or "
	"      tonumber(soft) > tonumber(now) then "
	"      hard, soft = now, '0' "
	"      redis.call('SET', KEYS[i], now .. ' 0', 'PX', ARGV[4]) "
	"    end "
	"    if tonumber(hard) > fence or tonumber(soft) > fence then return 0 end "
	"  end "
	"end "
	"redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3]) "
	"return 1";

enum result
redis_tier_put(struct redis_tier *t, const struct entry *e)
{
	struct redis_command c = { .prefix = t->prefix };
	struct buf wire = { 0 };
	char keys[16], fence[24], life[24], scope_life[24];
	int64_t life_ms = e->life.stale_until_ms - clock_wall_ms();
	enum result r = R_NO_MEMORY;

	if (life_ms > t->ttl_max_ms)
		life_ms = t->ttl_max_ms;
	if (life_ms <= 0)
		return (R_OK);
	entry_encode(e, &wire);
	redis_command_text(&c, BYTES("EVAL"));
	redis_command_text(&c, bytes_of(put_script));
	redis_command_text(&c, BYTES_NONE);
	redis_command_name(&c, "", e->key);
	redis_command_name(&c, "@log", BYTES_NONE);
	if (!add_scopes(&c, e->key) || buf_error(&wire) != R_OK)
		goto out;
	snprintf(keys, sizeof(keys), "%u", c.argc - 3);
	snprintf(fence, sizeof(fence), "%lld", (long long)e->fence);
	snprintf(life, sizeof(life), "%lld", (long long)life_ms);
	snprintf(scope_life, sizeof(scope_life), "%lld",
		 (long long)(t->ttl_max_ms + REDIS_SCOPE_EXTRA_MS));
	c.argv[2] = bytes_of(keys);
	redis_command_text(&c, buf_bytes(&wire));
	redis_command_text(&c, bytes_of(fence));
	redis_command_text(&c, bytes_of(life));
	redis_command_text(&c, bytes_of(scope_life));
	r = redis_command_call(&c, t->redis, redis_command_flag, NULL);
out:
	buf_fini(&wire);
	redis_command_fini(&c);
	return (r);
}

struct redis *
redis_tier_redis(const struct redis_tier *t)
{
	return (t->redis);
}

const char *
redis_tier_prefix(const struct redis_tier *t)
{
	return (t->prefix);
}
