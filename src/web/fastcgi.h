/* SPDX-License-Identifier: MIT */
#ifndef FASTCGI_H
#define FASTCGI_H

#include "../base/bytes.h"
#include "../base/buf.h"
#include "../base/result.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * fastcgi: the wire protocol (FastCGI Specification 1.0, M. Brown 1996),
 * without sockets.  Record layouts and constants come from libfcgi's header.
 *
 * Reading is incremental and never blocks: feed whatever bytes are there; a
 * request comes out when it is complete.  libfcgi's own streams cannot do that:
 * they read with blocking calls, which gives a slow peer a thread.
 */

#define FASTCGI_PARAMS_MAX 65536 /* bytes, of one request */

/* What a peer has sent so far of one request.  Zero-initialised it waits for a
 * BEGIN_REQUEST. */
struct fastcgi_reader {
	uint16_t id;
	bool begun, params_done, body_done, keep_connection, aborted;
	struct buf params; /* PARAMS, when they came in several records */
	struct buf body;   /* STDIN */

	/* Set once params_done: into `params`, or into the bytes fed (see
	 * fastcgi_feed()). */
	struct bytes whole_params;
};

enum fastcgi_event {
	FASTCGI_MORE,	 /* feed more */
	FASTCGI_REQUEST, /* a whole request is there */
	FASTCGI_ABORT,	 /* given up by the web server, or of a role that we do
			  * not play: `reply` ends it; reset the reader */
	FASTCGI_REPLY,	 /* `reply` holds records to send; then feed on */
	FASTCGI_BROKEN,	 /* not FastCGI: close */
};

/*
 * Consume records from the front of `*input`; stops after the first event other
 * than FASTCGI_MORE.  On return *input is what was not consumed (with
 * FASTCGI_MORE: at most one incomplete record, which the caller feeds again,
 * grown).
 *
 * When all of PARAMS came in one record, `whole_params` points into the
 * caller's bytes: valid while those are.  PARAMS over FASTCGI_PARAMS_MAX are
 * dropped as they come: params.error is R_TOO_LARGE and whole_params empty.  So
 * is a body over `body_limit`: body.error is R_TOO_LARGE.
 *
 * `reply` gets GET_VALUES_RESULT, UNKNOWN_TYPE, and END_REQUEST for roles other
 * than RESPONDER and for a second request on a busy connection.  Records of
 * other request ids are skipped.
 */
enum fastcgi_event fastcgi_feed(struct fastcgi_reader *r, struct bytes *input,
				size_t body_limit, struct buf *reply);

/* Be ready for the next request; keeps memory. */
void fastcgi_reader_reset(struct fastcgi_reader *r);
void fastcgi_reader_fini(struct fastcgi_reader *r);

/* Take one name-value pair off the front of a PARAMS stream; false at its end
 * or when it is malformed (then *rest is not empty). */
bool fastcgi_next_param(struct bytes *rest, struct bytes *name,
			struct bytes *value);

/* An answer on its way out: `head`, then `body`, cut into STDOUT records, then
 * the end of the stream and END_REQUEST. */
struct fastcgi_writer {
	struct bytes head, body; /* must stay valid until done */
	uint16_t id;
	size_t sent; /* bytes of the record stream that are out */
};

/* All bytes of the record stream; the answer is out when `sent` has come to
 * that. */
size_t fastcgi_stream_bytes(const struct fastcgi_writer *w);

/* Fill `iov` with what comes next, at most `max` pieces (4 or more); scratch
 * space for record headers is the caller's, one per thread.  Returns the number
 * of pieces; 0: all is sent.  After writev() add its result to w->sent. */
struct fastcgi_scratch {
	unsigned char headers[256][8];
	unsigned char tail[32];
};
unsigned fastcgi_fill(const struct fastcgi_writer *w,
		      struct fastcgi_scratch *scratch, struct iovec *iov,
		      unsigned max);

#endif
