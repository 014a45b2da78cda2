/* SPDX-License-Identifier: MIT */
#include "discreet.h"

#include <stddef.h>
#include <string.h>

static const char *const inside[] = {
	/* places */
	"127.0.0.1", "localhost", "/tmp/", "unix:", ".s.pgsql", "redis://",
	"rediss://", "postgres://", "postgresql://", "src/", ".c:",
	/* statements, and what they are about */
	"select ", "insert into", "update ", "delete from", " where ",
	"returning ", "sqlstate", "relation ", "column ", "constraint",
	"syntax error", "cache_log", "cache_invalidations", "cache_workers",
	"api_keys", "secret_hash", "@lease",
	/* what libraries, servers and the system say */
	"libpq", "hiredis", "curl", "openssl", "errno", "connection refused",
	"connection reset", "could not", "couldn't", "failed to", "broken pipe",
	"no such file", "permission", "authentication failed", "password",
	"noauth", "noperm", "wrongpass", "readonly", "loading redis",
	"terminating", "server closed", "certificate", "backtrace", "sanitizer"
};

static const char *const tiers[] = { "redis", "postgres", "cache_" };

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const char *
find(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcasestr(text, words[i]) != NULL)
			return (words[i]);
	return (NULL);
}

const char *
discreet_leak(const char *text, enum discretion d)
{
	const char *leak = find(text, inside, LENGTH(inside));

	if (leak == NULL && d == REFUSAL)
		leak = find(text, tiers, LENGTH(tiers));
	return (leak);
}
