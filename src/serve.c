/* SPDX-License-Identifier: MIT */
#include "serve.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/library.h"
#include "base/log.h"
#include "cache/health.h"
#include "gateways.h"
#include "policies.h"
#include "store/redis.h"
#include "web/dispatch.h"
#include "web/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#define DRAIN_MS 25000	   /* after SIGTERM, for answers in the making */
#define LAST_LOADS_MS 2000 /* and for loads that nobody waits for */
#define LOAD_MARGIN_MS 500 /* a load ends a little after its upstream's time */
#define REDIS_QUEUE 100000
#define APART_QUEUE 1000

struct worker {
	const struct config *config;
	const char *address; /* NULL: fd 0 */
	bool misused;	     /* what is R_INVALID is no variable */
	struct buf problem;
	struct listener listener;
	struct postgres *pg;
	struct redis *redis; /* NULL: off */
	struct gateway *gateways;
	struct cache *cache;
	struct auth *auth;
	struct router *router;
	struct services services;
	struct dispatch dispatch;
	struct server *server;
};

static enum result
start_log(struct worker *w)
{
	static const char *const levels[] = { "error", "warn", "info",
					      "debug" };
	const char *wanted = config_string(w->config, SET_LOG_LEVEL);
	const char *target = config_string(w->config, SET_LOG_TARGET);
	enum log_level level = LOG_LEVEL_ERROR;

	while (level < LOG_LEVEL_DEBUG && strcmp(levels[level], wanted) != 0)
		level++;
	if (log_open(target, level) == R_OK)
		return (R_OK);
	buf_printf(&w->problem, "LOG_TARGET: cannot write to %s", target);
	return (R_INVALID);
}

static void
stop_log(struct worker *w)
{
	(void)w;
	log_close();
}

static enum result
start_listening(struct worker *w)
{
	int listens = 0;
	socklen_t size = sizeof(listens);
	enum result r;

	if (w->address != NULL) {
		r = listen_open(w->address, &w->listener, &w->problem);
		w->misused = r == R_INVALID;
		return (r);
	}
	w->listener.fd = STDIN_FILENO;
	if (getsockopt(STDIN_FILENO, SOL_SOCKET, SO_ACCEPTCONN, &listens,
		       &size) == 0 &&
	    listens)
		return (R_OK);
	buf_str(&w->problem,
		"fd 0 is not a listening socket: start the worker by spawn-fcgi, "
		"or give -l unix:/path or -l host:port");
	w->misused = true;
	return (R_INVALID);
}

static void
stop_listening(struct worker *w)
{
	listen_close(&w->listener);
}

static struct postgres_options
postgres_options(const struct config *c, const char *url)
{
	return ((struct postgres_options){
		.url = url,
		.name = "warmfront",
		.pool_size = (unsigned)config_int(c, SET_DATABASE_POOL_SIZE),
		.connect_timeout_ms = 2000,
		.statement_timeout_ms = config_int(c, SET_DATABASE_TIMEOUT_MS),
	});
}

static enum result
start_postgres(struct worker *w)
{
	const struct postgres_options options =
		postgres_options(w->config,
				 config_string(w->config, SET_DATABASE_URL));

	w->pg = postgres_new(&options);
	return (w->pg == NULL ? R_NO_MEMORY : R_OK);
}

static void
stop_postgres(struct worker *w)
{
	postgres_free(w->pg);
}

static enum result
start_redis(struct worker *w)
{
	const struct redis_options options = {
		.url = config_redis_url(w->config),
		.timeout_ms = config_int(w->config, SET_REDIS_TIMEOUT_MS),
		.connect_timeout_ms =
			config_int(w->config, SET_REDIS_CONNECT_TIMEOUT_MS),
		.queue_limit = REDIS_QUEUE,
	};
	enum result r;

	if (options.url == NULL)
		return (R_OK);
	if ((r = redis_new(&options, &w->redis)) != R_OK)
		buf_str(&w->problem,
			"REDIS_URL: expected redis://[user:password@]host"
			"[:port][/db], rediss://..., or unix:///path");
	return (r);
}

static void
stop_redis(struct worker *w)
{
	redis_free(w->redis);
}

static enum result
start_gateways(struct worker *w)
{
	enum result r = gateways_new(w->config, &w->gateways,
				     &w->services.n_gateways, &w->problem);

	w->services.gateways = w->gateways;
	return (r);
}

