#!/usr/bin/env bash
# Is the count exact? A network of its own on this machine, to hold a count against.
#
#   lab/netns.sh up FOLDER          makes it; FOLDER holds the truth (truth.tsv), the scope file and the servers' files
#   lab/netns.sh run FOLDER CMD...  runs a command where the scanner stands
#   lab/netns.sh loss FOLDER N      from now on drops N of 100 packets at random, in each direction; 0 ends it
#   lab/netns.sh watch FOLDER N     from now on counts what the scanner sends first beyond N packets a second
#   lab/netns.sh beyond FOLDER      says how many packets that were
#   lab/netns.sh down FOLDER        ends every process in it and takes it away
#   ODD=1    some hosts behave badly (plan.py)
#   VPN=1    real daemons beside them: ocserv, openvpn, strongSwan, haproxy, OpenSSH and others (vpn.sh)
#   WIDE=16  the scope is the /16 around it
#
# Two namespaces joined by a veth pair: the scanner, and a router behind which a routed /22 lies. All addresses of the
# /22 are local there (AnyIP), so that no neighbour is looked for; the packet filter decides which of them exist.
# Nothing of it touches the machine's own network. Needs root, iproute2, nftables, nginx, openssl and python3; says
# what is missing and ends with 77.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

main() {
    local verb=${1:-} folder=${2:-}
    [[ -n $folder ]] || { sed -n '3,12p' "${BASH_SOURCE[0]}" >&2; exit 2; }
    shift 2
    case $verb in
        up) up "$folder" ;;
        run) exec ip netns exec "$(name "$folder")-scan" "$@" ;;
        loss) loss "$folder" "$1" ;;
        watch) watch "$folder" "$1" ;;
        beyond) ip netns exec "$(name "$folder")-far" nft list chain inet lab beyond | awk '/counter/ { print $(NF - 2) }' ;;
        down) down "$folder" ;;
        *) echo "error: up, run, loss, watch, beyond or down" >&2; exit 2 ;;
    esac
}

name() { cat "$1/name"; }

skip() {
    echo "skipped: $*" >&2
    exit 77
}

can_run() {
    ((EUID == 0)) || skip "namespaces of the network need root"
    local program
    for program in ip nft nginx openssl python3; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
    ip netns add "pc-try-$$" 2>/dev/null || skip "this kernel or container gives no namespaces of the network"
    ip netns delete "pc-try-$$"
}

up() {
    can_run
    mkdir -p "$1"
    folder=$(cd "$1" && pwd)
    # Several of them can stand at the same time.
    net="pc-$$"
    echo "$net" > "$folder/name"
    trap 'down "$folder"' ERR
    python3 "$here/plan.py" "$folder" ${ODD:+odd}
    [[ -z ${WIDE:-} ]] || sed -i "s|^networks.*|networks = [\"10.213.0.0/$WIDE\"]|" "$folder/scope.toml"
    join_namespaces
    ip netns exec "$net-far" nft -f - <<< "$(rules)"
    serve
    trap - ERR
}

join_namespaces() {
    ip netns add "$net-scan"
    ip netns add "$net-far"
    ip link add near netns "$net-scan" type veth peer name far netns "$net-far"
    ip -n "$net-scan" address add 192.0.2.1/30 dev near
    ip -n "$net-far" address add 192.0.2.2/30 dev far
    local namespace
    for namespace in scan far; do ip -n "$net-$namespace" link set lo up; done
    ip -n "$net-scan" link set near up
    ip -n "$net-far" link set far up
    ip -n "$net-scan" route add default via 192.0.2.2
    ip -n "$net-far" route add local "10.213.0.0/${WIDE:-22}" dev lo
    # Replies would be thinned out otherwise; a real network has many hosts, each with a limit of its own.
    ip netns exec "$net-far" sysctl -q -w net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000 \
        net.ipv4.icmp_msgs_burst=10000 net.ipv4.tcp_max_syn_backlog=65536 net.core.somaxconn=65536 >/dev/null
}

rules() {
    cat <<RULES
include "$folder/sets.nft"
table inet lab {
    set answering { type ipv4_addr; elements = \$answering }
    set refused { type ipv4_addr; elements = \$refused }
    set dropped { type ipv4_addr; elements = \$dropped }
    set forbidden { type ipv4_addr; elements = \$forbidden }
    chain loss_in { type filter hook prerouting priority -300; }
    chain loss_out { type filter hook output priority -300; }
    chain input {
        type filter hook input priority 0; policy drop;
        iifname "lo" accept
        ip daddr @answering accept
        ip daddr @refused accept
        ip daddr 192.0.2.0/30 accept
        ip daddr @dropped icmp type echo-request accept
        ip daddr @forbidden reject with icmp type admin-prohibited
    }
}
RULES
}

serve() {
    cat > "$folder/nginx.conf" <<CONF
worker_processes 2;
pid $folder/nginx.pid;
error_log $folder/nginx.log;
events { worker_connections 4096; }
http {
    access_log off;
    server_tokens off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    include $folder/servers.conf;
}
CONF
    ip netns exec "$net-far" nginx -c "$folder/nginx.conf"
    if [[ -s $folder/odd.tsv ]]; then
        ip netns exec "$net-far" python3 "$here/odd.py" "$folder/odd.tsv" "$folder/plain.crt" "$folder/plain.key" \
            > "$folder/odd.log" 2>&1 &
    fi
    if [[ -n ${VPN:-} ]]; then "$here/vpn.sh" "$net-far" "$folder"; fi
    wait_for_listeners
}

wait_for_listeners() {
    local try listening
    for try in $(seq 100); do
        listening=$(ip netns exec "$net-far" ss -Hltn 'sport = :443' | wc -l)
        ((listening < 300)) || return 0
        sleep 0.1
    done
    echo "error: only $listening of 300 hosts listen after ${try}00 ms" >&2
    return 1
}

loss() {
    local chain net
    net=$(name "$1")
    for chain in loss_in loss_out; do
        ip netns exec "$net-far" nft flush chain inet lab "$chain"
        (($2 == 0)) || ip netns exec "$net-far" nft add rule inet lab "$chain" numgen random mod 100 '<' "$2" drop
    done
}

# SYNs and echo requests. The fiftieth part of a second's packets may come at once.
watch() {
    local rate=$2
    ip netns exec "$(name "$1")-far" nft -f - <<RULES
table inet lab {
    chain beyond { limit rate over $rate/second burst $((rate / 50 + 20)) packets counter; }
    chain watch {
        type filter hook prerouting priority -310;
        iifname "far" tcp flags & (syn | ack) == syn jump beyond
        iifname "far" icmp type echo-request jump beyond
    }
}
RULES
}

down() {
    local net namespace process
    [[ -e $1/name ]] || return 0
    net=$(name "$1")
    for namespace in "$net-scan" "$net-far"; do
        ip netns list | grep -qw "$namespace" || continue
        # Only what runs in a namespace that this script made.
        for process in $(ip netns pids "$namespace"); do kill -9 "$process" 2>/dev/null || true; done
        ip netns delete "$namespace"
    done
    rm -f "$1/name"
}

main "$@"
