/* SPDX-License-Identifier: MIT */
#include "explain.h"

#include "../base/clock.h"
#include "flights.h"

static const struct tiers *
tiers_of(const struct explain *x)
{
	return (cache_tiers(x->cache));
}

void
explain_look(struct explain *x)
{
	const struct tiers *t = tiers_of(x);

	explain_fini(x);
	x->memory = memory_look(t->memory, x->key);
	x->redis_result = R_UNAVAILABLE;
	if (redis_tier_is_usable(t->redis))
		x->redis_result =
			redis_tier_inspect(t->redis, x->key, &x->redis);
	x->postgres_result =
		postgres_tier_inspect(t->pg, x->key, x->log_key, &x->postgres);
}

const struct entry *
explain_entry(const struct explain *x)
{
	if (x->memory != NULL)
		return (x->memory);
	return (x->redis.entry != NULL ? x->redis.entry : x->postgres.entry);
}

void
explain_fini(struct explain *x)
{
	entry_unref(x->memory);
	entry_unref(x->redis.entry);
	entry_unref(x->postgres.entry);
	buf_fini(&x->postgres.records);
	x->memory = x->redis.entry = x->postgres.entry = NULL;
}

/* Why a tier would not give its entry; NULL: it would. */
struct opinion {
	const char *against;
	enum verdict verdict;
};

static enum verdict
verdict_of(const struct entry *e, int64_t newest_soft)
{
	struct lifetime life = e->life;

	if (e->fence < newest_soft)
		lifetime_expire(&life, clock_wall_ms());
	return (policy_judge(&life, clock_wall_ms()));
}

static struct opinion
judge(const struct explain *x, const struct entry *e, int64_t hard,
      int64_t soft)
{
	struct opinion o = { NULL, FORGET };

	if (e == NULL) {
		o.against = "it holds nothing that can be read";
		return (o);
	}
	o.verdict = verdict_of(e, soft);
	if (o.verdict == FORGET)
		o.against = "the entry is past its grace";
	else if (e->fence < hard)
		o.against = "a record of the log is newer than the entry";
	else if (!invalidation_allows(tiers_of(x)->invalidation, e))
		o.against = "a record that this worker has read is newer than "
			    "the entry";
	return (o);
}

static struct opinion
judge_memory(const struct explain *x)
{
	const struct tiers *t = tiers_of(x);
	struct opinion o = judge(x, x->memory, 0, 0);

	if (o.against != NULL || tiers_trust_memory(t, x->memory))
		return (o);
	if (!t->near_cache && tiers_are_shared(t))
		o.against = "NEAR_CACHE is off";
	else if (redis_tier_is_usable(t->redis))
		o.against = "this worker cannot follow the log";
	else
		o.verdict = USE_STALE_AND_REFRESH; /* the best there is */
	return (o);
}

static struct opinion
judge_redis(const struct explain *x)
{
	const struct redis_tier_view *v = &x->redis;
	struct opinion o = { NULL, FORGET };

	if (tiers_of(x)->redis == NULL) {
		o.against = "it is switched off";
	} else if (x->redis_result != R_OK) {
		o.against = "it does not answer";
	} else if (!v->knows_log) {
		o.against = "it has lost its position in the log";
	} else if (!v->believed) {
		o.against = "it may lag behind the log";
	} else {
		o = judge(x, v->entry, v->hard, v->soft);
		if (o.against == NULL && v->entry->fence < v->floor)
			o.against = "the entry is older than what Redis has "
				    "been told";
	}
	return (o);
}

static struct opinion
judge_postgres(const struct explain *x)
{
	const struct postgres_tier_view *v = &x->postgres;
	struct opinion o = { "it does not answer", FORGET };

	return (x->postgres_result != R_OK
			? o
			: judge(x, v->entry, v->hard, v->soft));
}

