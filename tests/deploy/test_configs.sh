#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_configs BUILD-DIRECTORY: each production configuration of deploy/ is started,
# with nothing but its paths and ports replaced, and asked for the catalogue.
# shellcheck disable=SC1090,SC1091 # environments that are made here
# shellcheck disable=SC2015 # `a && b || fail` means: fail if either does
# shellcheck disable=SC2317 # called by their names
set -u -o pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/deploy/lib.sh
. "$top/tests/deploy/lib.sh"

# A quickstart has the PostgreSQL, Redis and upstream for it, and a warm cache.
base=$scratch/base
checkout "$base"
"$base/deploy/quickstart" >"$scratch/start" 2>&1 ||
	{ cat "$scratch/start"; echo "0 passed, 1 failed"; exit 1; }

mkdir -p "$scratch"/{run,log,etc,bin,nginx}
chmod 1777 "$scratch"/{run,log}
install -m 755 "$build/warmfront" "$scratch/bin"
install -m 755 "$top/deploy/spawn-fcgi/warmfront" "$scratch/bin/warmfront-spawn"
http=$(free_port) https=$(free_port) light=$(free_port)
socket=$scratch/run/worker.sock

export WARMFRONT_ENV=$scratch/etc/env WARMFRONT_BIN=$scratch/bin/warmfront \
	WARMFRONT_RUN=$scratch/run WARMFRONT_USER=nobody
spawn=$scratch/bin/warmfront-spawn
cleanups+=("$spawn stop")

# The example's variables, with values that work here.
(
	# shellcheck disable=SC2034 # only the settings are needed
	declare -A setting fact
	. "$base/.run/settings"
	for name in "${!setting[@]}"; do
		printf "%s='%s'\n" "$name" "${setting[$name]}"
	done >"$WARMFRONT_ENV"
)
chmod 644 "$WARMFRONT_ENV"
cron_secret=$(. "$WARMFRONT_ENV" && printf %s "$CRON_SECRET")
user_key=$(. "$base/.run/env" && printf %s "$WARMFRONT_USER_KEY")
path='/api/models?gateway=openrouter'

answers() { # STATUS URL CURL-OPTION...: leaves the answer in $scratch/answer
	get "${@:2}" >"$scratch/answer" || return
	head -n 1 "$scratch/answer" | grep -q " $1\b" || { cat "$scratch/answer"; return 1; }
}

has() { # PATTERN, in the answer
	grep -q -i -E -e "$1" "$scratch/answer" || { cat "$scratch/answer"; return 1; }
}

# In the background until the end; sets $daemon.
background() { # NAME COMMAND...
	"${@:2}" </dev/null >"$scratch/log/$1" 2>&1 &
	daemon=$!
	cleanups+=("kill $daemon")
}

