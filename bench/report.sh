#!/bin/sh
# How long does the report of a large case take, in each form, and how much memory?
#
#   bench/report.sh [INSTANCES]     10000 unless given
#   RUNS=3 OUT=file PORTCULLIS=target/release/portcullis
set -eu
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

instances=${1:-10000}
runs=${RUNS:-3}
ours=$(realpath "${PORTCULLIS:-"$here/../target/release/portcullis"}")
out=${OUT:-"$here/runs/$(date -u +%Y-%m-%d)-report.md"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 "$here/report.py" "$work/case" "$instances"

# What is made goes into a file; whoever counts runs wants to see a word.
make() {
    echo "cd $here/.. && $ours report render --case $work/case --at 2021-04-22T00:00:00Z --to $1 -o $work/report.$1 && echo made"
}
as_xlsx() { make xlsx; }
as_html() { make html; }
as_pdf() { make pdf; }
as_json() { make json; }
as_csv() { make csv; }
as_text() { make text; }
as_stix() { make stix; }
as_csaf() { make csaf; }
as_incident() { make incident; }

forms="xlsx html pdf json csv text stix csaf incident"
table() {
    for form in $forms; do
        awk -v name="$form" -v wall="$(median "as_$form" 1)" -v cpu="$(median "as_$form" 2)" \
            -v memory="$(median "as_$form" 3)" -v bytes="$(stat -c %s "$work/report.$form")" \
            -v all="$(awk '{ printf "%s ", $1 }' "$work/as_$form.time")" \
            'BEGIN { printf "| %s | %.2f s | %.2f s | %.0f MB | %.1f MB | %s|\n", name, wall, cpu, memory / 1000, bytes / 1e6, all }'
    done
}

rounds "$runs" as_xlsx as_html as_pdf as_json as_csv as_text as_stix as_csaf as_incident

{
    echo "# Report: $instances instances in each form"
    echo
    machine
    echo "- input: $instances instances with a check, a finding, a gap and answers of people each; one in ten with a mismatch"
    echo "- method: \`bench/report.sh\`, $runs rounds, one after the other in each round; medians of whole processes, which"
    echo "  read and verify the case each time"
    echo "- goal: xlsx, html and pdf in under 10 s and 500 MB each"
    echo
    echo "| form | wall | CPU | peak memory | size | all wall times |"
    echo "|---|---|---|---|---|---|"
    table
} | tee "$out"
