#!/usr/bin/env python3
"""What do the measurements run on? The same bytes for the same arguments.

generate.py access BYTES    an access log in the combined form, about BYTES long; one line in 100,000 is an attack
generate.py sigma N         N Sigma rules about web servers, one YAML file of many documents
generate.py yara N          N YARA rules
generate.py planted N DIR   files in DIR that some of those N rules match

The shapes follow public rule sets: what kinds of strings, how many of each, which conditions. The texts are made up.
"""
import os
import random
import re
import sys

WORDS = """account admin archive asset basket billing bundle cache calendar cart catalog checkout client cloud config
contact content control css dashboard data default delivery detail device download editor event export feed file
filter font form forum gallery group guest health help history home icon image import index invoice item job js key
label language layout library link list locale login mail main manage map media member menu message meta module news
note offer option order page panel partner password payment photo plugin policy portal preview price print product
profile project public query queue rating report request reset result role rule sale schedule script search section
secure server service session setting share shop site sitemap sort source start static status store style submit
support table tag task team template term test text theme thumb ticket token tool topic track upload user vendor
version video view vote web widget wiki window work zone""".split()
AGENTS = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "curl/7.88.1",
]
ENDINGS = ["html", "php", "js", "css", "png", "svg", "json", "woff2", "aspx", "jsp"]
STATUS = [200] * 40 + [304] * 8 + [301, 302, 404, 404, 403, 500]


def text(rng, low, high):
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz0123456789_") for _ in range(rng.randint(low, high)))


def access(size):
    rng = random.Random(1)
    paths = []
    for _ in range(5000):
        path = "/" + "/".join(rng.choice(WORDS) for _ in range(rng.randint(1, 5))) + "." + rng.choice(ENDINGS)
        if rng.random() < 0.3:
            path += "?" + "&".join(f"{rng.choice(WORDS)}={rng.choice(WORDS)}" for _ in range(rng.randint(1, 4)))
        paths.append(path)
    attacks = [f"/{rng.choice(WORDS)}?{marker}" for marker in markers(random.Random(2), 300)[:40]]
    written, second, number = 0, 0, 0
    out = sys.stdout.buffer
    while written < size:
        lines = []
        for _ in range(5000):
            number += 1
            second += rng.random() < 0.3
            path = attacks[number // 100_000 % len(attacks)] if number % 100_000 == 0 else rng.choice(paths)
            minute, hour = second // 60, second // 3600
            stamp = f"{1 + hour // 24 % 28:02d}/{MONTHS[hour // 672 % 12]}/{2019 + hour // 8064}"
            lines.append(
                f'10.{rng.getrandbits(8)}.{rng.getrandbits(8)}.{rng.getrandbits(8)} - - '
                f'[{stamp}:{hour % 24:02d}:{minute % 60:02d}:{second % 60:02d} +0000] "GET {path} HTTP/1.1" '
                f'{rng.choice(STATUS)} {rng.randint(100, 90000)} "https://www.example.org{rng.choice(paths)}" '
                f'"{rng.choice(AGENTS)}"\n'
            )
        chunk = "".join(lines).encode()
        out.write(chunk)
        written += len(chunk)


MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def markers(rng, count):
    """What rules look for: nothing that an honest line holds."""
    return ["x-" + text(rng, 6, 18) for _ in range(count)]


def sigma(count):
    rng = random.Random(2)
    first = markers(rng, count)
    for number in range(count):
        more = [first[number]] + ["x-" + text(rng, 6, 18) for _ in range(rng.randint(0, 9))]
        quoted = "\n".join(f"      - '{one}'" for one in more)
        shape = number % 6
        if shape == 0:
            detection = f"  selection:\n    cs-uri-query|contains:\n{quoted}\n  condition: selection"
        elif shape == 1:
            detection = (f"  selection:\n    cs-method: GET\n    cs-uri-query|contains:\n{quoted}\n"
                         "  filter:\n    sc-status: 404\n  condition: selection and not filter")
        elif shape == 2:
            detection = f"  selection:\n    cs-uri-stem|endswith:\n{quoted}\n  condition: selection"
        elif shape == 3:
            detection = f"  selection:\n    cs-user-agent|contains:\n{quoted}\n  condition: selection"
        elif shape == 4:
            detection = f"  keywords:\n{quoted}\n  condition: keywords"
        else:
            detection = (f"  path:\n    cs-uri-stem|contains: '{more[0]}'\n  query:\n    cs-uri-query|contains|all:\n"
                         f"{quoted}\n  condition: path or query")
        print(f"---\ntitle: Rule {number}\nid: 00000000-0000-4000-8000-{number:012d}\nstatus: test\n"
              f"logsource:\n  category: webserver\ndetection:\n{detection}\nlevel: high")


def yara_string(rng, name):
    kind = rng.random()
    if kind < 0.62:
        modifiers = rng.choice(["", " ascii", " ascii wide", " wide", " nocase", " fullword ascii"])
        return f'    ${name} = "{text(rng, 7, 32)}"{modifiers}'
    if kind < 0.92:
        parts = [f"{rng.getrandbits(8):02X}" for _ in range(rng.randint(8, 28))]
        for place in range(5, len(parts) - 1):
            if rng.random() < 0.12:
                parts[place] = rng.choice(["??", "[2-6]"])
        return f"    ${name} = {{ {' '.join(parts)} }}"
    return f"    ${name} = /{text(rng, 6, 12)}[a-z0-9]{{4,12}}{text(rng, 4, 8)}/"


def yara_rules(count):
    """Name, strings, and condition in two parts, of each rule."""
    rng = random.Random(3)
    for number in range(count):
        strings = [yara_string(rng, f"s{place}") for place in range(rng.randint(2, 8))]
        shape = number % 5
        head = {0: "uint16(0) == 0x5a4d and filesize < 2MB and ", 1: "uint32(0) == 0x464c457f and ",
                2: "filesize < 500KB and "}.get(shape, "")
        condition = rng.choice(["all of them", "2 of them", "any of ($s*)"])
        yield f"made_{number:05d}", strings, head, condition


def yara(count):
    for name, strings, head, condition in yara_rules(count):
        lines = "\n".join(strings)
        print(f"rule {name} {{\n  strings:\n{lines}\n  condition:\n    {head}{condition}\n}}\n")


def planted(count, folder):
    """One file for each of the first twenty rules that a single plain text satisfies."""
    plain = re.compile(r'= "([^"]*)"(?: ascii| nocase)?$')
    made = 0
    for name, strings, head, condition in yara_rules(count):
        found = plain.search(strings[0])
        if found and not head and condition.startswith("any") and made < 20:
            made += 1
            with open(os.path.join(folder, f"planted-{name}.txt"), "w") as out:
                out.write(f"harmless text\n {found[1]} \n")


if __name__ == "__main__":
    kinds = {"access": access, "sigma": sigma, "yara": yara, "planted": planted}
    if len(sys.argv) < 3 or sys.argv[1] not in kinds or not sys.argv[2].isdigit():
        sys.exit(__doc__)
    kinds[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
