/* SPDX-License-Identifier: MIT */
#include "proxy.h"
#include "scratch.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LOOK_AGAIN_MS 10 /* a mode that changes is seen by then */

struct harness_proxy {
	const char *to;
	int fd;
	unsigned port;
	atomic_int mode;
	atomic_uint amount, connections;
};

/* One connection; a thread has it. */
struct line {
	struct harness_proxy *proxy;
	int client, server;
	size_t answered; /* bytes */
};

static int
connect_to(const char *to)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET };
	const struct sockaddr *a = (const struct sockaddr *)&un;
	socklen_t size = sizeof(un);
	const int on = 1;
	int fd;

	if (to[0] == '/') {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", to);
	} else {
		in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		in.sin_port = htons((uint16_t)atoi(to));
		a = (const struct sockaddr *)&in;
		size = sizeof(in);
	}
	fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return (-1);
	if (connect(fd, a, size) != 0) {
		close(fd);
		return (-1);
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return (fd);
}

static bool
send_all(int fd, const char *at, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			return (false);
		at += n;
		len -= (size_t)n;
	}
	return (true);
}

static void
nap_ms(unsigned ms)
{
	const struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

static void
close_with_reset(int fd)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Pass some of an answer on; false ends the connection. */
static bool
pass_answer(struct line *l)
{
	unsigned amount = atomic_load(&l->proxy->amount);
	int mode = atomic_load(&l->proxy->mode);
	char text[16384];
	ssize_t n = recv(l->server, text, sizeof(text), 0);
	size_t len = (size_t)n;
	bool whole = true;

	if (n <= 0)
		return (false);
	if (mode == PROXY_DELAY)
		nap_ms(amount);
	if (mode == PROXY_CUT && l->answered + len >= amount) {
		len = amount > l->answered ? amount - l->answered : 0;
		whole = false;
	}
	for (size_t i = 0; mode == PROXY_CORRUPT && i < len; i++)
		if ((l->answered + i) % amount == amount - 1)
			text[i] ^= 0x15;
	l->answered += len;
	return (send_all(l->client, text, len) && whole);
}

static bool
pass_question(const struct line *l)
{
	char text[16384];
	ssize_t n = recv(l->client, text, sizeof(text), 0);

	return (n > 0 && send_all(l->server, text, (size_t)n));
}

static bool
work(struct line *l)
{
	struct pollfd fds[2] = { { .fd = l->client, .events = POLLIN },
				 { .fd = l->server, .events = POLLIN } };

	switch (atomic_load(&l->proxy->mode)) {
	case PROXY_REFUSE:
		return (false);
	case PROXY_STALL:
		nap_ms(LOOK_AGAIN_MS);
		return (recv(l->client, &(char){ 0 }, 1,
			     MSG_PEEK | MSG_DONTWAIT) != 0);
	default:
		break;
	}
	if (poll(fds, 2, LOOK_AGAIN_MS) <= 0)
		return (true);
	if (fds[0].revents != 0 && !pass_question(l))
		return (false);
	return (fds[1].revents == 0 || pass_answer(l));
}

static void *
serve_line(void *arg)
{
	struct line *l = arg;

	l->server = connect_to(l->proxy->to);
	while (l->server >= 0 && work(l))
		continue;
	if (l->server >= 0)
		close(l->server);
	close_with_reset(l->client);
	free(l);
	return (NULL);
}

static void *
accept_lines(void *arg)
{
	struct harness_proxy *p = arg;
	const int on = 1;
	pthread_t thread;
	struct line *l;
	int fd;

	while ((fd = accept(p->fd, NULL, NULL)) >= 0) {
		atomic_fetch_add(&p->connections, 1);
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		l = calloc(1, sizeof(*l));
		if (l == NULL)
			abort();
		*l = (struct line){ .proxy = p, .client = fd };
		if (pthread_create(&thread, NULL, serve_line, l) != 0)
			abort();
		pthread_detach(thread);
	}
	return (NULL);
}

struct harness_proxy *
harness_proxy_new(const char *to)
{
	struct harness_proxy *p = scratch_alloc(sizeof(*p));
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t size = sizeof(a);
	pthread_t thread;

	p->to = scratch_copy(to, strlen(to));
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(p->fd, 0);
	ck_assert_int_eq(bind(p->fd, (struct sockaddr *)&a, size), 0);
	ck_assert_int_eq(listen(p->fd, 100), 0);
	ck_assert_int_eq(getsockname(p->fd, (struct sockaddr *)&a, &size), 0);
	p->port = ntohs(a.sin_port);
	ck_assert_int_eq(pthread_create(&thread, NULL, accept_lines, p), 0);
	pthread_detach(thread);
	return (p);
}

unsigned
harness_proxy_port(const struct harness_proxy *p)
{
	return (p->port);
}

void
harness_proxy_set(struct harness_proxy *p, enum proxy_mode mode,
		  unsigned amount)
{
	atomic_store(&p->amount, amount);
	atomic_store(&p->mode, mode);
}

unsigned
harness_proxy_connections(const struct harness_proxy *p)
{
	return (atomic_load(&p->connections));
}
