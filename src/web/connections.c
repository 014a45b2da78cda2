/* SPDX-License-Identifier: MIT */
#include "connections.h"

#include "../base/alloc.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPARES_MAX 256
#define NEW_MS 1000

_Static_assert(sizeof(struct connection) < 512, "an idle connection is small");

static void
list_init(struct link *list)
{
	list->prev = list->next = list;
}

static void
list_remove(struct link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
}

static void
list_append(struct link *list, struct link *l)
{
	l->prev = list->prev;
	l->next = list;
	list->prev->next = l;
	list->prev = l;
}

static struct connection *
of_link(const struct link *l)
{
	union {
		const char *in;
		struct connection *out;
	} at = { .in = (const char *)l - offsetof(struct connection, link) };

	return (at.out);
}

struct connection *
connections_first(const struct link *list)
{
	return (list->next == list ? NULL : of_link(list->next));
}

void
connections_place(struct connection *c, struct link *list)
{
	list_remove(&c->link);
	list_append(list, &c->link);
}

enum result
connections_init(struct connections *all)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = all };

	list_init(&all->idle);
	list_init(&all->busy);
	list_init(&all->parked);
	list_init(&all->gone);
	list_init(&all->dead);
	list_init(&all->spare);
	all->answered_end = &all->answered;
	lock_init(&all->lock, LOCK_COMPLETIONS);
	all->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	all->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (all->epoll_fd < 0 || all->wake_fd < 0 ||
	    epoll_ctl(all->epoll_fd, EPOLL_CTL_ADD, all->wake_fd, &event) < 0) {
		enum result r = result_of_errno(errno);

		connections_fini(all);
		return (r);
	}
	return (R_OK);
}

void
connections_close_all(struct link *list)
{
	struct connection *c;

	while ((c = connections_first(list)) != NULL)
		connections_close(c);
}

void
connections_fini(struct connections *all)
{
	struct connection *c, *next;

	connections_close_all(&all->idle);
	connections_close_all(&all->busy);
	connections_close_all(&all->parked);
	for (c = connections_take_answered(all); c != NULL; c = next) {
		next = c->next_answered;
		connections_forget(c);
	}
	while ((c = connections_first(&all->gone)) != NULL)
		connections_forget(c);
	connections_bury(all);
	while ((c = connections_first(&all->spare)) != NULL) {
		list_remove(&c->link);
		free(c);
	}
	buf_fini(&all->reply);
	lock_fini(&all->lock);
	if (all->epoll_fd >= 0)
		(void)close(all->epoll_fd);
	if (all->wake_fd >= 0)
		(void)close(all->wake_fd);
}

static struct connection *
take_spare(struct connections *all)
{
	struct connection *c = connections_first(&all->spare);

	if (c == NULL)
		return (mem_alloc(sizeof(*c)));
	all->spares--;
	list_remove(&c->link);
	*c = (struct connection){ 0 };
	return (c);
}

static void
give_spare(struct connections *all, struct connection *c)
{
	if (all->spares >= SPARES_MAX) {
		free(c);
		return;
	}
	all->spares++;
	list_append(&all->spare, &c->link);
}

enum result
connections_add(struct connections *all, int fd, struct connection **out)
{
	struct connection *c = take_spare(all);
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

	if (c == NULL)
		return (R_NO_MEMORY);
	if (epoll_ctl(all->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		enum result r = result_of_errno(errno);

		give_spare(all, c);
		return (r);
	}
	c->all = all;
	c->fd = fd;
	c->interest = EPOLLIN;
	c->progress_ms = all->now_ms;
	list_append(&all->idle, &c->link);
	all->open++;
	*out = c;
	return (R_OK);
}

static void
release(struct connection *c)
{
	if (c->release != NULL)
		c->release(c->owner);
	c->release = NULL;
}

static void
finish(struct connection *c)
{
	release(c);
	arena_fini(&c->exchange.request.arena);
	fastcgi_reader_fini(&c->reader);
	buf_fini(&c->input);
	c->state = CONNECTION_CLOSED;
	connections_place(c, &c->all->dead);
}

void
connections_close(struct connection *c)
{
	assert(c->state != CONNECTION_GONE && c->state != CONNECTION_CLOSED);
	(void)close(c->fd);
	c->fd = -1;
	c->all->open--;
	if (c->state != CONNECTION_PARKED) {
		finish(c);
		return;
	}
	/* Its request and its body are still being read elsewhere. */
	buf_fini(&c->input);
	c->state = CONNECTION_GONE;
	connections_place(c, &c->all->gone);
}

void
connections_forget(struct connection *c)
{
	assert(c->state == CONNECTION_GONE);
	finish(c);
}

/* One that is new and has not been used: its first request is on its way. */
static bool
is_new(const struct connection *c)
{
	return (c->writer.sent == 0 &&
		c->all->now_ms - c->progress_ms < NEW_MS);
}

bool
connections_close_idle(struct connections *all)
{
	struct link *l;
	char byte;

	for (l = all->idle.next; l != &all->idle; l = l->next) {
		struct connection *c = of_link(l);

		/* A request that is just arriving shall be answered. */
		if (!is_new(c) &&
		    recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
		    errno == EAGAIN) {
			connections_close(c);
			return (true);
		}
	}
	return (false);
}

void
connections_sweep(struct connections *all, int64_t limit_ms)
{
	struct connection *c;

	while ((c = connections_first(&all->busy)) != NULL &&
	       all->now_ms - c->progress_ms >= limit_ms)
		connections_close(c);
}

void
connections_bury(struct connections *all)
{
	struct connection *c;

	while ((c = connections_first(&all->dead)) != NULL) {
		list_remove(&c->link);
		give_spare(all, c);
	}
}

void
connections_queue(struct connection *c)
{
	struct connections *all = c->all;
	bool first;

	c->next_answered = NULL;
	lock_take(&all->lock);
	first = all->answered == NULL;
	*all->answered_end = c;
	all->answered_end = &c->next_answered;
	lock_give(&all->lock);
	if (first)
		connections_wake(all);
}

struct connection *
connections_take_answered(struct connections *all)
{
	struct connection *first;

	lock_take(&all->lock);
	first = all->answered;
	all->answered = NULL;
	all->answered_end = &all->answered;
	lock_give(&all->lock);
	return (first);
}

void
connections_wake(struct connections *all)
{
	const uint64_t one = 1;

	/* Fails only when the counter is full, and then it wakes as well. */
	(void)!write(all->wake_fd, &one, sizeof(one));
}
