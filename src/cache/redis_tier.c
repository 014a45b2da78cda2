/* SPDX-License-Identifier: MIT */
#include "redis_tier.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "redis_command.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct redis_tier {
	struct redis *redis;
	char *prefix; /* "wf:v1:" */
	int64_t ttl_max_ms;
	_Atomic int64_t expected;
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
	free(t->prefix);
	free(t);
}

bool
redis_tier_is_usable(struct redis_tier *t)
{
	return (t != NULL && redis_state(t->redis) != BREAKER_OPEN);
}

void
redis_tier_expect(struct redis_tier *t, int64_t known)
{
	atomic_store(&t->expected, known);
}

int64_t
redis_tier_position(struct redis_tier *t)
{
	return (t == NULL ? -1 : atomic_load(&t->said));
}

/* "a b", two numbers; an absent value leaves them as they are. */
static bool
parse_pair(const struct redis_reply *reply, int64_t *a, int64_t *b)
{
	struct bytes rest = reply->text, first;

	if (reply->type != REDIS_STRING)
		return (false);
	first = bytes_cut(&rest, ' ');
	return (bytes_to_int64(first, a) && bytes_to_int64(rest, b));
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
	int64_t position = 0, floor = 0, hard, soft, newest_soft = 0;
	int64_t newest_hard = 0;
	enum result r;
	unsigned i;

	if (reply->type != REDIS_ARRAY || reply->count < 2)
		return (R_BAD_ANSWER);
	if (!parse_pair(&reply->items[1], &position, &floor) ||
	    position < atomic_load(&t->expected)) {
		t->behind(t->arg);
		return (R_NOT_FOUND);
	}
	atomic_store(&t->said, position);
	if (reply->items[0].type != REDIS_STRING)
		return (R_NOT_FOUND);
	for (i = 2; i < reply->count; i++) {
		if (!parse_pair(&reply->items[i], &hard, &soft))
			continue;
		if (hard > newest_hard)
			newest_hard = hard;
		if (soft > newest_soft)
			newest_soft = soft;
	}
	if ((r = entry_decode(reply->items[0].text, l->key, out)) != R_OK)
		return (r);
	if ((*out)->fence < floor || (*out)->fence < newest_hard) {
		entry_unref(*out);
		return (R_NOT_FOUND);
	}
	if ((*out)->fence < newest_soft)
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
	"local log = redis.call('GET', KEYS[2]) "
	"if not log then return -1 end "
	"local fence = tonumber(ARGV[2]) "
	"if fence < tonumber(string.match(log, ' (%d+)')) then return 0 end "
	"for i = 3, #KEYS do "
	"  local at = redis.call('GET', KEYS[i]) "
	"  if at then "
	"    local hard, soft = string.match(at, '(%d+) (%d+)') "
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
 * "position soft" for each record.  Returns the position that is known now.
 */
static const char push_script[] =
	"local from, to = tonumber(ARGV[1]), tonumber(ARGV[2]) "
	"local log = redis.call('GET', KEYS[1]) "
	"if not log then "
	"  redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[2]) "
	"  return to "
	"end "
	"local at, floor = string.match(log, '(%d+) (%d+)') "
	"if tonumber(at) < from then return tonumber(at) end "
	"for i = 2, #KEYS do "
	"  local position, is_soft = string.match(ARGV[i + 2], '(%d+) (%d)') "
	"  local old = redis.call('GET', KEYS[i]) or '0 0' "
	"  local hard, soft = string.match(old, '(%d+) (%d+)') "
	"  if is_soft == '1' then "
	"    if tonumber(position) > tonumber(soft) then soft = position end "
	"  elseif tonumber(position) > tonumber(hard) then hard = position end "
	"  redis.call('SET', KEYS[i], hard .. ' ' .. soft, 'PX', ARGV[3]) "
	"end "
	"if to > tonumber(at) then "
	"  redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. floor) "
	"  return to "
	"end "
	"return tonumber(at)";

static enum result
take_position(void *arg, const struct redis_reply *reply)
{
	int64_t *knows = arg;

	if (reply->type != REDIS_INTEGER)
		return (R_BAD_ANSWER);
	*knows = reply->integer;
	return (R_OK);
}

enum result
redis_tier_push(struct redis_tier *t, int64_t from, int64_t to,
		const struct redis_tier_record *records, unsigned count,
		int64_t *knows)
{
	struct bytes *argv = mem_alloc((2 * (size_t)count + 8) * sizeof(*argv));
	struct buf text = { 0 }; /* all arguments, one after the other */
	size_t lengths[3], prefix = strlen(t->prefix);
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
	if (buf_error(&text) != R_OK)
		goto out;
	for (i = 3, at = text.at; i < argc; at += argv[i++].len)
		argv[i].at = at;
	r = redis_call(t->redis, argv, argc, take_position, knows);
out:
	buf_fini(&text);
	free(argv);
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
