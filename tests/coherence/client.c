/* SPDX-License-Identifier: MIT */
#include "client.h"
#include "../harness/fcgi.h"
#include "../harness/scratch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STDOUT = 6, END_REQUEST = 3 }; /* FastCGI Specification 1.0, section 8 */

void
client_init(struct client *c, const char *address)
{
	c->address = address;
	c->fd = -1;
	c->len = 0;
}

void
client_fini(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static bool
receive(struct client *c, void *to, size_t len, double until)
{
	char *at = to;

	while (len > 0) {
		double left = until - harness_now_ms();
		long n = fcgi_receive_raw(c->fd, at, len,
					  left > 0 ? (int)left : 0);

		if (n <= 0)
			return (false);
		at += n;
		len -= (size_t)n;
	}
	return (true);
}

static bool
receive_answer(struct client *c, double until)
{
	unsigned char head[8];
	char rest[65536 + 256];
	size_t len;

	for (c->len = 0;;) {
		if (!receive(c, head, sizeof(head), until))
			return (false);
		len = (size_t)head[4] << 8 | head[5];
		if (!receive(c, rest, len + head[6], until))
			return (false);
		if (head[1] == END_REQUEST)
			return (true);
		if (head[1] != STDOUT)
			continue;
		if (c->len + len >= sizeof(c->text))
			return (false);
		memcpy(c->text + c->len, rest, len);
		c->len += len;
		c->text[c->len] = '\0';
	}
}

int
client_ask(struct client *c, const char *request, size_t len, int timeout_ms)
{
	double until = harness_now_ms() + timeout_ms;

	c->text[0] = '\0';
	if (c->fd < 0)
		c->fd = fcgi_connect(c->address);
	if (c->fd < 0 || !fcgi_send_raw(c->fd, request, len) ||
	    !receive_answer(c, until)) {
		client_fini(c);
		return (0);
	}
	if (strncmp(c->text, "Status: ", 8) == 0)
		return (atoi(c->text + 8));
	return (200);
}

const char *
client_body(const struct client *c)
{
	const char *end = strstr(c->text, "\r\n\r\n");

	return (end != NULL ? end + 4 : "");
}
