/* SPDX-License-Identifier: MIT */
#include "storm.h"
#include "../harness/harness.h"
#include "../harness/random.h"
#include "footprint.h"
#include "gusts.h"
#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRAPE_EVERY_MS 500
#define REPORT_EVERY_MS 30000
#define PRUNE_EVERY_MS 20000
#define GRUDGE_MS 3000 /* for so long a failed load may be answered with */

/* Somebody else's view. */

/* Is any worker's breaker open, or half open? */
static bool
any_breaker_is_open(const char *metrics)
{
	static const char family[] = "\nwarmfront_breaker_workers{";
	const char *end;

	for (; (metrics = strstr(metrics, family)) != NULL; metrics = end) {
		end = strstr(metrics, "} ");
		if (end == NULL)
			break;
		if (memmem(metrics, (size_t)(end - metrics), "state=\"closed\"",
			   14) == NULL &&
		    end[2] != '0')
			return (true);
	}
	return (false);
}

static void
scrape(struct storm *s)
{
	static const struct question metrics = {
		.method = "GET",
		.path = "/metrics",
		.login = "Authorization: Bearer " HARNESS_CRON_SECRET,
	};
	struct tally_sums seen;
	const struct answer *a;
	const char *workers;

	tally_read(&seen);
	a = client_ask(s->scraper, &metrics);
	tally_add_plain(a);
	s->next_scrape_ms = harness_now_ms() + SCRAPE_EVERY_MS;
	if (a->status != 200) {
		judge_complain("/metrics: %d", a->status);
		return;
	}
	if (strstr(a->body, "\nwarmfront_metrics_whole 1\n") == NULL ||
	    strstr(a->body, "\nwarmfront_metrics_current 1\n") == NULL)
		return;
	s->seen = seen;
	tally_parse(a->body, &s->counted);
	s->broken = any_breaker_is_open(a->body);
	workers = strstr(a->body, "\nwarmfront_workers ");
	s->workers = workers != NULL ? (unsigned)atoi(workers + 19) : 0;
}

static void
report(struct storm *s)
{
	long refused, all = tally_answers(s->phase, &refused);
	struct footprint f = { 0 };

	footprint_take(&f);
	printf("%s: %ld requests, %ld without an answer of use; RSS",
	       tally_phases[s->phase], all, refused);
	for (unsigned i = 0; i < DEPLOYMENT_WORKERS; i++)
		printf(" %.1f", (double)f.rss_kib[i] / 1024);
	printf(" MiB; %u + %u connections, %.2f MB stored\n", f.postgres,
	       f.redis, (double)footprint_stored_bytes() / 1e6);
	fflush(stdout);
	s->next_report_ms = harness_now_ms() + REPORT_EVERY_MS;
}

/* Uses come and never go, and analytics looks at all of them. */
static void
prune(struct storm *s)
{
	harness_sql(stack.owner_url,
		    "DELETE FROM usage_events "
		    "WHERE occurred_at < now() - interval '1 minute'");
	s->next_pruning_ms = harness_now_ms() + PRUNE_EVERY_MS;
}

void
storm_watch(struct storm *s, double ms)
{
	double until = harness_now_ms() + ms;

	while (harness_now_ms() < until) {
		harness_nap();
		if (harness_now_ms() >= s->next_scrape_ms)
			scrape(s);
		/* Only while servers answer. */
		if (situation_lasts(POSTGRES_AWAY) ||
		    situation_lasts(REDIS_AWAY))
			continue;
		if (harness_now_ms() >= s->next_report_ms)
			report(s);
		if (harness_now_ms() >= s->next_pruning_ms)
			prune(s);
	}
}

void
storm_catch_up(struct storm *s)
{
	double until = harness_now_ms() + harness_limit_ms(30000);

	for (s->workers = 0; s->workers != DEPLOYMENT_WORKERS;) {
		if (harness_now_ms() > until)
			ck_abort_msg("%u workers in the metrics, not %d",
				     s->workers, DEPLOYMENT_WORKERS);
		harness_nap();
		scrape(s);
	}
}

void
storm_heal(struct storm *s)
{
	double until = harness_now_ms() + harness_limit_ms(30000);

	for (s->broken = true; s->broken && harness_now_ms() < until;)
		storm_watch(s, 100);
	if (s->broken)
		judge_complain("a breaker is still open");
	storm_watch(s, GRUDGE_MS);
}

static unsigned times[GUSTS_MAX];

static void
begin(struct storm *s, const struct gust *g)
{
	times[g - gusts]++;
	situation_begin(g->situation);
	g->begin(s);
}

static void
end(struct storm *s, const struct gust *g)
{
	g->end(s);
	situation_end(g->situation);
}

/* Do both befall the same? */
static bool
are_of_a_kind(const struct gust *a, const struct gust *b)
{
	return (a->situation == b->situation ||
		(a->situation <= WORKER_TOLD && b->situation <= WORKER_TOLD));
}

/* Two at once, one time in four; never two of a kind. */
void
storm_blow(struct storm *s)
{
	const struct gust *one = &gusts[random_below(&s->random, gusts_count)];
	const struct gust *other =
		&gusts[random_below(&s->random, gusts_count)];
	bool both = random_below(&s->random, 4) == 0 &&
		    !are_of_a_kind(one, other);
	unsigned pause_ms = random_below(&s->random, one->most_ms);

	begin(s, one);
	if (both)
		begin(s, other);
	storm_watch(s, pause_ms);
	end(s, one);
	if (both)
		end(s, other);
}

void
storm_report(const struct storm *s)
{
	for (unsigned i = 0; i < gusts_count; i++) {
		unsigned sum = times[i];

		while (i + 1 < gusts_count &&
		       strcmp(gusts[i].name, gusts[i + 1].name) == 0)
			sum += times[++i];
		printf("  %-22s %u\n", gusts[i].name, sum);
	}
	printf("  the killed may have taken the counts of %ld answers along\n",
	       s->lost);
}
