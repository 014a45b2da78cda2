/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "cache/scope.h"
#include "web/params.h"

#include <stdlib.h>
#include <string.h>

/*
 * fuzz_params: three lines, query, last part of the path and body, against tables
 * that have every kind of parameter.  Whatever is refused, is with a message; whatever is
 * accepted makes a key of the template's form, one that the same values make again.
 */
#define UUID "00000000-0000-4000-8000-000000000001"
#define MANY .min = 0, .max = 100, .optional = true

static const struct param in_url[] = {
	{ "t", PARAM_TEXT, MANY },
	{ "w", PARAM_WORD, .of = "one two", .otherwise = "one" },
	{ "i", PARAM_INT, .min = -1e6, .max = 1e6, .optional = true },
	{ "n", PARAM_NUMBER, .min = -1e9, .max = 1e9, .optional = true },
	{ "u", PARAM_UUID, .optional = true },
	{ "o", PARAM_OBJECT, .optional = true },
	{ "f", PARAM_DATE, .optional = true, .until = "d", .days = 30 },
	{ "d", PARAM_DATE, .otherwise = "today" },
	{ "p", PARAM_TEXT, .in = IN_PATH, .min = 1, .max = 50 },
	PARAMS_END,
};
static const struct param in_body[] = {
	{ "t", PARAM_TEXT, .in = IN_BODY, MANY },
	{ "w", PARAM_WORD, .in = IN_BODY, .of = "one two", .otherwise = "one" },
	{ "i", PARAM_INT, .in = IN_BODY, .min = -1e6, .max = 1e6,
	  .optional = true },
	{ "n", PARAM_NUMBER, .in = IN_BODY, .min = -1e9, .max = 1e9,
	  .optional = true },
	{ "u", PARAM_UUID, .in = IN_BODY, .otherwise = UUID },
	{ "o", PARAM_OBJECT, .in = IN_BODY, .optional = true },
	PARAMS_END,
};
#define N_URL 9
#define N_BODY 6

static enum result
load(struct load *l)
{
	(void)l;
	return (R_INTERNAL);
}

static enum result
run(struct run *r)
{
	(void)r;
	return (R_INTERNAL);
}

static const struct endpoint cached = {
	.route = "GET /x/{p}",
	.params = in_url,
	.key = "things:{params}:end",
	.policy = { "x", 1, 1, 1 },
	.load = load,
};
static const struct endpoint changing = {
	.route = "POST /x",
	.params = in_body,
	.run = run,
};

static struct services services;
static struct served get, post;

static void
prepare(void)
{
	static const struct config_policy none[] = { { NULL, 0, 0, 0 } };
	static struct config *config;
	struct buf problem = { 0 };

	if (config != NULL)
		return;
	(void)clearenv();
	FUZZ_MUST(config_read(none, &config, &problem) == R_OK);
	services.config = config;
	FUZZ_MUST(endpoint_serve(&cached, &services, &get, &problem) == R_OK);
	FUZZ_MUST(endpoint_serve(&changing, &services, &post, &problem) ==
		  R_OK);
	buf_fini(&problem);
}

/* Nothing that a value brings ends its part of the key, or matches more. */
static void
check_key(struct bytes key)
{
	struct bytes rest = key;
	unsigned parts = 0;

	FUZZ_MUST(bytes_starts(key, BYTES("things:")));
	FUZZ_MUST(bytes_ends(key, BYTES(":end")));
	FUZZ_MUST(bytes_is_utf8(key));
	for (size_t i = 0; i < key.len; i++)
		FUZZ_MUST((unsigned char)key.at[i] >= 0x80 ||
			  memchr("-._~%:", key.at[i], 6) != NULL ||
			  (key.at[i] >= '0' && key.at[i] <= '9') ||
			  ((key.at[i] | 0x20) >= 'a' &&
			   (key.at[i] | 0x20) <= 'z'));
	for (; rest.len > 0; parts++)
		(void)bytes_cut(&rest, ':');
	FUZZ_MUST(parts == N_URL + 2);
}

