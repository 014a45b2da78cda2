/* SPDX-License-Identifier: MIT */
#include "migrate.h"

#include "base/clock.h"
#include "base/digest.h"

#include <inttypes.h>

#define DEADLINE_MS ((int64_t)10 * 60 * 1000)

/* Held to the end of a migration's transaction.  An arbitrary number of our own. */
#define TAKE_LOCK "SELECT pg_advisory_xact_lock(8602276908652650350);\n"

/* What SET search_path FROM CURRENT gives to functions: without its name, the schema of
 * temporary tables, which anyone may fill, is the first.  To the end of the transaction. */
#define SET_PATH                                                          \
	"SELECT set_config('search_path', quote_ident(current_schema()) " \
	"|| ', pg_temp', true);\n"

#define CREATE_LIST                                        \
	TAKE_LOCK                                          \
	"CREATE TABLE IF NOT EXISTS schema_migrations (\n" \
	"	version integer PRIMARY KEY,\n"                  \
	"	name text NOT NULL,\n"                           \
	"	sha256 text NOT NULL,\n"                         \
	"	applied_at timestamptz NOT NULL DEFAULT now()\n" \
	");\n"

static struct bytes
text_of(const struct migration *m)
{
	return ((struct bytes){ (const char *)m->text, m->len });
}

static void
hash_of(const struct migration *m, char hex[static 2 * SHA256_BYTES + 1])
{
	unsigned char hash[SHA256_BYTES];

	sha256(text_of(m), hash);
	hex_encode((struct bytes){ (const char *)hash, sizeof(hash) }, hex);
}

static enum result
explain(struct buf *problem, enum result r, const char *doing)
{
	buf_printf(problem, "%s: %s", doing, result_text(r));
	return (r);
}

static enum result
create_list(struct postgres *pg, struct buf *problem)
{
	struct postgres_rows *rows;
	bool exists;
	enum result r;

	/* Asked first: who may not create tables may still find that there is
	 * nothing to do. */
	r = postgres_query(
		pg, 0, "SELECT to_regclass('schema_migrations') IS NOT NULL",
		NULL, 0, &rows);
	if (r != R_OK)
		return (explain(problem, r, "cannot ask the database"));
	exists = bytes_equal(postgres_get(rows, 0, 0), BYTES("t"));
	postgres_rows_free(rows);
	if (exists)
		return (R_OK);
	return (postgres_script(pg, clock_monotonic_ms() + DEADLINE_MS,
				CREATE_LIST, problem));
}

/* Is it applied?  R_OK: yes; R_NOT_FOUND: not yet; R_CONFLICT: another text was. */
static enum result
look_up(struct postgres *pg, const struct migration *m, struct buf *problem)
{
	char version[16], ours[2 * SHA256_BYTES + 1];
	struct postgres_value value = { .kind = PG_TEXT };
	struct postgres_rows *rows;
	enum result r;

	snprintf(version, sizeof(version), "%d", m->version);
	value.text = bytes_of(version);
	r = postgres_query(pg, 0,
			   "SELECT sha256 FROM schema_migrations "
			   "WHERE version = $1::integer",
			   &value, 1, &rows);
	if (r != R_OK)
		return (explain(problem, r, "cannot read schema_migrations"));
	hash_of(m, ours);
	if (postgres_count(rows) == 0)
		r = R_NOT_FOUND;
	else if (!bytes_equal(postgres_get(rows, 0, 0), bytes_of(ours))) {
		r = R_CONFLICT;
		buf_printf(problem, "%s was changed after it had been applied",
			   m->name);
	}
	postgres_rows_free(rows);
	return (r);
}

/* One string, so one implicit transaction.  The list's primary key stops whoever waited
 * for the lock while another host did this. */
static enum result
apply(struct postgres *pg, const struct migration *m, struct buf *problem)
{
	char hash[2 * SHA256_BYTES + 1];
	struct buf script = { 0 };
	enum result r;

	hash_of(m, hash);
	buf_printf(&script,
		   TAKE_LOCK SET_PATH
		   "INSERT INTO schema_migrations (version, name, sha256) "
		   "VALUES (%d, '%s', '%s');\n",
		   m->version, m->name, hash);
	buf_add(&script, text_of(m));
	if ((r = buf_error(&script)) == R_OK)
		r = postgres_script(pg, clock_monotonic_ms() + DEADLINE_MS,
				    script.at, problem);
	buf_fini(&script);
	return (r);
}

static enum result
bring(struct postgres *pg, const struct migration *m, FILE *progress,
      struct buf *problem)
{
	int64_t began_ms = clock_monotonic_ms();
	struct buf failure = { 0 }, ignored = { 0 };
	enum result r;

	if ((r = look_up(pg, m, problem)) != R_NOT_FOUND)
		return (r);
	r = apply(pg, m, &failure);
	if (r == R_OK)
		fprintf(progress, "applied %s (%" PRId64 " ms)\n", m->name,
			clock_monotonic_ms() - began_ms);
	else if (look_up(pg, m, &ignored) == R_OK)
		r = R_OK; /* another host was first */
	else
		buf_printf(problem, "%s: %.*s", m->name,
			   BYTES_ARG(failure.len > 0
					     ? buf_bytes(&failure)
					     : bytes_of(result_text(r))));
	fflush(progress);
	buf_fini(&ignored);
	buf_fini(&failure);
	return (r);
}

enum result
migrate_run(struct postgres *pg, const struct migration *all, unsigned count,
	    FILE *progress, struct buf *problem)
{
	enum result r;

	if ((r = create_list(pg, problem)) != R_OK)
		return (r);
	for (unsigned i = 0; i < count; i++) {
		if ((r = bring(pg, &all[i], progress, problem)) != R_OK)
			return (r);
	}
	fprintf(progress, "up to date (%u migrations)\n", count);
	return (R_OK);
}
