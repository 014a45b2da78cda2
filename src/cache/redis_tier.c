/* SPDX-License-Identifier: MIT */
#include "redis_tier.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/random.h"
#include "redis_command.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct redis_tier {
	struct redis *redis;
	char *prefix; /* "wf:v1:" */
	int64_t ttl_max_ms;
	int64_t lag_limit_ms;
	int64_t trust_ms;
	_Atomic int64_t expected;   /* of the sight, with the next two */
	_Atomic int64_t read_at_ms; /* -1: not yet */
	_Atomic uint64_t connections;
	atomic_bool blind;
	struct buf token; /* of the thread that pushes */
	_Atomic int64_t said;
	void (*behind)(void *arg);
	void *arg;
};

/* Entries live this much shorter than the scopes that could outdate them. */
#define SCOPE_EXTRA_MS 600000

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

/* Judge an MGET of entry, @log and scopes. */
static enum result
judge(struct redis_tier *t, const struct lookup *l,
      const struct redis_reply *reply, struct entry **out)
{
	int64_t log[3];				/* position, floor, time */
	int64_t scope[2], newest[2] = { 0, 0 }; /* hard, soft */
	enum result r;
	unsigned i, k;

	if (reply->type != REDIS_ARRAY || reply->count < 2)
		return (R_BAD_ANSWER);
	if (!parse_numbers(&reply->items[1], log, 3) ||
	    !is_believed(t, log[2]) || log[0] < atomic_load(&t->expected)) {
		t->behind(t->arg);
		return (R_NOT_FOUND);
	}
	atomic_store(&t->said, log[0]);
	if (reply->items[0].type != REDIS_STRING)
		return (R_NOT_FOUND);
	for (i = 2; i < reply->count; i++) {
		if (reply->items[i].type == REDIS_NIL)
			continue;
		if (!parse_numbers(&reply->items[i], scope, 2))
			return (R_NOT_FOUND); /* it may have said anything */
		for (k = 0; k < 2; k++)
			if (scope[k] > newest[k])
				newest[k] = scope[k];
	}
	if ((r = entry_decode(reply->items[0].text, l->key, out)) != R_OK)
		return (r);
	if ((*out)->fence < log[1] || (*out)->fence < newest[0]) {
		entry_unref(*out);
		return (R_NOT_FOUND);
	}
	if ((*out)->fence < newest[1])
		lifetime_expire(&(*out)->life, clock_wall_ms());
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
	redis_command_text(&c, BYTES("MGET"));
	redis_command_name(&c, "", key);
	redis_command_name(&c, "@log", BYTES_NONE);
	if (add_scopes(&c, key))
		r = redis_command_send(&c, t->redis, looked_up, l);
	redis_command_fini(&c);
	if (r != R_OK)
		free(l);
	return (r);
}

static const char put_script[] =
	"local log = redis.call('GET', KEYS[2]) or '' "
	"local floor = string.match(log, '^%d+ (%d+) %d+$') "
	"if not floor then return -1 end "
	"local fence = tonumber(ARGV[2]) "
	"if fence < tonumber(floor) then return 0 end "
	"for i = 3, #KEYS do "
	"  local at = redis.call('GET', KEYS[i]) "
	"  if at then "
	"    local hard, soft = string.match(at, '^(%d+) (%d+)$') "
	"    if not hard or tonumber(hard) > fence or tonumber(soft) > fence then return 0 end "
	"  end "
	"end "
	"redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3]) "
	"return 1";

enum result
redis_tier_put(struct redis_tier *t, const struct entry *e)
{
	struct redis_command c = { .prefix = t->prefix };
	struct buf wire = { 0 };
	char keys[16], fence[24], life[24];
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
	c.argv[2] = bytes_of(keys);
	redis_command_text(&c, buf_bytes(&wire));
	redis_command_text(&c, bytes_of(fence));
	redis_command_text(&c, bytes_of(life));
	r = redis_command_call(&c, t->redis, redis_command_flag, NULL);
out:
	buf_fini(&wire);
	redis_command_fini(&c);
	return (r);
}

/*
 * KEYS: @log, then a name for each record.  ARGV: from, to, life of a scope, then
 * "position soft" for each record; last the time and a token.  Returns the position that is known
 * now, or the token of a Redis that has lost its own: what was read before that was
 * seen may be older than what Redis has been told and forgotten.
 */
