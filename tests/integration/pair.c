/* SPDX-License-Identifier: MIT */
#include "pair.h"

#include <string.h>

struct pair pair;

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

void
pair_begin(void)
{
	stack_begin();
	pair = (struct pair){ 0 };
	pair.anna = add_user("anna");
	pair.ben = add_user("ben");
	pair.annas_model =
		harness_sql(stack.owner_url,
			    "SELECT id FROM models WHERE model_id = 'anna'");
}

void
pair_end(void)
{
	for (unsigned i = 0; i < PAIR_WORKERS; i++)
		harness_worker_stop(pair.workers[i]);
	stack_end();
}

void
pair_start(int mode)
{
	harness_env_set(stack.env, "DISABLE_REDIS_CACHE", "%s",
			mode & PAIR_WITHOUT_REDIS ? "true" : "false");
	harness_env_set(stack.env, "NEAR_CACHE", "%s",
			mode & PAIR_WITHOUT_NEAR ? "off" : "on");
	for (unsigned i = 0; i < PAIR_WORKERS; i++)
		pair.workers[i] = harness_worker_new(
			&(struct harness_worker_options){ .env = stack.env });
}

struct http_response *
pair_get(unsigned worker, const char *login)
{
	struct http_response *r =
		fcgi_get(pair.workers[worker]->address, PAIR_LIST, login, NULL);

	assert_status(r, 200);
	return (r);
}

bool
pair_shows(unsigned worker, const char *login, const char *name)
{
	return (strstr(pair_get(worker, login)->body,
		       scratch_printf("\"name\" : \"%s\"", name)) != NULL);
}

bool
pair_both_show(const char *login, const char *name)
{
	return (pair_shows(0, login, name) && pair_shows(1, login, name));
}

void
pair_assert_shows(const char *name)
{
	for (unsigned i = 0; i < 10 * PAIR_WORKERS; i++)
		ck_assert_msg(pair_shows(i % PAIR_WORKERS, pair.anna, name),
			      "worker %u: %s", i % PAIR_WORKERS,
			      pair_get(i % PAIR_WORKERS, pair.anna)->body);
}

bool
pair_is_cached(unsigned worker, const char *login)
{
	return (strcmp(http_header(pair_get(worker, login), "X-Cache"),
		       "HIT") == 0);
}

static struct http_response *
send_json(unsigned worker, const char *method, const char *uri,
	  const char *login, const char *body)
{
	const struct fcgi_request request = {
		.method = method,
		.uri = uri,
		.headers =
			(const char *const[]){
				login, "Content-Type: application/json", NULL },
		.body = body,
	};

	return (fcgi_ask(pair.workers[worker]->address, &request));
}

void
pair_put(unsigned worker, const char *name)
{
	const char *uri = scratch_printf("/api/models/%s", pair.annas_model);
	const char *body =
		scratch_printf("{\"model_id\":\"anna\",\"name\":\"%s\"}", name);

	assert_status(send_json(worker, "PUT", uri, pair.anna, body), 200);
}

void
pair_update(const char *owner, const char *name)
{
	harness_sql(stack.owner_url,
		    "UPDATE models SET name = '%s' WHERE model_id = '%s'", name,
		    owner);
}

struct http_response *
pair_invalidate(unsigned worker, const char *login, const char *category)
{
	return (send_json(worker, "POST", "/api/cache/invalidate", login,
			  scratch_printf("{\"category\":\"%s\"}", category)));
}

void
pair_respawn(void)
{
	for (unsigned i = 0; i < PAIR_WORKERS; i++)
		harness_worker_respawn(pair.workers[i]);
}
