"""How each case of a suite ended, without weir and through it.

    python compare.py h2spec|autobahn|mcp|exchanges|page DIRECT THROUGH

A case passes if it ended well through weir, or as it did without. Prints the others, and how many
there were of each.
"""
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as tree

# Fewer than these and the suite did not run.
LEAST = {"h2spec": 145, "autobahn": 247, "mcp": 47, "exchanges": 40, "page": 13}


def h2spec(path):
    for case in tree.parse(path).iter("testcase"):
        name = f"{case.get('package')} {case.get('classname')}"
        wrong = [it for it in case if it.tag in ("failure", "error")]
        said = " ".join((wrong[0].text or "").split()) if wrong else ""
        yield name, ("failed: " + said) if wrong else "ok", not wrong


def autobahn(path):
    cases = next(iter(json.loads(pathlib.Path(path).read_text()).values()))
    for name, it in cases.items():
        ended = f"{it['behavior']}, close {it['behaviorClose']}"
        yield name, ended, it["behavior"] in ("OK", "INFORMATIONAL", "NON-STRICT")


def mcp(path):
    for file in sorted(pathlib.Path(path).glob("*/checks.json")):
        scenario = re.sub(r"-\d{4}-\d\d-\d\dT.*", "", file.parent.name)
        counts = {}
        for it in json.loads(file.read_text()):
            if it["status"] == "INFO":
                continue
            counts[it["id"]] = counts.get(it["id"], 0) + 1
            name = f"{scenario} {it['id']} {counts[it['id']]}"
            yield name, f"{it['status']} {it.get('errorMessage', '')}", it["status"] == "SUCCESS"


def exchanges(path):
    for line in pathlib.Path(path).read_text().splitlines():
        yield json.loads(line)["exchange"], line, False


def page(path):
    for name, heard in json.loads(pathlib.Path(path).read_text()).items():
        yield name, json.dumps(heard), False


def main():
    kind, direct_path, through_path = sys.argv[1:]
    read = {"h2spec": h2spec, "autobahn": autobahn, "mcp": mcp, "exchanges": exchanges,
            "page": page}[kind]
    direct, through = [{name: (ended, good) for name, ended, good in read(path)}
                       for path in (direct_path, through_path)]
    names = dict.fromkeys([*direct, *through])
    nothing = ("did not run", False)
    wrong = [name for name in names if not through.get(name, nothing)[1]
             and through.get(name, nothing)[0] != direct.get(name, nothing)[0]]
    for name in wrong:
        print(f"{name}\n  without weir: {direct.get(name, nothing)[0]}")
        print(f"  through weir: {through.get(name, nothing)[0]}")
    alike = [name for name in names if name not in wrong and not through[name][1]]
    if alike and kind not in ("exchanges", "page"):
        print("alike without weir and through it, and not as the suite wants:", *alike, sep="\n  ")
    missing = max(0, LEAST[kind] - len(names))
    if missing:
        print(f"{missing} cases did not run")
    print(f"{len(names) - len(wrong)} passed, {len(wrong) + missing} failed")


main()
