#!/usr/bin/python3
"""A member that cannot know what it promised does not start; one that ran out of space loses nothing.

 - A log directory that is gone is a loss, although the identity beside it is still there.
 - So is an identity, when the log is there: what the log says depends on whose it is.
 - A log that was trimmed, without the snapshot of what went, is a loss; with an older snapshot that
   still reaches it is not.
 - A member whose next log segment cannot be made stops with a message that says so; started again
   when there is space, it has everything that was acknowledged. The lack of space is simulated by
   a limit on the size of files.
"""
import glob
import os
import shutil
import sys

import grpc

import cluster
import etcd_api as api

VALUE = b"x" * 30000


def one_member(run, name, extra=()):
    made = run.cluster(size=1, name=name, extra=extra)
    return made, made.members[0]


def put_many(member, count, prefix=b"k"):
    """The keys that were acknowledged, until something fails. Over a connection of its own, as the
    member may have been another process before."""
    keys = []
    with api.Api(member.endpoint) as one:
        for number in range(count):
            key = prefix + b"%05d" % number
            try:
                one.Put(api.PutRequest(key=key, value=VALUE), timeout=20)
            except grpc.RpcError:
                break
            keys.append(key)
    return keys


def keys_of(member):
    everything = api.RangeRequest(key=b"\0", range_end=b"\0", keys_only=True)
    with api.Api(member.endpoint) as one:
        return {kv.key for kv in one.Range(everything, timeout=30).kvs}


def must_refuse(check, member, name, words):
    member.start()
    cluster.wait_until("the member ends", lambda: not member.alive())
    check(f"{name}: it does not start", member.process.returncode == 1, member.process.returncode)
    check(f"{name}: it says why", words in member.log_tail(1), member.log_tail(1))


def lost_log(run, check):
    made, member = one_member(run, "lost-log")
    made.start()
    put_many(member, 5)
    member.kill()
    shutil.rmtree(os.path.join(member.data, "log"))
    must_refuse(check, member, "the log is gone", "the log of this member is gone")
    os.mkdir(os.path.join(member.data, "log"), 0o700)
    must_refuse(check, member, "the log is empty", "the log of this member is gone")


def lost_identity(run, check):
    made, member = one_member(run, "lost-identity")
    made.start()
    keys = put_many(member, 5)
    member.kill()
    identity = os.path.join(member.data, "identity")
    os.rename(identity, identity + "-away")
    must_refuse(check, member, "the identity is gone", "the identity of this member is gone")
    check("no other is made", not os.path.exists(identity))
    os.rename(identity + "-away", identity)
    made.start()
    check("with its identity back it has everything", keys_of(member) >= set(keys))
    member.kill()


def lost_snapshot(run, check):
    made, member = one_member(run, "lost-snapshot", ["--snapshot-count", "200"])
    made.start()
    keys = []
    while not glob.glob(os.path.join(member.data, "log", "*.floor")) and len(keys) < 8000:
        keys += put_many(member, 200, b"round%05d-" % len(keys))
    check("the log was trimmed", glob.glob(os.path.join(member.data, "log", "*.floor")))
    member.kill()
    snapshots = os.path.join(member.data, "snap")
    os.rename(snapshots, snapshots + "-away")
    must_refuse(check, member, "the snapshots are gone", "the log was trimmed up to slot")
    os.rename(snapshots + "-away", snapshots)
    made.start()
    check("with its snapshots back it has everything", keys_of(member) >= set(keys))
    member.kill()


def no_space(run, check):
    made, member = one_member(run, "no-space")
    server = run.server
    run.server = ["prlimit", f"--fsize={4 << 20}", *server]  # a segment is larger
    made.start()
    keys = put_many(member, 500)
    check("writes fail when the log is full", 0 < len(keys) < 500, len(keys))
    cluster.wait_until("the member ends", lambda: not member.alive())
    check("it ended by itself", member.process.returncode == 1, member.process.returncode)
    check("it says why", "cannot make the next log segment" in member.log_tail(1),
          member.log_tail(1))
    run.server = server
    made.start()
    check("nothing that was acknowledged is lost", keys_of(member) >= set(keys))
    check("it goes on", len(put_many(member, 100, b"more")) == 100)
    member.kill()


def test(run):
    check = cluster.Checks()
    for part in (lost_log, lost_identity, lost_snapshot, no_space):
        cluster.say(part.__name__.replace("_", " "))
        part(run, check)
    check.finish()


if __name__ == "__main__":
    cluster.main(test, cluster.parser(__doc__).parse_args(sys.argv[1:]))
