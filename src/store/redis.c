/* SPDX-License-Identifier: MIT */
#include "redis.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/lock.h"
#include "../base/log.h"
#include "../base/thread.h"
#include "redis_link.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BREAKER_FAILURES 3
#define BREAKER_PAUSE_MS 100
#define BREAKER_PAUSE_MAX_MS 2000
#define ERROR_LOG_EVERY_MS 10000

struct redis {
	struct redis_options options;
	struct redis_url url;
	struct breaker *breaker;
	pthread_t thread;
	int wake_fd;

	struct lock lock; /* the next three, and each struct call */
	struct redis_queue queue;
	bool sleeping; /* the thread waits in poll(2): wake it */
	bool stopping;

	atomic_uint pending; /* commands accepted and not yet answered */
	atomic_bool healthy; /* the breaker is closed: no need to ask it */
	atomic_llong error_log_ms; /* when an error reply may be logged again */

	/* The I/O thread's own. */
	struct redis_link *link;
	bool owes_report; /* the breaker let a connection through and waits for the outcome */
	bool proven;	/* the connection there is has answered a command */
	bool announced; /* `connected` was called for it */
	_Atomic uint64_t connections;
	char said[256]; /* the problem in the log; empty: none */
};

static void
settle(struct redis *r)
{
	r->owes_report = false;
	atomic_store(&r->healthy, breaker_state(r->breaker) == BREAKER_CLOSED);
}

/* A reply shows that the server is well.  Told before the caller gets it,
 * whose next command is then let through. */
static void
note_success(struct redis *r)
{
	r->proven = true;
	if (r->owes_report)
		breaker_success(r->breaker);
	settle(r);
	if (r->said[0] != '\0')
		log_info("redis: %s: works again", r->url.shown);
	r->said[0] = '\0';
}

static void
note_failure(struct redis *r, enum result result)
{
	const char *problem = redis_link_problem(r->link);
	bool had_commands = redis_link_has_commands(r->link);

	r->proven = false;
	if (result == R_NO_MEMORY) {
		/* Not the server's fault. */
		if (r->owes_report)
			breaker_forget(r->breaker);
	} else if (r->owes_report ||
		   (had_commands && breaker_allow(r->breaker))) {
		breaker_failure(r->breaker);
	}
	settle(r);
	if (!had_commands) {
		log_debug("redis: %s: %s", r->url.shown, problem);
		return;
	}
	if (strcmp(r->said, problem) != 0)
		log_warn("redis: %s: %s", r->url.shown, problem);
	snprintf(r->said, sizeof(r->said), "%s", problem);
}

static void
deliver(void *owner, struct redis_command *c, enum result result,
	const struct redis_reply *reply)
{
	struct redis *r = owner;

	if (result == R_OK && !r->proven)
		note_success(r);
	atomic_fetch_sub(&r->pending, 1);
	c->done(c->arg, result, reply);
	free(c);
}

static void
take_result(struct redis *r, enum result result)
{
	if (result != R_OK) {
		note_failure(r, result);
		redis_link_fail(r->link, result);
		return;
	}
	if (redis_link_state(r->link) != REDIS_LINK_UP || r->announced)
		return;
	r->announced = true;
	log_debug("redis: %s: connected", r->url.shown);
	atomic_fetch_add(&r->connections, 1);
	if (r->options.connected != NULL)
		r->options.connected(r->options.arg);
}

/* Commands wait and there is no connection. */
static void
connect_link(struct redis *r)
{
	if (!r->owes_report && !breaker_allow(r->breaker)) {
		redis_link_fail(r->link, R_UNAVAILABLE);
		return;
	}
	r->owes_report = true;
	r->proven = r->announced = false;
	take_result(r, redis_link_open(r->link));
}

enum next { SLEEP, GO_ON, STOP };

/* Move what was sent to the link.  SLEEP: there was nothing, and from now on
 * a sender wakes the thread. */
static enum next
collect(struct redis *r)
{
	struct redis_queue queue;
	struct redis_command *c;
	enum next next;

	lock_take(&r->lock);
	queue = r->queue;
	r->queue = (struct redis_queue){ NULL, NULL };
	next = r->stopping ? STOP : queue.first != NULL ? GO_ON : SLEEP;
	r->sleeping = next == SLEEP;
	lock_give(&r->lock);
	while ((c = redis_queue_take(&queue)) != NULL) {
		/* One report for each leave the breaker gave: the next
		 * connection's. */
		if (c->probe && (r->owes_report || r->proven))
			breaker_forget(r->breaker);
		else if (c->probe)
			r->owes_report = true;
		redis_link_push(r->link, c);
	}
	return (next);
}

