/* SPDX-License-Identifier: MIT */
#include "origin.h"
#include "plan.h"
#include "stats.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct origin_options options;

/* One request, from its arrival to its end. */
struct call {
	bool is_control;
	struct plan plan;
	struct catalogue *catalogue; /* NULL: the answer is not one */
	int status;
	struct stats_path *stats;
};

static const char *
header_of(struct MHD_Connection *c, const char *name)
{
	return (MHD_lookup_connection_value(c, MHD_HEADER_KIND, name));
}

static const char *
argument_of(struct MHD_Connection *c, const char *name)
{
	return (MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, name));
}

static enum MHD_Result
send_text(struct MHD_Connection *c, unsigned status, const char *type,
	  const char *text)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(strlen(text),
						(void *)(uintptr_t)text,
						MHD_RESPMEM_MUST_COPY);
	enum MHD_Result sent;

	if (r == NULL)
		return (MHD_NO);
	MHD_add_response_header(r, "Content-Type", type);
	sent = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return (sent);
}

/* Control. */

static enum MHD_Result
control_plan(struct MHD_Connection *c)
{
	const char *prefix = argument_of(c, "path");
	const char *mode = argument_of(c, "mode");
	const char *delay = argument_of(c, "delay_ms");
	const char *status = argument_of(c, "status");
	const char *times = argument_of(c, "times");
	struct plan plan = { 0 };
	unsigned version;
	char rest;

	if (prefix == NULL)
		prefix = "/";
	if (status != NULL)
		plan.status = atoi(status);
	if (times != NULL)
		plan.times = strtoul(times, NULL, 10);
	if (delay != NULL && !plan_parse_delay(delay, &plan))
		return (send_text(c, 400, "text/plain",
				  "delay_ms: N or N-M\n"));
	if (status != NULL && (plan.status < 200 || plan.status > 599))
		return (send_text(c, 400, "text/plain",
				  "status: 200 to 599\n"));
	if (mode != NULL &&
	    sscanf(mode, "version:%u%c", &version, &rest) == 1) {
		plan_set_version(prefix, version);
		if (delay == NULL && status == NULL)
			return (send_text(c, 200, "text/plain", "ok\n"));
	} else if (mode != NULL && !plan_parse_mode(mode, &plan)) {
		return (send_text(c, 400, "text/plain", "mode: unknown\n"));
	}
	plan_set(prefix, &plan);
	return (send_text(c, 200, "text/plain", "ok\n"));
}

static enum MHD_Result
control(struct MHD_Connection *c, const char *url, const char *method)
{
	enum MHD_Result sent;
	char *text = NULL;
	size_t len;
	FILE *f;

	if (strcmp(url, "/control/stats") == 0) {
		f = open_memstream(&text, &len);
		if (f == NULL)
			return (MHD_NO);
		stats_write(f);
		fclose(f);
		sent = send_text(c, 200, "application/json", text);
		free(text);
		return (sent);
	}
	if (strcmp(method, "POST") != 0)
		return (send_text(c, 405, "text/plain", "POST it\n"));
	if (strcmp(url, "/control") == 0)
		return (control_plan(c));
	if (strcmp(url, "/control/reset") == 0) {
		plan_reset();
		stats_reset();
		return (send_text(c, 200, "text/plain", "ok\n"));
	}
	return (send_text(c, 404, "text/plain", "no such control\n"));
}

/* Catalogues. */

static void
http_date(time_t t, char out[static 40])
{
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, 40, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

/* RFC 9110, 13.2.2: If-None-Match alone counts when it is there. */
static bool
client_has(struct MHD_Connection *c, const struct catalogue *catalogue)
{
	const char *tags = header_of(c, "If-None-Match");
	const char *since = header_of(c, "If-Modified-Since");
	struct tm tm = { 0 };

	if (tags != NULL)
		return (strcmp(tags, "*") == 0 ||
			strstr(tags, catalogue->etag) != NULL ||
			strstr(tags, catalogue->etag_gzip) != NULL);
	if (since == NULL ||
	    strptime(since, "%a, %d %b %Y %H:%M:%S GMT", &tm) == NULL)
		return (false);
	return (catalogue->modified <= timegm(&tm));
}

static int
status_of(struct MHD_Connection *c, const struct call *call)
{
	if (call->plan.mode == MODE_HANG || call->plan.mode == MODE_RESET)
		return (0);
	if (call->plan.status != 0)
		return (call->plan.status);
	if (call->plan.mode == MODE_REDIRECT)
		return (302);
	if (call->plan.mode == MODE_RETRY_AFTER)
		return (429);
	if ((call->plan.mode == MODE_NORMAL || call->plan.mode == MODE_HUGE) &&
	    client_has(c, call->catalogue))
		return (304);
	return (200);
}

static struct catalogue *
catalogue_for(const char *path, const struct plan *plan, unsigned version)
{
	struct catalogue_wish wish = {
		.path = path,
		.version = version,
		.models = options.models,
		.bytes = plan->mode == MODE_HUGE ? plan->bytes : 0,
	};

	if (options.catalogue != NULL && wish.bytes == 0 && version == 0)
		return (catalogue_ref(options.catalogue));
	return (catalogue_make(&wish));
}

/* Copy without what would break the line or its fields. */
static void
field(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text != '\0' && n + 1 < size; text++)
		out[n++] = *text > ' ' && *text < 0x7f ? *text : '_';
	out[n] = '\0';
}

