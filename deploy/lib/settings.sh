# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2015 # `a && b || fail` means: fail if either does
# shellcheck disable=SC2154 # names of the script that reads this
#
# settings: what the workers are given (`setting`, by variable) and what else is
# known of a running quickstart (`fact`); kept in .run/settings for respawn, and
# told to people in .run/env.

declare -A setting fact

random_hex() {
	od -An -N 16 -t x1 /dev/urandom | tr -d ' \n'
}

# In single quotes for any POSIX shell.
quoted() {
	printf "'%s'" "${1//\'/\'\\\'\'}"
}

# The variables in our environment that a worker reads.
worker_variables() {
	local names
	names=$(sed -n 's/^SETTING(\([A-Z0-9_]*\),.*/\1/p' "$top/src/base/settings.def" |
		paste -s -d '|')
	compgen -e | grep -E -x -e "$names" -e '[A-Z_]+_(TTL|REFRESH|GRACE)_MS' \
		-e 'GATEWAY_[A-Z0-9_]+_API_KEY' -e '[A-Z]+SAN_OPTIONS'
}

# A shell that has read .run/env has our own values, maybe of an earlier run: those
# are not the caller's wishes.
drop_own_values() {
	local name own
	for name in DATABASE_URL REDIS_URL UPSTREAM_LOG WARMFRONT_URL; do
		own=QUICKSTART_OWN_$name
		[ "${!name:-}" != "${!own:-}" ] || unset "$name"
	done
}

take_callers_settings() {
	local name
	drop_own_values
	for name in $(worker_variables); do
		setting[$name]=${!name}
	done
	fact[workers]=${QUICKSTART_WORKERS:-${fact[workers]:-2}}
	[[ ${fact[workers]} =~ ^[1-9][0-9]{0,2}$ ]] ||
		fail "QUICKSTART_WORKERS is ${fact[workers]}; a number from 1 to 999 is accepted"
}

collect_settings() {
	take_callers_settings
	[[ ${QUICKSTART_PORT:-1} =~ ^[1-9][0-9]{0,4}$ ]] ||
		fail "QUICKSTART_PORT is $QUICKSTART_PORT; a port from 1 to 65535 is accepted"
	: "${setting[CACHE_KEY_SECRET]:=$(random_hex)}"
	: "${setting[CRON_SECRET]:=$(random_hex)}"
}

recall_settings() {
	# shellcheck source=/dev/null
	. "$run/settings" || fail "cannot read $run/settings"
	take_callers_settings
}

with_settings() { # COMMAND...; an OWNER_URL goes in the place of the worker's
	(
		for name in "${!setting[@]}"; do
			export "$name=${setting[$name]}"
		done
		[ -z "${OWNER_URL:-}" ] || export DATABASE_URL=$OWNER_URL
		# The demo upstream is never behind a proxy.
		export no_proxy="127.0.0.1${no_proxy:+,$no_proxy}"
		"$@"
	)
}

noted_url() {
	# shellcheck source=/dev/null
	(. "$run/env" && printf '%s' "$WARMFRONT_URL")
}

remember_settings() {
	local name
	(
		umask 077
		exec >"$run/settings"
		for name in "${!setting[@]}"; do
			printf 'setting[%s]=%q\n' "$name" "${setting[$name]}"
		done
		for name in "${!fact[@]}"; do
			printf 'fact[%s]=%q\n' "$name" "${fact[$name]}"
		done
	) || fail "cannot write $run/settings"
}

write_env() {
	local name value
	(
		umask 077
		while IFS='=' read -r name value; do
			printf 'export %s=%s\n' "$name" "$(quoted "$value")"
		done >"$run/env.new" <<END
WARMFRONT_URL=${fact[url]}
WARMFRONT_ADMIN_KEY=${fact[admin_key]}
WARMFRONT_USER_KEY=${fact[user_key]}
WARMFRONT_BIN=$state/bin/warmfront
CRON_SECRET=${setting[CRON_SECRET]}
DATABASE_URL=${fact[owner_url]}
REDIS_URL=${setting[REDIS_URL]:-${setting[UPSTASH_REDIS_URL]:-}}
UPSTREAM_LOG=${fact[upstream_log]}
WORKER_SOCKET=$state/worker.sock
WORKER_PIDS=$(pids_of worker)
REDIS_PID=$(pids_of redis)
POSTGRES_PID=$(pids_of postgres)
NGINX_PID=$(pids_of nginx)
UPSTREAM_PID=$(pids_of upstream)
QUICKSTART_OWN_DATABASE_URL=${fact[owner_url]}
QUICKSTART_OWN_REDIS_URL=${setting[REDIS_URL]:-}
QUICKSTART_OWN_UPSTREAM_LOG=${fact[upstream_log]}
END
	) && mv "$run/env.new" "$run/env" ||
		fail "cannot write $run/env"
	# With sudo: it is for who owns the checkout.
	[ "$(id -u)" != 0 ] || chown --reference="$top" "$run" "$run/env"
}
