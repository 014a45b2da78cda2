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

#define NAMES_BYTES 512 /* of a question, on the stack; the heap has more */

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
	buf_fini(&t->cursor);
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

/* What "@@" says; see redis_tier.h. */
struct log_state {
	int64_t position, floor, told_ms;
	struct bytes server;
};

/* Is this the very server that was told, not long ago?  Then it has lost nothing.  One that has
 * been restarted, or taken another's place, may have brought old data back. */
static bool
has_run_on(const struct redis_tier *t, const struct log_state *log)
{
	struct bytes server = bytes_of(redis_server(t->redis));

	return (llabs(clock_wall_ms() - log->told_ms) < t->lag_limit_ms &&
		server.len > 0 && bytes_equal(server, log->server));
}

/* May what it says be taken for all that it ought to know? */
static bool
is_believed(const struct redis_tier *t, const struct log_state *log)
{
	int64_t read_at_ms = atomic_load(&t->read_at_ms);

	if (log->position < atomic_load(&t->expected))
		return (false);
	if (atomic_load(&t->blind))
		return (true);
	if (read_at_ms < 0)
		return (t->trust_ms == 0 && has_run_on(t, log));
	return (t->trust_ms == 0 ||
		(clock_monotonic_ms() - read_at_ms < t->trust_ms &&
		 atomic_load(&t->connections) == redis_connections(t->redis)));
}

int64_t
redis_tier_position(struct redis_tier *t)
{
	return (t == NULL ? -1 : atomic_load(&t->said));
}

/* Take numbers with a space between off the front. */
static bool
cut_numbers(struct bytes *text, int64_t *numbers, unsigned count)
{
	while (count-- > 0)
		if (!bytes_to_int64(bytes_cut(text, ' '), numbers++))
			return (false);
	return (true);
}

static bool
read_state(const struct redis_reply *reply, struct log_state *log)
{
	int64_t numbers[3];
	struct bytes rest = reply->text;

	if (reply->type != REDIS_STRING || !cut_numbers(&rest, numbers, 3))
		return (false);
	*log = (struct log_state){ numbers[0], numbers[1], numbers[2], rest };
	return (rest.len > 0);
}

static void
read_scope(const struct redis_reply *reply, struct redis_tier_view *v)
{
	struct bytes rest = reply->text;
	int64_t newest[2]; /* hard, soft */

	if (reply->type == REDIS_NIL)
		return;
	/* What cannot be read may have said anything. */
	if (reply->type != REDIS_STRING || !cut_numbers(&rest, newest, 2) ||
	    newest[0] < 0 || newest[1] < 0 || rest.len > 0)
		newest[0] = newest[1] = INT64_MAX;
	if (newest[0] > v->hard)
		v->hard = newest[0];
	if (newest[1] > v->soft)
		v->soft = newest[1];
}

/* What the log says of a key: the fields that add_question() asks for. */
static void
read_log(const struct redis_tier *t, const struct redis_reply *reply,
	 struct redis_tier_view *v)
{
	struct log_state log;
	unsigned i;

	if (reply->type != REDIS_ARRAY || reply->count == 0 ||
	    !read_state(&reply->items[0], &log))
		return;
	v->knows_log = true;
	v->position = log.position;
	v->floor = log.floor;
	v->believed = is_believed(t, &log);
	for (i = 1; i < reply->count; i++)
		read_scope(&reply->items[i], v);
}

/* What is there but none of ours is as good as nothing. */
static bool
is_refusal(const struct redis_reply *reply)
{
	return (reply->type == REDIS_ERROR &&
		!bytes_starts(reply->text, BYTES("WRONGTYPE")));
}

struct lookup {
	struct redis_tier *tier;
	redis_tier_done *done;
	void *arg;
	struct redis_tier_view view;
	enum result found; /* of the entry alone */
	struct bytes key;
	char room[];
};

static void
take_entry(void *arg, enum result r, const struct redis_reply *reply)
{
	struct lookup *l = arg;

	(void)r; /* there is a reply */
	l->found = R_NOT_FOUND;
	if (reply->type == REDIS_STRING)
		l->found = entry_decode(reply->text, l->key, &l->view.entry);
	else if (is_refusal(reply))
		l->found = R_BAD_ANSWER;
}

/* R_OK: what was found may be used. */
static enum result
judge(struct redis_tier *t, struct lookup *l)
{
	const struct redis_tier_view *v = &l->view;

	if (!v->believed) {
		t->behind(t->arg);
		return (l->found == R_OK ? R_NOT_FOUND : l->found);
	}
	atomic_store(&t->said, v->position);
	if (l->found == R_OK &&
	    (v->entry->fence < v->floor || v->entry->fence < v->hard))
		return (R_NOT_FOUND);
	return (l->found);
}

/* Once a connection: who may not look up, may not for long. */
static void
complain(struct redis_tier *t, struct bytes refusal)
{
	uint64_t connection = redis_connections(t->redis);

	if (atomic_exchange(&t->refused_on, connection) != connection)
		log_warn("redis: lookup refused: %.*s", BYTES_ARG(refusal));
}

/* A soft record makes the entry stale.  That said, what is made of it need not be refused
 * for the same record. */
