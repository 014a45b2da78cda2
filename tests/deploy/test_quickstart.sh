#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_quickstart BUILD-DIRECTORY: deploy/quickstart, run for real from copies of the
# tree, with binaries that have been built.
# shellcheck disable=SC2015 # `a && b || fail` means: fail if either does
set -u -o pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/deploy/lib.sh
. "$top/tests/deploy/lib.sh"

first=$scratch/first
checkout "$first"

says() { # FILE PATTERN
	grep -q -E -e "$2" "$1" || { cat "$1"; return 1; }
}

load_env() {
	unset "${!WORKER_@}"
	# shellcheck source=/dev/null
	. "$1/.run/env"
}

x_cache() { # PATTERN
	local got
	got=$(get "$WARMFRONT_URL/api/models?gateway=openrouter" | sed -n 's/^x-cache: //Ip')
	[[ $got =~ ^($1)$ ]] || { echo "X-Cache: $got"; return 1; }
}

upstream_requests() {
	wc -l <"$UPSTREAM_LOG"
}

all_alive() {
	local pid
	for pid in "$@"; do
		[ -e "/proc/$pid" ] || { echo "$pid is gone"; return 1; }
	done
}

# A zombie that nobody has waited for has ended too.
all_gone() {
	local pid
	for pid in "$@"; do
		[ ! -e "/proc/$pid" ] || grep -q '^State:.Z' "/proc/$pid/status" || {
			echo "$pid is there"
			return 1
		}
	done
}

env_is_complete() {
	local name
	for name in WARMFRONT_URL WARMFRONT_ADMIN_KEY WARMFRONT_USER_KEY WARMFRONT_BIN \
		CRON_SECRET DATABASE_URL REDIS_URL UPSTREAM_LOG WORKER_SOCKET \
		WORKER_PIDS REDIS_PID POSTGRES_PID NGINX_PID; do
		sh -c ". '$first/.run/env'; [ -n \"\$$name\" ]; exit \$?" ||
			{ echo "$name is empty"; return 1; }
	done
	# shellcheck disable=SC2086
	all_alive $WORKER_PIDS $REDIS_PID $POSTGRES_PID $NGINX_PID
}

stays_private() {
	[ "$(stat -c %a "$first/.run/env")" = 600 ] &&
		[ "$(stat -c %a "$first/.run/settings")" = 600 ]
}

worker_env() { # NAME
	tr '\0' '\n' <"/proc/${WORKER_PIDS%% *}/environ" | sed -n "s/^$1=//p"
}

least_privilege() {
	local user
	user=$(psql -X -A -t "$(worker_env DATABASE_URL)" -c 'SELECT current_user') || return
	[ "$user" = warmfront ] || { echo "the worker's role is $user"; return 1; }
	! psql -X "$(worker_env DATABASE_URL)" -c 'DROP TABLE users' || return
	[ "$(id -u)" != 0 ] || [ "$(stat -c %U "/proc/${WORKER_PIDS%% *}")" != root ]
}

keys_work() {
	get "$WARMFRONT_URL/api/models?owner=me" -H "Authorization: Bearer $WARMFRONT_USER_KEY" |
		head -n 1 | grep -q ' 200 ' &&
		get "$WARMFRONT_URL/api/models?owner=me" | head -n 1 | grep -q ' 401 '
}

cold_start() { # NAME=VALUE...
	local before old=$WORKER_PIDS
	before=$(upstream_requests)
	redis-cli -u "$REDIS_URL" flushall || return
	env "$@" "$first/deploy/quickstart" respawn || return
	load_env "$first"
	# shellcheck disable=SC2086
	all_gone $old && all_alive $WORKER_PIDS && x_cache HIT || return
	[ "$(upstream_requests)" = "$before" ] ||
		{ echo "the upstream was asked"; return 1; }
}

respawn_remembers() {
	cold_start "$1" && [ "$(worker_env "${1%%=*}")" = "${1#*=}" ] || return
	"$first/deploy/quickstart" respawn && load_env "$first" || return
	[ -z "$(worker_env "${1%%=*}")" ]
}

check "start ends well" "$first/deploy/quickstart"
cp "$scratch/out" "$scratch/start"
check "start shows a MISS of 2 to 4 seconds" says "$scratch/start" ' 200 +MISS +[23][0-9]{3}\.[0-9] ms'
check "start shows a HIT of under 100 ms" says "$scratch/start" ' 200 +HIT +[0-9]{1,2}\.[0-9] ms'
[ -e "$first/.run/env" ] || { summary; exit 1; }
load_env "$first"
check "its environment is complete and true" env_is_complete
check "its secrets are its owner's only" stays_private
check "DATABASE_URL is for psql" psql -X "$DATABASE_URL" -c 'TABLE users'
check "REDIS_URL is for redis-cli" redis-cli -u "$REDIS_URL" ping
check "a worker can do what it must, and no more" least_privilege
check "the keys are good" keys_work
starts_once() {
	"$first/deploy/quickstart" start >"$scratch/said" && says "$scratch/said" "$WARMFRONT_URL" &&
		(old=$WORKER_PIDS && load_env "$first" && [ "$old" = "$WORKER_PIDS" ])
}
check "a second start says where it runs, and leaves it as it is" starts_once
# curl drops what stands behind '#' and asks for each number.
one_killed_under_load() {
	local load bad
	curl -s --noproxy '*' --max-time 30 -Z --parallel-max 50 -o /dev/null \
		-w '%{http_code}\n' "$WARMFRONT_URL/api/models?gateway=openrouter#[1-4000]" \
		>"$scratch/codes" &
	load=$!
	eventually 20 test -s "$scratch/codes" && kill -KILL "${WORKER_PIDS%% *}" || return
	kill -0 "$load" || { echo "the load was over"; return 1; }
	wait "$load"
	bad=$(grep -c -v '^200$' "$scratch/codes")
	[ "$bad" = 0 ] && [ "$(wc -l <"$scratch/codes")" = 4000 ] ||
		{ sort "$scratch/codes" | uniq -c; return 1; }
}
check "readers do not notice a worker that is killed" one_killed_under_load
check "PostgreSQL brings fresh workers up" cold_start
check "PostgreSQL brings fresh workers up without Redis" cold_start DISABLE_REDIS_CACHE=true
check "respawn passes on what is set, and forgets it" respawn_remembers CACHE_VERBOSE=true

