#!/bin/sh
# bench/http.sh BUILD: Croft's HTTP server beside nginx (`return 200`, one worker), when nginx is
# installed, driven by the same client (bench_http) on the same machine.
set -eu
cd "$(dirname "$0")/.."
build=$1
shift
work=$(mktemp -d)
trap 'test -e "$work/nginx.pid" && kill "$(cat "$work/nginx.pid")"; rm -rf "$work"' EXIT
openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -keyout "$work/key.pem" \
	-out "$work/cert.pem" -days 2 -subj /CN=localhost 2>/dev/null
cat "$work/cert.pem" "$work/key.pem" >"$work/both.pem"
echo "== croft"
BENCH_CERT=$work/both.pem "$build/bench/bench_http" "$@"
nginx=$(command -v nginx || ls /usr/sbin/nginx 2>/dev/null || true)
[ -n "$nginx" ] || { echo "nginx is not installed: no comparison"; exit 0; }
port=$((20000 + $$ % 20000))
cat >"$work/nginx.conf" <<CONF
worker_processes 1;
pid $work/nginx.pid;
error_log $work/error.log;
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http {
	access_log off;
	keepalive_requests 1000000000;
	client_max_body_size 1m;
	client_body_buffer_size 1m;
	client_body_temp_path $work/a; proxy_temp_path $work/b; fastcgi_temp_path $work/c;
	uwsgi_temp_path $work/d; scgi_temp_path $work/e;
	server {
		listen 127.0.0.1:$port;
		listen 127.0.0.1:$((port + 1)) ssl;
		ssl_certificate $work/cert.pem;
		ssl_certificate_key $work/key.pem;
		location / { return 200 "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"; }
	}
}
CONF
"$nginx" -c "$work/nginx.conf" 2>/dev/null
sleep 0.3
worker=$(ps -o pid= --ppid "$(cat "$work/nginx.pid")" | head -1)
echo "== nginx, one worker"
"$build/bench/bench_http" --port "$port" --tls-port $((port + 1)) --pid "$worker"
