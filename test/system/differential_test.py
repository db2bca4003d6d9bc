#!/usr/bin/python3
"""Random calls, answered by a real etcd and by synod: every field of every reply must be the same.

Each seed starts both systems from empty stores (even seeds: one member, odd seeds: three), draws
calls and sends each to both. Only what must differ is hidden: ids of clusters and members, terms,
digests, what remains of a lease. What is not promised is not compared: the order of a lease's keys,
how events are gathered into watch replies (a revision split in two is a failure all the same).

Debian's etcd is 3.4; where it and newer versions part, or where it is known to be wrong, calls are
not drawn or a difference is normalised:
- A transaction that writes and reads a revision that is compacted or to come: 3.4 finds out half
  way and leaves the first half behind. Such reads are drawn for transactions without writes only.
- Transactions that put and delete one key, but hide it: by a deletion "from key on" or of a range
  that is empty, or in two nested transactions of which the first one puts. All versions of etcd
  fail to see some of these, and refuse some that are harmless; synod keeps to the written rule.
- A watch from exactly the compacted revision: 3.4 loses a deletion at it, and gives no previous
  values there. Watches begin above it, or well below.
- A watch from a negative revision: 3.4 takes it for one that is compacted, newer ones refuse it.
- Compaction at 0 of a store that never was compacted: etcd agrees, once, and nothing happens;
  synod says that this is compacted, as every later call would be told.
- Unknown orders and targets of sorting: 3.4 panics or ignores them, newer ones refuse.
- A compaction while a watch is still catching up cancels it or does not, as it happens. Watches
  have caught up before the next call is drawn.
- HashKV of exactly the compacted revision is refused by 3.4 and answered by newer ones.
- A nested list of more than 128 operations is refused by synod before it is unfolded, so before
  other faults of the same transaction are found. Longer ones are drawn at the top only.
- HashKV tells the revision that it is of since 3.6 (hash_revision); that field is not compared.
- Replies that are sorted by anything but the key have ties in no particular order once more than
  twelve pairs are sorted: Go's sort is not stable. There the sorted-by fields are compared.
"""
import difflib
import queue
import random
import re
import sys
import threading
import time

import grpc

import cluster
import etcd_api as api

KEYS = [b"\0", b"\0\0", b"a", b"a\0", b"a\xff", b"ab", b"b", b"b/1", b"b/2", b"b/3", b"c", b"d",
        b"x" * 300, b"\xff", b"\xff\0", b"\xff\xff"] + [b"n/%02d" % i for i in range(20)]
VALUES = [b"", b"0", b"1", b"2", b"\0", b"\xff\xfe", b"value", b"v" * 1000]
LEASES = [7, 8, 9, 1 << 40, (1 << 63) - 1, -5]
NO_LEASE = [3, -1]
SORT_FIELDS = {1: "version", 2: "create_revision", 3: "mod_revision", 4: "value"}
LONGEST_STABLE_SORT = 12
TXN_DEPTH = 3
CATCH_UP_SECONDS = 0.1


class Side:
    """One of the two systems."""

    def __init__(self, made, label):
        self.made, self.label = made, label
        self.streams = []

    def send(self, member, method, request):
        return getattr(self.made.members[member].api, method).future(request, timeout=60)


class Stream:
    """One watch stream; replies are kept by the watch that they are for."""

    def __init__(self, side, member):
        self.requests = queue.Queue()
        self.call = side.made.members[member].api.Watch(iter(self.requests.get, None))
        self.lock = threading.Lock()
        self.replies = []
        threading.Thread(target=self.pump, daemon=True).start()

    def pump(self):
        try:
            for reply in self.call:
                with self.lock:
                    self.replies.append(reply)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.CANCELLED:
                with self.lock:
                    self.replies.append(error)

    def heard(self, count):
        """Whether so many requests were answered, or the stream is over."""
        with self.lock:
            return any(isinstance(r, grpc.RpcError) for r in self.replies) or sum(
                r.created for r in self.replies if not isinstance(r, grpc.RpcError)) >= count

    def record(self):
        """Lines that say what came, watch by watch."""
        with self.lock:
            replies = list(self.replies)
        by_id, last = {}, {}
        for reply in replies:
            if isinstance(reply, grpc.RpcError):
                by_id.setdefault("stream", []).append(f"{reply.code().name}: {reply.details()}")
                continue
            lines = by_id.setdefault(reply.watch_id, [])
            if reply.created or reply.canceled:
                lines.append(f"created {reply.created} canceled {reply.canceled} "
                             f"compact_revision {reply.compact_revision} "
                             f"reason {reply.cancel_reason!r} revision {reply.header.revision}")
            for event in reply.events:
                lines.append(flat(event))
            if reply.events:
                if reply.events[0].kv.mod_revision <= last.get(reply.watch_id, 0):
                    lines.append("A REVISION IN TWO REPLIES, OR OUT OF ORDER")
                last[reply.watch_id] = reply.events[-1].kv.mod_revision
                if reply.header.revision < last[reply.watch_id]:
                    lines.append("A HEADER BEHIND ITS EVENTS")
        return [f"watch {key}: {line}" for key in sorted(by_id, key=str) for line in by_id[key]]

    def close(self):
        self.requests.put(None)
        self.call.cancel()