static void
take_soft(struct entry *e, const struct redis_tier_view *v)
{
	if (e->fence >= v->soft)
		return;
	lifetime_expire(&e->life, clock_wall_ms());
	if (v->soft <= v->position)
		e->fence = v->soft;
}

static void
take_log(void *arg, enum result r, const struct redis_reply *reply)
{
	struct lookup *l = arg;
	struct entry *e = l->view.entry;

	if (r == R_OK && is_refusal(reply)) {
		complain(l->tier, reply->text);
		r = R_BAD_ANSWER;
	}
	if (r == R_OK) {
		read_log(l->tier, reply, &l->view);
		r = judge(l->tier, l);
	}
	if (r == R_OK) {
		take_soft(e, &l->view);
	} else {
		entry_unref(e);
		e = NULL;
	}
	l->done(l->arg, r, e);
	free(l);
}

/*
 * The entry first, the log second: whatever befalls Redis between the two,
 * records, eviction, a loss and a new beginning, the log is then at least as new
 * as the entry, and so counts against it.
 */
static bool
add_question(struct redis_command *c, struct bytes key)
{
	redis_command_text(c, BYTES("GET"));
	redis_command_name(c, "", key);
	redis_command_next(c, take_entry);
	redis_command_text(c, BYTES("HMGET"));
	redis_command_name(c, "@log", BYTES_NONE);
	redis_command_text(c, BYTES(REDIS_LOG_FIELD));
	return (redis_command_scopes(c, key));
}

enum result
redis_tier_get(struct redis_tier *t, struct bytes key, redis_tier_done *done,
	       void *arg)
{
	struct redis_command c = { .prefix = t->prefix };
	struct lookup *l = mem_alloc(sizeof(*l) + key.len);
	char names[NAMES_BYTES];
	enum result r = R_NO_MEMORY;

	if (l == NULL)
		return (r);
	memcpy(l->room, key.at, key.len);
	l->tier = t;
	l->done = done;
	l->arg = arg;
	l->key = (struct bytes){ l->room, key.len };
	buf_over(&c.names, names, sizeof(names));
	if (add_question(&c, key))
		r = redis_command_send(&c, t->redis, take_log, l);
	redis_command_fini(&c);
	if (r != R_OK)
		free(l);
	return (r);
}

static enum result
view_log(void *arg, const struct redis_reply *reply)
{
	struct lookup *l = arg;

	read_log(l->tier, reply, &l->view);
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
	struct lookup l = { .tier = t, .key = key };
	enum result r = R_INVALID;

	if (add_question(&c, key))
		r = redis_command_call(&c, t->redis, view_log, &l);
	redis_command_fini(&c);
	*out = l.view;
	if (r != R_OK || out->entry == NULL)
		return (r);
	c = (struct redis_command){ .prefix = t->prefix };
	redis_command_text(&c, BYTES("PTTL"));
	redis_command_name(&c, "", key);
	(void)!redis_command_call(&c, t->redis, take_left, &out->left_ms);
	redis_command_fini(&c);
	return (R_OK);
}

/* KEYS: the entry, @log.  ARGV: its wire form, fence and life, then scopes.  A
 * scope that cannot be read may have said that all up to now is outdated: that is what
 * it says then.  What is below the floor may be good, but this Redis cannot tell. */
static const char put_script[] = REDIS_LOG_READ
	"local held = redis.pcall('HMGET', KEYS[2], '" REDIS_LOG_FIELD "', "
	"  unpack(ARGV, 4)) "
	"local now, floor = read(held[1] or '') "
	"local fence = tonumber(ARGV[2]) "
	"if not now or fence < tonumber(floor) then return -1 end "
	"for i = 2, #held do "
	"  if held[i] then "
	"    local hard, soft = string.match(held[i], '^(%d+) (%d+)$') "
	"    if not hard or tonumber(hard) > now or tonumber(soft) > now then "
	"      hard, soft = now, 0 "
	"      redis.call('HSET', KEYS[2], ARGV[i + 2], "
	"        string.match(held[1], '^%d+') .. ' 0') "
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
	char fence[24], life[24];
	int64_t life_ms = e->life.stale_until_ms - clock_wall_ms();
	enum result r = R_NO_MEMORY;

	if (life_ms > t->ttl_max_ms)
		life_ms = t->ttl_max_ms;
	if (life_ms <= 0)
		return (R_OK);
	entry_encode(e, &wire);
	snprintf(fence, sizeof(fence), "%lld", (long long)e->fence);
	snprintf(life, sizeof(life), "%lld", (long long)life_ms);
	redis_command_text(&c, BYTES("EVAL"));
	redis_command_text(&c, bytes_of(put_script));
	redis_command_text(&c, BYTES("2"));
	redis_command_name(&c, "", e->key);
	redis_command_name(&c, "@log", BYTES_NONE);
	redis_command_text(&c, buf_bytes(&wire));
	redis_command_text(&c, bytes_of(fence));
	redis_command_text(&c, bytes_of(life));
	if (redis_command_scopes(&c, e->key) && buf_error(&wire) == R_OK)
		r = redis_command_call(&c, t->redis, redis_command_flag, NULL);
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
