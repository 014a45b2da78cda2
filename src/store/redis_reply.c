/* SPDX-License-Identifier: MIT */
#include "redis_reply.h"

#include "../base/alloc.h"

#include <assert.h>
#include <hiredis/read.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH_BYTES ((size_t)64 * 1024)
#define ITEMS_MAX (1 << 20)
#define REPLY_MAX_BYTES ((size_t)512 * 1024 * 1024) /* as Redis itself */
#define SPARE_BYTES ((size_t)256 * 1024)

/* A piece too large for the scratch memory. */
struct block {
	struct block *next;
	alignas(max_align_t) char at[];
};

struct redis_reader {
	redisReader *hiredis;
	bool absurd;	/* an array of more items than anybody asked for */
	bool delivered; /* the memory below is a reply that was handed out */
	size_t used;	/* of the scratch */
	struct block *large;
	alignas(max_align_t) char scratch[SCRATCH_BYTES];
};

static size_t
digits(size_t n)
{
	size_t count = 1;

	for (; n >= 10; n /= 10)
		count++;
	return (count);
}

size_t
redis_reply_command_size(const struct bytes *argv, unsigned argc)
{
	size_t size = 1 + digits(argc) + 2;

	for (unsigned i = 0; i < argc; i++)
		size += 1 + digits(argv[i].len) + 2 + argv[i].len + 2;
	return (size);
}

static char *
write_length(char *to, char kind, size_t n)
{
	size_t width = digits(n);

	*to++ = kind;
	for (size_t i = width; i-- > 0; n /= 10)
		to[i] = (char)('0' + n % 10);
	to += width;
	*to++ = '\r';
	*to++ = '\n';
	return (to);
}

void
redis_reply_write_command(char *to, const struct bytes *argv, unsigned argc)
{
	to = write_length(to, '*', argc);
	for (unsigned i = 0; i < argc; i++) {
		to = write_length(to, '$', argv[i].len);
		memcpy(to, argv[i].at, argv[i].len);
		to += argv[i].len;
		*to++ = '\r';
		*to++ = '\n';
	}
}

static void *
reader_alloc(struct redis_reader *r, size_t size)
{
	const size_t unit = alignof(max_align_t);
	struct block *b;
	void *at;

	size = (size + unit - 1) / unit * unit;
	if (size <= SCRATCH_BYTES - r->used) {
		at = r->scratch + r->used;
		r->used += size;
		return (at);
	}
	b = mem_grow(NULL, sizeof(*b) + size);
	if (b == NULL)
		return (NULL);
	b->next = r->large;
	r->large = b;
	return (b->at);
}

static void
release_reply(struct redis_reader *r)
{
	while (r->large != NULL) {
		struct block *b = r->large;

		r->large = b->next;
		free(b);
	}
	r->used = 0;
	r->delivered = false;
}

/* Where the item that `task` stands for goes: into its array, or a place of
 * its own. */
static struct redis_reply *
place(const redisReadTask *task, enum redis_type type)
{
	struct redis_reply *at;

	if (task->parent != NULL) {
		struct redis_reply *array = task->parent->obj;
		/* Const for those who read it; we made it and still fill it. */
		uintptr_t items = (uintptr_t)array->items;

		assert(task->idx >= 0 && (unsigned)task->idx < array->count);
		at = (struct redis_reply *)items + task->idx;
	} else {
		at = reader_alloc(task->privdata, sizeof(*at));
	}
	if (at != NULL)
		*at = (struct redis_reply){ .type = type, .text = BYTES_NONE };
	return (at);
}

static void *
create_string(const redisReadTask *task, char *from, size_t len)
{
	enum redis_type type = task->type == REDIS_REPLY_STATUS	 ? REDIS_STATUS
			       : task->type == REDIS_REPLY_ERROR ? REDIS_ERROR
								 : REDIS_STRING;
	struct redis_reply *reply = place(task, type);
	char *copy;

	if (reply == NULL)
		return (NULL);
	copy = reader_alloc(task->privdata, len + 1);
	if (copy == NULL)
		return (NULL);
	memcpy(copy, from, len);
	copy[len] = '\0';
	reply->text = (struct bytes){ copy, len };
	return (reply);
}

static void *
create_array(const redisReadTask *task, int count)
{
	struct redis_reader *r = task->privdata;
	struct redis_reply *reply = place(task, REDIS_ARRAY);
	struct redis_reply *items;

	if (reply == NULL)
		return (NULL);
	r->absurd = count < 0 || count > ITEMS_MAX;
	if (r->absurd)
		return (NULL);
	items = reader_alloc(r, (size_t)count * sizeof(*items));
	if (items == NULL)
		return (NULL);
	reply->items = items;
	reply->count = (unsigned)count;
	return (reply);
}

static void *
create_integer(const redisReadTask *task, long long value)
{
	struct redis_reply *reply = place(task, REDIS_INTEGER);

	if (reply != NULL)
		reply->integer = value;
	return (reply);
}

static void *
create_nil(const redisReadTask *task)
{
	return (place(task, REDIS_NIL));
}

/* A reply's memory goes all at once, in release_reply(). */
static void
free_object(void *reply)
{
	(void)reply;
}

static redisReplyObjectFunctions functions = {
	.createString = create_string,
	.createArray = create_array,
	.createInteger = create_integer,
	.createNil = create_nil,
	.freeObject = free_object,
};

static enum result
start_hiredis(struct redis_reader *r)
{
	r->hiredis = redisReaderCreateWithFunctions(&functions);
	if (r->hiredis == NULL)
		return (R_NO_MEMORY);
	r->hiredis->privdata = r;
	r->hiredis->maxbuf = SPARE_BYTES;
	return (R_OK);
}

struct redis_reader *
redis_reader_new(void)
{
	struct redis_reader *r = mem_alloc(sizeof(*r));

	if (r == NULL)
		return (NULL);
	if (start_hiredis(r) != R_OK) {
		free(r);
		return (NULL);
	}
	return (r);
}

void
redis_reader_free(struct redis_reader *r)
{
	if (r == NULL)
		return;
	release_reply(r);
	if (r->hiredis != NULL)
		redisReaderFree(r->hiredis);
	free(r);
}

static enum result
failure(const struct redis_reader *r)
{
	return (r->hiredis->err == REDIS_ERR_OOM && !r->absurd ? R_NO_MEMORY
							       : R_BAD_ANSWER);
}

enum result
redis_reader_feed(struct redis_reader *r, struct bytes more)
{
	if (r->hiredis == NULL)
		return (R_NO_MEMORY);
	if (r->hiredis->len > REPLY_MAX_BYTES)
		return (R_BAD_ANSWER);
	if (redisReaderFeed(r->hiredis, more.at, more.len) == REDIS_OK)
		return (R_OK);
	return (failure(r));
}

/* hiredis keeps its buffer at the size of the largest reply: give that back. */
static enum result
shrink(struct redis_reader *r)
{
	redisReaderFree(r->hiredis);
	return (start_hiredis(r));
}

enum result
redis_reader_next(struct redis_reader *r, const struct redis_reply **reply)
{
	void *object = NULL;

	*reply = NULL;
	if (r->delivered) {
		bool large = r->large != NULL;

		release_reply(r);
		if (large && r->hiredis->len == r->hiredis->pos &&
		    shrink(r) != R_OK)
			return (R_NO_MEMORY);
	}
	if (redisReaderGetReply(r->hiredis, &object) != REDIS_OK)
		return (failure(r));
	*reply = object;
	r->delivered = object != NULL;
	return (R_OK);
}
