/* SPDX-License-Identifier: MIT */
/* Print the routes of all handlers, one a line: "GET /api/models". */
#include "policies.h"

#include <stdio.h>

int
main(void)
{
	const struct endpoint *e;
	unsigned i;

	for (i = 0; i < handlers_count; i++)
		for (e = handlers[i].endpoints; e->route != NULL; e++)
			puts(e->route);
	return (fflush(stdout) == 0 ? 0 : 1);
}