static void
ignore_pong(void *arg, enum result r, const struct redis_reply *reply)
{
	(void)arg;
	(void)r;
	(void)reply;
}

/* While the breaker is open nobody sends, so nobody would ever find out that the
 * server is back. */
static void
probe_when_due(struct redis *r)
{
	const struct bytes ping = BYTES("PING");

	if (!atomic_load(&r->healthy) &&
	    breaker_state(r->breaker) == BREAKER_OPEN &&
	    breaker_retry_ms(r->breaker) == 0)
		(void)!redis_send(r, &ping, 1, ignore_pong, NULL);
}

static int
sleep_ms(struct redis *r)
{
	int64_t deadline_ms = redis_link_deadline_ms(r->link), retry_ms;
	int left_ms = deadline_ms == INT64_MAX ? -1
					       : clock_left_ms(deadline_ms);

	if (breaker_state(r->breaker) != BREAKER_OPEN)
		return (left_ms);
	retry_ms = breaker_retry_ms(r->breaker);
	return (left_ms < 0 || retry_ms < left_ms ? (int)retry_ms : left_ms);
}

static void
wait_for_events(struct redis *r, enum next next)
{
	struct pollfd fds[2] = {
		{ .fd = r->wake_fd, .events = POLLIN },
		{ .fd = redis_link_fd(r->link) },
	};
	int timeout = next == SLEEP ? sleep_ms(r) : 0;
	eventfd_t count;

	if (fds[1].fd >= 0)
		fds[1].events = redis_link_events(r->link);
	if (poll(fds, 2, timeout) > 0 && fds[0].revents != 0)
		(void)eventfd_read(r->wake_fd, &count);
}

static void *
run(void *arg)
{
	struct redis *r = arg;
	enum next next;

	while ((next = collect(r)) != STOP) {
		probe_when_due(r);
		if (redis_link_state(r->link) == REDIS_LINK_DOWN &&
		    redis_link_has_commands(r->link))
			connect_link(r);
		if (next == GO_ON)
			take_result(r, redis_link_work(r->link));
		wait_for_events(r, next);
		take_result(r, redis_link_work(r->link));
	}
	redis_link_fail(r->link, R_UNAVAILABLE);
	return (NULL);
}

static enum result
fill_in(struct redis *r)
{
	const struct breaker_options breaker = {
		.name = "redis",
		.failures = BREAKER_FAILURES,
		.pause_ms = BREAKER_PAUSE_MS,
		.pause_max_ms = BREAKER_PAUSE_MAX_MS,
	};
	const struct redis_link_options link = {
		.url = &r->url,
		.timeout_ms = r->options.timeout_ms,
		.connect_timeout_ms = r->options.connect_timeout_ms,
		.deliver = deliver,
		.owner = r,
	};
	enum result result = redis_url_parse(r->options.url, &r->url);

	if (result != R_OK)
		return (result);
	r->breaker = breaker_new(&breaker);
	r->link = redis_link_new(&link);
	if (r->breaker == NULL || r->link == NULL)
		return (R_NO_MEMORY);
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->wake_fd < 0)
		return (result_of_errno(errno));
	return (thread_start("redis", run, r, &r->thread));
}

static void
release(struct redis *r)
{
	redis_link_free(r->link);
	breaker_free(r->breaker);
	redis_url_fini(&r->url);
	if (r->wake_fd >= 0)
		close(r->wake_fd);
	lock_fini(&r->lock);
	free(r);
}

enum result
redis_new(const struct redis_options *options, struct redis **out)
{
	struct redis *r = mem_alloc(sizeof(*r));
	enum result result;

	if (r == NULL)
		return (R_NO_MEMORY);
	r->options = *options;
	r->wake_fd = -1;
	lock_init(&r->lock, LOCK_REDIS);
	atomic_init(&r->healthy, true);
	result = fill_in(r);
	r->options.url = NULL; /* the caller's */
	if (result == R_OK)
		*out = r;
	else
		release(r);
	return (result);
}

void
redis_free(struct redis *r)
{
	if (r == NULL)
		return;
	lock_take(&r->lock);
	r->stopping = true;
	lock_give(&r->lock);
	(void)eventfd_write(r->wake_fd, 1);
	(void)pthread_join(r->thread, NULL);
	release(r);
}

enum breaker_state
redis_state(struct redis *r)
{
	return (breaker_state(r->breaker));
}

uint64_t
redis_connections(struct redis *r)
{
	return (atomic_load(&r->connections));
}

const char *
redis_server(const struct redis *r)
{
	return (redis_link_server(r->link));
}

