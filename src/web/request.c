/* SPDX-License-Identifier: MIT */
#include "request.h"

#include "fastcgi.h"

#include <string.h>

static const char *const names[] = {
	[METHOD_GET] = "GET",	    [METHOD_HEAD] = "HEAD",
	[METHOD_POST] = "POST",	    [METHOD_PUT] = "PUT",
	[METHOD_PATCH] = "PATCH",   [METHOD_DELETE] = "DELETE",
	[METHOD_OTHER] = "another",
};

/* What is used only to make other fields. */
struct raw {
	struct bytes method, uri, query, script_name, path_info, length;
};

const char *
method_name(enum method m)
{
	return (names[m]);
}

static enum method
method_of(struct bytes text)
{
	unsigned m = METHOD_GET;

	while (m < METHOD_OTHER && !bytes_equal(text, bytes_of(names[m])))
		m++;
	return ((enum method)m);
}

#define IS(literal) (memcmp(name.at, literal, sizeof(literal) - 1) == 0)

/* Where a parameter goes; NULL: it is none of ours.  By length first: web
 * servers send some twenty, of which we want half. */
static struct bytes *
place_of(struct request *rq, struct raw *raw, struct bytes name)
{
	switch (name.len) {
	case 9:
		return (IS("PATH_INFO") ? &raw->path_info : NULL);
	case 11:
		return (IS("REQUEST_URI")   ? &raw->uri
			: IS("SCRIPT_NAME") ? &raw->script_name
					    : NULL);
	case 12:
		return (IS("QUERY_STRING")   ? &raw->query
			: IS("CONTENT_TYPE") ? &rq->content_type
					     : NULL);
	case 14:
		return (IS("REQUEST_METHOD")   ? &raw->method
			: IS("CONTENT_LENGTH") ? &raw->length
			: IS("HTTP_X_API_KEY") ? &rq->api_key
					       : NULL);
	case 18:
		return (IS("HTTP_AUTHORIZATION")   ? &rq->authorization
			: IS("HTTP_IF_NONE_MATCH") ? &rq->if_none_match
						   : NULL);
	case 20:
		return (IS("HTTP_ACCEPT_ENCODING") ? &rq->accept_encoding
						   : NULL);
	default:
		return (NULL);
	}
}

/* Drop "http://host" of the absolute form (RFC 9112, 3.2.2). */
static struct bytes
origin_form(struct bytes uri)
{
	static const char *const schemes[] = { "http://", "https://" };
	struct bytes rest, front;
	size_t host;

	for (unsigned i = 0; i < 2; i++) {
		front = bytes_of(schemes[i]);
		if (uri.len < front.len ||
		    !bytes_equal_nocase((struct bytes){ uri.at, front.len },
					front))
			continue;
		rest = bytes_from(uri, front.len);
		for (host = 0; host < rest.len; host++)
			if (rest.at[host] == '/' || rest.at[host] == '?')
				break;
		return (bytes_from(rest, host));
	}
	return (uri);
}

static bool
stays_in_path(char c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= '0' && c <= '9') ||
		(c != '\0' && strchr("-._~/!$&'()*+,;=:@", c) != NULL));
}

static char *
encode_path(char *to, struct bytes from)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < from.len; i++) {
		unsigned char c = (unsigned char)from.at[i];

		if (stays_in_path(from.at[i])) {
			*to++ = from.at[i];
			continue;
		}
		*to++ = '%';
		*to++ = digits[c >> 4];
		*to++ = digits[c & 15];
	}
	return (to);
}

static enum result
join_path(struct request *rq, const struct raw *raw)
{
	char *at = arena_alloc(&rq->arena,
			       3 * (raw->script_name.len + raw->path_info.len)),
	     *end;

	if (at == NULL)
		return (R_NO_MEMORY);
	end = encode_path(at, raw->script_name);
	end = encode_path(end, raw->path_info);
	rq->path = (struct bytes){ at, (size_t)(end - at) };
	return (R_OK);
}

static enum result
set_path(struct request *rq, const struct raw *raw)
{
	bool absolute;
	ptrdiff_t mark;

	rq->query = raw->query;
	if (raw->uri.len == 0)
		return (join_path(rq, raw));
	rq->path = origin_form(raw->uri);
	absolute = rq->path.at != raw->uri.at;
	mark = bytes_find(rq->path, '?');
	if (mark >= 0) {
		rq->query = bytes_from(rq->path, (size_t)mark + 1);
		rq->path.len = (size_t)mark;
	}
	if (absolute && rq->path.len == 0)
		rq->path = BYTES("/");
	return (R_OK);
}

static int64_t
length_of(struct bytes text)
{
	int64_t length;

	if (text.len == 0) /* nginx sends it so with a GET */
		return (-1);
	return (bytes_to_int64(text, &length) && length >= 0 ? length : -2);
}

/* Views that no parameter has set point nowhere yet. */
static void
settle(struct bytes *view)
{
	if (view->at == NULL)
		*view = BYTES_NONE;
}

enum result
request_parse(struct request *rq, struct bytes params)
{
	struct arena arena = rq->arena;
	struct raw raw = { 0 };
	struct bytes name, value, *place;
	enum result r;

	*rq = (struct request){ .arena = arena,
				.body = rq->body,
				.body_error = rq->body_error };
	while (fastcgi_next_param(&params, &name, &value)) {
		place = place_of(rq, &raw, name);
		if (place != NULL && place->at == NULL)
			*place = value;
	}
	settle(&rq->authorization);
	settle(&rq->api_key);
	settle(&rq->accept_encoding);
	settle(&rq->if_none_match);
	settle(&rq->content_type);
	settle(&raw.query);
	rq->method = method_of(raw.method);
	rq->content_length = length_of(raw.length);
	r = set_path(rq, &raw);
	if (r != R_OK)
		return (r);
	if (params.len > 0 || raw.method.len == 0 || rq->path.len == 0)
		return (R_INVALID);
	return (R_OK);
}

static void
keep(struct bytes *view, char **to)
{
	if (view->len > 0)
		memcpy(*to, view->at, view->len);
	view->at = *to;
	*to += view->len;
}

enum result
request_keep(struct request *rq)
{
	struct bytes *const views[] = {
		&rq->path,	  &rq->query,		&rq->authorization,
		&rq->api_key,	  &rq->accept_encoding, &rq->if_none_match,
		&rq->content_type
	};
	const size_t count = sizeof(views) / sizeof(views[0]);
	size_t total = 0;
	char *at;

	for (size_t i = 0; i < count; i++)
		total += views[i]->len;
	at = arena_alloc(&rq->arena, total);
	if (at == NULL)
		return (R_NO_MEMORY);
	for (size_t i = 0; i < count; i++)
		keep(views[i], &at);
	return (R_OK);
}