gone() {
	! [ -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"
}

site="https://127.0.0.1:$https"

nginx_starts() {
	sed -e "s|unix:/run/warmfront/|unix:$scratch/run/|" \
		-e "s|listen 80;|listen 127.0.0.1:$http;|" \
		-e "s|listen 443 |listen 127.0.0.1:$https |" -e '/listen \[::\]/d' \
		-e "s|/etc/ssl/warmfront|$scratch/etc|" \
		-e "s|/etc/nginx/snippets/warmfront.conf|$scratch/nginx/locations.conf|" \
		"$top/deploy/nginx/warmfront.conf" >"$scratch/nginx/site.conf"
	cp "$top/deploy/nginx/warmfront-locations.conf" "$scratch/nginx/locations.conf"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
		-subj /CN=api.example.com -addext subjectAltName=DNS:api.example.com \
		-keyout "$scratch/etc/privkey.pem" -out "$scratch/etc/fullchain.pem" || return
	cat >"$scratch/nginx/nginx.conf" <<END
daemon off;
$([ "$(id -u)" != 0 ] || echo "user www-data;")
pid $scratch/nginx/pid;
error_log stderr warn;
events { }
http {
	access_log off;
	client_body_temp_path $scratch/nginx/body;
	fastcgi_temp_path $scratch/nginx/fastcgi;
	proxy_temp_path $scratch/nginx/proxy;
	scgi_temp_path $scratch/nginx/scgi;
	uwsgi_temp_path $scratch/nginx/uwsgi;
	include $scratch/nginx/site.conf;
}
END
	nginx -t -c "$scratch/nginx/nginx.conf" || return
	background nginx nginx -c "$scratch/nginx/nginx.conf"
	eventually 10 answers 503 "$site$path" -k
}

no_worker_is_a_problem() {
	answers 503 "$site$path" -k && has '^content-type: application/problem\+json' &&
		has '^retry-after: 1' && has '^x-content-type-options: nosniff' && has '"status":503'
}

two_run() {
	[ "$("$spawn" status | wc -l)" = 2 ]
}

spawn_starts() {
	"$spawn" start 2 && eventually 10 two_run &&
		eventually 10 answers 200 "$site$path" -k && has '^x-cache: HIT'
}

site_is_hardened() {
	answers 200 "$site$path" -k && has '^x-content-type-options: nosniff' &&
		has '^content-security-policy: default-src' && has '^x-frame-options: DENY' &&
		has '^server: nginx$' && answers 308 "http://127.0.0.1:$http$path" &&
		has '^location: https://127.0.0.1/api/models\?gateway=openrouter'
}

a_key_is_limited() {
	local status limited=0
	for status in $(curl -sk --noproxy '*' -H "Authorization: Bearer $user_key" \
		-o /dev/null -w '%{http_code}\n' "$site/api/models?owner=me&n=[1-400]"); do
		[ "$status" != 429 ] || limited=$((limited + 1))
	done
	[ "$limited" -gt 50 ] || { echo "$limited of 400 limited"; return 1; }
	for _ in {1..250}; do
		answers 429 "$site/api/models?owner=me" -k -H "Authorization: Bearer $user_key" \
			>/dev/null && break
	done
	answers 200 "$site$path" -k || return
	[ "$limited" -lt 400 ]
}

# Each time spelled another way, beside another X-API-Key.
a_disguised_key_is_limited() {
	local i limited
	for i in {1..400}; do
		printf 'url = "%s/api/models?owner=me"\nheader = "X-API-Key: %d"\n' "$site" "$i"
		printf 'header = "Authorization: Bearer%*s%s"\n' "$i" '' "$user_key"
		printf 'noproxy = "*"\ninsecure\nsilent\n'
		printf 'output = "/dev/null"\nwrite-out = "%%{http_code}\\n"\nnext\n'
	done >"$scratch/disguises"
	limited=$(curl -K "$scratch/disguises" | grep -c -x 429)
	[ "$limited" -gt 50 ] || { echo "$limited of 400 limited"; return 1; }
}

# Another address than those of `geo`, and a new key each time.
wrong_keys_are_limited() {
	local i counts refused limited
	for i in {1..300}; do
		printf 'url = "%s"\nheader = "Authorization: Bearer wf_%016x_%064x"\n' \
			"$site/api/user/data" "$i" "$i"
		printf 'interface = "127.0.0.2"\nnoproxy = "*"\ninsecure\nsilent\n'
		printf 'output = "/dev/null"\nwrite-out = "%%{http_code}\\n"\nnext\n'
	done >"$scratch/guesses"
	counts=$(curl -K "$scratch/guesses" | sort | uniq -c)
	refused=$(awk '$2 == 401 { print $1 }' <<<"$counts")
	limited=$(awk '$2 == 429 { print $1 }' <<<"$counts")
	[ "${refused:-0}" -ge 100 ] && [ "${limited:-0}" -gt 20 ] &&
		[ $((refused + limited)) = 300 ] || { echo "$counts"; return 1; }
	# Who asks from elsewhere, or for what is public, is not held up by that.
	answers 200 "$site$path" -k --interface 127.0.0.2 &&
		answers 401 "$site/api/user/data" -k -H 'Authorization: Bearer wf_x'
}

too_large_is_a_problem() {
	head -c 1200000 /dev/zero >"$scratch/large"
	answers 413 "$site/api/models" -k --data-binary "@$scratch/large" &&
		has '^content-type: application/problem\+json'
}

cron_reaches_the_worker() {
	local line
	printf 'Authorization: Bearer %s\n' "$cron_secret" >"$scratch/etc/cron.header"
	line=$(sed -n 's|^\*/5 \* \* \* \* root ||p' "$top/deploy/cron/warmfront" |
		sed -e "s|/etc/warmfront/cron.header|$scratch/etc/cron.header|" \
			-e "s|:443:|:$https:|" -e "s|\(https://\$WARMFRONT_HOST\)|\1:$https|" \
			-e "s|-o /dev/null|-i -o $scratch/answer --noproxy '*' --cacert $scratch/etc/fullchain.pem|" \
			-e 's|--fail-with-body||')
	[ -n "$line" ] && [[ $line != *$cron_secret* ]] || return
	WARMFRONT_HOST=api.example.com /bin/sh -c "$line" || return
	! has '^HTTP/[0-9.]+ (401|403|5..)' >/dev/null || { cat "$scratch/answer"; return 1; }
	# The right secret from elsewhere than this machine is refused by the site,
	# and a wrong one from here by the worker.
	grep -A 3 'location ^~ /cron/' "$scratch/nginx/locations.conf" | grep -q 'deny all'
}

spawn_restarts() {
	local pids
	pids=$("$spawn" status) && "$spawn" restart 2 && eventually 10 two_run &&
		[ "$("$spawn" status)" != "$pids" ] &&
		eventually 10 answers 200 "$site$path" -k
}

# While one does not get on, which stands for an answer in the making.
spawn_stops() {
	local pids refused=0
	pids=$("$spawn" status) && mapfile -t pids <<<"$pids" || return
	kill -STOP "${pids[@]}"
	background stop "$spawn" stop
	eventually 10 answers 503 "$site$path" -k --max-time 1 && ! gone "$daemon" ||
		refused=1
	kill -CONT "${pids[@]}"
	wait "$daemon" && [ "$refused" = 0 ] || return
	for pid in "${pids[@]}"; do gone "$pid" || return; done
	! "$spawn" status && answers 503 "$site$path" -k
}

# spawn-fcgi looks for a tenth of a second whether they go on.
bad_start_is_explained() {
	(cat "$WARMFRONT_ENV" && echo HANDLERS=nonesuch) >"$scratch/etc/bad"
	if WARMFRONT_ENV=$scratch/etc/bad "$spawn" start 2 >"$scratch/said" 2>&1; then
		echo "it says that all is well"
		return 1
	fi
	grep -q 'HANDLERS: "nonesuch" is none of' "$scratch/said" ||
		{ cat "$scratch/said"; return 1; }
}

spawn_explains() {
	local pid
	eventually 10 bad_start_is_explained || return
	# shellcheck disable=SC2013
	for pid in $(cat "$scratch/run/worker.pids"); do eventually 10 gone "$pid" || return; done
}

spawn_runs_in_front() {
	background run "$spawn" run
	eventually 10 answers 200 "$site$path" -k && kill -TERM "$daemon" &&
		eventually 10 gone "$daemon" && wait "$daemon"
}

children() {
	cat "/proc/$1/task/$1/children"
}

two_children() {
	[ "$(children "$1" | wc -w)" = 2 ] && [ "$(children "$1")" != "$2" ]
}

spawn_watches() {
	local before pid
	background watch "$spawn" watch 2
	eventually 10 two_children "$daemon" '' && before=$(children "$daemon") || return
	eventually 10 answers 200 "$site$path" -k || return
	kill -KILL "${before%% *}" && eventually 10 two_children "$daemon" "$before" &&
		answers 200 "$site$path" -k || return
	before=$(children "$daemon")
	kill -TERM "$daemon" && eventually 10 gone "$daemon" || return
	for pid in $before; do eventually 10 gone "$pid" || return; done
}

lighttpd_serves() { # FILE
	local dir=$scratch/lighttpd-$1
	mkdir -p "$dir" && chmod 777 "$dir"
	sed -e "s|/run/warmfront/worker.sock|$socket|" \
		-e "s|/run/lighttpd/warmfront.sock|$dir/worker.sock|" \
		-e "s|/usr/sbin/warmfront-spawn|$spawn|" \
		"$top/deploy/lighttpd/$1" >"$dir/site.conf"
	cat >"$dir/lighttpd.conf" <<END
server.modules = ( "mod_indexfile", "mod_access", "mod_alias", "mod_redirect" )
server.document-root = "$dir"
server.bind = "127.0.0.1"
server.port = $light
server.errorlog = "$dir/error.log"
$([ "$(id -u)" != 0 ] || echo 'server.username = "www-data"')
include "$dir/site.conf"
END
	lighttpd -tt -f "$dir/lighttpd.conf" || return
	background lighttpd lighttpd -D -f "$dir/lighttpd.conf"
	eventually 10 answers 200 "http://127.0.0.1:$light$path" || {
		cat "$dir/error.log"
		return 1
	}
	has '^x-cache: HIT' && has '^x-content-type-options: nosniff' &&
		answers 404 "http://127.0.0.1:$light/elsewhere" &&
		kill -TERM "$daemon" && eventually 10 gone "$daemon"
}

with_workers() {
	"$spawn" start 1 && "$@"
	local status=$?
	"$spawn" stop
	return "$status"
}

units_are_sound() {
	local name
	mkdir -p "$scratch/units"
	for name in warmfront.socket warmfront.service; do
		sed -e "s|/usr/bin/warmfront|$WARMFRONT_BIN|" -e "s|/etc/warmfront/env|$WARMFRONT_ENV|" \
			"$top/deploy/systemd/$name" >"$scratch/units/$name"
	done
	systemd-analyze verify --man=no "$scratch"/units/* &&
		systemd-analyze security --offline=true --threshold=20 \
			"$scratch/units/warmfront.service" >"$scratch/exposure" ||
		{ tail -n 3 "$scratch/exposure"; return 1; }
}

socket_activation() {
	local command name
	# shellcheck disable=SC2207
	command=($(sed -n "s|^ExecStart=/usr/bin/warmfront|$WARMFRONT_BIN|p" \
		"$top/deploy/systemd/warmfront.service"))
	grep -q '^StandardInput=socket$' "$top/deploy/systemd/warmfront.service" || return
	rm -f "$socket"
	while IFS= read -r name; do
		command=(-E "$name" "${command[@]}")
	done < <(sed 's/=.*//' "$WARMFRONT_ENV")
	# shellcheck disable=SC2016 # for that shell to expand
	background activate bash -c 'set -a; . "$WARMFRONT_ENV"; exec "$@"' activate \
		systemd-socket-activate --inetd -l "$socket" "${command[@]}"
	# As SocketUser= would.
	eventually 10 chmod 666 "$socket" || return
	eventually 10 answers 200 "$site$path" -k && has '^x-cache: HIT' || {
		cat "$scratch/log/activate"
		return 1
	}
	kill -TERM "$daemon" && eventually 10 gone "$daemon" && wait "$daemon"
}

# The calls that the unit's SystemCallFilter= lets through.
allowed_calls() {
	{
		sed -n 's/^SystemCallFilter=/= /p' "$top/deploy/systemd/warmfront.service"
		systemd-analyze syscall-filter
	} | awk '
		$1 == "=" { rules[++n] = $2 " " $3 " " $4 " " $5; next }
		/^@/ { group = $1; next }
		NF && $1 !~ /^#/ { members[group] = members[group] " " $1 }
		function set(name, to,   list, count, i) {
			if (name !~ /^@/) { allowed[name] = to; return }
			count = split(members[name], list, " ")
			for (i = 1; i <= count; i++) set(list[i], to)
		}
		END {
			set("@default", 1)
			for (i = 1; i <= n; i++) {
				to = rules[i] !~ /^~/
				sub(/^~/, "", rules[i])
				count = split(rules[i], names, " ")
				for (k = 1; k <= count; k++) set(names[k], to)
			}
			for (call in allowed) if (allowed[call]) print call
		}' | sort
}

# A worker from its start to its end, with loads, hits, a mutation and a log of them.
sandbox_allows_what_it_does() {
	local calls
	rm -f "$socket"
	# shellcheck disable=SC2016 # for that shell to expand
	background traced bash -c 'set -a; . "$WARMFRONT_ENV"; exec "$@"' traced \
		strace -f -qq -c -U name -o "$scratch/calls" \
		"$WARMFRONT_BIN" serve -l "unix:$socket"
	eventually 20 chmod 666 "$socket" || return
	eventually 20 answers 200 "$site$path" -k &&
		answers 200 "$site/api/models?gateway=all" -k &&
		answers 200 "$site/api/user/data" -k -X PATCH -H "Authorization: Bearer $user_key" \
			-H 'Content-Type: application/json' -d '{"name":"Traced"}' &&
		answers 200 "$site/api/analytics/data" -k -H "Authorization: Bearer $user_key" &&
		pkill -TERM -P "$daemon" && eventually 20 gone "$daemon" || return
	calls=$(sed -n 's/^\([a-z_0-9]*\)$/\1/p' "$scratch/calls" | sort -u)
	[ "$(wc -l <<<"$calls")" -gt 30 ] || { cat "$scratch/calls"; return 1; }
	# The program is executed before the filter is in place, and by it.
	calls=$(comm -13 <(allowed_calls) - <<<"$calls" | grep -vxE 'execve|syscall|total')
	[ -z "$calls" ] || { printf 'not allowed: %s\n' "${calls//$'\n'/ }"; return 1; }
}

example_is_whole() {
	local name
	for name in DATABASE_URL REDIS_URL CACHE_KEY_SECRET CRON_SECRET MODELS_GATEWAYS; do
		grep -q "^$name='" "$top/deploy/warmfront.env.example" || return
	done
	(set -eu -a; . "$top/deploy/warmfront.env.example")
}

# Names and defaults: `.It Ev NAME Pq default`.
manual_has_every_setting() {
	local name default status=0
	while IFS='|' read -r name default; do
		grep -q -x -F ".It Ev $name${default:+ Pq $default}" "$top/deploy/warmfront.8" ||
			{ echo "$name ($default) is not in warmfront.8"; status=1; }
	done < <(sed -n 's/^SETTING(\([A-Z0-9_]*\), [A-Z]*, "\([^"|]*\).*/\1|\2/p' \
		"$top/src/base/settings.def")
	return "$status"
}

manual_is_clean() {
	! mandoc -T lint "$top/deploy/warmfront.8" 2>&1 | grep -v mandoc.db
}

check "nginx: the site starts" nginx_starts
check "nginx: no worker is a 503 problem" no_worker_is_a_problem
check "spawn-fcgi: start brings two workers up" spawn_starts
check "nginx: headers and the way to https" site_is_hardened
check "nginx: one key is limited, other readers are not" a_key_is_limited
check "nginx: the same key in disguise is limited" a_disguised_key_is_limited
check "nginx: an address that tries keys is limited" wrong_keys_are_limited
check "nginx: too large a body is a 413 problem" too_large_is_a_problem
check "cron: the line reaches the worker" cron_reaches_the_worker
check "spawn-fcgi: restart replaces them" spawn_restarts
check "spawn-fcgi: stop ends them, and their socket at once" spawn_stops
check "spawn-fcgi: start says what keeps workers from starting" spawn_explains
check "spawn-fcgi: run, in the foreground, ends with 0" spawn_runs_in_front
if command -v multiwatch >/dev/null; then
	check "spawn-fcgi: watch replaces what was killed" spawn_watches
else
	skip "spawn-fcgi: watch" "no multiwatch"
fi
if command -v lighttpd >/dev/null; then
	check "lighttpd: spawned workers" with_workers lighttpd_serves warmfront.conf
	check "lighttpd: its own workers" lighttpd_serves warmfront-spawned.conf
else
	skip "lighttpd" "not installed"
fi
if command -v systemd-analyze >/dev/null; then
	check "systemd: the units are sound" units_are_sound
else
	skip "systemd: units" "no systemd-analyze"
fi
if command -v systemd-socket-activate >/dev/null; then
	check "systemd: a worker on an activated socket" socket_activation
else
	skip "systemd: socket" "no systemd-socket-activate"
fi
if command -v systemd-analyze >/dev/null; then
	check "systemd: the sandbox allows what a worker does" sandbox_allows_what_it_does
else
	skip "systemd: the sandbox" "no systemd-analyze"
fi
check "the example environment is for a shell too" example_is_whole
check "the manual has every setting" manual_has_every_setting
if command -v mandoc >/dev/null; then
	check "the manual is clean" manual_is_clean
else
	skip "the manual is clean" "no mandoc"
fi

summary
