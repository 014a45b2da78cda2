/* SPDX-License-Identifier: MIT */
#include "bytes.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* tolower() would ask the locale. */
static unsigned char
lower(char c)
{
	unsigned char u = (unsigned char)c;

	return (u >= 'A' && u <= 'Z' ? (unsigned char)(u | 0x20) : u);
}

bool
bytes_equal_nocase(struct bytes a, struct bytes b)
{
	if (a.len != b.len)
		return (false);
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.at[i]) != lower(b.at[i]))
			return (false);
	return (true);
}

bool
bytes_ends(struct bytes b, struct bytes suffix)
{
	return (b.len >= suffix.len &&
		bytes_equal(bytes_from(b, b.len - suffix.len), suffix));
}

static bool
is_blank(char c)
{
	return (c == ' ' || c == '\t');
}

struct bytes
bytes_trim(struct bytes b)
{
	while (b.len > 0 && is_blank(b.at[0]))
		b = bytes_from(b, 1);
	while (b.len > 0 && is_blank(b.at[b.len - 1]))
		b.len--;
	return (b);
}

bool
bytes_to_int64(struct bytes b, int64_t *value)
{
	bool negative = b.len > 0 && b.at[0] == '-';
	int64_t sum = 0;

	if (negative)
		b = bytes_from(b, 1);
	if (b.len == 0)
		return (false);
	/* Sum up below zero: INT64_MIN has no positive counterpart. */
	for (size_t i = 0; i < b.len; i++) {
		if (b.at[i] < '0' || b.at[i] > '9')
			return (false);
		if (__builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_sub_overflow(sum, b.at[i] - '0', &sum))
			return (false);
	}
	if (!negative && __builtin_sub_overflow((int64_t)0, sum, &sum))
		return (false);
	*value = sum;
	return (true);
}

static bool
is_tail(unsigned char c)
{
	return ((c & 0xC0) == 0x80);
}

size_t
bytes_utf8_length(struct bytes b)
{
	const unsigned char *at = (const unsigned char *)b.at;
	unsigned char low = 0x80, high = 0xBF; /* of the second byte */
	size_t length;

	if (b.len == 0)
		return (0);
	if (at[0] < 0x80)
		return (1);
	if (at[0] >= 0xC2 && at[0] <= 0xDF)
		length = 2;
	else if (at[0] >= 0xE0 && at[0] <= 0xEF)
		length = 3;
	else if (at[0] >= 0xF0 && at[0] <= 0xF4)
		length = 4;
	else
		return (0);
	/* Too long a form, a surrogate, or beyond U+10FFFF. */
	if (at[0] == 0xE0)
		low = 0xA0;
	else if (at[0] == 0xED)
		high = 0x9F;
	else if (at[0] == 0xF0)
		low = 0x90;
	else if (at[0] == 0xF4)
		high = 0x8F;
	if (b.len < length || at[1] < low || at[1] > high)
		return (0);
	for (size_t i = 2; i < length; i++)
		if (!is_tail(at[i]))
			return (0);
	return (length);
}

bool
bytes_is_utf8(struct bytes b)
{
	size_t length;

	while (b.len > 0) {
		length = bytes_utf8_length(b);
		if (length == 0 || b.at[0] == '\0')
			return (false);
		b = bytes_from(b, length);
	}
	return (true);
}

bool
bytes_have_control(struct bytes b)
{
	for (size_t i = 0; i < b.len; i++)
		if ((unsigned char)b.at[i] < 0x20 || b.at[i] == 0x7f)
			return (true);
	return (false);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return (c - '0');
	if (c >= 'a' && c <= 'f')
		return (c - 'a' + 10);
	if (c >= 'A' && c <= 'F')
		return (c - 'A' + 10);
	return (-1);
}

bool
bytes_percent_decode(struct bytes b, bool plus_is_space, char *to, size_t *len)
{
	int high, low;
	size_t n = 0;

	for (size_t i = 0; i < b.len; i++) {
		if (b.at[i] == '+' && plus_is_space) {
			to[n++] = ' ';
		} else if (b.at[i] != '%') {
			to[n++] = b.at[i];
		} else {
			if (i + 2 >= b.len ||
			    (high = hex_digit(b.at[i + 1])) < 0 ||
			    (low = hex_digit(b.at[i + 2])) < 0)
				return (false);
			to[n++] = (char)(high * 16 + low);
			i += 2;
		}
	}
	*len = n;
	return (true);
}

bool
bytes_is_uuid(struct bytes b)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	bool dash;

	for (size_t i = 0; i < b.len; i++) {
		dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? b.at[i] != '-'
			 : memchr(digits, b.at[i], sizeof(digits) - 1) == NULL)
			return (false);
	}
	return (b.len == 36);
}

uint64_t
bytes_hash(struct bytes b)
{
	return (XXH3_64bits(b.at, b.len));
}

uint64_t
bytes_hash_seeded(struct bytes b, uint64_t seed)
{
	return (XXH3_64bits_withSeed(b.at, b.len, seed));
}

void
bytes_hash128(struct bytes b, unsigned char out[static 16])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(b.at, b.len));
	memcpy(out, canonical.digest, 16);
}
