/* SPDX-License-Identifier: MIT */
#include "json.h"

#include "json_cursor.h"

static bool check_value(struct cursor *c, unsigned depth);

static bool
check_digits(struct cursor *c)
{
	if (!cursor_is_digit(cursor_peek(c)))
		return (false);
	while (cursor_is_digit(cursor_peek(c)))
		c->at++;
	return (true);
}

static bool
check_number(struct cursor *c)
{
	(void)cursor_skip(c, '-');
	if (!cursor_skip(c, '0') && !check_digits(c))
		return (false);
	if (cursor_skip(c, '.') && !check_digits(c))
		return (false);
	if (!cursor_skip(c, 'e') && !cursor_skip(c, 'E'))
		return (true);
	if (!cursor_skip(c, '+'))
		(void)cursor_skip(c, '-');
	return (check_digits(c));
}

static bool
check_string(struct cursor *c)
{
	size_t length;

	if (!cursor_skip(c, '"'))
		return (false);
	while (c->at < c->end) {
		unsigned char byte = (unsigned char)*c->at;

		if (byte < 0x20)
			return (false);
		if (byte >= 0x80) {
			length = bytes_utf8_length((struct bytes){
				c->at, (size_t)(c->end - c->at) });
			if (length == 0)
				return (false);
			c->at += length;
			continue;
		}
		c->at++;
		if (byte == '"')
			return (true);
		if (byte == '\\' && cursor_take_escape(c) < 0)
			return (false);
	}
	return (false);
}

static bool
check_array(struct cursor *c, unsigned depth)
{
	c->at++;
	cursor_skip_space(c);
	if (cursor_skip(c, ']'))
		return (true);
	for (;;) {
		if (!check_value(c, depth))
			return (false);
		if (cursor_skip(c, ']'))
			return (true);
		if (!cursor_skip(c, ','))
			return (false);
	}
}

static bool
check_object(struct cursor *c, unsigned depth)
{
	c->at++;
	cursor_skip_space(c);
	if (cursor_skip(c, '}'))
		return (true);
	for (;;) {
		cursor_skip_space(c);
		if (!check_string(c))
			return (false);
		cursor_skip_space(c);
		if (!cursor_skip(c, ':') || !check_value(c, depth))
			return (false);
		if (cursor_skip(c, '}'))
			return (true);
		if (!cursor_skip(c, ','))
			return (false);
	}
}

/* A value and the white space on both sides; `depth` more levels are
 * allowed. */
static bool
check_value(struct cursor *c, unsigned depth)
{
	bool valid;

	cursor_skip_space(c);
	switch (cursor_peek(c)) {
	case '{':
		valid = depth > 0 && check_object(c, depth - 1);
		break;
	case '[':
		valid = depth > 0 && check_array(c, depth - 1);
		break;
	case '"':
		valid = check_string(c);
		break;
	case 't':
		valid = cursor_skip_word(c, "true");
		break;
	case 'f':
		valid = cursor_skip_word(c, "false");
		break;
	case 'n':
		valid = cursor_skip_word(c, "null");
		break;
	default:
		valid = check_number(c);
	}
	cursor_skip_space(c);
	return (valid);
}

enum result
json_check(struct bytes text)
{
	struct cursor c = cursor_of(text);

	if (!check_value(&c, JSON_DEPTH_MAX) || c.at != c.end)
		return (R_INVALID);
	return (R_OK);
}
