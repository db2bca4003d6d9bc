#!/usr/bin/python3
"""`synod check` as a command: what it says, and its exit status, for a history of each kind.

No cluster is started. Whether the verdicts are right is for test/unit/check/ to show; here it is
whether they reach people and programs.
"""
import argparse
import json
import subprocess
import sys

HEADER = '{"format":"synod-history","version":1}\n'


def line(call, end, outcome, do, revision=None):
    made = {"client": 1, "call": call, "return": end, "outcome": outcome, "do": [do]}
    if revision is not None:
        made["revision"] = revision
    return json.dumps(made) + "\n"


def pair(value, create, mod, version):
    return {"value": value, "create": create, "mod": mod, "version": version}


WRITE = line(0, 1, "ok", {"put": "a", "value": "1"}, 2)
AGAIN = line(2, 3, "ok", {"put": "a", "value": "2"}, 3)
READ = line(4, 5, "ok", {"get": "a", "found": pair("2", 2, 3, 2)}, 3)
STALE = line(6, 7, "ok", {"get": "a", "found": pair("1", 2, 2, 1)}, 2)
WRONG = line(6, 7, "ok", {"get": "a", "found": pair("2", 2, 3, 9)}, 3)
GAP = line(8, 9, "ok", {"put": "b", "value": "3"}, 9)
GOOD = HEADER + WRITE + AGAIN + READ
# Twelve concurrent puts and a read that none of them explains: more orders than a small budget tries.
HARD = HEADER + "".join(line(0, 90, "ok", {"put": "a", "value": str(i)}, i + 2) for i in range(12)) \
    + line(91, 92, "ok", {"get": "a", "found": None}, 13)

# (what, input, flags, exit status, a word of the output)
CASES = [
    ("a good history", GOOD, [], 0, "linearizable"),
    ("one checker", GOOD, ["--general"], 0, "general"),
    ("the other", GOOD, ["--revisions"], 0, "revisions"),
    ("a stale read", GOOD + STALE, [], 1, "cannot be placed"),
    ("a stale read, by its value alone", GOOD + STALE, ["--general"], 1, "#3 client 1 get a"),
    ("a wrong version", GOOD + WRONG, ["--revisions"], 1, "(version)"),
    ("a wrong version is no matter of order", GOOD + WRONG, ["--general"], 0, "linearizable"),
    ("writes of others", GOOD + GAP, [], 1, "missing revision"),
    ("writes of others, as is said", GOOD + GAP, ["--partial"], 0, "linearizable"),
    ("not enough steps", HARD, ["--general", "--steps", "50"], 3, "undecided"),
    ("nothing succeeded", HEADER + line(0, 1, "failed", {"put": "a", "value": "1"}), [], 2, "vacuous"),
    ("only writes", HEADER + WRITE, [], 2, "vacuous"),
    ("no history", "", [], 2, "line 1"),
    ("a broken line", GOOD + '{"client":1}\n', [], 2, "line 5"),
    ("flags that do not go together", GOOD, ["--general", "--partial"], 2, "partial"),
]


def check(binary, flags, text, path="-"):
    done = subprocess.run([binary, "check", path, *flags], input=text, capture_output=True, text=True,
                          timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    binary = parser.parse_args().binary
    failed = []
    for what, text, flags, status, word in CASES:
        got, output = check(binary, flags, text)
        if got != status or word not in output:
            failed.append(f"{what}: exit status {got}, not {status}, or no \"{word}\" in:\n{output}")
    status, output = check(binary, ["--json"], GOOD + STALE)
    said = json.loads(output)
    checkers = {one["checker"]: one for one in said["checkers"]}
    if status != 1 or said["verdict"] != "violation" or set(checkers) != {"revisions", "general"} or \
            any(one["cannot_be_placed"]["operation"] != 3 for one in checkers.values()) or \
            checkers["general"]["longest_prefix"] != [0, 1, 2]:
        failed.append(f"--json: {output}")
    if check(binary, [], "", "/no/such/file")[0] != 2:
        failed.append("a file that is not there")
    if check(binary, ["--help"], "")[0] != 0 or "Examples" not in check(binary, ["--help"], "")[1]:
        failed.append("--help")
    for problem in failed:
        print(problem)
    print(f"{len(CASES) + 3 - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


sys.exit(main())
