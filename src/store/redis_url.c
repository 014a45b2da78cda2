/* SPDX-License-Identifier: MIT */
#include "redis_url.h"

#include "../base/alloc.h"
#include "../base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define DB_MAX 1000000

/* A string of its own; a NUL inside is refused. */
static enum result
percent_decode(struct bytes text, char **out)
{
	char *s = mem_string(text);
	size_t len;

	if (s == NULL)
		return (R_NO_MEMORY);
	if (!bytes_percent_decode(text, false, s, &len) ||
	    memchr(s, '\0', len) != NULL) {
		free(s);
		return (R_INVALID);
	}
	s[len] = '\0';
	*out = s;
	return (R_OK);
}

static enum result
parse_number(struct bytes text, int64_t max, int64_t *value)
{
	if (text.len == 0 || text.at[0] == '-')
		return (R_INVALID);
	if (!bytes_to_int64(text, value) || *value > max)
		return (R_INVALID);
	return (R_OK);
}

static enum result
parse_db(struct bytes text, struct redis_url *u)
{
	int64_t value;
	enum result r = parse_number(text, DB_MAX, &value);

	if (r == R_OK)
		u->db = (unsigned)value;
	return (r);
}

static enum result
parse_query(struct bytes query, struct redis_url *u)
{
	while (query.len > 0) {
		struct bytes value = bytes_cut(&query, '&');
		struct bytes name = bytes_cut(&value, '=');

		if (!bytes_equal(name, BYTES("db")))
			return (R_INVALID);
		if (parse_db(value, u) != R_OK)
			return (R_INVALID);
	}
	return (R_OK);
}

static enum result
parse_login(struct bytes info, struct redis_url *u)
{
	ptrdiff_t colon = bytes_find(info, ':');
	enum result r = R_OK;

	if (info.len == 0)
		return (R_OK);
	if (colon > 0) {
		struct bytes user = { info.at, (size_t)colon };

		r = percent_decode(user, &u->user);
	}
	if (r == R_OK)
		r = percent_decode(bytes_from(info, (size_t)(colon + 1)),
				   &u->password);
	return (r);
}

static enum result
parse_host(struct bytes text, struct redis_url *u)
{
	struct bytes host, port = BYTES("6379");
	int64_t number;

	if (text.len > 0 && text.at[0] == '[') {
		text = bytes_from(text, 1);
		if (bytes_find(text, ']') < 0)
			return (R_INVALID);
		host = bytes_cut(&text, ']');
		if (text.len > 0 && text.at[0] != ':')
			return (R_INVALID);
		text = bytes_from(text, text.len > 0);
		if (host.len == 0)
			return (R_INVALID);
	} else {
		host = bytes_cut(&text, ':');
	}
	if (text.len > 0)
		port = text;
	if (parse_number(port, 65535, &number) != R_OK || number == 0)
		return (R_INVALID);
	if (host.len == 0)
		host = BYTES("127.0.0.1");
	u->host = mem_string(host);
	u->port = mem_string(port);
	return (u->host == NULL || u->port == NULL ? R_NO_MEMORY : R_OK);
}

/* `rest` is what follows the scheme. */
static enum result
parse_network(struct bytes rest, struct redis_url *u)
{
	struct bytes authority = bytes_cut(&rest, '/');
	enum result r = parse_host(authority, u);

	if (r == R_OK && rest.len > 0)
		r = parse_db(rest, u);
	return (r);
}

static enum result
parse_unix(struct bytes path, struct redis_url *u)
{
	if (path.len == 0 || path.at[0] != '/')
		return (R_INVALID);
	if (path.len >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return (R_INVALID);
	return (percent_decode(path, &u->path));
}

static enum result
make_shown(struct redis_url *u)
{
	char text[512];
	const char *scheme = u->tls ? "rediss" : "redis";
	bool brackets = u->host != NULL && strchr(u->host, ':') != NULL;

	if (u->path != NULL)
		snprintf(text, sizeof(text), "unix://%s", u->path);
	else
		snprintf(text, sizeof(text), "%s://%s%s%s:%s", scheme,
			 brackets ? "[" : "", u->host, brackets ? "]" : "",
			 u->port);
	u->shown = mem_strdup(text);
	return (u->shown == NULL ? R_NO_MEMORY : R_OK);
}

/* The '@' that ends the user information: the last one before the path, so
 * that a password which was not encoded still works. */
static ptrdiff_t
find_at(struct bytes rest)
{
	ptrdiff_t at = -1;

	for (size_t i = 0; i < rest.len && rest.at[i] != '/'; i++)
		if (rest.at[i] == '@')
			at = (ptrdiff_t)i;
	return (at);
}

enum result
redis_url_parse(const char *text, struct redis_url *out)
{
	struct redis_url u = { 0 };
	struct bytes rest = bytes_of(text);
	bool is_unix = bytes_starts(rest, BYTES("unix://"));
	enum result r = R_OK;
	ptrdiff_t at;

	u.tls = bytes_starts(rest, BYTES("rediss://"));
	if (!is_unix && !u.tls && !bytes_starts(rest, BYTES("redis://")))
		return (R_INVALID);
	rest = bytes_from(rest, (size_t)bytes_find(rest, '/') + 2);
	at = find_at(rest);
	if (at >= 0) {
		r = parse_login((struct bytes){ rest.at, (size_t)at }, &u);
		rest = bytes_from(rest, (size_t)at + 1);
	}
	if (r == R_OK) {
		struct bytes query = rest;

		rest = bytes_cut(&query, '?');
		r = is_unix ? parse_unix(rest, &u) : parse_network(rest, &u);
		if (r == R_OK)
			r = parse_query(query, &u);
	}
	if (r == R_OK)
		r = make_shown(&u);
	if (r != R_OK) {
		redis_url_fini(&u);
		return (r);
	}
	*out = u;
	return (R_OK);
}

void
redis_url_fini(struct redis_url *u)
{
	if (u->password != NULL)
		explicit_bzero(u->password, strlen(u->password));
	free(u->path);
	free(u->host);
	free(u->port);
	free(u->user);
	free(u->password);
	free(u->shown);
	*u = (struct redis_url){ 0 };
}
