/* SPDX-License-Identifier: MIT */
#ifndef LIBCURL_H
#define LIBCURL_H

/* Its macros around these functions would not know ours. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#undef curl_easy_setopt
#undef curl_easy_getinfo
#include <stdbool.h>

/*
 * libcurl: the library, loaded when first needed; who includes this uses its names
 * as ever, once libcurl_load() has said true.
 */
#define LIBCURL_FUNCTIONS(F)   \
	F(curl_easy_cleanup)   \
	F(curl_easy_getinfo)   \
	F(curl_easy_header)    \
	F(curl_easy_init)      \
	F(curl_easy_perform)   \
	F(curl_easy_reset)     \
	F(curl_easy_setopt)    \
	F(curl_easy_strerror)  \
	F(curl_free)           \
	F(curl_global_init)    \
	F(curl_slist_append)   \
	F(curl_slist_free_all) \
	F(curl_url)            \
	F(curl_url_cleanup)    \
	F(curl_url_get)        \
	F(curl_url_set)

extern struct libcurl {
#define DECLARE(name) __typeof__(name) *name;
	LIBCURL_FUNCTIONS(DECLARE)
#undef DECLARE
} libcurl;

/* Load it, once; any thread.  False: it cannot be loaded. */
bool libcurl_load(void);

#ifndef LIBCURL_OWN
#define curl_easy_cleanup (*libcurl.curl_easy_cleanup)
#define curl_easy_getinfo (*libcurl.curl_easy_getinfo)
#define curl_easy_header (*libcurl.curl_easy_header)
#define curl_easy_init (*libcurl.curl_easy_init)
#define curl_easy_perform (*libcurl.curl_easy_perform)
#define curl_easy_reset (*libcurl.curl_easy_reset)
#define curl_easy_setopt (*libcurl.curl_easy_setopt)
#define curl_easy_strerror (*libcurl.curl_easy_strerror)
#define curl_free (*libcurl.curl_free)
#define curl_global_init (*libcurl.curl_global_init)
#define curl_slist_append (*libcurl.curl_slist_append)
#define curl_slist_free_all (*libcurl.curl_slist_free_all)
#define curl_url (*libcurl.curl_url)
#define curl_url_cleanup (*libcurl.curl_url_cleanup)
#define curl_url_get (*libcurl.curl_url_get)
#define curl_url_set (*libcurl.curl_url_set)
#endif

#endif
