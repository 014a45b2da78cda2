/* SPDX-License-Identifier: MIT */
#ifndef HARNESS_H
#define HARNESS_H

/*
 * harness: what integration tests stand on: private servers, processes that
 * never outlive the run, and clients for HTTP, FastCGI and SQL.
 *
 * Life cycle	main() calls harness_begin() before and harness_end() after the
 *		suites.  A run has one directory under /tmp with a short name
 *		(paths of UNIX sockets are limited to 107 bytes); it is removed
 *		after success, kept and named after a failure.
 * Fork		check runs each test in a process of its own.  What an unchecked
 *		fixture starts is shared by all tests of its case; what a test
 *		starts ends with the test.  A server that a test kills or
 *		restarts must therefore be that test's own (SIGSTOP, SIGCONT
 *		and flushing are fine on a shared one).
 * Errors	Anything that does not work fails the test, with the tail of the
 *		log of the process concerned.
 * Memory	Strings and responses belong to the harness and live until the
 *		test's process ends.
 * Threads	One: the test's.
 */
#include "fcgi.h"
#include "http.h"
#include "process.h"
#include "scratch.h"
#include "servers.h"
#include "sql.h"
#include "stack.h"
#include "tree.h"
#include "webservers.h"
#include "worker.h"

#include <check.h>

#endif
