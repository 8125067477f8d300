#!/usr/bin/env bash
# Brings the public validators that the tests ask: of STIX 2.1 (OASIS) and of CSAF 2.0 (BSI).
#
# Each is pinned with all that it needs, by digest, in ci/validators/. They land below target/validators and nowhere
# else, and no script of a package runs. Run again after a pin has changed; nothing is done where nothing has.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly PINS=ci/validators
readonly TO=target/validators

main() {
    local state
    state=$(cat "$PINS"/* | sha256sum)
    if [[ -f $TO/state && $(<"$TO/state") == "$state" ]]; then
        echo "All there."
        return
    fi
    rm -rf "$TO"
    mkdir -p "$TO"
    stix
    csaf
    printf '%s\n' "$state" >"$TO/state"
}

stix() {
    local pip=("$TO/stix/bin/pip" --quiet --disable-pip-version-check install --no-deps --require-hashes)
    python3 -m venv "$TO/stix"
    "${pip[@]}" --only-binary :all: -r "$PINS/build.txt"
    "${pip[@]}" --only-binary :all: --no-binary cpe --no-build-isolation -r "$PINS/requirements.txt"
}

csaf() {
    mkdir "$TO/csaf"
    cp "$PINS"/package.json "$PINS"/package-lock.json "$PINS"/csaf.mjs "$TO/csaf/"
    (cd "$TO/csaf" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
}

main "$@"
