/* SPDX-License-Identifier: MIT */
#include "redis_log.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/random.h"
#include "redis_command.h"
#include "redis_tier_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIFE_MS "604800000" /* of the whole, when nobody says more: a week */
#define PRUNE_EVERY_MS 60000
#define PRUNE_COUNT "500" /* records looked at in one go */

/* Lua: who is told; see redis_server(). */
#define SERVER                                                                   \
	"local function server() "                                               \
	"  local info = redis.pcall('INFO', 'server') "                          \
	"  return type(info) == 'string' and string.match(info, 'run_id:(%w+)')" \
	"    or '-' "                                                            \
	"end "

/*
 * KEYS: @log.  ARGV: from, to, the time and a token; then, for each record,
 * "position soft" and its scope.  Returns the position that is known now, or the token
 * of a Redis that has lost its own: what was read before that was seen may be
 * older than what Redis has been told and forgotten.
 */
static const char push_script[] = REDIS_LOG_READ SERVER
	"local from, to = tonumber(ARGV[1]), tonumber(ARGV[2]) "
	"local log = redis.pcall('HGET', KEYS[1], '" REDIS_LOG_FIELD "') "
	"if type(log) == 'table' then " /* it is no hash */
	"  redis.call('DEL', KEYS[1]) "
	"  log = false "
	"end "
	"if not log then "
	"  log = '?' .. ARGV[4] "
	"  redis.call('HSET', KEYS[1], '" REDIS_LOG_FIELD "', log) "
	"end "
	"redis.call('PEXPIRE', KEYS[1], " LIFE_MS ") "
	"local at, floor = read(log) "
	"if not at then return log end "
	"if at < from then return at end "
	"for i = 5, #ARGV, 2 do "
	"  local position, is_soft = string.match(ARGV[i], '(%d+) (%d)') "
	"  local old = redis.call('HGET', KEYS[1], ARGV[i + 1]) or '0 0' "
	"  local hard, soft = string.match(old, '^(%d+) (%d+)$') "
	"  if not hard then hard, soft = position, '0' end "
	"  if is_soft == '1' then "
	"    if tonumber(position) > tonumber(soft) then soft = position end "
	"  elseif tonumber(position) > tonumber(hard) then hard = position end "
	"  redis.call('HSET', KEYS[1], ARGV[i + 1], hard .. ' ' .. soft) "
	"end "
	"if to < at then return at end "
	"redis.call('HSET', KEYS[1], '" REDIS_LOG_FIELD
	"', ARGV[2] .. ' ' .. floor "
	"  .. ' ' .. ARGV[3] .. ' ' .. server()) "
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
		*told->knows = REDIS_LOG_BLANK;
		return (buf_error(&told->tier->token));
	}
	if (reply->type != REDIS_INTEGER)
		return (R_BAD_ANSWER);
	*told->knows = reply->integer;
	return (R_OK);
}

static struct bytes
add_int(struct buf *text, int64_t value)
{
	size_t before = text->len;

	buf_int(text, value);
	return ((struct bytes){ NULL, text->len - before });
}

/* Arguments are put into one text, whose place is known once it is whole: those
 * without a place follow each other in it. */
static void
set_places(struct bytes *argv, unsigned argc, const char *at)
{
	for (unsigned i = 0; i < argc; i++) {
		if (argv[i].at != NULL)
			continue;
		argv[i].at = at;
		at += argv[i].len;
	}
}

enum result
redis_log_push(struct redis_tier *t, int64_t from, int64_t to,
	       const struct redis_log_record *records, unsigned count,
	       int64_t *knows)
{
	struct bytes *argv = mem_alloc((2 * (size_t)count + 8) * sizeof(*argv));
	struct buf text = { 0 };
	struct told told = { t, knows };
	enum result r = R_NO_MEMORY;
	unsigned i, argc = 0;
	size_t before;

	if (argv == NULL)
		goto out;
	argv[argc++] = BYTES("EVAL");
	argv[argc++] = bytes_of(push_script);
	argv[argc++] = BYTES("1");
	buf_printf(&text, "%s@log", t->prefix);
	argv[argc++].len = text.len;
	argv[argc++] = add_int(&text, from);
	argv[argc++] = add_int(&text, to);
	argv[argc++] = add_int(&text, clock_wall_ms());
	argv[argc++] = add_int(&text, (int64_t)(random_cheap() >> 1));
	for (i = 0; i < count; i++) {
		before = text.len;
		buf_printf(&text, "%lld %d", (long long)records[i].position,
			   records[i].soft);
		argv[argc++].len = text.len - before;
		argv[argc++] = records[i].scope;
	}
	if (buf_error(&text) != R_OK)
		goto out;
	set_places(argv, argc, text.at);
	r = redis_call(t->redis, argv, argc, take_position, &told);
out:
	buf_fini(&text);
	free(argv);
	return (r);
}

