/* SPDX-License-Identifier: MIT */
#include "fastcgi.h"

#include <assert.h>
#include <fastcgi.h>
#include <string.h>

/* A record's payload when we write: with its header, 64 KiB exactly, so that
 * the place in the stream is a shift and a mask.  No padding: a multiple of
 * 8. */
#define RECORD_BYTES 65536
#define PAYLOAD_BYTES (RECORD_BYTES - FCGI_HEADER_LEN)

/* The empty STDOUT record that ends the stream, and END_REQUEST. */
#define TAIL_BYTES (FCGI_HEADER_LEN + sizeof(FCGI_EndRequestRecord))

struct record {
	unsigned type;
	uint16_t id;
	struct bytes content;
};

static unsigned
byte(struct bytes b, size_t i)
{
	return ((unsigned char)b.at[i]);
}

static void
put_header(unsigned char *at, unsigned type, unsigned id, size_t length)
{
	at[0] = FCGI_VERSION_1;
	at[1] = (unsigned char)type;
	at[2] = (unsigned char)(id >> 8);
	at[3] = (unsigned char)id;
	at[4] = (unsigned char)(length >> 8);
	at[5] = (unsigned char)length;
	at[6] = 0;
	at[7] = 0;
}

static void
put_end_request(unsigned char *at, unsigned id, unsigned protocol_status)
{
	put_header(at, FCGI_END_REQUEST, id, sizeof(FCGI_EndRequestBody));
	memset(at + FCGI_HEADER_LEN, 0, sizeof(FCGI_EndRequestBody));
	at[FCGI_HEADER_LEN + 4] = (unsigned char)protocol_status;
}

/* Reading */

/* Take a whole record off the front of `*input`.  MORE with rec->type 0: there
 * is none yet. */
static enum fastcgi_event
take_record(struct bytes *input, struct record *rec)
{
	size_t content, whole;

	rec->type = 0;
	if (input->len > 0 && byte(*input, 0) != FCGI_VERSION_1)
		return (FASTCGI_BROKEN);
	if (input->len < FCGI_HEADER_LEN)
		return (FASTCGI_MORE);
	content = byte(*input, 4) << 8 | byte(*input, 5);
	whole = FCGI_HEADER_LEN + content + byte(*input, 6);
	if (input->len < whole)
		return (FASTCGI_MORE);
	rec->type = byte(*input, 1);
	if (rec->type == 0)
		return (FASTCGI_BROKEN);
	rec->id = (uint16_t)(byte(*input, 2) << 8 | byte(*input, 3));
	rec->content = (struct bytes){ input->at + FCGI_HEADER_LEN, content };
	*input = bytes_from(*input, whole);
	return (FASTCGI_MORE);
}

static void
reply_end_request(struct buf *reply, unsigned id, unsigned protocol_status)
{
	unsigned char record[sizeof(FCGI_EndRequestRecord)];

	put_end_request(record, id, protocol_status);
	buf_add(reply, (struct bytes){ (char *)record, sizeof(record) });
}

static enum fastcgi_event
on_begin(struct fastcgi_reader *r, const struct record *rec, struct buf *reply)
{
	if (rec->content.len != sizeof(FCGI_BeginRequestBody))
		return (FASTCGI_BROKEN);
	if (r->begun && rec->id == r->id)
		return (FASTCGI_BROKEN);
	if (r->begun) {
		reply_end_request(reply, rec->id, FCGI_CANT_MPX_CONN);
		return (FASTCGI_REPLY);
	}
	r->keep_connection = (byte(rec->content, 2) & FCGI_KEEP_CONN) != 0;
	if ((byte(rec->content, 0) << 8 | byte(rec->content, 1)) !=
	    FCGI_RESPONDER) {
		reply_end_request(reply, rec->id, FCGI_UNKNOWN_ROLE);
		return (FASTCGI_ABORT);
	}
	r->id = rec->id;
	r->begun = true;
	return (FASTCGI_MORE);
}

static void
drop(struct buf *b, enum result why)
{
	buf_fini(b);
	b->error = why;
}

static void
add_params(struct fastcgi_reader *r, struct bytes more)
{
	if (r->params.error != R_OK)
		return;
	if (more.len > FASTCGI_PARAMS_MAX - r->params.len)
		drop(&r->params, R_TOO_LARGE);
	else
		buf_add(&r->params, more);
	if (r->params.error == R_NO_MEMORY)
		drop(&r->params, R_NO_MEMORY);
}

/* Make the PARAMS that are only a view of the caller's bytes our own. */
static void
own_params(struct fastcgi_reader *r)
{
	if (r->whole_params.len == 0 || r->params.len > 0)
		return;
	add_params(r, r->whole_params);
	r->whole_params = r->params_done ? buf_bytes(&r->params) : BYTES_NONE;
}