def caught_up(made, member):
    """By etcd's metrics no watch is still being read its history; synod does that at once."""
    text = cluster.http_get(made.members[member].client_url + "/metrics", 10)[1]
    slow = re.search(r"(?m)^etcd_debugging_mvcc_slow_watcher_total (\d+)", text)
    return slow is None or slow.group(1) == "0"


def flat(message):
    """On one line, with long runs of a letter cut down to what can be read."""
    return re.sub(r"(.)\1{40,}", lambda run: f"{run[1] * 3}<{len(run[0])}>",
                  " ".join(str(message).split()))


def hide_header(reply):
    header = reply.header
    header.cluster_id = min(1, header.cluster_id)
    header.member_id = min(1, header.member_id)
    header.raft_term = min(1, header.raft_term)


def filters(request):
    return (request.min_mod_revision or request.max_mod_revision or request.min_create_revision or
            request.max_create_revision)


def normalise_sorted(request, reply):
    """What is promised of a sorted range: see the top."""
    field = SORT_FIELDS.get(request.sort_target)
    cut_before = request.sort_order == 0 and 0 < request.limit < LONGEST_STABLE_SORT
    if field is None or reply.count <= LONGEST_STABLE_SORT or (cut_before and not filters(request)):
        return
    names = [getattr(kv, field) for kv in reply.kvs]
    pairs = sorted(reply.kvs, key=lambda kv: kv.key)
    limited = request.limit > 0
    del reply.kvs[:]
    for name in names:
        kv = reply.kvs.add()
        setattr(kv, field, name)
    if not limited:
        reply.kvs.extend(pairs)


def normalise_txn(request, reply):
    operations = request.success if reply.succeeded else request.failure
    for operation, answer in zip(operations, reply.responses):
        if operation.HasField("request_range"):
            normalise_sorted(operation.request_range, answer.response_range)
        elif operation.HasField("request_txn"):
            normalise_txn(operation.request_txn, answer.response_txn)


def normalise(method, request, reply):
    if "header" in reply.DESCRIPTOR.fields_by_name and reply.HasField("header"):
        hide_header(reply)
    if method == "Range":
        normalise_sorted(request, reply)
    elif method == "Txn":
        normalise_txn(request, reply)
    elif method == "LeaseTimeToLive":
        keys = sorted(reply.keys)
        del reply.keys[:]
        reply.keys.extend(keys)
        if reply.TTL > 0:
            assert reply.grantedTTL - 60 <= reply.TTL <= reply.grantedTTL, str(reply)
            reply.TTL = reply.grantedTTL
    elif method == "LeaseLeases":
        ids = sorted(lease.ID for lease in reply.leases)
        del reply.leases[:]
        for one in ids:
            reply.leases.add(ID=one)
    elif method == "HashKV":
        reply.hash, reply.hash_revision = 0, 0


def outcome(method, request, future):
    try:
        reply = future.result()
    except grpc.RpcError as error:
        return None, f"{error.code().name}: {error.details()}"
    normalise(method, request, reply)
    return reply, str(reply)


def leaves(operations):
    """The puts and the deletions in a branch, nested ones included."""
    for operation in operations:
        if operation.HasField("request_put") or operation.HasField("request_delete_range"):
            yield operation
        elif operation.HasField("request_txn"):
            yield from leaves(operation.request_txn.success)
            yield from leaves(operation.request_txn.failure)


def hides_duplicates(operations):
    """Whether the rule about putting and deleting one key is kept too badly to compare."""
    found = list(leaves(operations))
    if not any(leaf.HasField("request_put") for leaf in found):
        return False
    deletions = [leaf.request_delete_range for leaf in found
                 if leaf.HasField("request_delete_range")]
    if any(d.range_end and d.range_end <= d.key for d in deletions):
        return True
    children = [op.request_txn for op in operations if op.HasField("request_txn")]
    inner = [list(leaves([*child.success, *child.failure])) for child in children]
    for index, first in enumerate(inner):
        keys = [leaf.request_put.key for leaf in first if leaf.HasField("request_put")]
        for other in inner[index + 1:]:
            for leaf in other:
                d = leaf.request_delete_range
                if leaf.HasField("request_delete_range") and any(
                        d.key <= key < d.range_end or key == d.key for key in keys):
                    return True
    return any(hides_duplicates(branch) for child in children
               for branch in (child.success, child.failure))


