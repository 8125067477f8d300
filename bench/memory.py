#!/usr/bin/env python3
"""How much memory does a check take, whatever the number of files?

  bench/memory.py [FILES]                  500,000 files unless given
  PORTCULLIS='target/release/portcullis'   the program to measure
  ONLY='tar zip'                           only the cases whose name has one of these words
  OUT=file                                 where the result is written

Makes FILES small files with paths of about 70 bytes as a folder, a tar, a packed tar, a zip and a disk image (squashfs),
with their list as `sha256sum` writes it, checks each, lists it anew, and takes the peak of resident memory that the kernel
kept for the process. `flat` is an image whose files lie in one folder.
"""

import datetime
import gzip
import hashlib
import io
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile

FILES = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
PROGRAM = os.environ.get("PORTCULLIS", "target/release/portcullis")
ONLY = os.environ.get("ONLY", "").split()
GOAL = 300
WHEN = 1_700_000_000


def path(n):
    """About 70 bytes, 50 files in a folder, as below `node_modules` or `site-packages`."""
    return f"usr/lib/python3/dist-packages/module_{n // 2500:04}/part_{n // 50 % 50:02}/generated_file_{n:07}.py"


def content(n):
    return f"{n}\n".encode()


def mode(n):
    return 0o755 if n % 10 == 0 else 0o644


def make_tar(name, packed, kind=tarfile.GNU_FORMAT):
    opened = gzip.open(name, "wb", 1) if packed else open(name, "wb")
    with opened as out:
        for n in range(FILES):
            member = tarfile.TarInfo("./" + path(n))
            member.size, member.mode, member.mtime = len(content(n)), mode(n), WHEN + n
            if kind == tarfile.PAX_FORMAT:
                # As GNU tar writes them; the tar of Python keeps members, this way nothing is kept.
                member.pax_headers = {"mtime": f"{WHEN + n}.123456789", "ctime": f"{WHEN + n}.987654321"}
            out.write(member.tobuf(kind) + content(n).ljust(512, b"\0"))
        out.write(bytes(1024))


def make_zip(name):
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as out:
        for n in range(FILES):
            member = zipfile.ZipInfo(path(n), (2023, 11, 14, 22, 13, 20))
            member.external_attr = (0o100000 | mode(n)) << 16
            out.writestr(member, content(n))


def make_folder(name):
    for n in range(FILES):
        to = os.path.join(name, path(n))
        if n % 50 == 0:
            os.makedirs(os.path.dirname(to), exist_ok=True)
        with open(to, "wb") as out:
            out.write(content(n))
        os.chmod(to, mode(n))


def make_image(name, flat=False):
    tree = name + ".tree"
    if flat:
        os.makedirs(tree)
        for n in range(FILES):
            with open(os.path.join(tree, flat_name(n)), "wb") as out:
                out.write(content(n))
    else:
        make_folder(tree)
    # `mke2fs` takes minutes for so many files, and hours for so many in one folder.
    squashfs = ["mksquashfs", tree, name, "-quiet", "-no-progress", "-no-duplicates"]
    subprocess.run(squashfs, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)


def flat_name(n):
    return f"generated_file_whose_name_is_long_{n:07}.py"


def make_lists(whole, one, path=path):
    with open(whole, "w") as out:
        for n in range(FILES):
            out.write(f"{hashlib.sha256(content(n)).hexdigest()}  ./{path(n)}\n")
    with open(one, "w") as out:
        out.write(f"{hashlib.sha256(content(0)).hexdigest()}  ./{path(0)}\n")


def in_child(make, *arguments):
    """Makes the input in a process of its own: what this one takes would count as the program's."""
    child = os.fork()
    if child == 0:
        make(*arguments)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "the input could not be made"


def run(arguments):
    """Peak MiB, seconds, exit code, and the last line of what was said."""
    said = tempfile.TemporaryFile()
    started = time.time()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(said.fileno(), 2)
        os.execvp(PROGRAM, [PROGRAM, *arguments])
    _, status, usage = os.wait4(child, 0)
    said.seek(0)
    line = [line for line in said.read().decode().splitlines() if "files read" in line]
    return usage.ru_maxrss / 1024, time.time() - started, os.waitstatus_to_exitcode(status), (line or ["-"])[0]


def main():
    work = tempfile.mkdtemp()
    at = lambda name: os.path.join(work, name)
    forms = [
        ("folder", lambda: make_folder(at("folder"))),
        ("tar", lambda: make_tar(at("tar"), False)),
        ("pax.tar", lambda: make_tar(at("pax.tar"), False, tarfile.PAX_FORMAT)),
        ("tar.gz", lambda: make_tar(at("tar.gz"), True)),
        ("zip", lambda: make_zip(at("zip"))),
        ("image", lambda: make_image(at("image"))),
        ("flat", lambda: make_image(at("flat"), True)),
    ]
    wanted = lambda case: not ONLY or any(word in case for word in ONLY)
    rows = []
    try:
        in_child(make_lists, at("list"), at("one"))
        for form, make in forms:
            cases = [
                (f"{form}, every file listed", ["check", at(form), "--manifest", at("list")]),
                (f"{form}, one file listed", ["check", at(form), "--manifest", at("one")]),
                (f"{form}, no list", ["check", at(form), "--baseline", "none"]),
                (f"{form}, listed anew", ["manifest", "create", at(form), "--output", at("new")]),
            ]
            if form == "flat":
                in_child(make_lists, at("list"), at("one"), flat_name)
            if not any(wanted(case) for case, _ in cases):
                continue
            in_child(make)
            for case, arguments in filter(lambda one: wanted(one[0]), cases):
                peak, seconds, code, line = run(arguments)
                rows.append((case, peak, seconds, code, line))
                print(f"{case}: {peak:.0f} MiB, {seconds:.1f} s, exit {code}; {line}", file=sys.stderr)
            shutil.rmtree(at(form)) if os.path.isdir(at(form)) else os.remove(at(form))
    finally:
        shutil.rmtree(work)
    write(rows)


def machine():
    with open("/proc/cpuinfo") as info:
        model = next(line.split(":")[1].strip() for line in info if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{os.cpu_count()} cores, {model}, {memory:.0f} GB"


def write(rows):
    now = datetime.datetime.now(datetime.timezone.utc)
    here = os.path.dirname(os.path.abspath(__file__))
    out = os.environ.get("OUT", os.path.join(here, "runs", f"{now:%Y-%m-%d}-memory.md"))
    length = sum(len(path(n)) + 1 for n in range(0, FILES, 1000)) // len(range(0, FILES, 1000))
    with open(out, "w") as text:
        print("# Memory: peak with many small files\n", file=text)
        print(f"- when: {now:%Y-%m-%dT%H:%MZ}", file=text)
        print(f"- machine: {machine()}", file=text)
        print(f"- input: {FILES:,} files of some bytes, paths of {length} bytes, 50 in a folder", file=text)
        print(f"- goal: under {GOAL} MB in every case", file=text)
        print("- method: `bench/memory.py`, one run of each; `ru_maxrss` of the process\n", file=text)
        print("| case | peak | seconds | exit |\n|---|---|---|---|", file=text)
        for case, peak, seconds, code, _ in rows:
            print(f"| {case} | {peak * 1.048576:.0f} MB | {seconds:.1f} | {code} |", file=text)
    print(open(out).read())


main()
