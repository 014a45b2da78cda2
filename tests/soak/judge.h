/* SPDX-License-Identifier: MIT */
#ifndef JUDGE_H
#define JUDGE_H

#include "client.h"
#include "mix.h"

#include <stdbool.h>

/*
 * judge: is an answer one that the situation allows?
 *
 *	a worker killed		nginx may say 502, or break an answer off
 *	a worker told to end	the same, but only for what may not be asked twice: nginx
 *				may have sent it into a connection that was just closed
 *	Redis away		nothing: nobody may notice
 *	PostgreSQL away		503, 504 or 502 for what needs it
 *	an upstream away	the same for its catalogue
 *
 * and only while it lasts, or until it has healed.  Any other answer than those of the
 * kind of question is complained of; 500 always.  Any thread.
 */
enum situation {
	WORKER_KILLED,
	WORKER_TOLD,
	REDIS_AWAY,
	POSTGRES_AWAY,
	UPSTREAM_AWAY,
	SITUATIONS,
};

void situation_begin(enum situation s);
void situation_end(enum situation s);

bool situation_lasts(enum situation s);

/* Does it last, or did it at `since_ms`, its healing included? */
bool situation_is(enum situation s, double since_ms);

/* Complain of what is wrong with an answer, if anything. */
void judge(const struct wish *w, const struct question *q,
	   const struct answer *a, double sent_ms);

/* Something else is wrong.  The first ones are printed, all are counted. */
void judge_complain(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

unsigned judge_complaints(void);

/* The longest that any answer has taken, and what it was to. */
double judge_slowest(const char **what);

#endif
