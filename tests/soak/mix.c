/* SPDX-License-Identifier: MIT */
#include "mix.h"
#include "../harness/random.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define SLOTS 24 /* models of a user, and guests, at most */
#define ID_LEN 36

/* clang-format off */
#define MODEL_BODY \
	"{\"model_id\":\"owner-{u}/{slot}\",\"name\":\"owner-{u} {word}\"," \
	"\"description\":\"{text}\",\"context_length\":{n}," \
	"\"pricing\":{\"prompt\":\"0.000{n}\"}}"
#define GUEST "/api/admin/users/{guest}"

const struct kind mix_kinds[] = {
	{ 170, "GET /api/models", "GET", "/api/models?gateway={gateway}",
	  NULL, NOBODY, "models", NEEDS_UPSTREAM, .ok = { 200 } },
	{ 100, "GET /api/models?owner=me", "GET", "/api/models?owner=me",
	  NULL, USER, "models", NEEDS_POSTGRES, .ok = { 200 } },
	{ 24, "POST /api/models", "POST", "/api/models",
	  MODEL_BODY, USER, NULL, NEEDS_POSTGRES, .ok = { 201, 409 },
	  .teaching = TEACHES_MODEL },
	{ 20, "PUT /api/models/{id}", "PUT", "/api/models/{model}",
	  MODEL_BODY, USER, NULL, NEEDS_POSTGRES, .ok = { 200, 404, 409 } },
	{ 12, "DELETE /api/models/{id}", "DELETE", "/api/models/{model}",
	  NULL, USER, NULL, NEEDS_POSTGRES, .ok = { 200, 404 } },
	{ 3, "POST /api/admin/sync-models", "POST", "/api/admin/sync-models",
	  NULL, ADMIN, NULL, NEEDS_ALL, .ok = { 200 } },
	{ 120, "GET /api/user/data", "GET", "/api/user/data",
	  NULL, USER, "user_data", NEEDS_POSTGRES, .ok = { 200 } },
	{ 24, "PATCH /api/user/data", "PATCH", "/api/user/data",
	  "{\"name\":\"owner-{u} {word}\",\"preferences\":{\"{word}\":{n}}}",
	  USER, NULL, NEEDS_POSTGRES, .ok = { 200 } },
	{ 50, "GET /api/admin/users", "GET",
	  "/api/admin/users?limit={limit}&offset={n}&q={word}",
	  NULL, ADMIN, "admin_users", NEEDS_POSTGRES, .ok = { 200 } },
	{ 10, "GET /api/admin/users", "GET",
	  "/api/admin/users?q=%27%3B%20DROP%20TABLE%20users%3B--",
	  NULL, ADMIN, "admin_users", NEEDS_POSTGRES, .ok = { 200 } },
	{ 12, "POST /api/admin/users", "POST", "/api/admin/users",
	  "{\"email\":\"guest-{slot}@example.org\",\"name\":\"{text}\"}",
	  ADMIN, NULL, NEEDS_POSTGRES, .ok = { 201, 409 },
	  .teaching = TEACHES_GUEST },
	{ 10, "PATCH /api/admin/users/{id}", "PATCH", GUEST,
	  "{\"credits\":{n},\"subscription\":{\"plan\":\"{word}\"}}",
	  ADMIN, NULL, NEEDS_POSTGRES, .ok = { 200, 404 } },
	{ 6, "DELETE /api/admin/users/{id}", "DELETE", GUEST,
	  NULL, ADMIN, NULL, NEEDS_POSTGRES, .ok = { 200, 404 } },
	{ 60, "GET /api/usage/costs", "GET", "/api/usage/costs?group_by={group}",
	  NULL, USER, "usage_costs", NEEDS_POSTGRES, .ok = { 200 } },
	{ 20, "GET /api/usage/costs", "GET",
	  "/api/usage/costs?from=2025-01-{day}&group_by={group}",
	  NULL, USER, "usage_costs", NEEDS_POSTGRES, .ok = { 200 } },
	{ 24, "POST /api/usage", "POST", "/api/usage",
	  "{\"model\":\"owner-{u}/{slot}\",\"server_id\":\"{server}\","
	  "\"input_tokens\":{n},\"output_tokens\":{n},\"cost\":0.00{n},"
	  "\"latency_ms\":{n}}", USER, NULL, NEEDS_POSTGRES, .ok = { 201 } },
	{ 80, "GET /api/servers/status", "GET", "/api/servers/status",
	  NULL, USER, "servers", NEEDS_POSTGRES, .ok = { 200 } },
	{ 20, "PATCH /api/servers/{id}", "PATCH", "/api/servers/{server}",
	  "{\"state\":\"{state}\",\"load\":0.{n}}",
	  USER, NULL, NEEDS_POSTGRES, .ok = { 200 } },
	{ 60, "GET /api/analytics/data", "GET", "/api/analytics/data?range={range}",
	  NULL, USER, "analytics", NEEDS_POSTGRES, .ok = { 200 } },
	{ 20, "GET /api/health/cache", "GET", "/api/health/cache",
	  NULL, NOBODY, NULL, NEEDS_ALL, .ok = { 200 } },
	{ 5, "GET /api/admin/cache/stats", "GET", "/api/admin/cache/stats",
	  NULL, ADMIN, NULL, NEEDS_POSTGRES, .ok = { 200 } },
	{ 5, "GET /api/cache/invalidate", "GET",
	  "/api/cache/invalidate?pattern={glob}&limit={limit}",
	  NULL, ADMIN, NULL, NEEDS_POSTGRES, .ok = { 200 } },
	{ 5, "GET /api/cache/invalidate", "GET", "/api/cache/invalidate?metrics=true",
	  NULL, ADMIN, NULL, NEEDS_POSTGRES, .ok = { 200 } },
	{ 4, "POST /api/cache/invalidate", "POST", "/api/cache/invalidate",
	  "{\"category\":\"{category}\"}",
	  ADMIN, NULL, NEEDS_POSTGRES, .ok = { 200 } },
	{ 4, "POST /api/cache/invalidate", "POST", "/api/cache/invalidate",
	  "{\"pattern\":\"{glob}\",\"soft\":true}",
	  ADMIN, NULL, NEEDS_POSTGRES, .ok = { 200 } },
	{ 6, "POST /api/cache/invalidate", "POST", "/api/cache/invalidate",
	  "{\"event\":\"{event}\",\"userId\":\"{id}\"}",
	  ADMIN, NULL, NEEDS_POSTGRES, .ok = { 200 } },
	{ 6, "POST /api/admin/cache/refresh", "POST", "/api/admin/cache/refresh",
	  "{\"key\":\"{key}\"}", ADMIN, NULL, NEEDS_ALL, .ok = { 200, 404 } },
	{ 5, "GET /api/admin/cache/explain", "GET",
	  "/api/admin/cache/explain?key={key}",
	  NULL, ADMIN, NULL, NEEDS_POSTGRES, .ok = { 200 } },
	{ 2, "GET /cron/cache-warming", "GET", "/cron/cache-warming",
	  NULL, CRON, NULL, NEEDS_NOTHING, .ok = { 200 } },
	{ 2, "POST /cron/cache-warming", "POST", "/cron/cache-warming",
	  NULL, CRON, NULL, NEEDS_NOTHING, .ok = { 200 } },
	{ 5, "GET /metrics", "GET", "/metrics",
	  NULL, CRON, NULL, NEEDS_NOTHING, .ok = { 200 } },
	{ 5, "GET /metrics", "GET", "/metrics",
	  NULL, ADMIN, NULL, NEEDS_POSTGRES, .ok = { 200 } },

	/* What is refused. */
	{ 5, "no such path", "GET", "/api/no/such/path",
	  NULL, NOBODY, NULL, NEEDS_NOTHING, .ok = { 404 } },
	{ 5, "no such method", "POST", "/api/servers/status",
	  "{}", USER, NULL, NEEDS_NOTHING, .ok = { 405 } },
	{ 5, "no key", "GET", "/api/user/data",
	  NULL, NOBODY, NULL, NEEDS_NOTHING, .ok = { 401 } },
	{ 5, "no key", "GET", "/cron/cache-warming",
	  NULL, NOBODY, NULL, NEEDS_NOTHING, .ok = { 401 } },
	{ 5, "forged key", "GET", "/api/user/data",
	  NULL, FORGED, NULL, NEEDS_POSTGRES, .ok = { 401 } },
	{ 5, "not an admin", "GET", "/api/admin/users",
	  NULL, USER, NULL, NEEDS_POSTGRES, .ok = { 403 } },
	{ 5, "bad parameter", "GET", "/api/models?gateway={word}{word}",
	  NULL, NOBODY, NULL, NEEDS_NOTHING, .ok = { 400 } },
	{ 5, "bad parameter", "GET", "/api/analytics/data?range=1y",
	  NULL, USER, NULL, NEEDS_POSTGRES, .ok = { 400 } },
	{ 5, "bad parameter", "PATCH", "/api/servers/{word}",
	  "{\"state\":\"ready\"}", USER, NULL, NEEDS_POSTGRES, .ok = { 400 } },
	{ 5, "bad body", "POST", "/api/models",
	  "{\"model_id\":\"a\",\"name\":", USER, NULL, NEEDS_POSTGRES, .ok = { 400 } },
	{ 5, "bad body", "PATCH", "/api/user/data",
	  "{\"name\":\"\\ud800\",\"credits\":1}",
	  USER, NULL, NEEDS_POSTGRES, .ok = { 400 } },
	{ 5, "not JSON", "POST", "/api/usage", "model=a",
	  USER, NULL, NEEDS_POSTGRES, .ok = { 415 },
	  .content_type = "application/x-www-form-urlencoded" },
	{ 5, "too large a body", "POST", "/api/models",
	  "{\"name\":\"{large}\"}", USER, NULL, NEEDS_POSTGRES, .ok = { 413 } },
};
/* clang-format on */