static void
check_values(const struct served *e, const struct values *v)
{
	FUZZ_MUST(v->count == e->n_params + 1);
	for (unsigned i = 1; i < v->count; i++) {
		const struct param *p = &e->endpoint->params[i - 1];

		if (v->of[i].at == NULL)
			FUZZ_MUST(p->optional);
		else
			FUZZ_MUST(bytes_is_utf8(v->of[i]));
	}
}

/* The key of a query, or R_INVALID. */
static enum result
make_key(struct bytes query, struct bytes path, struct arena *arena,
	 struct values *v, struct buf *key)
{
	const struct request rq = { .path = path, .query = query };
	struct buf problem = { 0 }, log_key = { 0 }, arguments = { 0 };
	enum result r = params_from_url(&get, &rq, arena, v, &problem);

	FUZZ_MUST(r == R_OK ||
		  (r == R_INVALID && problem.len > 0 && problem.len < 1000));
	if (r == R_OK) {
		check_values(&get, v);
		r = endpoint_query(&get, v, key, &log_key, &arguments);
		FUZZ_MUST(r == R_OK || r == R_TOO_LARGE);
		FUZZ_MUST(bytes_equal(buf_bytes(key), buf_bytes(&log_key)));
	}
	buf_fini(&problem);
	buf_fini(&log_key);
	buf_fini(&arguments);
	return (r);
}

/* What was understood, asked again in its canonical form, is the same question. */
static void
ask_again(const struct values *v, struct bytes key)
{
	struct buf query = { 0 }, path = { 0 }, again = { 0 };
	struct arena arena = { 0 };
	struct values same = { .count = 0 };

	for (unsigned i = 0; i < N_URL - 1; i++) {
		if (v->of[i + 1].at == NULL)
			continue;
		buf_printf(&query, "%s=", in_url[i].name);
		buf_percent(&query, v->of[i + 1]);
		buf_char(&query, '&');
	}
	buf_str(&path, "/x/");
	buf_percent(&path, v->of[N_URL]);
	FUZZ_MUST(make_key(buf_bytes(&query), buf_bytes(&path), &arena, &same,
			   &again) == R_OK);
	FUZZ_MUST(bytes_equal(buf_bytes(&again), key));
	buf_fini(&query);
	buf_fini(&path);
	buf_fini(&again);
	arena_fini(&arena);
}

static void
try_url(struct bytes query, struct bytes part)
{
	struct buf path = { 0 }, key = { 0 };
	struct arena arena = { 0 };
	struct values v = { .count = 0 };

	buf_str(&path, "/x/");
	buf_add(&path, part);
	if (make_key(query, buf_bytes(&path), &arena, &v, &key) == R_OK) {
		check_key(buf_bytes(&key));
		ask_again(&v, buf_bytes(&key));
	}
	buf_fini(&path);
	buf_fini(&key);
	arena_fini(&arena);
}

static void
try_body(struct bytes body)
{
	const struct request rq = { .path = BYTES("/x") };
	struct arena arena = { 0 };
	struct buf problem = { 0 };
	struct values v = { .count = 0 };
	enum result r;

	r = params_from_url(&post, &rq, &arena, &v, &problem);
	FUZZ_MUST(r == R_OK);
	r = params_from_body(&post, body, &arena, &v, &problem);
	if (r == R_OK)
		check_values(&post, &v);
	else
		FUZZ_MUST(r == R_INVALID && problem.len > 0 &&
			  problem.len < 1000);
	FUZZ_MUST(post.n_params == N_BODY);
	buf_fini(&problem);
	arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = { (const char *)data, size }, query, part;

	prepare();
	query = bytes_cut(&rest, '\n');
	part = bytes_cut(&rest, '\n');
	try_url(query, part);
	try_body(rest);
	return (0);
}
