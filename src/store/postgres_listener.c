/* SPDX-License-Identifier: MIT */
#include "postgres.h"

#include "postgres_link.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/log.h"

#include <stdlib.h>
#include <string.h>

struct postgres_listener {
	struct postgres_link *link;
};

void
postgres_listener_free(struct postgres_listener *l)
{
	if (l == NULL)
		return;
	postgres_link_close(l->link);
	free(l);
}

static bool
is_channel(const char *name)
{
	size_t len = strlen(name);

	/* NAMEDATALEN - 1 */
	return (len > 0 && len <= 63 &&
		strspn(name, "abcdefghijklmnopqrstuvwxyz_") == len);
}

enum result
postgres_listen(const struct postgres_options *options, const char *channel,
		struct postgres_listener **out)
{
	const struct postgres_link_target target = { options->url,
						     options->name };
	int64_t deadline_ms =
		clock_monotonic_ms() + options->connect_timeout_ms;
	struct postgres_listener *l;
	struct postgres_rows *rows = NULL;
	struct pg_result *result = NULL;
	struct buf text = { 0 };
	enum result r;

	if (!is_channel(channel))
		return (R_INVALID);
	if ((l = mem_alloc(sizeof(*l))) == NULL)
		return (R_NO_MEMORY);
	r = postgres_link_open(&target, deadline_ms, &text, &l->link);
	if (r != R_OK) {
		log_debug("postgres: cannot listen: %.*s",
			  BYTES_ARG(buf_bytes(&text)));
		goto out;
	}
	buf_clear(&text);
	buf_printf(&text, "LISTEN %s", channel);
	if ((r = buf_error(&text)) != R_OK)
		goto out;
	r = postgres_link_run(l->link, deadline_ms, text.at, NULL, &result);
	if (r != R_OK) {
		log_warn("postgres: cannot listen: %s",
			 postgres_link_problem(l->link));
		goto out;
	}
	if ((r = postgres_rows_new(result, &rows)) != R_OK)
		goto out;
	*out = l;
	l = NULL;
out:
	postgres_rows_free(rows);
	postgres_listener_free(l);
	buf_fini(&text);
	return (r);
}

enum result
postgres_wait(struct postgres_listener *l, int64_t deadline_ms, int stop_fd)
{
	return (postgres_link_wait(l->link, deadline_ms, stop_fd));
}
