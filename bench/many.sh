#!/usr/bin/env bash
# How long until two hundred proxies are shut and proved, beside one? Goal: within ten times of one.
#
#   bench/many.sh                   needs nginx
#   COUNT=200 AT_ONCE=64 RATE=20000 OUT=file PORTCULLIS=target/release/portcullis
#
# COUNT real nginx with one worker each on loopback, each with a product behind it in the same process. First one of them is
# planned, applied, proved and undone, then all of them, with one approval. All processes share the cores with the program.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
count=${COUNT:-200}
at_once=${AT_ONCE:-64}
rate=${RATE:-20000}
rounds=${RUNS:-3}
ours=$(realpath "${PORTCULLIS:-"$root/target/release/portcullis"}")
out=${OUT:-"$here/runs/$(date -u +%Y-%m-%d)-many.md"}
work=$(mktemp -d)
. "$here/lib.sh"
trap cleanup EXIT

cleanup() {
    local file
    for file in "$work"/*/nginx.pid; do
        [[ ! -s $file ]] || kill -TERM "$(cat "$file")" 2>/dev/null || true
    done
    sleep 1
    rm -rf "$work"
}

main() {
    local n round
    ulimit -n "$(ulimit -Hn)"
    for n in $(seq 1 "$count"); do front "$n"; done
    {
        printf 'organisation = "Bench"\nrate = %s\nnetworks = ["127.0.0.1/32"]\nports = [%s]\n' \
            "$rate" "$(seq -s , 20001 $((20000 + count)))"
        printf '[[instance]]\nname = "vpn1"\naddress = "127.0.0.1:20001"\n'
    } > "$work/scope.toml"
    sleep 1
    for round in $(seq 1 "$rounds"); do
        row "$round" 1
        row "$round" "$count"
    done
    report > "$out"
    cat "$out"
}

front() {
    local dir="$work/$1" at=$((20000 + $1)) behind=$((30000 + $1)) name
    mkdir "$dir"
    {
        echo "worker_processes 1; pid $dir/nginx.pid; error_log $dir/error.log; events { worker_connections 256; }"
        echo "http { access_log off;"
        for name in client_body proxy fastcgi uwsgi scgi; do echo "    ${name}_temp_path $dir/$name;"; done
        echo "    server { listen 127.0.0.1:$at; location / { proxy_pass http://127.0.0.1:$behind; } }"
        echo "    server { listen 127.0.0.1:$behind; location / { return 200 page; } }"
        echo "}"
    } > "$dir/nginx.conf"
    nginx -c "$dir/nginx.conf"
    echo "local at=127.0.0.1:$at config=$dir/nginx.conf pid-file=$dir/nginx.pid" >> "$work/all"
}

# One round: the first so many of the list.
row() {
    local round=$1 many=$2 case changes begun planned applied proved undone
    case="$work/case-$round-$many" changes="$work/changes-$round-$many"
    head -n "$many" "$work/all" > "$work/hosts"
    "$ours" case --case "$case" init -q
    begun=$(date +%s.%N)
    "$ours" mitigate plan -q --pack "$root/packs/ed-21-03" --kind nginx --instance vpn1 --scope "$work/scope.toml" \
        --hosts "$work/hosts" --case "$case" -o "$changes" > /dev/null
    planned=$(date +%s.%N)
    "$ours" mitigate apply "$changes" -q --by Bench --scope "$work/scope.toml" --case "$case" --at-once "$at_once" \
        --approve "$(sha256sum "$changes/changes.sha256" | cut -c1-64)" > "$work/applied" || true
    applied=$(date +%s.%N)
    "$ours" mitigate prove "$changes" -q --scope "$work/scope.toml" --case "$case" --at-once "$at_once" \
        > "$work/proved" || true
    proved=$(date +%s.%N)
    "$ours" mitigate undo "$changes" -q --by Bench --scope "$work/scope.toml" --case "$case" --at-once "$at_once" \
        > "$work/undone" || true
    undone=$(date +%s.%N)
    printf '| %s | %s | %.2f s | %.2f s | %.2f s | %s | %.2f s | %s | %.2f s |\n' "$round" "$many" \
        "$(bc <<< "$planned - $begun")" "$(bc <<< "$applied - $planned")" "$(bc <<< "$applied - $begun")" \
        "$(tail -n 1 "$work/applied")" "$(bc <<< "$proved - $applied")" "$(tail -n 1 "$work/undone")" \
        "$(bc <<< "$undone - $proved")" | tee -a "$work/rows" >&2
    grep -v '^holds' "$work/applied" | head -n 5 >&2 || true
}

report() {
    cat <<HEAD
# Many: $count proxies shut and proved, beside one

$(machine)
- method: \`bench/many.sh\`, $rounds rounds, $at_once at once, a rate of $rate requests a second for all together
- every proxy is an nginx of its own with one worker; all of them and the program share the cores

| round | proxies | planned | applied and proved | both | what became of them | proved again | undone | in |
|---|---|---|---|---|---|---|---|---|
$(cat "$work/rows")
HEAD
}

main "$@"
