#!/usr/bin/env bash
# Which packages does a minimal Debian 12 have, and where are they?
#
# Usage: ci/debs.sh; fetches them once into target/debs and leaves what is there alone. The test
# `debootstrap` of the crate `check` makes a system from them and holds it against them. Debian's
# own signatures are verified by debootstrap, with the keyring of this machine. Needs root and,
# the first time, the network.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly SUITE=bookworm
readonly MIRROR=${PORTCULLIS_DEBIAN_MIRROR:-http://deb.debian.org/debian}
readonly FOLDER=${CARGO_TARGET_DIR:-$PWD/target}/debs
readonly BUNDLE=$FOLDER/$SUITE.tgz

mkdir -p "$FOLDER"
# One at a time: tests run beside each other.
exec 9>"$FOLDER/lock"
flock 9
if [[ -s $BUNDLE ]]; then
    exit 0
fi
work=$(mktemp -d "$FOLDER/fetching.XXXXXX")
trap 'rm -rf "$work"' EXIT
debootstrap --variant=minbase --make-tarball="$work/$SUITE.tgz" "$SUITE" "$work/tree" "$MIRROR"
rm -f "$FOLDER"/*.deb
tar -C "$work" -xzf "$work/$SUITE.tgz" --wildcards '*.deb'
find "$work" -name '*.deb' -exec mv -t "$FOLDER" {} +
# The bundle comes last: where it is, everything is.
mv "$work/$SUITE.tgz" "$BUNDLE"
