/* SPDX-License-Identifier: MIT */
#ifndef PAIR_H
#define PAIR_H

#include "../harness/harness.h"

/*
 * pair: two workers side by side on a stack (stack.h), and two users, Anna and Ben, each
 * of whom has one model, whose name is "old".
 *
 *	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
 *	tcase_add_checked_fixture(t, pair_begin, pair_end);
 *
 * What is asked for is PAIR_LIST, the models of whoever logs in.
 */
#define PAIR_WORKERS 2
#define PAIR_LIST "/api/models?owner=me"

struct pair {
	struct harness_worker *workers[PAIR_WORKERS]; /* NULL at first */
	const char *anna, *ben;			      /* their logins */
	const char *annas_model;
};

extern struct pair pair;

void pair_begin(void);
void pair_end(void);

/* Start the workers in a mode, which are both of these, one or none: less than
 * PAIR_MODES. */
enum pair_mode {
	PAIR_WITHOUT_NEAR = 1, /* NEAR_CACHE */
	PAIR_WITHOUT_REDIS = 2,
	PAIR_MODES = 4,
};
void pair_start(int mode);

/* By this worker; fails the test unless it is a 200. */
struct http_response *pair_get(unsigned worker, const char *login);

/* Whether the model has this name: by this worker, by both. */
bool pair_shows(unsigned worker, const char *login, const char *name);
bool pair_both_show(const char *login, const char *name);

/* Anna's has it for both, again and again. */
void pair_assert_shows(const char *name);

bool pair_is_cached(unsigned worker, const char *login);

/* Give the model another name: Anna's by a request, which is done when it is answered; that
 * of "anna" or "ben" by SQL, which workers have to hear of. */
void pair_put(unsigned worker, const char *name);
void pair_update(const char *owner, const char *name);

/* POST /api/cache/invalidate, for an admin. */
struct http_response *pair_invalidate(unsigned worker, const char *login,
				      const char *category);

/* New processes in place of the workers: their memory is gone. */
void pair_respawn(void);

#endif
