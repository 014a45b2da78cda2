/* SPDX-License-Identifier: MIT */
#include "config_row.h"

#include <inttypes.h>
#include <string.h>

#define SHOWN_BYTES 100 /* of a bad value */
#define GATEWAY_NAME_BYTES 32
#define GATEWAYS_FORM                                                     \
	"name=URL items separated by commas: each name once, of 1 to 32 " \
	"of a-z 0-9 _ -, beginning with a letter or digit, not \"all\"; " \
	"each URL with http:// or https://"

static const struct {
	const char *word;
	int64_t bytes;
} units[] = {
	{ "TiB", (int64_t)1 << 40 },
	{ "GiB", (int64_t)1 << 30 },
	{ "MiB", (int64_t)1 << 20 },
	{ "KiB", (int64_t)1 << 10 },
};
#define UNITS (sizeof(units) / sizeof(units[0]))

struct bytes
config_row_default(const struct config_row *row)
{
	struct bytes initial = bytes_of(row->initial);

	if (row->type == CONFIG_ENUM)
		return (bytes_cut(&initial, '|'));
	return (initial);
}

const char *
config_row_type(const struct config_row *row)
{
	static const char *const words[] = {
		[CONFIG_STRING] = "text",  [CONFIG_SECRET] = "secret",
		[CONFIG_POSTGRES] = "url", [CONFIG_REDIS] = "url",
		[CONFIG_HOST] = "text",	   [CONFIG_TARGET] = "text",
		[CONFIG_INT] = "number",   [CONFIG_MS] = "ms",
		[CONFIG_BYTES] = "bytes",  [CONFIG_BOOL] = "bool",
		[CONFIG_LIST] = "list",	   [CONFIG_GATEWAYS] = "list",
		[CONFIG_ENUM] = "word",
	};

	return (words[row->type]);
}

static bool
parse_size(struct bytes value, int64_t *number)
{
	int64_t factor = 1;
	struct bytes unit;

	for (size_t i = 0; i < UNITS && value.len > 3; i++) {
		unit = bytes_from(value, value.len - 3);
		if (!bytes_equal_nocase(unit, bytes_of(units[i].word)))
			continue;
		factor = units[i].bytes;
		value.len -= unit.len;
		break;
	}
	return (bytes_to_int64(value, number) &&
		!__builtin_mul_overflow(*number, factor, number));
}

static bool
parse_bool(struct bytes value, int64_t *number)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {
		{ "true", true }, { "false", false }, { "on", true },
		{ "off", false }, { "yes", true },    { "no", false },
		{ "1", true },	  { "0", false },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (bytes_equal_nocase(value, bytes_of(words[i].word))) {
			*number = words[i].value;
			return (true);
		}
	return (false);
}

static bool
is_one_of(struct bytes words, struct bytes word)
{
	while (words.len > 0)
		if (bytes_equal(bytes_cut(&words, '|'), word))
			return (true);
	return (false);
}

static bool
has_control_bytes(struct bytes value)
{
	for (size_t i = 0; i < value.len; i++)
		if ((unsigned char)value.at[i] < 0x20 || value.at[i] == 0x7F)
			return (true);
	return (false);
}

static bool
is_scheme(struct bytes url, struct bytes scheme)
{
	return (bytes_starts(url, scheme) && url.len > scheme.len);
}

/* A URL, or libpq's other form: "host=db.internal user=worker". */
static bool
is_postgres(struct bytes value)
{
	struct bytes word = bytes_cut(&value, '=');

	if (is_scheme(word, BYTES("postgresql://")) ||
	    is_scheme(word, BYTES("postgres://")))
		return (true);
	if (value.len == 0)
		return (false);
	word = bytes_trim(word);
	for (size_t i = 0; i < word.len; i++)
		if (word.at[i] != '_' && (word.at[i] < 'a' || word.at[i] > 'z'))
			return (false);
	return (word.len > 0);
}

static bool
is_redis(struct bytes value)
{
	return (is_scheme(value, BYTES("redis://")) ||
		is_scheme(value, BYTES("rediss://")) ||
		is_scheme(value, BYTES("unix://")));
}

/* A name or an address, without port: one colon alone would begin one. */
static bool
is_host(struct bytes value)
{
	unsigned colons = 0;

	for (size_t i = 0; i < value.len; i++) {
		char c = value.at[i];

		if (c == ':')
			colons++;
		else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			   (c >= '0' && c <= '9') || c == '.' || c == '-' ||
			   c == '_'))
			return (false);
	}
	return (colons != 1);
}

