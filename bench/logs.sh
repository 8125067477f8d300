#!/bin/sh
# How fast are access logs held against Sigma rules, and does the time grow with the log alone?
#
#   bench/logs.sh              makes logs of 0.1, 1 and 10 GB in $TMPDIR
#   SIZES='100000000 1000000000' RULES=300 RUNS=3 OUT=file PORTCULLIS=target/release/portcullis
#
# Beside it `grep -F -f`, which only says that some word of some rule is in a line.
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

runs=${RUNS:-3}
rules=${RULES:-300}
sizes=${SIZES:-"100000000 1000000000 10000000000"}
ours=${PORTCULLIS:-"$here/../target/release/portcullis"}
out=${OUT:-"$here/runs/$(date -u +%Y-%m-%d)-logs.md"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 "$here/generate.py" sigma "$rules" > "$work/rules.yml"
grep -o "'x-[^']*'" "$work/rules.yml" | tr -d "'" | sort -u > "$work/words"
printf '203.0.113.77\nexample.invalid\n' > "$work/indicators.txt"

{
    echo "# Logs: an access log against $rules Sigma rules"
    echo
    echo "- rules: \`bench/generate.py sigma $rules\`, $(wc -l < "$work/words") words; log: \`bench/generate.py access BYTES\`"
    echo "- method: \`bench/logs.sh\`, $runs rounds, one after the other in each round; medians of whole processes"
} > "$work/report"
for size in $sizes; do
    log="$work/$size/var/log/nginx/access.log"
    mkdir -p "$(dirname "$log")"
    python3 "$here/generate.py" access "$size" > "$log"
    check() { echo "$ours check $work/$size --sigma $work/rules.yml --json"; }
    indicators() { echo "$ours check $work/$size --sigma $work/rules.yml --indicators $work/indicators.txt --json"; }
    words() { echo "exec grep -c -F -f $work/words $log"; }
    rm -f "$work"/*.time
    rounds "$runs" check indicators words
    {
        echo
        echo "## $(wc -c < "$log") bytes, $(wc -l < "$log") lines; matches: $(grep -c '"code":"sigma-match"' "$work/check.out")"
        echo
        echo "$(awk -v bytes="$size" -v wall="$(median check 1)" 'BEGIN { printf "%.0f", bytes / wall / 1e6 }') MB a second."
        echo
        echo "| command | wall | times ours | CPU | times ours | peak memory | all wall times |"
        echo "|---|---|---|---|---|---|---|"
        row check '`check --sigma R`' check
        row indicators '`check --sigma R --indicators I`' check
        row words '`grep -c -F -f WORDS`' check
    } >> "$work/report"
    rm -rf "${work:?}/$size"
done
{
    sed -n 1,2p "$work/report"
    machine
    sed 1,2d "$work/report"
} > "$out"
cat "$out"
