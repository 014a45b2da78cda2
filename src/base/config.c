/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "alloc.h"
#include "config_row.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct config_row rows[SETTINGS_COUNT_] = {
#define SETTING(id, type, initial, minimum, maximum, help) \
	[SET_##id] = { #id, CONFIG_##type, initial, minimum, maximum, help },
#include "settings.def"
#undef SETTING
};

struct gateway_key {
	struct bytes name; /* in the text of MODELS_GATEWAYS */
	char *key;
};

struct config {
	struct {
		char *text;
		int64_t number;
		bool is_set;
	} values[SETTINGS_COUNT_];
	struct config_policy *policies;
	size_t policy_count;
	struct gateway_key *keys;
	size_t key_count;
	char *redis_url;
};

static enum result
complain(const struct config_row *row, struct bytes culprit,
	 struct buf *problem)
{
	config_row_complain(row, culprit, problem);
	return (buf_error(problem) == R_OK ? R_INVALID : buf_error(problem));
}

static enum result
read_setting(struct config *c, enum setting s, struct buf *problem)
{
	const struct config_row *row = &rows[s];
	struct bytes value = bytes_of(getenv(row->name)), culprit;

	if (value.len > 0) {
		if (config_row_parse(row, value, &c->values[s].number,
				     &culprit) != R_OK)
			return (complain(row, culprit, problem));
		c->values[s].is_set = true;
	} else {
		value = config_row_default(row);
		if (value.len > 0 &&
		    config_row_parse(row, value, &c->values[s].number,
				     &culprit) != R_OK)
			return (complain(row, culprit, problem));
	}
	c->values[s].text = mem_string(value);
	return (c->values[s].text != NULL ? R_OK : R_NO_MEMORY);
}

/* "user-data", "_CACHE_TTL_MS": USER_DATA_CACHE_TTL_MS */
static void
add_variable(struct buf *name, struct bytes stem, const char *suffix)
{
	for (size_t i = 0; i < stem.len; i++) {
		char c = stem.at[i];

		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		buf_char(name, c == '-' ? '_' : c);
	}
	buf_str(name, suffix);
}

/* Read one of a policy's numbers into `*value`, which keeps its default if
 * unset. */
static enum result
read_policy_number(const char *category, const char *suffix, int64_t *value,
		   bool *is_set, struct buf *problem)
{
	struct buf name = { 0 };
	struct config_row row = { .type = CONFIG_MS,
				  .maximum = CONFIG_POLICY_MAX_MS };
	struct bytes text, culprit;
	enum result r;

	add_variable(&name, bytes_of(category), suffix);
	r = buf_error(&name);
	if (r != R_OK)
		goto out;
	text = bytes_of(getenv(name.at));
	*is_set = text.len > 0;
	row.name = name.at;
	if (*is_set && config_row_parse(&row, text, value, &culprit) != R_OK)
		r = complain(&row, culprit, problem);
out:
	buf_fini(&name);
	return (r);
}

static enum result
complain_of_refresh(const struct config_policy *p, struct buf *problem)
{
	struct bytes category = bytes_of(p->category);

	add_variable(problem, category, "_CACHE_REFRESH_MS");
	buf_printf(problem, " is %" PRId64 ", more than ", p->refresh_ms);
	add_variable(problem, category, "_CACHE_TTL_MS");
	buf_printf(problem, ", which is %" PRId64 "; accepted is at most that",
		   p->ttl_ms);
	return (buf_error(problem) == R_OK ? R_INVALID : buf_error(problem));
}

static enum result
read_policy(const struct config_policy *given, struct config_policy *p,
	    struct buf *problem)
{
	bool ttl_set = false, refresh_set = false, grace_set = false;
	enum result r;

	*p = *given;
	r = read_policy_number(p->category, "_CACHE_TTL_MS", &p->ttl_ms,
			       &ttl_set, problem);
	if (r == R_OK)
		r = read_policy_number(p->category, "_CACHE_REFRESH_MS",
				       &p->refresh_ms, &refresh_set, problem);
	if (r == R_OK)
		r = read_policy_number(p->category, "_CACHE_GRACE_MS",
				       &p->grace_ms, &grace_set, problem);
	if (r != R_OK)
		return (r);
	if (p->ttl_ms == 0)
		p->refresh_ms = p->grace_ms = 0;
	else if (!refresh_set && p->ttl_ms < given->ttl_ms)
		p->refresh_ms = given->refresh_ms * p->ttl_ms / given->ttl_ms;
	if (p->refresh_ms > p->ttl_ms)
		return (complain_of_refresh(p, problem));
	return (R_OK);
}

static enum result
read_policies(struct config *c, const struct config_policy *given,
	      struct buf *problem)
{
	size_t count = 0;
	enum result r;

	while (given != NULL && given[count].category != NULL)
		count++;
	c->policies = mem_alloc(count * sizeof(*c->policies));
	if (c->policies == NULL)
		return (R_NO_MEMORY);
	for (; c->policy_count < count; c->policy_count++) {
		r = read_policy(&given[c->policy_count],
				&c->policies[c->policy_count], problem);
		if (r != R_OK)
			return (r);
	}
	return (R_OK);
}

static enum result
read_key(struct gateway_key *k, struct buf *problem)
{
	struct buf name = { 0 };
	struct config_row row = { .type = CONFIG_SECRET, .maximum = 4096 };
	struct bytes text, culprit;
	int64_t unused;
	enum result r;

	buf_str(&name, "GATEWAY_");
	add_variable(&name, k->name, "_API_KEY");
	r = buf_error(&name);
	if (r != R_OK)
		goto out;
	text = bytes_of(getenv(name.at));
	if (text.len == 0)
		goto out;
	row.name = name.at;
	if (config_row_parse(&row, text, &unused, &culprit) != R_OK) {
		r = complain(&row, culprit, problem);
		goto out;
	}
	k->key = mem_string(text);
	if (k->key == NULL)
		r = R_NO_MEMORY;
out:
	buf_fini(&name);
	return (r);
}

