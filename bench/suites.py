"""The suites: each measures one thing on all systems in turn and fills a table.

Where a suite has rounds, they alternate (A B A B), each with a system that was just started on empty
data, and the medians are shown.
"""
import os
import random
import resource
import shutil
import socket
import statistics
import subprocess
import time

import grpc

import cluster
import etcd_api as api
import generators
import systems
from table import Table

VALUE = 256
KEYS = 10000
SHAPES = [(1, 1), (100, 1), (100, 10)]


def shape_name(connections, streams):
    return f"{connections} x {streams}"


def median(samples, key):
    found = [sample[key] for sample in samples if sample.get(key) is not None]
    return statistics.median(found) if found else None


def ratio(a, b):
    return a / b if a and b else None


def beside_etcd(options):
    """Synod, and etcd if it is a peer: for what ZooKeeper has no like of."""
    return ["synod", *(peer for peer in options.peers if peer == "etcd")]


# --- load: puts and gets ----------------------------------------------------------------------------


class Load:
    def __init__(self, name, operation, connections, streams, *flags):
        self.name = f"{name} {shape_name(connections, streams)}"
        self.load = (operation, connections, streams)
        self.flags = flags
        # ZooKeeper has no linearizable read: its get is the other one's serializable.
        self.zookeeper = {"put": "set", "get": "get"}[operation] if "l" not in flags else None

    def run(self, run, system, seconds):
        if system.name != "zookeeper":
            return generators.synod_bench(run, system, self.load, seconds, *self.flags,
                                          "--value-size", str(VALUE), "--keys", str(KEYS))
        if self.zookeeper is None:
            return None
        return generators.zookeeper_load(run, system, (self.zookeeper, *self.load[1:]), seconds)


LOADS = ([Load("put", "put", *shape) for shape in SHAPES]
         + [Load("get l", "get", *shape, "--fill", "--consistency", "l") for shape in SHAPES]
         + [Load("get s", "get", *shape, "--fill", "--consistency", "s") for shape in SHAPES])


def load(run, options):
    """Puts and gets, closed loop: connections x requests in flight on each, over all three members."""
    names = ["synod", *options.peers]
    samples = {}
    for _ in range(options.rounds):
        for name in names:
            system = systems.start(run, name)
            for one in LOADS:
                figures = one.run(run, system, options.seconds)
                if figures is not None:
                    samples.setdefault((one.name, name), []).append(figures)
            system.stop()
    table = Table("load", f"Puts and gets of {VALUE} B, {KEYS:,} keys, three members, "
                  f"every write synced; medians of {options.rounds}", [
                      ("load", "LOAD", ""), ("system", "SYSTEM", ""), ("per_second", "/S", ",.0f"),
                      ("ratio", "SYNOD/IT", ".1f"), ("p50_ms", "P50 MS", ".2f"),
                      ("p99_ms", "P99 MS", ".2f"), ("p999_ms", "P99.9 MS", ".2f"),
                      ("cpu_us", "CPU US/REQ", ",.0f"), ("client_us", "CLIENT US", ",.0f")],
                  plot={"label": "load", "group": "system", "bar": "per_second",
                        "axis": "requests a second", "log": True})
    for one in LOADS:
        own = median(samples[one.name, "synod"], "per_second")
        for name in names:
            found = samples.get((one.name, name))
            if found:
                row = {key: median(found, key) for key in found[0]}
                table.add(load=one.name, system=name, ratio=ratio(own, row["per_second"]), **row)
    return [table]


# --- ceiling: what HTTP/2 allows ----------------------------------------------------------------------


