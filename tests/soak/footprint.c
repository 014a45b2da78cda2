/* SPDX-License-Identifier: MIT */
#include "footprint.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a worker has open without any connection to it. */
#define OPEN_MOST (24 + DEPLOYMENT_POOL + FOOTPRINT_IDLE)

static long
resident_kib(pid_t pid)
{
	char path[64], line[256];
	long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "VmRSS:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	if (f != NULL)
		fclose(f);
	return (kib);
}

static unsigned
descriptors(pid_t pid)
{
	char path[64];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return (n > 2 ? n - 2 : 0); /* "." and ".." */
}

/* Lines of a CLIENT LIST, without the one who asks. */
static unsigned
redis_clients(void)
{
	const char *list = harness_redis_command(stack.redis, "CLIENT LIST");
	unsigned n = 0;

	for (; (list = strchr(list, '\n')) != NULL; list++)
		n++;
	return (n > 0 ? n - 1 : 0);
}

void
footprint_take(struct footprint *f)
{
	for (unsigned i = 0; i < DEPLOYMENT_WORKERS; i++) {
		pid_t pid = harness_worker_pid(deployment_workers[i], 0);

		f->rss_kib[i] = resident_kib(pid);
		f->descriptors[i] = descriptors(pid);
	}
	f->postgres = (unsigned)atoi(
		harness_sql(stack.owner_url, "SELECT count(*) FROM "
					     "pg_stat_activity WHERE usename = "
					     "'warmfront'"));
	f->redis = redis_clients();
}

static bool
is_at_rest(struct footprint *f)
{
	footprint_take(f);
	for (unsigned i = 0; i < DEPLOYMENT_WORKERS; i++)
		if (f->descriptors[i] > OPEN_MOST)
			return (false);
	return (true);
}

void
footprint_rest(const char *when, struct footprint *f)
{
	wait_until(is_at_rest(f), 20000);
	printf("%s: RSS", when);
	for (unsigned i = 0; i < DEPLOYMENT_WORKERS; i++)
		printf(" %.1f", (double)f->rss_kib[i] / 1024);
	printf(" MiB; descriptors");
	for (unsigned i = 0; i < DEPLOYMENT_WORKERS; i++)
		printf(" %u", f->descriptors[i]);
	printf("; connections to PostgreSQL %u, to Redis %u\n", f->postgres,
	       f->redis);
	fflush(stdout);
}

bool
footprint_is_flat(long before_kib, long after_kib)
{
#ifdef SANITIZED
	(void)before_kib, (void)after_kib;
	return (true);
#else
	return (after_kib < before_kib + before_kib / 4 + 2048);
#endif
}

unsigned
footprint_leases(void)
{
	const char *keys = harness_redis_command(stack.redis, "KEYS *@lease*");
	const char *held =
		harness_sql(stack.owner_url,
			    "SELECT count(*) FROM cache_leases WHERE "
			    "failure IS NULL AND expires_at > now()");

	return ((unsigned)(keys[0] != '\0') + (unsigned)atoi(held));
}

long long
footprint_stored_bytes(void)
{
	return (atoll(harness_sql(stack.owner_url,
				  "SELECT coalesce(sum(size_bytes), 0) "
				  "FROM cache_entries")));
}
