/* SPDX-License-Identifier: MIT */
/*
 * keys: what finding one entry among many costs in the memory tier, and what they
 * occupy.
 *
 *	keys COUNT	one line: nanoseconds to find an entry at random and read its
 *			body, bytes the tier says it holds, bytes resident for them
 */
#include "base/buf.h"
#include "base/clock.h"
#include "cache/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GETS 2000000
#define BODY_BYTES 512
#define LINE_BYTES 64

static size_t
resident_bytes(void)
{
	unsigned long whole, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f == NULL || fscanf(f, "%lu %lu", &whole, &resident) != 2)
		exit(1);
	fclose(f);
	return (resident * (size_t)sysconf(_SC_PAGESIZE));
}

static struct bytes
key_of(char to[static 64], unsigned i)
{
	int n = snprintf(to, 64, "usage:0123456789abcdef:costs:%u:day", i);

	return ((struct bytes){ to, (size_t)n });
}

static void
fill(struct memory *m, unsigned count)
{
	char body[BODY_BYTES], key[64];
	struct entry_parts parts = {
		.body = { body, sizeof(body) },
		.life = { .loaded_at_ms = clock_wall_ms(),
			  .refresh_at_ms = INT64_MAX,
			  .fresh_until_ms = INT64_MAX,
			  .stale_until_ms = INT64_MAX },
	};
	struct entry *e;

	memset(body, 'x', sizeof(body));
	for (unsigned i = 0; i < count; i++) {
		parts.key = key_of(key, i);
		if (entry_new(&parts, &e) != R_OK)
			exit(1);
		memory_put(m, e);
		entry_unref(e);
	}
}

static unsigned
read_body(const struct entry *e)
{
	unsigned sum = 0;

	for (size_t i = 0; i < e->body.len; i += LINE_BYTES)
		sum += (unsigned char)e->body.at[i];
	return (sum);
}

int
main(int argc, char **argv)
{
	unsigned count = argc == 2 ? (unsigned)atol(argv[1]) : 0, sum = 0;
	size_t empty = resident_bytes(), occupied;
	struct memory *m = memory_new((size_t)4 << 30);
	uint64_t random = 1;
	int64_t began_us;
	char key[64];

	if (count == 0 || m == NULL) {
		fprintf(stderr, "usage: keys COUNT\n");
		return (64);
	}
	fill(m, count);
	occupied = resident_bytes() - empty;
	began_us = clock_monotonic_us();
	for (unsigned i = 0; i < GETS; i++) {
		struct entry *e;

		random = random * 6364136223846793005u + 1442695040888963407u;
		e = memory_get(m,
			       key_of(key, (unsigned)(random >> 33) % count));
		if (e == NULL)
			return (1);
		sum += read_body(e);
		entry_unref(e);
	}
	printf("%.0f %zu %zu\n",
	       (double)(clock_monotonic_us() - began_us) * 1e3 / GETS,
	       memory_bytes(m), occupied);
	return (sum == 0);
}
