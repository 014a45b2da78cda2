# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2015 # `a && b || fail` means: fail if either does
# shellcheck disable=SC2034,SC2154 # names of the scripts that read this, and of lib.sh
#
# sides: all that is compared, behind one nginx, each on a port of its own.  Where a
# side has processes of its own, they are noted under its name.

declare -A port
all_sides=(memory near_off redis_off fcache fcache_gzip file plain plain_redis php go node)
cpus=$(nproc)

start_plain() { # NAME ARGUMENTS...
	local name=$1 pid
	shift
	spawn-fcgi -s "$state/$name.sock" -b 4096 -M 0600 -P "$state/spawned" \
		${web_user:+-u "$web_user" -U "$web_user"} -- \
		"$state/bin/plain" "$((2 * cpus))" "$@" >>"$state/log/$name.log" 2>&1 ||
		fail "$name did not start" "$state/log/$name.log"
	pid=$(cat "$state/spawned")
	note_process "$name" "$pid"
}

start_php() {
	cat >"$state/php.conf" <<END
[global]
error_log = $state/log/php.log
daemonize = no
[bench]
${web_user:+user = $web_user
listen.owner = $web_user}
listen = $state/php.sock
listen.backlog = 4096
pm = static
pm.max_children = $((4 * cpus))
END
	daemon php '' "$php_fpm" -F -y "$state/php.conf" -d opcache.enable=1
}

start_go() {
	(cd "$state" && GO111MODULE=off GOPATH=/usr/share/gocode \
		GOCACHE=$state/gocache go build -o bin/bench-go "$top/tests/bench/bench.go") \
		>"$state/log/go-build.log" 2>&1 ||
		fail "bench.go does not compile" "$state/log/go-build.log"
	REDIS_SOCKET=$redis_socket daemon go "$web_user" "$state/bin/bench-go" "$state/own/go.sock"
}

start_node() {
	mkdir -p "$state/node"
	npm install --no-audit --no-fund --prefix "$state/node" ioredis@5 \
		>"$state/log/npm.log" 2>&1 || fail "npm cannot install ioredis" "$state/log/npm.log"
	cp "$top/tests/bench/bench.js" "$state/node"
	chmod -R go+rX "$state/node"
	REDIS_SOCKET=$redis_socket NODE_ENV=production \
		daemon node "$web_user" node "$state/node/bench.js" "$state/own/node.sock"
}

# The bodies as files, in Redis for the others, and in warmfront's own tiers.
fill() {
	local name
	mkdir -p "$state/files"
	for name in b2k b50k b20m; do
		curl -sS --noproxy '*' -f -o "$state/files/$name" \
			"http://127.0.0.1:${port[memory]}/api/models?gateway=$name" ||
			fail "warmfront does not answer" "$state/log/memory.log"
		redis-cli -s "$redis_socket" -x set "bench:$name" \
			<"$state/files/$name" >>"$state/log/fill.log"
	done
	chmod -R go+rX "$state/files"
}

# What a hit needs; what a side needs besides, stands with it.
fastcgi_params() {
	sed -n -e '/^fastcgi_param/p' "$deploy/nginx/warmfront-locations.conf"
	sed -n -e '/^fastcgi_buffer/p;/^fastcgi_busy/p;/^fastcgi_max_temp/p' \
		-e '/^fastcgi_.*_timeout/p' "$deploy/nginx/warmfront-locations.conf"
}

# One side's server: what stands in its location comes from standard input.
nginx_server() { # SIDE
	printf 'server {\n\tlisten 127.0.0.1:%s backlog=4096;\n\tlocation / {\n%s\n\t}\n}\n' \
		"${port[$1]}" "$(cat)"
}

nginx_upstream() { # NAME SOCKET
	printf 'upstream %s {\n\tserver unix:%s max_fails=0;\n\tkeepalive 256;\n' "$1" "$2"
	printf '\tkeepalive_requests 10000000;\n}\n'
}

gzip_on='gzip on; gzip_types application/json; gzip_min_length 1024; gzip_vary on;'

