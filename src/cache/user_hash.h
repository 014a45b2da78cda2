/* SPDX-License-Identifier: MIT */
#ifndef USER_HASH_H
#define USER_HASH_H

#include "scope.h"

#include <stdint.h>

/*
 * user_hash: scope_user_hash(), remembered by each thread for the users it has met
 * lately.  `owner` names the secret: no two secrets have the same.
 */
uint64_t user_hash_owner(void); /* a new name */

void user_hash(uint64_t owner, struct bytes secret, struct bytes user,
	       char out[static USER_HASH_DIGITS + 1]);

#endif
