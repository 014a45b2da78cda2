/* SPDX-License-Identifier: MIT */
/*
 * warmfront: a FastCGI worker that answers JSON endpoints from a cache that survives it.
 */
#include "../handlers/handler.h"
#include "base/log.h"
#include "command_check.h"
#include "command_key.h"
#include "command_migrate.h"
#include "policies.h"
#include "serve.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static void
usage(FILE *to)
{
	fputs("usage: warmfront [serve] [-l ADDRESS]   serve on the socket that is fd 0, or on\n"
	      "                                        unix:/path or host:port\n"
	      "       warmfront check                  read the configuration, try each dependency\n"
	      "       warmfront migrate                bring DATABASE_URL's schema up to date\n"
	      "       warmfront key create --user EMAIL [--role user|admin]\n"
	      "       warmfront key list | key revoke ID\n"
	      "       warmfront --help | --version\n",
	      to);
}

static void
help(const struct config_policy *policies)
{
	usage(stdout);
	fputs("\nThe environment configures it:\n\n", stdout);
	config_print_table(stdout, CONFIG_TABLE_PLAIN, policies);
}

/* A pool for a command that is over soon; NULL when no database is named. */
static struct postgres *
connect_for_command(const struct config *c)
{
	struct postgres_options options = {
		.url = config_string(c, SET_DATABASE_URL),
		.name = "warmfront",
		.pool_size = 2,
		.connect_timeout_ms = 5000,
		.statement_timeout_ms = config_int(c, SET_DATABASE_TIMEOUT_MS),
	};

	if (!config_is_set(c, SET_DATABASE_URL))
		return (NULL);
	return (postgres_new(&options));
}

static int
run_command(const struct config *c, const char *command, int argc, char **argv)
{
	struct postgres *pg;
	int status;

	if (strcmp(command, "serve") == 0)
		return (serve(c, argc, argv));
	if (strcmp(command, "check") == 0)
		return (command_check(c, argc, argv));
	pg = connect_for_command(c);
	if (strcmp(command, "key") == 0)
		status = command_key(c, pg, argc, argv);
	else
		status = command_migrate(c, pg, argc, argv);
	postgres_free(pg);
	return (status);
}

static bool
is_command(const char *word)
{
	return (strcmp(word, "serve") == 0 || strcmp(word, "check") == 0 ||
		strcmp(word, "migrate") == 0 || strcmp(word, "key") == 0);
}

int
main(int argc, char **argv)
{
	struct config_policy policies[POLICIES_MAX];
	const char *command = "serve";
	struct buf problem = { 0 };
	struct config *c = NULL;
	int status, skip = 1;

	signal(SIGPIPE, SIG_IGN);
	policies_collect(policies);
	if (argc > 1 &&
	    (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		help(policies);
		return (fflush(stdout) == 0 ? 0 : EX_IOERR);
	}
	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		puts("warmfront " WARMFRONT_VERSION);
		return (0);
	}
	if (argc > 1 && is_command(argv[1])) {
		command = argv[1];
		skip = 2;
	} else if (argc > 1 && argv[1][0] != '-') {
		fprintf(stderr, "warmfront: unknown command \"%s\"\n", argv[1]);
		usage(stderr);
		return (EX_USAGE);
	}
	if (config_read(policies, &c, &problem) != R_OK) {
		fprintf(stderr, "warmfront: %.*s\n",
			BYTES_ARG(buf_bytes(&problem)));
		status = EX_CONFIG;
	} else {
		status = run_command(c, command, argc - skip, argv + skip);
	}
	config_free(c);
	buf_fini(&problem);
	return (status);
}