static const char begin_script[] = SERVER
	"if redis.pcall('HGET', KEYS[1], '" REDIS_LOG_FIELD
	"') ~= ARGV[1] then "
	"  return 0 "
	"end "
	"redis.call('HSET', KEYS[1], '" REDIS_LOG_FIELD "', ARGV[2] .. ' ' .. "
	"  ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. server()) "
	"return 1";

enum result
redis_log_begin(struct redis_tier *t, int64_t position)
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

/*
 * KEYS: @log.  ARGV: the age at which a position becomes the floor, a cursor, how many
 * records to look at.  "@mark" is a position and when that was known; once it is
 * of age, a pass over all records begins, which drops those that the floor makes
 * needless.  Returns the cursor to go on with; "0": no pass, or its end.  Records are
 * judged and dropped in one go, and so is the floor written: nothing comes between.
 */
static const char prune_script[] = REDIS_LOG_READ
	"local log = redis.pcall('HGET', KEYS[1], '" REDIS_LOG_FIELD "') "
	"if type(log) ~= 'string' then return '0' end "
	"local at, floor = read(log) "
	"if not at then return '0' end "
	"if ARGV[2] == '0' then "
	"  local clock = redis.call('TIME') "
	"  local now = clock[1] * 1000 + math.floor(clock[2] / 1000) "
	"  local mark = redis.call('HGET', KEYS[1], '@mark') or '' "
	"  local position, since = string.match(mark, '^(%d+)@(%d+)$') "
	"  local age = since and now - since or -1 "
	"  if age >= 0 and age < tonumber(ARGV[1]) then return '0' end "
	"  redis.call('HSET', KEYS[1], '@mark', string.match(log, '^%d+') .. "
	"    string.format('@%.0f', now)) "
	"  if age < 0 or tonumber(position) > at then return '0' end "
	"  if tonumber(position) > tonumber(floor) then floor = position end "
	"  redis.call('HSET', KEYS[1], '" REDIS_LOG_FIELD "', "
	"    (string.gsub(log, ' %d+', ' ' .. floor, 1))) "
	"end "
	"local page = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3]) "
	"for i = 1, #page[2], 2 do "
	"  local hard, soft = string.match(page[2][i + 1], '^(%d+) (%d+)$') "
	"  if hard and tonumber(hard) <= tonumber(floor) and "
	"    tonumber(soft) <= tonumber(floor) then "
	"    redis.call('HDEL', KEYS[1], page[2][i]) "
	"  end "
	"end "
	"return page[1]";

static enum result
take_cursor(void *arg, const struct redis_reply *reply)
{
	struct redis_tier *t = arg;

	if (reply->type != REDIS_STRING)
		return (R_BAD_ANSWER);
	buf_clear(&t->cursor);
	if (!bytes_equal(reply->text, BYTES("0")))
		buf_add(&t->cursor, reply->text);
	return (buf_error(&t->cursor));
}

void
redis_log_prune(struct redis_tier *t)
{
	struct redis_command c = { .prefix = t->prefix };
	int64_t now = clock_monotonic_ms();
	char age[24];

	if (t->cursor.len == 0 && now < t->prune_at_ms)
		return;
	/* Spread, so that many workers do not ask at once. */
	t->prune_at_ms = now + PRUNE_EVERY_MS / 2 +
			 (int64_t)(random_cheap() % PRUNE_EVERY_MS);
	snprintf(age, sizeof(age), "%lld",
		 (long long)(t->ttl_max_ms + REDIS_SCOPE_EXTRA_MS));
	redis_command_text(&c, BYTES("EVAL"));
	redis_command_text(&c, bytes_of(prune_script));
	redis_command_text(&c, BYTES("1"));
	redis_command_name(&c, "@log", BYTES_NONE);
	redis_command_text(&c, bytes_of(age));
	redis_command_text(&c, t->cursor.len > 0 ? buf_bytes(&t->cursor)
						 : BYTES("0"));
	redis_command_text(&c, BYTES(PRUNE_COUNT));
	if (redis_command_call(&c, t->redis, take_cursor, t) != R_OK)
		buf_clear(&t->cursor);
}
