#!/bin/sh
# How fast are integrity and hunting together, beside engines that hunt in every file?
#
#   bench/hunt.sh [FOLDER]     FOLDER is /usr unless given; it is copied to $TMPDIR, and files that match are put in
#   RULES=5224 RUNS=3 OUT=file PORTCULLIS=target/release/portcullis
#
# Peers: `yara` (Debian), and `yr` (yara-x-cli) where it is on the PATH. All read the same warm files in the same run.
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

folder=${1:-/usr}
runs=${RUNS:-3}
rules=${RULES:-5224}
ours=${PORTCULLIS:-"$here/../target/release/portcullis"}
out=${OUT:-"$here/runs/$(date -u +%Y-%m-%d)-hunt.md"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cores=$(nproc)

python3 "$here/generate.py" yara "$rules" > "$work/rules.yar"
mkdir "$work/tree"
cp -a "$folder/." "$work/tree/"
(cd "$work/tree" && find . -type f -print0 | xargs -0 -P "$cores" -n 256 sha256sum) > "$work/list"
python3 "$here/generate.py" planted "$rules" "$work/tree"
files=$(find "$work/tree" -type f | wc -l)
bytes=$(find "$work/tree" -type f -printf '%s\n' | awk '{ s += $1 } END { printf "%.0f", s }')

integrity() { echo "$ours check $work/tree --manifest $work/list --json"; }
vouched() { echo "$ours check $work/tree --manifest $work/list --yara $work/rules.yar --json"; }
first() { echo "XDG_CACHE_HOME=\$(mktemp -d -p $work) $(vouched)"; }
everything() { echo "$ours check $work/tree --manifest $work/list --yara $work/rules.yar --no-vouch --json"; }
by_yara() { echo "exec yara -w -r -p $cores $work/rules.yar $work/tree"; }
by_yr() { echo "exec yr scan --recursive --threads $cores --disable-warnings $work/rules.yar $work/tree"; }

# What is compiled once is kept for this user; the first run of a rule set has a row of its own.
export XDG_CACHE_HOME="$work/cache"
kinds="integrity first vouched everything by_yara"
if command -v yr > /dev/null; then kinds="$kinds by_yr"; fi
rounds "$runs" $kinds

ours_found() { grep -c '"code":"yara-match"' "$work/$1.out" || true; }
theirs_found() { grep -c '^made_' "$work/$1.out" || true; }
{
    echo "# Hunting: $rules YARA rules over a warm folder"
    echo
    machine
    echo "- input: a copy of $folder with planted files that match: $files files, $bytes bytes"
    echo "- rules: \`bench/generate.py yara $rules\`; $(yara --version | sed 's/^/yara /')$(command -v yr > /dev/null && yr --version | sed 's/^/, /')"
    echo "- method: \`bench/hunt.sh\`, $runs rounds, one after the other in each round; medians of whole processes"
    echo "- matches: vouched $(ours_found vouched), everything $(ours_found everything), yara $(theirs_found by_yara)$(command -v yr > /dev/null && echo ", yr $(theirs_found by_yr)")"
    echo
    echo "| command | wall | times ours (vouched) | CPU | times ours (vouched) | peak memory | all wall times |"
    echo "|---|---|---|---|---|---|---|"
    row vouched '`check --manifest L --yara R`: integrity and hunting, vouched files passed over' vouched
    row first 'the same with rules that were never compiled here' vouched
    row everything '`check --manifest L --yara R --no-vouch`: integrity and hunting in every file' vouched
    row integrity '`check --manifest L`: integrity alone' vouched
    row by_yara "\`yara -r -p $cores\`: hunting in every file" vouched
    if command -v yr > /dev/null; then row by_yr "\`yr scan --recursive --threads $cores\`: hunting in every file" vouched; fi
} > "$out"
cat "$out"
