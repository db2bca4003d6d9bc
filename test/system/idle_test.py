#!/usr/bin/python3
"""What a member costs: memory and processor time when idle, and with a million keys.

Prints figures and asserts none of them: the same program prints etcd's for comparison. The million
keys (32 bytes each, values of 256) are written in transactions; then each member is started again
and the time until it serves is taken.
"""
import concurrent.futures
import json
import os
import subprocess
import sys
import time

import grpc

import cluster
import etcd_api as api

BATCH = 100


def idle(made, seconds):
    """(resident MiB, percent of a core) of each member over so many seconds."""
    before = [(cluster.cpu_seconds(m.process.pid), time.monotonic()) for m in made.members]
    time.sleep(seconds)
    return [(cluster.resident_bytes(m.process.pid) / 2**20,
             100 * (cluster.cpu_seconds(m.process.pid) - cpu) / (time.monotonic() - at))
            for m, (cpu, at) in zip(made.members, before)]


def load(made, keys):
    """`keys` pairs, a hundred in a transaction, sixteen transactions at once through each member."""
    value = os.urandom(256)

    def batch(number):
        one = made.members[number % len(made.members)].api
        puts = [api.RequestOp(request_put=api.PutRequest(key=b"million/%024d" % i, value=value))
                for i in range(number * BATCH, min(keys, (number + 1) * BATCH))]
        for _ in range(5):
            try:
                one.Txn(api.TxnRequest(success=puts), timeout=30)
                return
            except grpc.RpcError as error:
                problem = error
                time.sleep(0.5)
        raise cluster.Failure(f"loading: {problem.code().name} {problem.details()}")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for _ in pool.map(batch, range((keys + BATCH - 1) // BATCH)):
            pass


def restart(member):
    """Seconds from the start of the process to its first answer."""
    member.stop()
    began = time.monotonic()
    member.start()
    cluster.wait_until("the member serves", member.healthy, 120, 0.005)
    return time.monotonic() - began


def disk_mib(folder):
    return int(subprocess.run(["du", "-sm", folder], capture_output=True, text=True,
                              check=True).stdout.split()[0])


def test(run):
    made = run.cluster(extra=["--quota-backend-bytes", str(4 << 30)]).start()
    time.sleep(2)
    figures = {"system": run.system, "idle": [], "keys": run.arguments.keys}
    for member, (mib, cpu) in zip(made.members, idle(made, run.arguments.seconds)):
        cluster.say(f"  idle {member.name}: {mib:.1f} MiB resident, {cpu:.2f} % of a core")
        figures["idle"].append([round(mib, 1), round(cpu, 2)])
    if run.arguments.keys:
        began = time.monotonic()
        load(made, run.arguments.keys)
        figures["load_s"] = round(time.monotonic() - began, 1)
        cluster.say(f"  {run.arguments.keys} keys loaded in {figures['load_s']} s")
        time.sleep(3)
        reply = made.members[0].api.Range(api.RangeRequest(
            key=b"million/", range_end=b"million0", count_only=True), timeout=60)
        if reply.count != run.arguments.keys:
            raise cluster.Failure(f"loaded {run.arguments.keys}, but there are {reply.count}")
        loaded = idle(made, 3)
        figures["loaded"] = [[round(mib, 1), round(cpu, 2)] for mib, cpu in loaded]
        for member, (mib, cpu) in zip(made.members, loaded):
            cluster.say(f"  loaded {member.name}: {mib:.1f} MiB resident, {cpu:.2f} % of a core, "
                        f"{disk_mib(member.data)} MiB on disk")
        figures["restart_s"] = [round(restart(m), 2) for m in made.members]
        again = [cluster.resident_bytes(m.process.pid) / 2**20 for m in made.members]
        figures["restarted_mib"] = [round(mib, 1) for mib in again]
        for member, seconds, mib in zip(made.members, figures["restart_s"], again):
            cluster.say(f"  restart {member.name}: serves after {seconds:.2f} s, "
                        f"{mib:.1f} MiB resident")
    cluster.say(json.dumps(figures))


if __name__ == "__main__":
    parser = cluster.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=cluster.by_level(2, 5, 60),
                        help="how long to look at idle members")
    parser.add_argument("--keys", type=int, default=cluster.by_level(0, 300000, 1000000))
    cluster.main(test, parser.parse_args(sys.argv[1:]))
