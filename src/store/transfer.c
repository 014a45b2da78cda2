/* SPDX-License-Identifier: MIT */
#include "transfer.h"

#include "../base/alloc.h"
#include "libcurl.h"
#include "plain_url.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REDIRECTS_MAX 3L
#define VALIDATOR_MAX_BYTES 1024
#define ERROR_BODY_BYTES \
	((size_t)64 * 1024) /* read so that its connection lives */
#define RETRY_AFTER_MAX_MS ((int64_t)5 * 60 * 1000)

#ifndef WARMFRONT_VERSION
#define WARMFRONT_VERSION "dev"
#endif

struct transfer {
	CURL *curl;
	/* Of the call in hand: */
	struct curl_slist *headers;
	struct buf *body, *validators;
	size_t discarded; /* of a body that is not wanted */
	bool conditional;
	char error[CURL_ERROR_SIZE];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode global_state;

static void
global_init(void)
{
	global_state = libcurl_load() ? curl_global_init(CURL_GLOBAL_DEFAULT)
				      : CURLE_FAILED_INIT;
}

struct transfer *
transfer_new(void)
{
	struct transfer *t;

	(void)pthread_once(&once, global_init);
	if (global_state != CURLE_OK)
		return (NULL);
	t = mem_alloc(sizeof(*t));
	if (t == NULL)
		return (NULL);
	t->curl = curl_easy_init();
	if (t->curl == NULL) {
		free(t);
		return (NULL);
	}
	return (t);
}

void
transfer_free(struct transfer *t)
{
	if (t == NULL)
		return;
	curl_easy_cleanup(t->curl);
	free(t);
}

enum result
transfer_check_url(const char *text)
{
	static const char *const no_names[] = { NULL };
	char *scheme = NULL, *host = NULL;
	enum result r = R_INVALID;
	CURLU *url;

	if (plain_url(text, "http", URL_HAS_HOST, no_names) ||
	    plain_url(text, "https", URL_HAS_HOST, no_names))
		return (R_OK);
	if (!libcurl_load())
		return (R_UNAVAILABLE);
	if ((url = curl_url()) == NULL)
		return (R_NO_MEMORY);
	if (curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	    (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0))
		r = R_OK;
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(url);
	return (r);
}

static size_t
take_body(char *at, size_t unit, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t len = unit * count;
	long status = 0;

	(void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200) {
		t->discarded += len;
		return (t->discarded > ERROR_BODY_BYTES ? 0 : len);
	}
	buf_add(t->body, (struct bytes){ at, len });
	return (buf_error(t->body) == R_OK ? len : 0);
}

static enum result
add_header(struct transfer *t, const char *name, struct bytes value)
{
	char line[VALIDATOR_MAX_BYTES + 64];
	struct curl_slist *longer;

	snprintf(line, sizeof(line), "%s: %.*s", name, BYTES_ARG(value));
	longer = curl_slist_append(t->headers, line);
	if (longer == NULL)
		return (R_NO_MEMORY);
	t->headers = longer;
	return (R_OK);
}

/* A validator comes from a store that others can write to: one that would not
 * pass as a header is left out. */
static enum result
add_validator(struct transfer *t, const char *name, struct bytes value)
{
	if (value.len == 0 || value.len > VALIDATOR_MAX_BYTES ||
	    bytes_have_control(value))
		return (R_OK);
	t->conditional = true;
	return (add_header(t, name, value));
}

static enum result
make_headers(struct transfer *t, struct bytes validators)
{
	struct bytes etag = bytes_cut(&validators, '\n');
	enum result r = add_header(t, "Accept", BYTES("application/json"));

	if (r == R_OK)
		r = add_validator(t, "If-None-Match", etag);
	if (r == R_OK)
		r = add_validator(t, "If-Modified-Since", validators);
	return (r);
}

/* libcurl, unlike OpenSSL, does not look at these by itself. */
static CURLcode
set_authorities(CURL *c)
{
	const char *file = getenv("SSL_CERT_FILE");
	const char *directory = getenv("SSL_CERT_DIR");
	CURLcode error = CURLE_OK;

	if (file != NULL && file[0] != '\0')
		error = curl_easy_setopt(c, CURLOPT_CAINFO, file);
	if (error == CURLE_OK && directory != NULL && directory[0] != '\0')
		error = curl_easy_setopt(c, CURLOPT_CAPATH, directory);
	return (error);
}

static enum result
set_options(struct transfer *t, const struct transfer_request *q)
{
	CURL *c = t->curl;
	long timeout_ms = (long)q->timeout_ms,
	     connect_ms = (long)q->connect_timeout_ms;
	CURLcode error = CURLE_OK;

#define SET(option, value) \
	(error = error != CURLE_OK ? error : curl_easy_setopt(c, option, value))
	SET(CURLOPT_URL, q->url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 1L);
	SET(CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT,
	    1L); /* never wait for a name server past the deadline */
	SET(CURLOPT_TIMEOUT_MS, timeout_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS,
	    connect_ms < timeout_ms ? connect_ms : timeout_ms);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_ACCEPT_ENCODING, "");
	SET(CURLOPT_USERAGENT, "warmfront/" WARMFRONT_VERSION);
	SET(CURLOPT_HTTPHEADER, t->headers);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_ERRORBUFFER, t->error);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	if (q->api_key != NULL) {
		/* As a header of our own it would go to wherever we are
		 * redirected. */
		SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		SET(CURLOPT_XOAUTH2_BEARER, q->api_key);
	}
