/* SPDX-License-Identifier: MIT */
#include "stats.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PATHS_OF_CONNECTION 16 /* one that asks for more is counted again */

struct stats_path {
	struct stats_path *next;
	unsigned long requests, not_modified, connections;
	unsigned in_flight, max_in_flight;
	char *authorization, *if_none_match, *accept_encoding;
	char path[];
};

struct stats_connection {
	struct stats_path *seen[PATHS_OF_CONNECTION];
	unsigned n_seen;
	unsigned long epoch; /* `seen` holds for this one */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct stats_path *paths;
static unsigned long requests, connections, epoch;

struct stats_connection *
stats_connection_new(void)
{
	struct stats_connection *c = calloc(1, sizeof(*c));

	pthread_mutex_lock(&lock);
	connections++;
	if (c != NULL)
		c->epoch = epoch;
	pthread_mutex_unlock(&lock);
	return (c);
}

void
stats_connection_free(struct stats_connection *c)
{
	free(c);
}

/* With the lock held. */
static struct stats_path *
path_of(const char *path)
{
	size_t size = strlen(path) + 1;
	struct stats_path *p;

	for (p = paths; p != NULL; p = p->next)
		if (strcmp(p->path, path) == 0)
			return (p);
	p = calloc(1, sizeof(*p) + size);
	if (p == NULL)
		abort();
	memcpy(p->path, path, size);
	p->next = paths;
	paths = p;
	return (p);
}

static void
keep(char **place, const char *text)
{
	free(*place);
	*place = text != NULL ? strdup(text) : NULL;
}

/* Has this connection not asked for this path before? */
static bool
first_time(struct stats_connection *c, struct stats_path *p)
{
	if (c == NULL)
		return (true);
	if (c->epoch != epoch) {
		c->epoch = epoch;
		c->n_seen = 0;
	}
	for (unsigned i = 0; i < c->n_seen; i++)
		if (c->seen[i] == p)
			return (false);
	if (c->n_seen < PATHS_OF_CONNECTION)
		c->seen[c->n_seen++] = p;
	return (true);
}

struct stats_path *
stats_begin(struct stats_connection *c, const struct stats_request *r)
{
	struct stats_path *p;

	pthread_mutex_lock(&lock);
	p = path_of(r->path);
	requests++;
	p->requests++;
	p->not_modified += r->status == 304;
	p->connections += first_time(c, p);
	if (++p->in_flight > p->max_in_flight)
		p->max_in_flight = p->in_flight;
	keep(&p->authorization, r->authorization);
	keep(&p->if_none_match, r->if_none_match);
	keep(&p->accept_encoding, r->accept_encoding);
	pthread_mutex_unlock(&lock);
	return (p);
}

void
stats_end(struct stats_path *p)
{
	pthread_mutex_lock(&lock);
	p->in_flight--;
	pthread_mutex_unlock(&lock);
}

void
stats_reset(void)
{
	pthread_mutex_lock(&lock);
	epoch++;
	requests = connections = 0;
	for (struct stats_path *p = paths; p != NULL; p = p->next) {
		p->requests = p->not_modified = p->connections = 0;
		p->max_in_flight = p->in_flight;
		keep(&p->authorization, NULL);
		keep(&p->if_none_match, NULL);
		keep(&p->accept_encoding, NULL);
	}
	pthread_mutex_unlock(&lock);
}

static void
write_string(FILE *to, const char *text)
{
	if (text == NULL) {
		fputs("null", to);
		return;
	}
	fputc('"', to);
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			fprintf(to, "\\u%04x", c);
		else
			fputc(c, to);
	}
	fputc('"', to);
}

void
stats_write(FILE *to)
{
	bool first = true;

	pthread_mutex_lock(&lock);
	fprintf(to, "{\"requests\":%lu,\"connections\":%lu,\"paths\":{",
		requests, connections);
	for (struct stats_path *p = paths; p != NULL; p = p->next) {
		if (p->requests == 0 && p->in_flight == 0)
			continue;
		if (!first)
			fputc(',', to);
		first = false;
		write_string(to, p->path);
		fprintf(to,
			":{\"requests\":%lu,\"not_modified\":%lu,"
			"\"connections\":%lu,\"in_flight\":%u,"
			"\"max_in_flight\":%u,\"authorization\":",
			p->requests, p->not_modified, p->connections,
			p->in_flight, p->max_in_flight);
		write_string(to, p->authorization);
		fputs(",\"if_none_match\":", to);
		write_string(to, p->if_none_match);
		fputs(",\"accept_encoding\":", to);
		write_string(to, p->accept_encoding);
		fputc('}', to);
	}
	fputs("}}\n", to);
	pthread_mutex_unlock(&lock);
}
