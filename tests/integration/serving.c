/* SPDX-License-Identifier: MIT */
#include "serving.h"

#include "../harness/fcgi.h"
#include "../harness/scratch.h"
#include "base/lock.h"
#include "base/pool.h"
#include "web/server.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DRAIN_MS 3000
#define PARKED_MAX 4096

struct serving {
	struct server *server;
	struct pool *pool;
	pthread_t thread;
	struct listener listener;
	const char *address;
	atomic_bool ended, holds, let_go;
	atomic_uint answers, released, released_twice;
	struct lock lock;
	struct exchange *parked[PARKED_MAX];
	unsigned parked_first, parked_end;
};

/* What an answer owes. */
struct debt {
	struct serving *serving;
	atomic_uint released;
	size_t size;
	char body[];
};

struct job {
	struct serving *serving;
	struct exchange *x;
};

static void
release(const void *owner)
{
	union {
		const void *in;
		struct debt *out;
	} debt = { .in = owner };
	struct serving *s = debt.out->serving;

	if (atomic_fetch_add(&debt.out->released, 1) > 0)
		atomic_fetch_add(&s->released_twice, 1);
	free(debt.out);
	atomic_fetch_add(&s->released, 1);
}

/* Answer with a copy of `body`, made `size` long. */
static void
answer(struct serving *s, struct exchange *x, struct bytes body, size_t size)
{
	struct debt *debt = malloc(sizeof(*debt) + size);
	char head[64];
	int n = snprintf(head, sizeof(head),
			 "Status: 200 OK\r\nContent-Length: %zu\r\n\r\n", size);

	memset(debt, 0, sizeof(*debt));
	debt->serving = s;
	debt->size = size;
	for (size_t i = body.len; i < size; i++)
		debt->body[i] = (char)('a' + i / 1000 % 26);
	if (body.len > 0)
		memcpy(debt->body, body.at, body.len);
	atomic_fetch_add(&s->answers, 1);
	server_answer(x, &(struct answer){ .head = { head, (size_t)n },
					   .body = { debt->body, size },
					   .release = release,
					   .owner = debt });
	memset(head, '!', sizeof(head));
}

static void
echo(struct serving *s, struct exchange *x)
{
	struct buf text = { 0 };
	const struct request *rq = &x->request;

	buf_printf(&text, "%s %s %.*s", method_name(rq->method),
		   result_text(rq->body_error), BYTES_ARG(rq->body));
	answer(s, x, buf_bytes(&text), text.len);
	buf_fini(&text);
}

static void
answer_query(struct serving *s, struct exchange *x)
{
	answer(s, x, x->request.query, x->request.query.len);
}

static void
answer_job(void *arg)
{
	struct job *job = arg;

	answer_query(job->serving, job->x);
	free(job);
}

static void
hand_to_pool(struct serving *s, struct exchange *x)
{
	struct job *job = malloc(sizeof(*job));

	*job = (struct job){ s, x };
	if (pool_submit(s->pool, answer_job, job) != R_OK) {
		free(job);
		answer(s, x, BYTES("busy"), 4);
	}
}

static void
hold(struct serving *s, struct exchange *x)
{
	atomic_store(&s->holds, true);
	while (!atomic_load(&s->let_go))
		harness_nap();
	answer_query(s, x);
}

static void
park(struct serving *s, struct exchange *x)
{
	lock_take(&s->lock);
	s->parked[s->parked_end++ % PARKED_MAX] = x;
	lock_give(&s->lock);
}

static void
handle(void *arg, struct exchange *x)
{
	struct serving *s = arg;
	struct bytes path = x->request.path;

	if (bytes_equal(path, BYTES("/hit")))
		answer(s, x, BYTES_NONE, 2048);
	else if (bytes_equal(path, BYTES("/big")))
		answer(s, x, BYTES_NONE, SERVING_BIG_BYTES);
	else if (bytes_equal(path, BYTES("/echo")))
		echo(s, x);
	else if (bytes_equal(path, BYTES("/hold")))
		hold(s, x);
	else if (request_keep(&x->request) != R_OK)
		answer(s, x, BYTES("no memory"), 9);
	else if (bytes_equal(path, BYTES("/pool")))
		hand_to_pool(s, x);
	else
		park(s, x);
}

static void *
run(void *arg)
{
	struct serving *s = arg;

	server_run(s->server, DRAIN_MS);
	atomic_store(&s->ended, true);
	return (NULL);
}

/* "127.0.0.1:0" with the port that it became. */
static const char *
bound_address(int fd, const char *address)
{
	struct sockaddr_in in = { 0 };
	socklen_t size = sizeof(in);

	if (getsockname(fd, (struct sockaddr *)&in, &size) != 0 ||
	    in.sin_family != AF_INET)
		return (address);
	return (scratch_printf("127.0.0.1:%u", ntohs(in.sin_port)));
}

