/* SPDX-License-Identifier: MIT */
/*
 * The log of invalidations: what an update leaves behind in each tier, whatever is slow,
 * cut off or forgotten meanwhile.  tests/coherence does the same at random.
 */
#include "../harness/harness.h"
#include "../harness/proxy.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

Suite *suite_invalidation(void);

#define MINE "/api/models?owner=me"
#define JSON "Content-Type: application/json"
#define WORKERS 2

static const struct mode {
	const char *redis_off, *near;
} modes[] = {
	{ "false", "on" },
	{ "false", "off" },
	{ "true", "on" },
	{ "true", "off" },
};
#define MODES ((int)(sizeof(modes) / sizeof(modes[0])))

static struct harness_worker *workers[WORKERS];
static const char *anna, *ben, *annas_model;

/* Loads of models take as long as the table `pace` says, after they have seen their rows. */
static const char slow_loads[] =
	"CREATE TABLE pace AS SELECT 0.0::float AS seconds;"
	"GRANT SELECT ON pace TO warmfront_worker;"
	"CREATE FUNCTION at_pace() RETURNS boolean LANGUAGE plpgsql AS $$"
	"BEGIN PERFORM pg_sleep(seconds) FROM pace WHERE seconds > 0; "
	"RETURN true; END $$;"
	"CREATE POLICY pace ON models AS RESTRICTIVE FOR SELECT "
	"TO warmfront_worker USING (at_pace());";

static const char *
add_user(const char *name)
{
	const char *email = scratch_printf("%s@example.org", name);
	const char *login = stack_login(email, "user");

	harness_sql(stack.owner_url,
		    "INSERT INTO models (owner_id, model_id, name) "
		    "SELECT id, '%s', 'old' FROM users WHERE email = '%s'",
		    name, email);
	return (login);
}

static void
start_workers(const struct mode *mode)
{
	harness_env_set(stack.env, "DISABLE_REDIS_CACHE", "%s",
			mode->redis_off);
	harness_env_set(stack.env, "NEAR_CACHE", "%s", mode->near);
	for (unsigned i = 0; i < WORKERS; i++)
		workers[i] = harness_worker_new(
			&(struct harness_worker_options){ .env = stack.env });
}

static void
begin(void)
{
	stack_begin();
	harness_sql(stack.owner_url, "%s", slow_loads);
	anna = add_user("anna");
	ben = add_user("ben");
	annas_model =
		harness_sql(stack.owner_url,
			    "SELECT id FROM models WHERE model_id = 'anna'");
	memset(workers, 0, sizeof(workers));
}

static void
end(void)
{
	for (unsigned i = 0; i < WORKERS; i++)
		harness_worker_stop(workers[i]);
	stack_end();
}

static struct http_response *
get(unsigned worker, const char *login)
{
	struct http_response *r =
		fcgi_get(workers[worker]->address, MINE, login, NULL);

	assert_status(r, 200);
	return (r);
}

static bool
shows(unsigned worker, const char *login, const char *name)
{
	return (strstr(get(worker, login)->body,
		       scratch_printf("\"name\" : \"%s\"", name)) != NULL);
}

static void
assert_all_show(const char *name)
{
	for (unsigned i = 0; i < 10 * WORKERS; i++)
		ck_assert_msg(shows(i % WORKERS, anna, name), "worker %u: %s",
			      i % WORKERS, get(i % WORKERS, anna)->body);
}

/* By a request; what is answered is done. */
static void
put(unsigned worker, const char *name)
{
	const struct fcgi_request request = {
		.method = "PUT",
		.uri = scratch_printf("/api/models/%s", annas_model),
		.headers = (const char *const[]){ anna, JSON, NULL },
		.body = scratch_printf(
			"{\"model_id\":\"anna\",\"name\":\"%s\"}", name),
	};

	assert_status(fcgi_ask(workers[worker]->address, &request), 200);
}

static void
update(const char *owner, const char *name)
{
	harness_sql(stack.owner_url,
		    "UPDATE models SET name = '%s' WHERE model_id = '%s'", name,
		    owner);
}

static void
set_pace(double seconds)
{
	harness_sql(stack.owner_url, "UPDATE pace SET seconds = %f", seconds);
}