static bool
is_target(struct bytes value)
{
	return (bytes_equal(value, BYTES("stderr")) ||
		bytes_equal(value, BYTES("syslog")) ||
		is_scheme(value, BYTES("file:/")));
}

bool
config_row_next_gateway(struct bytes *rest, struct bytes *item,
			struct bytes *name, struct bytes *url)
{
	while (rest->len > 0) {
		*item = bytes_trim(bytes_cut(rest, ','));
		if (item->len == 0)
			continue;
		*url = *item;
		*name = bytes_trim(bytes_cut(url, '='));
		*url = bytes_trim(*url);
		return (true);
	}
	return (false);
}

static bool
is_gateway_name(struct bytes name)
{
	if (name.len == 0 || name.len > GATEWAY_NAME_BYTES ||
	    bytes_equal(name, BYTES("all")))
		return (false);
	for (size_t i = 0; i < name.len; i++) {
		char c = name.at[i];

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		    (i > 0 && (c == '_' || c == '-')))
			continue;
		return (false);
	}
	return (true);
}

static bool
is_gateways(struct bytes value, struct bytes *culprit)
{
	struct bytes rest = value, before, other, item, name, url, unused;

	while (config_row_next_gateway(&rest, &item, &name, &url)) {
		*culprit = item;
		if (!is_gateway_name(name) || bytes_find(url, ' ') >= 0 ||
		    bytes_find(url, '\t') >= 0 ||
		    (!is_scheme(url, BYTES("http://")) &&
		     !is_scheme(url, BYTES("https://"))))
			return (false);
		before = (struct bytes){ value.at,
					 (size_t)(item.at - value.at) };
		while (config_row_next_gateway(&before, &unused, &other,
					       &unused))
			if (bytes_equal(other, name))
				return (false);
	}
	return (true);
}

/* Whether the value has its type's form; bounds are not looked at. */
static bool
has_form(const struct config_row *row, struct bytes value, int64_t *number,
	 struct bytes *culprit)
{
	switch (row->type) {
	case CONFIG_INT:
	case CONFIG_MS:
		return (bytes_to_int64(value, number));
	case CONFIG_BYTES:
		return (parse_size(value, number));
	case CONFIG_BOOL:
		return (parse_bool(value, number));
	case CONFIG_ENUM:
		return (is_one_of(bytes_of(row->initial), value));
	case CONFIG_POSTGRES:
		return (is_postgres(value));
	case CONFIG_REDIS:
		return (is_redis(value));
	case CONFIG_HOST:
		return (is_host(value));
	case CONFIG_TARGET:
		return (is_target(value));
	case CONFIG_GATEWAYS:
		return (is_gateways(value, culprit));
	case CONFIG_STRING:
	case CONFIG_SECRET:
	case CONFIG_LIST:
		break;
	}
	return (true);
}

enum result
config_row_parse(const struct config_row *row, struct bytes value,
		 int64_t *number, struct bytes *culprit)
{
	int64_t parsed = 0, measure;

	*culprit = value;
	if (has_control_bytes(value) || !has_form(row, value, &parsed, culprit))
		return (R_INVALID);
	switch (row->type) {
	case CONFIG_BOOL:
	case CONFIG_ENUM:
		measure = row->minimum;
		break;
	case CONFIG_INT:
	case CONFIG_MS:
	case CONFIG_BYTES:
		measure = parsed;
		break;
	default:
		measure = (int64_t)value.len;
	}
	if (measure < row->minimum || measure > row->maximum) {
		*culprit = value;
		return (R_INVALID);
	}
	*number = parsed;
	return (R_OK);
}

