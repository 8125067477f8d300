#!/usr/bin/env bash
# Does every reader of hostile bytes survive what libFuzzer makes of the corpus?
#
# Usage: ci/fuzz.sh [SECONDS [SEED]]; each target runs for so long, 20 by default. A seed makes the same cases
# again, without one they are new. Needs a C++ compiler and
# neither cargo-fuzz nor a nightly compiler: the flags below are those of cargo-fuzz without a
# sanitizer, since our code holds no `unsafe`. The corpus in fuzz/corpus stays as it is.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly SECONDS_EACH=${1:-20}
readonly SEED=${2:-0}
readonly TARGET_DIR=$PWD/target/fuzz
readonly CRASHES=$TARGET_DIR/crashes

# Coverage that libFuzzer learns from. `fuzzing` lets checksums pass, which no fuzzer can make.
readonly COVERAGE=(
    --cfg fuzzing
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    -Ccodegen-units=1
)

main() {
    local source name binaries failed=()
    RUSTFLAGS="${COVERAGE[*]}" cargo build --release --locked --manifest-path fuzz/Cargo.toml \
        --target "$(host)" --target-dir "$TARGET_DIR" --bins
    binaries=$TARGET_DIR/$(host)/release
    mkdir -p "$CRASHES"
    for source in fuzz/fuzz_targets/*.rs; do
        name=$(basename "$source" .rs)
        printf '\n== Fuzz %s for %s s\n' "$name" "$SECONDS_EACH"
        survives "$name" "$binaries/$name" || failed+=("$name")
    done
    if ((${#failed[@]} != 0)); then
        echo "error: ${failed[*]}: what made it fail is kept in $CRASHES" >&2
        ls -l "$CRASHES" >&2
        exit 1
    fi
    printf '\n== Every target survived.\n'
}

# Runs one target on a copy of its corpus, into which libFuzzer writes what it finds.
survives() {
    local name=$1 binary=$2 copy status=0
    copy=$(mktemp -d)
    mkdir -p "$copy/$name"
    if [[ -d fuzz/corpus/$name ]]; then
        cp -r "fuzz/corpus/$name/." "$copy/$name/"
    fi
    "$binary" -max_total_time="$SECONDS_EACH" -seed="$SEED" -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 \
        -artifact_prefix="$CRASHES/$name-" "$copy/$name" 2>"$copy/log" || status=$?
    grep -E 'cov:|stat::|ERROR|panicked' "$copy/log" | tail -n 12
    if ((status != 0)); then
        tail -n 40 "$copy/log" >&2
    fi
    rm -rf "$copy"
    return "$status"
}

# With a target named, the flags above do not reach build scripts.
host() {
    rustc -vV | sed -n 's/^host: //p'
}

main "$@"
