/* SPDX-License-Identifier: MIT */
#include "library.h"

#include "log.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t proceed = PTHREAD_COND_INITIALIZER;
static bool postponed;
static _Thread_local bool exempt;

void
library_postpone(void)
{
	exempt = true;
	(void)pthread_mutex_lock(&lock);
	postponed = true;
	(void)pthread_mutex_unlock(&lock);
}

void
library_proceed(void)
{
	(void)pthread_mutex_lock(&lock);
	postponed = false;
	(void)pthread_cond_broadcast(&proceed);
	(void)pthread_mutex_unlock(&lock);
}

static void
wait_for_start(void)
{
	(void)pthread_mutex_lock(&lock);
	while (postponed && !exempt)
		(void)pthread_cond_wait(&proceed, &lock);
	(void)pthread_mutex_unlock(&lock);
}

bool
library_load(const char *file, const struct library_symbol *symbols)
{
	void *library, *found;

	wait_for_start();
	library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
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
		/* ISO C knows no cast from an object's address to a
		 * function's. */
		memcpy(symbols->at, &found, sizeof(found));
	}
	return (true);
}
