# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2015 # `a && b || fail` means: fail if either does
# shellcheck disable=SC2154 # names of the scripts that read this, of lib.sh and sides.sh
#
# scenarios: what is measured, and how it is printed.

calc() {
	awk "BEGIN { printf \"$1\", ($2) }"
}

# All processes of a side, with their children.
processes_of() { # SIDE
	local pid
	for pid in $(pids_of "$1"); do
		printf '%s ' "$pid"
		pgrep -P "$pid" | tr '\n' ' '
	done
}

# Clock ticks that a side's processes have used.
ticks_of() { # SIDE
	local pid sum=0 stat
	for pid in $(processes_of "$1"); do
		{ read -r stat <"/proc/$pid/stat"; } 2>/dev/null || continue
		# shellcheck disable=SC2086
		set -- ${stat##*) }
		sum=$((sum + ${12} + ${13}))
	done
	printf '%s' "$sum"
}

resident_kib() { # SIDE
	local pid sum=0 rss
	for pid in $(processes_of "$1"); do
		rss=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null)
		sum=$((sum + ${rss:-0}))
	done
	printf '%s' "$sum"
}

# What a request to the side costs all in all, besides the load's own cost.
all_ticks() { # SIDE
	local sum
	sum=$(($(ticks_of nginx) + $(ticks_of "$1")))
	case $1 in
	fcache* | file | memory | plain | redis_off) ;;
	*) sum=$((sum + $(ticks_of redis))) ;;
	esac
	printf '%s' "$sum"
}

# load SIDE PATH CLIENTS [HEADER...]: one measurement.  Sets $rate, $p50, $p99 (ms),
# $errors, $cpu (seconds of the side's own processes for 10,000 requests) and $cost
# (the same of all processes, nginx, Redis and the load's included).
load() {
	local side=$1 url=http://127.0.0.1:${port[$1]}$2 clients=$3 headers=() line before
	local TIMEFORMAT='%U %S' all_before own_ticks own_time
	shift 3
	for line; do
		headers+=(-H "$line")
	done
	before=$(ticks_of "$side")
	all_before=$(all_ticks "$side")
	{ time wrk -t "$cpus" -c "$clients" -d "${for_seconds:-$seconds}s" --timeout 10s \
		-s "$top/tests/bench/report.lua" ${headers[@]+"${headers[@]}"} "$url" \
		>"$state/wrk.out" 2>"$state/wrk.err"; } 2>"$state/wrk.time"
	own_time=$(sed 's/ / + /' "$state/wrk.time")
	own_ticks=$(($(ticks_of "$side") - before))
	all_before=$(($(all_ticks "$side") - all_before))
	line=$(sed -n 's/^RESULT //p' "$state/wrk.out")
	[ -n "$line" ] || fail "wrk has no result for $url"
	# shellcheck disable=SC2086
	set -- $line
	rate=$(calc %.0f "$1 / $2 * 1e6")
	p50=$(calc %.2f "$3 / 1e3")
	p99=$(calc %.2f "$4 / 1e3")
	errors=$5
	cpu=$(calc %.3f "$own_ticks / $(getconf CLK_TCK) * 1e4 / ($1 + 1)")
	cost=$(calc %.3f "($all_before / $(getconf CLK_TCK) + $own_time) * 1e4 / ($1 + 1)")
}

middle() { # of the numbers on standard input
	sort -g | awk '{ at[NR] = $1 } END { print at[int((NR + 1) / 2)] }'
}

ends() { # "least..greatest"
	sort -g | awk 'NR == 1 { first = $1 } END { print first ".." $1 }'
}

print_machine() {
	local model
	model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sort -u | head -n 1)
	machine="$cpus x $model, Linux $(uname -r), $(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)"
	versions="warmfront $("$state/bin/warmfront" --version | cut -d ' ' -f 2), \
$(nginx -v 2>&1 | sed 's/.*: //'), $(redis-server --version | sed 's/.*v=\([^ ]*\).*/redis \1/'), \
PHP $("$php_fpm" -v | sed -n 's/^PHP \([^ ]*\).*/\1/p;q'), $(go version | cut -d ' ' -f 3), \
node $(node --version), $(wrk -v 2>&1 | sed -n 's/^\(wrk [^ ]*\).*/\1/p;q')"
	[ "$json" = no ] || return 0
	printf '%s\n%s\n%s s a measurement, %s pairs, load average before: %s\n\n' "$machine" \
		"$versions" "$seconds" "$rounds" "$(cut -d ' ' -f 1-3 /proc/loadavg)"
}

form='| %-22s | %-11s | %7s | %7s | %7s | %5s | %6s | %7s | %6s | %-13s | %6s | %-13s | %6s | %s\n'

