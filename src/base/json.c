/* SPDX-License-Identifier: MIT */
#include "json.h"

#include "json_cursor.h"

enum json_kind
json_kind_of(struct bytes value)
{
	struct cursor c = cursor_of(value);

	cursor_skip_space(&c);
	switch (cursor_peek(&c)) {
	case '\0':
		return (JSON_NONE);
	case '{':
		return (JSON_OBJECT);
	case '[':
		return (JSON_ARRAY);
	case '"':
		return (JSON_STRING);
	case 't':
	case 'f':
		return (JSON_BOOLEAN);
	case 'n':
		return (JSON_NULL);
	default:
		return (JSON_NUMBER);
	}
}

/* Step over a string, quotes and all.  A quote ends it unless an odd number of
 * backslashes stands before. */
static void
skip_string(struct cursor *c)
{
	const char *first = ++c->at, *quote, *before;

	while ((quote = memchr(c->at, '"', (size_t)(c->end - c->at))) != NULL) {
		for (before = quote; before > first && before[-1] == '\\';)
			before--;
		c->at = quote + 1;
		if ((quote - before) % 2 == 0)
			return;
	}
	c->at = c->end;
}

/* Step over brackets and all between them. */
static void
skip_nested(struct cursor *c)
{
	size_t depth = 0;

	while (c->at < c->end) {
		char byte = *c->at;

		if (byte == '"') {
			skip_string(c);
			continue;
		}
		c->at++;
		if (byte == '{' || byte == '[')
			depth++;
		else if ((byte == '}' || byte == ']') && --depth == 0)
			return;
	}
}

/* A value's own bytes; the cursor is at the first of them, and then behind
 * the last. */
static struct bytes
take_value(struct cursor *c)
{
	const char *start = c->at;

	switch (cursor_peek(c)) {
	case '{':
	case '[':
		skip_nested(c);
		break;
	case '"':
		skip_string(c);
		break;
	default:
		while (c->at < c->end && strchr(",]} \t\r\n", *c->at) == NULL)
			c->at++;
	}
	return ((struct bytes){ start, (size_t)(c->at - start) });
}

/* The next member of an object; `name` with its quotes.  The cursor is at
 * the object's bracket at first, later behind a member. */
static bool
next_member(struct cursor *c, struct bytes *name, struct bytes *value)
{
	cursor_skip_space(c);
	if (!cursor_skip(c, '{') && !cursor_skip(c, ','))
		return (false);
	cursor_skip_space(c);
	if (cursor_peek(c) != '"')
		return (false);
	*name = take_value(c);
	cursor_skip_space(c);
	(void)cursor_skip(c, ':');
	cursor_skip_space(c);
	*value = take_value(c);
	return (true);
}

