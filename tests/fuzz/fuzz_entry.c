/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "cache/entry.h"

#include <stdlib.h>
#include <string.h>

/*
 * The wire form of entries, from a Redis that holds anything.  What decodes must
 * encode to the same bytes.  Each input is tried as it is, and under the right
 * checksum with the key that it names: no fuzzer finds these by chance.
 */
#define SUMMED_AT 12
#define KEY_LENGTH_AT 56
#define HEADER_BYTES 76

static void
decode(struct bytes wire, struct bytes key)
{
	struct buf again = { 0 };
	struct entry *e;

	if (entry_decode(wire, key, &e) != R_OK)
		return;
	FUZZ_MUST(bytes_equal(e->key, key));
	FUZZ_MUST(entry_encode(e, &again) <= wire.len);
	FUZZ_MUST(buf_error(&again) == R_OK);
	FUZZ_MUST(bytes_equal(buf_bytes(&again), wire));
	buf_fini(&again);
	entry_unref(e);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes key = BYTES("models:openrouter:all"), wire;
	uint64_t sum;
	char *copy;

	decode((struct bytes){ (const char *)data, size }, key);
	if (size < HEADER_BYTES)
		return (0);
	copy = malloc(size);
	FUZZ_MUST(copy != NULL);
	memcpy(copy, data, size);
	wire = (struct bytes){ copy, size };
	sum = bytes_hash(bytes_from(wire, SUMMED_AT));
	for (size_t i = 0; i < 8; i++)
		copy[4 + i] = (char)(sum >> (8 * i));
	key = bytes_from(wire, HEADER_BYTES);
	if (data[KEY_LENGTH_AT] < key.len)
		key.len = data[KEY_LENGTH_AT];
	decode(wire, key);
	free(copy);
	return (0);
}