print_head() {
	[ "$json" = no ] || return 0
	# shellcheck disable=SC2059
	printf "$form" what side req/s p50\ ms p99\ ms err cpu/10k RSS\ MiB ratio spread by\ CPU spread budget ''
	echo '|---|---|---:|---:|---:|---:|---:|---:|---:|---|---:|---|---:|---|'
}

# row WHAT SIDE RATE P50 P99 ERRORS CPU RSS RATIO SPREAD BY-CPU SPREAD BUDGET VERDICT
row() {
	if [ "$json" = no ]; then
		# shellcheck disable=SC2059
		printf "$form" "$@"
		return
	fi
	printf '{"what":"%s","side":"%s","rate":"%s","p50_ms":"%s","p99_ms":"%s","errors":"%s",' "${@:1:6}"
	printf '"cpu_s_per_10k":"%s","rss_mib":"%s","ratio":"%s","spread":"%s","by_cpu":"%s","by_cpu_spread":"%s","budget":"%s","verdict":"%s"}\n' \
		"${@:7:8}"
}

verdict() { # NUMBER RELATION BUDGET: "met", "MISSED", or nothing without a budget
	[ -n "$3" ] || return 0
	if [ "$(calc %d "$1 $2 $3")" = 1 ]; then echo met; else echo MISSED; fi
}

# Where the machine was busy with something else, the clock says little.
by_cpu_verdict() {
	[ -n "$budget" ] && [ "$(verdict "$ratio" '>=' "$budget")" = MISSED ] &&
		[ "$(verdict "$by_cpu" '>=' "$budget")" = met ] && printf ' (met by CPU)'
}

# pairs WHAT OURS THEIRS BUDGET PATH CLIENTS [HEADER...]: alternate, and print their
# row; ours comes once, after the last of a scenario (see ours).
pairs() {
	local what=$1 ours=$2 theirs=$3 budget=$4 i mine my_cost ratios=() rates=() p50s=() p99s=() sum=0 cpus_used=()
	local ratio spread own_cpu=- costs=() by_cpu
	shift 4
	for_seconds=1 load "$ours" "$@"
	for_seconds=1 load "$theirs" "$@"
	for ((i = 0; i < rounds; i++)); do
		load "$ours" "$@"
		mine=$rate my_cost=$cost
		ours_lines+="$rate $p50 $p99 $errors $cpu"$'\n'
		load "$theirs" "$@"
		rates+=("$rate") p50s+=("$p50") p99s+=("$p99") cpus_used+=("$cpu")
		sum=$((sum + errors))
		ratios+=("$(calc %.2f "$mine / ($rate + 1e-9)")")
		costs+=("$(calc %.2f "$cost / ($my_cost + 1e-9)")")
	done
	by_cpu=$(printf '%s\n' "${costs[@]}" | middle)
	ratio=$(printf '%s\n' "${ratios[@]}" | middle)
	spread=$(printf '%s\n' "${ratios[@]}" | ends)
	[ -z "$(pids_of "$theirs")" ] || own_cpu=$(printf '%s\n' "${cpus_used[@]}" | middle)
	row "$what" "$theirs" "$(printf '%s\n' "${rates[@]}" | middle)" \
		"$(printf '%s\n' "${p50s[@]}" | middle)" "$(printf '%s\n' "${p99s[@]}" | middle)" \
		"$sum" "$own_cpu" "$(calc %.1f "$(resident_kib "$theirs") / 1024")" \
		"$ratio" "$spread" "$by_cpu" "$(printf '%s\n' "${costs[@]}" | ends)" \
		"${budget:--}" "$(verdict "$ratio" '>=' "$budget")$(by_cpu_verdict)"
}

# ours WHAT SIDE: the row of warmfront, from all measurements since the last
ours() {
	local column values=()
	for column in 1 2 3 5; do
		values+=("$(cut -d ' ' -f "$column" <<<"${ours_lines%$'\n'}" | middle)")
	done
	row "$1" "warmfront" "${values[0]}" "${values[1]}" "${values[2]}" \
		"$(awk '{ sum += $4 } END { print sum }' <<<"$ours_lines")" "${values[3]}" \
		"$(calc %.1f "$(resident_kib "$2") / 1024")" - - - - - ''
	ours_lines=
}
ours_lines=

measure_hits() {
	local path='/api/models?gateway=b2k'
	pairs '2 KiB' memory fcache 0.95 "$path" 200
	pairs '2 KiB' memory plain 2.3 "$path" 200
	pairs '2 KiB' memory php 5 "$path" 200
	pairs '2 KiB' memory go 5 "$path" 200
	pairs '2 KiB' memory node 3 "$path" 200
	pairs '2 KiB' memory file '' "$path" 200
	ours '2 KiB' memory
	path='/api/models?gateway=b50k'
	pairs '50 KiB' memory fcache 0.6 "$path" 200
	pairs '50 KiB' memory plain 1.6 "$path" 200
	pairs '50 KiB' memory file '' "$path" 200
	ours '50 KiB' memory
	path='/api/models?gateway=b2k'
	pairs '2 KiB, no Redis' redis_off fcache '' "$path" 200
	ours '2 KiB, no Redis' redis_off
}

