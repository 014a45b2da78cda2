/* SPDX-License-Identifier: MIT */
#include "problem.h"

static const struct {
	int status;
	const char *title;
} titles[] = {
	{ 400, "Bad Request" },	       { 401, "Unauthorized" },
	{ 403, "Forbidden" },	       { 404, "Not Found" },
	{ 405, "Method Not Allowed" }, { 409, "Conflict" },
	{ 413, "Content Too Large" },  { 415, "Unsupported Media Type" },
	{ 429, "Too Many Requests" },  { 500, "Internal Server Error" },
	{ 502, "Bad Gateway" },	       { 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
};

const char *
problem_title(int status)
{
	size_t i;

	for (i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		if (titles[i].status == status)
			return (titles[i].title);
	return ("Error");
}

int
problem_status_of_load(enum result r)
{
	switch (r) {
	case R_NOT_FOUND:
		return (404);
	case R_INVALID:
		return (400);
	case R_FORBIDDEN:
		return (403);
	case R_TIMEOUT:
		return (504);
	case R_UNAVAILABLE:
	case R_BUSY:
		return (503);
	case R_BAD_ANSWER:
	case R_TOO_LARGE: /* what the origin sent */
		return (502);
	default:
		return (500);
	}
}

int
problem_status_of_run(enum result r)
{
	switch (r) {
	case R_CONFLICT:
		return (409);
	case R_TOO_LARGE:
		return (413);
	default:
		return (problem_status_of_load(r));
	}
}

void
problem_write(const struct problem *p, struct buf *head, struct buf *body)
{
	buf_printf(body,
		   "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d",
		   problem_title(p->status), p->status);
	if (p->detail != NULL) {
		buf_str(body, ",\"detail\":");
		buf_json(body, bytes_of(p->detail));
	}
	buf_char(body, '}');

	buf_printf(head,
		   "Status: %d %s\r\n"
		   "Content-Type: application/problem+json\r\n"
		   "Content-Length: %zu\r\n"
		   "Cache-Control: no-store\r\n",
		   p->status, problem_title(p->status), body->len);
	if (p->retry_ms > 0)
		buf_printf(head, "Retry-After: %lld\r\n",
			   (long long)(p->retry_ms / 1000 +
				       (p->retry_ms % 1000 > 0)));
	if (p->status == 401)
		buf_str(head,
			"WWW-Authenticate: Bearer realm=\"warmfront\"\r\n");
	if (p->allow.len > 0) {
		buf_str(head, "Allow: ");
		buf_add(head, p->allow);
		buf_str(head, "\r\n");
	}
	buf_str(head, "\r\n");
}
