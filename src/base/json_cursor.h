/* SPDX-License-Identifier: MIT */
#ifndef JSON_CURSOR_H
#define JSON_CURSOR_H

#include "bytes.h"

#include <string.h>

/*
 * json_cursor: stepping through a JSON text, for the json modules alone.  No step
 * leads past the end.
 */
struct cursor {
	const char *at, *end;
};

static inline struct cursor
cursor_of(struct bytes text)
{
	struct cursor c = { text.at, text.at };

	if (text.len > 0)
		c.end += text.len;
	return (c);
}

/* The next byte, or NUL at the end; no JSON holds a bare NUL. */
static inline char
cursor_peek(const struct cursor *c)
{
	return (c->at < c->end ? *c->at : '\0');
}

static inline void
cursor_skip_space(struct cursor *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' ||
				  *c->at == '\t' || *c->at == '\r'))
		c->at++;
}

static inline bool
cursor_skip(struct cursor *c, char wanted)
{
	if (cursor_peek(c) != wanted)
		return (false);
	c->at++;
	return (true);
}

static inline bool
cursor_is_digit(char c)
{
	return (c >= '0' && c <= '9');
}

static inline bool
cursor_skip_word(struct cursor *c, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0)
		return (false);
	c->at += len;
	return (true);
}

/* The four digits after "\u"; -1 when they are not there. */
static inline int
cursor_take_hex4(struct cursor *c)
{
	int value = 0;

	if (c->end - c->at < 4)
		return (-1);
	for (int i = 0; i < 4; i++) {
		char digit = *c->at++;

		if (cursor_is_digit(digit))
			value = value * 16 + (digit - '0');
		else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f')
			value = value * 16 + ((digit | 0x20) - 'a' + 10);
		else
			return (-1);
	}
	return (value);
}

/* The code point of an escape; the cursor is behind the backslash.  -1: it
 * is wrong. */
static inline long
cursor_take_escape(struct cursor *c)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meant[] = "\"\\/\b\f\n\r\t";
	const char *letter;
	int high, low;

	if (c->at == c->end || *c->at == '\0')
		return (-1);
	letter = strchr(letters, *c->at);
	if (letter != NULL) {
		c->at++;
		return (meant[letter - letters]);
	}
	if (!cursor_skip(c, 'u') || (high = cursor_take_hex4(c)) < 0)
		return (-1);
	if (high < 0xd800 || high > 0xdfff)
		return (high);
	if (high > 0xdbff || !cursor_skip_word(c, "\\u"))
		return (-1);
	low = cursor_take_hex4(c);
	if (low < 0xdc00 || low > 0xdfff)
		return (-1);
	return (0x10000 + ((long)(high - 0xd800) << 10) + (low - 0xdc00));
}

#endif
