/* SPDX-License-Identifier: MIT */
#include "tally.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 200
#define GROWTH 1.08 /* of one bucket to the next; the first ends at FIRST_MS */
#define FIRST_MS 0.05

static const int statuses[] = { 0,   200, 201, 304, 400, 401, 403, 404,
				405, 409, 413, 415, 500, 502, 503, 504 };
#define STATUSES (sizeof(statuses) / sizeof(statuses[0]))
#define BY_NGINX STATUSES /* its 502 */
#define OTHER (STATUSES + 1)

static const char *const classes[] = { "1xx", "2xx", "3xx", "4xx", "5xx" };
#define CLASSES 5
static const char *const categories[] = { "models",	 "user_data",
					  "admin_users", "usage_costs",
					  "servers",	 "analytics" };
#define CATEGORIES 6
static const struct {
	const char *word, *series;
} outcomes[] = { { "HIT", "hits" },
		 { "STALE", "stale" },
		 { "MISS", "misses" },
		 { "BYPASS", "bypasses" } };
#define OUTCOMES 4
_Static_assert(CLASSES + CATEGORIES * OUTCOMES == TALLY_SERIES, "the series");

const char *const tally_phases[PHASES] = { "warm-up", "calm", "storm",
					   "after" };

static atomic_long series[TALLY_SERIES], answers[DEPLOYMENT_WORKERS], unsure;
static atomic_long by_kind[MIX_MAX][STATUSES + 2];
static atomic_long times[PHASES][BUCKETS], refused[PHASES], bytes[PHASES];

