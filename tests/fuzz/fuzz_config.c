/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "base/config_row.h"
#include "policies.h"
#include "store/redis_url.h"
#include "web/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/*
 * fuzz_config: lines NAME=VALUE are the environment, "@listen=ADDRESS" is an address
 * to listen on, "@redis=URL" is taken apart.  What is accepted is within its bounds and can
 * be used; what is refused, is with one line, in which there is no secret: PASSWORD ends
 * the values of all secrets, and ":PASSWORD@" in a URL is one.
 *
 * Nothing is opened: socket(2) and getaddrinfo(3) are ours here.
 */
#define PASSWORD "hunter2"
#define VARIABLES_MAX 64

extern char **environ;

static const struct config_row rows[SETTINGS_COUNT_] = {
#define SETTING(id, type, initial, minimum, maximum, help) \
	[SET_##id] = { #id, CONFIG_##type, initial, minimum, maximum, help },
#include "base/settings.def"
#undef SETTING
};

static struct {
	char *variables[VARIABLES_MAX + 1];
	unsigned count;
	bool is_plain; /* PASSWORD stands where it may be shown */
} input;

/* ---- the network */

int
socket(int domain, int type, int protocol)
{
	(void)domain;
	(void)type;
	(void)protocol;
	errno = EAFNOSUPPORT;
	return (-1);
}

int
getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
	    struct addrinfo **list)
{
	static struct addrinfo none;
	int64_t number;

	(void)hints;
	FUZZ_MUST(host == NULL || host[0] != '\0');
	FUZZ_MUST(bytes_to_int64(bytes_of(port), &number) && number >= 0 &&
		  number <= 65535);
	*list = &none;
	return (0);
}

void
freeaddrinfo(struct addrinfo *list)
{
	(void)list;
}

/* ---- what is accepted */

static void
check_numbers(const struct config *c)
{
	for (int s = 0; s < SETTINGS_COUNT_; s++) {
		const struct config_row *row = &rows[s];
		int64_t number;

		FUZZ_MUST(config_string(c, (enum setting)s) != NULL);
		if (row->type != CONFIG_INT && row->type != CONFIG_MS &&
		    row->type != CONFIG_BYTES)
			continue;
		number = config_int(c, (enum setting)s);
		FUZZ_MUST(number >= row->minimum && number <= row->maximum);
	}
}

static void
check_policies(const struct config *c, const struct config_policy *given)
{
	struct config_policy p;

	for (; given->category != NULL; given++) {
		FUZZ_MUST(config_policy(c, given->category, &p) == R_OK);
		FUZZ_MUST(p.ttl_ms >= 0 && p.ttl_ms <= CONFIG_POLICY_MAX_MS);
		FUZZ_MUST(p.refresh_ms >= 0 && p.refresh_ms <= p.ttl_ms);
		FUZZ_MUST(p.grace_ms >= 0 &&
			  p.grace_ms <= CONFIG_POLICY_MAX_MS);
	}
}

static void
check_gateways(const struct config *c)
{
	struct bytes rest = { 0 }, name, url;

	while (config_next_gateway(c, &rest, &name, &url)) {
		FUZZ_MUST(name.len > 0 && name.len <= 32);
		for (size_t i = 0; i < name.len; i++)
			FUZZ_MUST(strchr("abcdefghijklmnopqrstuvwxyz"
					 "0123456789_-",
					 name.at[i]) != NULL);
		FUZZ_MUST(bytes_starts(url, BYTES("http://")) ||
			  bytes_starts(url, BYTES("https://")));
		(void)config_gateway_key(c, name);
	}
}

/* Made of the parts, the URL leads back to them. */
static void
check_parts(const struct config *c, const struct redis_url *u)
{
	const char *password = config_string(c, SET_REDIS_PASSWORD);

	FUZZ_MUST(!u->tls && u->path == NULL && u->user == NULL);
	FUZZ_MUST(strcmp(u->host, config_string(c, SET_REDIS_HOST)) == 0);
	FUZZ_MUST(atoi(u->port) == config_int(c, SET_REDIS_PORT));
	FUZZ_MUST(u->db == config_int(c, SET_REDIS_DB));
	FUZZ_MUST(strcmp(u->password != NULL ? u->password : "", password) ==
		  0);
}

static void
check_url(const struct redis_url *u)
{
	int64_t port;

	FUZZ_MUST(u->shown != NULL);
	if (u->path != NULL) {
		FUZZ_MUST(u->host == NULL && u->path[0] == '/');
		return;
	}
	FUZZ_MUST(u->host != NULL && u->host[0] != '\0');
	FUZZ_MUST(bytes_to_int64(bytes_of(u->port), &port) && port > 0 &&
		  port <= 65535);
	FUZZ_MUST(strchr(u->host, '@') != NULL ||
		  strchr(u->shown, '@') == NULL);
}

