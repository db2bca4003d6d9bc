#!/usr/bin/python3
"""Synod and etcd on this machine, in one run: the figures of doc/performance.md.

Three members of each, with the same durability (every acknowledged write synced by a majority), on the
same disk. Each load runs on one system and then on the other, A B A B, from the same load generator
(`synod bench`); the median of the rounds is printed, with the processor time that the three members
used for it. Prints figures and asserts none: timings of a shared machine are noisy, ratios less so.

  test/bench/side_by_side.py [--rounds 3] [--seconds 4] [--json]
"""
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

import cluster

LOADS = [
    ("put 1 x 1", ["put", "--connections", "1", "--streams", "1"]),
    ("put 100 x 1", ["put", "--connections", "100", "--streams", "1"]),
    ("put 100 x 10", ["put", "--connections", "100", "--streams", "10"]),
    ("get linearizable 100 x 1", ["get", "--connections", "100", "--streams", "1"]),
    ("get linearizable 100 x 10", ["get", "--connections", "100", "--streams", "10"]),
    ("get serializable 100 x 1",
     ["get", "--connections", "100", "--streams", "1", "--consistency", "s"]),
    ("get serializable 100 x 10",
     ["get", "--connections", "100", "--streams", "10", "--consistency", "s"]),
]


def members_cpu(made):
    return sum(cluster.cpu_seconds(member.process.pid) for member in made.members)


def measure(run, tool, made, load):
    """One load on one system: (a second, p50 ms, p99 ms, CPU microseconds of the members a request)."""
    command = [tool, "bench", *load, "--endpoints", ",".join(made.endpoints), "--value-size", "256",
               "--keys", "10000", "--duration", f"{run.arguments.seconds}s", "--json", "--quiet"]
    if load[0] == "get":
        command.append("--fill")
    before = members_cpu(made)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    used = members_cpu(made) - before
    figures = json.loads(done.stdout)
    series = list(figures["operations"].values())[0]
    if series["errors"]:
        raise cluster.Failure(f"{load}: {series['errors']} errors")
    return (series["per_second"], series["p50_us"] / 1000, series["p99_us"] / 1000,
            used * 1e6 / max(1, series["done"]))


def medians(samples):
    return tuple(statistics.median(column) for column in zip(*samples))


def test(run):
    tool = run.binary
    synod = run.cluster(name="synod").start()
    server, run.server = run.server, ["etcd"]
    etcd = run.cluster(name="etcd").start()
    run.server = server
    results = {}
    cluster.say(f"{'load':<27} {'etcd/s':>9} {'synod/s':>9} {'ratio':>6}  "
                f"{'etcd p50/p99 ms':>16}  {'synod p50/p99 ms':>16}  {'CPU us/req':>14}")
    for name, load in LOADS:
        samples = {"etcd": [], "synod": []}
        for _ in range(run.arguments.rounds):
            samples["etcd"].append(measure(run, tool, etcd, load))
            samples["synod"].append(measure(run, tool, synod, load))
        a, b = medians(samples["etcd"]), medians(samples["synod"])
        results[name] = {"etcd": a, "synod": b, "ratio": b[0] / a[0]}
        cluster.say(f"{name:<27} {a[0]:>9,.0f} {b[0]:>9,.0f} {b[0] / a[0]:>6.1f}  "
                    f"{a[1]:>7.2f} / {a[2]:>6.2f}  {b[1]:>7.2f} / {b[2]:>6.2f}  "
                    f"{a[3]:>6.0f} / {b[3]:>4.0f}")
    for label, made in (("etcd", etcd), ("synod", synod)):
        resident = [cluster.resident_bytes(m.process.pid) / 2**20 for m in made.members]
        cluster.say(f"{label}: resident after the run: "
                    + ", ".join(f"{mib:.0f} MiB" for mib in resident))
    if run.arguments.json:
        cluster.say(json.dumps(results))


if __name__ == "__main__":
    parser = cluster.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    cluster.main(test, parser.parse_args(sys.argv[1:]))
