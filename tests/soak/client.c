/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ANSWER_MS 60000 /* over all deadlines */

struct client {
	CURL *curl;
	const char *base;
	struct answer answer;
	char *body;
	size_t room;
};

/* The value of `name` in a header line, or nothing. */
static void
take(const char *line, size_t len, const char *name, char *to, size_t max)
{
	size_t skip = strlen(name);

	if (len <= skip || strncasecmp(line, name, skip) != 0 ||
	    line[skip] != ':')
		return;
	for (skip++; skip < len && line[skip] == ' ';)
		skip++;
	while (len > skip && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	snprintf(to, max, "%.*s", (int)(len - skip), line + skip);
}

static size_t
take_header(char *line, size_t size, size_t n, void *arg)
{
	struct answer *a = &((struct client *)arg)->answer;
	char number[16] = "", tried[256] = "";
	size_t len = size * n;

	take(line, len, "ETag", a->etag, sizeof(a->etag));
	take(line, len, "X-Cache", a->cache, sizeof(a->cache));
	take(line, len, "Content-Type", a->content_type,
	     sizeof(a->content_type));
	take(line, len, "Retry-After", number, sizeof(number));
	if (number[0] != '\0')
		a->retry_after = atoi(number);
	take(line, len, "X-Tried", tried, sizeof(tried));
	for (const char *at = tried; (at = strstr(at, "unix:")) != NULL; at++)
		a->tries++;
	if (a->tries > 0 && tried[0] != '\0')
		a->worker = tried[strlen(tried) - 1] - '0';
	return (len);
}

static size_t
take_body(char *at, size_t size, size_t n, void *arg)
{
	struct client *c = arg;
	struct answer *a = &c->answer;
	size_t len = size * n;
	char *more;

	if (a->body_len + len + 1 > c->room) {
		more = realloc(c->body, 2 * (a->body_len + len + 1));
		if (more == NULL)
			return (0);
		c->body = more;
		c->room = 2 * (a->body_len + len + 1);
	}
	memcpy(c->body + a->body_len, at, len);
	a->body_len += len;
	return (len);
}

struct client *
client_new(const char *base)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL || (c->curl = curl_easy_init()) == NULL ||
	    (c->body = malloc(1)) == NULL)
		abort();
	c->base = base;
	c->room = 1;
	return (c);
}

void
client_free(struct client *c)
{
	curl_easy_cleanup(c->curl);
	free(c->body);
	free(c);
}

static struct curl_slist *
headers_of(const struct question *q)
{
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");
	char line[256];

	if (q->login != NULL)
		list = curl_slist_append(list, q->login);
	if (q->body != NULL) {
		snprintf(line, sizeof(line), "Content-Type: %s",
			 q->content_type);
		list = curl_slist_append(list, line);
	}
	if (q->if_none_match != NULL) {
		snprintf(line, sizeof(line), "If-None-Match: %s",
			 q->if_none_match);
		list = curl_slist_append(list, line);
	}
	return (list);
}

static void
set_up(struct client *c, const struct question *q, const char *url,
       struct curl_slist *headers)
{
	CURL *curl = c->curl;

	curl_easy_reset(curl); /* keeps the connection */
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS);
	if (q->gzip)
		curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "gzip");
	if (strcmp(q->method, "HEAD") == 0)
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, q->method);
	if (q->body != NULL) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE,
				 (long)strlen(q->body));
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, q->body);
	}
}

const struct answer *
client_ask(struct client *c, const struct question *q)
{
	struct curl_slist *headers = headers_of(q);
	struct answer *a = &c->answer;
	curl_off_t total = 0, size = 0;
	long status = 0;
	char url[2048];
	CURLcode r;

	*a = (struct answer){ .worker = -1 };
	snprintf(url, sizeof(url), "%s%s", c->base, q->path);
	set_up(c, q, url, headers);
	r = curl_easy_perform(c->curl);
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c->curl, CURLINFO_TOTAL_TIME_T, &total);
	curl_easy_getinfo(c->curl, CURLINFO_SIZE_DOWNLOAD_T, &size);
	curl_slist_free_all(headers);
	a->status = r == CURLE_OK ? (int)status : 0;
	a->error = r == CURLE_OK ? NULL : curl_easy_strerror(r);
	a->ms = (double)total / 1e3;
	a->bytes = (size_t)size;
	a->by_nginx = strcmp(a->content_type, "text/html") == 0;
	c->body[a->body_len] = '\0';
	a->body = c->body;
	return (a);
}
