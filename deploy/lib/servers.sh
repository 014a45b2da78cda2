# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# shellcheck disable=SC2015 # `a && b || fail` means: fail if either does
# shellcheck disable=SC2154 # names of the script that reads this
#
# servers: build, and start each part.  Directories: $run is .run/, $state where the
# daemons keep their things, mostly the same.

# Where an earlier run has put its state.
find_state() {
	state=$run
	[ ! -e "$run/state" ] || read -r state <"$run/state"
	[[ $state = "$run" || $state =~ ^/tmp/warmfront\.[A-Za-z0-9]{6}$ ]] ||
		fail "$run/state names $state, which is not ours"
}

# .run/ itself will do if sockets fit into a path there, its file system is one
# that has sockets and owners, and the users the daemons run as can get there.
choose_state() {
	local longest=/postgres/.s.PGSQL.5432
	state=$run
	[[ $run =~ ^[A-Za-z0-9/._+@-]+$ ]] && [ $((${#run} + ${#longest})) -le 107 ] ||
		state=
	case $(stat -f -c %T "$run") in
	ext2/ext3 | xfs | btrfs | tmpfs | overlayfs | zfs | f2fs) ;;
	*) state= ;;
	esac
	[ "$(id -u)" != 0 ] ||
		setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$run" ||
		state=
	rm -rf "$run/log"
	if [ -z "$state" ]; then
		state=$(mktemp -d /tmp/warmfront.XXXXXX) && chmod 711 "$state" ||
			fail "cannot make a directory in /tmp"
		printf '%s\n' "$state" >"$run/state"
		ln -s "$state/log" "$run/log"
	fi
	mkdir "$state/log" || fail "cannot write to $state"
}

# Root's daemons run as these; another user's run as that user.
choose_users() {
	db_user='' web_user=''
	[ "$(id -u)" = 0 ] || return 0
	db_user=postgres web_user=www-data
	id "$db_user" "$web_user" >/dev/null 2>&1 ||
		fail "there is no user $db_user or $web_user"
}

make_dir() { # USER PATH
	mkdir -p "$2" && { [ -z "$1" ] || chown "$1:" "$2"; } || fail "cannot make $2"
}

build() {
	local dir=$run/build log=$run/log/build.log builder=() owner
	if [ -n "${QUICKSTART_BUILD:-}" ]; then
		dir=$(readlink -f -- "$QUICKSTART_BUILD")
	else
		# Root does not leave files of its own in another user's tree.
		owner=$(stat -c %u:%g "$top")
		if [ "$(id -u)" = 0 ] && [ "${owner%:*}" != 0 ]; then
			builder=(setpriv --reuid="${owner%:*}" --regid="${owner#*:}"
				--clear-groups -- env HOME="$dir")
			"${builder[@]}" test -w "$top" || builder=()
		fi
		mkdir -p "$dir" || fail "cannot make $dir"
		[ ${#builder[@]} = 0 ] || chown -R "$owner" "$dir"
		build_in "$dir" "$log" "${builder[@]}" || exit 1
	fi
	mkdir -p "$state/bin"
	install -m 755 "$dir/warmfront" "$dir/tests/upstream/upstream" "$state/bin" ||
		fail "no warmfront in $dir"
	"$state/bin/warmfront" --version >>"$log" 2>&1 ||
		fail "$state/bin/warmfront does not run here" "$log"
}

build_in() ( # DIR LOG COMMAND...: a subshell, for its cd
	dir=$1 log=$2
	shift 2
	cd "$top" || exit 1
	if [ ! -x configure ] || [ configure.ac -nt configure ] ||
		[ ! -e Makefile.in ] || [ Makefile.am -nt Makefile.in ]; then
		step "autoreconf"
		"$@" timeout 300 autoreconf -i </dev/null >>"$log" 2>&1 ||
			fail "autoreconf failed" "$log"
	fi
	cd "$dir" || exit 1
	if [ ! -e Makefile ] || [ "$top/configure" -nt config.status ]; then
		step "configure"
		"$@" timeout 300 "$top/configure" </dev/null >>"$log" 2>&1 ||
			fail "configure failed" "$log"
	fi
	step "make"
	"$@" timeout 1800 make -j "$(nproc)" warmfront tests/upstream/upstream \
		</dev/null >>"$log" 2>&1 || fail "make failed" "$log"
)

# The first port from FROM on that nobody listens on.
free_port() { # FROM
	local port=$1
	while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
		port=$((port + 1))
	done
	printf '%s' "$port"
}

# Start something on a port that another may take between the look and the bind.
start_on_port() { # NAME FROM FUNCTION: which starts it on $1 and awaits it
	local port=$2
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		port=$(free_port "$port")
		"$3" "$port" && return
		end_processes "$1" KILL
		grep -q -i 'address already in use' "$state/log/$1.log" || break
		: >"$state/log/$1.log"
		port=$((port + 1))
	done
	fail "$1 did not start" "$state/log/$1.log"
}

sql() { # URL ARGUMENTS...
	PGCONNECT_TIMEOUT=10 timeout 120 psql -X -q -v ON_ERROR_STOP=1 "$@" </dev/null
}

start_postgres() {
	local dir=$state/postgres log=$state/log/postgres.log programs password
	if [ -n "${setting[DATABASE_URL]:-}" ]; then
		fact[owner_url]=${setting[DATABASE_URL]}
		return
	fi
	step "PostgreSQL"
	programs=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
	[ -x "$programs/initdb" ] || programs=$(dirname "$(command -v initdb)")
	make_dir "$db_user" "$dir"
	password=$(random_hex)
	(umask 077 && echo "$password" >"$dir/password") &&
		{ [ -z "$db_user" ] || chown "$db_user:" "$dir/password"; } &&
		(cd / && as "$db_user" timeout 120 "$programs/initdb" -D "$dir/data" \
			-U postgres --pwfile="$dir/password" --auth=scram-sha-256 \
			--encoding=UTF8 --locale=C.UTF-8 --no-sync) >>"$log" 2>&1 ||
		fail "initdb failed" "$log"
	rm "$dir/password"
	cat >>"$dir/data/postgresql.conf" <<END
listen_addresses = ''
port = 5432
unix_socket_directories = '$dir'
max_connections = 200
fsync = off			# a demo; only a crash of the machine could tell
log_line_prefix = '%m [%p] %u '
END
	daemon postgres "$db_user" "$programs/postgres" -D "$dir/data"
	watched=$daemon_pid await 60 pg_isready -q -h "$dir" -p 5432 ||
		fail "PostgreSQL did not start" "$log"

	fact[superuser_url]="postgresql://postgres:$password@/postgres?host=$dir&port=5432"
	password=$(random_hex)
	sql "${fact[superuser_url]}" -c "CREATE ROLE warmfront_owner LOGIN CREATEROLE
		PASSWORD '$password' IN ROLE pg_monitor, pg_signal_backend" \
		-c "CREATE DATABASE warmfront OWNER warmfront_owner" >>"$log" 2>&1 ||
		fail "could not create the database" "$log"
	fact[owner_url]="postgresql://warmfront_owner:$password@/warmfront?host=$dir&port=5432"
}

redis_on() { # PORT
	cat >"$state/redis/redis.conf" <<END
bind 127.0.0.1
port $1
unixsocket $state/redis/redis.sock
unixsocketperm 700
dir $state/redis
daemonize no
save ""
maxmemory 256mb
maxmemory-policy allkeys-lru
END
	daemon redis "$web_user" redis-server "$state/redis/redis.conf"
	# Over its own socket: on the port another's might answer.
	watched=$daemon_pid await 20 redis-cli -s "$state/redis/redis.sock" ping &&
		setting[REDIS_URL]=redis://127.0.0.1:$1/0
}

# For a place between the delimiters of a URL.
percent_encoded() { # TEXT
	local i
	for ((i = 0; i < ${#1}; i++)); do
		case ${1:i:1} in
		[A-Za-z0-9._~-]) printf %s "${1:i:1}" ;;
		*) printf %s "${1:i:1}" | od -An -v -t x1 | tr -d '\n' | tr ' ' % ;;
		esac
	done
}

start_redis() {
	local password host
	[ -z "${setting[REDIS_URL]:-}${setting[UPSTASH_REDIS_URL]:-}" ] || return
	if [ -n "${setting[REDIS_HOST]:-}" ]; then
		password=$(percent_encoded "${setting[REDIS_PASSWORD]:-}")
		host=${setting[REDIS_HOST]}
		[[ $host != *:* ]] || host=[$host]
		# redis-cli takes no password without a user.
		setting[REDIS_URL]=redis://${password:+default:$password@}$host
		setting[REDIS_URL]+=:${setting[REDIS_PORT]:-6379}/${setting[REDIS_DB]:-0}
		return
	fi
	step "Redis"
	make_dir "$web_user" "$state/redis"
	start_on_port redis 16379 redis_on
}

start_upstream() {
	local user=$web_user dir=$state/upstream at
	fact[upstream_log]=${UPSTREAM_LOG:-}
	[ -z "${setting[MODELS_GATEWAYS]:-}" ] || return
	step "demo upstream, which takes 2 to 3 seconds"
	make_dir "$user" "$dir"
	if [ -n "${UPSTREAM_LOG:-}" ]; then
		fact[upstream_log]=$(realpath -m -- "$UPSTREAM_LOG")
		user='' # who named it can write it
	else
		fact[upstream_log]=$dir/requests.log
	fi
	daemon upstream "$user" "$state/bin/upstream" --listen 127.0.0.1:0 \
		--port-file "$dir/port" --delay-ms 2000-3000 --log "${fact[upstream_log]}" \
		${QUICKSTART_CATALOGUE:+--file "$(realpath -- "$QUICKSTART_CATALOGUE")"}
	watched=$daemon_pid await 20 test -s "$dir/port" ||
		fail "the demo upstream did not start" "$state/log/upstream.log"
	at=http://127.0.0.1:$(cat "$dir/port")
	setting[MODELS_GATEWAYS]=openrouter=$at/openrouter/models,groq=$at/groq/models
}

as_owner() { # COMMAND...: with the owner's DATABASE_URL
	OWNER_URL=${fact[owner_url]} with_settings timeout 120 "$@"
}

new_key() { # EMAIL ROLE
	local key
	key=$(as_owner "$state/bin/warmfront" key create --user "$1" --role "$2" \
		2>>"$state/log/prepare.log") && [ -n "$key" ] ||
		fail "could not make a key for $1" "$state/log/prepare.log"
	printf '%s' "$key"
}

prepare_database() {
	local log=$state/log/prepare.log password
	step "migrations and demo data"
	as_owner "$state/bin/warmfront" migrate >>"$log" 2>&1 ||
		fail "the migrations failed" "$log"
	sql "${fact[owner_url]}" -f "$top/sql/demo/demo.sql" >>"$log" 2>&1 ||
		fail "the demo data could not be loaded" "$log"
	if [ -z "${setting[DATABASE_URL]:-}" ]; then
		password=$(random_hex)
		sql "${fact[owner_url]}" -c "CREATE ROLE warmfront LOGIN
			PASSWORD '$password' IN ROLE warmfront_worker" >>"$log" 2>&1 ||
			fail "could not create the worker's role" "$log"
		setting[DATABASE_URL]="postgresql://warmfront:$password@/warmfront?host=$state/postgres&port=5432"
	fi
	fact[admin_key]=$(new_key admin@example.com admin) || exit 1
	fact[user_key]=$(new_key user@example.com user) || exit 1
}

spawn_workers() {
	local pid log=$state/log/worker.log args
	args=(-s "$state/worker.sock" -b 4096 -F "${fact[workers]}" -P "$state/spawned")
	: >>"$log"
	if [ -n "$web_user" ]; then
		chown "$web_user:" "$log"
		args+=(-u "$web_user" -U "$web_user" -M 0600)
	fi
	# spawn-fcgi gives its children no stderr.
	# shellcheck disable=SC2016
	(cd / && with_settings spawn-fcgi "${args[@]}" -- \
		/bin/sh -c 'exec 2>>"$1"; exec "$0" serve' "$state/bin/warmfront" "$log") \
		</dev/null >>"$state/log/spawn.log" 2>&1 9<&- ||
		{ cat "$state/log/spawn.log" >>"$log" && fail "the workers did not start" "$log"; }
	# shellcheck disable=SC2013
	for pid in $(cat "$state/spawned"); do
		note_process worker "$pid" ||
			fail "a worker ended as soon as it had started" "$log"
	done
}

nginx_on() { # PORT
	local dir=$state/nginx token
	token=$(random_hex)
	{
		[ -z "$web_user" ] || echo "user $web_user;"
		cat <<END
daemon off;
pid $dir/nginx.pid;
error_log stderr warn;
worker_processes auto;
worker_rlimit_nofile $(ulimit -n);
events {
	worker_connections 8192;
}
http {
	access_log off;
	default_type application/octet-stream;
	client_body_temp_path $dir/body;
	fastcgi_temp_path $dir/fastcgi;
	proxy_temp_path $dir/proxy;
	scgi_temp_path $dir/scgi;
	uwsgi_temp_path $dir/uwsgi;
	keepalive_requests 100000;

END
		# The production site's upstream and locations; its limits are not for
		# a machine that measures itself.
		sed -n -e "s|unix:/run/warmfront/|unix:$state/|" \
			-e '/^upstream/,/^}/p' "$deploy/nginx/warmfront.conf"
		cat <<END
server {
	listen 127.0.0.1:$1 backlog=4096;
	include $dir/locations.conf;
	location = /.quickstart {
		return 200 $token;
	}
}
}
END
	} >"$dir/nginx.conf"
	cp "$deploy/nginx/warmfront-locations.conf" "$dir/locations.conf"
	daemon nginx '' nginx -c "$dir/nginx.conf" -p "$dir"
	# The token tells that it is not another's nginx that answers.
	watched=$daemon_pid await 20 nginx_says "$1" "$token" &&
		fact[url]=http://127.0.0.1:$1
}

nginx_says() {
	[ "$(curl -s --noproxy '*' --max-time 2 "http://127.0.0.1:$1/.quickstart")" = "$2" ]
}

start_nginx() {
	step "nginx"
	make_dir '' "$state/nginx"
	if [ -z "${QUICKSTART_PORT:-}" ]; then
		start_on_port nginx 8080 nginx_on
	else
		nginx_on "$QUICKSTART_PORT" ||
			fail "nginx did not start on port $QUICKSTART_PORT" "$state/log/nginx.log"
	fi
}

worker_answers() {
	local status
	status=$(curl -s --noproxy '*' --max-time 5 -o /dev/null -w '%{http_code}' \
		"${fact[url]}/api/health/cache")
	[ "$status" -ge 200 ] && [ "$status" -lt 500 ]
}

await_worker() {
	local first
	first=$(pids_of worker)
	watched=${first%% *} await 20 worker_answers ||
		fail "no worker answers" "$state/log/worker.log"
}
