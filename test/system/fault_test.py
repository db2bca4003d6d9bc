#!/usr/bin/python3
"""Whatever the network and the machine do, the history is linearizable; and it goes on afterwards.

Members dial each other, and clients dial members, through a proxy that cuts lines (both ways, one way,
between two of three), delays and throttles them, takes connections and says nothing, resets them,
changes bytes, and replays what was said before (fault_proxy.py). Members are stopped, killed, and
killed all at once. First every fault by itself, each with what must be seen of it; then faults drawn
from a seed, at times several at once. Meanwhile clients record a history, which is checked in the end
(verdict.py). While a quorum is connected, and whenever one has been healed, a write must succeed
within a bounded time.
"""
import re
import signal
import sys
import time

import cluster
import verdict
from clients import Client, Leaseholder, Prober, Watcher

ROUND = 15  # draws with one cluster: a search gets longer with every unknown outcome
# Damage that checksums and the order of frames can tell, as members log it.
REFUSED = r'"reason":"(checksum mismatch|larger than|malformed|it did not|its welcome|it sent more)'


class World:
    """The members, the network between them, and what is done to both."""

    def __init__(self, run, number):
        self.run, self.random = run, run.random
        self.made = run.cluster(proxied=True, name=f"round{number}",
                                extra=["--snapshot-count", "500"]).start()
        self.proxy = self.made.proxy
        self.members = self.made.members
        self.names = [m.name for m in self.members]
        self.prober = Prober(self.made, run.arguments.seed)
        self.counts = {}
        self.healed = []

    def end(self):
        self.made.stop()
        self.proxy.end()
        for member in self.members:
            member.api.close()
        self.prober.close()
        self.run.clusters.remove(self.made)

    def member(self, name):
        return next(m for m in self.members if m.name == name)

    def leader(self):
        return (self.made.leader_now() or self.random.choice(self.members)).name

    def victim(self):
        """The leader, more often than not."""
        return self.leader() if self.random.random() < 0.6 else self.random.choice(self.names)

    def others(self, name):
        return [n for n in self.names if n != name]

    def pairs(self):
        return [(a, b) for a in self.names for b in self.names if a != b]

    def flow(self):
        return self.random.choice(["hold", "drop"])

    def cut_both(self, a, b, flow):
        self.proxy.cut(a, b, flow)
        self.proxy.cut(b, a, flow)

    def isolate(self, name):
        flow = self.flow()
        for other in self.others(name):
            self.cut_both(name, other, flow)

    def must_write(self, names):
        self.prober.must_write([self.member(n) for n in names])

    def wait(self, least, most):
        time.sleep(self.random.uniform(least, most) * self.run.arguments.pace)

    def heal(self):
        """All faults end: it must serve. Returns how soon."""
        self.proxy.heal()
        for member in self.members:
            member.send(signal.SIGCONT)
            if not member.alive():
                code = member.process.returncode
                if code != -signal.SIGKILL:
                    raise cluster.Failure(f"{member.name} ended by itself with status {code}:\n"
                                          f"{member.log_tail()}")
                member.start()
        return self.served(self.members)

    def served(self, members):
        self.healed.append(self.prober.must_write(members))
        return self.healed[-1]

    def heal_a_quorum(self):
        """Only two of three are connected again: these two must serve. Returns how soon."""
        left = self.random.choice(self.names)
        self.proxy.heal()
        self.isolate(left)
        for name in self.others(left):
            member = self.member(name)
            member.send(signal.SIGCONT)
            if not member.alive():
                member.start()
        return self.served([self.member(n) for n in self.others(left)])

    def refusals(self):
        found = 0
        for member in self.members:
            with open(member.log_path, encoding="utf-8", errors="replace") as file:
                found += sum(re.search(REFUSED, line) is not None for line in file)
        return found


# --- faults: each leaves the cluster hurt; `heal` mends it ----------------------------------------


def partition(world):
    """One is alone, the others go on."""
    name = world.victim()
    world.isolate(name)
    world.must_write(world.others(name))
    world.wait(0.2, 1.5)


def all_apart(world):
    """Nobody has a quorum: nothing is acknowledged."""
    flow = world.flow()
    for a, b in world.pairs():
        world.proxy.cut(a, b, flow)
    world.wait(0.5, 2.5)


