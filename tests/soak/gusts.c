/* SPDX-License-Identifier: MIT */
#include "gusts.h"
#include "../harness/random.h"
#include "deployment.h"

#include <signal.h>

static unsigned which_worker;

/* Workers. */

/* What was answered since the last scrape may go with one. */
static void
note_lost(struct storm *s)
{
	struct tally_sums now;

	tally_read(&now);
	s->lost += now.answers[which_worker] - s->seen.answers[which_worker];
}

static void
choose_worker(struct storm *s)
{
	which_worker = 1 + random_below(&s->random, DEPLOYMENT_WORKERS - 1);
}

static void
kill_worker(struct storm *s)
{
	choose_worker(s);
	harness_worker_kill(deployment_workers[which_worker], 0);
	storm_watch(s, 100); /* its last answers are on their way */
	note_lost(s);
}

static void
tell_worker(struct storm *s)
{
	choose_worker(s);
	harness_worker_stop(deployment_workers[which_worker]);
	/* It cannot add what it has counted to what is away. */
	if (situation_is(POSTGRES_AWAY, harness_now_ms()))
		note_lost(s);
}

static void
revive_worker(struct storm *s)
{
	(void)s;
	harness_worker_start(deployment_workers[which_worker]);
	tally_add_probe(which_worker);
}

/* Redis. */

static void
kill_redis(struct storm *s)
{
	(void)s;
	harness_redis_kill(stack.redis);
}

static void
end_redis(struct storm *s)
{
	(void)s;
	harness_redis_stop(stack.redis);
}

static void
start_redis(struct storm *s)
{
	(void)s;
	harness_redis_start(stack.redis);
}

static void
stop_redis(struct storm *s)
{
	(void)s;
	process_signal(stack.redis->process, SIGSTOP);
}

static void
continue_redis(struct storm *s)
{
	(void)s;
	process_signal(stack.redis->process, SIGCONT);
}

static void
flush_redis(struct storm *s)
{
	(void)s;
	harness_redis_command(stack.redis, "FLUSHALL");
}

static void
cut_redis(struct storm *s)
{
	(void)s;
	harness_redis_command(stack.redis, "CLIENT KILL TYPE normal");
}

/* PostgreSQL. */

static void
close_sql(void)
{
	harness_sql_close(stack.owner_url);
	harness_sql_close(stack.postgres->url);
}

static void
kill_postgres(struct storm *s)
{
	(void)s;
	close_sql();
	harness_postgres_kill(stack.postgres);
}

static void
end_postgres(struct storm *s)
{
	(void)s;
	close_sql();
	harness_postgres_stop(stack.postgres);
}

static void
start_postgres(struct storm *s)
{
	(void)s;
	harness_postgres_start(stack.postgres);
}

static void
stop_postgres(struct storm *s)
{
	(void)s;
	harness_postgres_signal(stack.postgres, SIGSTOP);
}

static void
continue_postgres(struct storm *s)
{
	(void)s;
	harness_postgres_signal(stack.postgres, SIGCONT);
}

static void
cut_postgres(struct storm *s)
{
	(void)s;
	harness_sql(stack.owner_url,
		    "SELECT count(pg_terminate_backend(pid)) "
		    "FROM pg_stat_activity WHERE usename = 'warmfront'");
}

/* The upstream. */

static void
spoil_upstream(struct storm *s)
{
	static const char *const modes[] = {
		"delay_ms=300-1500", "delay_ms=3000",	  "status=500",
		"status=429",	     "mode=refuse-reset", "mode=hang",
		"mode=not-json",     "mode=broken-json",  "mode=truncate",
		"mode=chunk-cut",    "mode=endless",	  "mode=trickle",
		"mode=huge:300000",
	};
	static const char *const paths[] = { "/", "/alpha", "/beta" };
	const unsigned count = sizeof(modes) / sizeof(modes[0]);
	const char *path = paths[random_below(&s->random, 3)];
	const char *mode = modes[random_below(&s->random, count)];

	harness_upstream_control(stack.upstream, "path=%s&%s", path, mode);
}

static void
mend_upstream(struct storm *s)
{
	(void)s;
	http_request("POST",
		     scratch_printf("%s/control/reset", stack.upstream->url),
		     NULL, NULL);
}

static void
end_upstream(struct storm *s)
{
	(void)s;
	harness_upstream_kill(stack.upstream);
}

static void
start_upstream(struct storm *s)
{
	(void)s;
	harness_upstream_start(stack.upstream);
}

static void
nothing(struct storm *s)
{
	(void)s;
}

/* All of it. */

const struct gust gusts[] = {
	{ "worker killed", WORKER_KILLED, kill_worker, revive_worker, 1500 },
	{ "worker killed", WORKER_KILLED, kill_worker, revive_worker, 1500 },
	{ "worker told to end", WORKER_TOLD, tell_worker, revive_worker, 1500 },
	{ "Redis killed", REDIS_AWAY, kill_redis, start_redis, 3000 },
	{ "Redis restarted", REDIS_AWAY, end_redis, start_redis, 500 },
	{ "Redis stopped", REDIS_AWAY, stop_redis, continue_redis, 3000 },
	{ "Redis flushed", REDIS_AWAY, flush_redis, nothing, 1 },
	{ "Redis cut off", REDIS_AWAY, cut_redis, nothing, 1 },
	{ "PostgreSQL killed", POSTGRES_AWAY, kill_postgres, start_postgres,
	  4000 },
	{ "PostgreSQL restarted", POSTGRES_AWAY, end_postgres, start_postgres,
	  4000 },
	{ "PostgreSQL stopped", POSTGRES_AWAY, stop_postgres, continue_postgres,
	  4000 },
	{ "PostgreSQL cut off", POSTGRES_AWAY, cut_postgres, nothing, 1 },
	{ "upstream failing", UPSTREAM_AWAY, spoil_upstream, mend_upstream,
	  5000 },
	{ "upstream failing", UPSTREAM_AWAY, spoil_upstream, mend_upstream,
	  5000 },
	{ "upstream killed", UPSTREAM_AWAY, end_upstream, start_upstream,
	  4000 },
};
#define COUNT (sizeof(gusts) / sizeof(gusts[0]))
_Static_assert(COUNT <= GUSTS_MAX, "room to count them");
const unsigned gusts_count = COUNT;
