# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2015 # `a && b || fail` means: fail if either does
# shellcheck disable=SC2034,SC2154 # names of the scripts that read this, and of deploy/lib
#
# lib: what the benchmark and the guard share: a private PostgreSQL, Redis, upstreams
# and workers in a scratch directory, $state.

deploy=$top/deploy
# shellcheck source=deploy/lib/packages.sh
. "$deploy/lib/packages.sh"
# shellcheck source=deploy/lib/processes.sh
. "$deploy/lib/processes.sh"
# shellcheck source=deploy/lib/settings.sh
. "$deploy/lib/settings.sh"
# shellcheck source=deploy/lib/servers.sh
. "$deploy/lib/servers.sh"

say() {
	printf '%s\n' "$*" >&2
}

step() {
	printf '[%4d s] %s\n' "$SECONDS" "$*" >&2
}

# fail REASON [LOG]
fail() {
	[ -z "${2:-}" ] || { echo "--- the end of $2" && tail -n 20 "$2"; } >&2
	printf '%s: %s\n' "${0##*/}" "$1" >&2
	exit 1
}

make_state() {
	state=$(mktemp -d /tmp/warmfront-bench.XXXXXX) && chmod 755 "$state" &&
		mkdir "$state/log" "$state/bin" || fail "cannot write to /tmp"
	run=$state
	pids=$state/pids
	: >"$pids"
}

remove_state() {
	local name
	[ -n "${state:-}" ] || return 0
	cut -d ' ' -f 1 "$pids" | sort -u | while read -r name; do
		[ "$name" = postgres ] || end_processes "$name" TERM
	done
	end_processes postgres INT
	rm -rf -- "$state"
}

# A build with the compiler's usual flags, unless $BENCH_BUILD is one.
build_worker() {
	local dir=${BENCH_BUILD:-}
	if [ -z "$dir" ]; then
		dir=$state/build
		mkdir "$dir"
		build_in "$dir" "$state/log/build.log" || exit 1
	fi
	install -m 755 "$dir/warmfront" "$dir/tests/upstream/upstream" \
		"$state/bin" || fail "no warmfront and tests/upstream/upstream in $dir"
}

# compile NAME LIBRARY...
compile() {
	local name=$1
	shift
	cc -std=c11 -D_GNU_SOURCE -O2 -o "$state/bin/$name" \
		"$top/tests/bench/$name.c" "$@" >"$state/log/$name.log" 2>&1 ||
		fail "$name.c does not compile" "$state/log/$name.log"
}

# The memory tier by itself.
compile_keys() {
	cc -std=c11 -D_GNU_SOURCE -O2 -I "$top/src" -o "$state/bin/keys" \
		"$top/tests/bench/keys.c" "${BENCH_BUILD:-$state/build}/libwarmfront.a" \
		-lxxhash -lcrypto -lz -pthread >"$state/log/keys.log" 2>&1 ||
		fail "keys.c does not compile" "$state/log/keys.log"
}

# upstream NAME ARGUMENTS...: its address is to be had from origin_of NAME.
start_origin() {
	local name=$1
	shift
	daemon "upstream-$name" "$web_user" "$state/bin/upstream" \
		--port-file "$state/origins/$name" "$@"
	watched=$daemon_pid await 20 test -s "$state/origins/$name" ||
		fail "the upstream did not start" "$state/log/upstream-$name.log"
}

origin_of() {
	printf 'http://127.0.0.1:%s' "$(cat "$state/origins/$1")"
}

# The outside world: bodies of three sizes and a slow one.
start_world() {
	local i gateways
	choose_users
	: "${setting[CACHE_KEY_SECRET]:=$(random_hex)}"
	: "${setting[CRON_SECRET]:=$(random_hex)}"
	fact[workers]=1
	build_worker
	start_postgres
	start_redis
	make_dir "$web_user" "$state/origins"
	start_origin b2k --models 2
	start_origin b50k --models 41
	start_origin b20m --models 16300
	start_origin slow --models 2 --delay-ms 2000
	gateways=b2k=$(origin_of b2k)/b/models,b50k=$(origin_of b50k)/b/models
	gateways+=,b20m=$(origin_of b20m)/b/models,cold=$(origin_of slow)/cold/models
	for ((i = 0; i < 16; i++)); do
		gateways+=,slow$i=$(origin_of slow)/slow$i/models
	done
	setting[MODELS_GATEWAYS]=$gateways
	setting[MODELS_CACHE_TTL_MS]=3600000
	setting[MODELS_REFRESH_MS]=0
	setting[REDIS_CACHE_TTL_MS]=3600000
	setting[UPSTREAM_TIMEOUT_MS]=60000
	prepare_database
}

# start_worker NAME PROCESSES [VARIABLE=VALUE...]: on $state/NAME.sock
start_worker() {
	local name=$1 processes=$2 pid
	shift 2
	: >"$state/log/$name.log"
	[ -z "$web_user" ] || chown "$web_user:" "$state/log/$name.log"
	# shellcheck disable=SC2016
	(cd / && with_settings env "$@" spawn-fcgi -s "$state/$name.sock" -b 4096 \
		-F "$processes" -P "$state/spawned" ${web_user:+-u "$web_user" -U "$web_user"} \
		-M 0600 -- /bin/sh -c 'exec 2>>"$1"; shift; exec "$@"' sh \
		"$state/log/$name.log" ${wrapper[@]+"${wrapper[@]}"} \
		"$state/bin/warmfront" serve) </dev/null >>"$state/log/spawn.log" 2>&1 ||
		fail "$name did not start" "$state/log/spawn.log"
	# shellcheck disable=SC2013
	for pid in $(cat "$state/spawned"); do
		note_process "$name" "$pid" ||
			fail "$name ended as soon as it had started" "$state/log/$name.log"
	done
}
