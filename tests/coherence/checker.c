/* SPDX-License-Identifier: MIT */
/*
 * checker: is an answer ever older than an update that was confirmed before the
 * question?  See usage() and ARCHITECTURE.md.
 *
 * Four workers, each on a socket of its own, serve users' own models; each user has
 * one, whose name is its version.  Writers change rows through random workers and by
 * plain SQL; readers ask random workers; loads are slowed at random; faults.c breaks
 * things meanwhile.  Every answer is judged by history.c.
 */
#include "../harness/harness.h"
#include "../harness/random.h"
#include "client.h"
#include "faults.h"
#include "history.h"

#include <getopt.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS 8
#define THREADS_MAX 32
#define ANSWER_MS 30000
#define VERSION "v000000000000"
#define BUCKETS 12

static const int64_t bounds_ms[BUCKETS - 1] = { 1,   2,	  5,   10,   20,  50,
						100, 200, 500, 1000, 2000 };

static const struct mode {
	const char *name, *redis_off, *near;
} modes[] = {
	{ "redis", "false", "off" },
	{ "redis-near", "false", "on" },
	{ "postgres", "true", "off" },
	{ "postgres-near", "true", "on" },
};
#define MODES (sizeof(modes) / sizeof(modes[0]))

static struct {
	uint64_t seed;
	unsigned seconds, writers, readers, bound_ms;
	const char *mode;
	bool calm, expect_fault, verbose;
} options = { .seconds = 40,
	      .writers = 3,
	      .readers = 6,
	      .bound_ms = 1000,
	      .mode = "all" };

struct row {
	const char *id, *get, *put;
	size_t get_len, put_len, version_at;
	struct history history;
};

static struct {
	const struct mode *mode;
	const char *owner_url;
	struct row rows[ROWS];
	struct faults faults;
	atomic_bool stop_writing, stop_reading;
	atomic_ulong reads, hits, unanswered, refused, stale[STALE_KINDS];
	atomic_ulong late, nonsense, writes[2], unknown, settled_stale;
	atomic_ulong ages[STALE_KINDS][BUCKETS];
	_Atomic int64_t oldest_ms[STALE_KINDS];
} run;

static bool
far(void)
{
	return (strcmp(run.mode->near, "off") == 0);
}

/* Rows and requests. */

static void
make_row(struct row *row, unsigned i, const struct harness_env *env)
{
	const char *email = scratch_printf("user%u@example.org", i);
	const char *login = scratch_printf("Authorization: Bearer %s",
					   harness_key(env, email, "user"));
	struct fcgi_request get = {
		.uri = "/api/models?owner=me",
		.headers = (const char *const[]){ login, NULL },
		.keep = true,
	};
	struct fcgi_request put = {
		.method = "PUT",
		.headers =
			(const char *const[]){
				login, "Content-Type: application/json", NULL },
		.body = "{\"model_id\":\"m\",\"name\":\"" VERSION "\"}",
		.keep = true,
	};

	pthread_mutex_init(&row->history.lock, NULL);
	row->id = harness_sql(run.owner_url,
			      "INSERT INTO models (owner_id, model_id, name) "
			      "SELECT id, 'm', '" VERSION "' FROM users "
			      "WHERE email = '%s' RETURNING id",
			      email);
	put.uri = scratch_printf("/api/models/%s", row->id);
	row->get = fcgi_encode(&get, &row->get_len);
	row->put = fcgi_encode(&put, &row->put_len);
	row->version_at =
		(size_t)((const char *)memmem(row->put, row->put_len, VERSION,
					      strlen(VERSION)) -
			 row->put);
}

static int64_t
version_of(const char *body)
{
	const char *at = strstr(body, "\"v0");

	return (at != NULL ? strtoll(at + 2, NULL, 10) : -1);
}

/* Reading. */

static void
note(enum staleness kind, int64_t age_ns)
{
	int64_t ms = age_ns / 1000000, oldest;
	unsigned b = 0;

	while (b < BUCKETS - 1 && ms >= bounds_ms[b])
		b++;
	atomic_fetch_add(&run.stale[kind], 1);
	atomic_fetch_add(&run.ages[kind][b], 1);
	oldest = atomic_load(&run.oldest_ms[kind]);
	while (ms > oldest &&
	       !atomic_compare_exchange_weak(&run.oldest_ms[kind], &oldest, ms))
		;
	if (ms >= (int64_t)options.bound_ms)
		atomic_fetch_add(&run.late, 1);
}

