#!/bin/sh
# How fast is a folder held against a SHA-256 list, beside `sha256sum` in one process and in one a core?
#
#   bench/integrity.sh [FOLDER]          FOLDER is /usr unless given; it is read, never written
#   PORTCULLIS='cmd SOURCE --manifest LIST'   the command to measure; SOURCE and LIST are put in
#   RUNS=5 OUT=file                      how often, and where the result is written
#
# All of them read the same warm files in the same run, one after the other, round by round.
set -eu
export LC_ALL=C

folder=${1:-/usr}
runs=${RUNS:-5}
cores=$(nproc)
command=${PORTCULLIS:-"target/release/portcullis check SOURCE --manifest LIST"}
here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-"$here/runs/$(date -u +%Y-%m-%d)-integrity.md"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The list, made once by the peer itself; reading for it warms the cache.
(cd "$folder" && find . -xdev -type f -print0 | xargs -0 -P "$cores" -n 256 sha256sum) > "$work/list"
files=$(wc -l < "$work/list")
bytes=$(cd "$folder" && find . -xdev -type f -printf '%s\n' | awk '{ s += $1 } END { printf "%.0f", s }')
# Parts of 256 lines, so that the cores are busy to the end.
(cd "$work" && split -l 256 -a 5 list part.)
ours=$(printf '%s' "$command" | sed "s#SOURCE#$folder#; s#LIST#$work/list#")

one() { (cd "$folder" && sha256sum -c --quiet "$work/list"); }
all() { (cd "$folder" && ls "$work"/part.* | xargs -P "$cores" -n 1 sha256sum -c --quiet); }
deep() { (cd "$folder" && hashdeep -c sha256 -r -l -j "$cores" . > /dev/null); }
check() { $ours > "$work/out"; }

# Seconds of one run. A finding may end the product with 1; the peers with 1 where a file changed.
timed() {
    start=$(date +%s.%N)
    "$1" > /dev/null 2>&1 || [ $? -le 3 ]
    date +%s.%N | awk -v start="$start" '{ printf "%.2f\n", $1 - start }'
}

kinds="check all one"
if command -v hashdeep > /dev/null; then kinds="$kinds deep"; fi
check || [ $? -le 3 ] || { echo "cannot run: $ours" >&2; exit 2; }
for round in $(seq "$runs"); do
    for kind in $kinds; do
        timed "$kind" >> "$work/time.$kind"
        echo "round $round $kind $(tail -n 1 "$work/time.$kind") s" >&2
    done
done

median() { sort -n "$work/time.$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
name() {
    case $1 in
        check) echo "$command" ;;
        all) echo "sha256sum -c under xargs -P$cores" ;;
        one) echo "sha256sum -c, one process" ;;
        deep) echo "hashdeep -c sha256 -j$cores (hashing only)" ;;
    esac
}
base=$(median check)
{
    echo "# Integrity: a warm folder against a SHA-256 list"
    echo
    echo "- when: $(date -u +%Y-%m-%dT%H:%MZ)"
    echo "- machine: $cores cores, $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), SHA instructions: $(grep -qw sha_ni /proc/cpuinfo && echo yes || echo no), $(awk '/MemTotal/ { printf "%.0f GB", $2 / 1e6 }' /proc/meminfo)"
    echo "- system: $(. /etc/os-release && echo "$PRETTY_NAME"), kernel $(uname -r), $(sha256sum --version | head -n 1)"
    echo "- input: $folder, $files files, $bytes bytes; list of $files lines"
    echo "- load when it ended: $(cut -d' ' -f1-3 /proc/loadavg)"
    echo "- method: \`bench/integrity.sh\`, $runs rounds, the commands one after the other in each round; wall seconds"
    echo
    echo "| command | median | times ours | GB/s | all runs |"
    echo "|---|---|---|---|---|"
    for kind in $kinds; do
        m=$(median "$kind")
        awk -v m="$m" -v b="$base" -v bytes="$bytes" -v n="$(name "$kind")" -v all="$(tr '\n' ' ' < "$work/time.$kind")" \
            'BEGIN { printf "| `%s` | %.2f s | %.2f | %.2f | %s|\n", n, m, m / b, bytes / m / 1e9, all }'
    done
} > "$out"
cat "$out"
