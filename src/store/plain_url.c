/* SPDX-License-Identifier: MIT */
#include "plain_url.h"

#include "../base/bytes.h"

#include <string.h>

static bool
is_plain(struct bytes text, const char *besides)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') ||
		      (c != '\0' && (strchr("-._~", c) != NULL ||
				     strchr(besides, c) != NULL))))
			return (false);
	}
	return (true);
}

static bool
is_port(struct bytes text)
{
	int64_t port;

	return (bytes_to_int64(text, &port) && port > 0 && port < 65536);
}

/* "user:password@host:port", of which all may be missing but the host. */
static bool
is_plain_authority(struct bytes text, enum plain_url_host wanted)
{
	ptrdiff_t end = bytes_find(text, '@');
	struct bytes host = text, name;

	if (end >= 0) {
		if (!is_plain((struct bytes){ text.at, (size_t)end }, ":"))
			return (false);
		host = bytes_from(text, (size_t)end + 1);
	}
	end = bytes_find(host, ':');
	if (end >= 0 && !is_port(bytes_from(host, (size_t)end + 1)))
		return (false);
	name = bytes_cut(&host, ':');
	if (name.len == 0)
		return (wanted == URL_MAY_LACK_HOST && end < 0);
	return (is_plain(name, "") && strchr("-._~", name.at[0]) == NULL);
}

static bool
is_plain_query(struct bytes query, const char *const *names)
{
	while (query.len > 0) {
		struct bytes value = bytes_cut(&query, '&');
		struct bytes name = bytes_cut(&value, '=');
		unsigned i = 0;

		while (names[i] != NULL &&
		       !bytes_equal(name, bytes_of(names[i])))
			i++;
		if (names[i] == NULL || value.len == 0 || !is_plain(value, "/"))
			return (false);
	}
	return (true);
}

bool
plain_url(const char *url, const char *scheme, enum plain_url_host host,
	  const char *const *names)
{
	struct bytes query = bytes_of(url), rest, authority;

	if (!bytes_starts(query, bytes_of(scheme)))
		return (false);
	query = bytes_from(query, strlen(scheme));
	if (!bytes_starts(query, BYTES("://")))
		return (false);
	query = bytes_from(query, 3);
	rest = bytes_cut(&query, '?');
	authority = bytes_cut(&rest, '/');
	return (is_plain_authority(authority, host) && is_plain(rest, "/") &&
		is_plain_query(query, names));
}