static void
add(atomic_long *to, long n)
{
	atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static unsigned
place_of(const struct answer *a)
{
	unsigned i = 0;

	if (a->by_nginx)
		return (BY_NGINX);
	while (i < STATUSES && statuses[i] != a->status)
		i++;
	return (i < STATUSES ? i : OTHER);
}

static unsigned
bucket_of(double ms)
{
	double end = FIRST_MS;
	unsigned i = 0;

	for (; ms > end && i < BUCKETS - 1; i++)
		end *= GROWTH;
	return (i);
}

/* A series' number, from its category and outcome. */
static unsigned
cached_series(unsigned category, unsigned outcome)
{
	return (CLASSES + category * OUTCOMES + outcome);
}

static void
add_cached(const char *category, const char *outcome)
{
	for (unsigned c = 0; c < CATEGORIES; c++)
		for (unsigned o = 0; o < OUTCOMES; o++)
			if (strcmp(categories[c], category) == 0 &&
			    strcmp(outcomes[o].word, outcome) == 0)
				add(&series[cached_series(c, o)], 1);
}

void
tally_add_plain(const struct answer *a)
{
	bool whole = a->status >= 100 && a->status < 600 && !a->by_nginx;

	if (a->tries > 1)
		add(&unsure, a->tries - 1);
	if (!whole) {
		add(&unsure, 1);
		return;
	}
	add(&series[a->status / 100 - 1], 1);
	if (a->worker >= 0 && a->worker < DEPLOYMENT_WORKERS)
		add(&answers[a->worker], 1);
}

void
tally_add_probe(unsigned worker)
{
	tally_add_plain(
		&(struct answer){ .status = 404, .worker = (int)worker });
}

void
tally_add(const struct wish *w, const struct answer *a, enum phase phase)
{
	add(&by_kind[w->kind - mix_kinds][place_of(a)], 1);
	add(&times[phase][bucket_of(a->ms)], 1);
	add(&bytes[phase], (long)a->bytes);
	if (a->status == 0 || a->status >= 500)
		add(&refused[phase], 1);
	tally_add_plain(a);
	if (w->kind->category != NULL && a->cache[0] != '\0' && a->status != 0)
		add_cached(w->kind->category, a->cache);
}

void
tally_read(struct tally_sums *to)
{
	for (unsigned i = 0; i < TALLY_SERIES; i++)
		to->of[i] = atomic_load(&series[i]);
	for (unsigned i = 0; i < DEPLOYMENT_WORKERS; i++)
		to->answers[i] = atomic_load(&answers[i]);
	to->unsure = atomic_load(&unsure);
}

/* The sum of a family's samples that have a label. */
static long
sum_of(const char *metrics, const char *family, const char *label)
{
	size_t len = strlen(family);
	long sum = 0;

	for (const char *line = metrics; line != NULL && *line != '\0';) {
		const char *end = strchr(line, '\n');
		const char *has = strstr(line, label);
		const char *close = strstr(line, "} ");

		if (end == NULL)
			break;
		if (strncmp(line, family, len) == 0 && line[len] == '{' &&
		    has != NULL && has < end && close != NULL && close < end)
			sum += strtol(close + 2, NULL, 10);
		line = end + 1;
	}
	return (sum);
}

void
tally_parse(const char *metrics, struct tally_sums *to)
{
	char family[80], label[80];

	*to = (struct tally_sums){ 0 };
	for (unsigned i = 0; i < CLASSES; i++) {
		snprintf(label, sizeof(label), "code=\"%s\"", classes[i]);
		to->of[i] = sum_of(metrics, "warmfront_http_responses_total",
				   label);
	}
	for (unsigned c = 0; c < CATEGORIES; c++)
		for (unsigned o = 0; o < OUTCOMES; o++) {
			snprintf(family, sizeof(family),
				 "warmfront_cache_%s_total",
				 outcomes[o].series);
			snprintf(label, sizeof(label), "category=\"%s\"",
				 categories[c]);
			to->of[cached_series(c, o)] =
				sum_of(metrics, family, label);
		}
}

static const char *
series_name(unsigned i, char *room, size_t max)
{
	if (i < CLASSES)
		snprintf(room, max, "responses %s", classes[i]);
	else
		snprintf(room, max, "%s %s",
			 categories[(i - CLASSES) / OUTCOMES],
			 outcomes[(i - CLASSES) % OUTCOMES].series);
	return (room);
}

bool
tally_agrees(const struct tally_sums seen[2],
	     const struct tally_sums counted[2], long lost)
{
	long more = seen[1].unsure - seen[0].unsure;
	bool agrees = true, within;
	char room[64];

	for (unsigned i = 0; i < TALLY_SERIES; i++) {
		long s = seen[1].of[i] - seen[0].of[i];
		long c = counted[1].of[i] - counted[0].of[i];

		if (s == 0 && c == 0)
			continue;
		within = c >= s - lost && c <= s + more;
		agrees = agrees && within;
		if (s != c || !within)
			printf("  %-22s seen %8ld  counted %8ld  (%+ld)%s\n",
			       series_name(i, room, sizeof(room)), s, c, c - s,
			       within ? "" : "  WRONG");
	}
	printf("  answers seen, by worker:");
	for (unsigned i = 0; i < DEPLOYMENT_WORKERS; i++)
		printf(" %ld", seen[1].answers[i] - seen[0].answers[i]);
	printf("; counted may be %ld less, %ld more\n", lost, more);
	return (agrees);
}

static double
percentile(enum phase phase, double share)
{
	long all = 0, sum = 0;
	double end = FIRST_MS;

	for (unsigned i = 0; i < BUCKETS; i++)
		all += times[phase][i];
	for (unsigned i = 0; i < BUCKETS - 1; i++, end *= GROWTH)
		if ((double)(sum += times[phase][i]) >= share * (double)all)
			break;
	return (end);
}

long
tally_answers(enum phase phase, long *of_these)
{
	long all = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		all += atomic_load(&times[phase][i]);
	*of_these = atomic_load(&refused[phase]);
	return (all);
}

/* One name's line: all kinds that share it. */
static void
report_name(unsigned first, unsigned end)
{
	long sum;

	printf("  %-30s", mix_kinds[first].name);
	for (unsigned s = 0; s < STATUSES + 2; s++) {
		sum = 0;
		for (unsigned k = first; k < end; k++)
			sum += by_kind[k][s];
		if (sum == 0)
			continue;
		if (s == 0)
			printf(" broken off: %ld", sum);
		else if (s == BY_NGINX)
			printf(" 502 by nginx: %ld", sum);
		else if (s == OTHER)
			printf(" other: %ld", sum);
		else
			printf(" %d: %ld", statuses[s], sum);
	}
	printf("\n");
}

void
tally_report(void)
{
	unsigned k = 0, end;
	long all, bad;

	for (; k < mix_count; k = end) {
		for (end = k + 1; end < mix_count; end++)
			if (strcmp(mix_kinds[end].name, mix_kinds[k].name) != 0)
				break;
		report_name(k, end);
	}
	for (enum phase p = 0; p < PHASES; p++) {
		all = tally_answers(p, &bad);
		printf("%s: %ld requests, %ld without an answer of use, "
		       "%.1f MB, p50 %.2f ms, p99 %.2f ms\n",
		       tally_phases[p], all, bad, (double)bytes[p] / 1e6,
		       percentile(p, 0.5), percentile(p, 0.99));
	}
}