static void
log_call(const char *method, const char *path, int status, const char *tag)
{
	char line[2048], clean_path[1024], clean_tag[512], when[32];
	struct timespec now;
	struct tm tm;
	int len;

	if (options.log_fd < 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	field(clean_path, sizeof(clean_path), path);
	field(clean_tag, sizeof(clean_tag), tag != NULL ? tag : "-");
	len = snprintf(line, sizeof(line), "%s.%03ldZ %s %s %d %s\n", when,
		       now.tv_nsec / 1000000, method, clean_path, status,
		       clean_tag);
	if (write(options.log_fd, line, (size_t)len) != len)
		perror("upstream: log");
}

/* A request has arrived: decide what becomes of it, and note it. */
static struct call *
call_new(struct MHD_Connection *c, const char *url, const char *method)
{
	struct call *call = calloc(1, sizeof(*call));
	struct stats_request note = {
		.path = url,
		.authorization = header_of(c, "Authorization"),
		.if_none_match = header_of(c, "If-None-Match"),
		.accept_encoding = header_of(c, "Accept-Encoding"),
	};
	const union MHD_ConnectionInfo *connection;
	unsigned version;

	if (call == NULL)
		return (NULL);
	if (strncmp(url, "/control", 8) == 0) {
		call->is_control = true;
		return (call);
	}
	call->plan = plan_take(url, &version);
	call->catalogue = catalogue_for(url, &call->plan, version);
	if (call->catalogue == NULL) {
		free(call);
		return (NULL);
	}
	call->status = note.status = status_of(c, call);
	connection =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	call->stats = stats_begin(connection->socket_context, &note);
	log_call(method, url, call->status, note.if_none_match);
	return (call);
}

static void
call_end(void *arg, struct MHD_Connection *c, void **state,
	 enum MHD_RequestTerminationCode how)
{
	struct call *call = *state;

	(void)arg, (void)c, (void)how;
	if (call == NULL)
		return;
	if (call->stats != NULL)
		stats_end(call->stats);
	catalogue_unref(call->catalogue);
	free(call);
	*state = NULL;
}

static int
descriptor_of(struct MHD_Connection *c)
{
	return (MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)
			->connect_fd);
}

/* Wait, unless the client leaves first; `ms` -1: until then. */
static bool
client_stays(struct MHD_Connection *c, int ms)
{
	struct pollfd p = { .fd = descriptor_of(c), .events = POLLRDHUP };

	return (poll(&p, 1, ms) == 0);
}

static int
delay_of(const struct plan *plan)
{
	const struct plan *p = plan->has_delay ? plan : &options.delay;
	unsigned span = p->delay_max_ms - p->delay_ms, random = 0;

	if (span > 0 &&
	    getrandom(&random, sizeof(random), 0) == (ssize_t)sizeof(random))
		random %= span + 1;
	return ((int)(p->delay_ms + random));
}

/* A body that is written piece by piece. */
struct pieces {
	struct catalogue *catalogue;
	enum mode mode;
};

static ssize_t
next_piece(void *arg, uint64_t at, char *to, size_t max)
{
	const struct pieces *p = arg;
	size_t half = p->catalogue->body_len / 2;

	if (p->mode == MODE_ENDLESS) {
		memset(to, ' ', max);
		return ((ssize_t)max);
	}
	if (p->mode == MODE_TRICKLE) {
		poll(NULL, 0, 100);
		to[0] = p->catalogue->body[at % p->catalogue->body_len];
		return (1);
	}
	if (at >= half)
		return (MHD_CONTENT_READER_END_WITH_ERROR);
	if (max > half - at)
		max = half - at;
	memcpy(to, p->catalogue->body + at, max);
	return ((ssize_t)max);
}

static void
pieces_free(void *arg)
{
	struct pieces *p = arg;

	catalogue_unref(p->catalogue);
	free(p);
}

static struct MHD_Response *
in_pieces(const struct call *call)
{
	struct pieces *p = malloc(sizeof(*p));
	uint64_t size = MHD_SIZE_UNKNOWN;

	if (p == NULL)
		return (NULL);
	p->catalogue = catalogue_ref(call->catalogue);
	p->mode = call->plan.mode;
	if (p->mode == MODE_TRUNCATE)
		size = call->catalogue->body_len;
	return (MHD_create_response_from_callback(size, 32768, next_piece, p,
						  pieces_free));
}

static void
release_catalogue(void *catalogue)
{
	catalogue_unref(catalogue);
}