static void
complain(const struct row *row, const struct reading *r, unsigned process,
	 enum staleness kind, int64_t age_ns)
{
	static const char *const kinds[] = { "", "own", "workers", "SQL" };

	if (options.verbose ||
	    (kind != STALE_SQL && (far() || kind == STALE_OWN)))
		printf("\tstale (%s): row %d, worker %u, version %lld, "
		       "%.3f ms after a newer one, at %.6f\n",
		       kinds[kind], (int)(row - run.rows), process,
		       (long long)r->version, (double)age_ns / 1e6,
		       (double)r->sent_ns / 1e9);
}

static void
read_once(struct client *clients, uint64_t *random)
{
	struct row *row = &run.rows[random_next(random) % ROWS];
	unsigned process = (unsigned)(random_next(random) % PROCESSES);
	struct client *c = &clients[process];
	struct reading r = { .process = (int)process };
	enum staleness kind;
	int64_t age_ns = 0;
	int status;

	r.generation = atomic_load(&run.faults.generations[process]);
	r.sent_ns = history_now_ns();
	status = client_ask(c, row->get, row->get_len, ANSWER_MS);
	if (r.generation != atomic_load(&run.faults.generations[process]))
		r.generation = -1;
	if (status != 200) {
		atomic_fetch_add(status == 0 ? &run.unanswered : &run.refused,
				 1);
		return;
	}
	atomic_fetch_add(&run.reads, 1);
	if (strstr(c->text, "X-Cache: HIT") != NULL)
		atomic_fetch_add(&run.hits, 1);
	r.version = version_of(client_body(c));
	if (r.version < 0 || r.version > atomic_load(&row->history.newest)) {
		atomic_fetch_add(&run.nonsense, 1);
		return;
	}
	kind = history_judge(&row->history, &r, &age_ns);
	if (kind != FRESH) {
		note(kind, age_ns);
		complain(row, &r, process, kind, age_ns);
	}
}

static struct client *
connect_all(void)
{
	struct client *clients = calloc(PROCESSES, sizeof(*clients));

	if (clients == NULL)
		abort();
	for (unsigned i = 0; i < PROCESSES; i++)
		client_init(&clients[i], run.faults.workers[i]->address);
	return (clients);
}

static void
disconnect_all(struct client *clients)
{
	for (unsigned i = 0; i < PROCESSES; i++)
		client_fini(&clients[i]);
	free(clients);
}

static void *
read_on(void *arg)
{
	uint64_t random = options.seed + 1000 + *(unsigned *)arg;
	struct client *clients = connect_all();

	while (!atomic_load(&run.stop_reading))
		read_once(clients, &random);
	disconnect_all(clients);
	return (NULL);
}

/* Writing. */

static void
write_by_worker(struct row *row, struct client *clients, uint64_t *random)
{
	unsigned process = (unsigned)(random_next(random) % PROCESSES);
	int generation = atomic_load(&run.faults.generations[process]);
	int64_t version = history_next(&row->history);
	char text[32], request[4096];

	ck_assert_uint_le(row->put_len, sizeof(request));
	memcpy(request, row->put, row->put_len);
	snprintf(text, sizeof(text), "v%012lld", (long long)version);
	memcpy(request + row->version_at, text, strlen(VERSION));
	if (client_ask(&clients[process], request, row->put_len, ANSWER_MS) !=
	    200) {
		atomic_fetch_add(&run.unknown, 1);
		return;
	}
	history_confirm(&row->history, version, BY_WORKER, (int)process,
			generation);
	atomic_fetch_add(&run.writes[BY_WORKER], 1);
}

static void
write_by_sql(struct row *row, PGconn *sql)
{
	int64_t version = history_next(&row->history);
	char statement[256];
	PGresult *result;

	snprintf(statement, sizeof(statement),
		 "UPDATE models SET name = 'v%012lld' WHERE id = '%s'",
		 (long long)version, row->id);
	result = PQexec(sql, statement);
	if (PQresultStatus(result) == PGRES_COMMAND_OK) {
		history_confirm(&row->history, version, BY_SQL, 0, 0);
		atomic_fetch_add(&run.writes[BY_SQL], 1);
	} else {
		atomic_fetch_add(&run.unknown, 1);
	}
	PQclear(result);
}

