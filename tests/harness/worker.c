/* SPDX-License-Identifier: MIT */
#include "worker.h"
#include "fcgi.h"
#include "process.h"
#include "scratch.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define VARIABLES_MAX 192

struct harness_env {
	const char *entries[VARIABLES_MAX]; /* NULL ends */
	unsigned n;
};

/* Variables. */

static unsigned
place_of(const struct harness_env *env, const char *name)
{
	size_t len = strlen(name);
	unsigned i = 0;

	while (i < env->n &&
	       (strncmp(env->entries[i], name, len) != 0 ||
		(env->entries[i][len] != '=' && env->entries[i][len] != '\0')))
		i++;
	return (i);
}

static void
put(struct harness_env *env, const char *name, const char *entry)
{
	unsigned i = place_of(env, name);

	ck_assert_msg(i + 1 < VARIABLES_MAX, "too many variables");
	env->entries[i] = entry;
	if (i == env->n)
		env->n++;
}

void
harness_env_set(struct harness_env *env, const char *name, const char *format,
		...)
{
	va_list arguments;
	char *value;

	va_start(arguments, format);
	if (vasprintf(&value, format, arguments) < 0)
		abort();
	va_end(arguments);
	put(env, name, scratch_printf("%s=%s", name, value));
	free(value);
}

void
harness_env_unset(struct harness_env *env, const char *name)
{
	put(env, name, scratch_copy(name, strlen(name)));
}

const char *
harness_env_get(const struct harness_env *env, const char *name)
{
	unsigned i = place_of(env, name);
	const char *equals = i < env->n ? strchr(env->entries[i], '=') : NULL;

	return (equals != NULL ? equals + 1 : NULL);
}

struct harness_env *
harness_env_new(void)
{
	static const char *const names[] = {
#define SETTING(id, ...) #id,
#include "../../src/base/settings.def"
#undef SETTING
	};
	struct harness_env *env = scratch_alloc(sizeof(*env));

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		harness_env_unset(env, names[i]);
	harness_env_set(env, "CACHE_KEY_SECRET", HARNESS_KEY_SECRET);
	harness_env_set(env, "CRON_SECRET", HARNESS_CRON_SECRET);
	harness_env_set(env, "DISABLE_REDIS_CACHE", "true");
	harness_env_set(env, "LOG_LEVEL", "debug");
	harness_env_set(env, "CACHE_VERBOSE", "true");
	return (env);
}

struct harness_env *
harness_env_copy(const struct harness_env *env)
{
	struct harness_env *copy = scratch_alloc(sizeof(*copy));

	*copy = *env;
	return (copy);
}

const char *const *
harness_env_list(const struct harness_env *env)
{
	return (env->entries);
}

/* Processes. */

static const char *
program(void)
{
	return (harness_binary("WARMFRONT_BIN", "warmfront"));
}

static int
listen_on(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    listen(fd, 4096) != 0 || chmod(path, 0777) != 0)
		ck_abort_msg("%s: %s", path, strerror(errno));
	return (fd);
}

static char *
log_of(const struct harness_worker *w)
{
	return (scratch_printf("%s.log", w->socket));
}

static struct process *
start_one(struct harness_worker *w, const char *const *argv, const int *socket)
{
	return (process_start(&(struct process_options){
		.argv = argv,
		.env = harness_env_list(w->options.env),
		.output = log_of(w),
		.input_fd = socket,
	}));
}

/* Under spawn-fcgi, whose children have no standard error. */
static void
start_spawn_fcgi(struct harness_worker *w)
{
	char *pid_file = scratch_printf("%s.pids", w->socket), *next;
	struct harness_env *env = harness_env_copy(w->options.env);
	const char *argv[] = { "spawn-fcgi",
			       "-s",
			       w->socket,
			       "-M",
			       "0777",
			       "-F",
			       scratch_printf("%u", w->options.processes),
			       "-P",
			       pid_file,
			       "--",
			       program(),
			       NULL };
	struct process_result r;

	unlink(w->socket);
	unlink(pid_file);
	if (harness_env_get(env, "LOG_TARGET") == NULL)
		harness_env_set(env, "LOG_TARGET", "file:%s", log_of(w));
	r = process_run(&(struct process_options){
		.argv = argv, .env = harness_env_list(env) });
	if (r.status != 0)
		ck_abort_msg("spawn-fcgi: %s%s", r.out, r.err);
	next = scratch_read(pid_file);
	for (unsigned i = 0; i < w->n; i++)
		w->processes[i] = process_adopt((pid_t)strtol(next, &next, 10),
						log_of(w));
}

static void
start_multiwatch(struct harness_worker *w)
{
	const char *argv[] = {
		"spawn-fcgi", "-n",
		"-s",	      w->socket,
		"-M",	      "0777",
		"--",	      "/usr/bin/multiwatch",
		"-f",	      scratch_printf("%u", w->options.processes),
		"--",	      program(),
		NULL
	};
	pid_t children[HARNESS_WORKERS_MAX];

	unlink(w->socket);
	w->spawner = start_one(w, argv, NULL);
	wait_until(process_children(process_pid(w->spawner), children,
				    HARNESS_WORKERS_MAX) == w->n,
		   10000);
	for (unsigned i = 0; i < w->n; i++)
		w->processes[i] = process_adopt(children[i], log_of(w));
}