struct serving *
serving_start(const char *address, unsigned threads)
{
	struct serving *s = scratch_alloc(sizeof(*s));
	struct buf problem = { 0 };

	if (address == NULL)
		address = scratch_printf("unix:%s/socket",
					 scratch_directory("server"));
	lock_init(&s->lock, LOCK_SERVER);
	s->pool = pool_new(&(struct pool_options){
		.name = "answers", .threads = 2, .queue_limit = 1000 });
	ck_assert_msg(listen_open(address, &s->listener, &problem) == R_OK,
		      "%s", problem.at);
	s->address = bound_address(s->listener.fd, address);
	ck_assert_int_eq(
		server_new(&(struct server_options){ .listener = s->listener,
						     .threads = threads,
						     .request_max_bytes =
							     SERVING_BODY_LIMIT,
						     .handler = handle,
						     .arg = s },
			   &s->server),
		R_OK);
	ck_assert_int_eq(pthread_create(&s->thread, NULL, run, s), 0);
	return (s);
}

const char *
serving_address(const struct serving *s)
{
	return (s->address);
}

unsigned
serving_parked(struct serving *s)
{
	unsigned n;

	lock_take(&s->lock);
	n = s->parked_end - s->parked_first;
	lock_give(&s->lock);
	return (n);
}

void
serving_answer_one(struct serving *s)
{
	struct exchange *x;

	ck_assert_uint_gt(serving_parked(s), 0);
	lock_take(&s->lock);
	x = s->parked[s->parked_first++ % PARKED_MAX];
	lock_give(&s->lock);
	answer_query(s, x);
}

unsigned
serving_answers(struct serving *s)
{
	return (atomic_load(&s->answers));
}

unsigned
serving_released(struct serving *s)
{
	return (atomic_load(&s->released));
}

bool
serving_holds(struct serving *s)
{
	return (atomic_load(&s->holds));
}

void
serving_let_go(struct serving *s)
{
	atomic_store(&s->let_go, true);
}

void
serving_end(struct serving *s)
{
	server_stop(s->server);
}

bool
serving_has_ended(struct serving *s)
{
	return (atomic_load(&s->ended));
}

void
serving_stop(struct serving *s)
{
	server_stop(s->server);
	ck_assert_int_eq(pthread_join(s->thread, NULL), 0);
	while (serving_parked(s) > 0)
		serving_answer_one(s);
	pool_free(s->pool);
	server_free(s->server);
	listen_close(&s->listener);
	lock_fini(&s->lock);
	ck_assert_uint_eq(atomic_load(&s->released_twice), 0);
	ck_assert_uint_eq(serving_released(s), serving_answers(s));
}

int
serving_connect(struct serving *s)
{
	int fd = fcgi_connect(s->address);

	ck_assert_int_ge(fd, 0);
	return (fd);
}

bool
serving_can_connect(const struct serving *s)
{
	int fd = fcgi_connect(s->address);

	if (fd >= 0)
		(void)close(fd);
	return (fd >= 0);
}

void
serving_ask(int fd, const char *uri)
{
	fcgi_send(fd, &(struct fcgi_request){ .uri = uri, .keep = true });
}

void
serving_check_answer(int fd, const char *body)
{
	struct http_response *r = fcgi_receive(fd, SERVING_SOON_MS);

	ck_assert_msg(r->error == NULL, "%s", r->error);
	ck_assert_int_eq(r->status, 200);
	ck_assert_str_eq(r->body, body);
}

void
serving_check_hit(int fd)
{
	struct http_response *r;

	serving_ask(fd, "/hit");
	r = fcgi_receive(fd, SERVING_SOON_MS);
	ck_assert_msg(r->error == NULL, "%s", r->error);
	ck_assert_uint_eq(r->body_len, 2048);
}

void
serving_check_closed(int fd)
{
	char byte;

	ck_assert_int_eq(fcgi_receive_raw(fd, &byte, 1, SERVING_SOON_MS), 0);
	(void)close(fd);
}

void
serving_check_serves(struct serving *s)
{
	int fd = serving_connect(s);

	serving_check_hit(fd);
	(void)close(fd);
}

void
serving_check_big(int fd)
{
	struct http_response *r = fcgi_receive(fd, 6 * SERVING_SOON_MS);

	ck_assert_msg(r->error == NULL, "%s", r->error);
	ck_assert_uint_eq(r->body_len, SERVING_BIG_BYTES);
	for (size_t i = 0; i < r->body_len; i += 499)
		ck_assert_int_eq(r->body[i], 'a' + (char)(i / 1000 % 26));
}

unsigned
serving_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return (n - 3); /* ".", ".." and of this directory */
}