static bool
is_loading(void)
{
	return (strcmp(harness_sql(stack.owner_url,
				   "SELECT count(*) FROM pg_stat_activity "
				   "WHERE wait_event = 'PgSleep'"),
		       "0") != 0);
}

static bool
is_cached(unsigned worker, const char *login)
{
	return (strcmp(http_header(get(worker, login), "X-Cache"), "HIT") == 0);
}

static void
kill_memory(void)
{
	for (unsigned i = 0; i < WORKERS; i++)
		harness_worker_respawn(workers[i]);
}

/* A load that takes 3 s and has seen the old row is under way in worker 0. */
static int
begin_slow_load(void)
{
	int fd = fcgi_connect(workers[0]->address);

	set_pace(3);
	fcgi_send(fd, &(struct fcgi_request){
			      .uri = MINE,
			      .headers = (const char *const[]){ anna, NULL } });
	wait_until(is_loading(), 5000);
	set_pace(0);
	return (fd);
}

/* Whether or not it shows the old value, it leaves nothing behind. */
static void
end_slow_load(int fd)
{
	assert_status(fcgi_receive(fd, 30000), 200);
	close(fd);
	assert_all_show("new");
	kill_memory();
	assert_all_show("new");
	harness_redis_command(stack.redis, "FLUSHALL");
	kill_memory();
	assert_all_show("new");
}

START_TEST(slow_load_never_shows_after_an_update_by_request)
{
	int fd;

	start_workers(&modes[_i]);
	fd = begin_slow_load();
	put(0, "new");
	/* It joins the load under way, and must not get what that brings. */
	ck_assert(shows(0, anna, "new"));
	wait_until(shows(1, anna, "new"), 2000);
	end_slow_load(fd);
}
END_TEST

START_TEST(slow_load_never_shows_after_an_update_by_sql)
{
	int fd;

	start_workers(&modes[_i]);
	fd = begin_slow_load();
	update("anna", "new");
	wait_until(shows(0, anna, "new") && shows(1, anna, "new"), 8000);
	end_slow_load(fd);
}
END_TEST

START_TEST(update_by_request_shows_at_once)
{
	bool near = strcmp(modes[_i].near, "on") == 0;

	start_workers(&modes[_i]);
	for (unsigned i = 0; i < 20; i++) {
		const char *name = scratch_printf("name %u", i);

		ck_assert(get(0, anna)->status == get(1, anna)->status);
		put(i % WORKERS, name);
		ck_assert(shows(i % WORKERS, anna, name));
		if (near)
			wait_until(shows((i + 1) % WORKERS, anna, name), 2000);
		else
			ck_assert(shows((i + 1) % WORKERS, anna, name));
	}
}
END_TEST

START_TEST(rollback_invalidates_nothing)
{
	start_workers(&modes[0]);
	wait_until(is_cached(0, anna), 5000);
	harness_sql(stack.owner_url,
		    "BEGIN; UPDATE models SET name = 'never'; ROLLBACK");
	ck_assert_str_eq(harness_sql(stack.owner_url,
				     "SELECT count(*) FROM cache_invalidations "
				     "WHERE scope LIKE 'models%%'"),
			 "2"); /* of adding the users */
	for (unsigned i = 0; i < 10; i++)
		ck_assert(is_cached(0, anna) && shows(0, anna, "old"));
}
END_TEST

START_TEST(transactions_that_commit_out_of_order_are_followed)
{
	const char *first =
		scratch_printf("%s&application_name=first", stack.owner_url);

	if (strchr(stack.owner_url, '?') == NULL)
		first = scratch_printf("%s?application_name=first",
				       stack.owner_url);
	start_workers(&modes[_i]);
	wait_until(is_cached(0, anna) && is_cached(0, ben), 5000);
	harness_sql(first, "BEGIN; UPDATE models SET name = 'new' "
			   "WHERE model_id = 'anna'");
	update("ben", "new");
	wait_until(shows(0, ben, "new"), 2000);
	ck_assert(shows(0, anna, "old"));
	harness_sql(first, "COMMIT");
	wait_until(shows(0, anna, "new") && shows(1, anna, "new"), 2000);
	assert_all_show("new");
}
END_TEST

