/* SPDX-License-Identifier: MIT */
#include "deployment.h"
#include "mix.h"

#include <stdio.h>
#include <string.h>

struct harness_worker *deployment_workers[DEPLOYMENT_WORKERS];

static void
configure(void)
{
	static const char *const categories[] = { "MODELS",	 "USER_DATA",
						  "ADMIN_USERS", "USAGE_COSTS",
						  "SERVERS",	 "ANALYTICS" };
	struct harness_env *env = stack.env;

	harness_env_set(env, "LOG_LEVEL", "warn");
	harness_env_set(env, "CACHE_VERBOSE", "false");
	harness_env_set(env, "DATABASE_POOL_SIZE", "%d", DEPLOYMENT_POOL);
	harness_env_set(env, "UPSTREAM_TIMEOUT_MS", "5000");
	harness_env_set(env, "WARMING_BUDGET_MS", "5000");
	harness_env_set(env, "REQUEST_MAX_BYTES", "65536");
	/* Small enough to be full, so that entries have to go. */
	harness_env_set(env, "MEMORY_CACHE_BYTES", "2MiB");
	harness_env_set(env, "CACHE_MAX_BYTES", "%d", DEPLOYMENT_STORED_BYTES);
	/* Soon of age, so that entries are refreshed and served stale. */
	for (unsigned i = 0; i < 6; i++) {
		const char *c = categories[i];

		harness_env_set(env, scratch_printf("%s_CACHE_TTL_MS", c),
				"8000");
		harness_env_set(env, scratch_printf("%s_CACHE_REFRESH_MS", c),
				"2000");
		harness_env_set(env, scratch_printf("%s_CACHE_GRACE_MS", c),
				"60000");
	}
}

static void
start_workers(void)
{
	const char *place = scratch_directory("soak");

	for (unsigned i = 0; i < DEPLOYMENT_WORKERS; i++)
		deployment_workers[i] =
			harness_worker_new(&(struct harness_worker_options){
				.env = stack.env,
				.how = WORKER_LISTENS,
				.socket = scratch_printf("%s/w%u", place, i) });
}

/* In front of the workers, by turns; who finds its connection broken asks another one.
 * X-Tried says whom. */
static const char *
start_nginx(void)
{
	struct harness_worker **w = deployment_workers;
	struct harness_nginx *nginx;
	char *servers = scratch_copy("", 0);

	for (unsigned i = 0; i < DEPLOYMENT_WORKERS; i++)
		servers = scratch_printf("%sserver %s max_fails=0;\n", servers,
					 w[i]->address);
	nginx = harness_nginx_new(&(struct harness_nginx_options){
		.worker = w[0]->address,
		.http = scratch_printf("upstream four {\n%s"
				       "keepalive 256;\n"
				       "keepalive_requests 100000;\n"
				       "keepalive_timeout 2s; }\n",
				       servers),
		.server = "location / { include params;\n"
			  "fastcgi_pass four; fastcgi_keep_conn on;\n"
			  "fastcgi_read_timeout 60s; fastcgi_buffer_size 64k;\n"
			  "fastcgi_buffers 16 64k;\n"
			  "fastcgi_busy_buffers_size 256k;\n"
			  "fastcgi_max_temp_file_size 0;\n"
			  "fastcgi_next_upstream error;\n"
			  "fastcgi_next_upstream_tries 2;\n"
			  "add_header X-Tried $upstream_addr always; }\n",
	});
	return (nginx->url);
}

/* Users whose things are marked as theirs. */
static void
make_user(unsigned i)
{
	struct mix_user *u = &mix_users[i];
	const char *email = scratch_printf("user%u@example.org", i);

	snprintf(u->login, sizeof(u->login), "%s", stack_login(email, "user"));
	snprintf(
		u->id, sizeof(u->id), "%s",
		harness_sql(stack.owner_url,
			    "UPDATE users SET name = 'owner-%u amber', profile "
			    "= jsonb_build_object('bio', repeat('owner-%u ', "
			    "150)) WHERE email = '%s' RETURNING id",
			    i, i, email));
	for (unsigned s = 0; s < MIX_SERVERS; s++)
		snprintf(u->servers[s], sizeof(u->servers[s]), "%s",
			 harness_sql(stack.owner_url,
				     "INSERT INTO servers (owner_id, name) "
				     "VALUES ('%s', 'owner-%u s%u') "
				     "RETURNING id",
				     u->id, i, s));
}

static void
make_product(void)
{
	for (unsigned i = 0; i < MIX_USERS; i++)
		make_user(i);
	snprintf(mix_admin, sizeof(mix_admin), "%s",
		 stack_login("root@example.org", "admin"));
	snprintf(mix_cron, sizeof(mix_cron),
		 "Authorization: Bearer " HARNESS_CRON_SECRET);
}

const char *
deployment_start(void)
{
	configure();
	make_product();
	start_workers();
	return (start_nginx());
}

void
deployment_stop(void)
{
	for (unsigned i = 0; i < DEPLOYMENT_WORKERS; i++)
		harness_worker_stop(deployment_workers[i]);
}

void
deployment_clean_up(void)
{
	struct http_response *r =
		fcgi_ask(deployment_workers[0]->address,
			 &(struct fcgi_request){
				 .method = "POST",
				 .uri = "/cron/cache-warming",
				 .headers = (const char *const[]){ mix_cron,
								   NULL },
			 });

	assert_status(r, 200);
}
