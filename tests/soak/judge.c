/* SPDX-License-Identifier: MIT */
#include "judge.h"
#include "../harness/discreet.h"
#include "../harness/scratch.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 40 /* complaints */

/* Two loads and a lease for the caller, and for the answer. */
#define SLOWEST_MS 30000

/* From the end of an outage until all is as before.  A breaker's pause doubles from one
 * look to the next, up to 5 s for PostgreSQL; an upstream's, up to the outage's own
 * length, and who was refused just before waits for it once more. */
static const double heals_ms[SITUATIONS] = {
	[WORKER_KILLED] = 1000, [WORKER_TOLD] = 1000,	 [REDIS_AWAY] = 5000,
	[POSTGRES_AWAY] = 8000, [UPSTREAM_AWAY] = 15000,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	bool begun;
	unsigned lasting;
	double ended_ms;
} situations[SITUATIONS];
static unsigned complaints;
static double slowest_ms;
static const char *slowest = "";

void
situation_begin(enum situation s)
{
	pthread_mutex_lock(&lock);
	situations[s].begun = true;
	situations[s].lasting++;
	pthread_mutex_unlock(&lock);
}

void
situation_end(enum situation s)
{
	pthread_mutex_lock(&lock);
	situations[s].lasting--;
	situations[s].ended_ms = harness_now_ms();
	pthread_mutex_unlock(&lock);
}

bool
situation_lasts(enum situation s)
{
	bool yes;

	pthread_mutex_lock(&lock);
	yes = situations[s].lasting > 0;
	pthread_mutex_unlock(&lock);
	return (yes);
}

bool
situation_is(enum situation s, double since_ms)
{
	bool yes;

	pthread_mutex_lock(&lock);
	yes = situations[s].begun &&
	      (situations[s].lasting > 0 ||
	       situations[s].ended_ms + harness_limit_ms(heals_ms[s]) >=
		       since_ms);
	pthread_mutex_unlock(&lock);
	return (yes);
}

void
judge_complain(const char *format, ...)
{
	va_list arguments;

	pthread_mutex_lock(&lock);
	if (complaints++ < SHOWN) {
		va_start(arguments, format);
		printf("WRONG: ");
		vprintf(format, arguments);
		printf("\n");
		fflush(stdout);
		va_end(arguments);
	}
	pthread_mutex_unlock(&lock);
}

unsigned
judge_complaints(void)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = complaints;
	pthread_mutex_unlock(&lock);
	return (n);
}

double
judge_slowest(const char **what)
{
	double ms;

	pthread_mutex_lock(&lock);
	ms = slowest_ms;
	*what = slowest;
	pthread_mutex_unlock(&lock);
	return (ms);
}

static const char *
check_time(const struct wish *w, const struct answer *a)
{
	pthread_mutex_lock(&lock);
	if (a->ms > slowest_ms) {
		slowest_ms = a->ms;
		slowest = w->kind->name;
	}
	pthread_mutex_unlock(&lock);
	return (a->ms > harness_limit_ms(SLOWEST_MS)
			? "it takes longer than all deadlines"
			: NULL);
}

/* No worker has answered, or not to the end. */
static const char *
check_unanswered(const struct question *q, const struct answer *a,
		 double sent_ms)
{
	bool repeatable = strcmp(q->method, "POST") != 0 &&
			  strcmp(q->method, "PATCH") != 0;

	if (a->by_nginx && a->status != 502)
		return ("nginx answers by itself");
	if (situation_is(WORKER_KILLED, sent_ms) ||
	    (!repeatable && situation_is(WORKER_TOLD, sent_ms)))
		return (NULL);
	return ("no worker answers, and none was ended");
}

static const char *
check_refusal(const struct wish *w, const struct answer *a, double sent_ms)
{
	enum need need = w->kind->need;
	bool excused = ((need == NEEDS_POSTGRES || need == NEEDS_ALL) &&
			situation_is(POSTGRES_AWAY, sent_ms)) ||
		       ((need == NEEDS_UPSTREAM || need == NEEDS_ALL) &&
			situation_is(UPSTREAM_AWAY, sent_ms));

	if (!excused)
		return ("it is refused for no reason");
	/* A mutation's 504 is final: it may have been done. */
	if (a->retry_after < 1 &&
	    (a->status == 503 || w->kind->category != NULL))
		return ("it does not say when to come again");
	return (NULL);
}

static const char *
check_problem(const struct answer *a)
{
	if (strcmp(a->content_type, "application/problem+json") != 0)
		return ("it is no problem+json");
	if (discreet_leak(a->body, REFUSAL) != NULL)
		return ("it shows something of the inside");
	return (NULL);
}

/* What belongs to a user is marked: "owner-3". */
static bool
is_anothers(const struct wish *w, const char *body)
{
	static const char mark[] = "owner-";

	for (; (body = strstr(body, mark)) != NULL; body++)
		if ((unsigned)atoi(body + strlen(mark)) != w->user)
			return (true);
	return (false);
}

static const char *
check_content(const struct wish *w, const struct question *q,
	      const struct answer *a)
{
	bool cached = w->kind->category != NULL;
	bool text = strncmp(a->content_type, "text/plain", 10) == 0;

	if (cached && (a->etag[0] == '\0' || a->cache[0] == '\0'))
		return ("it has no ETag or no X-Cache");
	if (a->status == 304 || strcmp(q->method, "HEAD") == 0)
		return (a->body_len > 0 ? "it has a body" : NULL);
	if (!text && (a->body_len < 2 || a->body[0] != '{' ||
		      a->body[a->body_len - 1] != '}'))
		return ("it is no JSON object");
	if (!cached && strcmp(q->method, "GET") == 0 &&
	    discreet_leak(a->body, REPORT) != NULL)
		return ("it shows something of the inside");
	if (w->kind->login == USER && is_anothers(w, a->body))
		return ("it is another user's");
	return (NULL);
}

static bool
is_of_its_kind(const struct wish *w, const struct question *q, int status)
{
	if (status == 304)
		return (q->if_none_match != NULL);
	for (unsigned i = 0; i < sizeof(w->kind->ok) / sizeof(w->kind->ok[0]);
	     i++)
		if (status == w->kind->ok[i])
			return (true);
	return (false);
}

static const char *
find_fault(const struct wish *w, const struct question *q,
	   const struct answer *a, double sent_ms)
{
	const char *wrong = check_time(w, a);

	if (wrong != NULL)
		return (wrong);
	if (a->status == 0 || a->by_nginx)
		return (check_unanswered(q, a, sent_ms));
	if (a->status >= 400 && strcmp(q->method, "HEAD") != 0)
		wrong = check_problem(a);
	if (wrong != NULL)
		return (wrong);
	if (is_of_its_kind(w, q, a->status))
		return (a->status < 400 ? check_content(w, q, a) : NULL);
	if (a->status == 502 || a->status == 503 || a->status == 504)
		return (check_refusal(w, a, sent_ms));
	return ("that is no answer to it");
}

void
judge(const struct wish *w, const struct question *q, const struct answer *a,
      double sent_ms)
{
	const char *wrong = find_fault(w, q, a, sent_ms);

	if (wrong != NULL)
		judge_complain("%s: at %.3f s, %s %.200s: %d%s%s, %.0f ms, "
			       "Retry-After %d, X-Cache %s: %.150s",
			       wrong, sent_ms / 1e3, q->method, q->path,
			       a->status, a->by_nginx ? " by nginx " : " ",
			       a->error != NULL ? a->error : "", a->ms,
			       a->retry_after, a->cache, a->body);
}