/* A URL, or a gateway with one, without user, password and query. */
static void
show_url(enum config_type type, struct bytes value, struct buf *out)
{
	struct bytes rest = value, head = BYTES_NONE;
	bool secret = false;
	ptrdiff_t at;

	for (size_t i = 0;
	     i + 3 <= value.len && head.len == 0 && value.at[i] != '@'; i++)
		if (memcmp(value.at + i, "://", 3) == 0)
			head = (struct bytes){ value.at, i + 3 };
	/* A URL with its scheme missing, or a key=value string. */
	if (head.len == 0 &&
	    (bytes_find(value, '@') >= 0 ||
	     (type == CONFIG_POSTGRES && bytes_find(value, '=') >= 0))) {
		buf_str(out, "(hidden)");
		return;
	}
	rest = bytes_from(value, head.len);
	/* A password may hold an '@' that should have been encoded. */
	while ((at = bytes_find(rest, '@')) >= 0) {
		rest = bytes_from(rest, (size_t)at + 1);
		secret = true;
	}
	buf_add(out, head);
	if (secret)
		buf_str(out, "(hidden)@");
	buf_add(out, bytes_cut(&rest, '?'));
}

static void
show_value(const struct config_row *row, struct bytes value, struct buf *out)
{
	struct buf shown = { 0 };
	struct bytes text;

	switch (row->type) {
	case CONFIG_SECRET:
		buf_str(out, "(hidden)");
		return;
	case CONFIG_POSTGRES:
	case CONFIG_REDIS:
	case CONFIG_GATEWAYS:
		show_url(row->type, value, &shown);
		break;
	default:
		buf_add(&shown, value);
	}
	text = buf_bytes(&shown);
	if (text.len > SHOWN_BYTES) {
		text.len = SHOWN_BYTES;
		buf_json(out, text);
		buf_str(out, "...");
	} else {
		buf_json(out, text);
	}
	buf_fini(&shown);
}

static void
show_size(int64_t size, struct buf *out)
{
	for (size_t i = 0; i < UNITS && size > 0; i++)
		if (size % units[i].bytes == 0) {
			buf_int(out, size / units[i].bytes);
			buf_str(out, units[i].word);
			return;
		}
	buf_int(out, size);
}

void
config_row_bounds(const struct config_row *row, struct buf *out)
{
	struct bytes words = bytes_of(row->initial);

	switch (row->type) {
	case CONFIG_INT:
	case CONFIG_MS:
		buf_printf(out, "%" PRId64 " to %" PRId64, row->minimum,
			   row->maximum);
		break;
	case CONFIG_BYTES:
		show_size(row->minimum, out);
		buf_str(out, " to ");
		show_size(row->maximum, out);
		break;
	case CONFIG_BOOL:
		buf_str(out, "true, false, on, off, yes, no, 1 or 0");
		break;
	case CONFIG_ENUM:
		while (words.len > 0) {
			buf_add(out, bytes_cut(&words, '|'));
			if (words.len > 0)
				buf_str(out, bytes_find(words, '|') >= 0
						     ? ", "
						     : " or ");
		}
		break;
	default:
		break;
	}
}

static void
show_accepted(const struct config_row *row, struct buf *out)
{
	switch (row->type) {
	case CONFIG_INT:
		buf_str(out, "a whole number, ");
		break;
	case CONFIG_MS:
		buf_str(out, "a whole number of milliseconds, ");
		break;
	case CONFIG_BYTES:
		buf_str(out, "a number of bytes, or one with KiB, MiB, GiB or "
			     "TiB, ");
		break;
	case CONFIG_POSTGRES:
		buf_str(out, "postgresql://..., postgres://... or a libpq "
			     "key=value string");
		break;
	case CONFIG_REDIS:
		buf_str(out, "redis://..., rediss://... or unix:///path");
		break;
	case CONFIG_HOST:
		buf_str(out, "a host name or address, without a port");
		break;
	case CONFIG_TARGET:
		buf_str(out, "stderr, syslog or file:/path");
		break;
	case CONFIG_GATEWAYS:
		buf_str(out, GATEWAYS_FORM);
		break;
	case CONFIG_STRING:
	case CONFIG_SECRET:
	case CONFIG_LIST:
		buf_printf(out,
			   "text of %" PRId64 " to %" PRId64
			   " bytes without control characters",
			   row->minimum, row->maximum);
		break;
	case CONFIG_BOOL:
	case CONFIG_ENUM:
		break;
	}
	config_row_bounds(row, out);
}

void
config_row_complain(const struct config_row *row, struct bytes culprit,
		    struct buf *problem)
{
	buf_str(problem, row->name);
	buf_str(problem, row->type == CONFIG_GATEWAYS ? " has " : " is ");
	show_value(row, culprit, problem);
	buf_str(problem, "; accepted is ");
	show_accepted(row, problem);
}