#undef SET
	if (error == CURLE_OK)
		error = set_authorities(c);
	if (error == CURLE_OUT_OF_MEMORY)
		return (R_NO_MEMORY);
	return (error == CURLE_OK ? R_OK : R_INTERNAL);
}

static struct bytes
header(CURL *c, const char *name)
{
	struct curl_header *h;

	/* -1: of the last response, after all redirects. */
	if (curl_easy_header(c, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
		return (BYTES_NONE);
	if (strlen(h->value) > VALIDATOR_MAX_BYTES)
		return (BYTES_NONE);
	return (bytes_of(h->value));
}

static void
note_validators(struct transfer *t)
{
	struct buf *b = t->validators;

	buf_add(b, header(t->curl, "ETag"));
	buf_char(b, '\n');
	buf_add(b, header(t->curl, "Last-Modified"));
}

static void
judge_status(struct transfer *t, struct transfer_outcome *o)
{
	long status = 0;
	curl_off_t retry_s = 0;

	(void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	o->origin = status >= 500 ? ORIGIN_FAILED : ORIGIN_ALIVE;
	if (status == 200) {
		note_validators(t);
		o->result = buf_error(t->validators);
		return;
	}
	if (status == 304 && t->conditional) {
		o->result = R_UNCHANGED;
		return;
	}
	o->result = R_BAD_ANSWER;
	snprintf(o->problem, sizeof(o->problem), "status %ld", status);
	if (status != 429 && status != 503)
		return;
	/* Seconds, whichever way the header said it. */
	(void)curl_easy_getinfo(t->curl, CURLINFO_RETRY_AFTER, &retry_s);
	if (retry_s > RETRY_AFTER_MAX_MS / 1000)
		retry_s = RETRY_AFTER_MAX_MS / 1000;
	o->retry_after_ms = retry_s > 0 ? (int64_t)retry_s * 1000 : 0;
}

/* libcurl's own words, but where they hold a number that is new each time:
 * what is the same should read the same. */
static const char *
error_text(const struct transfer *t, CURLcode error)
{
	if (t->error[0] == '\0' || error == CURLE_OPERATION_TIMEDOUT ||
	    error == CURLE_COULDNT_CONNECT || error == CURLE_PARTIAL_FILE)
		return (curl_easy_strerror(error));
	return (t->error);
}

static void
judge_error(struct transfer *t, CURLcode error, struct transfer_outcome *o)
{
	long status = 0;

	o->origin = ORIGIN_FAILED;
	o->result = R_BAD_ANSWER;
	snprintf(o->problem, sizeof(o->problem), "%s", error_text(t, error));
	switch (error) {
	case CURLE_OPERATION_TIMEDOUT:
		o->result = R_TIMEOUT;
		break;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
		o->result = R_UNAVAILABLE;
		break;
	case CURLE_OUT_OF_MEMORY:
		o->origin = ORIGIN_UNKNOWN;
		o->result = R_NO_MEMORY;
		break;
	case CURLE_WRITE_ERROR:
		(void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE,
					&status);
		if (status != 200) {
			/* Enough of an error's text. */
			judge_status(t, o);
			break;
		}
		o->origin = ORIGIN_ALIVE;
		o->result = buf_error(t->body);
		snprintf(o->problem, sizeof(o->problem),
			 "the body is refused: %s", result_text(o->result));
		break;
	default:
		break;
	}
}

static enum result
prepare(struct transfer *t, const struct transfer_request *q)
{
	enum result r = make_headers(t, q->validators);

	return (r == R_OK ? set_options(t, q) : r);
}

void
transfer_run(struct transfer *t, const struct transfer_request *request,
	     struct buf *body, struct buf *validators,
	     struct transfer_outcome *outcome)
{
	CURLcode error;

	*outcome = (struct transfer_outcome){ .origin = ORIGIN_UNKNOWN };
	t->body = body;
	t->validators = validators;
	t->discarded = 0;
	t->conditional = false;
	t->error[0] = '\0';
	outcome->result = prepare(t, request);
	if (outcome->result != R_OK)
		goto out;
	error = curl_easy_perform(t->curl);
	if (error == CURLE_OK)
		judge_status(t, outcome);
	else
		judge_error(t, error, outcome);
out:
	/* Options out, connections stay. */
	curl_easy_reset(t->curl);
	curl_slist_free_all(t->headers);
	t->headers = NULL;
}
