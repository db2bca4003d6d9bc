#!/usr/bin/python3
"""Large ranges: walked in slices, so they must be whole, of one revision, and cheap to hold.

A few ten thousand keys; answers of Range and RangeStream against pages of 500 keys at the same
revision, while a writer changes the keys; then many clients that ask for everything and read
nothing, whose answers must not be held in memory; then a compaction that overtakes one of them.
"""
import concurrent.futures
import os
import random
import threading
import time

import grpc

import cluster
import etcd_api as api

KEYS = 30000
VALUE = 1000
BATCH = 100
IDLE_CLIENTS = 24
HELD_MIB_MAX = 64  # of 24 answers of 30 MiB


def key(number):
    return b"range/%08d" % number


def fill(one):
    def batch(first):
        puts = [api.RequestOp(request_put=api.PutRequest(key=key(i), value=os.urandom(VALUE)))
                for i in range(first, first + BATCH)]
        one.Txn(api.TxnRequest(success=puts), timeout=30)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in pool.map(batch, range(0, KEYS, BATCH)):
            pass


def everything(**options):
    return api.RangeRequest(key=b"range/", range_end=b"range0", **options)


def merged(stream):
    whole = api.RangeResponse()
    for message in stream:
        whole.MergeFrom(message.range_response)
    return whole


def paged(one, revision):
    """What there was at the revision, in answers that are too small to be walked."""
    kvs, at = [], b"range/"
    while True:
        page = one.Range(api.RangeRequest(key=at, range_end=b"range0", limit=500,
                                          revision=revision), timeout=30)
        kvs.extend(page.kvs)
        if not page.more:
            return kvs
        at = page.kvs[-1].key + b"\0"


def body(reply):
    """An answer but for its header, which says who gave it and when."""
    copy = api.RangeResponse()
    copy.CopyFrom(reply)
    copy.ClearField("header")
    return copy


class Writer(threading.Thread):
    """Changes, deletes and makes keys of the range until it is told to stop."""

    def __init__(self, one):
        super().__init__(daemon=True)
        self.one, self.stopping, self.writes = one, False, 0
        self.start()

    def run(self):
        prng = random.Random(1)
        while not self.stopping:
            number = prng.randrange(KEYS + 2000)
            if prng.randrange(5) == 0:
                self.one.DeleteRange(api.DeleteRangeRequest(key=key(number)), timeout=30)
            else:
                self.one.Put(api.PutRequest(key=key(number), value=b"changed"), timeout=30)
            self.writes += 1

    def stop(self):
        self.stopping = True
        self.join()


def consistent(check, one):
    writer = Writer(one)
    for i in range(3):
        for serializable in (False, True):
            what = f"{'serializable' if serializable else 'linearizable'} {i}"
            began = writer.writes
            unary = one.Range(everything(serializable=serializable), timeout=60)
            # Who lists and then watches begins behind the header's revision: it must be exact.
            revision = unary.header.revision
            expected = paged(one, revision)
            check(f"Range is of its header's revision, {what}", list(unary.kvs) == expected)
            check.equal(f"its count, {what}", unary.count, len(expected))
            stream = merged(one.RangeStream(everything(serializable=serializable,
                                                       revision=revision), timeout=60))
            check(f"RangeStream at that revision is the same, {what}",
                  list(stream.kvs) == expected and stream.count == len(expected)
                  and not stream.more and stream.header.revision >= revision)
            stream = merged(one.RangeStream(everything(serializable=serializable), timeout=60))
            check(f"RangeStream is of its header's revision, {what}",
                  list(stream.kvs) == paged(one, stream.header.revision))
            check(f"the writer went on, {what}", writer.writes > began)
    writer.stop()


