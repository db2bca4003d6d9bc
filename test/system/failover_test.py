#!/usr/bin/python3
"""For how long do writes stand still when the leader goes?

A writer for each member writes one thing after the other. The leader is killed (SIGKILL) again and
again, then stopped (SIGSTOP) a few times; the pause is the longest time between two writes that
succeeded. Figures only: this fails when writes do not come back within a minute, not when they are slow.
"""
import json
import signal
import statistics
import sys
import threading
import time

import grpc

import cluster
import etcd_api as api


class Writer(threading.Thread):
    """Writes through one member; a call that fails is tried again at once."""

    def __init__(self, member, done):
        super().__init__(daemon=True)
        self.member, self.done = member, done
        self.running = True
        self.paused = False

    def run(self):
        with api.Api(self.member.endpoint) as one:
            count, patience = 0, 0.1
            while self.running:
                if self.paused:
                    time.sleep(0.005)
                    continue
                count += 1
                request = api.PutRequest(key=b"failover/" + self.member.name.encode(),
                                         value=b"%d" % count)
                try:
                    one.Put(request, timeout=patience)
                    self.done.append(time.monotonic())
                    patience = 0.1
                except grpc.RpcError:
                    patience = min(3.2, 2 * patience)  # a busy machine may need longer
                    time.sleep(0.002)


def hurt(made, writers, done, number):
    """Signals the leader and returns the seconds without a successful write."""
    leader = made.leader()
    for writer in writers:
        writer.paused = writer.member is leader
    time.sleep(0.3)
    began = time.monotonic()
    leader.process.send_signal(number)
    if number == signal.SIGKILL:
        leader.process.wait()

    def resumed():
        later = [t for t in list(done) if t > began]
        return later if len(later) > 30 and later[-1] - began > 0.5 else None
    try:
        later = cluster.wait_until("writes again", resumed, 60)
    finally:
        leader.send(signal.SIGCONT)
    before = max((t for t in list(done) if t <= began), default=began)
    times = [max(before, began - 0.05), *later]
    pause = max(b - a for a, b in zip(times, times[1:]))
    if number == signal.SIGKILL:
        leader.start()
    made.wait_healthy()
    # Its first election timeouts, so that the next leader's loss is that of a settled cluster.
    time.sleep(0.5)
    return pause


def measure(made, writers, done, number, count):
    pauses = []
    for _ in range(count):
        pauses.append(hurt(made, writers, done, number))
        cluster.say(f"  {signal.Signals(number).name} {len(pauses):2d}: "
                    f"{pauses[-1] * 1000:6.0f} ms without a write")
    return pauses


def summary(name, pauses):
    text = (f"{name}: median {statistics.median(pauses) * 1000:.0f} ms, "
            f"lowest {min(pauses) * 1000:.0f}, highest {max(pauses) * 1000:.0f}, of {len(pauses)}")
    cluster.say(text)
    return text


def test(run):
    made = run.cluster().start()
    done = []
    writers = [Writer(m, done) for m in made.members]
    for writer in writers:
        writer.start()
    killed = measure(made, writers, done, signal.SIGKILL, run.arguments.kills)
    stopped = measure(made, writers, done, signal.SIGSTOP, run.arguments.stops)
    for writer in writers:
        writer.running = False
    figures = {"system": run.system, "kill_ms": [round(p * 1000) for p in killed],
               "stop_ms": [round(p * 1000) for p in stopped]}
    cluster.say(json.dumps(figures))
    lines = [summary("leader killed", killed)] + ([summary("leader stopped", stopped)]
                                                  if stopped else [])
    cluster.say("; ".join(lines))


if __name__ == "__main__":
    parser = cluster.parser(__doc__)
    parser.add_argument("--kills", type=int, default=cluster.by_level(5, 8, 200))
    parser.add_argument("--stops", type=int, default=cluster.by_level(1, 2, 20))
    cluster.main(test, parser.parse_args(sys.argv[1:]))
