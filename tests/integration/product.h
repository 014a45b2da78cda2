/* SPDX-License-Identifier: MIT */
#ifndef PRODUCT_H
#define PRODUCT_H

#include "../harness/harness.h"

/*
 * product: a few users of the product, on a stack (stack.h).
 */
struct product {
	const char *anna, *ben, *root; /* their logins; root is an admin */
};

/* After stack_begin().  Every text of Anna's has "anna" in it, and none of the others' does; she has
 * enough of everything for answers of more than 1 KiB, and all of it is of the last days. */
struct product product_new(void);

/* Of the user with this address: "anna@example.org". */
const char *product_id(const char *email);

/* Of one of a user's servers. */
const char *product_server(const char *email);

/* An answer's body as a tree; fails the test unless it is a 200. */
json_t *product_data(const struct http_response *r, const char *path);

#endif
