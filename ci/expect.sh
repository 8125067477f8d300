# Says what is expected, and stops the script with both sides when it is not so.
# To be sourced from the root of the workspace.

PORTCULLIS=${CARGO_TARGET_DIR:-target}/release/portcullis

# expect SENTENCE COMMAND...: the command succeeds.
expect() {
    local sentence=$1
    shift
    if "$@"; then
        echo "ok: $sentence"
    else
        echo "error: not so: $sentence" >&2
        exit 1
    fi
}

# expect_exit CODE COMMAND...: the command ends with this code. Its output is shown.
expect_exit() {
    local expected=$1 code=0
    shift
    echo "\$ $*"
    "$@" || code=$?
    if ((code != expected)); then
        echo "error: exit $code, expected $expected: $*" >&2
        exit 1
    fi
}
