#!/usr/bin/env python3
"""Plan: which address of the lab does what?

Usage: plan.py FOLDER [odd]

Writes the truth (`truth.tsv`: address, what it is, instance, version), the scope file, and what the servers
and the packet filter of `netns.sh` need. The plan is the same on every machine. With `odd` some of the
ordinary hosts behave badly: tarpits, slow ones, endless ones, ones that speak no TLS.

The yardstick: a routed /22 with 300 hosts on port 443, 200 that refuse, 24 that drop or are forbidden, and
nobody on the other 500 addresses. The pages are ours; they say what the product says of itself to any visitor.
"""

import ipaddress
import pathlib
import subprocess
import sys

NET = ipaddress.ip_network("10.213.0.0/22")
# As `nc_gina_ver.txt` has it, and the release that it means.
VERSIONS = ["9.0.3.64053", "9.0.6.64701", "9.1.8.7453", "9.1.9.9701", "9.1.10.10441", "9.1.11.11915"]
INSTANCES = 24
# Neighbours that must not be taken for the product: title and a header of each.
NEIGHBOURS = [
    ("Citrix Gateway", "Set-Cookie", "NSC_AAAC=x; Path=/"),
    ("GlobalProtect Portal", "Set-Cookie", "SESSID=x; Path=/"),
    ("FortiGate", "Server", "xxxxxxxx-xxxxx"),
    ("SSL VPN Service", "Set-Cookie", "webvpn=; path=/"),
    ("Outlook", "X-OWA-Version", "15.1.2176.2"),
    ("BIG-IP logout page", "Set-Cookie", "MRHSession=x; path=/"),
    ("How to install Pulse Connect Secure", "X-Kind", "a page about the product"),
    ("SolarWinds Orion", "X-Kind", "orion"),
]


def release(build):
    major, minor, maint, _ = build.split(".")
    return f"{major}.{minor}R{maint}"


def spread():
    """The addresses but the first and the last, far from their neighbours: 401 and 1,022 have no common factor."""
    return [NET[1 + (n * 401) % 1022] for n in range(1022)]


def certificate(folder, name, common):
    key, crt = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
         "-subj", f"/O=Example Agency/CN={common}", "-keyout", key, "-out", crt],
        check=True, capture_output=True)
    return f"ssl_certificate {crt};\n    ssl_certificate_key {key};"


def server(addresses, certificate, body):
    listens = "\n    ".join(f"listen {address}:443 ssl;" for address in addresses)
    return f"server {{\n    {listens}\n    {certificate}\n{body}}}\n"


def gate(build, everywhere=False):
    """The product: a sign-in page and the file that its clients read; `everywhere` gives that file for any path."""
    version = f"return 200 '<PARAM NAME=\"ProductVersion\" VALUE=\"{build}\">\\n';"
    return f"""
    location = /dana-na/auth/url_default/welcome.cgi {{
        default_type text/html;
        add_header Set-Cookie "DSSignInURL=/; path=/; secure";
        return 200 '<html><head><title>Pulse Connect Secure</title></head><body>Welcome</body></html>';
    }}
    location = /dana-na/nc/nc_gina_ver.txt {{ {version} }}
    location = / {{ return 302 /dana-na/auth/url_default/welcome.cgi; }}
    location / {{ {version if everywhere else "return 302 /dana-na/auth/url_default/welcome.cgi;"} }}
"""


def page(title, header, value):
    text = f"<html><head><title>{title}</title></head><body>{title}</body></html>"
    return f"""
    add_header {header} "{value}" always;
    location = / {{ default_type text/html; return 200 '{text}'; }}
    location / {{ return 404; }}
"""


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    odd = "odd" in sys.argv[2:]
    truth, servers = [], []
    free = iter(spread())

    def take(count, kind, instance="-", version="-"):
        taken = [next(free) for _ in range(count)]
        truth.extend((address, kind, instance, version) for address in taken)
        return taken

    # Two pairs of instances share a wildcard certificate, as boxes of one agency do: they are four. Two more share
    # a name and a key and show different versions: a pair of which one was updated.
    wildcard = certificate(folder, "wildcard", "*.agency.example")
    twin = certificate(folder, "twin", "twin.agency.example")
    for n in range(INSTANCES):
        build = VERSIONS[n % len(VERSIONS)]
        name = f"vpn{n:02}"
        if n in (6, 12):
            own = wildcard
        elif n in (7, 8):
            own = twin
        else:
            own = certificate(folder, name, f"{name}.agency.example")
        # Three have three addresses each.
        addresses = take(3 if n < 3 else 1, "product", name, release(build))
        servers.append(server(addresses, own, gate(build)))
    for n in range(4):
        own = certificate(folder, f"decoy{n}", f"gw{n}.agency.example")
        build = VERSIONS[n]
        servers.append(server(take(1, "decoy", f"decoy{n}", release(build)), own, gate(build, everywhere=True)))
    plain = certificate(folder, "plain", "www.agency.example")
    for n in range(96):
        servers.append(server(take(1, "neighbour"), plain, page(*NEIGHBOURS[n % len(NEIGHBOURS)])))
    strange = [("tarpit", 5), ("slow", 5), ("endless", 5), ("mute", 5)] if odd else []
    for kind, count in strange:
        take(count, kind)
    left = 300 - sum(1 for row in truth)
    servers.append(server(take(left, "other"), plain, page("Welcome", "X-Kind", "other")))
    take(200, "refused")
    take(12, "dropped")
    take(12, "forbidden")
    take(498, "nobody")
    truth.extend((address, "nobody", "-", "-") for address in (NET[0], NET[-1]))
    truth.sort()

    rows = ("\t".join(map(str, row)) for row in truth)
    (folder / "truth.tsv").write_text("\n".join(rows) + "\n")
    (folder / "scope.toml").write_text(
        f'organisation = "Example Agency"\ncontact = "soc@agency.example"\nnetworks = ["{NET}"]\n'
        "ports = [443]\nrate = 50000\n")
    (folder / "servers.conf").write_text("".join(servers))
    of = lambda *kinds: ", ".join(str(row[0]) for row in truth if row[1] in kinds)
    silent = ("refused", "dropped", "forbidden", "nobody")
    answering = ", ".join(str(row[0]) for row in truth if row[1] not in silent)
    (folder / "sets.nft").write_text(
        f"define answering = {{ {answering} }}\ndefine refused = {{ {of('refused')} }}\n"
        f"define dropped = {{ {of('dropped')} }}\ndefine forbidden = {{ {of('forbidden')} }}\n")
    (folder / "odd.tsv").write_text(
        "".join(f"{row[0]}\t{row[1]}\n" for row in truth if row[1] in ("tarpit", "slow", "endless", "mute")))


main()