START_TEST(follower_that_was_cut_off_catches_up)
{
	start_workers(&modes[_i]);
	wait_until(is_cached(0, anna) && is_cached(1, anna), 5000);
	harness_sql(stack.owner_url,
		    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
		    "WHERE query LIKE 'LISTEN%%' AND pid <> pg_backend_pid()");
	update("anna", "new");
	wait_until(shows(0, anna, "new") && shows(1, anna, "new"), 2000);
	assert_all_show("new");
}
END_TEST

/* DATABASE_LISTEN_URL leads to where all is taken and nothing answered, and then does. */
START_TEST(listener_that_cannot_connect_holds_up_nobody)
{
	struct harness_proxy *line = harness_proxy_new(
		scratch_printf("%s/.s.PGSQL.%u", stack.postgres->directory,
			       stack.postgres->port));
	unsigned slow = 0;
	double began;

	harness_proxy_set(line, PROXY_STALL, 0);
	harness_env_set(stack.env, "DATABASE_LISTEN_URL",
			"postgresql://warmfront@127.0.0.1:%u/test_%d",
			harness_proxy_port(line), (int)getpid());
	start_workers(&modes[_i]);
	wait_until(harness_proxy_connections(line) >= WORKERS, 5000);
	for (unsigned i = 0; i < 10; i++) {
		began = harness_now_ms();
		put(0, scratch_printf("name %u", i));
		update("anna", scratch_printf("other %u", i));
		wait_until(shows(0, anna, scratch_printf("other %u", i)) &&
				   shows(1, anna,
					 scratch_printf("other %u", i)),
			   5000);
		slow += harness_now_ms() - began > harness_limit_ms(500);
	}
	ck_assert_msg(slow <= 3, "%u of 10 took over 500 ms", slow);
	harness_proxy_set(line, PROXY_PASS, 0);
	wait_until(strcmp(harness_sql(stack.owner_url,
				      "SELECT count(*) FROM pg_stat_activity "
				      "WHERE query LIKE 'LISTEN%%' "
				      "AND datname = current_database()"),
			  "2") == 0,
		   10000);
}
END_TEST

START_TEST(flushed_redis_brings_nothing_back)
{
	start_workers(&modes[_i]);
	wait_until(is_cached(0, anna), 5000);
	for (unsigned i = 0; i < 10; i++) {
		const char *name = scratch_printf("name %u", i);

		put(0, name);
		harness_redis_command(stack.redis, "FLUSHALL");
		ck_assert(shows(0, anna, name));
		wait_until(shows(1, anna, name), 2000);
	}
}
END_TEST

START_TEST(redis_restored_from_an_old_snapshot_brings_nothing_back)
{
	struct harness_redis *own = harness_redis_new(NULL);

	harness_env_set(stack.env, "REDIS_URL", "%s", own->url);
	start_workers(&modes[_i]);
	wait_until(is_cached(0, anna) && is_cached(1, anna), 5000);
	harness_redis_command(own, "SAVE");
	put(0, "new");
	wait_until(shows(1, anna, "new"), 2000);
	harness_redis_kill(own);
	harness_redis_start(own);
	assert_all_show("new");
	wait_until(strstr(harness_redis_command(own, "KEYS *"), "models:user"),
		   5000);
	assert_all_show("new");
	kill_memory();
	assert_all_show("new");
}
END_TEST

START_TEST(redis_that_could_not_be_told_misleads_nobody)
{
	start_workers(&modes[1]);
	for (unsigned i = 0; i < 5; i++) {
		const char *name = scratch_printf("name %u", i);

		wait_until(is_cached(1, anna), 5000);
		process_signal(stack.redis->process, SIGSTOP);
		put(0, name);
		process_signal(stack.redis->process, SIGCONT);
		ck_assert(shows(1, anna, name));
	}
}
END_TEST