#define COUNT (sizeof(mix_kinds) / sizeof(mix_kinds[0]))
_Static_assert(COUNT <= MIX_MAX, "room to count them");
const unsigned mix_count = COUNT;

struct mix_user mix_users[MIX_USERS];
char mix_admin[128], mix_cron[128];

/* What clients have made: all zero where there is nothing. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char models[MIX_USERS][SLOTS][ID_LEN + 1];
static char guests[SLOTS][ID_LEN + 1];

/* What a {word} may become, one as likely as the other. */
static const struct list {
	const char *word, *of;
} lists[] = {
	{ "gateway", "all all alpha beta" },
	{ "word", "amber birch cedar dune ember fjord" },
	{ "group", "day model" },
	{ "range", "24h 7d 30d" },
	{ "limit", "5 10 50 200" },
	{ "state", "starting ready draining down" },
	{ "category", "models user admin usage servers analytics all" },
	{ "glob", "models:* user:* *:costs:* servers:* admin:users:* *" },
	{ "event", "models.synced model.updated user.profile.updated "
		   "subscription.changed usage.recorded server.updated "
		   "user.deleted" },
	{ "key", "models:alpha:all models:beta:all models:all:all "
		 "admin:users:50:0: user:@nobody:data no:such:key" },
};

/* A question in the making. */
struct making {
	uint64_t *random;
	struct wish *wish;
};