static void
stop_gateways(struct worker *w)
{
	gateways_free(w->gateways, w->services.n_gateways);
}

/* How the gateways' breakers stand; see metrics.h. */
static void
add_gateways(void *arg, struct buf *to)
{
	static const char *const states[] = { "closed", "open", "half-open" };
	const struct worker *w = arg;
	unsigned i;

	for (i = 0; i < w->services.n_gateways; i++)
		buf_printf(to, ",\"breaker|gateway %s/%s\":1",
			   w->gateways[i].name,
			   states[upstream_state(w->gateways[i].upstream)]);
}

static enum result
start_cache(struct worker *w)
{
	const struct config *c = w->config;
	const char *listen_url =
		config_string(c, config_is_set(c, SET_DATABASE_LISTEN_URL)
					 ? SET_DATABASE_LISTEN_URL
					 : SET_DATABASE_URL);
	int64_t upstream_ms = config_int(c, SET_UPSTREAM_TIMEOUT_MS);
	int64_t database_ms = config_int(c, SET_DATABASE_TIMEOUT_MS);
	const struct cache_options options = {
		.pg = w->pg,
		.listen = postgres_options(c, listen_url),
		.redis = w->redis,
		.prefix = config_string(c, SET_CACHE_PREFIX),
		.version = config_string(c, SET_CACHE_VERSION),
		.user_secret = bytes_of(config_string(c, SET_CACHE_KEY_SECRET)),
		.redis_ttl_max_ms = config_int(c, SET_REDIS_CACHE_TTL_MS),
		.memory_bytes = (size_t)config_int(c, SET_MEMORY_CACHE_BYTES),
		.postgres_bytes = config_int(c, SET_CACHE_MAX_BYTES),
		.near_cache = config_bool(c, SET_NEAR_CACHE),
		.verbose = config_bool(c, SET_CACHE_VERBOSE),
		.lag_limit_ms = config_int(c, SET_LOG_LAG_LIMIT_MS),
		.load_timeout_ms =
			LOAD_MARGIN_MS +
			(upstream_ms > database_ms ? upstream_ms : database_ms),
		.loader_threads = (unsigned)config_int(c, SET_LOADER_THREADS),
		.gauges = add_gateways,
		.gauges_arg = w,
	};

	return (cache_new(&options, &w->cache));
}

static void
stop_cache(struct worker *w)
{
	cache_free(w->cache);
}

static void
stop_apart(struct worker *w)
{
	for (size_t i = APART_NOT + 1; i < APART_COUNT_; i++)
		pool_free(w->services.apart[i]);
	health_free(w->services.health);
}

static enum result
start_apart(struct worker *w)
{
	static const struct pool_options pools[] = {
		[APART_PROBE] = { .name = "probes",
				  .threads = 2,
				  .queue_limit = APART_QUEUE },
		[APART_REPORT] = { .name = "reports",
				   .threads = 4,
				   .queue_limit = APART_QUEUE },
		[APART_WAIT] = { .name = "waits",
				 .threads = 32,
				 .queue_limit = APART_QUEUE },
	};

	w->services.health = health_new(w->cache);
	if (w->services.health == NULL)
		return (R_NO_MEMORY);
	for (size_t i = APART_NOT + 1; i < APART_COUNT_; i++) {
		w->services.apart[i] = pool_new(&pools[i]);
		if (w->services.apart[i] == NULL) {
			stop_apart(w);
			return (R_NO_MEMORY);
		}
	}
	return (R_OK);
}

static enum result
start_routes(struct worker *w)
{
	const struct endpoint *families[POLICIES_MAX];
	unsigned i, n = 0;
	enum result r;

	for (i = 0; i < handlers_count; i++)
		if (config_has_word(w->config, SET_HANDLERS,
				    bytes_of(handlers[i].name)))
			families[n++] = handlers[i].endpoints;
	w->services.config = w->config;
	w->services.pg = w->pg;
	w->services.cache = w->cache;
	r = router_new(families, n, &w->services, &w->router, &w->problem);
	w->services.router = w->router;
	return (r);
}

static void
stop_routes(struct worker *w)
{
	router_free(w->router);
}

static enum result
start_auth(struct worker *w)
{
	return ((w->auth = auth_new(w->pg)) == NULL ? R_NO_MEMORY : R_OK);
}

static void
stop_auth(struct worker *w)
{
	auth_free(w->auth);
}

