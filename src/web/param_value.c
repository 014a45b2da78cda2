/* SPDX-License-Identifier: MIT */
#include "param_value.h"

#include "../base/clock.h"
#include "../base/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_MAX 200  /* characters, when a table gives no other */
#define EMAIL_MAX 254 /* RFC 5321's longest path */
#define FIRST_YEAR 1970
#define DAY_S (24 * 60 * 60)

static size_t
characters(struct bytes text)
{
	size_t i, n = 0;

	for (i = 0; i < text.len; i++)
		n += ((unsigned char)text.at[i] & 0xc0) != 0x80;
	return (n);
}

static double
least_characters(const struct param *p)
{
	return (p->max > 0 ? p->min : 1);
}

static double
most_characters(const struct param *p)
{
	return (p->max > 0 ? p->max : TEXT_MAX);
}

static bool
is_text(const struct param *p, struct bytes value)
{
	double n = (double)characters(value);

	return (n >= least_characters(p) && n <= most_characters(p));
}

/* A JSON number (RFC 8259), so that what PostgreSQL sees has no surprises. */
static bool
is_number(struct bytes text, double *value)
{
	char copy[64];
	char *end;

	if (text.len == 0 || text.len >= sizeof(copy) ||
	    json_check(text) != R_OK)
		return (false);
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	if (strspn(copy, "0123456789+-.eE") != text.len)
		return (false); /* not a number, or in white space */
	errno = 0;
	*value = strtod(copy, &end);
	return (end == copy + text.len && errno == 0 && isfinite(*value));
}

static bool
is_word_of(struct bytes word, const char *words)
{
	struct bytes rest = bytes_of(words);

	while (rest.len > 0)
		if (bytes_equal(bytes_cut(&rest, ' '), word))
			return (true);
	return (false);
}

/* "2026-02-28" as seconds since 1970-01-01, which is the first. */
static bool
parse_date(struct bytes text, time_t *seconds)
{
	int64_t year, month, day;
	struct tm utc;

	if (text.len != 10 || text.at[4] != '-' || text.at[7] != '-' ||
	    !bytes_to_int64((struct bytes){ text.at, 4 }, &year) ||
	    !bytes_to_int64((struct bytes){ text.at + 5, 2 }, &month) ||
	    !bytes_to_int64((struct bytes){ text.at + 8, 2 }, &day) ||
	    year < FIRST_YEAR)
		return (false);
	utc = (struct tm){ .tm_year = (int)year - 1900,
			   .tm_mon = (int)month - 1,
			   .tm_mday = (int)day };
	*seconds = timegm(&utc);
	/* What is no day of the calendar has become another. */
	return (utc.tm_mon == month - 1 && utc.tm_mday == day);
}

static enum result
write_date(time_t seconds, struct arena *arena, struct bytes *value)
{
	char text[sizeof("YYYY-MM-DD")] = "";
	struct bytes copy;
	struct tm utc;

	if (gmtime_r(&seconds, &utc) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%d", &utc) == 0)
		return (R_INTERNAL);
	copy = arena_copy(arena, bytes_of(text));
	if (copy.at == NULL)
		return (R_NO_MEMORY);
	*value = copy;
	return (R_OK);
}

enum result
param_value_days_before(struct bytes date, int days, struct arena *arena,
			struct bytes *value)
{
	time_t seconds, back = (time_t)days * DAY_S;

	if (!parse_date(date, &seconds))
		return (R_INTERNAL);
	return (write_date(seconds > back ? seconds - back : 0, arena, value));
}

enum result
param_value_default(const struct param *p, struct arena *arena,
		    struct bytes *value)
{
	if (p->kind == PARAM_DATE && p->otherwise != NULL &&
	    strcmp(p->otherwise, "today") == 0)
		return (write_date(clock_wall_ms() / 1000, arena, value));
	*value = p->otherwise != NULL ? bytes_of(p->otherwise)
				      : (struct bytes){ NULL, 0 };
	return (R_OK);
}

/* One "@" with something on both sides, and no white space: what more there
 * is to know only a mail server can tell. */
static bool
is_email(struct bytes text)
{
	struct bytes domain = text, local = bytes_cut(&domain, '@');
	size_t i;

	for (i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] <= ' ' || text.at[i] == 0x7f)
			return (false);
	return (local.len > 0 && domain.len > 0 &&
		bytes_find(domain, '@') < 0 && characters(text) <= EMAIL_MAX);
}

/* A value, and what it means where that is a number. */
struct meant {
	struct bytes text;
	int64_t whole;
	double number;
};

