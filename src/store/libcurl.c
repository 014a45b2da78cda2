/* SPDX-License-Identifier: MIT */
#define LIBCURL_OWN
#include "libcurl.h"

#include "../base/library.h"

#include <pthread.h>

struct libcurl libcurl;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool loaded;

static void
load(void)
{
	const struct library_symbol symbols[] = {
#define SYMBOL(name) { #name, &libcurl.name },
		LIBCURL_FUNCTIONS(SYMBOL)
#undef SYMBOL
			{ NULL, NULL },
	};

	loaded = library_load("libcurl.so.4", symbols);
}

bool
libcurl_load(void)
{
	(void)pthread_once(&once, load);
	return (loaded);
}
