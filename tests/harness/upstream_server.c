/* SPDX-License-Identifier: MIT */
#include "http.h"
#include "process.h"
#include "scratch.h"
#include "servers.h"
#include "tree.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 32

void
harness_upstream_start(struct harness_upstream *u)
{
	char *port_file = scratch_printf("%s/port", u->directory);
	const char *argv[ARGUMENTS_MAX] = {
		harness_binary("UPSTREAM_BIN", "tests/upstream/upstream"),
		"--listen",
		scratch_printf("127.0.0.1:%u", u->port),
		"--port-file",
		port_file,
		"--log",
		u->log,
	};
	unsigned n = 7;

	for (unsigned i = 0; u->arguments != NULL && u->arguments[i] != NULL &&
			     n + 1 < ARGUMENTS_MAX;
	     i++)
		argv[n++] = u->arguments[i];
	unlink(port_file);
	u->process = process_start(&(struct process_options){
		.argv = argv,
		.output = scratch_printf("%s/errors", u->directory),
	});
	for (double end = harness_now_ms() + harness_limit_ms(10000);
	     access(port_file, F_OK);) {
		if (!process_is_running(u->process) || harness_now_ms() > end)
			ck_abort_msg("the upstream does not start:\n%s",
				     scratch_tail(process_output(u->process)));
		harness_nap();
	}
	u->port = (unsigned)atoi(scratch_read(port_file));
}

struct harness_upstream *
harness_upstream_new(const char *const *arguments)
{
	struct harness_upstream *u = scratch_alloc(sizeof(*u));
	/* For the next start; the caller's may be gone by then. */
	const char **kept = scratch_alloc(ARGUMENTS_MAX * sizeof(*kept));
	const char *scheme = "http";

	for (unsigned i = 0;
	     arguments != NULL && arguments[i] != NULL && i + 1 < ARGUMENTS_MAX;
	     i++) {
		kept[i] = arguments[i];
		if (strcmp(kept[i], "--tls-cert") == 0)
			scheme = "https";
	}
	u->directory = scratch_directory("up");
	u->log = scratch_printf("%s/requests", u->directory);
	u->arguments = kept;
	scratch_write(u->log, "");
	harness_upstream_start(u);
	u->url = scratch_printf("%s://127.0.0.1:%u", scheme, u->port);
	return (u);
}

void
harness_upstream_stop(struct harness_upstream *u)
{
	if (u != NULL)
		process_stop(u->process);
}

void
harness_upstream_kill(struct harness_upstream *u)
{
	process_kill(u->process);
}

void
harness_upstream_control(const struct harness_upstream *u, const char *format,
			 ...)
{
	const struct http_response *r;
	va_list arguments;
	char *query;

	va_start(arguments, format);
	if (vasprintf(&query, format, arguments) < 0)
		abort();
	va_end(arguments);
	r = http_send(&(struct http_request){
		.method = "POST",
		.url = scratch_printf("%s/control?%s", u->url, query),
		.insecure = true,
	});
	if (r->status != 200)
		ck_abort_msg("control %s: %d %s", query, r->status, r->body);
	free(query);
}

unsigned
harness_upstream_count(const struct harness_upstream *u, const char *prefix)
{
	const char *line = scratch_read(u->log);
	unsigned count = 0;

	for (; *line != '\0'; line = strchr(line, '\n') + 1) {
		const char *method = strchr(line, ' ');
		const char *path = method ? strchr(method + 1, ' ') : NULL;

		if (path == NULL || strchr(path, '\n') == NULL)
			break;
		count += strncmp(path + 1, prefix, strlen(prefix)) == 0;
	}
	return (count);
}

long
harness_upstream_stat(const struct harness_upstream *u, const char *path,
		      const char *name)
{
	const struct http_response *r = http_send(&(struct http_request){
		.url = scratch_printf("%s/control/stats", u->url),
		.insecure = true,
	});
	json_t *paths = tree_at(tree_parse(r->body, r->body_len), "paths");

	return ((long)json_integer_value(
		json_object_get(json_object_get(paths, path), name)));
}
