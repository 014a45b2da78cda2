/* SPDX-License-Identifier: MIT */
#ifndef CANNED_H
#define CANNED_H

/*
 * canned: a server on a free port of 127.0.0.1 that answers whatever comes with one
 * text, and then closes.  One for each test; it lives as long as the test's process.
 */

/* Gives the port. */
unsigned canned_start(const char *text);

#endif
