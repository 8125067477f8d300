#!/usr/bin/env bash
# Real daemons for the lab, each at an address of its own: what do VPNs answer over UDP, and what stands beside them?
#
#   lab/vpn.sh NAMESPACE FOLDER     started by netns.sh; ended with the namespace
#
#   198.51.100.1  ocserv               TCP and UDP 443
#   198.51.100.2  openvpn              UDP 1194
#   198.51.100.3  strongSwan's charon  UDP 500 and 4500
#   198.51.100.4  coturn, DTLS         UDP 443: openssl's own server talks to the first that asks, and to nobody else
#   198.51.100.5  wireguard-go         UDP 51820: silent by design
#   198.51.100.6  openvpn, tls-auth    UDP 1194: silent to whoever has no key
#   198.51.100.7  nobody               every port refuses
#   198.51.100.8  haproxy              TCP 443: a front that is none of the products
#   198.51.100.9  OpenSSH              TCP 22, and at 198.51.100.10: one instance of two addresses
#   198.51.100.11 charon, IKEv1        UDP 500 and 4500: the same daemon, which takes only version 1 there; what is sent
#                                      of version 2 is dropped before it, as by a gateway that knows none
#   198.51.100.12 charon, IKEv1        UDP 500: the same, and what it would refuse is dropped too, as by one that refuses in
#                                      silence; counted by itself (vpn-silent.toml), since charon keeps who is taken
#
# vpn.tsv of the folder says which of them run here; one that is not installed is named and left out.
set -euo pipefail
net=$1 folder=$2
: > "$folder/vpn.tsv"

main() {
    ip -n "$net" route add local 198.51.100.0/28 dev lo
    # Two of them listen on every address of the namespace; each is to be found at its own.
    ip netns exec "$net" nft -f - <<'RULES'
insert rule inet lab input ip daddr 198.51.100.0/28 accept
insert rule inet lab input ip daddr 198.51.100.0/28 ip daddr != { 198.51.100.3, 198.51.100.11, 198.51.100.12 } udp dport { 500, 4500 } reject
insert rule inet lab input ip daddr 198.51.100.0/28 ip daddr != 198.51.100.5 udp dport 51820 reject
insert rule inet lab input ip daddr 198.51.100.12 udp dport 500 udp length 88 drop
insert rule inet lab input ip daddr { 198.51.100.11, 198.51.100.12 } udp dport 500 @th,200,8 0x20 drop
insert rule inet lab input ip daddr 198.51.100.11 udp dport 4500 @th,232,8 0x20 drop
RULES
    cat > "$folder/vpn.toml" <<SCOPE
organisation = "Example Agency"
contact = "soc@agency.example"
networks = ["198.51.100.1/32", "198.51.100.2/31", "198.51.100.4/30", "198.51.100.8/31", "198.51.100.10/31"]
ports = [22, 443]
udp-ports = [443, 500, 1194, 4500, 51820]
rate = 1000
SCOPE
    cat > "$folder/vpn-silent.toml" <<'SCOPE'
organisation = "Example Agency"
contact = "soc@agency.example"
networks = ["198.51.100.12/32"]
udp-ports = [500]
rate = 1000
SCOPE
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=vpn.agency.example \
        -keyout "$folder/vpn.key" -out "$folder/vpn.crt" 2>/dev/null
    start ocserv ocserv
    start openvpn openvpn
    start /usr/lib/ipsec/charon strongswan
    start turnserver dtls
    start wireguard-go wireguard
    start openvpn openvpn_silent
    start haproxy front
    start /usr/sbin/sshd ssh
    wait_for_daemons
}

# Until each of them listens, so that whoever counts counts all of them the first time.
wait_for_daemons() {
    local try name flags at missing listening
    for try in $(seq 600); do
        missing=
        while read -r name flags at; do
            grep -qx "$name" "$folder/vpn.tsv" || continue
            listening=$(ip netns exec "$net" ss -Hl"$flags"n)
            [[ $listening == *"$at "* ]] || missing+=" $name"
        done <<'LISTENERS'
ocserv u 198.51.100.1:443
openvpn u 198.51.100.2:1194
strongswan u :4500
dtls u 198.51.100.4:443
wireguard u :51820
openvpn_silent u 198.51.100.6:1194
front t 198.51.100.8:443
ssh t 198.51.100.10:22
LISTENERS
        [[ -n $missing ]] || return 0
        sleep 0.1
    done
    echo "error: not listening after a minute:$missing" >&2
    return 1
}

# Runs the function `$2` if the program `$1` is there.
start() {
    if command -v "$1" >/dev/null; then
        "$2"
        echo "$2" >> "$folder/vpn.tsv"
    else
        echo "left out: $1 is not installed" >&2
    fi
}