measure_gzip() {
	local path='/api/models?gateway=b50k' header='Accept-Encoding: gzip'
	pairs '50 KiB, gzip' memory fcache_gzip 2.5 "$path" 200 "$header"
	pairs '50 KiB, gzip' memory php 7 "$path" 200 "$header"
	pairs '50 KiB, gzip' memory go 7 "$path" 200 "$header"
	pairs '50 KiB, gzip' memory node 7 "$path" 200 "$header"
	ours '50 KiB, gzip' memory
}

measure_redis() {
	pairs '2 KiB, from Redis' near_off plain_redis 1.5 '/api/models?gateway=b2k' 200
	ours '2 KiB, from Redis' near_off
	pairs '50 KiB, from Redis' near_off plain_redis '' '/api/models?gateway=b50k' 200
	ours '50 KiB, from Redis' near_off
}

measure_large() {
	pairs '20 MiB' memory file 0.9 '/api/models?gateway=b20m' 8
	ours '20 MiB' memory
}

# There is nothing to compare with: the same without a key.
measure_auth() {
	local i
	# The user's own models: 2 KiB as well.
	for ((i = 0; i < 6; i++)); do
		curl -sS --noproxy '*' -f -o /dev/null -H "X-API-Key: ${fact[user_key]}" \
			-H 'Content-Type: application/json' \
			-d "{\"model_id\":\"bench/$i\",\"name\":\"A model\",\"description\":\"$(printf '%0200d' "$i")\"}" \
			"http://127.0.0.1:${port[memory]}/api/models" ||
			fail "a model cannot be made" "$state/log/memory.log"
	done
	for ((i = 0; i < rounds; i++)); do
		load memory '/api/models?gateway=b2k' 200
		ours_lines+="$rate $p50 $p99 $errors $cpu"$'\n'
	done
	ours 'without an API key' memory
	for ((i = 0; i < rounds; i++)); do
		load memory '/api/models?owner=me' 200 "X-API-Key: ${fact[user_key]}"
		ours_lines+="$rate $p50 $p99 $errors $cpu"$'\n'
	done
	ours 'with an API key' memory
}

measure_start() {
	local times p50 longest
	times=$(cd / && with_settings as "$web_user" "$state/bin/drive" start "$state/own/start.sock" 41 \
		'/api/models?gateway=b2k' "$state/bin/warmfront" serve 2>>"$state/log/start.log") ||
		fail "a fresh worker does not answer" "$state/log/start.log"
	p50=$(sed -n 21p <<<"$times")
	longest=$(sed -n 40p <<<"$times")
	row 'exec to first answer' warmfront - "$p50" "$longest" 0 - - - "$(ends <<<"$times")" - - '<= 5 ms' \
		"$(verdict "$p50" '<=' 5)"
}

cold_loads() {
	curl -sS --noproxy '*' "$(origin_of slow)/control/stats" |
		sed -n 's|.*"/cold/models":{"requests":\([0-9]*\).*|\1|p'
}

measure_cold() {
	local loads line fine=no
	start_worker herd 4
	loads=$(cold_loads)
	line=$("$state/bin/herd" "${port[herd]}" 1000 '/api/models?gateway=cold')
	loads=$(($(cold_loads) - ${loads:-0}))
	# shellcheck disable=SC2086
	set -- $line
	[ "$loads" = 1 ] && [ "$2" = 0 ] && fine=$(verdict "$4" '<=' 2300)
	[ "$fine" = met ] || fine=MISSED
	row '1000 on a cold key' "warmfront" - "$3" "$4" "$2" - \
		"$(calc %.1f "$(resident_kib herd) / 1024")" - "$loads load" - - '<= 2300 ms' "$fine"
	end_processes herd TERM
}

