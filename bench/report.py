#!/usr/bin/env python3
"""A case of many instances, as `respond` would have left it: what `bench/report.sh` makes reports of.

  bench/report.py CASE INSTANCES

Each instance has a version, a check with one finding and one gap, and the answers of people; one in ten has a mismatch. Names
are in many scripts, and some look like formulas. The chain of hashes is the one of `crates/case/src/chain.rs`.
"""

import hashlib
import json
import os
import sqlite3
import sys

CASE, INSTANCES = sys.argv[1], int(sys.argv[2])
AT = "2021-04-21T13:00:00Z"
NAMES = ["vpn", "=gateway", "шлюз", "網関", "مدخل", "ประตู", "+49", "@edge"]

os.makedirs(os.path.join(CASE, "evidence"))
db = sqlite3.connect(os.path.join(CASE, "case.db"))
db.executescript("""
    CREATE TABLE record (
        seq      INTEGER PRIMARY KEY,
        id       TEXT NOT NULL UNIQUE,
        body     TEXT NOT NULL,
        hash     BLOB NOT NULL,
        type     TEXT GENERATED ALWAYS AS (json_extract(body, '$.type')) VIRTUAL,
        at       TEXT GENERATED ALWAYS AS (json_extract(body, '$.at')) VIRTUAL,
        instance TEXT GENERATED ALWAYS AS (json_extract(body, '$.instance')) VIRTUAL
    ) STRICT;
    PRAGMA application_id = 1347571540;
    PRAGMA user_version = 1;
""")
last, count = hashlib.sha256(b"portcullis case v1").digest(), 0


def say(kind, instance, **fields):
    """Appends a record."""
    global last, count
    count += 1
    record = {"v": 1, "id": f"{count:016x}", "at": AT}
    if instance:
        record["instance"] = instance
    body = json.dumps(record | {"type": kind} | fields, ensure_ascii=False)
    data = body.encode()
    last = hashlib.sha256(
        last + count.to_bytes(8, "little") + len(data).to_bytes(8, "little") + data
    ).digest()
    db.execute("INSERT INTO record (seq, id, body, hash) VALUES (?, ?, ?, ?)", (count, record["id"], body, last))


def mark(name, value, instance=None):
    say("mark", instance, mark=name, value=value, by="J. Doe")


def instance(n):
    name = f"{NAMES[n % len(NAMES)]}-{n:05}"
    bad = n % 10 == 0
    witness = {
        "source": "file /home/VERSION", "value": "9.1R10", "upstream": "9.1R10", "exact": True, "status": "affected",
        "fakeable": True, "why": "in the affected range from 9.0R3 before 9.1R11.4 (CVE-2021-22893)",
    }
    say("instance", None, name=name, addresses=[f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}:443"],
        product="Pulse Connect Secure", version={"value": "9.1R10", "status": "affected", "witnesses": [witness]},
        state="identified", owner={"kind": "agency"}, has_evidence=True, facts={"hardware-model": "PSA5000"})
    say("finding", name, code="file-modified" if bad else "version-disagrees", severity="high" if bad else "info",
        path="/home/webserver/htdocs/dana-na/auth/login.cgi", why="its SHA-256 is not the one that was shipped",
        evidence={"sha256": f"{n:064x}"}, rule="9.1R10.sha256")
    say("gap", name, code="unreadable", path="/data/runtime", why="permission denied", required=False)
    say("coverage", name, files=4221, bytes=1_600_000_000, vouched=4100, consistent=0, hunted=121, unlisted=121,
        unlisted_executables=0, unseen=1, by_folder=[])
    say("verdict", name, verdict="mismatch" if bad else "no-evidence-found", reasons=["Files that differ: 1."] if bad else [],
        first_sign="2021-03-31T00:00:00Z" if bad else None, accounts=[])
    if bad:
        mark("us-cert-ticket", f"INC{n:07}", name)
    mark("notes", "=HYPERLINK(\"http://evil.example\")\tnext line\nof a note", name)
    for action, outcome in [("2", "done"), ("2.a.ii", "skipped")]:
        say("step", name, step=f"{count:016x}", action=f"ed-21-03/{action}", outcome=outcome, why="in a bench")


say("case", None, organisation="Department of Energy (DOE)", packs=[{"id": "ed-21-03", "sha256": "0" * 64}],
    scope_sha256="0" * 64, clock_offset=-1, tool="bench/report.py")
say("ledger", None, addresses=INSTANCES, answered=INSTANCES, refused=0, filtered=0, silent=0, not_asked=0, excluded=0,
    connections=INSTANCES, imported=0)
for n in range(INSTANCES):
    instance(n)
say("step", None, step="0" * 16, action="ed-21-03/1", outcome="done", why="in a bench")
for name, value in [("poc-name", "J. Doe"), ("poc-email", "j.doe@example.org"), ("poc-phone", "1"),
                    ("department-level", "Yes"), ("signature", "J. Doe")]:
    mark(name, value)
db.commit()
db.close()
with open(os.path.join(CASE, "head"), "w") as head:
    json.dump({"records": count, "hash": last.hex()}, head)
open(os.path.join(CASE, "lock"), "w").close()