/* The catalogue, or the part of it that the plan leaves. */
static struct MHD_Response *
from_catalogue(struct MHD_Connection *c, const struct call *call)
{
	struct catalogue *body = call->catalogue;
	const char *accepted = header_of(c, "Accept-Encoding");
	bool gzip = accepted != NULL && strstr(accepted, "gzip") != NULL &&
		    call->plan.mode != MODE_BROKEN_JSON;
	size_t len = gzip ? body->gzip_len : body->body_len;
	struct MHD_Response *r;
	char date[40];

	if (call->status == 304)
		len = 0;
	else if (call->plan.mode == MODE_BROKEN_JSON)
		len /= 2;
	r = MHD_create_response_from_buffer_with_free_callback_cls(
		len, gzip ? body->gzip : body->body, release_catalogue,
		catalogue_ref(body));
	if (r == NULL)
		return (NULL);
	http_date(body->modified, date);
	MHD_add_response_header(r, "ETag", gzip ? body->etag_gzip : body->etag);
	MHD_add_response_header(r, "Last-Modified", date);
	MHD_add_response_header(r, "Vary", "Accept-Encoding");
	if (gzip && call->status != 304)
		MHD_add_response_header(r, "Content-Encoding", "gzip");
	return (r);
}

static struct MHD_Response *
from_text(const char *text)
{
	return (MHD_create_response_from_buffer(strlen(text),
						(void *)(uintptr_t)text,
						MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result
answer(struct MHD_Connection *c, const struct call *call)
{
	const char *type = "application/json";
	enum MHD_Result sent;
	struct MHD_Response *r;
	char number[32];

	switch (call->plan.mode) {
	case MODE_TRUNCATE:
	case MODE_CHUNK_CUT:
	case MODE_ENDLESS:
	case MODE_TRICKLE:
		r = in_pieces(call);
		break;
	case MODE_NOT_JSON:
		r = from_text("<!doctype html><title>Back soon</title>\n");
		type = "text/html";
		break;
	default:
		r = call->status == 200 || call->status == 304
			    ? from_catalogue(c, call)
			    : from_text(
				      "{\"error\":{\"message\":\"as told\"}}\n");
		break;
	}
	if (r == NULL)
		return (MHD_NO);
	MHD_add_response_header(r, "Content-Type", type);
	if (call->plan.mode == MODE_REDIRECT)
		MHD_add_response_header(r, "Location", call->plan.text);
	if (call->plan.mode == MODE_RETRY_AFTER) {
		snprintf(number, sizeof(number), "%zu", call->plan.bytes);
		MHD_add_response_header(r, "Retry-After", number);
	}
	sent = MHD_queue_response(c, (unsigned)call->status, r);
	MHD_destroy_response(r);
	return (sent);
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *c, const char *url,
	   const char *method, const char *version, const char *upload,
	   size_t *upload_size, void **state)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	struct call *call = *state;

	(void)arg, (void)version, (void)upload;
	if (call == NULL) {
		*state = call_new(c, url, method);
		return (*state != NULL ? MHD_YES : MHD_NO);
	}
	if (*upload_size > 0) {
		*upload_size = 0;
		return (MHD_YES);
	}
	if (call->is_control)
		return (control(c, url, method));
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return (send_text(c, 405, "text/plain", "GET it\n"));
	if (!client_stays(c, delay_of(&call->plan)))
		return (MHD_NO);
	switch (call->plan.mode) {
	case MODE_HANG:
		client_stays(c, -1);
		return (MHD_NO);
	case MODE_RESET:
		/* Dissolving the association sends an RST; closing would
		 * send a FIN first. */
		connect(descriptor_of(c), &nobody, sizeof(nobody));
		return (MHD_NO);
	default:
		return (answer(c, call));
	}
}

static void
on_connection(void *arg, struct MHD_Connection *c, void **state,
	      enum MHD_ConnectionNotificationCode what)
{
	const int on = 1;

	(void)arg;
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		*state = stats_connection_new();
		setsockopt(descriptor_of(c), IPPROTO_TCP, TCP_NODELAY, &on,
			   sizeof(on));
	} else {
		stats_connection_free(*state);
		*state = NULL;
	}
}

bool
origin_start(int fd, const struct origin_options *wanted)
{
	unsigned flags = MHD_USE_THREAD_PER_CONNECTION |
			 MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;
	struct MHD_OptionItem tls[3] = { { MHD_OPTION_END, 0, NULL } };

	options = *wanted;
	if (options.tls_cert != NULL) {
		flags |= MHD_USE_TLS;
		tls[0] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_CERT, 0,
						  options.tls_cert };
		tls[1] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_KEY, 0,
						  options.tls_key };
		tls[2] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
	}
	return (MHD_start_daemon(flags, 0, NULL, NULL, on_request, NULL,
				 MHD_OPTION_LISTEN_SOCKET, fd,
				 MHD_OPTION_CONNECTION_LIMIT, 4000u,
				 MHD_OPTION_THREAD_STACK_SIZE, (size_t)262144,
				 MHD_OPTION_NOTIFY_COMPLETED, call_end, NULL,
				 MHD_OPTION_NOTIFY_CONNECTION, on_connection,
				 NULL, MHD_OPTION_ARRAY, tls,
				 MHD_OPTION_END) != NULL);
}