/* Put `c` into the queue, unless that is full or closed. */
static enum result
enqueue(struct redis *r, struct redis_command *c)
{
	bool wake = false;
	enum result result = R_OK;

	lock_take(&r->lock);
	if (r->stopping)
		result = R_UNAVAILABLE;
	else if (atomic_load(&r->pending) >= r->options.queue_limit)
		result = R_BUSY;
	if (result == R_OK) {
		atomic_fetch_add(&r->pending, 1);
		redis_queue_put(&r->queue, c);
		wake = r->sleeping;
		r->sleeping = false;
	}
	lock_give(&r->lock);
	if (wake)
		(void)eventfd_write(r->wake_fd, 1);
	return (result);
}

enum result
redis_send_pair(struct redis *r, const struct redis_pair *pair,
		redis_done *done)
{
	const struct bytes *second = pair->argv + pair->argc[0];
	bool probe = !atomic_load(&r->healthy);
	struct redis_command *c;
	size_t size, size_both;
	enum result result = R_NO_MEMORY;

	if (probe && !breaker_allow(r->breaker))
		return (R_UNAVAILABLE);
	size = size_both = redis_reply_command_size(pair->argv, pair->argc[0]);
	if (pair->argc[1] > 0)
		size_both += redis_reply_command_size(second, pair->argc[1]);
	c = mem_grow(NULL, sizeof(*c) + size_both);
	if (c != NULL) {
		*c = (struct redis_command){
			.first = pair->first,
			.done = done,
			.arg = pair->arg,
			.due_ms = clock_monotonic_ms() + r->options.timeout_ms,
			.probe = probe,
			.size = size_both,
		};
		redis_reply_write_command(c->bytes, pair->argv, pair->argc[0]);
		if (pair->argc[1] > 0)
			redis_reply_write_command(c->bytes + size, second,
						  pair->argc[1]);
		result = enqueue(r, c);
	}
	if (result != R_OK) {
		free(c);
		if (probe)
			breaker_forget(r->breaker);
	}
	return (result);
}

enum result
redis_send(struct redis *r, const struct bytes *argv, unsigned argc,
	   redis_done *done, void *arg)
{
	const struct redis_pair alone = { argv, { argc, 0 }, NULL, arg };

	return (redis_send_pair(r, &alone, done));
}

/* A thread waiting for its reply. */
struct call {
	struct redis *redis;
	struct signal signal;
	redis_done *first;
	redis_take *take;
	void *arg;
	enum result result;
	bool ended;
};

static void
log_error_reply(struct redis *r, struct bytes text)
{
	long long now = clock_monotonic_ms(),
		  due = atomic_load(&r->error_log_ms);

	if (now < due ||
	    !atomic_compare_exchange_strong(&r->error_log_ms, &due,
					    now + ERROR_LOG_EVERY_MS))
		return;
	log_warn("redis: %s: error reply: %.*s", r->url.shown,
		 (int)(text.len < 200 ? text.len : 200), text.at);
}

static void
first_of_call(void *arg, enum result result, const struct redis_reply *reply)
{
	const struct call *call = arg;

	call->first(call->arg, result, reply);
}

static void
end_call(void *arg, enum result result, const struct redis_reply *reply)
{
	struct call *call = arg;
	struct redis *r = call->redis;

	if (result == R_OK && reply->type == REDIS_ERROR) {
		log_error_reply(r, reply->text);
		result = R_BAD_ANSWER;
	} else if (result == R_OK && call->take != NULL) {
		result = call->take(call->arg, reply);
	}
	lock_take(&r->lock);
	call->result = result;
	call->ended = true;
	/* `call` is gone once the lock is given back. */
	signal_wake_one(&call->signal);
	lock_give(&r->lock);
}

enum result
redis_call_pair(struct redis *r, const struct redis_pair *pair,
		redis_take *take)
{
	struct call call = {
		.redis = r, .first = pair->first, .take = take, .arg = pair->arg
	};
	struct redis_pair commands = *pair;
	enum result result;

	/* It would wait for itself. */
	assert(!pthread_equal(pthread_self(), r->thread));
	commands.first = pair->first != NULL ? first_of_call : NULL;
	commands.arg = &call;
	signal_init(&call.signal);
	result = redis_send_pair(r, &commands, end_call);
	if (result == R_OK) {
		lock_take(&r->lock);
		while (!call.ended)
			signal_wait(&call.signal, &r->lock, INT64_MAX);
		lock_give(&r->lock);
		result = call.result;
	}
	signal_fini(&call.signal);
	return (result);
}

enum result
redis_call(struct redis *r, const struct bytes *argv, unsigned argc,
	   redis_take *take, void *arg)
{
	const struct redis_pair alone = { argv, { argc, 0 }, NULL, arg };

	return (redis_call_pair(r, &alone, take));
}
