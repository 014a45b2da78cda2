/* SPDX-License-Identifier: MIT */
#include "redis_client.h"

#include <check.h>
#include <string.h>

#define WORDS_MAX 16

_Thread_local char client_text[256];

struct redis *
client_new(const char *url, int64_t timeout_ms)
{
	struct redis *r = NULL;

	ck_assert_int_eq(redis_new(
				 &(struct redis_options){
					 .url = url,
					 .timeout_ms = timeout_ms,
					 .connect_timeout_ms = timeout_ms,
					 .queue_limit = 100000,
				 },
				 &r),
			 R_OK);
	return (r);
}

static unsigned
split(const char *const *words, struct bytes *argv)
{
	unsigned n = 0;

	for (; words[n] != NULL; n++) {
		ck_assert_uint_lt(n, WORDS_MAX);
		argv[n] = bytes_of(words[n]);
	}
	return (n);
}

static enum result
keep_text(void *arg, const struct redis_reply *reply)
{
	size_t len = reply->text.len;
	char *to = arg;

	if (len >= sizeof(client_text))
		len = sizeof(client_text) - 1;
	memcpy(to, reply->text.at, len);
	to[len] = '\0';
	return (R_OK);
}

enum result
client_call(struct redis *r, const char *const *words)
{
	struct bytes argv[WORDS_MAX];
	unsigned argc = split(words, argv);

	return (redis_call(r, argv, argc, keep_text, client_text));
}

void
client_count(void *arg, enum result r, const struct redis_reply *reply)
{
	struct client_tally *t = arg;

	ck_assert((reply != NULL) == (r == R_OK));
	atomic_fetch_add(&t->results[r], 1);
	atomic_fetch_add(&t->ended, 1);
}

enum result
client_send(struct redis *r, struct client_tally *tally,
	    const char *const *words)
{
	struct bytes argv[WORDS_MAX];
	unsigned argc = split(words, argv);

	return (redis_send(r, argv, argc, client_count, tally));
}
