/* SPDX-License-Identifier: MIT */
/*
 * health: can this worker answer?
 *
 *	GET /api/health/cache	200 while it can, 503 when it cannot
 *
 * "ok": all tiers are there.  "degraded": some are not, and answers come all the same, from
 * those that are, from memory or from the gateways.  "down": there is nowhere to take one from.
 */
#include "handler.h"

static const char *const breaker_words[] = { "closed", "open", "half-open" };

static void
add_tier(struct buf *to, const char *name, const struct health_tier *t)
{
	static const char *const states[] = { "up", "down", "off" };

	buf_printf(to, "\"%s\":{\"state\":\"%s\"", name, states[t->state]);
	if (t->state == HEALTH_OFF)
		return;
	buf_printf(to, ",\"latency_ms\":%.3f", (double)t->took_us / 1000);
	if (t->state == HEALTH_DOWN)
		buf_printf(to, ",\"error\":\"%s\"", result_text(t->result));
}

static void
add_breaker(struct buf *to, const struct health_tier *t)
{
	if (t->state != HEALTH_OFF)
		buf_printf(to, ",\"breaker\":\"%s\"",
			   breaker_words[t->breaker]);
	buf_char(to, '}');
}

/* Appends the gateways; is there one that may be asked? */
static bool
add_gateways(struct buf *to, const struct services *s)
{
	enum breaker_state state;
	bool any = false;
	unsigned i;

	buf_str(to, ",\"gateways\":{");
	for (i = 0; i < s->n_gateways; i++) {
		state = upstream_state(s->gateways[i].upstream);
		any = any || state != BREAKER_OPEN;
		if (i > 0)
			buf_char(to, ',');
		buf_json(to, bytes_of(s->gateways[i].name));
		buf_printf(to, ":{\"breaker\":\"%s\"}", breaker_words[state]);
	}
	buf_char(to, '}');
	return (any);
}

static void
add_log(struct buf *to, const struct health_report *h)
{
	buf_printf(to, ",\"log\":{\"position\":%lld,\"current\":%s",
		   (long long)h->position, h->current ? "true" : "false");
	if (h->head >= 0)
		buf_printf(to, ",\"head\":%lld,\"behind\":%lld",
			   (long long)h->head,
			   (long long)(h->head > h->position
					       ? h->head - h->position
					       : 0));
	buf_char(to, '}');
}

static enum result
run_health(struct run *r)
{
	struct buf details = { 0 };
	struct health_report h;
	bool whole, any;

	health_look(r->services->health, &h);
	add_tier(&details, "memory", &h.memory);
	buf_printf(&details, ",\"entries\":%zu,\"bytes\":%zu},",
		   h.memory_entries, h.memory_bytes);
	add_tier(&details, "redis", &h.redis);
	add_breaker(&details, &h.redis);
	buf_char(&details, ',');
	add_tier(&details, "postgres", &h.postgres);
	add_breaker(&details, &h.postgres);
	buf_char(&details, '}');
	add_log(&details, &h);
	any = add_gateways(&details, r->services);
	whole = h.redis.state != HEALTH_DOWN && h.postgres.state == HEALTH_UP;
	any = any || h.postgres.state == HEALTH_UP ||
	      h.redis.state == HEALTH_UP || h.memory_entries > 0;
	buf_printf(&r->body, "{\"data\":{\"status\":\"%s\",\"tiers\":{",
		   whole ? "ok"
		   : any ? "degraded"
			 : "down");
	buf_add(&r->body, buf_bytes(&details));
	buf_str(&r->body, "}}");
	r->status = any ? 200 : 503;
	buf_fini(&details);
	return (R_OK);
}

const struct endpoint health_endpoints[] = {
	{
		.route = "GET /api/health/cache",
		.access = ACCESS_PUBLIC,
		.run = run_health,
		.apart = APART_PROBE,
	},
	ENDPOINTS_END,
};
