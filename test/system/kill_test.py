#!/usr/bin/python3
"""Nothing acknowledged is ever lost, nothing stale is ever read, whatever is killed.

Clients write, read and compare-and-set some twenty keys through all members at once, while members
are killed (one, the leader, two, all), stopped and continued, and started again after a moment, in
cycles. Then the history is taken from a watch over everything, and checked against what the clients
saw. Every value is written once, and the store numbers its states, so the check is complete and
needs no search:

 - the history has no gap, no value twice, no value that nobody wrote, and every key's version counts up;
 - every acknowledged write is in it, at the revision that was reported; one of unknown outcome at
   most once; a compare-and-set followed the very version that it compared with;
 - a linearizable answer is never older than one that was complete before the question was asked,
   shows the key as it was at the revision of its header, and nothing that was written after it;
 - a watcher that fled from member to member saw the same history;
 - all members end with the same revision, hash and content.

While two members live, a write must succeed within a bounded time.
"""
import copy
import queue
import random
import signal
import sys
import threading
import time

import grpc

import cluster
import etcd_api as api

PREFIX = b"kill/"
KEYS = [PREFIX + b"%02d" % i for i in range(20)]
PATIENCE = 15.0  # seconds in which a write must succeed while two members live


class Operation:
    """What a client knows about one of its calls."""
    __slots__ = ("kind", "key", "value", "expected", "called", "returned", "outcome", "revision",
                 "seen", "member")

    def __init__(self, kind, key, value=None, expected=0):
        self.kind, self.key, self.value, self.expected = kind, key, value, expected
        self.outcome, self.revision, self.seen, self.returned = "unknown", 0, None, None

    def __str__(self):
        text = f"{self.kind} {self.key.decode()}"
        if self.value:
            text += f" {self.value.decode()}"
        if self.kind == "cas":
            text += f" if at {self.expected}"
        return (f"{text} through {self.member}: {self.outcome} at {self.revision} {self.seen or ''}, "
                f"called {self.called:.4f}, returned {self.returned or 0:.4f}")


class Client(threading.Thread):
    """One client with connections of its own; remembers every call."""

    def __init__(self, made, number, seed, pause):
        super().__init__(daemon=True)
        self.random = random.Random(f"{seed}-{number}")
        self.members = [(m.name, api.Api(m.endpoint)) for m in made.members]
        self.number, self.pause = number, pause
        self.count = 0
        self.operations = []
        self.running = True

    def run(self):
        while self.running:
            key, draw = self.random.choice(KEYS), self.random.random()
            if draw < 0.45:
                self.perform(Operation("put", key, self.new_value()))
            elif draw < 0.8:
                self.perform(Operation("get", key))
            else:
                read = self.perform(Operation("get", key))
                if read.outcome == "ok":
                    expected = read.seen[1] if read.seen else 0
                    self.perform(Operation("cas", key, self.new_value(), expected))
            time.sleep(self.pause * self.random.random())
        for _, one in self.members:
            one.close()

    def new_value(self):
        self.count += 1
        return b"c%d-%d" % (self.number, self.count)

    def perform(self, operation, timeout=1.5, members=None):
        operation.member, chosen = self.random.choice(members or self.members)
        self.operations.append(operation)
        operation.called = time.monotonic()
        try:
            getattr(self, operation.kind)(operation, chosen, timeout)
        except grpc.RpcError:
            pass  # the outcome stays unknown
        operation.returned = time.monotonic()
        return operation

    def put(self, operation, chosen, timeout):
        reply = chosen.Put(api.PutRequest(key=operation.key, value=operation.value), timeout=timeout)
        operation.revision, operation.outcome = reply.header.revision, "ok"

    def get(self, operation, chosen, timeout):
        reply = chosen.Range(api.RangeRequest(key=operation.key), timeout=timeout)
        operation.seen = seen(reply)
        operation.revision, operation.outcome = reply.header.revision, "ok"

    def cas(self, operation, chosen, timeout):
        compare = api.Compare(target=2, key=operation.key, mod_revision=operation.expected)
        put = api.RequestOp(request_put=api.PutRequest(key=operation.key, value=operation.value))
        get = api.RequestOp(request_range=api.RangeRequest(key=operation.key))
        reply = chosen.Txn(api.TxnRequest(compare=[compare], success=[put], failure=[get]),
                           timeout=timeout)
        if not reply.succeeded:
            operation.seen = seen(reply.responses[0].response_range)
        operation.revision = reply.header.revision
        operation.outcome = "ok" if reply.succeeded else "refused"


def seen(reply):
    return (reply.kvs[0].value, reply.kvs[0].mod_revision) if reply.kvs else None


