/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rule {
	struct rule *next;
	struct plan plan;
	bool has_plan, has_version;
	unsigned version;
	char prefix[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule *rules;

static const struct {
	const char *name;
	enum mode mode;
	enum { ALONE, WITH_NUMBER, WITH_TEXT } form;
} modes[] = {
	{ "normal", MODE_NORMAL, ALONE },
	{ "refuse-reset", MODE_RESET, ALONE },
	{ "truncate", MODE_TRUNCATE, ALONE },
	{ "chunk-cut", MODE_CHUNK_CUT, ALONE },
	{ "endless", MODE_ENDLESS, ALONE },
	{ "trickle", MODE_TRICKLE, ALONE },
	{ "not-json", MODE_NOT_JSON, ALONE },
	{ "broken-json", MODE_BROKEN_JSON, ALONE },
	{ "huge:", MODE_HUGE, WITH_NUMBER },
	{ "redirect:", MODE_REDIRECT, WITH_TEXT },
	{ "hang", MODE_HANG, ALONE },
	{ "retry-after:", MODE_RETRY_AFTER, WITH_NUMBER },
};

bool
plan_parse_mode(const char *text, struct plan *to)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		size_t n = strlen(modes[i].name);
		const char *rest = text + n;
		char *end;

		if (strncmp(text, modes[i].name, n) != 0)
			continue;
		if (modes[i].form == ALONE && *rest != '\0')
			continue;
		if (modes[i].form == WITH_NUMBER) {
			to->bytes = strtoul(rest, &end, 10);
			if (end == rest || *end != '\0')
				return (false);
		}
		if (modes[i].form == WITH_TEXT) {
			if (*rest == '\0' || strlen(rest) >= sizeof(to->text))
				return (false);
			memcpy(to->text, rest, strlen(rest) + 1);
		}
		to->mode = modes[i].mode;
		return (true);
	}
	return (false);
}

bool
plan_parse_delay(const char *text, struct plan *to)
{
	unsigned from, until;
	char rest;

	if (sscanf(text, "%u-%u%c", &from, &until, &rest) == 2) {
		if (until < from)
			return (false);
	} else if (sscanf(text, "%u%c", &from, &rest) == 1) {
		until = from;
	} else {
		return (false);
	}
	to->delay_ms = from;
	to->delay_max_ms = until;
	to->has_delay = true;
	return (true);
}

/* The rule of exactly this prefix, made when absent.  With the lock held. */
static struct rule *
rule_of(const char *prefix)
{
	size_t size = strlen(prefix) + 1;
	struct rule *r;

	for (r = rules; r != NULL; r = r->next)
		if (strcmp(r->prefix, prefix) == 0)
			return (r);
	r = calloc(1, sizeof(*r) + size);
	if (r == NULL)
		abort();
	memcpy(r->prefix, prefix, size);
	r->next = rules;
	rules = r;
	return (r);
}

void
plan_set(const char *prefix, const struct plan *plan)
{
	struct rule *r;

	pthread_mutex_lock(&lock);
	r = rule_of(prefix);
	r->plan = *plan;
	r->has_plan = true;
	pthread_mutex_unlock(&lock);
}

void
plan_set_version(const char *prefix, unsigned version)
{
	struct rule *r;

	pthread_mutex_lock(&lock);
	r = rule_of(prefix);
	r->version = version;
	r->has_version = true;
	pthread_mutex_unlock(&lock);
}

void
plan_reset(void)
{
	pthread_mutex_lock(&lock);
	while (rules != NULL) {
		struct rule *r = rules;

		rules = r->next;
		free(r);
	}
	pthread_mutex_unlock(&lock);
}

struct plan
plan_take(const char *path, unsigned *version)
{
	struct plan plan = { 0 };
	struct rule *best = NULL, *best_version = NULL;
	size_t longest = 0, longest_version = 0;

	*version = 0;
	pthread_mutex_lock(&lock);
	for (struct rule *r = rules; r != NULL; r = r->next) {
		size_t n = strlen(r->prefix);

		if (strncmp(path, r->prefix, n) != 0)
			continue;
		if (r->has_plan && (best == NULL || n > longest)) {
			best = r;
			longest = n;
		}
		if (r->has_version &&
		    (best_version == NULL || n > longest_version)) {
			best_version = r;
			longest_version = n;
		}
	}
	if (best_version != NULL)
		*version = best_version->version;
	if (best != NULL) {
		plan = best->plan;
		if (best->plan.times > 0 && --best->plan.times == 0)
			best->has_plan = false;
	}
	pthread_mutex_unlock(&lock);
	return (plan);
}