/* One second is enough; the best of some, on a busy machine. */
START_TEST(redis_that_cannot_be_told_is_waited_out_once)
{
	const char *admin = stack_login("root@example.org", "admin");
	const struct fcgi_request request = {
		.method = "POST",
		.uri = "/api/cache/invalidate",
		.headers = (const char *const[]){ admin, JSON, NULL },
		.body = "{\"category\":\"servers\"}",
	};
	const struct http_response *r;
	double least = 1e9;

	start_workers(&modes[1]);
	wait_until(is_cached(0, anna), 5000);
	process_signal(stack.redis->process, SIGSTOP);
	for (unsigned i = 0; i < 3; i++) {
		r = fcgi_ask(workers[0]->address, &request);
		assert_status(r, 200);
		ck_assert_double_ge(r->ms, 900);
		least = r->ms < least ? r->ms : least;
	}
	process_signal(stack.redis->process, SIGCONT);
	ck_assert_double_lt(least, harness_limit_ms(1700));
}
END_TEST

START_TEST(garbage_in_place_of_an_invalidation_is_a_miss)
{
	start_workers(&modes[1]);
	wait_until(is_cached(0, anna), 5000);
	harness_redis_command(stack.redis, "HSET wf:v1:@log models:* rubbish");
	harness_redis_command(stack.redis, "HSET wf:v1:@log auth:* {}");
	/* What is stored after that replaces the garbage by a position. */
	ck_assert_ptr_null(strstr(http_header(get(0, anna), "Cache-Status"),
				  "detail=redis"));
	update("anna", "new");
	wait_until(shows(0, anna, "new"), 2000);
}
END_TEST

START_TEST(worker_that_cannot_follow_distrusts_its_memory)
{
	const char *lock = strchr(stack.owner_url, '?') != NULL
				   ? scratch_printf("%s&application_name=lock",
						    stack.owner_url)
				   : scratch_printf("%s?application_name=lock",
						    stack.owner_url);

	harness_env_set(stack.env, "LOG_LAG_LIMIT_MS", "500");
	start_workers(&modes[2]);
	wait_until(is_cached(0, anna), 5000);
	harness_sql(lock,
		    "BEGIN; LOCK TABLE cache_log IN ACCESS EXCLUSIVE MODE");
	update("anna", "new");
	wait_until(strcmp(http_header(get(0, anna), "X-Cache"), "STALE") == 0 ||
			   shows(0, anna, "new"),
		   10000);
	harness_sql(lock, "COMMIT");
	wait_until(is_cached(0, anna) && shows(0, anna, "new"), 10000);
}
END_TEST

START_TEST(follower_behind_a_pruned_log_drops_all)
{
	start_workers(&modes[_i]);
	wait_until(is_cached(0, anna) && is_cached(1, anna), 5000);
	process_signal(workers[0]->processes[0], SIGSTOP);
	update("anna", "new");
	harness_sql(stack.owner_url,
		    "DELETE FROM cache_entries; SELECT cache_log_position()");
	ck_assert_str_ne(harness_sql(stack.owner_url,
				     "SELECT cache_log_prune('0 seconds')"),
			 "0");
	process_signal(workers[0]->processes[0], SIGCONT);
	wait_until(shows(0, anna, "new") && shows(1, anna, "new"), 2000);
	assert_all_show("new");
}
END_TEST

/* As a replica would that lagged by as many records and took over, and what comes next.
 * What was written besides them is lost silently. */
static void
lose_positions_and_update(unsigned lost, const char *name)
{
	harness_sql(stack.owner_url,
		    "BEGIN; UPDATE cache_log SET head = head - %u; "
		    "DELETE FROM cache_invalidations USING cache_log "
		    "WHERE position > head; "
		    "SET LOCAL session_replication_role = replica; "
		    "UPDATE models SET name = 'lost' WHERE model_id = 'ben'; "
		    "SET LOCAL session_replication_role = origin; "
		    "UPDATE models SET name = '%s' WHERE model_id = 'anna'; "
		    "COMMIT",
		    lost, name);
}

static void
fill_and_follow(const struct mode *mode)
{
	start_workers(mode);
	wait_until(is_cached(0, anna) && is_cached(1, anna), 5000);
	for (unsigned i = 0; i < 5; i++)
		update("ben", scratch_printf("name %u", i));
	wait_until(shows(0, ben, "name 4") && shows(1, ben, "name 4"), 2000);
}

static bool
all_is_new(void)
{
	return (shows(0, anna, "new") && shows(1, anna, "new") &&
		shows(0, ben, "lost") && shows(1, ben, "lost"));
}

