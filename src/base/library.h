/* SPDX-License-Identifier: MIT */
#ifndef LIBRARY_H
#define LIBRARY_H

#include <stdbool.h>

/*
 * library: a shared library that is loaded when it is first needed, not before main():
 * to load one with all that it needs in turn may take longer than a cached answer.
 * It stays loaded.
 */
struct library_symbol {
	const char *name;
	void *at; /* a pointer to a function: its place */
};

/* Load it and fill in the pointers; `symbols` ends with a name of NULL.
 * False: it cannot be used, which is logged. */
bool library_load(const char *file, const struct library_symbol *symbols);

/* Between these two, which one thread calls, what other threads want to load
 * waits: a load keeps threads from being created meanwhile, and a server
 * first wants to have its own. */
void library_postpone(void);
void library_proceed(void);

#endif