static void *
write_on(void *arg)
{
	uint64_t random = options.seed + 2000 + *(unsigned *)arg;
	struct client *clients = connect_all();
	PGconn *sql = PQconnectdb(run.owner_url);

	while (!atomic_load(&run.stop_writing)) {
		struct row *row = &run.rows[random_next(&random) % ROWS];

		usleep((useconds_t)(random_next(&random) % 30000));
		if (pthread_mutex_trylock(&row->history.lock) != 0)
			continue;
		if (random_next(&random) % 3 == 0)
			write_by_sql(row, sql);
		else
			write_by_worker(row, clients, &random);
		pthread_mutex_unlock(&row->history.lock);
	}
	PQfinish(sql);
	disconnect_all(clients);
	return (NULL);
}

/* A run. */

/* Loads see the rows as they are when they begin, and end up to 300 ms later.  A write
 * whose answer got lost may still be under way, and must not come after the next one. */
static const char preparations[] =
	"CREATE FUNCTION sometimes_slow() RETURNS boolean LANGUAGE plpgsql AS $$"
	"BEGIN IF random() < 0.15 THEN PERFORM pg_sleep(0.3 * random() ^ 3); "
	"END IF; RETURN true; END $$;"
	"CREATE POLICY slow ON models AS RESTRICTIVE FOR SELECT "
	"TO warmfront_worker USING (sometimes_slow());"
	"CREATE FUNCTION only_upwards() RETURNS trigger LANGUAGE plpgsql AS $$"
	"BEGIN IF NEW.name <= OLD.name THEN RAISE EXCEPTION 'too late'; END IF; "
	"RETURN NEW; END $$;"
	"CREATE TRIGGER only_upwards BEFORE UPDATE ON models "
	"FOR EACH ROW EXECUTE FUNCTION only_upwards();";

static void
prepare(void)
{
	struct harness_postgres *pg = harness_postgres_new(NULL);
	struct harness_env *env = harness_env_new();

	run.owner_url = harness_postgres_database(pg, "coherence", NULL);
	harness_env_set(env, "DATABASE_URL", "%s", run.owner_url);
	harness_migrate(env);
	for (unsigned i = 0; i < ROWS; i++)
		make_row(&run.rows[i], i, env);
	harness_sql(run.owner_url, "%s", preparations);
	harness_sql(run.owner_url,
		    "CREATE ROLE warmfront LOGIN IN ROLE warmfront_worker");
	harness_env_set(env, "DATABASE_URL", "%s",
			harness_postgres_url(pg, "warmfront", "coherence"));
	harness_env_set(env, "LOG_LEVEL", options.verbose ? "debug" : "warn");
	harness_env_set(env, "CACHE_VERBOSE",
			options.verbose ? "true" : "false");
	harness_env_set(env, "NEAR_CACHE", "%s", run.mode->near);
	harness_env_set(env, "DISABLE_REDIS_CACHE", "%s", run.mode->redis_off);
	/* So that entries come of age, and are refreshed. */
	harness_env_set(env, "MODELS_CACHE_TTL_MS", "3000");
	harness_env_set(env, "MODELS_REFRESH_MS", "1000");
	if (strcmp(run.mode->redis_off, "false") == 0) {
		run.faults.redis = harness_redis_new(NULL);
		harness_env_set(env, "REDIS_URL", "%s", run.faults.redis->url);
	}
	for (unsigned i = 0; i < PROCESSES; i++)
		run.faults.workers[i] = harness_worker_new(
			&(struct harness_worker_options){ .env = env });
	run.faults.owner_url = run.owner_url;
	run.faults.random = options.seed + 3000;
}