START_TEST(database_that_has_lost_positions_misleads_nobody)
{
	fill_and_follow(&modes[_i]);
	lose_positions_and_update(5, "new");
	wait_until(all_is_new(), 2000);
	kill_memory();
	ck_assert(all_is_new());
	update("anna", "newer");
	wait_until(shows(0, anna, "newer") && shows(1, anna, "newer"), 2000);
}
END_TEST

START_TEST(database_that_redis_is_ahead_of_misleads_no_new_worker)
{
	fill_and_follow(&modes[_i]);
	for (unsigned i = 0; i < WORKERS; i++)
		harness_worker_kill_all(workers[i]);
	lose_positions_and_update(5, "new");
	for (unsigned i = 0; i < WORKERS; i++)
		harness_worker_start(workers[i]);
	wait_until(all_is_new(), 5000);
	assert_all_show("new");
}
END_TEST

/* How the log answers a reader, the numbers counted from `base`. */
static const char *
read_after(const char *base, const char *position)
{
	return (harness_sql(stack.worker_url,
			    "SELECT string_agg(at_position - %s || ' ' || "
			    "scope, ',') FROM cache_log_read(%s, 10)",
			    base, position));
}

static const char *
after(const char *base, int by)
{
	return (scratch_printf("%s + %d", base, by));
}

START_TEST(readers_ahead_of_the_log_get_one_record_for_all_they_miss)
{
	const char *head =
		harness_sql(stack.worker_url, "SELECT cache_log_position()");
	const char *raised;

	/* From the future, or from nowhere. */
	ck_assert_str_eq(read_after(head, "9223372036854775807"), "");
	ck_assert_str_eq(read_after(head, after(head, 1000000000)), "");
	ck_assert_str_eq(read_after(head, head), "");
	ck_assert_str_eq(harness_sql(stack.owner_url,
				     "SELECT head FROM cache_log"),
			 head);
	/* One after the other; the last was not ahead. */
	read_after(head, after(head, 2));
	raised = harness_sql(stack.owner_url, "SELECT head FROM cache_log");
	ck_assert_int_gt(strcmp(raised, head), 0);
	for (int ahead = 3; ahead >= 0; ahead--)
		ck_assert_str_eq(read_after(raised, after(head, ahead)), "0 *");
	update("anna", "new");
	ck_assert_int_eq(strncmp(read_after(raised, raised), "1 models:", 9),
			 0);
}
END_TEST

START_TEST(invalidations_of_others_leave_a_warm_redis_warm)
{
	start_workers(&modes[0]);
	wait_until(is_cached(0, anna), 5000);
	wait_until(strstr(harness_redis_command(stack.redis, "KEYS *"),
			  ":models:user:"),
		   5000);
	for (unsigned i = 0; i < 3; i++)
		update("ben", scratch_printf("name %u", i));
	wait_until(shows(0, ben, "name 2"), 2000);
	kill_memory();
	assert_cache(get(1, anna), "HIT", "redis");
	wait_until(stack_has_cache(get(1, anna), "HIT", "memory"), 5000);
}
END_TEST

START_TEST(emptied_redis_is_filled_from_postgres_though_the_log_went_on)
{
	start_workers(&modes[0]);
	wait_until(is_cached(0, anna), 5000);
	for (unsigned i = 0; i < 3; i++)
		update("ben", scratch_printf("name %u", i));
	wait_until(shows(0, ben, "name 2"), 2000);
	harness_redis_command(stack.redis, "FLUSHALL");
	kill_memory();
	assert_cache(get(1, anna), "HIT", "postgresql");
	wait_until(strstr(harness_redis_command(stack.redis,
						"KEYS wf:v1:models:user:*"),
			  "models:user"),
		   5000);
}
END_TEST

static json_t *
explain(const char *admin, const char *key)
{
	const struct http_response *r =
		fcgi_get(workers[0]->address,
			 scratch_printf("/api/admin/cache/explain?key=%s", key),
			 admin, NULL);

	assert_status(r, 200);
	return (tree_at(tree_parse(r->body, r->body_len), "data"));
}

