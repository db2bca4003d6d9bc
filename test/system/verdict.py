"""What must hold when the faults of a test are over and its clients have ended.

A history has two judges, which share nothing: `synod check` knows its file alone, order.py also all
events. `conclude` asks both, and whether the members agree, leases ended and watchers saw everything.
"""
import os
import subprocess

import grpc

import cluster
import etcd_api as api
from clients import Leaseholder, read_events
from history import PREFIX, as_found, write_history
from order import check_the_judge, judge


def counts(operations):
    """{kind: [ok, failed, unknown]}"""
    found = {}
    for one in operations:
        kind = "txn" if one.compares is not None else next(iter(one.do[0]))
        row = found.setdefault(kind, [0, 0, 0])
        row[("ok", "failed", "unknown").index(one.outcome)] += 1
    return found


def say_counts(operations):
    cluster.say("  ok/failed/unknown: " + ", ".join(
        f"{kind} {'/'.join(map(str, row))}" for kind, row in sorted(counts(operations).items())))


def checker(run):
    """The synod that checks: the one under test, or the one that was built, when etcd is tested."""
    return run.binary if run.system == "synod" else os.path.join(cluster.ROOT, "build/release/synod")


CHECK_HOLDS, CHECK_FAILS, CHECK_UNDECIDED = 0, 1, 3  # the exit status of synod check


def check_file(run, path, holds=True):
    """What `synod check` says of a history; raises if that is not what it should say. It may be
    undecided: with many unknown outcomes the search is long, and then `order.py has the last word."""
    flags = [] if holds else ["--revisions"]  # no search through all orders for one that is not there
    done = subprocess.run([checker(run), "check", *flags, path], capture_output=True, text=True,
                          env=run.environment(), timeout=600, check=False)
    text = (done.stdout + done.stderr).strip()
    if done.returncode not in ((CHECK_HOLDS, CHECK_UNDECIDED) if holds else (CHECK_FAILS,)):
        raise cluster.Failure(f"synod check {path}: exit status {done.returncode}, although the "
                              f"history {'should' if holds else 'should not'} hold:\n{text[-3000:]}")
    return text


def agreed_revision(made, seconds=60):
    """Waits until all members have the same content at the same revision, and returns both. (A write
    that nobody waits for any more may still come through while this waits.)"""
    prefix = PREFIX.encode()
    request = api.RangeRequest(key=prefix, range_end=api.prefix_end(prefix), serializable=True)

    def replies():
        try:
            found = [m.api.Range(request, timeout=5, wait_for_ready=True) for m in made.members]
        except grpc.RpcError:
            return None
        same = len({r.header.revision for r in found}) == 1
        return found if same else None
    found = cluster.wait_until("all members at the same revision", replies, seconds)
    final = found[0].header.revision
    if any(list(r.kvs) != list(found[0].kvs) for r in found):
        raise cluster.Failure(f"members differ in content at revision {final}")
    hashes = [m.api.HashKV(api.HashKVRequest(revision=final), timeout=20).hash for m in made.members]
    if len(set(hashes)) != 1:
        raise cluster.Failure(f"members differ in their hash of revision {final}: {hashes}")
    return final, found[0].kvs


def conclude(run, made, clients, watcher=None, name="history"):
    """Everything that must hold when the faults are over and the clients have ended. Returns their
    operations and the number of events."""
    for one in clients:
        if isinstance(one, Leaseholder):
            if one.problem:
                raise cluster.Failure(one.problem)
            one.must_expire(made)
    operations = [o for one in clients for o in one.operations]
    say_counts(operations)
    final, content = agreed_revision(made)
    events = [e for e in read_events(run.random.choice(made.members), final) if e[0] <= final]
    order = judge(events, operations, final)
    for kv in content:
        if order.at(kv.key.decode(), final) != as_found(kv):
            order.bad(f"the members' content is not the end of the history: {kv}")
    if watcher:
        cluster.wait_until("the watcher has seen everything",
                           lambda: watcher.next > final or watcher.problem, 60)
        watcher.running = False
        seen = [e for e in list(watcher.events) if e[0] <= final]
        if watcher.problem or seen != events:
            first = next(((a, b) for a, b in zip(seen, events) if a != b), None)
            order.bad(f"the travelling watcher saw something else: {watcher.problem or ''} "
                      f"{len(seen)} events, not {len(events)}, first difference {first}")
    path = os.path.join(made.folder, f"{name}.jsonl")
    write_history(path, operations)
    if order.problems:
        for problem in order.problems[:15]:
            cluster.say(f"  {problem}")
        cluster.say(f"  the history: {path}")
        raise cluster.Failure(f"{len(order.problems)} problems, first: {order.problems[0]}")
    for line in check_file(run, path).splitlines():
        cluster.say(f"  {line}")
    for what, wrong in check_the_judge(events, operations, final).items():
        path = os.path.join(made.folder, f"{name} with {what}.jsonl")
        write_history(path, wrong)
        check_file(run, path, holds=False)
    return operations, len(events)
