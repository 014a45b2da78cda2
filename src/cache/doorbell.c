/* SPDX-License-Identifier: MIT */
#include "doorbell.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/thread.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RECONNECT_MS 500 /* from one attempt to the next */

struct doorbell {
	struct postgres_options listen;
	void (*ring)(void *arg, bool deaf);
	void *arg;
	int stop_fd;
	atomic_bool hears, stopping;
	pthread_t thread;
};

/* Ring as long as the connection holds. */
static void
hear(struct doorbell *d, struct postgres_listener *l)
{
	atomic_store(&d->hears, true);
	do
		d->ring(d->arg, false);
	while (postgres_wait(l, INT64_MAX, d->stop_fd) == R_OK);
	atomic_store(&d->hears, false);
	if (atomic_load(&d->stopping))
		return;
	log_warn("invalidation: lost the connection that listens");
	d->ring(d->arg, true);
}

static void *
attend(void *arg)
{
	struct doorbell *d = arg;
	struct pollfd stop = { .fd = d->stop_fd, .events = POLLIN };
	struct postgres_listener *l;
	int64_t next_ms;

	while (!atomic_load(&d->stopping)) {
		next_ms = clock_monotonic_ms() + RECONNECT_MS;
		if (postgres_listen(&d->listen, "warmfront_log", &l) == R_OK) {
			hear(d, l);
			postgres_listener_free(l);
		}
		if (!atomic_load(&d->stopping))
			(void)poll(&stop, 1, clock_left_ms(next_ms));
	}
	return (NULL);
}

struct doorbell *
doorbell_new(const struct postgres_options *listen,
	     void (*ring)(void *arg, bool deaf), void *arg)
{
	struct doorbell *d = mem_alloc(sizeof(*d));

	if (d == NULL)
		return (NULL);
	d->listen = *listen;
	d->ring = ring;
	d->arg = arg;
	d->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->stop_fd >= 0 &&
	    thread_start("doorbell", attend, d, &d->thread) == R_OK)
		return (d);
	if (d->stop_fd >= 0)
		close(d->stop_fd);
	free(d);
	return (NULL);
}

void
doorbell_free(struct doorbell *d)
{
	uint64_t one = 1;

	if (d == NULL)
		return;
	atomic_store(&d->stopping, true);
	(void)!write(d->stop_fd, &one, sizeof(one));
	pthread_join(d->thread, NULL);
	close(d->stop_fd);
	free(d);
}

bool
doorbell_is_deaf(struct doorbell *d)
{
	return (d == NULL || !atomic_load(&d->hears));
}
