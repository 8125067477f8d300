#!/usr/bin/env bash
# How fast is a network counted, beside the scanners that people use instead?
#
#   bench/discover.sh               needs root and what lab/netns.sh needs; nmap, zmap and masscan where they are installed
#   RUNS=5 OUT=file PORTCULLIS=target/release/portcullis LONG=1 (adds nmap -sV, three minutes a run)
#
# All ask the same lab of namespaces, the yardstick: a routed /22 with 300 HTTPS hosts (24 instances of the product in six
# versions and four decoys among them), 200 that refuse, 24 that drop or are forbidden, and nobody on 500 addresses; then
# the /16 around it. Scanner and hosts share the processors. `found` is what each says it found.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
each=${RUNS:-5}
ours=${PORTCULLIS:-"$here/../target/release/portcullis"}
out=${OUT:-"$here/runs/$(date -u +%Y-%m-%d)-discover.md"}
work=$(mktemp -d)
. "$here/lib.sh"
cleanup() {
    "$here/../lab/netns.sh" down "$work/lab" || true
    "$here/../lab/netns.sh" down "$work/wide" || true
    rm -rf "$work"
}
trap cleanup EXIT

pack="$here/../packs/ed-21-03"
count="$ours discover --pack $pack --json"
# What a count found: open ports, instances, versions that are named.
counted='jq -s -r "([.[] | select(.type == \"ledger\")][0].answered | tostring) + \" open, \" + ([.[] | select(.type == \"instance\")] | length | tostring) + \" instances, \" + ([.[] | select(.type == \"instance\" and .version.value != null)] | length | tostring) + \" versions\""'
opens='grep -oE "([0-9]+\.){3}[0-9]+" | sort -u | wc -l | sed "s/$/ open/"'

in_lab() { echo "exec ip netns exec $(cat "$work/lab/name")-scan $*"; }
in_wide() { echo "exec ip netns exec $(cat "$work/wide/name")-scan $*"; }
packets() { in_lab "$count --scope $work/lab/scope.toml"; }
connecting() { in_lab "$count --scope $work/lab/scope.toml --engine connect"; }
wide() { in_wide "$count --scope $work/wide/scope.toml"; }
nmap_ports() { in_lab "nmap -sS -Pn -n -T4 --open -p443 10.213.0.0/22 -oG -"; }
nmap_default() { in_lab "nmap -sS -n --open -p443 10.213.0.0/22 -oG -"; }
nmap_titles() { in_lab "nmap -sS -Pn -n -T4 --open -p443 --script http-title,ssl-cert 10.213.0.0/22 -oG -"; }
nmap_versions() { in_lab "nmap -sV -Pn -n -T4 --open -p443 10.213.0.0/22 -oG -"; }
zmap_ports() { in_lab "timeout 30 zmap -p 443 -r 10000 -w $work/net -b /dev/null -o - -q -c 2 -i near -G $gateway"; }
masscan_ports() { in_lab "timeout 25 masscan --includefile $work/net -p443 --rate 10000 --wait 2"; }
masscan_wide() { in_wide "timeout 60 masscan --includefile $work/net16 -p443 --rate 50000 --wait 2"; }

# What the last run of a kind found.
found() {
    case $1 in
        packets | connecting | wide) sh -c "$counted" < "$work/$1.out" ;;
        nmap_*) grep -F 443/open "$work/$1.out" | sh -c "$opens" ;;
        *) sh -c "$opens" < "$work/$1.out" ;;
    esac
}

line() { row "$1" "$2" packets | sed "s/|\$/| $(found "$1") |/"; }

"$here/../lab/netns.sh" up "$work/lab"
echo 10.213.0.0/22 > "$work/net"
echo 10.213.0.0/16 > "$work/net16"
"$here/../lab/netns.sh" run "$work/lab" curl -sk -m 2 https://10.213.0.1/ > "$work/warm" || true
gateway=$("$here/../lab/netns.sh" run "$work/lab" awk '$1 == "192.0.2.2" { print $4 }' /proc/net/arp)
kinds="packets connecting"
if command -v nmap > /dev/null; then kinds="$kinds nmap_ports nmap_default nmap_titles"; fi
if command -v zmap > /dev/null; then kinds="$kinds zmap_ports"; fi
if command -v masscan > /dev/null; then kinds="$kinds masscan_ports"; fi
rounds "$each" $kinds
if [ -n "${LONG:-}" ]; then rounds 1 nmap_versions; fi
"$here/../lab/netns.sh" down "$work/lab"
WIDE=16 "$here/../lab/netns.sh" up "$work/wide"
rounds "$each" wide
if command -v masscan > /dev/null; then rounds 1 masscan_wide; fi

{
    echo "# Discover: a routed /22 with 300 HTTPS hosts, and the /16 around it"
    echo
    machine
    echo "- method: \`bench/discover.sh\`, $each rounds, one after the other in each round; medians of whole processes"
    echo "- scope: port 443, rate 50000 packets and connections a second, all together; scanner and hosts share the cores"
    echo "- to be found: 300 open, 28 instances with versions (24 and 4 decoys, on 34 addresses)"
    echo
    echo "| command | wall | times ours | CPU | times ours | peak memory | all wall times | found |"
    echo "|---|---|---|---|---|---|---|---|"
    line packets '`discover`, /22: ports, names, versions'
    line connecting '`discover --engine connect`, /22: the same without raw packets'
    if command -v nmap > /dev/null; then
        line nmap_ports '`nmap -sS -Pn -n -T4`, /22: ports'
        line nmap_default '`nmap -sS -n`, /22: ports'
        line nmap_titles '`nmap -sS -Pn -n -T4 --script http-title,ssl-cert`, /22: ports, titles'
    fi
    if [ -n "${LONG:-}" ]; then line nmap_versions '`nmap -sV -Pn -n -T4`, /22: ports, services (one run)'; fi
    if command -v zmap > /dev/null; then line zmap_ports '`zmap -r 10000 -c 2`, /22: ports'; fi
    if command -v masscan > /dev/null; then
        line masscan_ports '`masscan --rate 10000 --wait 2`, /22: ports, ended after 25 s'
    fi
    line wide '`discover`, /16: ports, names, versions'
    if command -v masscan > /dev/null; then
        line masscan_wide '`masscan --rate 50000 --wait 2`, /16: ports (one run), ended after 60 s'
    fi
} > "$out"
cat "$out"
