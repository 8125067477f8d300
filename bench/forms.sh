#!/bin/sh
# How fast is evidence in each form, beside the same tree as a folder, and beside what unpacks it?
#
#   bench/forms.sh [FOLDER]     FOLDER is /usr/share unless given; it is copied to $TMPDIR and packed there in every form
#   RUNS=5 OUT=file PORTCULLIS=target/release/portcullis
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

folder=${1:-/usr/share}
runs=${RUNS:-5}
ours=${PORTCULLIS:-"$here/../target/release/portcullis"}
out=${OUT:-"$here/runs/$(date -u +%Y-%m-%d)-forms.md"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree="$work/tree"

cp -rP --preserve=mode,timestamps "$folder" "$tree"
(cd "$tree" && find . -type f -print0 | xargs -0 sha256sum) > "$work/list"
size=$(du -sm --apparent-size "$tree" | cut -f1)
mke2fs -q -t ext4 -d "$tree" "$work/disk.raw" "$((size * 13 / 10 + 200))M"
qemu-img convert -f raw -O qcow2 "$work/disk.raw" "$work/disk.qcow2"
tar --numeric-owner -cf "$work/tree.tar" -C "$tree" .
tar --numeric-owner --zstd -cf "$work/tree.tar.zst" -C "$tree" .
# Ten thousand small files.
mkdir "$work/small"
for n in $(seq 10000); do seq "$n" "$((n + 500))" > "$work/small/$n"; done
(cd "$work/small" && find . -type f -print0 | xargs -0 sha256sum) > "$work/small.list"
tar --numeric-owner --zstd -cf "$work/small.tar.zst" -C "$work/small" .

check() { echo "exec $ours check $work/$1 --manifest $work/list --json"; }
as_folder() { check tree; }
as_raw() { check disk.raw; }
as_qcow2() { check disk.qcow2; }
as_tar() { check tree.tar; }
as_zst() { check tree.tar.zst; }
tar_sum() { echo "tar --zstd -xOf $work/tree.tar.zst | sha256sum"; }
small_zst() { echo "exec $ours check $work/small.tar.zst --manifest $work/small.list --json"; }
small_sum() { echo "tar --zstd -xOf $work/small.tar.zst | sha256sum"; }
rounds "$runs" as_folder as_raw as_qcow2 as_tar as_zst tar_sum small_zst small_sum

{
    echo "# Forms: one tree, packed and on disks, against a SHA-256 list"
    echo
    machine
    echo "- input: a copy of $folder, $(wc -l < "$work/list") files, $size MiB; ten thousand files of 2 KB"
    echo "- method: \`bench/forms.sh\`, $runs rounds, one after the other in each round; medians of whole processes"
    echo
    echo "| form | wall | times the folder | CPU | times the folder | peak memory | all wall times |"
    echo "|---|---|---|---|---|---|---|"
    row as_folder 'folder' as_folder
    row as_raw 'raw image, ext4' as_folder
    row as_qcow2 'qcow2, ext4' as_folder
    row as_tar 'tar' as_folder
    row as_zst 'tar.zst' as_folder
    row tar_sum '`tar --zstd -xO` and `sha256sum`' as_folder
    echo
    echo "| ten thousand small files | wall | times ours | CPU | times ours | peak memory | all wall times |"
    echo "|---|---|---|---|---|---|---|"
    row small_zst 'tar.zst' small_zst
    row small_sum '`tar --zstd -xO` and `sha256sum`' small_zst
} > "$out"
cat "$out"