static bool
tells(json_t *tree, const char *path, const char *wanted)
{
	return (strcmp(tree_string(tree, path), wanted) == 0);
}

START_TEST(explanation_comes_true_and_changes_nothing)
{
	const char *admin = stack_login("root@example.org", "admin");
	const char *id = harness_sql(stack.owner_url,
				     "SELECT id FROM users WHERE email = "
				     "'anna@example.org'");
	const char *key = scratch_printf("models:user:@%s", id), *before;
	json_t *tree;

	start_workers(&modes[0]);
	tree = explain(admin, key);
	ck_assert(tells(tree, "next.answer", "MISS"));
	ck_assert(tells(explain(admin, key), "next.answer", "MISS"));
	assert_cache(get(0, anna), "MISS", NULL);
	tree = explain(admin, key);
	ck_assert(tells(tree, "next.answer", "HIT"));
	ck_assert(tells(tree, "next.tier", "memory"));
	assert_cache(get(0, anna), "HIT", "memory");
	harness_worker_respawn(workers[0]);
	before = harness_sql(
		stack.owner_url,
		"SELECT json_agg(e) FROM (SELECT cache_key, used_at, "
		"updated_at FROM cache_entries "
		"WHERE cache_key LIKE 'models%%') e");
	/* The second time by the key as it is. */
	for (unsigned i = 0; i < 2; i++) {
		tree = explain(admin, i == 0 ? key : tree_string(tree, "key"));
		ck_assert(tells(tree, "next.tier", "redis"));
		ck_assert_ptr_null(strstr(tree_string(tree, "key"), "@"));
		ck_assert_uint_ge(tree_count(tree, "log.records"), 1);
		ck_assert(tells(tree, "log.records.0.scope", key));
	}
	ck_assert_str_eq(
		before,
		harness_sql(stack.owner_url,
			    "SELECT json_agg(e) FROM (SELECT cache_key, "
			    "used_at, updated_at FROM cache_entries "
			    "WHERE cache_key LIKE 'models%%') e"));
	assert_cache(get(0, anna), "HIT", "redis");
}
END_TEST

START_TEST(explanation_names_what_stands_against_an_entry)
{
	const char *admin = stack_login("root@example.org", "admin");
	const char *id = harness_sql(stack.owner_url,
				     "SELECT id FROM users WHERE email = "
				     "'anna@example.org'");
	const char *key = scratch_printf("models:user:@%s", id);
	json_t *tree;

	start_workers(&modes[1]);
	assert_cache(get(0, anna), "MISS", NULL);
	wait_until(stack_has_cache(get(0, anna), "HIT", "redis"), 5000);
	update("anna", "new");
	wait_until(tells(explain(admin, key), "next.answer", "MISS"), 2000);
	tree = explain(admin, key);
	ck_assert(strstr(tree_string(tree, "tiers.redis.why"), "record"));
	ck_assert(strstr(tree_string(tree, "tiers.postgresql.why"), "record"));
	assert_status(fcgi_get(workers[0]->address,
			       "/api/admin/cache/explain?key=x", anna, NULL),
		      403);
}
END_TEST

/* A new database, while Redis remembers an older one. */
/* Worker 0 hears of the log late. */
static struct harness_proxy *
start_a_late_follower(void)
{
	const char *name = strstr(stack.worker_url, "@/") + 2;
	struct harness_env *env = harness_env_copy(stack.env);
	struct harness_proxy *line = harness_proxy_new(
		scratch_printf("%s/.s.PGSQL.%u", stack.postgres->directory,
			       stack.postgres->port));

	harness_env_set(env, "DATABASE_URL",
			"postgresql://warmfront@127.0.0.1:%u/%.*s",
			harness_proxy_port(line), (int)strcspn(name, "?"),
			name);
	workers[0] = harness_worker_new(
		&(struct harness_worker_options){ .env = env });
	workers[1] = harness_worker_new(
		&(struct harness_worker_options){ .env = stack.env });
	return (line);
}

static const struct http_response *
catalogue(void)
{
	const struct http_response *r =
		fcgi_get(workers[0]->address, "/api/models", NULL);

	assert_status(r, 200);
	return (r);
}

/* A catalogue with a dead gateway is not made anew for each who asks, but for who asks
 * after it was invalidated. */
