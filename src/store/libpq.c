/* SPDX-License-Identifier: MIT */
#define LIBPQ_OWN
#include "libpq.h"

#include "../base/library.h"

#include <pthread.h>

struct libpq libpq;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool loaded;

static void
load(void)
{
	const struct library_symbol symbols[] = {
#define SYMBOL(name) { #name, &libpq.name },
		LIBPQ_FUNCTIONS(SYMBOL)
#undef SYMBOL
			{ NULL, NULL },
	};

	loaded = library_load("libpq.so.5", symbols);
}

bool
libpq_load(void)
{
	(void)pthread_once(&once, load);
	return (loaded);
}