# In the namespace, in the background, with a /run of its own: the daemons keep sockets and process ids there.
daemon() {
    local log=$1
    shift
    ip netns exec "$net" sh -c 'mount -t tmpfs none /run && exec "$@"' sh "$@" > "$folder/$log.log" 2>&1 &
}

ocserv() {
    printf 'user:*:x\n' > "$folder/passwd"
    cat > "$folder/ocserv.conf" <<CONF
auth = "plain[passwd=$folder/passwd]"
listen-host = 198.51.100.1
tcp-port = 443
udp-port = 443
run-as-user = nobody
run-as-group = nogroup
socket-file = $folder/ocserv.sock
server-cert = $folder/vpn.crt
server-key = $folder/vpn.key
isolate-workers = false
device = vpns
ipv4-network = 192.168.99.0/24
max-clients = 4
keepalive = 300
CONF
    daemon ocserv ocserv -f -c "$folder/ocserv.conf"
}

openvpn() {
    openvpn_at 198.51.100.2 openvpn
}

openvpn_silent() {
    command openvpn --genkey secret "$folder/ta.key" >/dev/null
    openvpn_at 198.51.100.6 openvpn_silent --tls-auth "$folder/ta.key" 0
}

# A server of many clients: between two peers only the first that asks is answered.
openvpn_at() {
    local address=$1 log=$2
    local number=${address##*.}
    shift 2
    daemon "$log" openvpn --dev "tun-$number" --dev-type tun --server "10.9.$number.0" 255.255.255.0 \
        --local "$address" --port 1194 --proto udp --dh none \
        --ca "$folder/vpn.crt" --cert "$folder/vpn.crt" --key "$folder/vpn.key" "$@"
}

strongswan() {
    mkdir -p "$folder/swanctl"
    cat > "$folder/strongswan.conf" <<CONF
charon {
    load = random nonce aes sha1 sha2 hmac kdf gmp curve25519 openssl pem x509 pubkey kernel-netlink socket-default vici
    send_vendor_id = yes
    filelog { said { path = $folder/charon.said
        flush_line = yes } }
    plugins { vici { socket = unix://$folder/charon.vici } }
}
CONF
    cat > "$folder/swanctl/swanctl.conf" <<CONF
connections {
    any {
        version = 2
        local_addrs = 198.51.100.3
        proposals = aes256-sha256-modp2048
        local { auth = psk }
        remote { auth = psk }
        children { any { } }
    }
    old {
        version = 1
        local_addrs = 198.51.100.11, 198.51.100.12
        proposals = aes256-sha256-modp2048
        local { auth = psk }
        remote { auth = psk }
        children { old { } }
    }
}
secrets { ike-any { secret = x } }
CONF
    daemon charon env "STRONGSWAN_CONF=$folder/strongswan.conf" /usr/lib/ipsec/charon
    local try
    for try in $(seq 600); do
        [[ ! -S $folder/charon.vici ]] || break
        sleep 0.1
    done
    STRONGSWAN_CONF=$folder/strongswan.conf SWANCTL_DIR=$folder/swanctl \
        swanctl --load-all --uri "unix://$folder/charon.vici" > "$folder/swanctl.log" 2>&1 ||
        echo "charon took no configuration after $try tries: $folder/swanctl.log" >&2
}

dtls() {
    daemon dtls turnserver --log-file=stdout --simple-log --pidfile="$folder/turn.pid" --userdb="$folder/turn.db" \
        --no-cli --no-udp --no-tcp --no-tls --listening-ip=198.51.100.4 --relay-ip=198.51.100.4 \
        --listening-port=3478 --tls-listening-port=443 --cert="$folder/vpn.crt" --pkey="$folder/vpn.key" -n
}

front() {
    cat "$folder/vpn.crt" "$folder/vpn.key" > "$folder/haproxy.pem"
    cat > "$folder/haproxy.cfg" <<CONF
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 10s
frontend front
    bind 198.51.100.8:443 ssl crt $folder/haproxy.pem
    http-request return status 200 content-type text/html string "<title>Front</title>"
CONF
    daemon haproxy haproxy -db -f "$folder/haproxy.cfg"
}

ssh() {
    ssh-keygen -q -t ed25519 -N '' -f "$folder/ssh_host"
    cat > "$folder/sshd.conf" <<CONF
ListenAddress 198.51.100.9
ListenAddress 198.51.100.10
HostKey $folder/ssh_host
PidFile none
UsePAM no
CONF
    daemon sshd sh -c "mkdir -p /run/sshd && exec /usr/sbin/sshd -D -e -f '$folder/sshd.conf'"
}

wireguard() {
    (umask 077 && wg genkey > "$folder/wg.key")
    # The helper ends and leaves the program behind, so that both need one /run.
    daemon wireguard sh -c "wireguard-go lab0 && wg set lab0 listen-port 51820 private-key '$folder/wg.key' \
        && ip link set lab0 up && exec sleep infinity"
}

main