START_TEST(catalogue_that_rests_ends_with_an_invalidation)
{
	const char *admin = stack_login("root@example.org", "admin");
	struct harness_proxy *line;

	harness_env_set(stack.env, "NEAR_CACHE", "off");
	stack_age_fast();
	line = start_a_late_follower();
	catalogue();
	harness_upstream_control(stack.upstream, "path=/beta&status=500");
	wait_until((catalogue(), stack_upstream_count("/alpha") >= 2 &&
					 stack_upstream_count("/beta") >= 2),
		   10000);
	harness_upstream_control(stack.upstream, "path=/alpha&mode=version:9");
	harness_proxy_set(line, PROXY_DELAY, 400);
	assert_status(fcgi_ask(workers[1]->address,
			       &(struct fcgi_request){
				       .method = "POST",
				       .uri = "/api/cache/invalidate",
				       .headers = (const char *const[]){ admin,
									 JSON,
									 NULL },
				       .body = "{\"category\":\"models\"}" }),
		      200);
	ck_assert_msg(strstr(catalogue()->body, "Edition 9.") != NULL, "%s",
		      stack_describe(catalogue()));
	harness_proxy_set(line, PROXY_PASS, 0);
}
END_TEST

START_TEST(positions_of_a_new_database_are_above_an_old_ones)
{
	const char *head =
		harness_sql(stack.owner_url, "SELECT head FROM cache_log");
	const char *now = harness_sql(
		stack.owner_url,
		"SELECT (extract(epoch FROM now()) * 1000000)::bigint");

	ck_assert_uint_eq(strlen(head), strlen(now));
	ck_assert_int_lt(strcmp(head, now), 0);
}
END_TEST

Suite *
suite_invalidation(void)
{
	Suite *s = suite_create("invalidation");
	TCase *t = tcase_create("invalidation");

	tcase_set_timeout(t, 90);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_loop_test(t, slow_load_never_shows_after_an_update_by_request,
			    0, MODES);
	tcase_add_loop_test(t, slow_load_never_shows_after_an_update_by_sql, 0,
			    MODES);
	tcase_add_loop_test(t, update_by_request_shows_at_once, 0, MODES);
	tcase_add_test(t, rollback_invalidates_nothing);
	tcase_add_loop_test(t,
			    transactions_that_commit_out_of_order_are_followed,
			    0, MODES);
	tcase_add_loop_test(t, follower_that_was_cut_off_catches_up, 0, MODES);
	tcase_add_loop_test(t, listener_that_cannot_connect_holds_up_nobody, 0,
			    2);
	tcase_add_loop_test(t, flushed_redis_brings_nothing_back, 0, 2);
	tcase_add_loop_test(
		t, redis_restored_from_an_old_snapshot_brings_nothing_back, 0,
		2);
	tcase_add_test(t, redis_that_could_not_be_told_misleads_nobody);
	tcase_add_test(t, redis_that_cannot_be_told_is_waited_out_once);
	tcase_add_test(t, garbage_in_place_of_an_invalidation_is_a_miss);
	tcase_add_test(t, worker_that_cannot_follow_distrusts_its_memory);
	tcase_add_loop_test(t, follower_behind_a_pruned_log_drops_all, 0, 3);
	tcase_add_loop_test(t, database_that_has_lost_positions_misleads_nobody,
			    0, MODES);
	tcase_add_loop_test(
		t, database_that_redis_is_ahead_of_misleads_no_new_worker, 0,
		2);
	tcase_add_test(
		t, readers_ahead_of_the_log_get_one_record_for_all_they_miss);
	tcase_add_test(t, invalidations_of_others_leave_a_warm_redis_warm);
	tcase_add_test(
		t,
		emptied_redis_is_filled_from_postgres_though_the_log_went_on);
	tcase_add_test(t, explanation_comes_true_and_changes_nothing);
	tcase_add_test(t, explanation_names_what_stands_against_an_entry);
	tcase_add_test(t, catalogue_that_rests_ends_with_an_invalidation);
	tcase_add_test(t, positions_of_a_new_database_are_above_an_old_ones);
	suite_add_tcase(s, t);
	return (s);
}