static void
add_entry(const struct entry *e, struct buf *to)
{
	int64_t now = clock_wall_ms();

	if (e == NULL) {
		buf_str(to, "\"held\":false");
		return;
	}
	buf_printf(to,
		   "\"held\":true,\"fence\":%lld,\"age_ms\":%lld,"
		   "\"size_bytes\":%zu,\"body_bytes\":%zu,\"fresh_ms\":%lld,"
		   "\"left_ms\":%lld,\"load_ms\":%u,\"etag\":",
		   (long long)e->fence, (long long)(now - e->life.loaded_at_ms),
		   e->size_bytes, e->body.len,
		   (long long)(e->life.fresh_until_ms - now),
		   (long long)(e->life.stale_until_ms - now), e->cost_ms);
	buf_json(to, bytes_of(e->etag));
}

static void
add_opinion(struct opinion o, struct buf *to)
{
	if (o.against != NULL)
		buf_printf(to, ",\"usable\":false,\"why\":\"%s\"}", o.against);
	else
		buf_str(to, ",\"usable\":true}");
}

static void
add_tiers(const struct explain *x, struct buf *to)
{
	const struct redis_tier_view *r = &x->redis;

	buf_str(to, "\"tiers\":{\"memory\":{");
	add_entry(x->memory, to);
	add_opinion(judge_memory(x), to);
	buf_str(to, ",\"redis\":{");
	add_entry(r->entry, to);
	if (r->knows_log)
		buf_printf(to, ",\"position\":%lld,\"floor\":%lld",
			   (long long)r->position, (long long)r->floor);
	if (r->entry != NULL)
		buf_printf(to,
			   ",\"expires_ms\":%lld,\"newest_hard\":%lld,"
			   "\"newest_soft\":%lld",
			   (long long)r->left_ms, (long long)r->hard,
			   (long long)r->soft);
	add_opinion(judge_redis(x), to);
	buf_str(to, ",\"postgresql\":{");
	add_entry(x->postgres.entry, to);
	add_opinion(judge_postgres(x), to);
	buf_char(to, '}');
}

static void
add_log(const struct explain *x, struct buf *to)
{
	buf_printf(to, ",\"log\":{\"followed\":%lld",
		   (long long)invalidation_position(tiers_of(x)->invalidation));
	if (x->postgres_result == R_OK) {
		buf_printf(to, ",\"head\":%lld,\"pruned\":%lld,\"records\":",
			   (long long)x->postgres.head,
			   (long long)x->postgres.pruned);
		buf_add(to, buf_bytes(&x->postgres.records));
	}
	buf_char(to, '}');
}

static void
add_next(const struct explain *x, struct buf *to)
{
	static const char *const names[] = { "memory", "redis", "postgresql" };
	const struct opinion opinions[] = { judge_memory(x), judge_redis(x),
					    judge_postgres(x) };
	unsigned i = 0;

	buf_str(to, ",\"next\":");
	if (x->policy != NULL && x->policy->ttl_ms == 0) {
		buf_str(to, "{\"answer\":\"BYPASS\",\"refresh\":false,"
			    "\"why\":\"its category's cache is off\"}");
		return;
	}
	while (i < 3 && opinions[i].against != NULL)
		i++;
	if (i == 3) {
		buf_str(to, "{\"answer\":\"MISS\",\"refresh\":false,"
			    "\"why\":\"no tier has an entry that may be "
			    "used\"}");
		return;
	}
	buf_printf(to,
		   "{\"answer\":\"%s\",\"tier\":\"%s\",\"refresh\":%s,"
		   "\"why\":\"%s\"}",
		   opinions[i].verdict == USE_STALE_AND_REFRESH ? "STALE"
								: "HIT",
		   names[i], opinions[i].verdict == USE ? "false" : "true",
		   opinions[i].verdict == USE ? "it is fresh"
		   : opinions[i].verdict == USE_AND_REFRESH
			   ? "it is fresh, but not for long"
			   : "it is stale, but within its grace");
}

void
explain_tell(const struct explain *x, struct buf *to)
{
	buf_str(to, "{\"key\":");
	buf_json(to, x->key);
	buf_char(to, ',');
	add_tiers(x, to);
	add_log(x, to);
	add_next(x, to);
	buf_char(to, '}');
}
