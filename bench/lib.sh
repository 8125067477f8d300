# What the measurements have in common: rounds, medians, and on which machine it was. Read by scripts of this folder.

# Runs each of `$2...` once a round, `$1` rounds, one after the other; each is a function of that name.
# $work/NAME.time gets a line a run: wall seconds, processor seconds, peak memory in KB.
rounds() {
    runs=$1
    shift
    for round in $(seq "$runs"); do
        for kind in "$@"; do
            "$kind" > "$work/$kind.script"
            # What was found ends the product, and some peers, with another number than 0.
            /usr/bin/time -o "$work/one" -f '%e %U %S %M' sh "$work/$kind.script" \
                > "$work/$kind.out" 2> "$work/$kind.err" || true
            [ -s "$work/$kind.out" ] || { cat "$work/$kind.err" >&2; exit 2; }
            awk 'END { print $1, $2 + $3, $4 }' "$work/one" >> "$work/$kind.time"
            echo "round $round $kind: $(tail -n 1 "$work/$kind.time")" >&2
        done
    done
}

# The median of column `$2` over all runs of `$1`.
median() {
    awk -v column="$2" '{ print $column }' "$work/$1.time" | sort -n |
        awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# One line of a table: name, medians, how many times ours, all wall times.
row() {
    awk -v name="$2" -v wall="$(median "$1" 1)" -v cpu="$(median "$1" 2)" -v memory="$(median "$1" 3)" \
        -v our_wall="$(median "$3" 1)" -v our_cpu="$(median "$3" 2)" \
        -v all="$(awk '{ printf "%s ", $1 }' "$work/$1.time")" \
        'BEGIN { printf "| %s | %.2f s | %.2f | %.2f s | %.2f | %.0f MB | %s|\n", name, wall, wall / our_wall, cpu, cpu / our_cpu, memory / 1000, all }'
}

machine() {
    echo "- when: $(date -u +%Y-%m-%dT%H:%MZ)"
    echo "- machine: $(nproc) cores, $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(awk '/MemTotal/ { printf "%.0f GB", $2 / 1e6 }' /proc/meminfo)"
    echo "- system: $(. /etc/os-release && echo "$PRETTY_NAME"), kernel $(uname -r)"
    echo "- load when it ended: $(cut -d' ' -f1-3 /proc/loadavg)"
}
