#!/usr/bin/env bash
# How long until a hole is shut and proved, and does ordinary load lose a request while it is done and undone?
#
#   bench/mitigate.sh               needs nginx, haproxy, wrk
#   RUNS=5 OUT=file PORTCULLIS=target/release/portcullis
#
# A real proxy on loopback before a server that answers everything, 50 visitors who ask 1,000 times a second together. While
# they do, the workaround is planned, applied, proved, and undone. What wrk says went wrong is counted: connections that
# failed, reads and writes that failed, answers that were late, and answers that are no 2xx or 3xx. Twice: each request on a
# connection of its own, where every error is a request that was lost; and on kept connections, where wrk counts as a read
# error too that a connection on which nothing was asked is closed, once by the change and once by the undo.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
each=${RUNS:-5}
ours=$(realpath "${PORTCULLIS:-"$root/target/release/portcullis"}")
out=${OUT:-"$here/runs/$(date -u +%Y-%m-%d)-mitigate.md"}
work=$(mktemp -d)
. "$here/lib.sh"
trap cleanup EXIT

cleanup() {
    local file
    for file in "$work"/*.pid; do
        [[ ! -s $file ]] || kill -TERM "$(cat "$file")" 2>/dev/null || true
    done
    rm -rf "$work"
}

main() {
    mkdir "$work/etc"
    # Each connection asks, waits for the answer and 50 ms: 50 of them are 1,000 requests a second.
    printf 'function delay() return 49 end\n' > "$work/kept.lua"
    printf 'wrk.headers["Connection"] = "close"\nfunction delay() return 48 end\n' > "$work/fresh.lua"
    product
    front_nginx
    front_haproxy
    sleep 1
    for kind in nginx haproxy; do
        for load in fresh kept; do
            for round in $(seq "$each"); do one "$kind" "$round" "$load"; done
        done
    done
    report > "$out"
    cat "$out"
}

temporary() {
    local name
    for name in client_body proxy fastcgi uwsgi scgi; do echo "    ${name}_temp_path $work/$1-$name;"; done
}

product() {
    cat > "$work/product.conf" <<CONF
worker_processes 1;
pid $work/product.pid;
error_log $work/product.log;
events { worker_connections 2048; }
http {
    access_log off;
    keepalive_requests 1000000;
$(temporary product)
    server { listen 127.0.0.1:18999; location / { return 200 page; } }
}
CONF
    nginx -c "$work/product.conf"
}

front_nginx() {
    cat > "$work/etc/nginx.conf" <<CONF
worker_processes 2;
pid $work/nginx.pid;
error_log $work/nginx.log;
events { worker_connections 2048; }
http {
    access_log off;
    keepalive_requests 1000000;
$(temporary nginx)
    upstream product { server 127.0.0.1:18999; keepalive 64; }
    server {
        listen 127.0.0.1:18001;
        location / { proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://product; }
    }
}
CONF
    nginx -c "$work/etc/nginx.conf"
}

front_haproxy() {
    cat > "$work/etc/haproxy.cfg" <<CONF
global
    maxconn 2000
    stats socket $work/haproxy.sock level admin expose-fd listeners
defaults
    mode http
    timeout client 20s
    timeout server 20s
    timeout connect 5s
frontend front
    bind 127.0.0.1:18002
    default_backend product
backend product
    server product 127.0.0.1:18999
CONF
    haproxy -W -D -q -p "$work/haproxy.pid" -f "$work/etc/haproxy.cfg"
}

# One round: load, and in the midst of it plan, apply, prove, undo.
one() {
    local kind=$1 round=$2 load=$3 port config case begun done
    case $kind in nginx) port=18001 config=nginx.conf ;; *) port=18002 config=haproxy.cfg ;; esac
    printf 'organisation = "Bench"\nrate = 5000\n[[instance]]\nname = "vpn1"\naddress = "127.0.0.1:%s"\n' "$port" \
        > "$work/scope.toml"
    case="$work/case-$kind-$load-$round"
    "$ours" case --case "$case" init -q
    wrk -t 2 -c 50 -d 12s -s "$work/$load.lua" "http://127.0.0.1:$port/page" > "$work/wrk" &
    sleep 2
    begun=$(date +%s.%N)
    "$ours" mitigate plan -q --pack "$root/packs/ed-21-03" --kind "$kind" --instance vpn1 --scope "$work/scope.toml" \
        --config "$work/etc/$config" --pid-file "$work/$kind.pid" -o "$work/change.toml" > /dev/null
    "$ours" mitigate apply "$work/change.toml" -q --by Bench --scope "$work/scope.toml" --case "$case" \
        --approve "$(sha256sum "$work/change.toml" | cut -c1-64)" > "$work/proof"
    done=$(date +%s.%N)
    "$ours" mitigate undo "$work/change.toml" -q --by Bench --scope "$work/scope.toml" --case "$case"
    wait $!
    awk -v kind="$kind" -v load="$load" -v took="$(echo "$done - $begun" | bc)" -v proof="$(head -n 1 "$work/proof")" '
        /requests in/ { requests = $1 }
        /Socket errors/ { errors = $0; sub(/^ */, "", errors) }
        /Non-2xx/ { other = $NF }
        /Requests\/sec/ { rate = $2 }
        END {
            printf "| %s | %s | %.2f s | %s | %.0f | %d | %s | %d |\n", kind, load, took, proof, rate, requests,
                errors ? errors : "none", other
        }' "$work/wrk" | tee -a "$work/rows" >&2
}

report() {
    cat <<HEAD
# Mitigate: a workaround planned, applied and proved under load, and undone

$(machine)
- method: \`bench/mitigate.sh\`, $each rounds for each proxy; wrk with 50 visitors on the same cores, 12 s a round
- from the beginning of \`plan\` to the end of \`apply\`, with its proof; the undo comes after it, under the same load

| proxy | connections | planned, applied, proved | the proof | load a second | requests | socket errors | no 2xx or 3xx |
|---|---|---|---|---|---|---|---|
$(cat "$work/rows")
HEAD
}

main "$@"
