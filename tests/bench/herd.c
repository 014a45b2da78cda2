/* SPDX-License-Identifier: MIT */
/*
 * herd: many HTTP clients at the same moment, one request each.
 *
 *	herd PORT COUNT PATH...
 *
 * The clients take the paths in turn.  Once all have been answered, one line: how
 * many got a 200, how many anything else or nothing, and p50, p99 and the longest
 * time in milliseconds.  Gives up after 60 s.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 20000
#define LIMIT_MS 60000

struct client {
	int fd, status; /* 0: none yet */
	char head[16];
	size_t len;
};

static struct client clients[CLIENTS_MAX];
static double times[CLIENTS_MAX];

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6);
}

static void
begin(struct client *c, int port, int epoll_fd)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port) };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 ||
	    connect(c->fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
		die("connect");
}

/* True: the answer is over.  It is as long as the connection is open. */
static bool
take(struct client *c)
{
	char some[65536];
	ssize_t n = recv(c->fd, some, sizeof(some), MSG_DONTWAIT);
	size_t room = sizeof(c->head) - 1 - c->len;

	if (n < 0 && errno == EAGAIN)
		return (false);
	if (n <= 0) {
		if (sscanf(c->head, "HTTP/1.1 %d", &c->status) != 1)
			c->status = -1;
		close(c->fd);
		return (true);
	}
	if (room > (size_t)n)
		room = (size_t)n;
	memcpy(c->head + c->len, some, room);
	c->len += room;
	return (false);
}

static int
compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return ((*x > *y) - (*x < *y));
}

static int
wait_for_all(int epoll_fd, int count, double began)
{
	struct epoll_event events[256];
	int answered = 0, n, i;

	while (answered < count && now_ms() - began < LIMIT_MS) {
		n = epoll_wait(epoll_fd, events, 256, 1000);
		for (i = 0; i < n; i++)
			if (take(events[i].data.ptr))
				times[answered++] = now_ms() - began;
	}
	return (answered);
}

int
main(int argc, char **argv)
{
	int count = argc > 3 ? atoi(argv[2]) : 0, fine = 0, answered, i, n;
	int epoll_fd = epoll_create1(0);
	char request[1024];
	double began;

	if (count < 1 || count > CLIENTS_MAX) {
		fprintf(stderr, "usage: herd PORT COUNT PATH...\n");
		return (64);
	}
	for (i = 0; i < count; i++)
		begin(&clients[i], atoi(argv[1]), epoll_fd);
	began = now_ms();
	for (i = 0; i < count; i++) {
		n = snprintf(request, sizeof(request),
			     "GET %s HTTP/1.1\r\nHost: localhost\r\n"
			     "Connection: close\r\n\r\n",
			     argv[3 + i % (argc - 3)]);
		if (send(clients[i].fd, request, (size_t)n, MSG_NOSIGNAL) != n)
			die("send");
	}
	answered = wait_for_all(epoll_fd, count, began);
	for (i = 0; i < count; i++)
		fine += clients[i].status == 200;
	qsort(times, (size_t)answered, sizeof(times[0]), compare);
	printf("%d %d %.1f %.1f %.1f\n", fine, count - fine,
	       answered == 0 ? 0 : times[answered / 2],
	       answered == 0 ? 0 : times[(answered * 99 - 1) / 100],
	       answered == 0 ? 0 : times[answered - 1]);
	return (fine == count ? 0 : 1);
}
