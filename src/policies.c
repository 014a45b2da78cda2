/* SPDX-License-Identifier: MIT */
#include "policies.h"

#include <assert.h>
#include <string.h>

const struct handler handlers[] = {
#define HANDLER(name) { #name, name##_endpoints },
#include "../handlers/handlers.def"
#undef HANDLER
};
const unsigned handlers_count = sizeof(handlers) / sizeof(handlers[0]);

static bool
is_there(const struct config_policy *rows, const char *category)
{
	for (; rows->category != NULL; rows++)
		if (strcmp(rows->category, category) == 0)
			return (true);
	return (false);
}

void
policies_collect(struct config_policy out[static POLICIES_MAX])
{
	const struct endpoint *e;
	unsigned i, n = 0;

	out[0].category = NULL;
	for (i = 0; i < handlers_count; i++)
		for (e = handlers[i].endpoints; e->route != NULL; e++) {
			const struct policy *p = &e->policy;

			if (p->category == NULL || is_there(out, p->category))
				continue;
			assert(n < POLICIES_MAX - 1);
			out[n++] = (struct config_policy){ p->category,
							   p->ttl_ms,
							   p->refresh_ms,
							   p->grace_ms };
			out[n].category = NULL;
		}
}

enum result
policies_check_handlers(const struct config *c, struct buf *problem)
{
	struct bytes rest = bytes_of(config_string(c, SET_HANDLERS));
	struct bytes word;
	unsigned i;

	while (rest.len > 0) {
		word = bytes_trim(bytes_cut(&rest, ','));
		for (i = 0; i < handlers_count; i++)
			if (bytes_equal(word, bytes_of(handlers[i].name)))
				break;
		if (i < handlers_count || bytes_equal(word, BYTES("all")))
			continue;
		buf_printf(problem, "HANDLERS: \"%.*s\" is none of: all",
			   BYTES_ARG(word));
		for (i = 0; i < handlers_count; i++)
			buf_printf(problem, ", %s", handlers[i].name);
		return (R_INVALID);
	}
	return (R_OK);
}
