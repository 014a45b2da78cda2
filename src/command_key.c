/* SPDX-License-Identifier: MIT */
#include "command_key.h"

#include "base/bytes.h"
#include "web/api_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static const char usage[] =
	"usage: warmfront key create --user EMAIL [--role user|admin]\n"
	"       warmfront key list\n"
	"       warmfront key revoke ID\n";

/* Without $2 a new user is a user, and one who is there keeps the role. */
static const char create_sql[] =
	"WITH holder AS ("
	"  INSERT INTO users AS u (email, role) VALUES ($1, coalesce($2, 'user'))"
	"  ON CONFLICT (lower(email)) DO UPDATE"
	"  SET role = coalesce($2, u.role), updated_at = now()"
	"  RETURNING id) "
	"INSERT INTO api_keys (id, user_id, secret_hash) SELECT $3, id, $4 FROM holder";

static const char list_sql[] =
	"SELECT k.id, u.email, u.role,"
	"  to_char(k.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
	"  to_char(k.revoked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "
	"FROM api_keys k JOIN users u ON u.id = k.user_id "
	"ORDER BY k.created_at, k.id";

static const char revoke_sql[] =
	"UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) "
	"WHERE id = $1 RETURNING id";

static int
misused(const char *complaint)
{
	fprintf(stderr, "warmfront key: %s\n%s", complaint, usage);
	return (EX_USAGE);
}

static int
failed(enum result r)
{
	switch (r) {
	case R_UNAVAILABLE:
	case R_TIMEOUT:
		fprintf(stderr,
			"warmfront key: the database cannot be reached: %s\n",
			result_text(r));
		return (EX_UNAVAILABLE);
	case R_FORBIDDEN:
		fprintf(stderr,
			"warmfront key: the role in DATABASE_URL may not do this; "
			"the owner of the database may\n");
		return (EXIT_FAILURE);
	default:
		fprintf(stderr,
			"warmfront key: %s (has `warmfront migrate` been run?)\n",
			result_text(r));
		return (EXIT_FAILURE);
	}
}

struct create_options {
	const char *user, *role; /* role NULL: not given */
};

/* "--user EMAIL" or "--user=EMAIL". */
static const char *
option_value(const char *name, int argc, char **argv, int *i)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len) != 0)
		return (NULL);
	if (argv[*i][len] == '=')
		return (argv[*i] + len + 1);
	if (argv[*i][len] != '\0' || *i + 1 >= argc)
		return (NULL);
	return (argv[++*i]);
}

static int
parse_create(int argc, char **argv, struct create_options *o)
{
	const char *value;

	for (int i = 0; i < argc; i++) {
		if ((value = option_value("--user", argc, argv, &i)) != NULL)
			o->user = value;
		else if ((value = option_value("--role", argc, argv, &i)) !=
			 NULL)
			o->role = value;
		else
			return (misused(
				"create takes --user EMAIL and --role user|admin"));
	}
	if (o->user == NULL)
		return (misused("--user EMAIL is missing"));
	if (o->role != NULL && strcmp(o->role, "user") != 0 &&
	    strcmp(o->role, "admin") != 0)
		return (misused("--role is user or admin"));
	return (EXIT_SUCCESS);
}

static int
create_key(struct postgres *pg, int argc, char **argv)
{
	unsigned char hash[SHA256_BYTES];
	char key[API_KEY_LEN + 1];
	struct create_options o = { 0 };
	struct bytes id, secret;
	enum result r;
	int status;

	if ((status = parse_create(argc, argv, &o)) != EXIT_SUCCESS)
		return (status);
	api_key_make(key);
	if (!api_key_parse(bytes_of(key), &id, &secret))
		abort();
	api_key_hash(secret, hash);
	r = postgres_run(pg, 0, create_sql,
			 (const struct postgres_value[]){
				 { bytes_of(o.user), PG_TEXT },
				 { bytes_of(o.role),
				   o.role != NULL ? PG_TEXT : PG_NULL },
				 { id, PG_TEXT },
				 { { (const char *)hash, sizeof(hash) },
				   PG_BYTEA } },
			 4);
	if (r == R_INVALID)
		status = misused(
			"--user must be an e-mail address of at most 254 letters");
	else if (r != R_OK)
		status = failed(r);
	else if (puts(key) == EOF || fflush(stdout) == EOF) {
		fprintf(stderr,
			"warmfront key: cannot write the key; revoke %.*s\n",
			BYTES_ARG(id));
		status = EX_IOERR;
	}
	explicit_bzero(key, sizeof(key));
	return (status);
}

static int
list_keys(struct postgres *pg, int argc)
{
	static const char form[] = "%-16s  %-5s  %-20s  %-20s  %s\n";
	struct postgres_rows *rows;
	enum result r;

	if (argc > 0)
		return (misused("list takes no arguments"));
	if ((r = postgres_query(pg, 0, list_sql, NULL, 0, &rows)) != R_OK)
		return (failed(r));
	printf(form, "ID", "ROLE", "CREATED", "REVOKED", "USER");
	for (unsigned i = 0; i < postgres_count(rows); i++)
		printf(form, postgres_get(rows, i, 0).at,
		       postgres_get(rows, i, 2).at, postgres_get(rows, i, 3).at,
		       postgres_is_null(rows, i, 4)
			       ? "-"
			       : postgres_get(rows, i, 4).at,
		       postgres_get(rows, i, 1).at);
	postgres_rows_free(rows);
	return (fflush(stdout) == EOF ? EX_IOERR : EXIT_SUCCESS);
}

static int
revoke_key(struct postgres *pg, int argc, char **argv)
{
	struct postgres_rows *rows;
	bool found;
	enum result r;

	/* A whole key given by mistake is a secret, so what was given is not shown. */
	if (argc != 1 || !api_key_is_id(bytes_of(argv[0])))
		return (misused(
			"revoke takes a key's ID, 16 hexadecimal digits, "
			"as `key list` shows it"));
	r = postgres_query(pg, 0, revoke_sql,
			   &(const struct postgres_value){ bytes_of(argv[0]),
							   PG_TEXT },
			   1, &rows);
	if (r != R_OK)
		return (failed(r));
	found = postgres_count(rows) == 1;
	postgres_rows_free(rows);
	if (!found) {
		fprintf(stderr, "warmfront key: there is no key %s\n", argv[0]);
		return (EXIT_FAILURE);
	}
	return (EXIT_SUCCESS);
}

int
command_key(const struct config *c, struct postgres *pg, int argc, char **argv)
{
	bool has_database = pg != NULL && config_is_set(c, SET_DATABASE_URL);

	if (argc < 1)
		return (misused("create, list or revoke?"));
	if (strcmp(argv[0], "create") != 0 && strcmp(argv[0], "list") != 0 &&
	    strcmp(argv[0], "revoke") != 0)
		return (misused("it knows create, list and revoke"));
	if (!has_database) {
		fprintf(stderr, "warmfront key: DATABASE_URL is required\n");
		return (EX_CONFIG);
	}
	if (strcmp(argv[0], "create") == 0)
		return (create_key(pg, argc - 1, argv + 1));
	if (strcmp(argv[0], "list") == 0)
		return (list_keys(pg, argc - 1));
	return (revoke_key(pg, argc - 1, argv + 1));
}
