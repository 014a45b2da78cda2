/* SPDX-License-Identifier: MIT */
#ifndef COMPARES_H
#define COMPARES_H

#include <stddef.h>

/*
 * compares: what has been compared in constant time.  The linker puts a wrapper in
 * front of OpenSSL's CRYPTO_memcmp(); see Makefile.am.
 */
struct compares {
	unsigned calls;
	size_t len; /* of the last */
};

extern struct compares compares;

#endif
