/* SPDX-License-Identifier: MIT */
#include "records.h"

#include <stdio.h>
#include <string.h>

void
records_add(struct buf *to, unsigned type, unsigned id, struct bytes content,
	    unsigned padding)
{
	const char header[8] = { 1,
				 (char)type,
				 (char)(id >> 8),
				 (char)id,
				 (char)(content.len >> 8),
				 (char)content.len,
				 (char)padding,
				 0 };

	buf_add(to, (struct bytes){ header, sizeof(header) });
	buf_add(to, content);
	while (padding-- > 0)
		buf_char(to, '?');
}

void
records_begin(struct buf *to, unsigned id, unsigned role, unsigned flags)
{
	const char body[8] = { (char)(role >> 8), (char)role, (char)flags };

	records_add(to, RECORDS_BEGIN, id, (struct bytes){ body, 8 }, 0);
}

void
records_stream(struct buf *to, unsigned type, unsigned id, struct bytes content,
	       size_t chunk)
{
	while (content.len > 0) {
		size_t n = content.len < chunk ? content.len : chunk;

		records_add(to, type, id, (struct bytes){ content.at, n },
			    (unsigned)(-n & 7));
		content = bytes_from(content, n);
	}
	records_add(to, type, id, BYTES_NONE, 0);
}

static void
add_length(struct buf *to, size_t length)
{
	if (length >= 128) {
		buf_char(to, (char)(length >> 24 | 0x80));
		buf_char(to, (char)(length >> 16));
		buf_char(to, (char)(length >> 8));
	}
	buf_char(to, (char)length);
}

void
records_pair(struct buf *to, const char *name, struct bytes value)
{
	add_length(to, strlen(name));
	add_length(to, value.len);
	buf_str(to, name);
	buf_add(to, value);
}

void
records_request(struct buf *to, unsigned id, unsigned flags, const char *uri,
		struct bytes body)
{
	struct buf params = { 0 };
	char length[24];

	(void)snprintf(length, sizeof(length), "%zu", body.len);
	records_pair(&params, "QUERY_STRING", BYTES_NONE);
	records_pair(&params, "REQUEST_METHOD",
		     body.len > 0 ? BYTES("POST") : BYTES("GET"));
	records_pair(&params, "CONTENT_TYPE", BYTES_NONE);
	records_pair(&params, "CONTENT_LENGTH",
		     body.len > 0 ? bytes_of(length) : BYTES_NONE);
	records_pair(&params, "REQUEST_URI", bytes_of(uri));
	records_pair(&params, "SERVER_PROTOCOL", BYTES("HTTP/1.1"));
	records_begin(to, id, RECORDS_RESPONDER, flags);
	records_stream(to, RECORDS_PARAMS, id, buf_bytes(&params), 32768);
	records_stream(to, RECORDS_STDIN, id, body, 32768);
	buf_fini(&params);
}
