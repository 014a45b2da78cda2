/* SPDX-License-Identifier: MIT */
#ifndef MIX_H
#define MIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * mix: what the clients ask for: every endpoint of deploy/openapi.yaml, in all its ways,
 * and what is no good.  All is drawn from a sequence of random numbers; only the ids of
 * what clients made are as they came.  Any thread.
 */
enum login { NOBODY, USER, ADMIN, CRON, FORGED };

/* What an answer needs that may be away. */
enum need { NEEDS_NOTHING, NEEDS_POSTGRES, NEEDS_UPSTREAM, NEEDS_ALL };

/* Whose new id an answer tells. */
enum teaching { TEACHES_NOTHING, TEACHES_MODEL, TEACHES_GUEST };

struct kind {
	unsigned weight;
	const char *name; /* in the report; those of one name stand together */
	const char *method; /* of a GET, some will be HEAD */
	const char *path;   /* with {words} to be filled in */
	const char *body;   /* likewise; or NULL */
	enum login login;
	const char *category; /* of a cached answer; or NULL */
	enum need need;
	int ok[3]; /* whenever all is well */
	enum teaching teaching;
	const char *content_type; /* NULL: application/json */
};

#define MIX_MAX 64
extern const struct kind mix_kinds[];
extern const unsigned mix_count;

#define MIX_USERS 8
#define MIX_SERVERS 3 /* of each */

/* The same for all clients, before the first question. */
struct mix_user {
	char login[128]; /* a header line */
	char id[37], servers[MIX_SERVERS][37];
};
extern struct mix_user mix_users[MIX_USERS];
extern char mix_admin[128], mix_cron[128];

/* One question. */
struct wish {
	const struct kind *kind;
	unsigned user, slot; /* who asks; whose id is to be learnt */
	const char *login;
	char path[1024];
	char body[80000];
};

void mix_draw(uint64_t *random, struct wish *to);

/* What the wish was for has been made: its id. */
void mix_learn(const struct wish *w, const char *body);

#endif
