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


class Tally:
    """What the histories of a run amount to, those that do not hold too."""

    def __init__(self):
        self.operations = self.acknowledged = self.events = 0
        self.lost = self.stale = self.other = self.undecided = 0
        self.planted = self.impossible = 0

    def add_problems(self, problems):
        for problem in problems:
            kind = problem.partition(":")[0]
            name = {"LOST": "lost", "STALE": "stale", "WRONG READ": "stale"}.get(kind, "other")
            setattr(self, name, getattr(self, name) + 1)

    def __str__(self):
        return (f"{self.operations} operations, {self.acknowledged} acknowledged writes checked: "
                f"{self.lost} lost, {self.stale} stale reads, {self.other} other problems, "
                f"{self.undecided} undecided by synod check; {self.planted} planted errors found, "
                f"{self.impossible} had no place")


def ask_checker(run, path, *flags):
    """(exit status, text) of `synod check`"""
    done = subprocess.run([checker(run), "check", *flags, path], capture_output=True, text=True,
                          env=run.environment(), timeout=600, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def check_file(run, path, tally):
    """`synod check` must say that a history holds. It may be undecided: with many unknown outcomes
    the search is long, and then order.py has the last word."""
    status, text = ask_checker(run, path)
    for line in text.splitlines():
        cluster.say(f"  {line}")
    if status == CHECK_UNDECIDED:
        tally.undecided += 1
    elif status != CHECK_HOLDS:
        tally.other += 1
        raise cluster.Failure(f"synod check {path}: exit status {status}, although the history "
                              f"should hold:\n{text[-3000:]}")


def check_planted_file(run, path):
    """`synod check` must find the error in a history. There is no need of a search through all orders
    for one that is not there; and where there are more unknown outcomes than it has patience for,
    each error is still one if others wrote as well."""
    status, text = ask_checker(run, path, "--revisions")
    if status == CHECK_UNDECIDED:
        status, text = ask_checker(run, path, "--partial")
    if status != CHECK_FAILS:
        raise cluster.Failure(f"synod check {path}: exit status {status}, although an error was "
                              f"planted:\n{text[-3000:]}")


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


def stop(clients):
    """Ends them, and waits for the calls that they have under way."""
    for one in clients:
        one.running = False
    for one in clients:
        one.join(60)
        if one.is_alive():
            raise cluster.Failure("a client's call does not return, long after its deadline")


def acknowledged(clients):
    """How many of their writes were; may be asked while they go on."""
    return sum(o.outcome == "ok" and o.wrote() for one in clients for o in list(one.operations))


def wait_acknowledged(clients, least):
    """Lets the clients go on until so many writes are: with fewer, a history proves little."""
    cluster.wait_until(f"{least} acknowledged writes", lambda: acknowledged(clients) >= least, 300, 0.1)


def check_order(made, watcher, order, content, final):
    """What the members have in the end, and what the travelling watcher saw, is the same history."""
    for kv in content:
        if order.at(kv.key.decode(), final) != as_found(kv):
            order.bad(f"LOST: the members' content is not the end of the history: {kv}")
    if watcher:
        cluster.wait_until("the watcher has seen everything",
                           lambda: watcher.next > final or watcher.problem, 60)
        watcher.running = False
        seen = [e for e in list(watcher.events) if e[0] <= final]
        if watcher.problem or seen != order.events:
            first = next(((a, b) for a, b in zip(seen, order.events) if a != b), None)
            order.bad(f"the travelling watcher saw something else: {watcher.problem or ''} "
                      f"{len(seen)} events, not {len(order.events)}, first difference {first}")


def conclude(run, made, clients, watcher=None, tally=None):
    """Everything that must hold when the faults are over and the clients have ended; `tally` grows by
    it. Returns the number of events."""
    tally = tally or Tally()
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
    check_order(made, watcher, order, content, final)
    path = os.path.join(made.folder, "history.jsonl")
    write_history(path, operations)
    tally.operations += len(operations)
    tally.acknowledged += acknowledged(clients)
    tally.events += len(events)
    tally.add_problems(order.problems)
    if order.problems:
        for problem in order.problems[:15]:
            cluster.say(f"  {problem}")
        cluster.say(f"  the history: {path}")
        raise cluster.Failure(f"{len(order.problems)} problems, first: {order.problems[0]}")
    check_file(run, path, tally)
    seen, found, impossible = check_the_judge(order, operations, final)
    tally.planted += found
    tally.impossible += impossible
    for what, wrong in seen.items():
        path = os.path.join(made.folder, f"history with {what}.jsonl")
        write_history(path, wrong)
        check_planted_file(run, path)
    return len(events)
