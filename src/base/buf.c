/* SPDX-License-Identifier: MIT */
#include "buf.h"

#include "alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST 64

static const char hex_digits[] = "0123456789abcdef";

static void
fail(struct buf *b, enum result error)
{
	if (b->error == R_OK)
		b->error = error;
}

void
buf_over(struct buf *b, char *room, size_t size)
{
	room[0] = '\0';
	*b = (struct buf){ .at = room, .capacity = size, .lent = true };
}

void
buf_fini(struct buf *b)
{
	if (!b->lent)
		free(b->at);
	*b = (struct buf){ .limit = b->limit };
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
	b->error = R_OK;
	if (b->at != NULL)
		b->at[0] = '\0';
}

char *
buf_reserve(struct buf *b, size_t more)
{
	size_t need, capacity;
	char *at;

	if (b->error != R_OK)
		return (NULL);
	if (__builtin_add_overflow(b->len, more, &need) ||
	    (b->limit > 0 && need > b->limit) || need > SIZE_MAX / 2 - 1) {
		fail(b, R_TOO_LARGE);
		return (NULL);
	}
	need++; /* the NUL */
	if (need <= b->capacity)
		return (b->at + b->len);
	capacity = b->capacity * 2;
	if (capacity < SMALLEST)
		capacity = SMALLEST;
	if (capacity < need)
		capacity = need;
	at = mem_grow(b->lent ? NULL : b->at, capacity);
	if (at == NULL) {
		fail(b, R_NO_MEMORY);
		return (NULL);
	}
	if (b->lent)
		memcpy(at, b->at, b->len + 1);
	b->lent = false;
	b->at = at;
	b->capacity = capacity;
	return (at + b->len);
}

static void
advance(struct buf *b, size_t written)
{
	b->len += written;
	b->at[b->len] = '\0';
}

void
buf_add(struct buf *b, struct bytes more)
{
	char *to = buf_reserve(b, more.len);

	if (to == NULL)
		return;
	if (more.len > 0)
		memcpy(to, more.at, more.len);
	advance(b, more.len);
}

void
buf_str(struct buf *b, const char *string)
{
	buf_add(b, bytes_of(string));
}

void
buf_char(struct buf *b, char c)
{
	buf_add(b, (struct bytes){ &c, 1 });
}

void
buf_int(struct buf *b, int64_t value)
{
	char digits[24];
	char *first = digits + sizeof(digits);
	uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	do {
		*--first = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (value < 0)
		*--first = '-';
	buf_add(b, (struct bytes){ first,
				   (size_t)(digits + sizeof(digits) - first) });
}

void
buf_hex(struct buf *b, struct bytes raw)
{
	char *to;

	if (raw.len > SIZE_MAX / 4) {
		fail(b, R_TOO_LARGE);
		return;
	}
	to = buf_reserve(b, raw.len * 2);
	if (to == NULL)
		return;
	for (size_t i = 0; i < raw.len; i++) {
		unsigned char c = (unsigned char)raw.at[i];

		*to++ = hex_digits[c >> 4];
		*to++ = hex_digits[c & 15];
	}
	advance(b, raw.len * 2);
}

void
buf_printf(struct buf *b, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	buf_vprintf(b, format, arguments);
	va_end(arguments);
}

void
buf_vprintf(struct buf *b, const char *format, va_list arguments)
{
	va_list again;
	size_t room = b->error == R_OK ? b->capacity - b->len : 0;
	char *to;
	int n;

	if (b->error != R_OK)
		return;
	va_copy(again, arguments);
	n = vsnprintf(room > 0 ? b->at + b->len : NULL, room, format, again);
	va_end(again);
	if (n < 0) {
		fail(b, R_INVALID);
		if (room > 0)
			b->at[b->len] = '\0';
		return;
	}
	to = buf_reserve(b, (size_t)n);
	if (to == NULL) {
		if (room > 0)
			b->at[b->len] = '\0';
		return;
	}
	if ((size_t)n >= room)
		(void)vsnprintf(to, (size_t)n + 1, format, arguments);
	advance(b, (size_t)n);
}

/* What stands for a byte below 0x20, '"' or '\\' after the backslash; 0:
 * \u00xx. */
static char
json_short_escape(char c)
{
	switch (c) {
	case '"':
	case '\\':
		return (c);
	case '\b':
		return ('b');
	case '\f':
		return ('f');
	case '\n':
		return ('n');
	case '\r':
		return ('r');
	case '\t':
		return ('t');
	default:
		return (0);
	}
}

static void
json_escape(struct buf *b, char c)
{
	char escape = json_short_escape(c);

	if (escape != 0) {
		buf_char(b, '\\');
		buf_char(b, escape);
		return;
	}
	buf_str(b, "\\u00");
	buf_hex(b, (struct bytes){ &c, 1 });
}

/* How many bytes at the front need no escape. */
static size_t
json_plain(struct bytes text)
{
	size_t n = 0, length;

	while (n < text.len) {
		unsigned char c = (unsigned char)text.at[n];

		if (c < 0x20 || c == '"' || c == '\\')
			break;
		length = c < 0x80 ? 1 : bytes_utf8_length(bytes_from(text, n));
		if (length == 0)
			break;
		n += length;
	}
	return (n);
}

void
buf_json(struct buf *b, struct bytes text)
{
	size_t plain;

	buf_char(b, '"');
	while (text.len > 0 && b->error == R_OK) {
		plain = json_plain(text);
		buf_add(b, (struct bytes){ text.at, plain });
		text = bytes_from(text, plain);
		if (text.len == 0)
			break;
		if ((unsigned char)text.at[0] < 0x80)
			json_escape(b, text.at[0]);
		else
			buf_str(b, "\xEF\xBF\xBD");
		text = bytes_from(text, 1);
	}
	buf_char(b, '"');
}

static bool
is_unreserved(char c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= '0' && c <= '9') || c == '.' || c == '_' || c == '~' ||
		c == '-');
}

static void
percent_escape(struct buf *b, char c)
{
	static const char digits[] = "0123456789ABCDEF";
	unsigned char u = (unsigned char)c;
	char escape[3] = { '%', digits[u >> 4], digits[u & 15] };

	buf_add(b, (struct bytes){ escape, sizeof(escape) });
}

void
buf_percent(struct buf *b, struct bytes text)
{
	size_t plain;

	while (text.len > 0) {
		for (plain = 0; plain < text.len; plain++)
			if (!is_unreserved(text.at[plain]))
				break;
		buf_add(b, (struct bytes){ text.at, plain });
		text = bytes_from(text, plain);
		if (text.len == 0)
			break;
		percent_escape(b, text.at[0]);
		text = bytes_from(text, 1);
	}
}
