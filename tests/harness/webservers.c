/* SPDX-License-Identifier: MIT */
#include "webservers.h"
#include "http.h"
#include "process.h"
#include "scratch.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS 5 /* a free port may be taken before the server has it */

static const char nginx_params[] =
	"fastcgi_param REQUEST_METHOD $request_method;\n"
	"fastcgi_param REQUEST_URI $request_uri;\n"
	"fastcgi_param SCRIPT_NAME $fastcgi_script_name;\n"
	"fastcgi_param QUERY_STRING $query_string;\n"
	"fastcgi_param CONTENT_TYPE $content_type;\n"
	"fastcgi_param CONTENT_LENGTH $content_length;\n"
	"fastcgi_param SERVER_PROTOCOL $server_protocol;\n"
	"fastcgi_param REMOTE_ADDR $remote_addr;\n"
	"fastcgi_param REQUEST_SCHEME $scheme;\n";

/* Does it accept connections?  True at once when it has ended. */
static bool
settled(struct process *p, const char *url, bool *answers)
{
	const struct http_response *r = http_send(&(struct http_request){
		.method = "OPTIONS",
		.timeout_ms = 1000,
		.fresh = true,
		.url = scratch_printf("%s/harness-probe", url) });

	/* Any answer will do; and none, if the worker is slow to give it. */
	*answers = r->status != 0 ||
		   (r->error != NULL && strstr(r->error, "imeout") != NULL);
	return (*answers || !process_is_running(p));
}

static bool
comes_up(struct process *p, const char *url)
{
	bool answers = false;

	wait_until(settled(p, url, &answers), 15000);
	return (answers);
}

static char *
nginx_configuration(const struct harness_nginx_options *o,
		    const struct harness_nginx *n)
{
	char *location = scratch_printf(
		"location / {\n%s"
		"fastcgi_pass worker;\nfastcgi_keep_conn %s;\n"
		"fastcgi_read_timeout 60s;\nfastcgi_buffering on;\n}\n",
		nginx_params, o->keep > 0 ? "on" : "off");

	/* One process without a master, so that ending it ends all. */
	return (scratch_printf(
		"daemon off;\nmaster_process off;\npid %s/pid;\n"
		"error_log %s/error.log warn;\n"
		"worker_rlimit_nofile 16384;\n"
		"events { worker_connections 4096; }\n"
		"http {\n"
		"access_log off;\ndefault_type application/octet-stream;\n"
		"client_body_temp_path %s/body;\nfastcgi_temp_path %s/fastcgi;\n"
		"proxy_temp_path %s/proxy;\nuwsgi_temp_path %s/uwsgi;\n"
		"scgi_temp_path %s/scgi;\nkeepalive_requests 1000000;\n"
		"upstream worker { server %s max_fails=0; %s }\n%s\n"
		"server { listen 127.0.0.1:%u backlog=4096;\n%s\n}\n}\n",
		n->directory, n->directory, n->directory, n->directory,
		n->directory, n->directory, n->directory, o->worker,
		o->keep > 0 ? scratch_printf("keepalive %u;", o->keep) : "",
		o->http != NULL ? o->http : "", n->port,
		o->server != NULL ? o->server : location));
}

struct harness_nginx *
harness_nginx_new(const struct harness_nginx_options *o)
{
	struct harness_nginx *n = scratch_alloc(sizeof(*n));
	char *file, *errors;

	n->directory = scratch_directory("nginx");
	file = scratch_printf("%s/nginx.conf", n->directory);
	errors = scratch_printf("%s/error.log", n->directory);
	scratch_write(scratch_printf("%s/params", n->directory), nginx_params);
	for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
		n->port = harness_free_port();
		n->url = scratch_printf("http://127.0.0.1:%u", n->port);
		scratch_write(file, nginx_configuration(o, n));
		n->process = process_start(&(struct process_options){
			.argv = (const char *const[]){ "/usr/sbin/nginx", "-p",
						       n->directory, "-e",
						       errors, "-c", file,
						       NULL },
			.output = scratch_printf("%s/output", n->directory),
		});
		if (comes_up(n->process, n->url))
			return (n);
	}
	ck_abort_msg("nginx does not start: %s%s", scratch_tail(errors),
		     scratch_tail(process_output(n->process)));
}

void
harness_nginx_stop(struct harness_nginx *n)
{
	if (n != NULL)
		process_stop(n->process);
}

/* lighttpd. */

static char *
quoted_list(const char *const *items, const char *separator)
{
	char *list = scratch_copy("", 0);

	for (unsigned i = 0; items != NULL && items[i] != NULL; i++)
		list = scratch_printf("%s%s%s", list, i > 0 ? separator : "",
				      items[i]);
	return (list);
}

/* "A" => "b", for each "A=b". */
static char *
environment_list(const char *const *env)
{
	char *list = scratch_copy("", 0);

	for (; env != NULL && *env != NULL; env++) {
		size_t len = strcspn(*env, "=");

		if ((*env)[len] == '=')
			list = scratch_printf("%s\"%.*s\" => \"%s\",\n", list,
					      (int)len, *env, *env + len + 1);
	}
	return (list);
}

static char *
lighttpd_configuration(const struct harness_lighttpd_options *o,
		       const struct harness_lighttpd *l)
{
	const char *socket = o->worker;
	char *spawn = scratch_copy("", 0);

	if (o->spawn != NULL) {
		socket = scratch_printf("%s/worker", l->directory);
		spawn = scratch_printf(
			"\"bin-path\" => \"%s\",\n\"max-procs\" => %u,\n"
			"\"bin-environment\" => (\n%s),\n",
			quoted_list(o->spawn, " "),
			o->processes > 0 ? o->processes : 1,
			environment_list(o->env));
	}
	return (scratch_printf(
		"server.modules = ( \"mod_fastcgi\" )\n"
		"server.bind = \"127.0.0.1\"\nserver.port = %u\n"
		"server.document-root = \"%s\"\nserver.errorlog = \"%s/error.log\"\n"
		"server.pid-file = \"%s/pid\"\nserver.max-connections = 2048\n"
		"server.max-fds = 4096\nserver.listen-backlog = 2048\n"
		"fastcgi.server = ( \"/\" => ((\n"
		"\"socket\" => \"%s\",\n\"check-local\" => \"disable\",\n%s)))\n",
		l->port, l->directory, l->directory, l->directory, socket,
		spawn));
}

struct harness_lighttpd *
harness_lighttpd_new(const struct harness_lighttpd_options *o)
{
	struct harness_lighttpd *l = scratch_alloc(sizeof(*l));
	char *file;

	l->directory = scratch_directory("lighty");
	file = scratch_printf("%s/lighttpd.conf", l->directory);
	for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
		l->port = harness_free_port();
		l->url = scratch_printf("http://127.0.0.1:%u", l->port);
		scratch_write(file, lighttpd_configuration(o, l));
		l->process = process_start(&(struct process_options){
			.argv = (const char *const[]){ "/usr/sbin/lighttpd",
						       "-D", "-f", file, NULL },
			.output = scratch_printf("%s/output", l->directory),
		});
		if (comes_up(l->process, l->url))
			return (l);
	}
	ck_abort_msg("lighttpd does not start: %s%s",
		     scratch_tail(scratch_printf("%s/error.log", l->directory)),
		     scratch_tail(process_output(l->process)));
}

void
harness_lighttpd_stop(struct harness_lighttpd *l)
{
	if (l != NULL)
		process_stop(l->process);
}
