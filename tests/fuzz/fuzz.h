/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

/*
 * fuzz: what each fuzz_*.c defines, under the name that libFuzzer calls.  Without
 * libFuzzer, replay.c calls it with the files of a corpus.  A fault aborts.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_MUST(condition)              \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

#endif
