#!/usr/bin/env bash
# How fast is evidence in each form, beside the programs that people use instead?
#
# Usage: bench/forms.sh SOURCE_FOLDER WORK_FOLDER [ROUNDS]. Copies nothing of the machine's own state: the tree is
# copied to WORK_FOLDER, packed there in every form, and each form is checked against one SHA-256 list,
# round by round with its peers, warm. Prints medians and ratios as a table.

set -euo pipefail

readonly SOURCE=$1 WORK=$2 ROUNDS=${3:-5}
readonly PORTCULLIS=${PORTCULLIS:-target/release/portcullis}

main() {
    mkdir -p "$WORK"
    [[ -d $WORK/tree ]] || prepare
    local round form
    rm -f "$WORK"/time-*
    for round in $(seq "$ROUNDS"); do
        timed peer-xargs xargs_sum
        timed peer-openssl openssl_sum
        timed peer-tar-zstd tar_sum
        timed peer-aide aide_check
        for form in tree ext4.raw disk.qcow2 tree.tar tree.tar.zst; do
            timed "$form" portcullis "$WORK/$form"
        done
    done
    table
}

prepare() {
    cp -a "$SOURCE" "$WORK/tree"
    (cd "$WORK/tree" && find . -type f -print0 | xargs -0 sha256sum >"$WORK/list")
    local size
    size=$(du -sm --apparent-size "$WORK/tree" | cut -f1)
    mke2fs -q -t ext4 -d "$WORK/tree" "$WORK/ext4.raw" "$((size * 13 / 10 + 200))M"
    qemu-img convert -f raw -O qcow2 "$WORK/ext4.raw" "$WORK/disk.qcow2"
    tar --numeric-owner -cf "$WORK/tree.tar" -C "$WORK/tree" .
    tar --numeric-owner --zstd -cf "$WORK/tree.tar.zst" -C "$WORK/tree" .
    printf '%s\n' "database_in=file:$WORK/aide.db" "database_out=file:$WORK/aide.db" "report_url=file:/dev/null" \
        "$WORK/tree sha256+p+u+g+s+m" >"$WORK/aide.conf"
    aide --init --config="$WORK/aide.conf" >/dev/null
}

portcullis() { "$PORTCULLIS" -q check "$1" --manifest "$WORK/list" >/dev/null || true; }
xargs_sum() { (cd "$WORK/tree" && find . -type f -print0 | xargs -0 -P2 -n 500 sha256sum >/dev/null); }
openssl_sum() { (cd "$WORK/tree" && find . -type f -print0 | xargs -0 openssl dgst -sha256 >/dev/null); }
tar_sum() { tar --zstd -xOf "$WORK/tree.tar.zst" | sha256sum >/dev/null; }
aide_check() { aide --check --config="$WORK/aide.conf" >/dev/null || true; }

timed() {
    local name=$1 begun ended
    shift
    begun=$(date +%s%N)
    "$@"
    ended=$(date +%s%N)
    echo $(((ended - begun) / 1000000)) >>"$WORK/time-$name"
}

median() { sort -n "$WORK/time-$1" | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

table() {
    local tree name
    tree=$(median tree)
    printf '| what | ms (median of %s) | times our folder |\n|---|---|---|\n' "$ROUNDS"
    for name in tree ext4.raw disk.qcow2 tree.tar tree.tar.zst peer-xargs peer-openssl peer-tar-zstd peer-aide; do
        awk -v name="$name" -v ms="$(median "$name")" -v tree="$tree" \
            'BEGIN { printf "| %s | %d | %.2f |\n", name, ms, ms / tree }'
    done
}

main
