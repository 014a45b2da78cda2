/* SPDX-License-Identifier: MIT */
#include "library.h"

#include "log.h"

#include <dlfcn.h>
#include <string.h>

bool
library_load(const char *file, const struct library_symbol *symbols)
{
	void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL), *found;

	if (library == NULL) {
		log_error("cannot load %s: %s", file, dlerror());
		return (false);
	}
	for (; symbols->name != NULL; symbols++) {
		found = dlsym(library, symbols->name);
		if (found == NULL) {
			log_error("%s has no %s", file, symbols->name);
			return (false);
		}
		/* ISO C knows no cast from an object's address to a function's. */
		memcpy(symbols->at, &found, sizeof(found));
	}
	return (true);
}
