/* SPDX-License-Identifier: MIT */
#include "thread.h"

#include <signal.h>
#include <stdio.h>

enum result
thread_start(const char *name, thread_main *run, void *arg, pthread_t *out)
{
	char shown[16];
	sigset_t all, before;
	int error;

	(void)sigfillset(&all);
	/* The new thread inherits the mask, so no signal finds it
	 * unprepared. */
	error = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (error != 0)
		return (result_of_errno(error));
	error = pthread_create(out, NULL, run, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		return (result_of_errno(error));
	(void)snprintf(shown, sizeof(shown), "%.15s", name);
	(void)pthread_setname_np(*out, shown);
	return (R_OK);
}
