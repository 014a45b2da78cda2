/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_H_WARMFRONT
#define CONFIG_H_WARMFRONT

#include "buf.h"
#include "bytes.h"
#include "result.h"

#include <stdio.h>

/*
 * config: the settings, read once from the environment.  settings.def is the one
 * table of them: name, type, default, bounds, help.  `--help`, `check` and the
 * README's table come from it.  Immutable after config_read(); any thread.
 */
enum setting {
#define SETTING(id, ...) SET_##id,
#include "settings.def"
#undef SETTING
	SETTINGS_COUNT_
};

struct config;

/* How long a category's answers may be used; the environment overrides a
 * handler's own numbers through {CATEGORY}_CACHE_TTL_MS, _REFRESH_MS,
 * _GRACE_MS. */
#define CONFIG_POLICY_MAX_MS ((int64_t)31 * 24 * 3600 * 1000)
struct config_policy {
	const char *
		category; /* "user_data"; its variables begin "USER_DATA_CACHE_" */
	int64_t ttl_ms, refresh_ms, grace_ms; /* defaults */
};

/* Read all settings from the environment; an empty variable counts as unset.
 * On a bad value `problem` gets one line that names the variable, what it
 * held (never a secret) and what is accepted; R_INVALID. A TTL shortened
 * below a handler's own shortens the handler's refresh in proportion, unless
 * that is set as well; with a TTL of 0 the others do not count. `policies`
 * ends with a NULL category and must outlive the config. */
MUST_USE enum result config_read(const struct config_policy *policies,
				 struct config **out, struct buf *problem);
void config_free(struct config *c);

const char *config_string(const struct config *c,
			  enum setting s);		    /* "" if unset */
int64_t config_int(const struct config *c, enum setting s); /* int, ms, bytes */
bool config_bool(const struct config *c, enum setting s);
bool config_is_set(const struct config *c, enum setting s);

/* R_INVALID, and a line in `problem`, when a command's setting is missing. */
MUST_USE enum result config_require(const struct config *c, enum setting s,
				    struct buf *problem);

/* A comma-separated setting contains `word` (or is "all"). */
bool config_has_word(const struct config *c, enum setting s, struct bytes word);

/* The numbers in force for a category. R_NOT_FOUND: not one of those given
 * at the start. */
MUST_USE enum result config_policy(const struct config *c, const char *category,
				   struct config_policy *out);

/* Walk MODELS_GATEWAYS; start with an all-zero `*rest`; false at the end. */
bool config_next_gateway(const struct config *c, struct bytes *rest,
			 struct bytes *name, struct bytes *url);

/* GATEWAY_<NAME>_API_KEY of a gateway in MODELS_GATEWAYS (its name upper-
 * cased, '-' as '_'); NULL if unset. */
const char *config_gateway_key(const struct config *c, struct bytes gateway);

/* The REDIS_URL in force, put together from REDIS_URL, UPSTASH_REDIS_URL or
 * REDIS_HOST...; NULL when DISABLE_REDIS_CACHE is set. */
const char *config_redis_url(const struct config *c);

/* The table for people: for --help (plain) and for the README (Markdown). */
enum config_table { CONFIG_TABLE_PLAIN, CONFIG_TABLE_MARKDOWN };
void config_print_table(FILE *to, enum config_table form,
			const struct config_policy *policies);

#endif
