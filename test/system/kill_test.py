#!/usr/bin/python3
"""Nothing acknowledged is ever lost, nothing stale is ever read, whatever is killed.

Clients write, read, delete and compare-and-set some twenty keys through all members at once, while
members are killed (one, the leader, two), stopped and continued, and started again after a moment, in
cycles; and again and again all members are killed at the same moment. Then the history is taken from a
watch over everything, and checked against what the clients saw; `synod check` judges what the clients
saw without that watch (both: verdict.py). Besides:

 - a watcher that fled from member to member saw the same history;
 - no lease ended before its time, and all that were not renewed did;
 - all members end with the same revision, hash and content;
 - while two members live, a write succeeds within a bounded time;
 - the check finds errors that are planted into this very history.
"""
import signal
import sys
import time

import cluster
import verdict
from clients import Client, Leaseholder, Prober, Watcher

KINDS = {"kill one": 4, "kill the leader": 6, "kill two": 2, "kill while it starts": 2,
         "stop the leader": 2, "stop one": 2, "ask one to end": 2}
KILL_ALL = "kill all"
ROUND = 20  # cycles with one cluster: a search gets longer with every unknown outcome


class Nemesis:
    """Hurts members and heals them. In the main thread, for it starts processes."""

    def __init__(self, made, random):
        self.made, self.random = made, random
        self.prober = Prober(made, random.random())
        self.counts = {}
        self.restarts = []

    def cycle(self, kind):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        members = self.made.members
        leader = self.made.leader_now() or self.random.choice(members)
        if kind.startswith("stop"):
            self.stop(leader if kind == "stop the leader" else self.random.choice(members))
            return
        if kind == "kill the leader":
            victims = [leader]
        elif kind == "kill two":
            victims = self.random.sample(members, 2)
        elif kind == KILL_ALL:
            victims = list(members)
        else:
            victims = [self.random.choice(members)]
        for victim in victims:
            victim.process.send_signal(
                signal.SIGTERM if kind == "ask one to end" else signal.SIGKILL)
        for victim in victims:
            victim.process.wait(60)
        if len(victims) == 1:
            self.prober.must_write()
        time.sleep(self.random.random() ** 2)
        self.random.shuffle(victims)
        for victim in victims:
            victim.start()
            if kind == "kill while it starts":
                time.sleep(0.1 * self.random.random())
                victim.kill()
                victim.start()
        self.prober.must_write()
        if self.random.random() < 0.7:
            began = time.monotonic()
            self.made.wait_healthy(60)
            self.restarts.append(time.monotonic() - began)

    def stop(self, victim):
        victim.send(signal.SIGSTOP)
        try:
            self.prober.must_write([m for m in self.made.members if m is not victim])
            time.sleep(self.random.random())
        finally:
            victim.send(signal.SIGCONT)
        self.prober.must_write()


def play_round(run, number, kinds):
    made = run.cluster(name=f"round{number}", extra=["--snapshot-count", "500"]).start()
    seed = f"{run.arguments.seed}-{number}"
    nemesis = Nemesis(made, run.random)
    endpoints = [(m.name, m.endpoint) for m in made.members]
    watcher = Watcher(endpoints, seed)
    workers = [Client(endpoints, i, seed) for i in range(1, run.arguments.clients + 1)]
    workers += [Leaseholder(endpoints, 100, seed), Leaseholder(endpoints, 101, seed)]
    for thread in [watcher, *workers]:
        thread.start()
    began = time.monotonic()
    try:
        for kind in kinds:
            nemesis.cycle(kind)
        made.wait_healthy(60)
        time.sleep(0.3)
    finally:
        for worker in workers:
            worker.running = False
    for worker in workers:
        worker.join(20)
    seconds = time.monotonic() - began
    nemesis.prober.write_through_each()
    cluster.say("  " + ", ".join(f"{k} {v}" for k, v in sorted(nemesis.counts.items())))
    operations, events = verdict.conclude(run, made, [nemesis.prober, *workers], watcher)
    cluster.say(f"  {events} events; the watcher fled {watcher.flights} times; longest wait for a "
                f"write {nemesis.prober.longest * 1000:.0f} ms, for health after a start "
                f"{max(nemesis.restarts, default=0) * 1000:.0f} ms; {seconds:.0f} s")
    acknowledged = sum(o.outcome == "ok" and o.wrote() for o in operations)
    if acknowledged < 10 * len(kinds):
        raise cluster.Failure(f"only {acknowledged} writes were acknowledged: this proves nothing")
    made.stop()
    for member in made.members:
        member.api.close()
    nemesis.prober.close()
    run.clusters.remove(made)
    return len(operations), acknowledged


def test(run):
    random, arguments = run.random, run.arguments
    kinds = random.choices(list(KINDS), list(KINDS.values()), k=arguments.cycles)
    kinds += [KILL_ALL] * arguments.all
    random.shuffle(kinds)
    operations = acknowledged = 0
    for number, first in enumerate(range(0, len(kinds), ROUND)):
        some = kinds[first:first + ROUND]
        cluster.say(f"round {number}: {len(some)} cycles, {arguments.clients} clients")
        more = play_round(run, number, some)
        operations, acknowledged = operations + more[0], acknowledged + more[1]
    cluster.say(f"{arguments.cycles} kill cycles, {arguments.all} kills of all members, {operations} "
                f"operations checked, {acknowledged} acknowledged writes: 0 lost, 0 stale reads")


if __name__ == "__main__":
    parser = cluster.parser(__doc__)
    parser.add_argument("--cycles", type=int, default=cluster.by_level(6, 24, 1000),
                        help="in which one or two members are killed or stopped")
    parser.add_argument("--all", type=int, default=cluster.by_level(2, 6, 250),
                        help="in which all are killed at once")
    parser.add_argument("--clients", type=int, default=6)
    cluster.main(test, parser.parse_args(sys.argv[1:]))
