/* SPDX-License-Identifier: MIT */
#include "redis_greeting.h"

#include <stdio.h>
#include <string.h>

static void
add(struct redis_greeting *g, enum redis_greeting_step step,
    const struct bytes *argv, unsigned argc, struct buf *to)
{
	size_t size = redis_reply_command_size(argv, argc);
	char *at = buf_reserve(to, size);

	if (at == NULL)
		return;
	redis_reply_write_command(at, argv, argc);
	to->len += size;
	g->steps[g->asked++] = step;
}

/* Ask for all that a server may refuse: a server that is loading its data,
 * or a replica without its master, answers PING with an error. */
void
redis_greeting_write(struct redis_greeting *g, const struct redis_url *url,
		     struct buf *to)
{
	const struct bytes ping = BYTES("PING");
	const struct bytes info[2] = { BYTES("INFO"), BYTES("server") };
	struct bytes auth[3] = { BYTES("AUTH") },
		     select[2] = { BYTES("SELECT") };
	unsigned argc = 1;
	char db[16];

	if (url->password != NULL) {
		if (url->user != NULL)
			auth[argc++] = bytes_of(url->user);
		auth[argc++] = bytes_of(url->password);
		add(g, REDIS_GREETING_AUTH, auth, argc, to);
	}
	if (url->db != 0) {
		snprintf(db, sizeof(db), "%u", url->db);
		select[1] = bytes_of(db);
		add(g, REDIS_GREETING_SELECT, select, 2, to);
	}
	add(g, REDIS_GREETING_PING, &ping, 1, to);
	add(g, REDIS_GREETING_INFO, info, 2, to);
}

/* Whatever else it says: then it is not known. */
static void
take_info(struct redis_greeting *g, const struct redis_reply *reply)
{
	struct bytes rest = reply->text, line;

	while (reply->type == REDIS_STRING && rest.len > 0) {
		line = bytes_cut(&rest, '\n');
		if (!bytes_starts(line, BYTES("run_id:")))
			continue;
		line = bytes_from(line, strlen("run_id:"));
		line = bytes_cut(&line, '\r');
		if (line.len >= sizeof(g->server))
			return;
		memcpy(g->server, line.at, line.len);
		g->server[line.len] = '\0';
		return;
	}
}

enum result
redis_greeting_take(struct redis_greeting *g, const struct redis_reply *reply,
		    char *problem, size_t size)
{
	static const char *const refusals[] = {
		[REDIS_GREETING_AUTH] = "login refused",
		[REDIS_GREETING_SELECT] = "SELECT refused",
		[REDIS_GREETING_PING] = "not ready",
	};
	enum redis_greeting_step step = g->steps[g->answered++];
	struct bytes text = reply->text;

	if (step == REDIS_GREETING_INFO) {
		take_info(g, reply);
		return (R_OK);
	}
	if (reply->type == REDIS_STATUS)
		return (R_OK);
	if (reply->type != REDIS_ERROR) {
		snprintf(problem, size, "not a Redis server");
		return (R_UNAVAILABLE);
	}
	/* Some servers repeat what they did not understand: with AUTH, a
	 * secret. */
	if (step == REDIS_GREETING_AUTH)
		text = bytes_cut(&text, ' ');
	snprintf(problem, size, "%s: %.*s", refusals[step],
		 (int)(text.len < 160 ? text.len : 160), text.at);
	return (R_UNAVAILABLE);
}
