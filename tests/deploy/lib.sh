# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2154 # names of the script that reads this
#
# lib: what the tests of deploy/ share.  $scratch is theirs, and goes at the end.

passed=0
failed=0
cleanups=()

export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
# Nothing of the caller's is to steer a quickstart.
unset "${!QUICKSTART_@}" "${!WARMFRONT_@}" DATABASE_URL REDIS_URL MODELS_GATEWAYS \
	UPSTREAM_LOG DISABLE_REDIS_CACHE

build=$(readlink -f -- "${1:?usage: $0 BUILD-DIRECTORY}")
if ! [ -x "$build/warmfront" ] || ! [ -x "$build/tests/upstream/upstream" ]; then
	echo "$build: make warmfront tests/upstream/upstream there first" >&2
	exit 64
fi
export QUICKSTART_BUILD=$build
scratch=$(mktemp -d /tmp/warmfront-deploy.XXXXXX) || exit 1
chmod 755 "$scratch"

# shellcheck disable=SC2317 # called by the trap
at_exit() {
	local command
	trap '' INT TERM HUP
	for command in "${cleanups[@]}"; do
		eval "$command" >/dev/null 2>&1
	done
	rm -rf -- "$scratch"
}
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# What a quickstart with QUICKSTART_BUILD needs of the tree.
checkout() { # DIRECTORY
	mkdir -p "$1/src/base" && cp -r "$top/deploy" "$top/sql" "$1" &&
		cp "$top/src/base/settings.def" "$1/src/base"
	cleanups+=("$1/deploy/quickstart stop")
}

# check WHAT COMMAND...: one test; what it says is shown when it fails.
check() {
	local what=$1
	shift
	if "$@" >"$scratch/out" 2>&1; then
		passed=$((passed + 1))
		printf 'ok      %s\n' "$what"
	else
		failed=$((failed + 1))
		printf 'FAILED  %s\n' "$what"
		sed 's/^/        | /' "$scratch/out" | tail -n 30
	fi
}

skip() {
	printf 'skipped %s: %s\n' "$1" "$2"
}

eventually() { # SECONDS COMMAND...
	local limit=$((SECONDS + $1))
	shift
	until "$@" >"$scratch/try" 2>&1; do
		[ "$SECONDS" -lt "$limit" ] || { cat "$scratch/try"; return 1; }
		sleep 0.05
	done
}

free_port() {
	local port
	for _ in {1..100}; do
		port=$((20000 + RANDOM % 10000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || {
			echo "$port"
			return
		}
	done
	return 1
}

# One answer: header lines, an empty line, the body.
get() { # URL CURL-OPTION...
	curl -sS -i --noproxy '*' --max-time 30 "${@:2}" "$1" | tr -d '\r'
}

summary() {
	printf '%d passed, %d failed\n' "$passed" "$failed"
	[ "$failed" = 0 ]
}