static enum result
start_server(struct worker *w)
{
	int64_t threads = config_int(w->config, SET_WORKER_THREADS);
	struct server_options options = {
		.listener = w->listener,
		.request_max_bytes =
			(size_t)config_int(w->config, SET_REQUEST_MAX_BYTES),
		.handler = dispatch_request,
		.arg = &w->dispatch,
		.started = library_proceed,
	};

	if (threads == 0)
		threads = sysconf(_SC_NPROCESSORS_ONLN);
	options.threads = threads > 0 ? (unsigned)threads : 1;
	w->dispatch = (struct dispatch){ w->router, w->auth, &w->services };
	return (server_new(&options, &w->server));
}

static void
stop_server(struct worker *w)
{
	server_free(w->server);
}

/* Started from the top, stopped from the bottom. */
static const struct {
	const char *name;
	enum result (*start)(struct worker *w);
	void (*stop)(struct worker *w);
} stages[] = {
	{ "the log", start_log, stop_log },
	{ "the listening socket", start_listening, stop_listening },
	{ "PostgreSQL", start_postgres, stop_postgres },
	{ "Redis", start_redis, stop_redis },
	{ "the gateways", start_gateways, stop_gateways },
	{ "API keys", start_auth, stop_auth },
	{ "the server", NULL, stop_server },
	{ "the routes", NULL, stop_routes },
	{ "the cache", start_cache, stop_cache },
	{ "the threads apart", start_apart, stop_apart },
	{ "the routes", start_routes, NULL },
	{ "the server", start_server, NULL },
};
#define STAGES (sizeof(stages) / sizeof(stages[0]))

static struct server *running;

static void
on_signal(int number)
{
	(void)number;
	server_stop(running);
}

static void
on_end_signals(void (*act)(int number))
{
	struct sigaction action = { .sa_handler = act };

	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

/* As many connections as we are allowed to have. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int
parse_arguments(struct worker *w, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++) {
		if (strcmp(argv[i], "-l") == 0 && i + 1 < argc) {
			w->address = argv[++i];
			continue;
		}
		if (strcmp(argv[i], "-l") == 0)
			fprintf(stderr, "warmfront: -l needs an address: "
					"unix:/path or host:port\n");
		else
			fprintf(stderr,
				"warmfront: unknown argument \"%s\"; accepted: "
				"-l ADDRESS, --help, --version\n",
				argv[i]);
		return (EX_USAGE);
	}
	return (0);
}

static int
exit_status(const struct worker *w, enum result r)
{
	switch (r) {
	case R_OK:
		return (0);
	case R_INVALID:
		return (w->misused ? EX_USAGE : EX_CONFIG);
	case R_NO_MEMORY:
		return (EX_OSERR);
	default:
		return (EX_UNAVAILABLE);
	}
}

int
serve(const struct config *c, int argc, char **argv)
{
	struct worker w = { .config = c };
	int status = parse_arguments(&w, argc, argv);
	enum result r;
	size_t n = 0;

	if (status != 0)
		return (status);
	raise_descriptor_limit();
	library_postpone();
	mem_return_large();
	r = config_require(c, SET_DATABASE_URL, &w.problem);
	if (r == R_OK)
		r = config_require(c, SET_CACHE_KEY_SECRET, &w.problem);
	if (r == R_OK)
		r = policies_check_handlers(c, &w.problem);
	while (r == R_OK && n < STAGES) {
		r = stages[n].start != NULL ? stages[n].start(&w) : R_OK;
		if (r != R_OK && w.problem.len == 0)
			buf_printf(&w.problem, "%s: %s", stages[n].name,
				   result_text(r));
		n += r == R_OK;
	}
	if (r == R_OK) {
		running = w.server;
		on_end_signals(on_signal);
		log_info("serving with version %s", WARMFRONT_VERSION);
		server_run(w.server, DRAIN_MS);
		on_end_signals(SIG_IGN); /* the server goes, and we end */
		if (!cache_stop(w.cache,
				clock_monotonic_ms() + LAST_LOADS_MS)) {
			log_info("leaving loads that nobody waits for");
			_exit(0);
		}
	} else {
		library_proceed();
		fprintf(stderr, "warmfront: %.*s\n",
			BYTES_ARG(buf_bytes(&w.problem)));
	}
	while (n-- > 0)
		if (stages[n].stop != NULL)
			stages[n].stop(&w);
	buf_fini(&w.problem);
	return (exit_status(&w, r));
}
