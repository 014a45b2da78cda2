/* SPDX-License-Identifier: MIT */
#include "faults.h"
#include "../harness/harness.h"
#include "../harness/random.h"

#include <signal.h>
#include <unistd.h>

const char *const fault_names[FAULTS] = {
	[FAULT_WORKER_KILLED] = "workers killed",
	[FAULT_LISTENERS_CUT] = "listeners cut off",
	[FAULT_REDIS_FLUSHED] = "Redis flushed",
	[FAULT_LOG_EVICTED] = "the log evicted from Redis",
	[FAULT_REDIS_STOPPED] = "Redis stopped",
	[FAULT_REDIS_EMPTY] = "Redis restarted empty",
	[FAULT_REDIS_OLD] = "Redis restored from an old snapshot",
};

static void
pause_ms(uint64_t ms)
{
	usleep((useconds_t)ms * 1000);
}

static void
kill_worker(struct faults *f)
{
	unsigned which = (unsigned)(random_next(&f->random) % PROCESSES);

	/* What is confirmed from here on may be of either process. */
	atomic_fetch_add(&f->generations[which], 1);
	harness_worker_kill(f->workers[which], 0);
	pause_ms(random_next(&f->random) % 100);
	harness_worker_start(f->workers[which]);
	atomic_fetch_add(&f->generations[which], 1);
}

static const char *
snapshot_of(const struct harness_redis *r)
{
	return (scratch_printf("%s/dump.rdb", r->directory));
}

static void
restart_redis(struct faults *f, enum fault how)
{
	bool old = how == FAULT_REDIS_OLD;

	if (old) {
		harness_redis_command(f->redis, "SAVE");
		pause_ms(random_next(&f->random) % 700);
	}
	harness_redis_kill(f->redis);
	if (!old)
		unlink(snapshot_of(f->redis));
	pause_ms(random_next(&f->random) % 300);
	harness_redis_start(f->redis);
}

void
faults_next(struct faults *f)
{
	unsigned kinds = f->redis != NULL ? FAULTS : FAULT_REDIS_FLUSHED;
	enum fault which = (enum fault)(random_next(&f->random) % kinds);

	f->counts[which]++;
	switch (which) {
	case FAULT_WORKER_KILLED:
		kill_worker(f);
		break;
	case FAULT_LISTENERS_CUT:
		harness_sql(f->owner_url,
			    "SELECT count(pg_terminate_backend(pid)) "
			    "FROM pg_stat_activity WHERE query LIKE 'LISTEN%%' "
			    "AND pid <> pg_backend_pid()");
		break;
	case FAULT_REDIS_FLUSHED:
		harness_redis_command(f->redis, "FLUSHALL");
		break;
	case FAULT_LOG_EVICTED:
		harness_redis_command(f->redis, "DEL wf:v1:@log");
		break;
	case FAULT_REDIS_STOPPED:
		process_signal(f->redis->process, SIGSTOP);
		pause_ms(random_next(&f->random) % 1500);
		process_signal(f->redis->process, SIGCONT);
		break;
	case FAULT_REDIS_EMPTY:
	case FAULT_REDIS_OLD:
		restart_redis(f, which);
		break;
	case FAULTS:
		break;
	}
}
