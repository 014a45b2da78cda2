/* SPDX-License-Identifier: MIT */
#ifndef RECORDS_H
#define RECORDS_H

#include "base/buf.h"

/*
 * records: FastCGI records as a web server would write them, for tests.
 * Types, roles and flags are the numbers of the specification.
 */
enum {
	RECORDS_BEGIN = 1,
	RECORDS_ABORT = 2,
	RECORDS_END = 3,
	RECORDS_PARAMS = 4,
	RECORDS_STDIN = 5,
	RECORDS_STDOUT = 6,
	RECORDS_DATA = 8,
	RECORDS_GET_VALUES = 9,
	RECORDS_GET_VALUES_RESULT = 10,
	RECORDS_UNKNOWN_TYPE = 11
};
enum { RECORDS_RESPONDER = 1 };
enum { RECORDS_CLOSE = 0, RECORDS_KEEP = 1 };

/* One record; `padding` bytes of junk behind its content. */
void records_add(struct buf *to, unsigned type, unsigned id,
		 struct bytes content, unsigned padding);
void records_begin(struct buf *to, unsigned id, unsigned role, unsigned flags);

/* `content` in records of at most `chunk` bytes, and the empty one that ends it. */
void records_stream(struct buf *to, unsigned type, unsigned id,
		    struct bytes content, size_t chunk);

/* A name-value pair of a PARAMS stream. */
void records_pair(struct buf *to, const char *name, struct bytes value);

/* A whole request as nginx sends it: GET, or POST when there is a body. */
void records_request(struct buf *to, unsigned id, unsigned flags,
		     const char *uri, struct bytes body);

#endif
