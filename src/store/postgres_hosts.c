/* SPDX-License-Identifier: MIT */
#include "postgres_hosts.h"

#include "../base/clock.h"
#include "libpq.h"
#include "lookup.h"

#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>

#define HOSTS_MAX 16

struct host {
	const char *name, *port;
	struct lookup *lookup; /* NULL: there is nothing to look up */
};

/* What the URL says of `keyword`, to be cut up; NULL: nothing. */
static char *
value_of(PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword != NULL; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return (options->val != NULL && options->val[0] != '\0'
					? options->val
					: NULL);
	return (NULL);
}

static bool
is_name(const char *host)
{
	return (host[0] != '\0' && host[0] != '/' && host[0] != '@');
}

/* Take the lists apart.  0: this is for libpq alone, as it is when it will
 * refuse them.  HOSTS_MAX + 1: there are too many. */
static unsigned
split(PQconninfoOption *options, struct host *hosts)
{
	char *names = value_of(options, "host");
	char *ports = value_of(options, "port"), *port = ports;
	bool one_port = ports == NULL || strchr(ports, ',') == NULL;
	unsigned n = 0, n_names = 0;

	if (value_of(options, "hostaddr") != NULL)
		return (0);
	while (names != NULL && n < HOSTS_MAX) {
		if (!one_port && (port = strsep(&ports, ",")) == NULL)
			return (0);
		hosts[n].name = strsep(&names, ",");
		hosts[n].port = port != NULL ? port : "";
		n_names += is_name(hosts[n].name);
		n++;
	}
	if (names != NULL)
		return (HOSTS_MAX + 1);
	if (!one_port && ports != NULL)
		return (0);
	return (n_names > 0 ? n : 0);
}

static void
add(struct postgres_hosts *out, const struct host *h, const char *address)
{
	const char *const values[] = { h->name, address, h->port };

	for (unsigned i = 0; i < 3; i++) {
		if (out->host != NULL)
			buf_char(&out->lists[i], ',');
		buf_str(&out->lists[i], values[i]);
	}
	out->host = h->name; /* there is one */
}

static void
add_all(struct postgres_hosts *out, const struct host *h,
	const struct addrinfo *list)
{
	char address[NI_MAXHOST];

	for (; list != NULL; list = list->ai_next)
		if (getnameinfo(list->ai_addr, list->ai_addrlen, address,
				sizeof(address), NULL, 0, NI_NUMERICHOST) == 0)
			add(out, h, address);
}

static enum result
await(struct lookup *l, int64_t deadline_ms, const struct addrinfo **list,
      const char **why)
{
	struct pollfd fd = { .fd = lookup_fd(l), .events = POLLIN };
	enum result r;

	while ((r = lookup_result(l, list, why)) == R_BUSY &&
	       clock_left_ms(deadline_ms) > 0)
		(void)poll(&fd, 1, clock_left_ms(deadline_ms));
	if (r != R_BUSY)
		return (r);
	*why = "no answer in time";
	return (R_UNAVAILABLE);
}

static void
find(struct host *h, int64_t deadline_ms, struct postgres_hosts *out,
     struct buf *problem)
{
	const struct addrinfo *list = NULL;
	const char *why = "it cannot be looked up";

	if (!is_name(h->name))
		add(out, h, "");
	else if (h->lookup != NULL &&
		 await(h->lookup, deadline_ms, &list, &why) == R_OK)
		add_all(out, h, list);
	else
		buf_printf(problem, "%sno address of host %s: %s",
			   problem->len > 0 ? "\n" : "", h->name, why);
}

/* All at once.  Half of the time is theirs: a name that nobody answers for
 * leaves the rest to the other hosts. */
static void
find_all(struct host *hosts, unsigned n, int64_t deadline_ms,
	 struct postgres_hosts *out, struct buf *problem)
{
	int64_t until_ms = deadline_ms - clock_left_ms(deadline_ms) / 2;
	unsigned i;

	for (i = 0; i < n; i++) {
		hosts[i].lookup = NULL;
		if (is_name(hosts[i].name) &&
		    lookup_start(hosts[i].name, "0", &hosts[i].lookup) != R_OK)
			hosts[i].lookup = NULL;
	}
	for (i = 0; i < n; i++) {
		find(&hosts[i], until_ms, out, problem);
		lookup_drop(hosts[i].lookup);
	}
}

enum result
postgres_hosts_find(const char *url, int64_t deadline_ms,
		    struct postgres_hosts *out, struct buf *problem)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	struct host hosts[HOSTS_MAX];
	enum result r = R_OK;
	unsigned n;

	*out = (struct postgres_hosts){ 0 };
	if (options == NULL)
		return (R_OK); /* libpq will say why */
	n = split(options, hosts);
	if (n == 0)
		goto out;
	if (n <= HOSTS_MAX)
		find_all(hosts, n, deadline_ms, out, problem);
	else
		buf_printf(problem, "more than %d hosts", HOSTS_MAX);
	if (out->host == NULL) {
		r = R_UNAVAILABLE;
		goto out;
	}
	out->host = buf_bytes(&out->lists[0]).at;
	out->hostaddr = buf_bytes(&out->lists[1]).at;
	out->port = buf_bytes(&out->lists[2]).at;
	for (n = 0; n < 3 && r == R_OK; n++)
		r = buf_error(&out->lists[n]);
out:
	PQconninfoFree(options);
	return (r);
}

void
postgres_hosts_fini(struct postgres_hosts *h)
{
	for (unsigned i = 0; i < 3; i++)
		buf_fini(&h->lists[i]);
}