/* Nothing is written any more: everybody must come to the same. */
static void
settle(void)
{
	struct client *clients = connect_all();

	usleep(options.bound_ms * 1000);
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < ROWS * PROCESSES; i++) {
			struct row *row = &run.rows[i % ROWS];
			struct client *c = &clients[i / ROWS];
			int64_t is = -1,
				wanted = version_of(scratch_printf(
					"\"%s",
					harness_sql(run.owner_url,
						    "SELECT name FROM models "
						    "WHERE id = '%s'",
						    row->id)));

			if (client_ask(c, row->get, row->get_len, ANSWER_MS) ==
			    200)
				is = version_of(client_body(c));
			if (is == wanted)
				continue;
			atomic_fetch_add(&run.settled_stale, 1);
			printf("\tstill stale: row %u, worker %u, version "
			       "%lld, not %lld\n",
			       i % ROWS, i / ROWS, (long long)is,
			       (long long)wanted);
		}
	disconnect_all(clients);
}

static void
report_stale(const char *what, enum staleness kind)
{
	printf("  %-44s %lu", what, run.stale[kind]);
	if (run.stale[kind] > 0) {
		printf(", oldest %lld ms (", (long long)run.oldest_ms[kind]);
		for (unsigned b = 0; b < BUCKETS; b++) {
			if (run.ages[kind][b] == 0)
				continue;
			if (b < BUCKETS - 1)
				printf(" <%lld: %lu", (long long)bounds_ms[b],
				       run.ages[kind][b]);
			else
				printf(" more: %lu", run.ages[kind][b]);
		}
		printf(" )");
	}
	printf("\n");
}

/* What the workers say of themselves: how long records took to reach them. */
static void
report_lag(void)
{
	static const char family[] =
		"warmfront_cache_invalidation_lag_seconds_bucket";
	const struct http_response *r =
		fcgi_get(run.faults.workers[0]->address, "/metrics",
			 "Authorization: Bearer " HARNESS_CRON_SECRET, NULL);
	double share[] = { 0.5, 0.99, 1.0 }, bound, count, all = 0;
	const char *line, *le;

	for (line = r->body; (line = strstr(line, family)) != NULL; line++)
		if ((le = strstr(line, "le=\"+Inf\"} ")) != NULL)
			all = atof(le + strlen("le=\"+Inf\"} "));
	printf("  lag of the workers, %.0f times:", all);
	for (unsigned i = 0; i < 3 && all > 0; i++)
		for (line = r->body; (line = strstr(line, family)) != NULL;
		     line++) {
			le = strstr(line, "le=\"");
			if (le == NULL || strchr(line, '}') == NULL)
				break;
			bound = atof(le + strlen("le=\""));
			count = atof(strchr(line, '}') + 1);
			if (count < share[i] * all)
				continue;
			printf(" %.0f %% < %g ms;", 100 * share[i],
			       bound * 1000);
			break;
		}
	printf("\n");
}

static void
report(double seconds)
{
	printf("%s: Redis %s, NEAR_CACHE=%s, seed %llu, %.0f s\n",
	       run.mode->name, run.faults.redis != NULL ? "on" : "off",
	       run.mode->near, (unsigned long long)options.seed, seconds);
	printf("  %lu reads (%lu hits), %lu unanswered, %lu refused\n",
	       run.reads, run.hits, run.unanswered, run.refused);
	printf("  %lu writes by workers, %lu by SQL, %lu with unknown end\n",
	       run.writes[BY_WORKER], run.writes[BY_SQL], run.unknown);
	printf("  faults:");
	for (unsigned i = 0; i < FAULTS; i++)
		if (run.faults.counts[i] > 0)
			printf(" %s %u;", fault_names[i], run.faults.counts[i]);
	printf("\n");
	report_lag();
	printf("  older than what was confirmed before the question:\n");
	report_stale("by the worker that was asked", STALE_OWN);
	report_stale("by another worker", STALE_WORKERS);
	report_stale("by plain SQL", STALE_SQL);
	printf("  %-44s %lu\n", "older than the bound", run.late);
	printf("  %-44s %lu\n", "after all was quiet", run.settled_stale);
	printf("  %-44s %lu\n", "answers that make no sense", run.nonsense);
	fflush(stdout);
}