def ceiling(run, options):
    """Gets by an independent client (h2load) from one member, beside a bare HTTP/2 server."""
    key = b"bench/ceiling"
    bodies = {"get l": api.RangeRequest(key=key).SerializeToString(),
              "get s": api.RangeRequest(key=key, serializable=True).SerializeToString()}
    samples = {}

    def measure(system, label, url, body=None):
        for shape in SHAPES[1:]:
            figures = generators.h2load(run, system, url, shape, options.seconds, body)
            samples.setdefault((shape, label), []).append(figures)

    labels = ["nghttpd"] if systems.missing("nghttpd") is None else []
    for _ in range(options.rounds):
        if labels:
            bare = systems.Nghttpd(run)
            measure(bare, "nghttpd", f"http://{bare.endpoint}/answer")
            bare.stop()
        for name in beside_etcd(options):
            system = systems.start(run, name)
            system.members[0].api.Put(api.PutRequest(key=key, value=b"x" * 64), timeout=10)
            leader, other = system.leader_first()
            time.sleep(0.5)
            for what, body in bodies.items():
                for place, endpoint in (("leader", leader), ("follower", other)):
                    label = f"{name} {what} at the {place}"
                    measure(system, label, f"http://{endpoint}/etcdserverpb.KV/Range", body)
                    labels += [label] if label not in labels else []
            system.stop()
    table = Table("ceiling", "Gets of 64 B from one member by h2load, beside a bare HTTP/2 server; "
                  f"medians of {options.rounds}", [
                      ("load", "CONNECTIONS", ""), ("system", "SERVER", ""),
                      ("per_second", "/S", ",.0f"), ("share", "OF NGHTTPD", ".0%"),
                      ("cpu_us", "CPU US/REQ", ",.1f"), ("client_us", "CLIENT US", ",.1f")],
                  plot={"label": "load", "group": "system", "bar": "per_second",
                        "axis": "requests a second", "log": False})
    for shape in SHAPES[1:]:
        bare = median(samples.get((shape, "nghttpd"), []), "per_second")
        for label in labels:
            row = {key: median(samples[shape, label], key) for key in samples[shape, label][0]}
            table.add(load=shape_name(*shape), system=label, share=ratio(row["per_second"], bare),
                      **row)
    return [table]


# --- rate: processor time at a given rate ------------------------------------------------------------


def rate(run, options):
    """Processor time of all members at the peer's own highest rate of puts."""
    table = Table("rate", "Processor time of all members at etcd's highest rate of puts (100 x 10); "
                  f"medians of {options.rounds}", [
                      ("system", "SYSTEM", ""), ("per_second", "/S", ",.0f"),
                      ("cpu_us", "CPU US/REQ", ",.1f"), ("share", "OF ETCD'S", ".3f"),
                      ("p50_ms", "P50 MS", ".2f"), ("p99_ms", "P99 MS", ".2f")])
    if "etcd" not in options.peers:
        return [table]
    samples = {}
    for _ in range(options.rounds):
        system = systems.start(run, "etcd")
        most = generators.synod_bench(run, system, ("put", 100, 10), options.seconds)["per_second"]
        system.stop()
        for name in ("etcd", "synod"):
            system = systems.start(run, name)
            figures = generators.synod_bench(run, system, ("put", 100, 10), options.seconds,
                                             *([] if name == "etcd" else ["--rate", f"{most:.0f}"]))
            samples.setdefault(name, []).append(figures)
            system.stop()
    base = median(samples["etcd"], "cpu_us")
    for name, found in samples.items():
        row = {key: median(found, key) for key in ("per_second", "cpu_us", "p50_ms", "p99_ms")}
        table.add(system=name, share=ratio(row["cpu_us"], base), **row)
    return [table]


# --- watch: the fan-out of events --------------------------------------------------------------------


def watch(run, options):
    """Watchers on one key, and updates of it as fast as they go."""
    watchers, updates = 1000, 1000
    shapes = [("100 streams of 10 watchers", 100, 1), ("1,000 streams of 1", 100, 10)]
    samples = {}
    names = beside_etcd(options)
    for _ in range(options.rounds):
        for name in names:
            for label, connections, streams in shapes:
                system = systems.start(run, name)
                report = generators.synod_bench(
                    run, system, ("watch", connections, 1), 60, "--watchers", str(watchers),
                    "--keys", "1", "--total", str(updates), "--warmup", "0s", "--rate", "1000000",
                    "--watch-streams", str(streams), whole=True)
                event = report["operations"]["event"]
                if report["events"] != watchers * updates:
                    cluster.say(f"watch: {name} delivered {report['events']:,} events")
                samples.setdefault((label, name), []).append({
                    "per_second": event["per_second"], "p50_ms": event["p50_us"] / 1000,
                    "p99_ms": event["p99_us"] / 1000, "events": report["events"]})
                system.stop()
    table = Table("watch", f"{watchers:,} watchers on one key, {updates:,} updates; "
                  f"medians of {options.rounds}", [
                      ("load", "WATCHERS", ""), ("system", "SYSTEM", ""),
                      ("per_second", "EVENTS/S", ",.0f"), ("ratio", "SYNOD/IT", ".1f"),
                      ("p50_ms", "P50 MS", ",.1f"), ("p99_ms", "P99 MS", ",.1f"),
                      ("events", "DELIVERED", ",.0f")],
                  plot={"label": "load", "group": "system", "bar": "per_second",
                        "axis": "events a second", "log": False})
    for label, _, _ in shapes:
        own = median(samples[label, "synod"], "per_second")
        for name in names:
            found = samples[label, name]
            row = {key: median(found, key) for key in found[0]}
            table.add(load=label, system=name, ratio=ratio(own, row["per_second"]), **row)
    return [table]