static void
start_processes(struct harness_worker *w)
{
	const char *worker[] = { program(), NULL };
	const char *listens[] = { program(), "-l", w->address, NULL };
	const char *spawned[] = { "spawn-fcgi", "-n",	   "-s",
				  w->socket,	"-M",	   "0777",
				  "--",		program(), NULL };

	if (w->options.how == WORKER_INHERITS && w->listen_fd < 0)
		w->listen_fd = listen_on(w->socket);
	if (w->options.how == WORKER_SPAWN_FCGI && w->n > 1) {
		start_spawn_fcgi(w);
		return;
	}
	if (w->options.how == WORKER_MULTIWATCH) {
		start_multiwatch(w);
		return;
	}
	if (w->options.how == WORKER_SPAWN_FCGI)
		unlink(w->socket);
	for (unsigned i = 0; i < w->n; i++)
		w->processes[i] =
			start_one(w,
				  w->options.how == WORKER_LISTENS ? listens
				  : w->options.how == WORKER_SPAWN_FCGI
					  ? spawned
					  : worker,
				  w->options.how == WORKER_INHERITS
					  ? &w->listen_fd
					  : NULL);
}

/* One answers, and all are far enough to end in good order when told to. */
static bool
is_up(const struct harness_worker *w)
{
	for (unsigned i = 0; i < w->n; i++)
		if (!process_catches(w->processes[i], SIGTERM))
			return (false);
	return (fcgi_get(w->address, "/harness-probe", NULL)->status != 0);
}

void
harness_worker_start(struct harness_worker *w)
{
	double end = harness_now_ms() + harness_limit_ms(15000);

	start_processes(w);
	while (!is_up(w)) {
		for (unsigned i = 0; i < w->n; i++)
			if (!process_is_running(w->processes[i]))
				ck_abort_msg("the worker ends at once:\n%s",
					     scratch_tail(log_of(w)));
		if (harness_now_ms() > end)
			ck_abort_msg("the worker does not answer:\n%s",
				     scratch_tail(log_of(w)));
		harness_nap();
	}
}

struct harness_worker *
harness_worker_new(const struct harness_worker_options *options)
{
	struct harness_worker *w = scratch_alloc(sizeof(*w));

	w->options = *options;
	w->n = options->processes > 0 ? options->processes : 1;
	w->options.processes = w->n;
	ck_assert_uint_le(w->n, HARNESS_WORKERS_MAX);
	w->listen_fd = -1;
	w->socket = options->socket;
	if (w->socket == NULL)
		w->socket = scratch_printf("%s/w", scratch_directory("worker"));
	w->address = scratch_printf("unix:%s", w->socket);
	unlink(log_of(w));
	harness_worker_start(w);
	return (w);
}

/* Those that were killed since have no exit status to show it by. */
static void
assert_no_complaint(const struct harness_worker *w)
{
	const char *log = scratch_read(log_of(w));
	const char *at = strstr(log, "Sanitizer");

	if (at == NULL)
		at = strstr(log, "runtime error: ");
	if (at != NULL)
		ck_abort_msg("a sanitizer complains: %.2000s",
			     at - log > 40 ? at - 40 : log);
}

void
harness_worker_stop(struct harness_worker *w)
{
	if (w == NULL)
		return;
	if (w->spawner != NULL)
		process_stop(w->spawner);
	for (unsigned i = 0; i < w->n; i++)
		process_signal(w->processes[i], SIGTERM);
	for (unsigned i = 0; i < w->n; i++) {
		int status = process_wait(w->processes[i], 30000);

		if (status == -1 && process_is_running(w->processes[i]))
			ck_abort_msg("worker %u does not end:\n%s", i,
				     scratch_tail(log_of(w)));
		if (status > 0 && status != 128 + SIGKILL)
			ck_abort_msg("worker %u has ended with %d:\n%s", i,
				     status, scratch_tail(log_of(w)));
	}
	if (w->listen_fd >= 0)
		close(w->listen_fd);
	w->listen_fd = -1;
	assert_no_complaint(w);
}

void
harness_worker_kill(struct harness_worker *w, unsigned which)
{
	process_kill(w->processes[which]);
}

void
harness_worker_kill_all(struct harness_worker *w)
{
	process_kill(w->spawner);
	w->spawner = NULL;
	for (unsigned i = 0; i < w->n; i++)
		process_signal(w->processes[i], SIGKILL);
	for (unsigned i = 0; i < w->n; i++)
		process_kill(w->processes[i]);
}

void
harness_worker_respawn(struct harness_worker *w)
{
	harness_worker_kill_all(w);
	harness_worker_start(w);
}

pid_t
harness_worker_pid(const struct harness_worker *w, unsigned which)
{
	return (process_pid(w->processes[which]));
}

char *
harness_worker_log(const struct harness_worker *w)
{
	return (scratch_read(log_of(w)));
}

struct process_result
harness_warmfront(const struct harness_env *env, ...)
{
	const char *argv[32] = { program() };
	unsigned n = 1;
	va_list more;

	va_start(more, env);
	while (n < 31 && (argv[n] = va_arg(more, const char *)) != NULL)
		n++;
	va_end(more);
	return (process_run(&(struct process_options){
		.argv = argv, .env = harness_env_list(env) }));
}

void
harness_migrate(const struct harness_env *env)
{
	struct process_result r = harness_warmfront(env, "migrate", NULL);

	if (r.status != 0)
		ck_abort_msg("migrate: status %d\n%s%s", r.status, r.out,
			     r.err);
}

const char *
harness_key(const struct harness_env *env, const char *email, const char *role)
{
	struct process_result r = harness_warmfront(env, "key", "create",
						    "--user", email, "--role",
						    role, NULL);
	size_t len = strcspn(r.out, "\n");

	if (r.status != 0 || len == 0)
		ck_abort_msg("key create: status %d\n%s%s", r.status, r.out,
			     r.err);
	return (scratch_copy(r.out, len));
}
