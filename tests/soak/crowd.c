/* SPDX-License-Identifier: MIT */
#include "crowd.h"
#include "../harness/random.h"
#include "../harness/scratch.h"
#include "judge.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REMEMBERED 64 /* ETags of one client */

/* An answer's ETag, and the question's hash. */
struct memory {
	uint64_t of;
	char etag[96];
};

struct member {
	pthread_t thread;
	uint64_t choices, pauses;
	struct client *client;
	struct wish wish;
	struct memory memories[REMEMBERED];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER; /* let, or end */
static pthread_cond_t quiet = PTHREAD_COND_INITIALIZER;
static struct {
	const char *url;
	bool let, end;
	enum phase phase;
	unsigned per_second, asking;
} crowd;
static struct member *members;

/* Wait until questions may be asked; false at the end. */
static bool
enter(enum phase *phase)
{
	bool go;

	pthread_mutex_lock(&lock);
	while (!crowd.let && !crowd.end)
		pthread_cond_wait(&changed, &lock);
	go = !crowd.end;
	crowd.asking += go;
	*phase = crowd.phase;
	pthread_mutex_unlock(&lock);
	return (go);
}

static void
leave(void)
{
	pthread_mutex_lock(&lock);
	if (--crowd.asking == 0)
		pthread_cond_signal(&quiet);
	pthread_mutex_unlock(&lock);
}

/* Until the next question; not longer than the crowd is let. */
static void
rest(struct member *m)
{
	double pause_ms = 0, share;
	struct timespec until;

	share = (double)random_below(&m->pauses, 2000) /
		1000; /* 1 on average */
	clock_gettime(CLOCK_REALTIME, &until);
	pthread_mutex_lock(&lock);
	if (crowd.per_second > 0)
		pause_ms = share * 1e3 * CROWD / crowd.per_second;
	until.tv_sec += (time_t)(pause_ms / 1e3);
	until.tv_nsec += (long)(pause_ms * 1e6) % 1000000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (pause_ms > 0 && crowd.let && !crowd.end)
		if (pthread_cond_timedwait(&changed, &lock, &until) != 0)
			break;
	pthread_mutex_unlock(&lock);
}

static uint64_t
hash(const struct wish *w) /* FNV-1a */
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ w->user;

	for (const char *at = w->path; *at != '\0'; at++)
		h = (h ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
	return (h);
}

/* Every choice is drawn, whether it matters or not: so the next are the same. */
static struct question
question_of(struct member *m, const struct memory *memory)
{
	const struct kind *k = m->wish.kind;
	bool get = strcmp(k->method, "GET") == 0;
	bool head = random_below(&m->choices, 10) == 0;
	bool gzip = random_below(&m->choices, 2) == 0;
	bool known = random_below(&m->choices, 5) < 2;

	return ((struct question){
		.method = get && head ? "HEAD" : k->method,
		.path = m->wish.path,
		.login = m->wish.login,
		.body = k->body != NULL ? m->wish.body : NULL,
		.content_type = k->content_type != NULL ? k->content_type
							: "application/json",
		.gzip = gzip,
		.if_none_match = known && k->category != NULL &&
						 memory->of == hash(&m->wish)
					 ? memory->etag
					 : NULL,
	});
}

static void
ask(struct member *m, enum phase phase)
{
	struct memory *memory;
	const struct answer *a;
	struct question q;
	double sent_ms;

	mix_draw(&m->choices, &m->wish);
	memory = &m->memories[hash(&m->wish) % REMEMBERED];
	q = question_of(m, memory);
	sent_ms = harness_now_ms();
	a = client_ask(m->client, &q);
	tally_add(&m->wish, a, phase);
	judge(&m->wish, &q, a, sent_ms);
	if (a->etag[0] != '\0') {
		memory->of = hash(&m->wish);
		memcpy(memory->etag, a->etag, sizeof(a->etag));
	}
	if (a->status == 201)
		mix_learn(&m->wish, a->body);
}

static void *
live(void *arg)
{
	struct member *m = arg;
	enum phase phase;

	m->client = client_new(crowd.url);
	while (enter(&phase)) {
		ask(m, phase);
		leave();
		rest(m);
	}
	client_free(m->client);
	return (NULL);
}

void
crowd_start(const char *url, uint64_t seed)
{
	crowd.url = url;
	members = calloc(CROWD, sizeof(*members));
	if (members == NULL)
		abort();
	for (unsigned i = 0; i < CROWD; i++) {
		members[i].choices = seed + 1000 + i;
		members[i].pauses = seed + 2000 + i;
		if (pthread_create(&members[i].thread, NULL, live,
				   &members[i]) != 0)
			abort();
	}
}

void
crowd_let(enum phase phase, unsigned per_second)
{
	pthread_mutex_lock(&lock);
	crowd.let = true;
	crowd.phase = phase;
	crowd.per_second = per_second;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

void
crowd_hold(void)
{
	pthread_mutex_lock(&lock);
	crowd.let = false;
	pthread_cond_broadcast(&changed);
	while (crowd.asking > 0)
		pthread_cond_wait(&quiet, &lock);
	pthread_mutex_unlock(&lock);
}

void
crowd_end(void)
{
	pthread_mutex_lock(&lock);
	crowd.end = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	for (unsigned i = 0; i < CROWD; i++)
		pthread_join(members[i].thread, NULL);
	free(members);
}