# --- memory and restart ------------------------------------------------------------------------------


def fill(system, keys):
    """`keys` keys of 32 B with values of 256, a hundred in a transaction."""
    batch = 100
    value = random.Random(1).randbytes(VALUE)
    channels = [member.api for member in system.members]
    under_way = []

    def finish(future):
        try:
            future.result(timeout=60)
        except grpc.RpcError as error:
            raise cluster.Failure(f"filling: {error.code().name} {error.details()}") from error
    for number in range((keys + batch - 1) // batch):
        puts = [api.RequestOp(request_put=api.PutRequest(key=b"million/%024d" % i, value=value))
                for i in range(number * batch, min(keys, (number + 1) * batch))]
        under_way.append(channels[number % len(channels)].Txn.future(api.TxnRequest(success=puts)))
        if len(under_way) >= 32:
            finish(under_way.pop(0))
    for future in under_way:
        finish(future)


def restart_seconds(member):
    """From the start of the process to its first answer."""
    member.stop()
    began = time.monotonic()
    member.start()
    cluster.wait_until("the member serves", member.healthy, 120, 0.002)
    return time.monotonic() - began


def memory(run, options):
    """Resident memory idle and with a million keys, and how long a restart takes."""
    table = Table("memory", f"Memory of a member, and its restart, with {options.keys:,} keys of 32 B "
                  f"and values of {VALUE} B", [
                      ("system", "SYSTEM", ""), ("idle", "IDLE MIB", ",.1f"),
                      ("idle_cpu", "IDLE % CORE", ".2f"), ("loaded", "LOADED MIB", ",.0f"),
                      ("share", "OF ETCD'S", ".2f"), ("restart_s", "RESTART S", ".2f"),
                      ("restarted", "THEN MIB", ",.0f")])
    found = {}
    for name in [*(peer for peer in options.peers if peer == "etcd"), "synod"]:
        system = systems.start(run, name, extra=["--quota-backend-bytes", str(4 << 30)])
        time.sleep(2)
        before = system.cpu()
        time.sleep(5)
        row = {"idle": statistics.mean(system.resident()),
               "idle_cpu": (system.cpu() - before) / 3 / 5 * 100}
        fill(system, options.keys)
        time.sleep(3)
        row["loaded"] = statistics.mean(system.resident())
        row["restart_s"] = statistics.median(restart_seconds(member) for member in system.members)
        row["restarted"] = statistics.mean(system.resident())
        found[name] = row
        system.stop()
    for name, row in found.items():
        table.add(system=name, share=ratio(row["loaded"], found.get("etcd", {}).get("loaded")), **row)
    return [table]


# --- footprint: what clients cost that do nothing ------------------------------------------------------


def idle_connections(endpoint, count):
    """Sockets that have said that they speak HTTP/2, and nothing else."""
    host, port = endpoint.rsplit(":", 1)
    found = []
    for _ in range(count):
        link = socket.create_connection((host, int(port)))
        link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        found.append(link)
    return found


def watchers_cost(run, system, connections, streams, watchers):
    """Resident bytes for each of so many watches, of a key each, on so many streams."""
    before = system.resident()[0]
    command = [run.binary, "bench", "watch", "--endpoints", system.endpoints, "--connections",
               str(connections), "--watch-streams", str(streams), "--watchers", str(watchers),
               "--keys", str(watchers), "--rate", "1", "--duration", "20s", "--warmup", "0s",
               "--quiet"]
    bench = run.spawn(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(18)
    after = system.resident()[0]
    bench.kill()
    bench.wait()
    return (after - before) * 2**20 / watchers


def footprint(run, options):
    """One member: resident memory for idle connections, streams and watches."""
    table = Table("footprint", "Resident memory of a member for each idle client", [
        ("system", "SYSTEM", ""), ("connection", "CONNECTION KIB", ",.1f"),
        ("stream", "STREAM WITH A WATCH KIB", ",.2f"), ("watch", "WATCH B", ",.0f")])
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    for name in beside_etcd(options):
        system = systems.start(run, name, size=1)
        time.sleep(1)
        before = system.resident()[0]
        links = idle_connections(system.members[0].endpoint, 1000)
        time.sleep(2)
        connection = (system.resident()[0] - before) * 1024 / len(links)
        for link in links:
            link.close()
        time.sleep(2)
        stream = watchers_cost(run, system, 10, 1000, 10000)
        system.stop()
        system = systems.start(run, name, size=1)
        time.sleep(1)
        table.add(system=name, connection=connection, stream=stream / 1024,
                  watch=watchers_cost(run, system, 10, 10, options.keys))
        system.stop()
    return [table]


# --- stall: does a snapshot hold others up? ----------------------------------------------------------


def stall(run, options):
    """Puts while the store is large and is written to a snapshot again and again."""
    table = Table("stall", f"Puts (100 x 1) with {options.keys:,} keys in the store, in windows of "
                  "100 ms", [
                      ("system", "SYSTEM", ""), ("per_second", "/S", ",.0f"),
                      ("lowest", "LOWEST /S", ",.0f"), ("share", "LOWEST/MEAN", ".2f"),
                      ("p1", "1ST CENTILE/MEAN", ".2f"), ("p999_ms", "P99.9 MS", ".1f")])
    for name in beside_etcd(options):
        system = systems.start(run, name, extra=["--quota-backend-bytes", str(8 << 30)])
        fill(system, options.keys)
        time.sleep(3)
        report = generators.synod_bench(run, system, ("put", 100, 1), 6 * options.seconds,
                                        whole=True)
        windows = [count * 1000 / report["window_ms"] for count in report["windows"][1:-1]]
        mean = statistics.mean(windows)
        table.add(system=name, per_second=mean, lowest=min(windows), share=min(windows) / mean,
                  p1=statistics.quantiles(windows, n=100)[0] / mean,
                  p999_ms=report["figures"]["p999_ms"])
        system.stop()
    return [table]


# --- stages: where the time of a put goes -------------------------------------------------------------


def stages(run, options):
    """Puts at the leader, and what its own metrics and a follower's say became of their time."""
    table = Table("stages", "Mean time of a put at the leader, in microseconds", [
        ("load", "LOAD", ""), ("client", "CLIENT SEES", ",.0f"), ("call", "IN THE SERVER", ",.0f"),
        ("queue", "BATCH WAITS", ",.0f"), ("agree", "AGREEING", ",.0f"), ("sync", "(ITS SYNC)", ",.0f"),
        ("other", "(A FOLLOWER'S)", ",.0f"), ("apply", "APPLYING", ",.0f"),
        ("batch", "PUTS A BATCH", ",.1f")])
    kinds = {"call": "synod_front_call_duration_seconds", "queue": "synod_batch_queue_duration_seconds",
             "agree": "synod_batch_agree_duration_seconds",
             "apply": "synod_batch_apply_duration_seconds", "batch": "synod_batch_commands",
             "sync": "etcd_disk_wal_fsync_duration_seconds"}
    system = systems.start(run, "synod")
    leader, other = system.leader_first()
    for shape in SHAPES:
        before = systems.metrics(leader), systems.metrics(other)
        report = generators.synod_bench(run, system, ("put", *shape), options.seconds,
                                        "--endpoints", leader, whole=True)
        after = systems.metrics(leader), systems.metrics(other)

        def mean(place, name):
            count = after[place][name + "_count"] - before[place].get(name + "_count", 0)
            return (after[place][name + "_sum"] - before[place].get(name + "_sum", 0)) / max(1, count)
        row = {kind: mean(0, name) * (1 if kind == "batch" else 1e6) for kind, name in kinds.items()}
        table.add(load=f"put {shape_name(*shape)}", client=report["series"]["mean_us"],
                  other=mean(1, kinds["sync"]) * 1e6, **row)
    system.stop()
    return [table]


# --- threads: who spends the processor time of a request -----------------------------------------------


def threads(run, options):
    """Synod with connections on the core thread, and on one or two threads besides."""
    table = Table("threads", "Processor time of all members for one request, by thread, in microseconds", [
        ("load", "LOAD", ""), ("threads", "--FRONT-THREADS", ",.0f"), ("per_second", "/S", ",.0f"),
        ("core", "CORE", ",.1f"), ("front", "CONNECTIONS", ",.1f"), ("disk", "DISK", ",.1f")])
    loads = [(operation, *shape) for operation in ("put", "get") for shape in SHAPES[1:]]
    samples = {}
    for _ in range(options.rounds):
        for count in (0, 1, 2):
            system = systems.start(run, "synod", extra=["--front-threads", str(count)])
            for one in loads:
                before = system.thread_seconds()
                report = generators.synod_bench(run, system, one, options.seconds, whole=True)
                spent = system.thread_seconds()
                row = {kind: (spent[kind] - before[kind]) * 1e6 / report["requests"]
                       for kind in spent}
                row["per_second"] = report["figures"]["per_second"]
                samples.setdefault((one, count), []).append(row)
            system.stop()
    for one in loads:
        for count in (0, 1, 2):
            found = samples[one, count]
            table.add(load=f"{one[0]} {shape_name(*one[1:])}", threads=count,
                      **{key: median(found, key) for key in found[0]})
    return [table]


# --- growth: how cost grows --------------------------------------------------------------------------


def growth(run, options):
    """Synod alone: puts and gets over sizes of values, connections, members, keys."""
    table = Table("growth", "Synod: how cost grows (64 requests in flight unless said)", [
        ("what", "WHAT", ""), ("value", "IS", ""), ("puts", "PUTS/S", ",.0f"),
        ("put_p99", "P99 MS", ".2f"), ("put_cpu", "CPU US", ",.0f"), ("gets", "GETS/S", ",.0f"),
        ("get_p99", "P99 MS", ".2f"), ("get_cpu", "CPU US", ",.0f")])
    seconds = max(1, options.seconds // 2)

    def point(what, value, size=3, shape=(64, 1), value_size=VALUE, keys=KEYS):
        system = systems.start(run, "synod", size=size,
                               extra=["--quota-backend-bytes", str(8 << 30)])
        flags = ["--value-size", str(value_size), "--keys", str(keys)]
        put = generators.synod_bench(run, system, ("put", *shape), seconds, *flags)
        get = generators.synod_bench(run, system, ("get", *shape), seconds, "--fill", *flags)
        table.add(what=what, value=f"{value:,}", puts=put["per_second"], put_p99=put["p99_ms"],
                  put_cpu=put["cpu_us"], gets=get["per_second"], get_p99=get["p99_ms"],
                  get_cpu=get["cpu_us"])
        system.stop()

    for value_size in (16, 256, 1024, 4096, 16384, 65536):
        point("value size", value_size, value_size=value_size, keys=1000)
    for connections in (1, 4, 16, 64, 256, 1000):
        point("connections", connections, shape=(connections, 1))
    for size in (1, 3, 5, 7):
        point("members", size, size=size)
    for keys in (100, 10000, 1000000):
        point("keys", keys, keys=keys)
    return [table]


# --- instructions: what one request costs, without noise -----------------------------------------------


def instructions(run, options):
    """Synod alone, under callgrind: instructions for one request, on the leader and on the others."""
    table = Table("instructions", "Synod: instructions in user space for one request (callgrind), all "
                  "clients at the leader or all at one follower", [
                      ("load", "LOAD", ""), ("place", "CLIENTS AT", ""), ("count", "REQUESTS", ",.0f"),
                      ("leader", "LEADER", ",.0f"), ("asked", "ASKED FOLLOWER", ",.0f"),
                      ("other", "OTHER FOLLOWER", ",.0f")])
    if shutil.which("valgrind") is None:
        cluster.say("without instructions: valgrind is not installed")
        return []
    loads = [("put", 1, 1), ("put", 10, 10), ("get", 1, 1), ("get", 10, 10)]
    system = systems.EtcdLike(run, "synod", wrapper=[
        "valgrind", "-q", "--tool=callgrind", "--instr-atstart=no",
        f"--callgrind-out-file={run.folder}/callgrind.%p"],
        extra=["--heartbeat-interval", "2000", "--election-timeout", "30000"])
    leader = system.cluster.leader()
    others = [member for member in system.members if member is not leader]
    generators.synod_bench(run, system, ("put", 10, 10), 60, "--total", "1000", "--keys", "1000",
                           "--sequential", "--warmup", "0s")
    for operation, *shape in loads:
        for place, member in (("leader", leader), ("follower", others[0])):
            count = 200 * shape[0] * shape[1] if shape[0] > 1 else 1000
            used = systems.counted(system, lambda: generators.synod_bench(
                run, system, (operation, *shape), 60, "--total", str(count), "--warmup", "0s",
                "--endpoints", member.endpoint, "--keys", "1000"))
            each = {name: total / count for name, total in used.items()}
            table.add(load=f"{operation} {shape_name(*shape)}", place=place, count=count,
                      leader=each[leader.name], other=each[others[1].name],
                      **({"asked": each[others[0].name]} if place == "follower" else {}))
    system.stop()
    return [table]


SUITES = {"load": load, "ceiling": ceiling, "rate": rate, "watch": watch, "memory": memory,
          "footprint": footprint, "stall": stall, "stages": stages, "threads": threads,
          "growth": growth, "instructions": instructions}


def clean(run):
    """Data of a suite that is over: the next shall find an empty disk cache's worth of room."""
    for folder in os.listdir(run.folder):
        path = os.path.join(run.folder, folder)
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
