/* SPDX-License-Identifier: MIT */
#include "command_check.h"

#include "base/clock.h"
#include "base/log.h"
#include "gateways.h"
#include "migrate.h"
#include "policies.h"
#include "store/postgres.h"
#include "store/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* One line; counts what is not well. */
static int
report(const char *what, enum result r, int64_t began_ms, const char *more)
{
	if (r == R_OK)
		printf("%-24s ok (%lld ms)%s\n", what,
		       (long long)(clock_monotonic_ms() - began_ms), more);
	else
		printf("%-24s FAILED: %s%s\n", what, result_text(r), more);
	return (r == R_OK ? 0 : 1);
}

/* The same, when there is a line that says more; ends the problem. */
static int
report_problem(const char *what, enum result r, struct buf *problem)
{
	if (r != R_OK)
		printf("%-24s FAILED: %.*s\n", what,
		       BYTES_ARG(buf_bytes(problem)));
	buf_fini(problem);
	return (r == R_OK ? 0 : 1);
}

static int
check_setting(const struct config *c, enum setting s)
{
	struct buf problem = { 0 };
	enum result r = config_require(c, s, &problem);

	return (report_problem("configuration", r, &problem));
}

static int
check_handlers(const struct config *c)
{
	struct buf problem = { 0 };
	enum result r = policies_check_handlers(c, &problem);

	return (report_problem("configuration", r, &problem));
}

/* A file that we make would be ours, not the workers'. */
static int
check_log(const struct config *c)
{
	const char *target = config_string(c, SET_LOG_TARGET);
	const char *path = strchr(target, '/');
	bool is_new = path != NULL && access(path, F_OK) != 0;
	struct buf problem = { 0 };
	enum result r = log_open(target, LOG_LEVEL_INFO);

	if (r == R_OK) {
		log_close();
		if (is_new)
			(void)unlink(path);
	} else {
		buf_printf(&problem, "LOG_TARGET: cannot write to %s", target);
	}
	return (report_problem("configuration", r, &problem));
}

/* R_NOT_FOUND: there is no schema; R_FORBIDDEN: not for this role. */
static enum result
check_role(struct postgres *pg, char *more, size_t size)
{
	struct postgres_rows *rows;
	enum result r =
		postgres_query(pg, 0,
			       "SELECT current_user, has_table_privilege("
			       "to_regclass('schema_migrations'), 'SELECT')",
			       NULL, 0, &rows);

	if (r != R_OK)
		return (r);
	if (postgres_is_null(rows, 0, 1)) {
		r = R_NOT_FOUND;
	} else if (!bytes_equal(postgres_get(rows, 0, 1), BYTES("t"))) {
		r = R_FORBIDDEN;
		snprintf(more, size,
			 ": the role %.*s is not in warmfront_worker",
			 BYTES_ARG(postgres_get(rows, 0, 0)));
	}
	postgres_rows_free(rows);
	return (r);
}

static enum result
check_schema(struct postgres *pg, char *more, size_t size)
{
	const struct migration *newest =
		&migrate_embedded[migrate_embedded_count - 1];
	struct postgres_rows *rows;
	enum result r = check_role(pg, more, size);

	if (r == R_OK)
		r = postgres_query(pg, 0,
				   "SELECT max(version) FROM schema_migrations",
				   NULL, 0, &rows);
	if (r == R_OK) {
		if (postgres_get_int(rows, 0, 0) < newest->version)
			r = R_NOT_FOUND;
		postgres_rows_free(rows);
	}
	if (r == R_NOT_FOUND)
		snprintf(
			more, size,
			": the schema is not up to date, run: warmfront migrate");
	return (r);
}

static int
check_postgres(const struct config *c, const char *what, enum setting url)
{
	const struct postgres_options options = {
		.url = config_string(c, url),
		.name = "warmfront check",
		.pool_size = 1,
		.connect_timeout_ms = 5000,
		.statement_timeout_ms = 5000,
	};
	int64_t began_ms = clock_monotonic_ms();
	struct postgres *pg = postgres_new(&options);
	char more[160] = "";
	enum result r = R_NO_MEMORY;

	if (pg != NULL)
		r = check_schema(pg, more, sizeof(more));
	postgres_free(pg);
	return (report(what, r, began_ms, more));
}

static int
check_redis(const struct config *c)
{
	const struct bytes ping = BYTES("PING");
	struct redis_options options = {
		.url = config_redis_url(c),
		.timeout_ms = 1000,
		.connect_timeout_ms = 3000,
		.queue_limit = 10,
	};
	int64_t began_ms = clock_monotonic_ms();
	struct redis *redis = NULL;
	enum result r;

	if (options.url == NULL) {
		printf("%-24s off (DISABLE_REDIS_CACHE)\n", "redis");
		return (0);
	}
	if ((r = redis_new(&options, &redis)) == R_OK)
		r = redis_call(redis, &ping, 1, NULL, NULL);
	redis_free(redis);
	return (report("redis", r, began_ms, ""));
}

static int
check_gateways(const struct config *c)
{
	struct gateway *gateways = NULL;
	struct upstream_answer answer;
	struct buf problem = { 0 };
	int64_t began_ms;
	int failed = 0;
	unsigned i, count = 0;
	char what[64];
	enum result r = gateways_new(c, &gateways, &count, &problem);

	failed += report_problem("gateways", r, &problem);
	for (i = 0; i < count; i++) {
		answer = (struct upstream_answer){ 0 };
		began_ms = clock_monotonic_ms();
		snprintf(what, sizeof(what), "gateway %s", gateways[i].name);
		r = upstream_get(gateways[i].upstream, BYTES_NONE,
				 began_ms +
					 config_int(c, SET_UPSTREAM_TIMEOUT_MS),
				 &answer);
		upstream_answer_fini(&answer);
		failed += report(what, r, began_ms, "");
	}
	if (r == R_OK && count == 0)
		printf("%-24s none (MODELS_GATEWAYS)\n", "gateways");
	gateways_free(gateways, count);
	return (failed);
}

int
command_check(const struct config *c, int argc, char **argv)
{
	int failed = 0;

	if (argc > 0) {
		fprintf(stderr, "warmfront check: unknown argument \"%s\"\n",
			argv[0]);
		return (EX_USAGE);
	}
	failed += check_setting(c, SET_CACHE_KEY_SECRET);
	failed += check_handlers(c);
	failed += check_log(c);
	if (check_setting(c, SET_DATABASE_URL))
		failed++;
	else
		failed += check_postgres(c, "postgresql", SET_DATABASE_URL);
	if (config_is_set(c, SET_DATABASE_LISTEN_URL))
		failed += check_postgres(c, "postgresql (listen)",
					 SET_DATABASE_LISTEN_URL);
	failed += check_redis(c);
	failed += check_gateways(c);
	return (failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}
