/* SPDX-License-Identifier: MIT */
#ifndef PLAN_H
#define PLAN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * plan: what the upstream is told to do with the requests under a path prefix.
 *
 * The longest prefix that fits a path decides.  A rule with `times` goes when it
 * has been applied that often.  A version is kept apart from the rules: it says
 * what the catalogue holds, they say how it is answered.  Any thread.
 */
enum mode {
	MODE_NORMAL,
	MODE_RESET,	/* RST in place of an answer */
	MODE_TRUNCATE,	/* half of the announced Content-Length, then the end */
	MODE_CHUNK_CUT, /* chunked, cut before the last chunk */
	MODE_ENDLESS,	/* a body without an end */
	MODE_TRICKLE,	/* a byte every 100 ms */
	MODE_NOT_JSON,	/* 200, text/html */
	MODE_BROKEN_JSON, /* 200, JSON cut in the middle */
	MODE_HUGE,	  /* a valid catalogue of `bytes` bytes */
	MODE_REDIRECT,	  /* 302 to `text` */
	MODE_HANG,	  /* never answers */
	MODE_RETRY_AFTER, /* 429 with Retry-After: `bytes` */
};

struct plan {
	enum mode mode;
	int status; /* 0: what the mode means by itself */
	unsigned delay_ms, delay_max_ms;
	bool has_delay; /* false: the default of the command line */
	size_t bytes;
	char text[1024];
	unsigned long times; /* 0: for good */
};

/* Read a `mode` as the control request gives it: "huge:1000".  "version:N" is
 * not a mode, and refused here. */
bool plan_parse_mode(const char *text, struct plan *to);

/* Read "100" or "2000-3000". */
bool plan_parse_delay(const char *text, struct plan *to);

/* From now on, or for the next `times` requests; replaces the prefix's rule. */
void plan_set(const char *prefix, const struct plan *plan);
void plan_set_version(const char *prefix, unsigned version);
void plan_reset(void);

/* What to do with a request for `path` that has just arrived. */
struct plan plan_take(const char *path, unsigned *version);

#endif