def options(check, one):
    base = one.Range(everything(count_only=True), timeout=30).header.revision
    for name, chosen in {
            "limit": {"limit": 12345}, "limit beyond the end": {"limit": KEYS * 2},
            "keys only": {"keys_only": True}, "count only": {"count_only": True},
            "bounds": {"min_mod_revision": base - 100}, "an old revision": {"revision": base // 2},
            "bounds and a limit": {"max_mod_revision": base - 100, "limit": 2000},
            "ascending": {"sort_order": 1}}.items():
        unary = one.Range(everything(**chosen), timeout=60)
        stream = merged(one.RangeStream(everything(**chosen), timeout=60))
        check(f"Range and RangeStream agree: {name}", body(unary) == body(stream),
              f"{len(unary.kvs)}, {unary.more}, {unary.count} against {len(stream.kvs)}, "
              f"{stream.more}, {stream.count}")
        expected = [kv for kv in paged(one, chosen.get("revision", base))
                    if chosen.get("min_mod_revision", 0) <= kv.mod_revision
                    <= chosen.get("max_mod_revision", 1 << 60)]
        if chosen.get("count_only"):
            expected = []
        limit = chosen.get("limit", len(expected))
        check.equal(f"keys: {name}", [kv.key for kv in unary.kvs],
                    [kv.key for kv in expected[:limit]])
        check.equal(f"more: {name}", unary.more, len(expected) > limit)
    descending = one.Range(everything(sort_order=2), timeout=60)
    check.equal("descending", [kv.key for kv in descending.kvs],
                [kv.key for kv in reversed(paged(one, base))])
    single = merged(one.RangeStream(api.RangeRequest(key=key(7)), timeout=10))
    check("RangeStream of one key", body(single) == body(
        one.Range(api.RangeRequest(key=key(7)), timeout=10)))
    nothing = merged(one.RangeStream(api.RangeRequest(key=b"none"), timeout=10))
    check("RangeStream of nothing", nothing.count == 0 and nothing.header.revision == base)


def refused(check, one):
    for name, request in {
            "no key": api.RangeRequest(), "a sort": everything(sort_order=2),
            "a sort by value": everything(sort_order=1, sort_target=4),
            "the future": everything(revision=1 << 40)}.items():
        try:
            merged(one.RangeStream(request, timeout=10))
            check(f"RangeStream refuses {name}", False)
        except grpc.RpcError as error:
            check(f"RangeStream refuses {name}",
                  error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE),
                  str(error.code()))


def unread(check, member):
    """Clients that ask for everything and read nothing."""
    before = cluster.resident_bytes(member.process.pid)
    held = []
    for i in range(IDLE_CLIENTS):
        channel = api.Api(member.api.endpoint, [("grpc.http2.lookahead_bytes", 65536),
                                                ("grpc.http2.bdp_probe", 0)])
        # A stream of which only the first message is taken: the rest stays with the server.
        stream = channel.RangeStream(everything(serializable=i % 2 == 0), timeout=120)
        next(stream)
        held.append((channel, stream))
    for _ in range(50):
        member.api.Put(api.PutRequest(key=b"other", value=b"x"), timeout=10)
        time.sleep(0.02)
    mib = (cluster.resident_bytes(member.process.pid) - before) / 2**20
    cluster.say(f"  {IDLE_CLIENTS} answers of {KEYS * VALUE / 2**20:.0f} MiB that are not read: "
                f"{mib:.1f} MiB more resident")
    check("answers that are not read are not made", mib < HELD_MIB_MAX, f"{mib:.1f} MiB")
    return held


def overtaken(check, one, held):
    """The revision of unread answers is compacted: they end with the reason, and not in silence."""
    for number in range(2000):
        if number % 100 == 0:
            one.Put(api.PutRequest(key=key(number), value=b"newest"), timeout=10)
    revision = one.Put(api.PutRequest(key=b"last", value=b"x"), timeout=10).header.revision
    one.Compact(api.CompactionRequest(revision=revision), timeout=10)
    reasons = set()
    for _, stream in held:
        try:
            for _ in stream:
                pass
            reasons.add("whole")
        except grpc.RpcError as error:
            reasons.add(error.details())
    check.equal("a compaction ends them", reasons,
                {"etcdserver: mvcc: required revision has been compacted"})


def test(run):
    check = cluster.Checks()
    made = run.cluster().start()
    member = made.members[0]
    fill(member.api)
    consistent(check, member.api)
    options(check, member.api)
    refused(check, member.api)
    overtaken(check, member.api, unread(check, member))
    check.finish()


if __name__ == "__main__":
    cluster.main(test, cluster.parser(__doc__).parse_args())