static enum fastcgi_event
on_params(struct fastcgi_reader *r, struct bytes content)
{
	if (r->params_done)
		return (FASTCGI_BROKEN);
	if (content.len == 0) {
		r->params_done = true;
		if (r->params.len > 0)
			r->whole_params = buf_bytes(&r->params);
		return (r->body_done ? FASTCGI_REQUEST : FASTCGI_MORE);
	}
	if (r->params.error == R_OK && r->params.len == 0 &&
	    r->whole_params.len == 0) {
		r->whole_params = content;
		return (FASTCGI_MORE);
	}
	own_params(r);
	add_params(r, content);
	return (FASTCGI_MORE);
}

static enum fastcgi_event
on_stdin(struct fastcgi_reader *r, struct bytes content, size_t body_limit)
{
	if (r->body_done)
		return (FASTCGI_BROKEN);
	if (content.len == 0) {
		r->body_done = true;
		return (r->params_done ? FASTCGI_REQUEST : FASTCGI_MORE);
	}
	if (r->body.error != R_OK)
		return (FASTCGI_MORE);
	if (r->body.len > body_limit || content.len > body_limit - r->body.len)
		drop(&r->body, R_TOO_LARGE);
	else
		buf_add(&r->body, content);
	if (r->body.error == R_NO_MEMORY)
		drop(&r->body, R_NO_MEMORY);
	return (FASTCGI_MORE);
}

static void
add_value(struct buf *to, const char *name, const char *value)
{
	buf_char(to, (char)strlen(name));
	buf_char(to, (char)strlen(value));
	buf_str(to, name);
	buf_str(to, value);
}

/* Each variable that is asked for, once; the limits are only what we advise. */
static enum fastcgi_event
on_get_values(struct bytes names, struct buf *reply)
{
	static const struct {
		const char *name, *value;
	} known[] = { { FCGI_MAX_CONNS, "2000" },
		      { FCGI_MAX_REQS, "2000" },
		      { FCGI_MPXS_CONNS, "0" } };
	unsigned char header[FCGI_HEADER_LEN];
	struct buf values = { 0 };
	struct bytes name, value;
	unsigned asked = 0;

	while (fastcgi_next_param(&names, &name, &value))
		for (unsigned i = 0; i < 3; i++)
			if (bytes_equal(name, bytes_of(known[i].name)))
				asked |= 1u << i;
	if (names.len > 0)
		return (FASTCGI_BROKEN);
	for (unsigned i = 0; i < 3; i++)
		if ((asked & 1u << i) != 0)
			add_value(&values, known[i].name, known[i].value);
	put_header(header, FCGI_GET_VALUES_RESULT, FCGI_NULL_REQUEST_ID,
		   values.len);
	buf_add(reply, (struct bytes){ (char *)header, sizeof(header) });
	buf_add(reply, buf_bytes(&values));
	if (values.error != R_OK)
		reply->error = values.error;
	buf_fini(&values);
	return (FASTCGI_REPLY);
}

static enum fastcgi_event
on_management(const struct record *rec, struct buf *reply)
{
	unsigned char record[sizeof(FCGI_UnknownTypeRecord)] = { 0 };

	if (rec->type < FCGI_GET_VALUES)
		return (FASTCGI_BROKEN); /* belongs to a request */
	if (rec->type == FCGI_GET_VALUES)
		return (on_get_values(rec->content, reply));
	put_header(record, FCGI_UNKNOWN_TYPE, FCGI_NULL_REQUEST_ID,
		   sizeof(FCGI_UnknownTypeBody));
	record[FCGI_HEADER_LEN] = (unsigned char)rec->type;
	buf_add(reply, (struct bytes){ (char *)record, sizeof(record) });
	return (FASTCGI_REPLY);
}

static enum fastcgi_event
consume(struct fastcgi_reader *r, const struct record *rec, size_t body_limit,
	struct buf *reply)
{
	if (rec->id == FCGI_NULL_REQUEST_ID)
		return (on_management(rec, reply));
	if (rec->type == FCGI_BEGIN_REQUEST)
		return (on_begin(r, rec, reply));
	if (!r->begun || rec->id != r->id)
		return (FASTCGI_MORE);
	switch (rec->type) {
	case FCGI_PARAMS:
		return (on_params(r, rec->content));
	case FCGI_STDIN:
		return (on_stdin(r, rec->content, body_limit));
	case FCGI_ABORT_REQUEST:
		r->aborted = true;
		reply_end_request(reply, r->id, FCGI_REQUEST_COMPLETE);
		return (FASTCGI_ABORT);
	default: /* DATA is for filters; the rest is not for us to read */
		return (FASTCGI_MORE);
	}
}

enum fastcgi_event
fastcgi_feed(struct fastcgi_reader *r, struct bytes *input, size_t body_limit,
	     struct buf *reply)
{
	enum fastcgi_event event;
	struct record rec;