/* The id in a slot, or one that is nobody's. */
static void
copy_id(char slot[ID_LEN + 1], char to[ID_LEN + 1])
{
	pthread_mutex_lock(&lock);
	memcpy(to, slot, ID_LEN + 1);
	pthread_mutex_unlock(&lock);
	if (to[0] == '\0')
		snprintf(to, ID_LEN + 1,
			 "00000000-0000-4000-8000-000000000000");
}

/* One word of a list, without what follows it. */
static const char *
draw_word(const char *of, uint64_t *random, int *len)
{
	unsigned n = 1, at;

	for (const char *space = of; (space = strchr(space, ' ')); space++)
		n++;
	for (at = random_below(random, n); at > 0; at--)
		of = strchr(of, ' ') + 1;
	*len = (int)strcspn(of, " ");
	return (of);
}

static bool
fill_from_list(const struct making *m, const char *word, size_t len, char *to,
	       size_t max)
{
	const char *drawn;
	int drawn_len;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		if (strlen(lists[i].word) != len ||
		    memcmp(lists[i].word, word, len) != 0)
			continue;
		drawn = draw_word(lists[i].of, m->random, &drawn_len);
		snprintf(to, max, "%.*s", drawn_len, drawn);
		return (true);
	}
	return (false);
}

/* What a word stands for, into `to`. */
static void
fill_in(const struct making *m, const char *word, size_t len, char *to,
	size_t max)
{
	const struct mix_user *user = &mix_users[m->wish->user];
	char id[ID_LEN + 1];

#define IS(name) (len == strlen(name) && memcmp(word, name, len) == 0)
	if (fill_from_list(m, word, len, to, max))
		return;
	if (IS("u"))
		snprintf(to, max, "%u", m->wish->user);
	else if (IS("n"))
		snprintf(to, max, "%u", 1 + random_below(m->random, 60));
	else if (IS("day"))
		snprintf(to, max, "%02u", 1 + random_below(m->random, 28));
	else if (IS("slot"))
		snprintf(to, max, "%u", m->wish->slot);
	else if (IS("id"))
		snprintf(to, max, "%s", user->id);
	else if (IS("server"))
		snprintf(to, max, "%s",
			 user->servers[random_below(m->random, MIX_SERVERS)]);
	else if (IS("text"))
		snprintf(to, max, "%0*u", 1 + (int)random_below(m->random, 150),
			 0);
	else if (IS("large"))
		snprintf(to, max, "%070000u", 0);
	else if (IS("model"))
		copy_id(models[m->wish->user][m->wish->slot], id),
			snprintf(to, max, "%s", id);
	else if (IS("guest"))
		copy_id(guests[m->wish->slot], id), snprintf(to, max, "%s", id);
#undef IS
}