static void
run_threads(double until)
{
	pthread_t readers[THREADS_MAX], writers[THREADS_MAX];
	unsigned numbers[THREADS_MAX];
	unsigned i;

	for (i = 0; i < THREADS_MAX; i++)
		numbers[i] = i;
	for (i = 0; i < options.readers; i++)
		pthread_create(&readers[i], NULL, read_on, &numbers[i]);
	for (i = 0; i < options.writers; i++)
		pthread_create(&writers[i], NULL, write_on, &numbers[i]);
	while (harness_now_ms() < until) {
		usleep((useconds_t)(random_next(&run.faults.random) % 1000000));
		if (!options.calm && harness_now_ms() < until)
			faults_next(&run.faults);
	}
	atomic_store(&run.stop_writing, true);
	for (i = 0; i < options.writers; i++)
		pthread_join(writers[i], NULL);
	atomic_store(&run.stop_reading, true);
	for (i = 0; i < options.readers; i++)
		pthread_join(readers[i], NULL);
}

static bool
is_coherent(void)
{
	return (run.stale[STALE_OWN] == 0 &&
		(!far() || run.stale[STALE_WORKERS] == 0) && run.late == 0 &&
		run.settled_stale == 0 && run.nonsense == 0);
}

START_TEST(no_answer_is_older_than_a_confirmed_update)
{
	double began, seconds = options.seconds;

	run.mode = &modes[_i];
	if (strcmp(options.mode, "all") == 0)
		seconds /= (double)MODES;
	else if (strcmp(options.mode, run.mode->name) != 0)
		return;
	prepare();
	began = harness_now_ms();
	run_threads(began + seconds * 1000);
	settle();
	report((harness_now_ms() - began) / 1000);
	for (unsigned i = 0; i < PROCESSES; i++)
		harness_worker_stop(run.faults.workers[i]);
	ck_assert(run.reads > 0 || options.readers == 0);
	if (options.expect_fault)
		ck_assert_msg(!is_coherent(), "the fault was not found");
	else
		ck_assert_msg(is_coherent(), "%s: stale answers (seed %llu)",
			      run.mode->name, (unsigned long long)options.seed);
}
END_TEST

static void
usage(FILE *to)
{
	fprintf(to,
		"usage: tests/coherence/run [OPTION]...\n\n"
		"  --seconds N     in all (%u)\n"
		"  --seed N        (random)\n"
		"  --mode NAME     redis, redis-near, postgres, postgres-near or all\n"
		"  --writers N     threads (%u)\n"
		"  --readers N     (%u)\n"
		"  --bound MS      how long a near cache, or anybody after plain SQL,\n"
		"                  may lag behind (%u)\n"
		"  --calm          without faults\n"
		"  --expect-fault  the program is known to be wrong: find that out\n"
		"  --verbose       show each stale answer; workers log all\n",
		options.seconds, options.writers, options.readers,
		options.bound_ms);
}

static bool
parse_options(int argc, char **argv)
{
	static const struct option table[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'r' },
		{ "mode", required_argument, NULL, 'm' },
		{ "writers", required_argument, NULL, 'w' },
		{ "readers", required_argument, NULL, 'n' },
		{ "bound", required_argument, NULL, 'b' },
		{ "calm", no_argument, NULL, 'c' },
		{ "expect-fault", no_argument, NULL, 'x' },
		{ "verbose", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	options.seed = (uint64_t)history_now_ns() % 1000000;
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		unsigned n = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;

		switch (c) {
		case 's':
			options.seconds = n;
			break;
		case 'r':
			options.seed = n;
			break;
		case 'm':
			options.mode = optarg;
			break;
		case 'w':
			options.writers = n;
			break;
		case 'n':
			options.readers = n;
			break;
		case 'b':
			options.bound_ms = n;
			break;
		case 'c':
			options.calm = true;
			break;
		case 'x':
			options.expect_fault = true;
			break;
		case 'v':
			options.verbose = true;
			break;
		default:
			return (false);
		}
	}
	return (optind == argc && options.writers <= THREADS_MAX &&
		options.readers <= THREADS_MAX);
}

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("coherence");
	TCase *test = tcase_create("checker");
	SRunner *runner;
	int failed;

	if (!parse_options(argc, argv)) {
		usage(stderr);
		return (64);
	}
	harness_begin();
	tcase_set_timeout(test, 0);
	tcase_add_loop_test(test, no_answer_is_older_than_a_confirmed_update, 0,
			    (int)MODES);
	suite_add_tcase(suite, test);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	harness_end(failed);
	return (failed == 0 ? 0 : 1);
}
