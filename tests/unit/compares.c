/* SPDX-License-Identifier: MIT */
#include "compares.h"

struct compares compares;

int __real_CRYPTO_memcmp(const void *a, const void *b, size_t len);
int __wrap_CRYPTO_memcmp(const void *a, const void *b, size_t len);

int
__wrap_CRYPTO_memcmp(const void *a, const void *b, size_t len)
{
	compares.calls++;
	compares.len = len;
	return (__real_CRYPTO_memcmp(a, b, len));
}
