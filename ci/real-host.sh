#!/usr/bin/env bash
# Does Portcullis tell the truth about the very machine that it runs on?
#
# Starts the sshd that Debian ships on a loopback port, responds to the OpenSSH pack with this host
# as the only instance. Then changes one installed file, which must be found, and puts it back, which
# must be found too. The file is restored whatever happens. (The tests of `check` hold every other file
# of this machine against debsums.)

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ci/expect.sh

readonly PACK=openssh-cve-2024-6387
work=$(mktemp -d)
victim=""
sshd=""

tidy_up() {
    put_back
    [[ -z $sshd ]] || kill "$sshd" 2>/dev/null || true
    rm -rf "$work"
}
trap tidy_up EXIT
trap 'exit 130' INT TERM

if ((EUID != 0)); then
    echo "Skipped: only root sees every file of this host and may change one."
    exit 0
fi

# ---------------------------------------------------------------- a real server, on loopback only

start_sshd() {
    mkdir -p /run/sshd # Debian makes it when the service starts; a machine without services lacks it.
    ssh-keygen -q -t ed25519 -N '' -f "$work/key"
    local try
    for try in 1 2 3 4 5 6 7 8 9 10; do
        port=$((20000 + RANDOM % 10000))
        printf '%s\n' "ListenAddress 127.0.0.1:$port" "HostKey $work/key" "PidFile none" "UsePAM no" \
            "AuthenticationMethods publickey" >"$work/sshd_config"
        /usr/sbin/sshd -D -f "$work/sshd_config" </dev/null >"$work/sshd.log" 2>&1 &
        sshd=$!
        for _ in $(seq 50); do
            kill -0 "$sshd" 2>/dev/null || break
            if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
                echo "sshd answers on port $port (try $try)"
                return
            fi
            sleep 0.1
        done
        kill "$sshd" 2>/dev/null || true
    done
    cat "$work/sshd.log" >&2
    echo "error: sshd does not start" >&2
    exit 1
}

write_scope() {
    cat >"$work/scope.toml" <<END
organisation = "This host"
networks = []

[[instance]]
name = "here"
address = "127.0.0.1:$port"
evidence = "/"
owner = { kind = "agency" }
END
}

# ------------------------------------------------------------------------------- one changed file

# A program of the package `debsums` that no run of ours uses.
choose_victim() {
    dpkg --verify debsums 2>/dev/null | grep -q . && apt-get install -q -y --reinstall debsums
    victim=/usr/bin/rdebsums
    expect "$victim is as Debian ships it" test -z "$(dpkg --verify debsums)"
    cp -a "$victim" "$work/as-shipped"
}

change_victim() {
    printf '# changed by a test of Portcullis\n' >>"$victim"
}

put_back() {
    [[ -f $work/as-shipped ]] || return 0
    cmp -s "$work/as-shipped" "$victim" && return
    # A whole file takes the place of the other: at no moment is there half of one.
    cp -a "$work/as-shipped" "$victim.as-shipped"
    mv -f "$victim.as-shipped" "$victim"
}

# ----------------------------------------------------------------------------- what the report says

report=$work/case/report-$PACK.json
says() { jq -e "$@" "$report" >/dev/null; }
here='.instances[] | select(.name == "here")'
has() { says --arg code "$1" --arg path "$victim" "$here | any(.findings[]; .code == \$code and .path == \$path)"; }
has_not() { ! has "$1"; }

# Somebody must act at least on the report to whoever answers for the host, so that the exit is 1.
respond() {
    expect_exit 1 "$PORTCULLIS" respond --pack "packs/$PACK" --scope "$work/scope.toml" --case "$work/case" "$@" \
        >"$work/text"
    # A machine with much installed has many findings: the head is enough to see what happened.
    head -n 45 "$work/text"
}

[[ -x $PORTCULLIS ]] || cargo build --release --workspace --locked
start_sshd
write_scope
choose_victim

respond
expect "the server is identified" says "$here | .product == \"OpenSSH\" and .state == \"identified\""
expect "the package database is a witness of its version" \
    says "$here | any(.version.witnesses[]; .source == \"package-database\")"
expect "the banner is another" says "$here | any(.version.witnesses[]; .source | startswith(\"ssh-banner\"))"
expect "the two agree on what is installed" \
    says "$here | [.version.witnesses[].status] | unique | length == 1 and . != [\"unknown\"]"
expect "there is a verdict" says "$here | .conclusion.verdict != null"
expect "nobody changed $victim yet" has_not file-modified

change_victim
respond --again
expect "the changed file is found" has file-modified

put_back
respond --again
expect "the restored file is found to be restored" has file-restored
expect "and is no longer called modified" has_not file-modified

expect_exit 0 "$PORTCULLIS" case verify --case "$work/case"