static const char push_script[] =
	"local from, to = tonumber(ARGV[1]), tonumber(ARGV[2]) "
	"local log = redis.call('GET', KEYS[1]) "
	"if not log then "
	"  log = '?' .. ARGV[#ARGV] "
	"  redis.call('SET', KEYS[1], log) "
	"end "
	"local at, floor = string.match(log, '^(%d+) (%d+) %d+$') "
	"if not at then return log end "
	"if tonumber(at) < from then return tonumber(at) end "
	"for i = 2, #KEYS do "
	"  local position, is_soft = string.match(ARGV[i + 2], '(%d+) (%d)') "
	"  local old = redis.call('GET', KEYS[i]) or '0 0' "
	"  local hard, soft = string.match(old, '^(%d+) (%d+)$') "
	"  if not hard then hard, soft = position, '0' end "
	"  if is_soft == '1' then "
	"    if tonumber(position) > tonumber(soft) then soft = position end "
	"  elseif tonumber(position) > tonumber(hard) then hard = position end "
	"  redis.call('SET', KEYS[i], hard .. ' ' .. soft, 'PX', ARGV[3]) "
	"end "
	"if to < tonumber(at) then return tonumber(at) end "
	"redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. floor .. ' ' .. "
	"  ARGV[#ARGV - 1]) "
	"return to";

struct told {
	struct redis_tier *tier;
	int64_t *knows;
};

static enum result
take_position(void *arg, const struct redis_reply *reply)
{
	const struct told *told = arg;

	if (reply->type == REDIS_STRING) {
		buf_clear(&told->tier->token);
		buf_add(&told->tier->token, reply->text);
		*told->knows = REDIS_TIER_BLANK;
		return (buf_error(&told->tier->token));
	}
	if (reply->type != REDIS_INTEGER)
		return (R_BAD_ANSWER);
	*told->knows = reply->integer;
	return (R_OK);
}

enum result
redis_tier_push(struct redis_tier *t, int64_t from, int64_t to,
		const struct redis_tier_record *records, unsigned count,
		int64_t *knows)
{
	struct bytes *argv =
		mem_alloc((2 * (size_t)count + 10) * sizeof(*argv));
	struct buf text = { 0 }; /* all arguments, one after the other */
	size_t lengths[3], prefix = strlen(t->prefix);
	struct told told = { t, knows };
	enum result r = R_NO_MEMORY;
	unsigned i, argc = 0;
	char keys[16];
	char *at;

	if (argv == NULL)
		goto out;
	snprintf(keys, sizeof(keys), "%u", count + 1);
	argv[argc++] = BYTES("EVAL");
	argv[argc++] = bytes_of(push_script);
	argv[argc++] = bytes_of(keys);
	buf_printf(&text, "%s@log", t->prefix);
	argv[argc++].len = prefix + 4;
	for (i = 0; i < count; i++) {
		buf_printf(&text, "%s@scope:", t->prefix);
		buf_add(&text, records[i].scope);
		argv[argc++].len = prefix + 7 + records[i].scope.len;
	}
	for (i = 0; i < 3; i++) {
		const int64_t numbers[] = { from, to,
					    t->ttl_max_ms + SCOPE_EXTRA_MS };

		lengths[i] = text.len;
		buf_int(&text, numbers[i]);
		argv[argc++].len = text.len - lengths[i];
	}
	for (i = 0; i < count; i++) {
		size_t before = text.len;

		buf_printf(&text, "%lld %d", (long long)records[i].position,
			   records[i].soft);
		argv[argc++].len = text.len - before;
	}
	lengths[0] = text.len;
	buf_int(&text, clock_wall_ms());
	argv[argc++].len = text.len - lengths[0];
	lengths[0] = text.len;
	buf_printf(&text, "%016llx", (unsigned long long)random_cheap());
	argv[argc++].len = text.len - lengths[0];
	if (buf_error(&text) != R_OK)
		goto out;
	for (i = 3, at = text.at; i < argc; at += argv[i++].len)
		argv[i].at = at;
	r = redis_call(t->redis, argv, argc, take_position, &told);
out:
	buf_fini(&text);
	free(argv);
	return (r);
}

static const char begin_script[] =
	"if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
	"redis.call('SET', KEYS[1], "
	"  ARGV[2] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3]) "
	"return 1";

enum result
redis_tier_begin(struct redis_tier *t, int64_t position)
{
	struct redis_command c = { .prefix = t->prefix };
	char number[24], now[24];

	snprintf(number, sizeof(number), "%lld", (long long)position);
	snprintf(now, sizeof(now), "%lld", (long long)clock_wall_ms());
	redis_command_text(&c, BYTES("EVAL"));
	redis_command_text(&c, bytes_of(begin_script));
	redis_command_text(&c, BYTES("1"));
	redis_command_name(&c, "@log", BYTES_NONE);
	redis_command_text(&c, buf_bytes(&t->token));
	redis_command_text(&c, bytes_of(number));
	redis_command_text(&c, bytes_of(now));
	return (redis_command_call(&c, t->redis, redis_command_flag, NULL));
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
