/* SPDX-License-Identifier: MIT */
#ifndef DISCREET_H
#define DISCREET_H

/*
 * discreet: what no client may see of the inside: places, programs, statements.
 */

/* Which of them stands in an error's text; NULL: none. */
const char *discreet_leak(const char *text);

#endif