nginx_servers() {
	local side cached keep='fastcgi_keep_conn on;'
	for side in memory near_off redis_off; do
		nginx_upstream "$side" "$state/$side.sock"
		nginx_server "$side" <<<"$keep fastcgi_pass $side;"
	done
	cached="fastcgi_cache bench; fastcgi_cache_key \$request_uri;
		fastcgi_cache_valid 200 1d; fastcgi_param HTTP_ACCEPT_ENCODING '';
		fastcgi_ignore_headers Cache-Control Expires Vary;"
	nginx_server fcache <<<"$(fastcgi_params) $cached $keep fastcgi_pass memory;"
	nginx_server fcache_gzip <<<"$(fastcgi_params) $cached $gzip_on $keep fastcgi_pass memory;"
	nginx_server file <<<"$gzip_on root $state/files; default_type application/json;
		rewrite ^ /\$arg_gateway break;"
	for side in plain plain_redis php; do
		nginx_server "$side" <<<"$gzip_on fastcgi_pass unix:$state/$side.sock;
			fastcgi_param QUERY_STRING \$query_string;
			fastcgi_param SCRIPT_FILENAME $top/tests/bench/bench.php;
			fastcgi_param REDIS_SOCKET $redis_socket; $(fastcgi_params)"
	done
	nginx_upstream go "$state/own/go.sock"
	nginx_server go <<<"$gzip_on $keep fastcgi_pass go;
		fastcgi_param SERVER_PROTOCOL \$server_protocol; $(fastcgi_params)"
	nginx_upstream node "$state/own/node.sock"
	nginx_server node <<<"$gzip_on proxy_pass http://node; proxy_http_version 1.1;
		proxy_set_header Connection ''; proxy_buffer_size 64k; proxy_buffers 16 64k;
		proxy_busy_buffers_size 256k;"
	nginx_upstream herd "$state/herd.sock"
	nginx_server herd <<<"$keep fastcgi_pass herd;"
}

start_front() {
	local dir=$state/nginx side next=18100
	make_dir '' "$dir"
	for side in "${all_sides[@]}" herd; do
		port[$side]=$(free_port "$next")
		next=$((port[$side] + 1))
	done
	cat >"$dir/nginx.conf" <<END
${web_user:+user $web_user;}
daemon off;
pid $dir/nginx.pid;
error_log stderr error;
worker_processes auto;
worker_rlimit_nofile $(ulimit -n);
events {
	worker_connections 8192;
}
http {
	access_log off;
	server_tokens off;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 10000000;
	client_body_temp_path $dir/body;
	fastcgi_temp_path $dir/fastcgi;
	proxy_temp_path $dir/proxy;
	scgi_temp_path $dir/scgi;
	uwsgi_temp_path $dir/uwsgi;
	fastcgi_cache_path $dir/cache keys_zone=bench:10m max_size=1g;
	add_header X-Content-Type-Options nosniff always;
	add_header X-Frame-Options DENY always;
	add_header Referrer-Policy no-referrer always;
$(fastcgi_params)
$(nginx_servers)
}
END
	daemon nginx '' nginx -c "$dir/nginx.conf" -p "$dir"
	watched=$daemon_pid await 20 curl -s --noproxy '*' -o /dev/null \
		"http://127.0.0.1:${port[memory]}/" ||
		fail "nginx did not start" "$state/log/nginx.log"
}

start_sides() {
	php_fpm=$(printf '%s\n' /usr/sbin/php-fpm[0-9]* | sort -V | tail -n 1)
	redis_socket=$state/redis/redis.sock
	chmod 755 "$state/redis"
	redis-cli -s "$redis_socket" config set maxmemory 2gb >/dev/null
	make_dir "$web_user" "$state/own"
	step "warmfront, in three settings"
	start_worker memory 1
	start_worker near_off 1 NEAR_CACHE=off
	start_worker redis_off 1 DISABLE_REDIS_CACHE=true
	start_front
	fill
	step "plain loops, PHP, Go and Node"
	start_plain plain "$state/files"
	start_plain plain_redis redis "$redis_socket"
	start_php
	start_go
	start_node
}