class Generator:
    """Draws calls. What it must know of the stores it learns from the replies."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.revision = 1
        self.compacted = 0

    def chance(self, part):
        return self.random.random() < part

    def key(self):
        if self.chance(0.01):
            return b""
        return self.random.choice(KEYS)

    def range_end(self, key):
        draw = self.random.random()
        if draw < 0.25:
            return b""
        if draw < 0.40:
            return b"\0"
        if draw < 0.55:
            return api.prefix_end(key[:1]) if key else b"\0"
        if draw < 0.60:
            return key
        if draw < 0.65:
            return key + b"\0"
        return self.random.choice(KEYS)

    def past(self):
        """A revision that can be read."""
        low = max(1, self.compacted)
        return self.random.randint(low, max(low, self.revision))

    def read_revision(self, safe):
        draw = self.random.random()
        if draw < 0.6:
            return 0
        if draw < 0.9 or safe:
            return self.past() if self.compacted or not safe else 0
        return self.random.choice([-1, -7, 1, self.compacted - 1, self.compacted,
                                   self.compacted + 1, self.revision, self.revision + 1,
                                   self.revision + 1000, (1 << 63) - 1, -(1 << 63)])

    def range_request(self, safe=False, top=False):
        key = self.key()
        request = api.RangeRequest(key=key, range_end=self.range_end(key),
                                   revision=self.read_revision(safe))
        if self.chance(0.4):
            request.limit = self.random.choice([1, 1, 2, 3, 5, 11, 12, 50, -1, (1 << 63) - 1])
        if self.chance(0.4):
            request.sort_order = self.random.randrange(3)
            request.sort_target = self.random.randrange(5)
        request.keys_only = self.chance(0.15)
        request.count_only = self.chance(0.15)
        request.serializable = top and self.chance(0.2)
        for name in ("min_mod_revision", "max_mod_revision", "min_create_revision",
                     "max_create_revision"):
            if self.chance(0.08):
                setattr(request, name, self.random.choice([self.past(), self.past(), -1,
                                                           self.revision + 5]))
        return request

    def put_request(self, key=None):
        request = api.PutRequest(key=self.key() if key is None else key,
                                 value=self.random.choice(VALUES), prev_kv=self.chance(0.3))
        if self.chance(0.3):
            request.lease = self.random.choice(LEASES if self.chance(0.8) else NO_LEASE)
        if self.chance(0.12):
            request.ignore_value = True
            if self.chance(0.9):
                request.value = b""
        if self.chance(0.12):
            request.ignore_lease = True
            if self.chance(0.9):
                request.lease = 0
        return request

    def delete_request(self):
        key = self.key()
        end = self.range_end(key) if self.chance(0.3) else b""
        return api.DeleteRangeRequest(key=key, range_end=end, prev_kv=self.chance(0.4))

    def compare(self):
        key = self.key()
        made = api.Compare(key=key, result=self.random.randrange(4),
                           target=self.random.randrange(5))
        if self.chance(0.3):
            made.range_end = self.range_end(key)
        if self.chance(0.03):
            made.result = 9
        if self.chance(0.03):
            made.target = 9
        # Mostly the operand that the target asks for, at times another or none.
        field = ("version", "create_revision", "mod_revision", "value", "lease")[
            made.target if made.target < 5 and self.chance(0.93) else self.random.randrange(5)]
        if self.chance(0.95):
            value = {"value": self.random.choice(VALUES), "version": self.random.randrange(4),
                     "lease": self.random.choice([0, *LEASES])}.get(field, self.past())
            setattr(made, field, value)
        return made

    def operations(self, depth, writes, keys):
        count = self.random.choice([0, 1, 1, 2, 2, 3, 5])
        if self.chance(0.004):
            count = self.random.choice([126, 127, 128] + [129] * (depth == TXN_DEPTH))
        made = []
        for _ in range(count):
            draw = self.random.random()
            if draw < 0.02:
                made.append(api.RequestOp())
            elif draw < 0.2 and depth > 0:
                made.append(api.RequestOp(request_txn=self.txn_request(depth - 1, writes, keys)))
            elif draw < 0.5 or not writes:
                made.append(api.RequestOp(request_range=self.range_request(safe=writes)))
            elif draw < 0.85:
                # Seldom the same key twice: that is refused, and little is learned.
                key = keys.pop() if keys and self.chance(0.9) else self.key()
                made.append(api.RequestOp(request_put=self.put_request(key)))
            else:
                made.append(api.RequestOp(request_delete_range=self.delete_request()))
        return made

    def txn_request(self, depth=TXN_DEPTH, writes=None, keys=None):
        if writes is None:
            writes = self.chance(0.75)
        if keys is None:
            keys = self.random.sample(KEYS, len(KEYS))
        compares = [self.compare() for _ in range(self.random.choice([0, 0, 1, 1, 2, 3]))]
        return api.TxnRequest(compare=compares, success=self.operations(depth, writes, keys),
                              failure=self.operations(depth, writes, keys))

    def comparable_txn_request(self):
        while True:
            request = self.txn_request()
            if not hides_duplicates(request.success) and not hides_duplicates(request.failure):
                return request

    def compact_request(self):
        revision = self.random.choice([self.past(), self.past(), self.compacted, self.revision + 3,
                                       -1, self.compacted - 1, self.compacted + 1])
        if revision == 0 and self.compacted == 0:
            revision = 1
        return api.CompactionRequest(revision=revision, physical=self.chance(0.5))

    def lease_request(self):
        lease = self.random.choice(LEASES if self.chance(0.9) else NO_LEASE)
        draw = self.random.random()
        if draw < 0.5:
            ttl = self.random.choice([500, 1000, 9000000000, 9000000001, 1 << 62])
            return "LeaseGrant", api.LeaseGrantRequest(TTL=ttl, ID=lease)
        if draw < 0.65:
            return "LeaseRevoke", api.LeaseRevokeRequest(ID=lease)
        if draw < 0.95:
            return "LeaseTimeToLive", api.LeaseTimeToLiveRequest(ID=lease, keys=self.chance(0.8))
        return "LeaseLeases", api.LeaseLeasesRequest()

    def call(self):
        draw = self.random.random()
        if draw < 0.28:
            return "Range", self.range_request(top=True)
        if draw < 0.50:
            return "Put", self.put_request()
        if draw < 0.58:
            return "DeleteRange", self.delete_request()
        if draw < 0.85:
            return "Txn", self.comparable_txn_request()
        if draw < 0.87:
            return "Compact", self.compact_request()
        if draw < 0.99:
            return self.lease_request()
        revision = self.random.choice([0, self.past(), self.compacted - 1, self.revision + 9])
        revision += revision == self.compacted
        return "HashKV", api.HashKVRequest(revision=revision)

    def watch_request(self):
        key = self.key()
        request = api.WatchCreateRequest(key=key, range_end=self.range_end(key),
                                         prev_kv=self.chance(0.4), fragment=self.chance(0.2),
                                         watch_id=self.random.choice([0, 0, 0, 0, 4, 9, 1 << 40]))
        request.filters.extend(self.random.choice([[], [], [], [0], [1], [0, 1], [0, 0]]))
        draw = self.random.random()
        if draw < 0.6 and self.compacted < self.revision:
            request.start_revision = self.random.randint(self.compacted + 1, self.revision)
        elif draw < 0.7:
            request.start_revision = self.revision + self.random.randint(1, 20)
        elif draw < 0.75 and self.compacted > 1:
            request.start_revision = self.random.randint(1, self.compacted - 1)
            request.watch_id = 0  # how soon its id is free again after the cancel is a matter of time
        return request


class Difference(cluster.Failure):
    pass


class Play:
    """One seed."""

    def __init__(self, sides, seed, ops):
        self.sides, self.seed, self.ops = sides, seed, ops
        self.draw = Generator(seed)
        self.members = len(sides[0].made.members)
        self.writer = 0
        self.index = 0
        self.recent = []
        self.watches = []

    def differ(self, what, texts):
        diff = difflib.unified_diff(texts[0].splitlines(), texts[1].splitlines(),
                                    self.sides[0].label, self.sides[1].label, n=4, lineterm="")
        before = "\n".join(f"    {line[:300]}" for line in self.recent[-4:])
        raise Difference(
            f"seed {self.seed}, call {self.index}: {what[:3000]}\n" + "\n".join(list(diff)[:80]) +
            f"\n  the calls before it:\n{before}\n  again with: --seed {self.seed} --seeds 1 "
            f"--ops {self.index + 1}")

    def call(self, method, request):
        # Only a member that has just answered is sure to know all that was answered.
        serializable = method == "Range" and request.serializable
        # A transaction of no operations is a serializable read to etcd, although it does not say so.
        idle = method == "Txn" and not request.success and not request.failure
        fixed = serializable or idle or method in ("HashKV", "LeaseLeases", "LeaseTimeToLive")
        member = self.writer if fixed else self.draw.random.randrange(self.members)
        if fixed and self.members > 1:  # and what it asks of the leader, the leader must know
            for side in self.sides:
                side.made.settle()
        futures = [side.send(member, method, request) for side in self.sides]
        replies = [outcome(method, request, future) for future in futures]
        what = f"{method} {flat(request)}"
        if replies[0][1] != replies[1][1]:
            self.differ(what, [reply[1] for reply in replies])
        self.recent.append(what)
        self.writer = member
        reply = replies[0][0]
        if reply is not None and reply.HasField("header"):
            self.draw.revision = max(self.draw.revision, reply.header.revision)
            if method == "Compact":
                self.draw.compacted = request.revision

    def watch(self):
        """A stream of some watches, on both."""
        member = self.draw.random.randrange(self.members)
        # The member must have what was answered elsewhere, or `now` is another moment.
        for side in self.sides:
            side.send(member, "Range", api.RangeRequest(key=b"a")).result()
        streams = [Stream(side, member) for side in self.sides]
        wanted = [self.draw.watch_request() for _ in range(self.draw.random.randint(1, 4))]
        for stream in streams:
            for request in wanted:
                stream.requests.put(api.WatchRequest(create_request=request))
        text = "watches: " + " | ".join(flat(request) for request in wanted)
        self.recent.append(text)
        self.watches.append((text, streams))
        for side, stream in zip(self.sides, streams):
            cluster.wait_until("watches to be made", lambda s=stream: s.heard(len(wanted)))
            cluster.wait_until("watches to catch up", lambda s=side: caught_up(s.made, member))
        time.sleep(CATCH_UP_SECONDS)
        self.compare_watch(text, streams)

    def compare_watch(self, text, streams, seconds=60):
        end = time.monotonic() + seconds
        while True:
            records = [stream.record() for stream in streams]
            if records[0] == records[1]:
                return
            if time.monotonic() > end:
                self.differ(text, ["\n".join(record) for record in records])
            time.sleep(0.02)

    def compare_watches(self):
        for text, streams in self.watches:
            self.compare_watch(text, streams)

    def compare_hashes(self):
        """Members of one system agree with each other; the systems need not."""
        for side in self.sides:
            for member in side.made.members:
                member.api.Range(api.RangeRequest(key=b"a"), timeout=60)
            replies = [m.api.HashKV(api.HashKVRequest(), timeout=60) for m in side.made.members]
            found = {(r.hash, r.compact_revision) for r in replies}
            if len(found) != 1:
                raise Difference(f"seed {self.seed}: members of {side.label} differ: {found}")

    def run(self):
        for self.index in range(self.ops):
            if self.draw.chance(0.012):
                self.watch()
            else:
                self.call(*self.draw.call())
        self.compare_watches()
        time.sleep(CATCH_UP_SECONDS)
        self.compare_watches()
        self.compare_hashes()
        for _, streams in self.watches:
            for stream in streams:
                stream.close()


def test(run):
    arguments = run.arguments
    other = cluster.Run(cluster.parser("").parse_args(["--system", "etcd"]))
    other.folder, other.ports, other.processes = run.folder, run.ports, run.processes
    calls = 0
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        size = 3 if seed % 2 else 1
        made = [other.cluster(size, name=f"etcd-{seed}"), run.cluster(size, name=f"this-{seed}")]
        run.clusters.append(made[0])
        for one in made:
            for member in one.members:
                member.start()
        for one in made:
            one.wait_ready()
        sides = [Side(made[0], "etcd"), Side(made[1], f"{run.system} (this one)")]
        play = Play(sides, seed, arguments.ops)
        started = time.monotonic()
        play.run()
        calls += arguments.ops
        cluster.say(f"  ok      seed {seed}: {size} members, {arguments.ops} calls, revision "
                    f"{play.draw.revision}, {len(play.watches)} watch streams, "
                    f"{time.monotonic() - started:.1f} s")
        for one in made:
            one.stop()
    cluster.say(f"{calls} calls, no difference")


if __name__ == "__main__":
    parser = cluster.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=cluster.by_level(2, 3, 60))
    parser.add_argument("--ops", type=int, default=cluster.by_level(600, 1500, 4000),
                        help="calls for each seed")
    cluster.main(test, parser.parse_args(sys.argv[1:]))
