/* SPDX-License-Identifier: MIT */
#include "auth.h"

#include "../base/alloc.h"
#include "../base/digest.h"
#include "../base/json.h"
#include "api_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct auth {
	struct postgres *pg;
	struct cache_source source;
};

/* Long grace: a database that is away locks nobody out, and cannot revoke
 * either. */
static const struct policy policy = {
	.category = "auth",
	.ttl_ms = MINUTES(10),
	.refresh_ms = MINUTES(2),
	.grace_ms = DAYS(1),
};

static enum result
load(void *context, struct cache_load *l)
{
	static const char sql[] =
		"SELECT json_build_object('user', u.id, 'role', u.role, "
		"'hash', encode(k.secret_hash, 'hex')) "
		"FROM api_keys k JOIN users u ON u.id = k.user_id "
		"WHERE k.id = $1 AND k.revoked_at IS NULL";
	const struct auth *a = context;
	struct postgres_value id = postgres_text(l->arguments);
	struct postgres_rows *rows;
	enum result r = postgres_query(a->pg,
				       postgres_deadline(a->pg, l->deadline_ms),
				       sql, &id, 1, &rows);

	if (r != R_OK)
		return (r);
	if (postgres_count(rows) == 0)
		r = R_NOT_FOUND;
	else
		buf_add(&l->body, postgres_get(rows, 0, 0));
	postgres_rows_free(rows);
	return (r);
}

struct auth *
auth_new(struct postgres *pg)
{
	struct auth *a = mem_alloc(sizeof(*a));

	if (a != NULL)
		*a = (struct auth){ pg, { .load = load, .context = a } };
	return (a);
}

void
auth_free(struct auth *a)
{
	free(a);
}

/* The key that a request brings, in either header. */
static struct bytes
credentials(const struct request *rq)
{
	struct bytes scheme, rest = rq->authorization;

	if (rest.len == 0)
		return (bytes_trim(rq->api_key));
	scheme = bytes_cut(&rest, ' ');
	if (!bytes_equal_nocase(scheme, BYTES("Bearer")))
		return (BYTES("?")); /* there is something, but no key */
	return (bytes_trim(rest));
}

bool
auth_brings_secret(const struct request *rq, struct bytes secret)
{
	struct bytes rest = rq->authorization;
	struct bytes scheme = bytes_cut(&rest, ' ');

	return (secret.len > 0 && bytes_equal_nocase(scheme, BYTES("Bearer")) &&
		bytes_equal_constant_time(bytes_trim(rest), secret));
}

enum result
auth_claim(const struct auth *a, const struct request *rq, struct claim *claim)
{
	struct bytes text = credentials(rq), id, secret;

	if (text.len == 0)
		return (R_NOT_FOUND);
	if (!api_key_parse(text, &id, &secret))
		return (R_INVALID);
	api_key_hash(secret, claim->hash);
	snprintf(claim->key, sizeof(claim->key), "auth:%.*s", BYTES_ARG(id));
	claim->query = (struct cache_query){
		.key = bytes_of(claim->key),
		.log_key = bytes_of(claim->key),
		.arguments = { claim->key + 5, id.len },
		.policy = &policy,
		.source = &a->source,
	};
	return (R_OK);
}

/* A member's string without its quotes; ours need no unescaping. */
static struct bytes
text_of(const struct entry *e, struct bytes name)
{
	struct bytes raw = json_member(e->body, name);

	if (raw.len < 2 || raw.at[0] != '"')
		return (BYTES_NONE);
	return ((struct bytes){ raw.at + 1, raw.len - 2 });
}

enum result
auth_verify(const struct claim *claim, const struct entry *e,
	    struct identity *who)
{
	struct bytes user = text_of(e, BYTES("user"));
	char hash[2 * sizeof(claim->hash) + 1];

	hex_encode((struct bytes){ (const char *)claim->hash,
				   sizeof(claim->hash) },
		   hash);
	if (!bytes_equal_constant_time(bytes_of(hash),
				       text_of(e, BYTES("hash"))) ||
	    !bytes_is_uuid(user))
		return (R_FORBIDDEN);
	memcpy(who->user_id, user.at, user.len);
	who->user_id[user.len] = '\0';
	who->role = bytes_equal(text_of(e, BYTES("role")), BYTES("admin"))
			    ? ROLE_ADMIN
			    : ROLE_USER;
	return (R_OK);
}
