/* SPDX-License-Identifier: MIT */
#include "history.h"

#include <time.h>

int64_t
history_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((int64_t)t.tv_sec * 1000000000 + t.tv_nsec);
}

static struct confirmed *
slot(struct history *h, int64_t version)
{
	return (&h->versions[version & (HISTORY_DEPTH - 1)]);
}

int64_t
history_next(struct history *h)
{
	int64_t version = atomic_load(&h->newest) + 1;

	atomic_store(&slot(h, version)->version, 0);
	atomic_store(&h->newest, version);
	return (version);
}

void
history_confirm(struct history *h, int64_t version, enum writer writer,
		int process, int generation)
{
	struct confirmed *c = slot(h, version);

	atomic_store(&c->at_ns, history_now_ns());
	atomic_store(&c->writer, writer);
	atomic_store(&c->process, process);
	atomic_store(&c->generation, generation);
	atomic_store(&c->version, version);
	atomic_store(&h->expected, version);
}

enum staleness
history_judge(struct history *h, const struct reading *r, int64_t *age_ns)
{
	int64_t first[STALE_KINDS] = { 0 };
	int64_t v = r->version + 1, newest = atomic_load(&h->newest);
	enum staleness kind;

	if (newest - v > HISTORY_DEPTH / 2)
		v = newest - HISTORY_DEPTH / 2;
	for (; v <= newest; v++) {
		const struct confirmed *c = slot(h, v);
		int64_t at = atomic_load(&c->at_ns);

		kind = atomic_load(&c->writer) == BY_SQL ? STALE_SQL
							 : STALE_WORKERS;
		if (kind == STALE_WORKERS &&
		    atomic_load(&c->process) == r->process &&
		    atomic_load(&c->generation) == r->generation)
			kind = STALE_OWN;
		if (atomic_load(&c->version) == v && at < r->sent_ns &&
		    first[kind] == 0)
			first[kind] = at;
	}
	for (kind = STALE_OWN; kind < STALE_KINDS; kind++) {
		if (first[kind] == 0)
			continue;
		*age_ns = r->sent_ns - first[kind];
		return (kind);
	}
	return (FRESH);
}