/* The UTF-8 of a code point; returns its length. */
static size_t
encode(long code, char utf8[static 4])
{
	static const unsigned char marks[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t len = code < 0x80      ? 1
		     : code < 0x800   ? 2
		     : code < 0x10000 ? 3
				      : 4;

	for (size_t i = len - 1; i > 0; i--) {
		utf8[i] = (char)(0x80 | (code & 0x3f));
		code >>= 6;
	}
	utf8[0] = (char)(marks[len] | code);
	return (len);
}

/* Take the UTF-8 of `code` off the front of `*text`, if it stands there. */
static bool
cut_code(struct bytes *text, long code)
{
	char utf8[4];
	size_t len = encode(code, utf8);

	if (!bytes_starts(*text, (struct bytes){ utf8, len }))
		return (false);
	*text = bytes_from(*text, len);
	return (true);
}

/* Does a string, in its quotes and with its escapes, mean `text`? */
static bool
string_is(struct bytes quoted, struct bytes text)
{
	struct cursor c;
	long code;

	if (quoted.len < 2)
		return (false);
	c = (struct cursor){ quoted.at + 1, quoted.at + quoted.len - 1 };
	if (memchr(c.at, '\\', (size_t)(c.end - c.at)) == NULL)
		return (bytes_equal((struct bytes){ c.at,
						    (size_t)(c.end - c.at) },
				    text));
	while (c.at < c.end) {
		if (*c.at != '\\') {
			if (text.len == 0 || text.at[0] != *c.at++)
				return (false);
			text = bytes_from(text, 1);
			continue;
		}
		c.at++;
		code = cursor_take_escape(&c);
		if (code < 0 || !cut_code(&text, code))
			return (false);
	}
	return (text.len == 0);
}

struct bytes
json_member(struct bytes object, struct bytes name)
{
	struct cursor c = cursor_of(object);
	struct bytes found = { NULL, 0 }, its_name, value;

	cursor_skip_space(&c);
	if (cursor_peek(&c) != '{')
		return (found);
	while (next_member(&c, &its_name, &value))
		if (string_is(its_name, name))
			found = value;
	return (found);
}

bool
json_next_element(struct bytes *rest, struct bytes *element)
{
	struct cursor c = cursor_of(*rest);
	bool more = false;

	cursor_skip_space(&c);
	if (cursor_skip(&c, '[') || cursor_skip(&c, ',')) {
		cursor_skip_space(&c);
		if (c.at < c.end && *c.at != ']') {
			*element = take_value(&c);
			more = true;
		}
	}
	*rest = (struct bytes){ c.at, (size_t)(c.end - c.at) };
	return (more);
}

static void
add_part(struct buf *to, bool *first, const char *at, const char *end)
{
	if (at == NULL)
		return;
	if (!*first)
		buf_char(to, ',');
	*first = false;
	buf_add(to, (struct bytes){ at, (size_t)(end - at) });
}

/* Members that stand side by side are copied together, with what is between
 * them. Returns whether there were none. */
static bool
add_members_but(struct buf *to, struct bytes object, struct bytes but)
{
	struct cursor c = cursor_of(object);
	const char *start = NULL, *end = NULL;
	struct bytes name, value;
	bool first = true;

	cursor_skip_space(&c);
	if (cursor_peek(&c) != '{')
		return (true);
	while (next_member(&c, &name, &value)) {
		if (string_is(name, but)) {
			add_part(to, &first, start, end);
			start = NULL;
			continue;
		}
		if (start == NULL)
			start = name.at;
		end = value.at + value.len;
	}
	add_part(to, &first, start, end);
	return (first);
}

void
json_add_object_without(struct buf *to, struct bytes object, struct bytes name)
{
	buf_char(to, '{');
	(void)add_members_but(to, object, name);
	buf_char(to, '}');
}

void
json_add_object_with(struct buf *to, struct bytes object, struct bytes name,
		     struct bytes value)
{
	buf_char(to, '{');
	if (!add_members_but(to, object, name))
		buf_char(to, ',');
	buf_json(to, name);
	buf_char(to, ':');
	buf_add(to, value);
	buf_char(to, '}');
}

struct bytes
json_trim(struct bytes text)
{
	struct cursor c = cursor_of(text);

	cursor_skip_space(&c);
	while (c.at < c.end && memchr(" \t\r\n", c.end[-1], 4) != NULL)
		c.end--;
	return ((struct bytes){ c.at, (size_t)(c.end - c.at) });
}

bool
json_next_member(struct bytes *rest, struct bytes *name, struct bytes *value)
{
	struct cursor c = cursor_of(*rest);
	bool more = next_member(&c, name, value);

	*rest = (struct bytes){ c.at, (size_t)(c.end - c.at) };
	return (more);
}

void
json_add_string(struct buf *to, struct bytes quoted)
{
	struct cursor c;
	const char *plain;
	char utf8[4];
	long code;

	if (quoted.len < 2)
		return;
	c = (struct cursor){ quoted.at + 1, quoted.at + quoted.len - 1 };
	while (c.at < c.end) {
		plain = c.at;
		while (c.at < c.end && *c.at != '\\')
			c.at++;
		buf_add(to, (struct bytes){ plain, (size_t)(c.at - plain) });
		if (!cursor_skip(&c, '\\'))
			return;
		if ((code = cursor_take_escape(&c)) < 0)
			return;
		buf_add(to, (struct bytes){ utf8, encode(code, utf8) });
	}
}
