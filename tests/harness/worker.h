/* SPDX-License-Identifier: MIT */
#ifndef WORKER_H
#define WORKER_H

#include "servers.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * worker: warmfront itself, in any number of processes behind one socket.
 * The program is $WARMFRONT_BIN, or warmfront in the build directory.
 */
#define HARNESS_KEY_SECRET "a secret of the test harness"
#define HARNESS_CRON_SECRET "a cron secret of the test harness"

/* Variables for a worker; what the test's own environment holds of them does
 * not count. */
struct harness_env;

/* With the two secrets above, a log of everything and no more. */
struct harness_env *harness_env_new(void);
struct harness_env *harness_env_copy(const struct harness_env *env);
void harness_env_set(struct harness_env *env, const char *name,
		     const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void harness_env_unset(struct harness_env *env, const char *name);
const char *harness_env_get(const struct harness_env *env, const char *name);

/* As struct process_options wants it. */
const char *const *harness_env_list(const struct harness_env *env);

struct harness_worker_options {
	const struct harness_env *env;
	unsigned processes; /* 0: 1 */
	enum {
		WORKER_INHERITS, /* the socket as descriptor 0, as from systemd */
		WORKER_LISTENS,	   /* -l; one process */
		WORKER_SPAWN_FCGI, /* spawn-fcgi -n, or -F when there are more */
		WORKER_MULTIWATCH, /* under spawn-fcgi */
	} how;
	const char *socket; /* NULL: a new one */
};

#define HARNESS_WORKERS_MAX 64

struct harness_worker {
	const char *socket;  /* path */
	const char *address; /* "unix:" and the path */
	unsigned n;
	struct process *processes[HARNESS_WORKERS_MAX];
	struct process *spawner; /* multiwatch; else NULL */
	struct harness_worker_options options;
	int listen_fd;
};

/* Returns once the worker answers. */
struct harness_worker *harness_worker_new(
	const struct harness_worker_options *options);
void harness_worker_start(struct harness_worker *w);

/* SIGTERM, and wait: each must end, or have ended, with status 0 (a sanitizer's
 * complaint is another) or by SIGKILL from the test. */
void harness_worker_stop(struct harness_worker *w);

/* SIGKILL for one, or for all; those of multiwatch come back by themselves. */
void harness_worker_kill(struct harness_worker *w, unsigned which);
void harness_worker_kill_all(struct harness_worker *w);

/* Kill all and start as many anew: no memory of theirs survives. */
void harness_worker_respawn(struct harness_worker *w);

pid_t harness_worker_pid(const struct harness_worker *w, unsigned which);

/* What all of them have logged. */
char *harness_worker_log(const struct harness_worker *w);

/* Run a command of the program: ("migrate", NULL); no status fails the test. */
struct process_result harness_warmfront(const struct harness_env *env, ...)
	__attribute__((sentinel));

/* Apply the migrations to env's DATABASE_URL. */
void harness_migrate(const struct harness_env *env);

/* A new API key of a user, who is created if absent; `role`: "user", "admin". */
const char *harness_key(const struct harness_env *env, const char *email,
			const char *role);

#endif
