/* SPDX-License-Identifier: MIT */
#include "process.h"
#include "scratch.h"
#include "servers.h"
#include "sql.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define BINARIES "/usr/lib/postgresql/15/bin"
#define SETTINGS_MAX 32

/* Who the server runs as: it refuses to be root. */
static const char *
server_user(void)
{
	return (getpwnam("postgres") != NULL ? "postgres" : "nobody");
}

void
harness_postgres_own(const char *path)
{
	struct passwd *pw;

	if (geteuid() != 0)
		return;
	pw = getpwnam(server_user());
	if (pw == NULL || chown(path, pw->pw_uid, pw->pw_gid) != 0)
		ck_abort_msg("%s: %s", path, strerror(errno));
}

static void
run(const char *const *argv, const char *user)
{
	struct process_result r = process_run(&(struct process_options){
		.argv = argv, .user = user, .directory = scratch_root() });

	if (r.status != 0)
		ck_abort_msg("%s: status %d\n%s%s", argv[0], r.status, r.out,
			     r.err);
}

/* An empty cluster to copy: initdb takes a second, a copy a tenth of it. */
static const char *
template_cluster(void)
{
	char *path = scratch_printf("%s/pgtemplate", scratch_root());
	char *data = scratch_printf("%s/data", path);
	char *made = scratch_printf("%s.made", path);
	int lock = open(scratch_root(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (lock < 0 || flock(lock, LOCK_EX) != 0)
		ck_abort_msg("%s: %s", scratch_root(), strerror(errno));
	if (access(made, F_OK) != 0) {
		const char *const mkdir[] = { "mkdir", path, NULL };
		const char *const initdb[] = { BINARIES "/initdb",
					       "-D",
					       data,
					       "-U",
					       "postgres",
					       "-A",
					       "trust",
					       "-E",
					       "UTF8",
					       "--locale=C",
					       "--no-sync",
					       "--wal-segsize=1",
					       NULL };

		run(mkdir, NULL);
		harness_postgres_own(path);
		run(initdb, server_user());
		scratch_write(made, "");
	}
	close(lock);
	return (data);
}

static char *
parameter(const char *name, const char *value)
{
	return (scratch_printf("%s=%s", name, value));
}

void
harness_postgres_start(struct harness_postgres *pg)
{
	const char *argv[16 + 2 * SETTINGS_MAX];
	const char *fixed[] = {
		parameter("unix_socket_directories", pg->directory),
		"listen_addresses=127.0.0.1",
		"unix_socket_permissions=0777",
		"fsync=off",
		"full_page_writes=off",
		"shared_buffers=32MB",
		"max_wal_size=128MB",
		"max_connections=200",
		"log_min_messages=warning",
		"log_line_prefix=%m [%p] %q%a ",
	};
	unsigned n = 0;

	argv[n++] = BINARIES "/postgres";
	argv[n++] = "-D";
	argv[n++] = scratch_printf("%s/data", pg->directory);
	argv[n++] = "-p";
	argv[n++] = scratch_printf("%u", pg->port);
	for (unsigned i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		argv[n++] = "-c";
		argv[n++] = fixed[i];
	}
	for (unsigned i = 0; pg->settings != NULL && pg->settings[i] != NULL &&
			     i < SETTINGS_MAX - 10;
	     i++) {
		argv[n++] = "-c";
		argv[n++] = pg->settings[i];
	}
	argv[n] = NULL;
	pg->process = process_start(&(struct process_options){
		.argv = argv,
		.user = server_user(),
		.directory = pg->directory,
		.output = scratch_printf("%s/log", pg->directory),
		.end_signal = SIGINT, /* "fast" shutdown */
	});
	for (double end = harness_now_ms() + harness_limit_ms(20000);;) {
		const char *answer = harness_sql_try(pg->url, "SELECT 1");

		if (strcmp(answer, "1") == 0)
			break;
		if (!process_is_running(pg->process) || harness_now_ms() > end)
			ck_abort_msg("PostgreSQL does not start: %s\n%s",
				     answer,
				     scratch_tail(process_output(pg->process)));
		harness_nap();
	}
}

struct harness_postgres *
harness_postgres_new(const char *const *settings)
{
	struct harness_postgres *pg = scratch_alloc(sizeof(*pg));
	const char *template = template_cluster();

	pg->directory = scratch_directory("pg");
	pg->port = harness_free_port();
	pg->settings = settings;
	harness_postgres_own(pg->directory);
	pg->url = harness_postgres_url(pg, "postgres", "postgres");
	/* A failure of the run keeps what the server's user may not have
	 * written: its log must exist for that user. */
	scratch_write(scratch_printf("%s/log", pg->directory), "");
	run((const char *const[]){ "cp", "-a", "--reflink=auto", template,
				   pg->directory, NULL },
	    NULL);
	harness_postgres_start(pg);
	return (pg);
}

void
harness_postgres_stop(struct harness_postgres *pg)
{
	if (pg != NULL)
		process_stop(pg->process);
}

void
harness_postgres_signal(struct harness_postgres *pg, int number)
{
	pid_t children[256];
	unsigned n = process_children(process_pid(pg->process), children, 256);

	process_signal(pg->process, number);
	while (n > 0)
		kill(children[--n], number);
}

/* SIGKILL for all of its processes, as the kernel does when memory runs out or
 * a machine fails.  None is left, for it would keep the next server from its memory. */
void
harness_postgres_kill(struct harness_postgres *pg)
{
	pid_t children[256];
	struct pollfd end = { .events = POLLIN };
	unsigned n;

	process_signal(pg->process, SIGSTOP); /* no more children */
	n = process_children(process_pid(pg->process), children, 256);
	process_kill(pg->process);
	while (n-- > 0) {
		if ((end.fd = pidfd_open(children[n], 0)) < 0)
			continue;
		kill(children[n], SIGKILL);
		ck_assert_int_eq(poll(&end, 1, 5000), 1);
		close(end.fd);
	}
}

const char *
harness_postgres_url(const struct harness_postgres *pg, const char *role,
		     const char *database)
{
	return (scratch_printf("postgresql://%s@/%s?host=%s&port=%u", role,
			       database, pg->directory, pg->port));
}

const char *
harness_postgres_database(struct harness_postgres *pg, const char *name,
			  const char *copy_of)
{
	harness_sql(pg->url,
		    "CREATE DATABASE %s TEMPLATE %s STRATEGY FILE_COPY", name,
		    copy_of != NULL ? copy_of : "template0");
	return (harness_postgres_url(pg, "postgres", name));
}

/* PgBouncer. */

struct harness_pgbouncer *
harness_pgbouncer_new(const struct harness_postgres *pg, unsigned pool_size)
{
	struct harness_pgbouncer *b = scratch_alloc(sizeof(*b));
	char *file;

	b->directory = scratch_directory("pgb");
	b->port = harness_free_port();
	harness_postgres_own(b->directory);
	file = scratch_printf("%s/pgbouncer.ini", b->directory);
	scratch_write(
		file,
		scratch_printf(
			"[databases]\n"
			"* = host=%s port=%u\n"
			"[pgbouncer]\n"
			"listen_addr = 127.0.0.1\n"
			"listen_port = %u\n"
			"unix_socket_dir = %s\n"
			"auth_type = trust\n"
			"auth_file = %s/users\n"
			"pool_mode = transaction\n"
			"max_client_conn = 1000\n"
			"default_pool_size = %u\n"
			"ignore_startup_parameters = extra_float_digits,options\n",
			pg->directory, pg->port, b->port, b->directory,
			b->directory, pool_size));
	scratch_write(scratch_printf("%s/users", b->directory),
		      scratch_printf("\"postgres\" \"\"\n\"%s\" \"\"\n",
				     "warmfront"));
	b->process = process_start(&(struct process_options){
		.argv = (const char *const[]){ "/usr/sbin/pgbouncer", file,
					       NULL },
		.user = server_user(),
		.name = "pgbouncer",
	});
	for (double end = harness_now_ms() + harness_limit_ms(10000);;) {
		const char *answer =
			harness_sql_try(harness_pgbouncer_url(b, "postgres",
							      "postgres"),
					"SELECT 1");

		if (strcmp(answer, "1") == 0)
			return (b);
		if (!process_is_running(b->process) || harness_now_ms() > end)
			ck_abort_msg("PgBouncer does not start: %s\n%s", answer,
				     scratch_tail(process_output(b->process)));
		harness_nap();
	}
}

const char *
harness_pgbouncer_url(const struct harness_pgbouncer *b, const char *role,
		      const char *database)
{
	return (scratch_printf("postgresql://%s@127.0.0.1:%u/%s", role, b->port,
			       database));
}

void
harness_pgbouncer_stop(struct harness_pgbouncer *b)
{
	if (b != NULL)
		process_stop(b->process);
}