static enum result
read_keys(struct config *c, struct buf *problem)
{
	struct bytes rest = { 0 }, name, url;
	size_t count = 0;
	enum result r;

	while (config_next_gateway(c, &rest, &name, &url))
		count++;
	c->keys = mem_alloc(count * sizeof(*c->keys));
	if (c->keys == NULL)
		return (R_NO_MEMORY);
	rest = (struct bytes){ 0 };
	while (config_next_gateway(c, &rest, &name, &url)) {
		c->keys[c->key_count].name = name;
		r = read_key(&c->keys[c->key_count++], problem);
		if (r != R_OK)
			return (r);
	}
	return (R_OK);
}

static enum result
make_redis_url(struct config *c)
{
	struct buf url = { 0 };
	struct bytes host = bytes_of(config_string(c, SET_REDIS_HOST));
	bool is_ipv6 = bytes_find(host, ':') >= 0;

	if (config_bool(c, SET_DISABLE_REDIS_CACHE))
		return (R_OK);
	if (config_is_set(c, SET_REDIS_URL)) {
		buf_str(&url, config_string(c, SET_REDIS_URL));
	} else if (config_is_set(c, SET_UPSTASH_REDIS_URL)) {
		buf_str(&url, config_string(c, SET_UPSTASH_REDIS_URL));
	} else {
		buf_str(&url, "redis://");
		if (config_is_set(c, SET_REDIS_PASSWORD)) {
			buf_char(&url, ':');
			buf_percent(&url, bytes_of(config_string(
						  c, SET_REDIS_PASSWORD)));
			buf_char(&url, '@');
		}
		buf_str(&url, is_ipv6 ? "[" : "");
		buf_add(&url, host);
		buf_str(&url, is_ipv6 ? "]:" : ":");
		buf_int(&url, config_int(c, SET_REDIS_PORT));
		buf_char(&url, '/');
		buf_int(&url, config_int(c, SET_REDIS_DB));
	}
	if (buf_error(&url) != R_OK) {
		buf_fini(&url);
		return (R_NO_MEMORY);
	}
	c->redis_url = url.at;
	return (R_OK);
}

enum result
config_read(const struct config_policy *policies, struct config **out,
	    struct buf *problem)
{
	struct config *c = mem_alloc(sizeof(*c));
	enum result r = R_OK;

	if (c == NULL)
		return (R_NO_MEMORY);
	for (int s = 0; s < SETTINGS_COUNT_ && r == R_OK; s++)
		r = read_setting(c, (enum setting)s, problem);
	if (r == R_OK)
		r = read_policies(c, policies, problem);
	if (r == R_OK)
		r = read_keys(c, problem);
	if (r == R_OK)
		r = make_redis_url(c);
	if (r == R_OK)
		*out = c;
	else
		config_free(c);
	return (r);
}

void
config_free(struct config *c)
{
	if (c == NULL)
		return;
	for (int s = 0; s < SETTINGS_COUNT_; s++)
		free(c->values[s].text);
	for (size_t i = 0; i < c->key_count; i++)
		free(c->keys[i].key);
	free(c->keys);
	free(c->policies);
	free(c->redis_url);
	free(c);
}

const char *
config_string(const struct config *c, enum setting s)
{
	assert(s < SETTINGS_COUNT_);
	return (c->values[s].text);
}

int64_t
config_int(const struct config *c, enum setting s)
{
	assert(rows[s].type == CONFIG_INT || rows[s].type == CONFIG_MS ||
	       rows[s].type == CONFIG_BYTES);
	return (c->values[s].number);
}

bool
config_bool(const struct config *c, enum setting s)
{
	assert(rows[s].type == CONFIG_BOOL);
	return (c->values[s].number != 0);
}

bool
config_is_set(const struct config *c, enum setting s)
{
	return (c->values[s].is_set);
}

enum result
config_require(const struct config *c, enum setting s, struct buf *problem)
{
	if (config_is_set(c, s))
		return (R_OK);
	buf_printf(problem, "%s is not set: %s", rows[s].name, rows[s].help);
	return (buf_error(problem) == R_OK ? R_INVALID : buf_error(problem));
}

bool
config_has_word(const struct config *c, enum setting s, struct bytes word)
{
	struct bytes rest = bytes_of(config_string(c, s)), next;

	while (rest.len > 0) {
		next = bytes_trim(bytes_cut(&rest, ','));
		if (bytes_equal(next, word) || bytes_equal(next, BYTES("all")))
			return (true);
	}
	return (false);
}

enum result
config_policy(const struct config *c, const char *category,
	      struct config_policy *out)
{
	for (size_t i = 0; i < c->policy_count; i++)
		if (strcmp(c->policies[i].category, category) == 0) {
			*out = c->policies[i];
			return (R_OK);
		}
	return (R_NOT_FOUND);
}

bool
config_next_gateway(const struct config *c, struct bytes *rest,
		    struct bytes *name, struct bytes *url)
{
	struct bytes item;

	if (rest->at == NULL)
		*rest = bytes_of(config_string(c, SET_MODELS_GATEWAYS));
	return (config_row_next_gateway(rest, &item, name, url));
}

const char *
config_gateway_key(const struct config *c, struct bytes gateway)
{
	for (size_t i = 0; i < c->key_count; i++)
		if (bytes_equal(c->keys[i].name, gateway))
			return (c->keys[i].key);
	return (NULL);
}

const char *
config_redis_url(const struct config *c)
{
	return (c->redis_url);
}
