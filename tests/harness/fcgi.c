/* SPDX-License-Identifier: MIT */
#include "fcgi.h"
#include "scratch.h"

#include <arpa/inet.h>
#include <check.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEADERS_MAX 31
#define RECORD_MAX 65535

/* FastCGI Specification 1.0, section 8. */
enum { BEGIN_REQUEST = 1, END_REQUEST = 3, PARAMS = 4, STDIN = 5, STDOUT = 6 };

/* Encoding. */

static void
write_record(FILE *f, unsigned type, unsigned id, const void *content,
	     size_t len)
{
	const unsigned char head[8] = { 1,
					(unsigned char)type,
					(unsigned char)(id >> 8),
					(unsigned char)id,
					(unsigned char)(len >> 8),
					(unsigned char)len,
					0,
					0 };

	fwrite(head, 1, sizeof(head), f);
	if (len > 0)
		fwrite(content, 1, len, f);
}

/* A stream: as many records as it takes, and an empty one. */
static void
write_stream(FILE *f, unsigned type, unsigned id, const char *at, size_t len)
{
	while (len > 0) {
		size_t n = len < RECORD_MAX ? len : RECORD_MAX;

		write_record(f, type, id, at, n);
		at += n;
		len -= n;
	}
	write_record(f, type, id, NULL, 0);
}

static void
write_length(FILE *f, size_t len)
{
	if (len < 128) {
		fputc((int)len, f);
		return;
	}
	fputc((int)(len >> 24 | 0x80), f);
	fputc((int)(len >> 16 & 0xff), f);
	fputc((int)(len >> 8 & 0xff), f);
	fputc((int)(len & 0xff), f);
}

static void
write_param(FILE *f, const char *name, const char *value)
{
	write_length(f, strlen(name));
	write_length(f, strlen(value));
	fputs(name, f);
	fputs(value, f);
}

/* "If-None-Match: x" as HTTP_IF_NONE_MATCH. */
static void
write_header(FILE *f, const char *header)
{
	size_t len = strcspn(header, ":");
	const char *value = header + len + (header[len] == ':');
	char *name = scratch_printf("HTTP_%.*s", (int)len, header);

	while (*value == ' ')
		value++;
	for (char *c = name; *c != '\0'; c++)
		*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	if (strcmp(name, "HTTP_CONTENT_TYPE") == 0 ||
	    strcmp(name, "HTTP_CONTENT_LENGTH") == 0)
		name += strlen("HTTP_");
	write_param(f, name, value);
}

static void
write_params(FILE *f, const struct fcgi_request *q, size_t body_len)
{
	size_t path_len = strcspn(q->uri, "?");
	const char *query = q->uri + path_len + (q->uri[path_len] == '?');

	write_param(f, "REQUEST_METHOD", q->method != NULL ? q->method : "GET");
	write_param(f, "REQUEST_URI", q->uri);
	write_param(f, "SCRIPT_NAME", scratch_copy(q->uri, path_len));
	write_param(f, "QUERY_STRING", query);
	write_param(f, "SERVER_PROTOCOL", "HTTP/1.1");
	write_param(f, "GATEWAY_INTERFACE", "CGI/1.1");
	write_param(f, "REMOTE_ADDR", "127.0.0.1");
	if (q->body != NULL)
		write_param(f, "CONTENT_LENGTH",
			    q->length != NULL
				    ? q->length
				    : scratch_printf("%zu", body_len));
	for (unsigned i = 0; q->headers != NULL && q->headers[i] != NULL; i++)
		write_header(f, q->headers[i]);
	for (unsigned i = 0; q->params != NULL && q->params[i] != NULL; i++) {
		size_t len = strcspn(q->params[i], "=");

		write_param(f, scratch_copy(q->params[i], len),
			    q->params[i] + len + (q->params[i][len] == '='));
	}
}

char *
fcgi_encode(const struct fcgi_request *q, size_t *len)
{
	const char begin[8] = { 0, 1, q->keep ? 1 : 0 };
	unsigned id = q->id != 0 ? q->id : 1;
	size_t body_len = q->body == NULL   ? 0
			  : q->body_len > 0 ? q->body_len
					    : strlen(q->body);
	char *params, *all, *copy;
	size_t params_len;
	FILE *f;

	f = open_memstream(&params, &params_len);
	if (f == NULL)
		abort();
	write_params(f, q, body_len);
	fclose(f);
	f = open_memstream(&all, len);
	if (f == NULL)
		abort();
	write_record(f, BEGIN_REQUEST, id, begin, sizeof(begin));
	write_stream(f, PARAMS, id, params, params_len);
	write_stream(f, STDIN, id, q->body, body_len);
	fclose(f);
	copy = scratch_copy(all, *len);
	free(params);
	free(all);
	return (copy);
}

char *
fcgi_record(unsigned type, unsigned id, const void *content, size_t len,
	    size_t *record_len)
{
	char *at, *copy;
	FILE *f = open_memstream(&at, record_len);

	if (f == NULL)
		abort();
	write_record(f, type, id, content, len);
	fclose(f);
	copy = scratch_copy(at, *record_len);
	free(at);
	return (copy);
}

