#!/usr/bin/env bash
# Does the exercise go from a directive to a report, exactly like a real response?
#
# Runs the README's exercise in a temporary folder, then asks the case and the report what they say. It is the program that
# the tests were built with: `cargo run` leaves out what only tests ask of libraries, and would build most of them again.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ci/expect.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The exercise makes its folder under TMPDIR. Exit 1: somebody must act, since one instance is broken into.
[[ -x $PORTCULLIS ]] || cargo build --release --workspace --locked
expect_exit 1 env TMPDIR="$work" "$PORTCULLIS" respond --lab
case=$(echo "$work"/portcullis-lab-*/case)
report=$case/report-ed-21-03
for form in html json txt; do
    expect "the report has its $form form" test -s "$report.$form"
done

says() { jq -e "$@" "$report.json" >/dev/null; }
verdict='.instances[] | select(.name == $name) | .conclusion.verdict'
expect "three instances are counted" says '.instances | length == 3'
expect "the instance that shows nothing is not called broken into" \
    says --arg name vpn1 "$verdict | . == \"no-evidence-found\" or . == \"inconclusive\""
expect "the changed sign-in page and the added file are found" \
    says --arg name vpn2 "$verdict | . == \"compromised\" or . == \"mismatch\""
expect "the instance without evidence has no verdict" \
    says '.instances[] | select(.name == "vpn3") | .conclusion == null and (.has_evidence | not)'
expect "what is owed is owed to people" says '.open.open > 0 and .open.late == 0'

expect_exit 0 "$PORTCULLIS" case verify --case "$case"
expect "the case ends where the report says" grep -qF "$(jq -r .head "$report.json")" <("$PORTCULLIS" case verify --case "$case" 2>&1)

# The same case and the same time give the same bytes.
at=$(jq -r .at "$report.json")
for n in 1 2; do
    expect_exit 0 "$PORTCULLIS" report render --to html --at "$at" --case "$case" --output "$work/$n.html"
done
expect "the page is the same when it is made again" cmp "$work/1.html" "$work/2.html"
expect "the page is the one that the response wrote" cmp "$work/1.html" "$report.html"

# A record that is changed behind the case's back is named.
sqlite3 "$case/case.db" "UPDATE record SET body = replace(body, 'vpn2', 'vpn1') WHERE seq = (SELECT max(seq) FROM record WHERE instance = 'vpn2')"
expect_exit 2 "$PORTCULLIS" case verify --case "$case"
