#!/bin/sh
# How fast is a folder held against a SHA-256 list, beside the programs that people use instead, and beside the hardware?
#
#   bench/integrity.sh [FOLDER]     FOLDER is /usr unless given; it is copied to $TMPDIR, each name a file of its own
#   RUNS=5 OUT=file PORTCULLIS=target/release/portcullis
#
# All read the same warm files in the same run. The product reads a file with several names once and its peers once for
# each name: in the copy no file has two. Peers: coreutils, openssl, and hashdeep and aide where they are installed.
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

folder=${1:-/usr}
runs=${RUNS:-5}
ours=${PORTCULLIS:-"$here/../target/release/portcullis"}
out=${OUT:-"$here/runs/$(date -u +%Y-%m-%d)-integrity.md"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cores=$(nproc)
tree="$work/tree"

cp -rP --preserve=mode,timestamps "$folder" "$tree"
(cd "$tree" && find . -type f -print0 | xargs -0 -P "$cores" -n 256 sha256sum) > "$work/list"
files=$(wc -l < "$work/list")
bytes=$(find "$tree" -type f -printf '%s\n' | awk '{ s += $1 } END { printf "%.0f", s }')

# Files over 1 MB, alone: there the hash is all that counts.
mkdir "$work/large"
for n in $(seq 40); do head -c 50000000 /dev/urandom > "$work/large/$n"; done
(cd "$work/large" && sha256sum -- *) > "$work/large.list"

check() { echo "exec $ours check $tree --manifest $work/list --json"; }
xargs_sum() { echo "cd $tree && find . -type f -print0 | xargs -0 -P $cores -n 256 sha256sum"; }
openssl_sum() { echo "cd $tree && find . -type f -print0 | xargs -0 -n 4096 openssl dgst -sha256"; }
reading() { echo "cd $tree && find . -type f -print0 | xargs -0 -P $cores -n 256 cat > /dev/null && echo read"; }
hashdeep_sum() { echo "cd $tree && exec hashdeep -c sha256 -r -l -j $cores ."; }
aide_check() { echo "aide --check --config=$work/aide.conf"; }
large() { echo "exec $ours check $work/large --manifest $work/large.list --json"; }

kinds="check xargs_sum openssl_sum reading large"
if command -v hashdeep > /dev/null; then kinds="$kinds hashdeep_sum"; fi
if command -v aide > /dev/null; then
    printf '%s\n' "database_in=file:$work/aide.db" "database_out=file:$work/aide.db" \
        "$tree sha256+p+u+g+s+m" > "$work/aide.conf"
    aide --init --config="$work/aide.conf" > /dev/null
    kinds="$kinds aide_check"
fi
speed() {
    openssl speed -mr -evp sha256 -bytes 1048576 -seconds 3 -multi "$cores" 2> /dev/null |
        awk -F: '/^\+F:/ { print $NF }' | tail -n 1
}
before=$(speed)
rounds "$runs" $kinds
after=$(speed)

{
    echo "# Integrity: a warm folder against a SHA-256 list"
    echo
    machine
    echo "- input: a copy of $folder without further names, $files files, $bytes bytes"
    echo "- method: \`bench/integrity.sh\`, $runs rounds, one after the other in each round; medians of whole processes"
    echo
    echo "| command | wall | times ours | CPU | times ours | peak memory | all wall times |"
    echo "|---|---|---|---|---|---|---|"
    row check '`check --manifest LIST`' check
    row xargs_sum "\`sha256sum\` under \`xargs -P$cores\`" check
    row openssl_sum '`openssl dgst -sha256`, one process' check
    if command -v hashdeep > /dev/null; then row hashdeep_sum "\`hashdeep -c sha256 -j$cores\`" check; fi
    if command -v aide > /dev/null; then row aide_check '`aide --check`' check; fi
    row reading "reading alone (\`cat\` under \`xargs -P$cores\`)" check
    echo
    awk -v before="$before" -v after="$after" -v wall="$(median check 1)" -v reading="$(median reading 1)" \
        -v bytes="$bytes" -v large="$(median large 1)" -v cores="$cores" 'BEGIN {
        speed = (before + after) / 2
        hashing = bytes / speed
        floor = hashing > reading ? hashing : reading
        printf "`openssl speed -evp sha256 -bytes 1048576 -multi %d`: %.2f GB/s before, %.2f GB/s after.\n", cores, before / 1e9, after / 1e9
        printf "Hashing at that speed would take %.2f s, reading alone took %.2f s: ours is %.2f times the larger.\n\n", hashing, reading, wall / floor
        printf "40 files of 50 MB: %.2f s, %.2f GB/s, %.0f %% of `openssl speed`.\n", large, 2 / large, 100 * 2e9 / large / speed
    }'
} > "$out"
cat "$out"