/* Sockets. */

int
fcgi_connect(const char *address)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr *to = (struct sockaddr *)&un;
	socklen_t len = sizeof(un);
	unsigned port;
	char host[64];
	int fd;

	if (strncmp(address, "unix:", 5) == 0)
		address += 5;
	if (address[0] == '/') {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", address);
	} else if (sscanf(address, "%63[0-9.]:%u", host, &port) == 2) {
		in.sin_port = htons((uint16_t)port);
		inet_pton(AF_INET, host, &in.sin_addr);
		to = (struct sockaddr *)&in;
		len = sizeof(in);
	} else {
		ck_abort_msg("%s: not an address", address);
	}
	fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, to, len) != 0) {
		close(fd);
		fd = -1;
	}
	return (fd);
}

bool
fcgi_send_raw(int fd, const void *at, size_t len)
{
	const char *from = at;

	while (len > 0) {
		ssize_t n = send(fd, from, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (false);
		from += n;
		len -= (size_t)n;
	}
	return (true);
}

void
fcgi_send(int fd, const struct fcgi_request *request)
{
	size_t len;
	char *bytes = fcgi_encode(request, &len);

	fcgi_send_raw(fd, bytes, len); /* a refusal shows in what comes back */
}

long
fcgi_receive_raw(int fd, void *to, size_t max, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	if (poll(&p, 1, timeout_ms) == 0)
		return (-2);
	n = recv(fd, to, max, 0);
	return (n >= 0 ? n : -1);
}

/* Exactly `len` bytes; NULL, or what is wrong. */
static const char *
receive_all(int fd, void *to, size_t len, double until)
{
	char *at = to;

	while (len > 0) {
		double left = until - harness_now_ms();
		long n =
			fcgi_receive_raw(fd, at, len, left > 0 ? (int)left : 0);

		if (n == 0)
			return ("closed before the end of the answer");
		if (n == -1)
			return ("reset");
		if (n == -2)
			return ("no whole answer in time");
		at += n;
		len -= (size_t)n;
	}
	return (NULL);
}

/* Read records up to END_REQUEST; the STDOUT stream goes to `f`. */
static const char *
receive_records(int fd, FILE *f, double until)
{
	static char content[RECORD_MAX + 256];
	const char *error;

	for (;;) {
		unsigned char head[8];
		size_t len;

		error = receive_all(fd, head, sizeof(head), until);
		if (error != NULL)
			return (error);
		if (head[0] != 1)
			return ("not FastCGI version 1");
		len = (size_t)head[4] << 8 | head[5];
		error = receive_all(fd, content, len + head[6], until);
		if (error != NULL)
			return (error);
		if (head[1] == STDOUT)
			fwrite(content, 1, len, f);
		if (head[1] == END_REQUEST)
			return (len < 5 || content[4] == 0 ? NULL
				: content[4] == 1	   ? "CANT_MPX_CONN"
				: content[4] == 2	   ? "OVERLOADED"
							   : "UNKNOWN_ROLE");
	}
}

/* Cut a CGI answer into its parts. */
static void
parse(struct http_response *r, const char *text, size_t len)
{
	const char *end = memmem(text, len, "\r\n\r\n", 4);
	const char *status;
	size_t head_len;

	if (end == NULL) {
		r->error = "no end of the headers";
		return;
	}
	head_len = (size_t)(end - text) + 2;
	r->headers = scratch_copy(text, head_len);
	r->body_len = len - head_len - 2;
	r->body = scratch_copy(end + 4, r->body_len);
	status = http_header(r, "Status");
	r->status = status != NULL ? atoi(status) : 200;
}

struct http_response *
fcgi_receive(int fd, int timeout_ms)
{
	struct http_response *r = scratch_alloc(sizeof(*r));
	double start = harness_now_ms();
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		abort();
	r->headers = r->body = scratch_copy("", 0);
	r->error = receive_records(fd, f, start + timeout_ms);
	fclose(f);
	if (r->error == NULL)
		parse(r, text, len);
	r->ms = harness_now_ms() - start;
	free(text);
	return (r);
}

struct http_response *
fcgi_ask(const char *address, const struct fcgi_request *request)
{
	struct http_response *r;
	double start = harness_now_ms();
	int fd = fcgi_connect(address);

	if (fd < 0) {
		r = scratch_alloc(sizeof(*r));
		r->headers = r->body = scratch_copy("", 0);
		r->error = "refused";
		return (r);
	}
	fcgi_send(fd, request);
	r = fcgi_receive(fd, 30000);
	r->ms = harness_now_ms() - start;
	close(fd);
	return (r);
}

struct http_response *
fcgi_get(const char *address, const char *uri, ...)
{
	const char *headers[HEADERS_MAX + 1];
	unsigned n = 0;
	va_list more;

	va_start(more, uri);
	while (n < HEADERS_MAX && (headers[n] = va_arg(more, const char *)))
		n++;
	headers[n] = NULL;
	va_end(more);
	return (fcgi_ask(address, &(struct fcgi_request){
					  .uri = uri, .headers = headers }));
}
