/* SPDX-License-Identifier: MIT */
#include "gateways.h"

#include "base/alloc.h"

#include <stdlib.h>

#define CONNECT_TIMEOUT_MS 3000
#define GATEWAYS_MAX (PARTS_MAX - 1) /* and the catalogue of all */

static enum result
make(const struct config *c, struct bytes name, struct bytes url,
     struct gateway *out)
{
	char *name_text = mem_string(name), *url_text = mem_string(url);
	struct upstream_options options = {
		.name = name_text,
		.url = url_text,
		.api_key = config_gateway_key(c, name),
		.timeout_ms = config_int(c, SET_UPSTREAM_TIMEOUT_MS),
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.max_bytes = (size_t)config_int(c, SET_UPSTREAM_MAX_BYTES),
	};
	enum result r = R_NO_MEMORY;

	if (name_text != NULL && url_text != NULL)
		r = upstream_new(&options, &out->upstream);
	if (r == R_OK)
		out->name = upstream_name(out->upstream);
	free(name_text);
	free(url_text);
	return (r);
}

enum result
gateways_new(const struct config *c, struct gateway **out, unsigned *count,
	     struct buf *problem)
{
	struct gateway *all = mem_alloc(GATEWAYS_MAX * sizeof(*all));
	struct bytes rest = { 0 }, name, url;
	enum result r = all == NULL ? R_NO_MEMORY : R_OK;
	unsigned n = 0;

	while (r == R_OK && config_next_gateway(c, &rest, &name, &url)) {
		if (n == GATEWAYS_MAX) {
			buf_printf(
				problem,
				"MODELS_GATEWAYS names more than %d gateways",
				GATEWAYS_MAX);
			r = R_INVALID;
		} else if ((r = make(c, name, url, &all[n])) == R_OK) {
			n++;
		} else {
			/* Its URL may hold a password. */
			buf_printf(problem,
				   "MODELS_GATEWAYS: the URL of %.*s: %s",
				   BYTES_ARG(name), result_text(r));
		}
	}
	if (r != R_OK) {
		gateways_free(all, n);
		return (r);
	}
	*out = all;
	*count = n;
	return (R_OK);
}

void
gateways_free(struct gateway *gateways, unsigned count)
{
	while (count-- > 0)
		upstream_free(gateways[count].upstream);
	free(gateways);
}