static void
expand(const struct making *m, const char *template, char *to, size_t max)
{
	size_t at = 0;

	for (const char *end; *template != '\0' && at + 1 < max;) {
		end = *template == '{' ? strchr(template, '}') : NULL;
		/* JSON has braces of its own: they do not hold one word. */
		if (end == NULL ||
		    strspn(template + 1, "abcdefghijklmnopqrstuvwxyz") !=
			    (size_t)(end - template - 1) ||
		    end == template + 1) {
			to[at++] = *template ++;
			continue;
		}
		to[at] = '\0';
		fill_in(m, template + 1, (size_t)(end - template - 1), to + at,
			max - at);
		at += strlen(to + at);
		template = end + 1;
	}
	to[at] = '\0';
}

static const struct kind *
draw_kind(uint64_t *random)
{
	unsigned all = 0, at;

	for (unsigned i = 0; i < mix_count; i++)
		all += mix_kinds[i].weight;
	at = random_below(random, all);
	for (const struct kind *k = mix_kinds;; k++) {
		if (at < k->weight)
			return (k);
		at -= k->weight;
	}
}

void
mix_draw(uint64_t *random, struct wish *w)
{
	const struct making m = { random, w };
	const struct kind *k = draw_kind(random);

	w->kind = k;
	w->user = random_below(random, MIX_USERS);
	w->slot = random_below(random, SLOTS);
	w->login = k->login == USER    ? mix_users[w->user].login
		   : k->login == ADMIN ? mix_admin
		   : k->login == CRON  ? mix_cron
		   : k->login == FORGED
			   ? "X-API-Key: wf_0123456789abcdef_0123456789abcdef"
			     "0123456789abcdef0123456789abcdef0123456789abcdef"
			   : NULL;
	expand(&m, k->path, w->path, sizeof(w->path));
	w->body[0] = '\0';
	if (k->body != NULL)
		expand(&m, k->body, w->body, sizeof(w->body));
}

void
mix_learn(const struct wish *w, const char *body)
{
	static const char before[] = "\"id\"";
	const char *at = strstr(body, before);
	char *slot = w->kind->teaching == TEACHES_MODEL
			     ? models[w->user][w->slot]
			     : guests[w->slot];

	if (w->kind->teaching == TEACHES_NOTHING || at == NULL)
		return;
	at += strlen(before);
	at += strspn(at, " :\"");
	if (strspn(at, "0123456789abcdef-") != ID_LEN)
		return;
	pthread_mutex_lock(&lock);
	snprintf(slot, ID_LEN + 1, "%.*s", ID_LEN, at);
	pthread_mutex_unlock(&lock);
}
