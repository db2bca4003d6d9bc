"""Concurrent clients that write down what they asked and what they were told (history.py)."""
import queue
import random
import threading
import time

import grpc

import cluster
import etcd_api as api
from history import (KEYS, PREFIX, Operation, as_found, result_of, to_compare, to_request,
                     to_request_op, with_result)

LEASE_SECONDS = 36000  # of leases that shall not expire within a test
READ_TIMEOUT = 0.5
PATIENCE = 90.0  # seconds in which a write must succeed while a quorum lives and is connected
# What a server says only of requests that it did not take; the first is gRPC's own, of a request that
# never left for want of a connection.
REFUSALS = ("failed to connect to all addresses", "database space exceeded",
            "requested lease not found", "request is too large")


class Client(threading.Thread):
    """One client with connections of its own to every member, one call after the other."""

    def __init__(self, endpoints, number, seed, pause=0.01, timeout=1.5):
        """`endpoints`: [(member's name, address)]."""
        super().__init__(daemon=True)
        self.random = random.Random(f"{seed}-{number}")
        self.members = [(name, api.Api(endpoint)) for name, endpoint in endpoints]
        self.number, self.pause, self.timeout = number, pause, timeout
        self.count = 0
        self.lease = 0
        self.away = {}  # member -> until when it is not asked, as nothing listens there
        self.operations = []
        self.running = True

    def run(self):
        while self.running:
            self.step()
            time.sleep(self.pause * self.random.random())
        self.close()

    def close(self):
        for _, one in self.members:
            one.close()

    def value(self):
        self.count += 1
        return f"c{self.number}-{self.count}"

    def put(self, key, lease=0, padding=0):
        made = {"put": key, "value": self.value() + (f"+{padding}" if padding else "")}
        if lease:
            made["lease"] = lease
        return made

    def step(self):
        key, other = self.random.sample(KEYS, 2)
        draw = self.random.random()
        if draw < 0.36:
            self.perform(Operation(self.put(key)))
        elif draw < 0.62:
            self.perform(Operation({"get": key}, serializable=draw < 0.38))
        elif draw < 0.67:
            self.perform(Operation({"range": key, "end": key[:-1] + "~"}))
        elif draw < 0.73:
            self.perform(Operation({"delete": key}))
        elif draw < 0.74:
            self.perform(Operation({"delete": key, "end": max(key + "~", other)}))
        elif draw < 0.79:
            self.put_leased(key)
        elif draw < 0.94:
            self.compare_and_set(key)
        else:
            self.perform(Operation.txn([{"key": key, "exists": self.random.random() < 0.5}],
                                       [self.put(key), self.put(other), {"get": other}],
                                       [{"get": key}, {"delete": other}]))

    def compare_and_set(self, key):
        read = self.perform(Operation({"get": key}))
        if read.outcome != "ok":
            return
        found = read.do[0]["found"]
        if found is None:
            compare = {"key": key, "exists": False}
        elif self.random.random() < 0.5:
            compare = {"key": key, "value": found["value"]}
        else:
            compare = {"key": key, "mod": found["mod"]}
        self.perform(Operation.txn([compare], [self.put(key)], [{"get": key}]))

    def put_leased(self, key):
        """Attaches a lease of its own, which lives longer than the test."""
        if not self.lease:
            try:
                self.lease = self.random.choice(self.members)[1].LeaseGrant(
                    api.LeaseGrantRequest(TTL=LEASE_SECONDS), timeout=self.timeout).ID
            except grpc.RpcError:
                return
        self.perform(Operation(self.put(key, self.lease)))

    def perform(self, operation, timeout=None, members=None):
        operation.through, chosen = self.choose(members or self.members)
        operation.client = self.number
        self.operations.append(operation)
        operation.call = time.monotonic_ns()
        try:
            # A read that is given up costs nothing; who waits long asks little of a member that was
            # stopped, and is to answer when it wakes up.
            patience = self.timeout if operation.writes() else READ_TIMEOUT
            self.send(operation, chosen, timeout or patience)
            operation.outcome = "ok"
        except grpc.RpcError as error:
            refused = any(text in (error.details() or "") for text in REFUSALS)
            operation.outcome = "failed" if refused or not operation.writes() else "unknown"
            if refused:
                self.away[operation.through] = time.monotonic() + 0.3 * self.random.random()
        operation.returned = time.monotonic_ns()
        return operation

    def choose(self, members):
        now = time.monotonic()
        here = [m for m in members if self.away.get(m[0], 0) <= now]
        return self.random.choice(here or members)

    def send(self, operation, chosen, timeout):
        if operation.compares is None:
            request = to_request(operation.do[0])
            method = type(request).__name__.removesuffix("Request")
            if operation.serializable:
                request.serializable = True
            reply = getattr(chosen, method)(request, timeout=timeout)
            operation.do = [with_result(operation.do[0], reply)]
        else:
            success, failure = ([to_request_op(one) for one in branch]
                                for branch in operation.branches)
            reply = chosen.Txn(api.TxnRequest(
                compare=[to_compare(one) for one in operation.compares], success=success,
                failure=failure), timeout=timeout)
            operation.succeeded = reply.succeeded
            taken = operation.branches[not reply.succeeded]
            operation.do = [with_result(one, result_of(response))
                            for one, response in zip(taken, reply.responses)]
        operation.revision = reply.header.revision


