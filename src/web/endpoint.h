/* SPDX-License-Identifier: MIT */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include "../base/buf.h"
#include "../base/bytes.h"
#include "../base/config.h"
#include "../base/result.h"
#include "../base/pool.h"
#include "../cache/health.h"
#include "../store/postgres.h"
#include "../store/upstream.h"
#include "request.h"

/*
 * endpoint: what a handler declares.  Either `load` (GET; cached under `key`) or `run`
 * (changes something, never cached), not both and not neither.
 */
enum access {
	ACCESS_PUBLIC,
	ACCESS_USER,  /* any API key */
	ACCESS_ADMIN, /* an API key of a user whose role is admin */
	ACCESS_CRON, /* CRON_SECRET as a bearer token; nobody when that is not set */
	ACCESS_SCRAPE, /* either of the last two */
};

enum param_kind {
	PARAM_TEXT, /* `min` to `max` characters; default 1 to 200 */
	PARAM_WORD, /* one of the words of `of` */
	PARAM_INT,
	PARAM_NUMBER,
	PARAM_UUID,
	PARAM_DATE, /* YYYY-MM-DD, of the years 1970 to 9999 */
	PARAM_EMAIL,
	PARAM_BOOL,   /* true or false */
	PARAM_OBJECT, /* a JSON object */
};

enum param_in { IN_QUERY, IN_PATH, IN_BODY };

struct services;

/* One parameter.  What is not named in a table is refused, so that a typo is an
 * error and not another cache key. */
struct param {
	const char *name;
	enum param_kind kind;
	enum param_in in;
	double min, max; /* inclusive: of numbers, or of the length of texts */
	bool optional;
	const char *otherwise; /* the value when absent; implies optional.
				* Of dates also "today", in UTC */
	const char *of;	       /* words, separated by spaces */

	/* Of dates in the query: the parameter that it may not be after; and, when absent,
	 * how many days there are from it to that one, both included. */
	const char *until;
	int days;

	/* Optional, for words that only the configuration knows.  Says in
	 * `accepted` what would do, when it returns false. */
	bool (*accepts)(const struct services *s, struct bytes value,
			struct buf *accepted);
};
#define PARAMS_END           \
	{                    \
		.name = NULL \
	}

/* A request's parameters: the caller's id first, then the table's, in order. */
#define VALUES_MAX 20
struct values {
	struct bytes of[VALUES_MAX]; /* `at` is NULL when absent */
	unsigned count;
};

struct served;

/* One load as a handler sees it. */
struct load {
	const struct services *services;
	const struct served *served;
	const struct values *values;
	struct cache_load *cache; /* where the answer goes */
};
typedef enum result load_fn(struct load *l);

/* The parts that a value is made of; see cache.h. */
typedef unsigned parts_fn(const struct load *l, struct cache_part *parts);

/* One mutation, on a loader thread. */
struct run {
	const struct services *services;
	const struct served *served;
	const struct values *values;
	struct buf body; /* the answer's JSON */
	struct buf
		detail; /* of a failure, for the client; the endpoint's unless set */
	int status;		  /* of success; the endpoint's unless set */
	const char *content_type; /* application/json unless set */
};
typedef enum result run_fn(struct run *r);

/* One of the statements that an answer is made of. */
struct query {
	const char *name, *sql;
};
#define QUERIES_END          \
	{                    \
		.name = NULL \
	}

/* Endpoints whose `run` is apart from loads and mutations share threads with those
 * that keep them as long, and wait for nobody else. */
enum apart {
	APART_NOT,
	APART_PROBE,  /* a moment, whatever stands still */
	APART_REPORT, /* looks at what there is: some seconds at most */
	APART_WAIT, /* waits for loads, which need the threads that those have */
	APART_COUNT_
};

struct endpoint {
	const char *route; /* "GET /api/models", "PUT /api/models/{id}" */
	const char *when;  /* "owner=me": only with this query parameter, which
			    * is none of `params` */
	enum access access;
	const struct param *params;

	/* "models:{gateway}:all": names of parameters, {params} for all of
	 * them, {user} for the caller (a must when `access` is ACCESS_USER).
	 * Values are percent-encoded where they are ASCII. */
	const char *key;
	struct policy policy; /* defaults; category names the settings */
	load_fn *load;

	/* Optional: its defaults, which ask for no user, ask for a value made
	 * of others. */
	parts_fn *parts;

	/* In the body of a PATCH at least one parameter is given; which of
	 * its absent ones mean "as it was" its SQL says. */
	run_fn *run;

	enum apart apart; /* `run` has threads that no load keeps busy */
	int status;	  /* of success; 200 unless set */
	const char *details[R_COUNT_]; /* of failures, for the client */
	const char *
		emits; /* the events it causes (events.def), separated by spaces; the
			    * database's triggers see to what follows from them */

	/* What to load before anybody asks (GET /cron/cache-warming): SQL
	 * whose rows are questions, the caller first, then the parameters as
	 * they are in keys; or WARM_DEFAULTS: the one question without a
	 * caller, all parameters at their defaults. */
	const char *warm;

	/* For load_json, run_json and load_queries: $1 is the caller, $2... the
	 * parameters, all for each statement; one row, one column of JSON. */
	const char *sql;
	const struct query *queries;
};
#define WARM_DEFAULTS ""
#define ENDPOINTS_END         \
	{                     \
		.route = NULL \
	}

/* A gateway: a named upstream. */
struct gateway {
	const char *name;
	struct upstream *upstream;
};

/* What handlers work with. */
struct services {
	const struct config *config;
	struct postgres *pg;
	struct cache *cache;
	const struct gateway *gateways;
	unsigned n_gateways;
	const struct router *router;
	struct health *health;
	struct pool *apart[APART_COUNT_]; /* APART_NOT: NULL */
};

/* An endpoint in service. */
struct served {
	const struct endpoint *endpoint;
	const struct services *services;
	enum method method;
	struct bytes path;	    /* the route's, with its {names} */
	struct bytes fixed;	    /* what stands before the first of them */
	bool by_user;		    /* {user} is in its key */
	struct policy policy;	    /* as configured */
	struct cache_source source; /* context: this struct */
	unsigned n_params;
};

/* Check an endpoint's declaration and put it in service.  `problem` names
 * what is wrong with it. */
MUST_USE enum result endpoint_serve(const struct endpoint *e,
				    const struct services *s,
				    struct served *out, struct buf *problem);

/* Put a query for `e` together: key, name in the log and arguments, into
 * bufs that the caller releases.  R_TOO_LARGE: a key over KEY_MAX_BYTES. */
MUST_USE enum result endpoint_query(const struct served *e,
				    const struct values *v, struct buf *key,
				    struct buf *log_key, struct buf *arguments);

/* The values that a query's arguments were packed from; views into them.
 * R_INVALID: they are not this endpoint's. */
MUST_USE enum result endpoint_values(const struct served *e,
				     struct bytes arguments,
				     struct values *out);

/* Fill in `part` for another endpoint of the same services with these
 * values. */
MUST_USE enum result endpoint_part(const struct served *e,
				   const struct values *v,
				   struct cache_part *part);

/* Loads and runs the endpoint's SQL.  No row: R_NOT_FOUND. */
load_fn load_json;
run_fn run_json;

/* Runs the endpoint's queries side by side: {"data":{name: JSON, ...}}. */
load_fn load_queries;

#endif
