/* SPDX-License-Identifier: MIT */
#include "discreet.h"

#include <stddef.h>
#include <string.h>

static const char *const inside[] = {
	"127.0.0.1", "/tmp/",	 "unix:", "redis",   "postgres",   "SELECT",
	"INSERT",    "SQLSTATE", "libpq", "hiredis", "curl",	   "errno",
	"cache_",    "@lease",	 "src/",  ".c:",     "permission",
};

const char *
discreet_leak(const char *text)
{
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
		if (strstr(text, inside[i]) != NULL)
			return (inside[i]);
	return (NULL);
}
