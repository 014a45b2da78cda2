/* SPDX-License-Identifier: MIT */
#include "lookup.h"

#include "../base/alloc.h"
#include "../base/thread.h"

#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Shared by the asker and the thread; the last of them releases it. */
struct lookup {
	atomic_uint holders;
	atomic_bool ended;
	int fd;
	int error; /* of getaddrinfo(3) */
	struct addrinfo *list;
	char *host, *port;
};

static void
release(struct lookup *l)
{
	if (atomic_fetch_sub(&l->holders, 1) != 1)
		return;
	if (l->list != NULL)
		freeaddrinfo(l->list);
	if (l->fd >= 0)
		close(l->fd);
	free(l->host);
	free(l->port);
	free(l);
}

static void
resolve(struct lookup *l, int flags)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = flags | AI_NUMERICSERV,
	};

	l->error = getaddrinfo(l->host, l->port, &hints, &l->list);
}

static void
announce(struct lookup *l)
{
	atomic_store(&l->ended, true);
	/* A fresh counter takes a 1. */
	(void)eventfd_write(l->fd, 1);
}

static void *
run(void *arg)
{
	struct lookup *l = arg;

	resolve(l, AI_ADDRCONFIG);
	announce(l);
	release(l);
	return (NULL);
}

enum result
lookup_start(const char *host, const char *port, struct lookup **out)
{
	struct lookup *l = mem_alloc(sizeof(*l));
	enum result r = R_NO_MEMORY;
	pthread_t thread;

	if (l == NULL)
		return (R_NO_MEMORY);
	atomic_init(&l->holders, 1);
	l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->fd < 0) {
		r = result_of_errno(errno);
		goto out;
	}
	l->host = mem_strdup(host);
	l->port = mem_strdup(port);
	if (l->host == NULL || l->port == NULL)
		goto out;
	resolve(l, AI_NUMERICHOST);
	if (l->error != EAI_NONAME) {
		announce(l);
		r = R_OK;
		goto out;
	}
	atomic_store(&l->holders, 2);
	r = thread_start("lookup", run, l, &thread);
	if (r == R_OK)
		(void)pthread_detach(thread);
	else
		atomic_store(&l->holders, 1);
out:
	if (r == R_OK)
		*out = l;
	else
		release(l);
	return (r);
}

int
lookup_fd(const struct lookup *l)
{
	return (l->fd);
}

enum result
lookup_result(struct lookup *l, const struct addrinfo **out,
	      const char **problem)
{
	if (!atomic_load(&l->ended))
		return (R_BUSY);
	if (l->error != 0 || l->list == NULL) {
		*problem = gai_strerror(l->error);
		return (R_UNAVAILABLE);
	}
	*out = l->list;
	return (R_OK);
}

void
lookup_drop(struct lookup *l)
{
	if (l != NULL)
		release(l);
}
