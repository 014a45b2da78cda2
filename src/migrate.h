/* SPDX-License-Identifier: MIT */
#ifndef MIGRATE_H
#define MIGRATE_H

#include "base/buf.h"
#include "base/result.h"
#include "store/postgres.h"

#include <stddef.h>
#include <stdio.h>

/*
 * migrate: brings a database's schema up to date.
 *
 * Each migration runs once, in order, in one transaction with its row in
 * schema_migrations.  Hosts that migrate at once wait for each other there, so any
 * number may.  Works behind a PgBouncer that pools transactions.
 *
 * A migration's text must run inside a transaction, and never changes once it has been
 * applied somewhere: the next change is a new file.  Its search_path is the schema and, at
 * the end, pg_temp.
 */
struct migration {
	int version;	  /* over 0, rising */
	const char *name; /* "0001_users" */
	const unsigned char *text;
	size_t len;
};

/* Those of sql/, put into the program by src/embed-sql.sh. */
extern const struct migration migrate_embedded[];
extern const unsigned migrate_embedded_count;

/* Apply what `pg` lacks of `all`; a line to `progress` for each, and one
 * when there is nothing to do.  On failure `problem` says what stopped it;
 * what was applied stays. R_CONFLICT: a migration was changed after it had
 * been applied. */
MUST_USE enum result migrate_run(struct postgres *pg,
				 const struct migration *all, unsigned count,
				 FILE *progress, struct buf *problem);

#endif