static void
check_redis(const struct config *c)
{
	const char *text = config_redis_url(c);
	bool is_given = config_is_set(c, SET_REDIS_URL) ||
			config_is_set(c, SET_UPSTASH_REDIS_URL);
	struct redis_url u;
	enum result r;

	FUZZ_MUST((text == NULL) == config_bool(c, SET_DISABLE_REDIS_CACHE));
	if (text == NULL)
		return;
	r = redis_url_parse(text, &u);
	FUZZ_MUST(r == R_OK || (r == R_INVALID && is_given));
	if (r != R_OK)
		return;
	check_url(&u);
	if (!is_given)
		check_parts(c, &u);
	redis_url_fini(&u);
}

/* ---- what is refused */

static void
check_problem(const struct buf *problem)
{
	FUZZ_MUST(problem->len > 0 && problem->len < 1000);
	for (size_t i = 0; i < problem->len; i++)
		FUZZ_MUST((unsigned char)problem->at[i] >= 0x20);
	FUZZ_MUST(input.is_plain || strstr(problem->at, PASSWORD) == NULL);
}

/* ---- one input */

static enum config_type
type_of(struct bytes name)
{
	for (int s = 0; s < SETTINGS_COUNT_; s++)
		if (bytes_equal(bytes_of(rows[s].name), name))
			return (rows[s].type);
	if (bytes_starts(name, BYTES("GATEWAY_")) &&
	    bytes_ends(name, BYTES("_API_KEY")))
		return (CONFIG_SECRET);
	return (CONFIG_STRING);
}

/* Is PASSWORD, wherever it is in this URL, a password? */
static bool
hides_password(const char *url)
{
	const char *at = url;

	while ((at = strstr(at, PASSWORD)) != NULL) {
		if (at == url || at[-1] != ':' || at[strlen(PASSWORD)] != '@')
			return (false);
		at += strlen(PASSWORD);
	}
	return (true);
}

static void
add_variable(struct bytes name, struct bytes value)
{
	enum config_type type = type_of(name);
	struct buf line = { 0 };

	if (input.count == VARIABLES_MAX || name.len == 0)
		return;
	buf_add(&line, name);
	buf_char(&line, '=');
	buf_add(&line, value);
	if (type == CONFIG_SECRET)
		buf_str(&line, PASSWORD);
	FUZZ_MUST(buf_error(&line) == R_OK);
	if (type != CONFIG_SECRET &&
	    !((type == CONFIG_POSTGRES || type == CONFIG_REDIS ||
	       type == CONFIG_GATEWAYS) &&
	      hides_password(line.at + name.len + 1)) &&
	    strstr(line.at, PASSWORD) != NULL)
		input.is_plain = true;
	input.variables[input.count++] = line.at;
}

static void
try_listen(const char *address)
{
	struct buf problem = { 0 };
	struct listener listener = { .fd = -1 };

	FUZZ_MUST(listen_open(address, &listener, &problem) != R_OK &&
		  listener.fd == -1);
	FUZZ_MUST(problem.len > 0);
	buf_fini(&problem);
}

static void
try_redis(const char *text)
{
	struct redis_url u;

	if (redis_url_parse(text, &u) != R_OK)
		return;
	check_url(&u);
	redis_url_fini(&u);
}

static void
read_line(struct bytes line)
{
	struct bytes name = bytes_cut(&line, '=');
	char *value = malloc(line.len + 1);

	FUZZ_MUST(value != NULL);
	if (line.len > 0)
		memcpy(value, line.at, line.len);
	value[line.len] = '\0';
	if (bytes_equal(name, BYTES("@listen")))
		try_listen(value);
	else if (bytes_equal(name, BYTES("@redis")))
		try_redis(value);
	else
		add_variable(name, line);
	free(value);
}

static void
try_environment(void)
{
	static struct config_policy policies[POLICIES_MAX];
	struct config *c = NULL;
	struct buf problem = { 0 };
	char **before = environ;
	enum result r;

	if (policies[0].category == NULL)
		policies_collect(policies);
	input.variables[input.count] = NULL;
	environ = input.variables;
	r = config_read(policies, &c, &problem);
	environ = before;
	FUZZ_MUST(r == R_OK || r == R_INVALID);
	if (r == R_OK) {
		check_numbers(c);
		check_policies(c, policies);
		check_gateways(c);
		check_redis(c);
	} else {
		check_problem(&problem);
	}
	config_free(c);
	buf_fini(&problem);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = { (const char *)data, size };

	input.count = 0;
	input.is_plain = false;
	while (rest.len > 0)
		read_line(bytes_cut(&rest, '\n'));
	try_environment();
	while (input.count > 0)
		free(input.variables[--input.count]);
	return (0);
}