class Watcher(threading.Thread):
    """Follows the keys from the beginning, through any member that will serve it."""

    def __init__(self, made, seed):
        super().__init__(daemon=True)
        self.random = random.Random(f"{seed}-watcher")
        self.endpoints = made.endpoints
        self.next = 1
        self.events = []
        self.flights = 0
        self.problem = None
        self.running = True

    def run(self):
        while self.running and self.problem is None:
            with api.Api(self.random.choice(self.endpoints)) as one:
                requests = queue.Queue()
                requests.put(watch_all(self.next))
                try:
                    for reply in one.Watch(iter(requests.get, None), timeout=3):
                        self.take(reply)
                except grpc.RpcError:
                    self.flights += 1
                requests.put(None)
            time.sleep(0.02)

    def take(self, reply):
        if reply.canceled:
            self.problem = f"cancelled: {reply.cancel_reason} {reply.compact_revision}"
        for event in reply.events:
            if event.kv.mod_revision < self.next:
                self.problem = f"an event of {event.kv.mod_revision} after {self.next - 1}"
            self.events.append(plain(event))
        if reply.events:
            self.next = reply.events[-1].kv.mod_revision + 1


def watch_all(start):
    return api.WatchRequest(create_request=api.WatchCreateRequest(
        key=PREFIX, range_end=api.prefix_end(PREFIX), start_revision=start))


def plain(event):
    return (event.kv.mod_revision, event.kv.key, event.kv.value, event.kv.version,
            event.kv.create_revision, event.type)


# --- what is done to the members ------------------------------------------------------------------


class Nemesis:
    """Hurts members and heals them. In the main thread, for it starts processes."""

    def __init__(self, made, seed):
        self.made, self.random = made, random.Random(f"{seed}-nemesis")
        self.prober = Client(made, 0, seed, 0)
        self.longest = 0.0
        self.counts = {}
        self.restarts = []

    def cycle(self):
        kind = self.random.choices(
            ["kill one", "kill the leader", "kill two", "kill all", "stop the leader", "stop one",
             "ask one to end", "kill while it starts"], [4, 6, 2, 3, 2, 2, 2, 2])[0]
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
        elif kind == "kill all":
            victims = list(members)
        else:
            victims = [self.random.choice(members)]
        for victim in victims:
            victim.process.send_signal(
                signal.SIGTERM if kind == "ask one to end" else signal.SIGKILL)
        for victim in victims:
            victim.process.wait(30)
        if len(victims) == 1:
            self.must_write()
        time.sleep(self.random.random() ** 2)
        self.random.shuffle(victims)
        for victim in victims:
            victim.start()
            if kind == "kill while it starts":
                time.sleep(0.1 * self.random.random())
                victim.kill()
                victim.start()
        self.must_write()
        if self.random.random() < 0.7:
            began = time.monotonic()
            self.made.wait_healthy(30)
            self.restarts.append(time.monotonic() - began)

    def stop(self, victim):
        victim.send(signal.SIGSTOP)
        try:
            self.must_write([m for m in self.made.members if m is not victim])
            time.sleep(self.random.random())
        finally:
            victim.send(signal.SIGCONT)
        self.must_write()

    def must_write(self, members=None):
        """Two members live: a write succeeds, in time."""
        names = [m.name for m in members or self.made.members if m.alive()]
        targets = [m for m in self.prober.members if m[0] in names]
        began = time.monotonic()
        while True:
            done = self.prober.perform(
                Operation("put", PREFIX + b"probe", self.prober.new_value()), 1.0, targets)
            waited = time.monotonic() - began
            if done.outcome == "ok":
                self.longest = max(self.longest, waited)
                return
            for member in self.made.members:
                if member.name in names and not member.alive():
                    raise cluster.Failure(f"{member.name} ended by itself, status "
                                          f"{member.process.returncode}:\n{member.log_tail()}")
            if waited > PATIENCE:
                raise cluster.Failure(f"{', '.join(names)} live, but took no write for "
                                      f"{waited:.1f} s")
            time.sleep(0.02)


# --- the check ------------------------------------------------------------------------------------