def mute(world):
    """One hears, but is not heard; or is heard, but does not hear."""
    name, flow, hears = world.victim(), world.flow(), world.random.random() < 0.5
    for other in world.others(name):
        world.proxy.cut(*((name, other) if hears else (other, name)), flow)
    if hears:  # its heartbeats are missed; one that is heard may keep the others from electing
        world.must_write(world.others(name))
    world.wait(0.5, 2.5)


def one_way(world):
    world.proxy.cut(*world.random.choice(world.pairs()), world.flow())
    world.wait(0.5, 2.5)


def bridge(world):
    """Two do not reach each other; the third reaches both."""
    name = world.victim()
    world.cut_both(name, world.random.choice(world.others(name)), world.flow())
    world.wait(0.5, 3.0)


def slow(world):
    for a, b in world.random.sample(world.pairs(), world.random.randint(1, 4)):
        world.proxy.slow(a, b, delay=world.random.choice([0.005, 0.05, 0.2]),
                         jitter=world.random.choice([0, 0.05, 0.3]))
    world.wait(1.0, 3.0)


def narrow(world):
    for a, b in world.random.sample(world.pairs(), world.random.randint(1, 3)):
        world.proxy.slow(a, b, rate=world.random.choice([2000, 20000, 200000]))
    world.wait(1.0, 3.0)


def half_open(world):
    """Connections to one are taken, and that is all; those that there were are reset."""
    name = world.victim()
    for other in world.others(name):
        dialer, target = (other, name) if world.random.random() < 0.7 else (name, other)
        world.proxy.accept(dialer, target, "silent")
        world.proxy.reset(dialer, target)
    world.wait(0.5, 4.0)


def resets(world):
    for _ in range(world.random.randint(10, 30)):
        world.proxy.reset(*world.random.choice(world.pairs()))
        world.wait(0.0, 0.15)


def corrupt(world):
    for _ in range(world.random.randint(3, 20)):
        world.proxy.corrupt(*world.random.choice(world.pairs()))
        world.wait(0.02, 0.12)


def replay(world):
    """Old messages again, over a second connection, which takes the place of the first."""
    for _ in range(world.random.randint(2, 8)):
        world.proxy.replay(*world.random.choice(world.pairs()))
        world.wait(0.05, 0.3)


def clients_lines(world):
    name = world.victim()
    kind = world.random.choice(["in", "out", "silent", "slow", "reset"])
    if kind in ("in", "out"):
        world.proxy.cut(*(("clients", name) if kind == "in" else (name, "clients")), world.flow())
    elif kind == "silent":
        world.proxy.accept("clients", name, "silent")
        world.proxy.reset("clients", name)
    elif kind == "slow":
        world.proxy.slow("clients", name, delay=0.1, jitter=0.3)
        world.proxy.slow(name, "clients", delay=0.1, jitter=0.3)
    for _ in range(8 if kind == "reset" else 0):
        world.proxy.reset("clients", name)
        world.wait(0, 0.2)
    world.must_write(world.others(name))
    world.wait(0.3, 1.5)


def stop(world):
    name = world.victim()
    world.member(name).send(signal.SIGSTOP)
    world.must_write(world.others(name))
    world.wait(0.2, 2.5)


def wake_alone(world):
    """A leader sleeps while another one is elected, and wakes up to clients only."""
    name = world.leader()
    world.member(name).send(signal.SIGSTOP)
    world.must_write(world.others(name))
    world.isolate(name)
    world.wait(0.2, 2.0)
    world.member(name).send(signal.SIGCONT)
    world.wait(0.5, 2.0)


def kill(world):
    name = world.victim()
    world.member(name).kill()
    world.must_write(world.others(name))
    world.wait(0.0, 1.0)


def kill_all(world):
    for member in world.members:
        if member.alive():
            member.process.send_signal(signal.SIGKILL)
    for member in world.members:
        member.process.wait(60)


NETWORK = [partition, all_apart, mute, one_way, bridge, slow, narrow, half_open, resets, corrupt,
           replay, clients_lines]
MACHINE = [stop, wake_alone, kill, kill_all]


def network(world):
    """etcd relies on TCP's own checksum, or on TLS, against changed bytes."""
    return [f for f in NETWORK if f is not corrupt or world.run.system == "synod"]