# Another one beside it, with wishes.
second=$scratch/second$(printf '/%030d' 1 2 3)
checkout "$second"
port=$(free_port)

wishes() {
	QUICKSTART_PORT=$port QUICKSTART_WORKERS=3 MODELS_CACHE_TTL_MS=1234000 \
		DATABASE_URL="$DATABASE_URL&application_name=mine" UPSTREAM_LOG=$scratch/requests "$second/deploy/quickstart" || return
	(
		first_redis=$REDIS_PID
		load_env "$second"
		[ "$WARMFRONT_URL" = "http://127.0.0.1:$port" ] &&
			[ "$(wc -w <<<"$WORKER_PIDS")" = 3 ] && [ -z "$POSTGRES_PID" ] &&
			[ "$REDIS_PID" != "$first_redis" ] &&
			[ "$(worker_env MODELS_CACHE_TTL_MS)" = 1234000 ] &&
			[ "$UPSTREAM_LOG" = "$scratch/requests" ] && [ -e "$UPSTREAM_LOG" ]
	)
}
check "the caller's wishes win, in a path too long for sockets" wishes
check "the second stops" "$second/deploy/quickstart" stop
# shellcheck disable=SC2086
check "which leaves the first alone" all_alive $WORKER_PIDS $REDIS_PID $POSTGRES_PID $NGINX_PID

# A third, in a short path, so that its servers' command lines have it.
third=$scratch/third
checkout "$third"

no_process_names() { # PATH
	local file
	for file in /proc/[0-9]*/cmdline; do
		[[ $(tr '\0' ' ' 2>/dev/null <"$file") != *"$1"* ]] || {
			echo "$file: $(tr '\0' ' ' <"$file")"
			return 1
		}
	done 2>/dev/null
}

leaves_nothing() { # PATTERN COMMAND...
	! "${@:2}" >"$scratch/said" 2>&1 && says "$scratch/said" "$1" &&
		[ ! -e "$third/.run/env" ] && no_process_names "$third/.run"
}
port=${WARMFRONT_URL##*:}
check "a port in use is said, and nothing stays behind" leaves_nothing "port $port" \
	env QUICKSTART_PORT="$port" "$third/deploy/quickstart"
check "a bad variable is said, and nothing stays behind" leaves_nothing WORKER_THREADS \
	env WORKER_THREADS=many "$third/deploy/quickstart"
check "a bad number of workers is said" leaves_nothing QUICKSTART_WORKERS \
	env QUICKSTART_WORKERS=0 "$third/deploy/quickstart"
check "a bad argument is said" bash -c "'$third/deploy/quickstart' bogus; [ \$? = 64 ]"

as_nobody() {
	chown -R 65534:65534 "$third" || return
	local nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	"${nobody[@]}" "$third/deploy/quickstart" &&
		"${nobody[@]}" "$third/deploy/quickstart" stop
}
if [ "$(id -u)" = 0 ]; then
	check "it runs without being root" as_nobody
fi

# A Redis of the caller's, with a password that is made of delimiters.
password_survives() {
	local port url password='p@ss/w:rd%2F#[ü]?&"'
	port=$(free_port)
	redis-server --bind 127.0.0.1 --port "$port" --save '' --dir "$scratch" \
		--requirepass "$password" >"$scratch/redis.log" &
	cleanups+=("kill $!")
	url=$(
		# shellcheck source=/dev/null
		. "$top/deploy/lib/servers.sh"
		# shellcheck disable=SC2034 # for start_redis
		declare -A setting=([REDIS_HOST]=127.0.0.1 [REDIS_PORT]=$port
			[REDIS_PASSWORD]=$password)
		start_redis && printf %s "${setting[REDIS_URL]}"
	)
	eventually 10 redis_takes "$url" || { echo "$url"; return 1; }
}

redis_takes() { # URL
	[ "$(redis-cli -u "$1" ping)" = PONG ] &&
		grep '^redis  *ok' <(REDIS_URL=$1 "$build/warmfront" check)
}
check "any password of a Redis is passed on" password_survives

stops_all() {
	kill -STOP "$REDIS_PID" && kill -KILL "$NGINX_PID" || return
	"$first/deploy/quickstart" stop || return
	# shellcheck disable=SC2086
	all_gone $WORKER_PIDS $REDIS_PID $POSTGRES_PID $NGINX_PID &&
		[ ! -e "$first/.run" ] &&
		! (exec 3<>"/dev/tcp/127.0.0.1/${WARMFRONT_URL##*:}")
}
check "stop ends even what was stopped or half killed" stops_all
check "stop once more has nothing to do" "$first/deploy/quickstart" stop

summary
