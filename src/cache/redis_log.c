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

/*
 * KEYS: @log, then a name for each record.  ARGV: from, to, life of a scope, then
 * "position soft" for each record; last the time and a token.  Returns the position that is known
 * now, or the token of a Redis that has lost its own: what was read before that was
 * seen may be older than what Redis has been told and forgotten.
 */
static const char push_script[] = REDIS_TIER_GET
	"local from, to = tonumber(ARGV[1]), tonumber(ARGV[2]) "
	"local log = get(KEYS[1]) "
	"if not log or log == '' then "
	"  log = '?' .. ARGV[#ARGV] "
	"  redis.call('SET', KEYS[1], log) "
	"end "
	"local at, floor = string.match(log, '^(%d+) (%d+) %d+$') "
	"if not at then return log end "
	"if tonumber(at) < from then return tonumber(at) end "
	"for i = 2, #KEYS do "
	"  local position, is_soft = string.match(ARGV[i + 2], '(%d+) (%d)') "
	"  local old = get(KEYS[i]) or '0 0' "
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
		*told->knows = REDIS_LOG_BLANK;
		return (buf_error(&told->tier->token));
	}
	if (reply->type != REDIS_INTEGER)
		return (R_BAD_ANSWER);
	*told->knows = reply->integer;
	return (R_OK);
}

enum result
redis_log_push(struct redis_tier *t, int64_t from, int64_t to,
	       const struct redis_log_record *records, unsigned count,
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
		const int64_t numbers[] = {
			from, to, t->ttl_max_ms + REDIS_SCOPE_EXTRA_MS
		};

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
