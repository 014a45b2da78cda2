/* SPDX-License-Identifier: MIT */
#include "command_migrate.h"

#include "migrate.h"

#include <stdlib.h>
#include <sysexits.h>

int
command_migrate(const struct config *c, struct postgres *pg, int argc,
		char **argv)
{
	struct buf problem = { 0 };
	enum result r;

	if (argc > 0) {
		fprintf(stderr,
			"warmfront migrate: \"%s\": it takes no arguments\n",
			argv[0]);
		return (EX_USAGE);
	}
	if (pg == NULL || !config_is_set(c, SET_DATABASE_URL)) {
		fprintf(stderr,
			"warmfront migrate: DATABASE_URL is required\n");
		return (EX_CONFIG);
	}
	r = migrate_run(pg, migrate_embedded, migrate_embedded_count, stdout,
			&problem);
	if (r != R_OK)
		fprintf(stderr, "warmfront migrate: %.*s\n",
			BYTES_ARG(buf_bytes(&problem)));
	buf_fini(&problem);
	switch (r) {
	case R_OK:
		return (EXIT_SUCCESS);
	case R_UNAVAILABLE:
	case R_TIMEOUT:
		return (EX_UNAVAILABLE);
	default:
		return (EXIT_FAILURE);
	}
}
