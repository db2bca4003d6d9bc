#!/usr/bin/python3
"""Synod beside etcd, ZooKeeper and a bare HTTP/2 server, on this machine, in one run.

  script/bench                          every suite
  script/bench load watch               only these
  script/bench --quick                  one short round each: is everything in place?
  script/bench --json out.json --markdown out.md --svg plots/

Suites: load, ceiling, rate, watch, memory, footprint, stall, stages, threads, growth, instructions.
Prints figures and asserts none: timings of a shared machine are noisy, ratios less so.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time

import systems
import cluster
import suites


def parse():
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(suites.SUITES))
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement (4)")
    parser.add_argument("--keys", type=int, default=1000000, help="of memory and stall (1000000)")
    parser.add_argument("--peers", default="etcd,zookeeper", help="etcd,zookeeper; or none")
    parser.add_argument("--quick", action="store_true", help="one round of a second, 50,000 keys")
    parser.add_argument("--binary", help="of synod (build/release/synod)")
    parser.add_argument("--engine", help="synod's consensus engine")
    parser.add_argument("--set", action="append", default=[], metavar="FLAG=VALUE",
                        help="a flag of synod serve, for every member; may be repeated")
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables for a page")
    parser.add_argument("--svg", metavar="FOLDER", help="draw the figures")
    options = parser.parse_args()
    unknown = [name for name in options.suites if name not in suites.SUITES]
    if unknown:
        parser.error(f"there is no suite {unknown[0]}; there are {', '.join(suites.SUITES)}")
    if options.quick:
        options.rounds, options.seconds, options.keys = 1, 1, 50000
    options.peers = [name for name in options.peers.split(",") if name not in ("", "none")]
    options.suites = options.suites or list(suites.SUITES)
    options.system, options.seed, options.keep = "synod", 1, False
    return options


def version(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip().split("\n")[0]
    except OSError:
        return None


def machine(binary):
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return {"cpu": f"{len(models)} x {models[0] if models else platform.machine()}",
            "kernel": platform.release().split("-")[0], "when": time.strftime("%Y-%m-%d"),
            "synod": version([binary, "version"]), "etcd": version(["etcd", "--version"])}


def test(run):
    options = run.arguments
    run.systems_started = 0
    for name in list(options.peers):
        why = systems.missing(name)
        if why is not None:
            cluster.say(f"without {name}: {why}")
            options.peers.remove(name)
    tables = []
    for name in options.suites:
        began = time.monotonic()
        found = suites.SUITES[name](run, options)
        for table in found:
            cluster.say("\n" + table.show())
        cluster.say(f"({name}: {time.monotonic() - began:.0f} s)")
        tables += found
        suites.clean(run)
    data = {"machine": machine(run.binary), "tables": [table.data() for table in tables]}
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write("\n".join(table.markdown() for table in tables))
    if options.svg:
        import plots
        for path in plots.draw(data, options.svg):
            cluster.say(f"drew {os.path.relpath(path)}")


if __name__ == "__main__":
    arguments = parse()
    # Many rounds take many ports.
    os.environ.setdefault("SYNOD_TEST_PORTS", "15000-31999")
    cluster.main(test, arguments)
