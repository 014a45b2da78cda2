/* SPDX-License-Identifier: MIT */
#ifndef CATALOGUE_H
#define CATALOGUE_H

#include <stddef.h>
#include <time.h>

/*
 * catalogue: a models catalogue of OpenRouter's shape, as one HTTP body in two
 * encodings, with its validators.
 *
 * Generated ones depend on nothing but what is asked for: the same path,
 * version, and size give the same bytes on every run.  Reference-counted; any
 * thread.  The last few are remembered, so asking again is cheap.
 */
struct catalogue {
	char *body, *gzip;
	size_t body_len, gzip_len;
	char etag[24],
		etag_gzip[24]; /* strong, quoted; one for each encoding */
	time_t modified;
};

struct catalogue_wish {
	const char *
		path; /* /groq/models: ids of one path never occur in another */
	unsigned version; /* changes every model's price and description */
	unsigned models;  /* how many, unless `bytes` is given */
	size_t bytes;	  /* exact size of the body; 0: whatever it comes to */
};

/* NULL: no memory. */
struct catalogue *catalogue_make(const struct catalogue_wish *wish);

/* One whose body is given; takes `body`, which is malloc'ed. */
struct catalogue *catalogue_of(char *body, size_t len, time_t modified);

struct catalogue *catalogue_ref(struct catalogue *c);
void catalogue_unref(struct catalogue *c);

#endif