class History:
    """The total order of all writes, as a watch from the first revision tells it."""

    def __init__(self, events):
        self.events = events
        self.by_revision = {e[0]: e for e in events}
        self.by_value = {}
        self.by_key = {}
        self.problems = []
        for event in events:
            if event[2] in self.by_value:
                self.bad(f"value {event[2]} is there twice: {self.by_value[event[2]]} and {event}")
            self.by_value[event[2]] = event
            self.by_key.setdefault(event[1], []).append(event)

    def bad(self, text):
        self.problems.append(text)

    def at(self, key, revision):
        """(value, mod revision) of the key at that revision; None before its first."""
        low, high, events = 0, len(self.by_key.get(key, [])), self.by_key.get(key, [])
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if events[middle][0] <= revision else (low, middle)
        return (events[low - 1][2], events[low - 1][0]) if low else None

    def check_shape(self, final):
        numbers = [e[0] for e in self.events]
        if numbers != list(range(2, final + 1)):
            missing = sorted(set(range(2, final + 1)) - set(numbers))
            self.bad(f"revisions are not 2 to {final} without a gap: {len(numbers)} events, "
                     f"missing {missing[:10]}")
        for key, events in self.by_key.items():
            for index, event in enumerate(events, 1):
                if event[3:] != (index, events[0][0], 0):
                    self.bad(f"{key}: version, creation or kind is wrong: {event}")

    def check_writes(self, operations):
        known = set()
        for one in operations:
            if one.kind == "get":
                continue
            known.add(one.value)
            event = self.by_value.get(one.value)
            if one.outcome == "ok":
                if event is None:
                    self.bad(f"LOST: {one}")
                elif (event[0], event[1]) != (one.revision, one.key):
                    self.bad(f"acknowledged at another revision: {one}, but {event}")
            elif one.outcome == "refused" and event:
                self.bad(f"refused, but done: {one}, {event}")
            if one.kind == "cas" and event:
                before = self.at(one.key, event[0] - 1)
                if (before[1] if before else 0) != one.expected:
                    self.bad(f"set without its condition: {one}, before it was {before}")
        for value, event in self.by_value.items():
            if value not in known:
                self.bad(f"nobody wrote {event}")

    def check_reads(self, operations):
        answered = [o for o in operations if o.outcome != "unknown"]
        for one in answered:
            if one.kind == "get" or one.outcome == "refused":
                if self.at(one.key, one.revision) != one.seen:
                    self.bad(f"WRONG READ: {one}; at that revision it is "
                             f"{self.at(one.key, one.revision)}")
            if one.outcome == "refused" and (one.seen[1] if one.seen else 0) == one.expected:
                self.bad(f"refused although the condition held: {one}")
        self.check_real_time(operations, answered)

    def check_real_time(self, operations, answered):
        """Revisions agree with the clock on the wall: what was complete stays seen, and nothing is
        seen before someone asked for it."""
        completed = sorted(answered, key=lambda o: o.returned)
        newest, index = None, 0
        for one in sorted(answered, key=lambda o: o.called):
            while index < len(completed) and completed[index].returned < one.called:
                if newest is None or completed[index].revision > newest.revision:
                    newest = completed[index]
                index += 1
            if newest and one.revision < newest.revision:
                self.bad(f"STALE: {one}\n    although before: {newest}")
        writes = {o.value: o for o in operations if o.kind != "get"}
        earliest = None
        by_revision = sorted(answered, key=lambda o: o.revision)
        index = len(by_revision) - 1
        for event in reversed(self.events):
            while index >= 0 and by_revision[index].revision >= event[0]:
                if earliest is None or by_revision[index].returned < earliest.returned:
                    earliest = by_revision[index]
                index -= 1
            write = writes.get(event[2])
            if write and earliest and earliest.returned < write.called:
                self.bad(f"seen before it was asked for: {write}\n    but before: {earliest}")


def examine(events, operations, final):
    history = History(events)
    history.check_shape(final)
    history.check_writes(operations)
    history.check_reads(operations)
    return history


