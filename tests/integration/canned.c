/* SPDX-License-Identifier: MIT */
#include "canned.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct canned {
	int fd;
	const char *text;
};

static void *
serve(void *arg)
{
	const struct canned *c = arg;
	char request[4096];
	int fd;

	while ((fd = accept(c->fd, NULL, NULL)) >= 0) {
		if (recv(fd, request, sizeof(request), 0) > 0)
			(void)send(fd, c->text, strlen(c->text), MSG_NOSIGNAL);
		shutdown(fd, SHUT_WR);
		while (recv(fd, request, sizeof(request), 0) > 0)
			continue;
		close(fd);
	}
	return (NULL);
}

unsigned
canned_start(const char *text)
{
	static struct canned c;
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t size = sizeof(a);
	pthread_t thread;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c.text = text;
	c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(c.fd, 0);
	ck_assert_int_eq(bind(c.fd, (struct sockaddr *)&a, size), 0);
	ck_assert_int_eq(listen(c.fd, 100), 0);
	ck_assert_int_eq(getsockname(c.fd, (struct sockaddr *)&a, &size), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, &c), 0);
	pthread_detach(thread);
	return (ntohs(a.sin_port));
}
