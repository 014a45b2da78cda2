/* SPDX-License-Identifier: MIT */
#include "http.h"
#include "scratch.h"

#include <check.h>
#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HEADERS_MAX 31

/* A transfer in the making. */
struct transfer {
	CURL *curl;
	struct curl_slist *headers;
	struct http_response *response;
	FILE *head, *body;
	size_t head_len, body_stream_len;
	char *body_at;
	bool drop_body;
};

static size_t
take_head(char *at, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	/* Only the last answer's: a 100 Continue may come before it. */
	if (size * n > 5 && strncmp(at, "HTTP/", 5) == 0) {
		fclose(t->head);
		free(t->response->headers);
		t->head = open_memstream(&t->response->headers, &t->head_len);
	}
	return (fwrite(at, 1, size * n, t->head));
}

static size_t
take_body(char *at, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	uint64_t h = t->response->body_hash;

	for (size_t i = 0; i < size * n; i++) /* FNV-1a */
		h = (h ^ (unsigned char)at[i]) * UINT64_C(0x100000001b3);
	t->response->body_hash = h;
	t->response->body_len += size * n;
	if (!t->drop_body)
		fwrite(at, 1, size * n, t->body);
	return (size * n);
}

static void
prepare(struct transfer *t, const struct http_request *q, CURL *curl,
	struct http_response *response)
{
	const char *method = q->method != NULL ? q->method : "GET";
	long timeout = q->timeout_ms > 0 ? q->timeout_ms : 30000;

	*t = (struct transfer){ .curl = curl,
				.response = response,
				.drop_body = q->drop_body };
	response->body_hash = UINT64_C(0xcbf29ce484222325);
	t->head = open_memstream(&response->headers, &t->head_len);
	t->body = open_memstream(&response->body, &t->body_stream_len);
	if (t->head == NULL || t->body == NULL || curl == NULL)
		abort();
	t->headers = curl_slist_append(NULL, "Expect:");
	for (unsigned i = 0; q->headers != NULL && q->headers[i] != NULL; i++)
		t->headers = curl_slist_append(t->headers, q->headers[i]);
	curl_easy_setopt(curl, CURLOPT_URL, q->url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_head);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(curl, CURLOPT_PRIVATE, t);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout);
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	if (q->unix_socket != NULL)
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH,
				 q->unix_socket);
	if (q->decode)
		curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "gzip");
	if (q->fresh)
		curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
	if (q->insecure) {
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (strcmp(method, "HEAD") == 0)
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	else if (strcmp(method, "GET") != 0 || q->body != NULL)
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	if (q->body != NULL) {
		curl_off_t len = (curl_off_t)(q->body_len > 0
						      ? q->body_len
						      : strlen(q->body));

		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, len);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, q->body);
	}
}

static void
finish(struct transfer *t, CURLcode result)
{
	struct http_response *r = t->response;
	curl_off_t total = 0, first = 0;
	long status = 0;

	fclose(t->head);
	fclose(t->body);
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(t->curl, CURLINFO_TOTAL_TIME_T, &total);
	curl_easy_getinfo(t->curl, CURLINFO_STARTTRANSFER_TIME_T, &first);
	r->status = result == CURLE_OK ? (int)status : 0;
	r->error = result == CURLE_OK ? NULL : curl_easy_strerror(result);
	r->ms = (double)total / 1e3;
	r->first_byte_ms = (double)first / 1e3;
	curl_slist_free_all(t->headers);
}

/* The handle of single requests, whose connection is kept. */
static CURL *
single_handle(void)
{
	static CURL *curl;
	static pid_t owner;

	if (owner != getpid()) {
		/* A parent's would share its socket: closed here, not there. */
		curl_easy_cleanup(curl);
		curl_global_init(CURL_GLOBAL_ALL);
		curl = curl_easy_init();
		owner = getpid();
	}
	curl_easy_reset(curl);
	return (curl);
}

struct http_response *
http_send(const struct http_request *request)
{
	struct http_response *r = scratch_alloc(sizeof(*r));
	struct transfer t;

	prepare(&t, request, single_handle(), r);
	finish(&t, curl_easy_perform(t.curl));
	return (r);
}

static unsigned
collect(const char **headers, va_list more)
{
	unsigned n = 0;

	while (n < HEADERS_MAX && (headers[n] = va_arg(more, const char *)))
		n++;
	headers[n] = NULL;
	return (n);
}

struct http_response *
http_get(const char *url, ...)
{
	const char *headers[HEADERS_MAX + 1];
	va_list more;

	va_start(more, url);
	collect(headers, more);
	va_end(more);
	return (http_send(
		&(struct http_request){ .url = url, .headers = headers }));
}

struct http_response *
http_request(const char *method, const char *url, const char *body, ...)
{
	const char *headers[HEADERS_MAX + 1];
	va_list more;

	va_start(more, body);
	collect(headers, more);
	va_end(more);
	return (http_send(&(struct http_request){ .method = method,
						  .url = url,
						  .body = body,
						  .headers = headers }));
}

static void
collect_finished(CURLM *multi)
{
	struct CURLMsg *message;
	struct transfer *t;
	int left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL) {
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
		finish(t, message->data.result);
		curl_multi_remove_handle(multi, t->curl);
		curl_easy_cleanup(t->curl);
	}
}

static struct http_response *
perform(const struct http_request *requests, unsigned n, unsigned step)
{
	struct http_response *responses = scratch_alloc(n * sizeof(*responses));
	struct transfer *transfers = calloc(n, sizeof(*transfers));
	CURLM *multi;
	int running;

	single_handle(); /* initialises the library */
	multi = curl_multi_init();
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)n);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	for (unsigned i = 0; i < n; i++) {
		prepare(&transfers[i], &requests[i * step], curl_easy_init(),
			&responses[i]);
		curl_multi_add_handle(multi, transfers[i].curl);
	}
	do {
		if (curl_multi_perform(multi, &running) != CURLM_OK)
			ck_abort_msg("curl_multi_perform");
		collect_finished(multi);
		if (running > 0)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	} while (running > 0);
	curl_multi_cleanup(multi);
	free(transfers);
	return (responses);
}

struct http_response *
http_many(const struct http_request *request, unsigned n)
{
	return (perform(request, n, 0));
}

struct http_response *
http_all(const struct http_request *requests, unsigned n)
{
	return (perform(requests, n, 1));
}

const char *
http_header(const struct http_response *r, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = r->headers; line != NULL && *line != '\0';) {
		const char *end = strchr(line, '\n');
		const char *value = line + len + 1;

		if (end == NULL)
			end = line + strlen(line);
		if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
			const char *last = end;

			while (*value == ' ')
				value++;
			while (last > value &&
			       (last[-1] == '\r' || last[-1] == ' '))
				last--;
			return (scratch_copy(value, (size_t)(last - value)));
		}
		line = *end == '\n' ? end + 1 : end;
	}
	return (NULL);
}

static int
compare_times(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return ((x > y) - (x < y));
}

double
http_percentile(const struct http_response *responses, unsigned n, double share)
{
	double *times = scratch_alloc(n * sizeof(*times));
	unsigned at = (unsigned)((double)n * share);

	for (unsigned i = 0; i < n; i++)
		times[i] = responses[i].ms;
	qsort(times, n, sizeof(*times), compare_times);
	return (times[at < n ? at : n - 1]);
}

void
http_free(struct http_response *responses, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		free(responses[i].headers);
		free(responses[i].body);
		responses[i].headers = responses[i].body = NULL;
	}
}
