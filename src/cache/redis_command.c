/* SPDX-License-Identifier: MIT */
#include "redis_command.h"

#include <string.h>

void
redis_command_text(struct redis_command *c, struct bytes text)
{
	c->starts[c->argc] = SIZE_MAX;
	c->argv[c->argc++] = text;
}

void
redis_command_name(struct redis_command *c, const char *kind, struct bytes name)
{
	size_t start = c->names.len;

	buf_str(&c->names, c->prefix);
	buf_str(&c->names, kind);
	buf_add(&c->names, name);
	c->starts[c->argc] = start;
	c->argv[c->argc++].len = c->names.len - start;
}

bool
redis_command_scopes(struct redis_command *c, struct bytes key)
{
	size_t start = c->names.len;
	unsigned n = scope_list(key, &c->names);
	struct bytes rest = bytes_from(buf_bytes(&c->names), start);

	if (buf_error(&c->names) != R_OK)
		return (false);
	for (unsigned i = 0; i < n; i++) {
		c->starts[c->argc] = (size_t)(rest.at - c->names.at);
		c->argv[c->argc++].len = bytes_cut(&rest, '\0').len;
	}
	return (n > 0);
}

void
redis_command_next(struct redis_command *c, redis_done *first)
{
	c->split = c->argc;
	c->first = first;
}

/* The names' places are known once the buffer has stopped growing. */
static enum result
finish(struct redis_command *c)
{
	unsigned i;

	if (buf_error(&c->names) != R_OK)
		return (buf_error(&c->names));
	for (i = 0; i < c->argc; i++)
		if (c->starts[i] != SIZE_MAX)
			c->argv[i].at = c->names.at + c->starts[i];
	return (R_OK);
}

static struct redis_pair
pair_of(const struct redis_command *c, void *arg)
{
	unsigned first = c->first != NULL ? c->split : c->argc;

	return ((struct redis_pair){
		c->argv, { first, c->argc - first }, c->first, arg });
}

enum result
redis_command_send(struct redis_command *c, struct redis *redis,
		   redis_done *done, void *arg)
{
	const struct redis_pair pair = pair_of(c, arg);
	enum result r = finish(c);

	if (r == R_OK)
		r = redis_send_pair(redis, &pair, done);
	redis_command_fini(c);
	return (r);
}

enum result
redis_command_call(struct redis_command *c, struct redis *redis,
		   redis_take *take, void *arg)
{
	const struct redis_pair pair = pair_of(c, arg);
	enum result r = finish(c);

	if (r == R_OK)
		r = redis_call_pair(redis, &pair, take);
	redis_command_fini(c);
	return (r);
}

void
redis_command_fini(struct redis_command *c)
{
	buf_fini(&c->names);
}

enum result
redis_command_flag(void *arg, const struct redis_reply *reply)
{
	(void)arg;
	if (reply->type != REDIS_INTEGER)
		return (R_BAD_ANSWER);
	if (reply->integer < 0)
		return (R_UNAVAILABLE);
	return (reply->integer == 1 ? R_OK : R_CONFLICT);
}
