/* SPDX-License-Identifier: MIT */
#include "postgres_pool.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/lock.h"
#include "../base/log.h"

#include <assert.h>
#include <stdlib.h>

struct postgres_pool {
	char *url, *name;
	int64_t connect_timeout_ms;

	struct lock lock;
	struct signal freed;
	struct postgres_link **idle; /* the last one used is on top */
	unsigned n_idle;
	unsigned n_open; /* idle, in use, or being connected */
	unsigned size;
	bool lost; /* and logged */
};

void
postgres_pool_free(struct postgres_pool *p)
{
	if (p == NULL)
		return;
	assert(p->n_open == p->n_idle);
	while (p->n_idle > 0)
		postgres_link_close(p->idle[--p->n_idle]);
	signal_fini(&p->freed);
	lock_fini(&p->lock);
	free(p->idle);
	free(p->name);
	free(p->url);
	free(p);
}

struct postgres_pool *
postgres_pool_new(const struct postgres_link_target *target, unsigned size,
		  int64_t connect_timeout_ms)
{
	struct postgres_pool *p;

	assert(size > 0);
	if ((p = mem_alloc(sizeof(*p))) == NULL)
		return (NULL);
	lock_init(&p->lock, LOCK_POSTGRES);
	signal_init(&p->freed);
	p->connect_timeout_ms = connect_timeout_ms;
	p->size = size;
	p->url = mem_strdup(target->url);
	p->name = mem_strdup(target->name);
	p->idle = mem_alloc(size * sizeof(struct postgres_link *));
	if (p->url == NULL || p->name == NULL || p->idle == NULL) {
		postgres_pool_free(p);
		return (NULL);
	}
	return (p);
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return (a < b ? a : b);
}

/* One line for each of its addresses when the server is lost and one when it is
 * back, not one per call. */
void
postgres_pool_note_lost(struct postgres_pool *p, struct bytes why)
{
	bool news;

	lock_take(&p->lock);
	news = !p->lost;
	p->lost = true;
	lock_give(&p->lock);
	while (news && why.len > 0) {
		struct bytes line = bytes_cut(&why, '\n');

		if (line.len > 0 && line.at[0] != '\t') /* advice */
			log_warn("postgres: no connection: %.*s",
				 BYTES_ARG(line));
	}
}

static void
note_connected(struct postgres_pool *p)
{
	bool news;

	lock_take(&p->lock);
	news = p->lost;
	p->lost = false;
	lock_give(&p->lock);
	if (news)
		log_info("postgres: connected again");
}

static enum result
connect_now(struct postgres_pool *p, int64_t deadline_ms,
	    struct postgres_link **out)
{
	const struct postgres_link_target target = { p->url, p->name };
	struct buf problem = { 0 };
	enum result r;

	deadline_ms = earlier(deadline_ms,
			      clock_monotonic_ms() + p->connect_timeout_ms);
	r = postgres_link_open(&target, deadline_ms, &problem, out);
	if (r == R_OK)
		note_connected(p);
	else
		postgres_pool_note_lost(p, r == R_UNAVAILABLE
						   ? buf_bytes(&problem)
						   : bytes_of(result_text(r)));
	buf_fini(&problem);
	return (r);
}

/* Give a place in the pool back, with a link that can be used again or none. */
static void
give_place(struct postgres_pool *p, struct postgres_link *reusable)
{
	lock_take(&p->lock);
	if (reusable != NULL)
		p->idle[p->n_idle++] = reusable;
	else
		p->n_open--;
	lock_give(&p->lock);
	/* Those whose connecting failed wait for an idle link, or for the
	 * last one to go; the others for a place. */
	if (reusable != NULL)
		signal_wake_one(&p->freed);
	else
		signal_wake_all(&p->freed);
}

void
postgres_pool_give(struct postgres_pool *p, struct postgres_link *l)
{
	if (!postgres_link_is_reusable(l)) {
		postgres_link_close(l);
		l = NULL;
	}
	give_place(p, l);
}

enum place { PLACE_NONE, PLACE_IDLE, PLACE_NEW };

/* Wait for an idle link, or (when `refused` is R_OK) for room for a new one. */
static enum place
take_place(struct postgres_pool *p, int64_t deadline_ms, enum result refused,
	   struct postgres_link **idle)
{
	enum place place = PLACE_NONE;

	lock_take(&p->lock);
	for (;;) {
		if (p->n_idle > 0) {
			*idle = p->idle[--p->n_idle];
			place = PLACE_IDLE;
			break;
		}
		if (refused == R_OK && p->n_open < p->size) {
			p->n_open++;
			place = PLACE_NEW;
			break;
		}
		if ((refused != R_OK && p->n_open == 0) ||
		    clock_left_ms(deadline_ms) == 0)
			break;
		signal_wait(&p->freed, &p->lock, deadline_ms);
	}
	lock_give(&p->lock);
	return (place);
}

/* Wait until `wait_until_ms` for a place, and until `deadline_ms` for the
 * server. */
static enum result
take(struct postgres_pool *p, int64_t wait_until_ms, int64_t deadline_ms,
     struct postgres_link **out)
{
	enum result refused = R_OK;
	struct postgres_link *l;

	for (;;) {
		switch (take_place(p, wait_until_ms, refused, &l)) {
		case PLACE_NONE:
			return (refused != R_OK ? refused : R_TIMEOUT);
		case PLACE_IDLE:
			if (postgres_link_is_alive(l)) {
				*out = l;
				return (R_OK);
			}
			postgres_link_close(l);
			give_place(p, NULL);
			break;
		case PLACE_NEW:
			refused = connect_now(p, deadline_ms, out);
			if (refused == R_OK)
				return (R_OK);
			give_place(p, NULL);
			break;
		}
	}
}

enum result
postgres_pool_take(struct postgres_pool *p, int64_t deadline_ms,
		   struct postgres_link **out)
{
	return (take(p, deadline_ms, deadline_ms, out));
}

struct postgres_link *
postgres_pool_take_spare(struct postgres_pool *p, int64_t deadline_ms)
{
	struct postgres_link *l;

	return (take(p, 0, deadline_ms, &l) == R_OK ? l : NULL);
}