def check_bites(events, operations, final):
    """The check must find what is wrong: errors planted into a copy of this very history."""
    writes = [o for o in operations if o.kind == "put" and o.outcome == "ok"]
    reads = [o for o in operations if o.kind == "get" and o.outcome == "ok" and o.seen]
    lost = [e for e in events if e[2] != writes[len(writes) // 2].value]
    twice = events + [(final + 1, *events[-1][1:])]
    stale = copy.copy(reads[-1])
    stale.revision, stale.seen = reads[0].revision, None
    wrong = copy.copy(reads[len(reads) // 2])
    wrong.seen = (b"never", wrong.seen[1])
    for name, some_events, some_operations, last in (
            ("a lost write", lost, operations, final), ("a write done twice", twice, operations,
                                                        final + 1),
            ("a stale read", events, [*operations, stale], final),
            ("a wrong read", events, [*operations, wrong], final)):
        if not examine(some_events, some_operations, last).problems:
            raise cluster.Failure(f"the check does not find {name} that was planted")


def read_history(member, final):
    events = []
    requests = queue.Queue()
    requests.put(watch_all(1))
    call = member.api.Watch(iter(requests.get, None), timeout=60)
    for reply in call:
        if reply.canceled:
            raise cluster.Failure(f"the watch over the history was cancelled: {reply}")
        events += [plain(e) for e in reply.events]
        if events and events[-1][0] >= final:
            break
    requests.put(None)
    call.cancel()
    return events


def check_members_agree(made):
    """All have caught up, and hold the same."""
    request = api.RangeRequest(key=PREFIX, range_end=api.prefix_end(PREFIX), serializable=True)

    def revisions():
        found = [m.api.Range(request, timeout=5).header.revision for m in made.members]
        return found[0] if len(set(found)) == 1 else None
    final = cluster.wait_until("all members at the same revision", revisions, 30)
    replies = [m.api.Range(request, timeout=5) for m in made.members]
    if any(list(r.kvs) != list(replies[0].kvs) for r in replies):
        raise cluster.Failure("members differ in content")
    hashes = [m.api.HashKV(api.HashKVRequest(revision=final), timeout=10).hash
              for m in made.members]
    if len(set(hashes)) != 1:
        raise cluster.Failure(f"members differ in their hash of revision {final}: {hashes}")
    return final, replies[0]


def play_round(run, number, cycles, clients):
    seed = f"{run.arguments.seed}-{number}"
    made = run.cluster(name=f"round{number}", extra=["--snapshot-count", "500"]).start()
    nemesis = Nemesis(made, seed)
    watcher = Watcher(made, seed)
    workers = [Client(made, i, seed, 0.01) for i in range(1, clients + 1)]
    for thread in [watcher, *workers]:
        thread.start()
    began = time.monotonic()
    try:
        for _ in range(cycles):
            nemesis.cycle()
        made.wait_healthy(30)
        time.sleep(0.3)
    finally:
        for worker in workers:
            worker.running = False
    for worker in workers:
        worker.join(10)
    seconds = time.monotonic() - began
    # A last round of writes through every member, so that each proves that it is back.
    for member in nemesis.prober.members:
        cluster.wait_until("a write through each member", lambda m=member: nemesis.prober.perform(
            Operation("put", PREFIX + b"probe", nemesis.prober.new_value()), 2.0,
            [m]).outcome == "ok", 20)
    final, content = check_members_agree(made)
    events = read_history(made.members[number % 3], final)
    cluster.wait_until("the watcher has seen everything", lambda: watcher.next > final
                       or watcher.problem, 20)
    watcher.running = False
    operations = [o for c in [nemesis.prober, *workers] for o in c.operations]
    history = examine(events, operations, final)
    if watcher.problem or watcher.events != events:
        history.bad(f"the travelling watcher saw something else: {watcher.problem or ''} "
                    f"{len(watcher.events)} events, first difference "
                    f"{next(((a, b) for a, b in zip(watcher.events, events) if a != b), None)}")
    for kv in content.kvs:
        if history.at(kv.key, final) != (kv.value, kv.mod_revision):
            history.bad(f"the members' content is not the end of the history: {kv}")
    report(nemesis, watcher, operations, history, seconds)
    acknowledged = sum(o.outcome == "ok" and o.kind != "get" for o in operations)
    if acknowledged < 10 * cycles:
        history.bad(f"only {acknowledged} writes were acknowledged: this proves nothing")
    if history.problems:
        for problem in history.problems[:15]:
            cluster.say(f"  {problem}")
        raise cluster.Failure(f"{len(history.problems)} problems, first: {history.problems[0]}")
    check_bites(events, operations, final)
    made.stop()
    for member in made.members:
        member.api.close()
    for _, one in nemesis.prober.members:
        one.close()
    run.clusters.remove(made)
    return len(operations)


def report(nemesis, watcher, operations, history, seconds):
    def count(kind, outcome):
        return sum(o.kind == kind and o.outcome == outcome for o in operations)
    cluster.say(f"  {', '.join(f'{k} {v}' for k, v in sorted(nemesis.counts.items()))}")
    for kind in ("put", "get", "cas"):
        cluster.say(f"  {kind}: {count(kind, 'ok')} ok, {count(kind, 'refused')} refused, "
                    f"{count(kind, 'unknown')} unknown")
    slowest = max(nemesis.restarts, default=0)
    cluster.say(f"  {len(history.events)} events; the watcher fled {watcher.flights} times; longest "
                f"wait for a write {nemesis.longest * 1000:.0f} ms, for health after a start "
                f"{slowest * 1000:.0f} ms; {seconds:.0f} s")


def test(run):
    left, number, operations = run.arguments.cycles, 0, 0
    while left > 0:
        cycles = min(left, 50)
        cluster.say(f"round {number}: {cycles} cycles, {run.arguments.clients} clients")
        operations += play_round(run, number, cycles, run.arguments.clients)
        left, number = left - cycles, number + 1
    cluster.say(f"{run.arguments.cycles} cycles, {operations} operations, 0 lost, 0 stale")


if __name__ == "__main__":
    parser = cluster.parser(__doc__)
    parser.add_argument("--cycles", type=int, default=cluster.by_level(8, 30, 2000))
    parser.add_argument("--clients", type=int, default=6)
    cluster.main(test, parser.parse_args(sys.argv[1:]))