# Unloaded and loaded in turn.
measure_waiting() {
	local i alone=() beside=() ratios=() herd ratio paths=()
	for ((i = 0; i < 16; i++)); do
		paths+=("/api/models?gateway=slow$i")
	done
	start_worker herd 1 LOADER_THREADS=8
	for_seconds=1 load herd '/api/models?gateway=b2k' 50
	for ((i = 0; i < rounds; i++)); do
		for_seconds=2 load herd '/api/models?gateway=b2k' 50
		alone+=("$p99")
		redis-cli -s "$redis_socket" flushdb >/dev/null
		psql -X -q "${fact[owner_url]}" -c 'DELETE FROM cache_entries' >/dev/null
		end_processes herd TERM
		start_worker herd 1 LOADER_THREADS=8
		for_seconds=1 load herd '/api/models?gateway=b2k' 50
		"$state/bin/herd" "${port[herd]}" 500 "${paths[@]}" >"$state/waiting" &
		herd=$!
		sleep 0.3
		for_seconds=2 load herd '/api/models?gateway=b2k' 50
		beside+=("$p99")
		wait "$herd"
		say "waiting: $(cat "$state/waiting")"
		ratios+=("$(calc %.2f "${beside[i]} / ${alone[i]}")")
	done
	ratio=$(printf '%s\n' "${ratios[@]}" | middle)
	row 'hits beside 500' warmfront - - "$(printf '%s\n' "${beside[@]}" | middle)" 0 - - \
		"$ratio" "$(printf '%s\n' "${ratios[@]}" | ends)" - - \
		'<= 2' "$(verdict "$ratio" '<=' 2)"
	end_processes herd TERM
	fill
}

# Finding the entry is the only part of a hit that more keys make dearer, so that is
# measured without the rest, and put into proportion with the whole in the worker.
measure_keys() {
	local i few many ratio ratios=() whole
	load memory '/api/models?gateway=b2k' 200
	whole=$(calc %.0f "$cpu * 1e5") # nanoseconds
	for ((i = 0; i < rounds; i++)); do
		few=$("$state/bin/keys" 1000) && many=$("$state/bin/keys" 1000000) ||
			fail "the memory tier lost an entry"
		ratios+=("$(calc %.2f "($whole + ${many%% *} - ${few%% *}) / $whole")")
	done
	ratio=$(printf '%s\n' "${ratios[@]}" | middle)
	row 'among 1 million keys' "memory tier" - - - - "$(calc %.4f "${many%% *} / 1e5")" - \
		"$ratio" "$(printf '%s\n' "${ratios[@]}" | ends)" - - '<= 1.2' \
		"$(verdict "$ratio" '<=' 1.2)"
	# shellcheck disable=SC2086
	set -- $many
	ratio=$(calc %.2f "$3 / $2")
	row 'held by 1 million' "memory tier" - - - - - "$(calc %.0f "$3 / 1048576")" \
		"$ratio" - - - '<= 1.3' "$(verdict "$ratio" '<=' 1.3)"
	start_worker herd 1
	for_seconds=1 load herd '/api/none' "$cpus"
	ratio=$(calc %.1f "$(resident_kib herd) / 1024")
	row 'empty' warmfront - - - - - "$ratio" - - - - '<= 16 MiB' "$(verdict "$ratio" '<=' 16)"
	end_processes herd TERM
}

# Milliseconds of an update of 100,000 users and its commit, without autovacuum's help.
bulk_update() { # ENABLE or DISABLE, the triggers
	psql -X -q -v ON_ERROR_STOP=1 "${fact[owner_url]}" <<-END | awk '/^Time:/ { sum += $2 } END { print sum }'
		VACUUM users;
		BEGIN;
		ALTER TABLE users $1 TRIGGER USER;
		\\timing on
		UPDATE users SET credits = credits + 1 WHERE email LIKE '%@bulk.example';
		COMMIT;
	END
}

measure_bulk() {
	local i with=() without=() ratios=() ratio
	psql -X -q -v ON_ERROR_STOP=1 "${fact[owner_url]}" >>"$state/log/bulk.log" 2>&1 <<-END ||
		INSERT INTO users (email) SELECT n || '@bulk.example' FROM generate_series(1, 100000) n;
		ALTER TABLE users SET (autovacuum_enabled = off);
	END
		fail "100,000 users cannot be made" "$state/log/bulk.log"
	bulk_update ENABLE >/dev/null
	for ((i = 0; i < 2 * rounds; i++)); do
		without+=("$(bulk_update DISABLE)")
		with+=("$(bulk_update ENABLE)")
		ratios+=("$(calc %.2f "${with[i]} / ${without[i]}")")
	done
	ratio=$(printf '%s\n' "${ratios[@]}" | middle)
	row 'update 100,000 users' 'no triggers' - "$(printf '%s\n' "${without[@]}" | middle)" \
		- 0 - - "$ratio" "$(printf '%s\n' "${ratios[@]}" | ends)" - - '<= 1.2' \
		"$(verdict "$ratio" '<=' 1.2)"
	row 'update 100,000 users' 'triggers' - "$(printf '%s\n' "${with[@]}" | middle)" - 0 - - - - - - - ''
	psql -X -q "${fact[owner_url]}" -c "DELETE FROM users WHERE email LIKE '%@bulk.example'" \
		-c 'ALTER TABLE users RESET (autovacuum_enabled)' >>"$state/log/bulk.log" 2>&1
}
