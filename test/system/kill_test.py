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
import collections
import signal
import sys
import time

import cluster
import verdict
from clients import Client, Leaseholder, Prober, Watcher

# kind of cycle: how often it is drawn
KILLS = {"kill one": 4, "kill the leader": 6, "kill two": 2, "kill while it starts": 2}
STOPS = {"stop the leader": 2, "stop one": 2, "ask one to end": 2}
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


def play_round(run, number, kinds, tally):
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
        verdict.wait_acknowledged(workers, 10 * len(kinds))
    finally:
        verdict.stop(workers)
    seconds = time.monotonic() - began
    nemesis.prober.write_through_each()
    cluster.say("  " + ", ".join(f"{k} {v}" for k, v in sorted(nemesis.counts.items())))
    events = verdict.conclude(run, made, [nemesis.prober, *workers], watcher, tally)
    cluster.say(f"  {events} events; the watcher fled {watcher.flights} times; longest wait for a "
                f"write {nemesis.prober.longest * 1000:.0f} ms, for health after a start "
                f"{max(nemesis.restarts, default=0) * 1000:.0f} ms; {seconds:.0f} s")
    made.stop()
    for member in made.members:
        member.api.close()
    nemesis.prober.close()
    run.clusters.remove(made)
    return collections.Counter(nemesis.counts)


def totals(counts, tally):
    kills = sum(counts[kind] for kind in KILLS)
    return (f"{kills} kill cycles, {counts[KILL_ALL]} kills of all members, "
            f"{counts.total() - kills - counts[KILL_ALL]} stops; {tally}")


def test(run):
    random, arguments = run.random, run.arguments
    kinds = [*random.choices(list(KILLS), list(KILLS.values()), k=arguments.cycles),
             *random.choices(list(STOPS), list(STOPS.values()), k=arguments.stops),
             *[KILL_ALL] * arguments.all]
    random.shuffle(kinds)
    counts, tally = collections.Counter(), verdict.Tally()
    began = time.monotonic()
    try:
        for number, first in enumerate(range(0, len(kinds), ROUND)):
            some = kinds[first:first + ROUND]
            cluster.say(f"round {number}: cycles {first + 1} to {first + len(some)} of {len(kinds)}, "
                        f"{arguments.clients} clients, after {time.monotonic() - began:.0f} s")
            counts += play_round(run, number, some, tally)
    finally:
        cluster.say(totals(counts, tally))


if __name__ == "__main__":
    parser = cluster.parser(__doc__)
    parser.add_argument("--cycles", type=int, default=cluster.by_level(5, 18, 800),
                        help="in which one or two members are killed")
    parser.add_argument("--stops", type=int, default=cluster.by_level(1, 6, 200),
                        help="in which one is stopped and continued, or asked to end")
    parser.add_argument("--all", type=int, default=cluster.by_level(2, 6, 250),
                        help="in which all are killed at once")
    parser.add_argument("--clients", type=int, default=6)
    cluster.main(test, parser.parse_args(sys.argv[1:]))
