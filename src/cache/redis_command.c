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

enum result
redis_command_send(struct redis_command *c, struct redis *redis,
		   redis_done *done, void *arg)
{
	enum result r = finish(c);

	if (r == R_OK)
		r = redis_send(redis, c->argv, c->argc, done, arg);
	redis_command_fini(c);
	return (r);
}

enum result
redis_command_call(struct redis_command *c, struct redis *redis,
		   redis_take *take, void *arg)
{
	enum result r = finish(c);

	if (r == R_OK)
		r = redis_call(redis, c->argv, c->argc, take, arg);
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
