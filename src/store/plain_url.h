/* SPDX-License-Identifier: MIT */
#ifndef PLAIN_URL_H
#define PLAIN_URL_H

#include <stdbool.h>

/*
 * plain_url: is this URL so simple that no library need be loaded to say that it can be
 * parsed?  Letters, digits and "-._~" everywhere, a host where `host` wants one, and a
 * query of names from `names` (which ends with NULL) alone.  False says nothing.
 */
enum plain_url_host { URL_HAS_HOST, URL_MAY_LACK_HOST };

bool plain_url(const char *url, const char *scheme, enum plain_url_host host,
	       const char *const *names);

#endif