	do {
		event = take_record(input, &rec);
		if (rec.type == 0 || event != FASTCGI_MORE)
			break;
		event = consume(r, &rec, body_limit, reply);
	} while (event == FASTCGI_MORE);
	if (event != FASTCGI_REQUEST)
		own_params(r);
	return (event);
}

void
fastcgi_reader_reset(struct fastcgi_reader *r)
{
	struct buf params = r->params, body = r->body;

	buf_clear(&params);
	buf_clear(&body);
	*r = (struct fastcgi_reader){ .params = params, .body = body };
}

void
fastcgi_reader_fini(struct fastcgi_reader *r)
{
	buf_fini(&r->params);
	buf_fini(&r->body);
	*r = (struct fastcgi_reader){ 0 };
}

/* A length takes one byte below 128, else four with the top bit set. */
static bool
take_length(struct bytes *rest, size_t *length)
{
	if (rest->len < 1)
		return (false);
	if (byte(*rest, 0) < 0x80) {
		*length = byte(*rest, 0);
		*rest = bytes_from(*rest, 1);
		return (true);
	}
	if (rest->len < 4)
		return (false);
	*length = (size_t)(byte(*rest, 0) & 0x7f) << 24 | byte(*rest, 1) << 16 |
		  byte(*rest, 2) << 8 | byte(*rest, 3);
	*rest = bytes_from(*rest, 4);
	return (true);
}

bool
fastcgi_next_param(struct bytes *rest, struct bytes *name, struct bytes *value)
{
	size_t name_length, value_length;
	struct bytes at = *rest;

	if (!take_length(&at, &name_length) || !take_length(&at, &value_length))
		return (false);
	if (name_length > at.len || value_length > at.len - name_length)
		return (false);
	*name = (struct bytes){ at.at, name_length };
	*value = (struct bytes){ at.at + name_length, value_length };
	*rest = bytes_from(at, name_length + value_length);
	return (true);
}

/* Writing */

static size_t
stdout_bytes(const struct fastcgi_writer *w)
{
	size_t payload = w->head.len + w->body.len;

	return (payload + (payload + PAYLOAD_BYTES - 1) / PAYLOAD_BYTES *
				  FCGI_HEADER_LEN);
}

size_t
fastcgi_stream_bytes(const struct fastcgi_writer *w)
{
	return (stdout_bytes(w) + TAIL_BYTES);
}

/* sendmsg(2) reads only; iovec has no const. */
static void
add_piece(struct iovec *iov, unsigned *n, const void *at, size_t length)
{
	union {
		const void *in;
		void *out;
	} base = { .in = at };

	if (length > 0)
		iov[(*n)++] = (struct iovec){ base.out, length };
}

/* Bytes [from, to) of head and body laid end to end. */
static void
add_payload(const struct fastcgi_writer *w, struct iovec *iov, unsigned *n,
	    size_t from, size_t to)
{
	size_t split = w->head.len;

	if (from < split) {
		size_t end = to < split ? to : split;

		add_piece(iov, n, w->head.at + from, end - from);
		from = end;
	}
	if (from < to)
		add_piece(iov, n, w->body.at + (from - split), to - from);
}

unsigned
fastcgi_fill(const struct fastcgi_writer *w, struct fastcgi_scratch *scratch,
	     struct iovec *iov, unsigned max)
{
	const size_t payload = w->head.len + w->body.len, end = stdout_bytes(w);
	const unsigned headers =
		sizeof(scratch->headers) / sizeof(scratch->headers[0]);
	unsigned n = 0;
	size_t at = w->sent;

	assert(max >= 4);
	/* A record takes up to three pieces; the tail, one more. */
	for (unsigned h = 0; at < end && h < headers && n + 3 <= max; h++) {
		size_t start = at / RECORD_BYTES * PAYLOAD_BYTES,
		       skip = at % RECORD_BYTES, left = payload - start,
		       length = left < PAYLOAD_BYTES ? left : PAYLOAD_BYTES;
		unsigned char *header = scratch->headers[h];

		at += FCGI_HEADER_LEN + length - skip;
		if (skip < FCGI_HEADER_LEN) {
			put_header(header, FCGI_STDOUT, w->id, length);
			add_piece(iov, &n, header + skip,
				  FCGI_HEADER_LEN - skip);
			skip = FCGI_HEADER_LEN;
		}
		add_payload(w, iov, &n, start + skip - FCGI_HEADER_LEN,
			    start + length);
	}
	if (at >= end && at < end + TAIL_BYTES && n < max) {
		put_header(scratch->tail, FCGI_STDOUT, w->id, 0);
		put_end_request(scratch->tail + FCGI_HEADER_LEN, w->id,
				FCGI_REQUEST_COMPLETE);
		add_piece(iov, &n, scratch->tail + (at - end),
			  TAIL_BYTES - (at - end));
	}
	return (n);
}