class Prober(Client):
    """A client, never run as a thread, that knows when a cluster must serve."""

    def __init__(self, made, seed):
        super().__init__([(m.name, m.endpoint) for m in made.members], 0, seed)
        self.made = made
        self.longest = 0.0

    def write(self, members, timeout=1.0):
        names = [m.name for m in members]
        targets = [m for m in self.members if m[0] in names]
        return self.perform(Operation(self.put(PREFIX + "probe")), timeout, targets)

    def must_write(self, members=None):
        """A quorum lives and is connected: a write succeeds, in time. Returns the seconds."""
        living = [m for m in members or self.made.members if m.alive()]
        began = time.monotonic()
        while self.write(living).outcome != "ok":
            for member in living:
                if not member.alive():
                    raise cluster.Failure(f"{member.name} ended by itself, status "
                                          f"{member.process.returncode}:\n{member.log_tail()}")
            if time.monotonic() - began > PATIENCE:
                raise cluster.Failure(f"{', '.join(m.name for m in living)} live and are connected, "
                                      f"but took no write for {PATIENCE:.0f} s")
            time.sleep(0.02)
        waited = time.monotonic() - began
        self.longest = max(self.longest, waited)
        return waited

    def write_through_each(self):
        """So each member proves that it is back."""
        for member in self.made.members:
            self.must_write([member])


class Leaseholder(Client):
    """Keeps leases alive for a while, each with a key, and lets them go.

    The end of a lease is a revocation by nobody in particular, which may come at any time, or never;
    but not before its time to live has passed since the last renewal that was answered was sent. So
    it is recorded as one that was called then, and judges find out about leases that end too early."""

    def __init__(self, endpoints, number, seed, pause=0.2, timeout=1.0):
        super().__init__(endpoints, number, seed, pause, timeout)
        self.problem = None
        self.keys = []

    def step(self):
        began = time.monotonic()
        try:
            granted = self.choose(self.members)[1].LeaseGrant(
                api.LeaseGrantRequest(TTL=self.random.choice([2, 3, 4])), timeout=self.timeout)
        except grpc.RpcError:
            return
        safe = began + granted.TTL
        self.keys.append(f"{PREFIX}lease/{self.number}-{len(self.keys)}")
        self.perform(Operation(self.put(self.keys[-1], granted.ID)))
        end = began + granted.TTL * self.random.uniform(0, 3)
        while self.running and time.monotonic() < end and self.problem is None:
            began = time.monotonic()
            left = self.renew(granted.ID)
            if left == 0:
                if time.monotonic() < safe:
                    self.problem = (f"lease {granted.ID} was gone {safe - time.monotonic():.3f} s "
                                    f"before the {granted.TTL} s since its renewal had passed")
                break
            safe = began + left if left else safe
            time.sleep(0.1 + 0.4 * self.random.random())
        expiry = Operation({"revoke": granted.ID})
        expiry.client, expiry.call = self.number, int(safe * 1e9)
        self.operations.append(expiry)
        if self.random.random() < 0.3:
            self.perform(Operation({"revoke": granted.ID}))

    def renew(self, lease):
        """What the member says is left; None if it does not answer."""
        try:
            return next(self.choose(self.members)[1].LeaseKeepAlive(
                iter([api.LeaseKeepAliveRequest(ID=lease)]), timeout=self.timeout)).TTL
        except (grpc.RpcError, StopIteration):
            return None

    def must_expire(self, made, seconds=90):
        """Nobody renews any more: all keys go."""
        def gone():
            try:
                return not any(made.members[0].api.Range(api.RangeRequest(key=key.encode()), timeout=5)
                               .count for key in self.keys)
            except grpc.RpcError:
                return False
        cluster.wait_until("leases that are not renewed to expire", gone, seconds, 0.2)


class Watcher(threading.Thread):
    """Follows all keys from the beginning, through any member that will serve it."""

    def __init__(self, endpoints, seed):
        super().__init__(daemon=True)
        self.random = random.Random(f"{seed}-watcher")
        self.endpoints = [endpoint for _, endpoint in endpoints]
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
            self.events.append(as_event(event))
        if reply.events:
            self.next = reply.events[-1].kv.mod_revision + 1


def watch_all(start):
    prefix = PREFIX.encode()
    return api.WatchRequest(create_request=api.WatchCreateRequest(
        key=prefix, range_end=api.prefix_end(prefix), start_revision=start))


def as_event(event):
    """(revision, key, what a read would find from then on: None after a deletion, its lease)"""
    return (event.kv.mod_revision, event.kv.key.decode(),
            None if event.type == 1 else as_found(event.kv), event.kv.lease)


def read_events(member, final, seconds=60):
    """All events up to that revision, from a watch that begins at the first."""
    events = []
    requests = queue.Queue()
    requests.put(watch_all(1))
    with api.Api(member.endpoint) as one:
        for reply in one.Watch(iter(requests.get, None), timeout=seconds):
            if reply.canceled:
                raise cluster.Failure(f"the watch over the history was cancelled: {reply}")
            events += [as_event(e) for e in reply.events]
            if events and events[-1][0] >= final:
                break
        requests.put(None)
    return events