/* Is it of the right kind?  If not, `accepted` gets what would be. */
static bool
is_right(const struct param *p, const struct services *s, struct meant *m,
	 struct buf *accepted)
{
	bool right = false;
	time_t day;

	switch (p->kind) {
	case PARAM_TEXT:
		if (!(right = is_text(p, m->text)))
			buf_printf(accepted, "%.0f to %.0f characters",
				   least_characters(p), most_characters(p));
		break;
	case PARAM_WORD:
		if (p->accepts != NULL)
			right = p->accepts(s, m->text, accepted);
		else if (!(right = is_word_of(m->text, p->of)))
			buf_printf(accepted, "one of: %s", p->of);
		break;
	case PARAM_INT:
		right = bytes_to_int64(m->text, &m->whole) &&
			(double)m->whole >= p->min &&
			(double)m->whole <= p->max;
		if (!right)
			buf_printf(accepted, "a whole number from %.0f to %.0f",
				   p->min, p->max);
		break;
	case PARAM_NUMBER:
		right = is_number(m->text, &m->number) && m->number >= p->min &&
			m->number <= p->max;
		if (!right)
			buf_printf(accepted, "a number from %g to %g", p->min,
				   p->max);
		break;
	case PARAM_UUID:
		if (!(right = bytes_is_uuid(m->text)))
			buf_str(accepted, "a UUID");
		break;
	case PARAM_DATE:
		if (!(right = parse_date(m->text, &day)))
			buf_printf(accepted,
				   "a date, YYYY-MM-DD, from %d to 9999",
				   FIRST_YEAR);
		break;
	case PARAM_EMAIL:
		if (!(right = is_email(m->text)))
			buf_printf(accepted,
				   "an e-mail address of at most %d characters",
				   EMAIL_MAX);
		break;
	case PARAM_BOOL:
		if (!(right = is_word_of(m->text, "true false")))
			buf_str(accepted, "true or false");
		break;
	case PARAM_OBJECT:
		right = json_check(m->text) == R_OK &&
			json_kind_of(m->text) == JSON_OBJECT;
		if (!right)
			buf_str(accepted, "a JSON object");
		break;
	}
	if (right && !bytes_is_utf8(m->text)) {
		right = false;
		buf_clear(accepted);
		buf_str(accepted, "UTF-8 text without NUL");
	}
	return (right);
}

/* The shortest text that means this number. */
static void
add_number(struct buf *to, double number)
{
	int digits;

	if (number == 0)
		number = 0; /* not -0 */
	for (digits = 1; digits <= 17; digits++) {
		buf_clear(to);
		buf_printf(to, "%.*g", digits, number);
		if (buf_error(to) != R_OK || strtod(to->at, NULL) == number)
			return;
	}
}

static void
add_lower(struct buf *to, struct bytes uuid)
{
	size_t i;

	for (i = 0; i < uuid.len; i++)
		buf_char(to, uuid.at[i] >= 'A' && uuid.at[i] <= 'F'
				     ? (char)(uuid.at[i] + 32)
				     : uuid.at[i]);
}

/* A body is no part of a key, and its numbers may have more digits than a
 * double. */
static bool
has_spellings(const struct param *p)
{
	return (p->kind == PARAM_INT || p->kind == PARAM_UUID ||
		(p->kind == PARAM_NUMBER && p->in != IN_BODY));
}

enum result
param_value_check(const struct param *p, const struct services *s,
		  struct arena *arena, struct bytes *value, struct buf *problem)
{
	struct meant m = { .text = *value };
	struct buf text = { 0 };
	struct bytes copy;
	enum result r;

	if (!is_right(p, s, &m, &text)) {
		buf_printf(problem, "%s: expected %.*s", p->name,
			   BYTES_ARG(buf_bytes(&text)));
		buf_fini(&text);
		return (R_INVALID);
	}
	if (!has_spellings(p)) {
		buf_fini(&text);
		return (R_OK);
	}
	buf_clear(&text);
	if (p->kind == PARAM_INT)
		buf_int(&text, m.whole);
	else if (p->kind == PARAM_NUMBER)
		add_number(&text, m.number);
	else
		add_lower(&text, m.text);
	if ((r = buf_error(&text)) == R_OK) {
		copy = arena_copy(arena, buf_bytes(&text));
		if (copy.at != NULL)
			*value = copy;
		else
			r = R_NO_MEMORY;
	}
	buf_fini(&text);
	return (r);
}