def play(world, faults):
    """Does them one upon the other, then heals. Those after the first find a hurt cluster, from which
    nothing can be demanded."""
    names, began = " + ".join(f.__name__ for f in faults), time.monotonic()
    demands = world.prober.must_write
    for index, fault in enumerate(faults):
        if index > 0 or len(faults) > 1:
            world.prober.must_write = lambda members=None: None
        try:
            fault(world)
        finally:
            world.prober.must_write = demands
        world.counts[fault.__name__] = world.counts.get(fault.__name__, 0) + 1
    if world.random.random() < 0.4:
        names += f", two healed: {1000 * world.heal_a_quorum():.0f} ms"
    names += f", all healed: {1000 * world.heal():.0f} ms"
    if world.random.random() < 0.5:
        world.made.wait_healthy(60)
    cluster.say(f"  {names}; {time.monotonic() - began:.1f} s")


def one_after_the_other(world):
    """Every fault alone, and that the proxy really did it."""
    for fault in [*network(world), *MACHINE]:
        if not any(done_for_sure(world, fault) for _ in range(5)):
            raise cluster.Failure(f"{fault.__name__}: the proxy did nothing: {world.proxy.stats()}")


def done_for_sure(world, fault):
    """Plays it; returns whether it came about. Nobody may have spoken on a line while it was hurt, and
    bytes that were changed may have been in what a reset threw away."""
    before, refused = world.proxy.stats(), world.refusals()
    play(world, [fault])
    now = world.proxy.stats()
    if fault is corrupt:
        refused = world.refusals() - refused
        cluster.say(f"    {now['corrupted'] - before['corrupted']} bytes changed, {refused} connections "
                    f"refused for it")
        return refused > 0
    wanted = {replay: "replays", resets: "resets", half_open: "connections"}.get(fault)
    return wanted is None or now[wanted] > before[wanted]


def at_random(world, count):
    for _ in range(count):
        faults = [world.random.choice(network(world) if world.random.random() < 0.75 else MACHINE)]
        while world.random.random() < 0.35:
            faults.append(world.random.choice([*network(world), *network(world), *MACHINE]))
        play(world, faults)


def play_round(run, number, count, tally):
    """A cluster, `count` faults (0: each one once), and the verdict. Returns how many faults there
    were, how long all that took, and the longest time from a heal to a write."""
    seed = f"{run.arguments.seed}-{number}"
    world = World(run, number)
    endpoints = [(m.name, m.far_endpoint) for m in world.members]
    watcher = Watcher(endpoints, seed)
    workers = [Client(endpoints, i, seed) for i in range(1, run.arguments.clients + 1)]
    workers += [Leaseholder(endpoints, i, seed) for i in (100, 101)]
    for thread in [watcher, *workers]:
        thread.start()
    began = time.monotonic()
    try:
        if count == 0:
            one_after_the_other(world)
        else:
            at_random(world, count)
        world.made.wait_healthy(60)
        faults = sum(world.counts.values())
        verdict.wait_acknowledged(workers, 5 * faults)
    finally:
        verdict.stop(workers)
    seconds = time.monotonic() - began
    world.prober.write_through_each()
    cluster.say("  " + ", ".join(f"{k} {v}" for k, v in sorted(world.counts.items())))
    cluster.say("  the proxy: " + ", ".join(f"{k} {v}" for k, v in world.proxy.stats().items()))
    verdict.conclude(run, world.made, [world.prober, *workers], watcher, tally)
    world.end()
    return faults, seconds, max(world.healed)


def test(run):
    left, rounds = run.arguments.faults, [0] if run.arguments.each == "yes" else []
    while left > 0:
        rounds.append(min(left, ROUND))
        left -= rounds[-1]
    results, tally = [], verdict.Tally()
    try:
        for number, count in enumerate(rounds):
            cluster.say(f"round {number} of {len(rounds)}: "
                        f"{f'{count} times, drawn' if count else 'every fault once'}, "
                        f"{run.arguments.clients} clients")
            results.append(play_round(run, number, count, tally))
    finally:
        faults, seconds, healed = zip(*results) if results else ([], [], [0])
        cluster.say(f"{sum(faults)} faults in {sum(seconds):.0f} s; {tally}; served again at most "
                    f"{max(healed) * 1000:.0f} ms after a heal")


if __name__ == "__main__":
    parser = cluster.parser(__doc__)
    parser.add_argument("--faults", type=int, default=cluster.by_level(4, 10, 1500),
                        help="how many to draw, after each was done once")
    parser.add_argument("--pace", type=float, default=cluster.by_level(0.3, 0.5, 1.0),
                        help="faults last so many times as long")
    parser.add_argument("--each", choices=["yes", "no"], default="yes",
                        help="first every fault by itself")
    parser.add_argument("--clients", type=int, default=6)
    cluster.main(test, parser.parse_args(sys.argv[1:]))
