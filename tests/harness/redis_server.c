/* SPDX-License-Identifier: MIT */
#include "process.h"
#include "scratch.h"
#include "servers.h"

#include <check.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGUMENTS_MAX 64

/* Print a reply; elements of arrays one a line. */
static void
print_reply(FILE *f, const redisReply *reply)
{
	switch (reply->type) {
	case REDIS_REPLY_NIL:
		fputs("(nil)", f);
		break;
	case REDIS_REPLY_INTEGER:
		fprintf(f, "%lld", reply->integer);
		break;
	case REDIS_REPLY_ARRAY:
		for (size_t i = 0; i < reply->elements; i++) {
			if (i > 0)
				fputc('\n', f);
			print_reply(f, reply->element[i]);
		}
		break;
	default:
		fwrite(reply->str, 1, reply->len, f);
		break;
	}
}

/* NULL when the server cannot be asked. */
static char *
ask(const struct harness_redis *r, const char *format, va_list arguments)
{
	const struct timeval patience = { .tv_sec = 10 };
	redisContext *c = redisConnectUnixWithTimeout(r->socket, patience);
	redisReply *reply = NULL, *auth = NULL;
	char *text, *copy = NULL;
	size_t len;
	FILE *f;

	if (c == NULL || c->err != 0)
		goto out;
	redisSetTimeout(c, patience);
	for (const char *const *e = r->extra; e != NULL && *e != NULL; e++)
		if (strcmp(*e, "--requirepass") == 0)
			auth = redisCommand(c, "AUTH %s", e[1]);
	reply = redisvCommand(c, format, arguments);
	if (reply == NULL)
		goto out;
	f = open_memstream(&text, &len);
	if (f == NULL)
		abort();
	print_reply(f, reply);
	fclose(f);
	copy = scratch_copy(text, len);
	free(text);
out:
	freeReplyObject(auth);
	freeReplyObject(reply);
	if (c != NULL)
		redisFree(c);
	return (copy);
}

char *
harness_redis_command(const struct harness_redis *r, const char *format, ...)
{
	va_list arguments;
	char *answer;

	va_start(arguments, format);
	answer = ask(r, format, arguments);
	va_end(arguments);
	if (answer == NULL)
		ck_abort_msg("Redis does not answer: %s\n%s", format,
			     scratch_tail(process_output(r->process)));
	return (answer);
}

static const char *
ping(const struct harness_redis *r, ...)
{
	va_list none;
	const char *answer;

	va_start(none, r);
	answer = ask(r, "PING", none);
	va_end(none);
	return (answer != NULL ? answer : "");
}

void
harness_redis_start(struct harness_redis *r)
{
	const char *argv[ARGUMENTS_MAX] = {
		"redis-server",
		"--unixsocket",
		r->socket,
		"--unixsocketperm",
		"777",
		"--bind",
		"127.0.0.1",
		"--save",
		"",
		"--appendonly",
		"no",
		"--daemonize",
		"no",
		"--dir",
		r->directory,
	};
	unsigned n = 0;

	while (argv[n] != NULL)
		n++;
	for (const char *const *e = r->extra;
	     *e != NULL && n + 1 < ARGUMENTS_MAX;)
		argv[n++] = *e++;
	r->process = process_start(&(struct process_options){
		.argv = argv,
		.output = scratch_printf("%s/log", r->directory),
	});
	for (double end = harness_now_ms() + harness_limit_ms(10000);;) {
		if (strcmp(ping(r), "PONG") == 0)
			return;
		if (!process_is_running(r->process) || harness_now_ms() > end)
			ck_abort_msg("Redis does not start:\n%s",
				     scratch_tail(process_output(r->process)));
		harness_nap();
	}
}

struct harness_redis *
harness_redis_new(const struct harness_redis_options *options)
{
	const struct harness_redis_options plain = { 0 };
	const struct harness_redis_options *o = options ? options : &plain;
	struct harness_redis *r = scratch_alloc(sizeof(*r));
	const char **extra = scratch_alloc(ARGUMENTS_MAX * sizeof(*extra));
	const char *user;
	unsigned n = 0;

	r->directory = scratch_directory("redis");
	r->socket = scratch_printf("%s/sock", r->directory);
	r->port = o->transport != REDIS_SOCKET_ONLY ? harness_free_port() : 0;
	user = o->password != NULL ? scratch_printf(":%s@", o->password) : "";
	extra[n++] = "--port";
	extra[n++] = o->transport == REDIS_TCP ? scratch_printf("%u", r->port)
					       : "0";
	if (o->transport == REDIS_TCP)
		r->tcp_url =
			scratch_printf("redis://%s127.0.0.1:%u", user, r->port);
	if (o->transport == REDIS_TLS) {
		extra[n++] = "--tls-port";
		extra[n++] = scratch_printf("%u", r->port);
		extra[n++] = "--tls-cert-file";
		extra[n++] = o->certificate;
		extra[n++] = "--tls-key-file";
		extra[n++] = o->key;
		extra[n++] = "--tls-auth-clients";
		extra[n++] = "no";
		r->tcp_url = scratch_printf("rediss://%slocalhost:%u", user,
					    r->port);
	}
	if (o->password != NULL) {
		extra[n++] = "--requirepass";
		extra[n++] = o->password;
	}
	for (unsigned i = 0;
	     o->extra != NULL && o->extra[i] != NULL && n + 20 < ARGUMENTS_MAX;
	     i++)
		extra[n++] = o->extra[i];
	r->extra = extra;
	r->url = scratch_printf("unix://%s%s", user, r->socket);
	harness_redis_start(r);
	return (r);
}

void
harness_redis_stop(struct harness_redis *r)
{
	if (r != NULL)
		process_stop(r->process);
}

void
harness_redis_kill(struct harness_redis *r)
{
	process_kill(r->process);
}
