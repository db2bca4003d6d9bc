"""Real members for the system tests: processes of synod, or of etcd to compare with.

A `Run` is one execution of a test program: its folder (kept when it fails), its ports, its clusters,
all of which end with it whichever way it ends. Only processes started here are ever signalled.

The tests are written so that they pass against etcd as well (--system etcd): what they demand is
etcd's behaviour, not ours.
"""
import argparse
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request

import grpc

import etcd_api as api
from fault_proxy import FaultProxy

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LEVEL = os.environ.get("SYNOD_TEST_LEVEL", "normal")


def by_level(quick, normal, nightly):
    return {"quick": quick, "nightly": nightly}.get(LEVEL, normal)


class Failure(Exception):
    """What was expected did not happen; the text says it all."""


def say(text):
    print(text, flush=True)


def wait_until(what, condition, seconds=60, pause=0.02):
    """Returns the first true value of condition(); raises after so many seconds. The bounds of this
    and the other waits are for what never comes: a busy machine takes its time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited {seconds} s in vain: {what}")
        time.sleep(pause)


def http_get(url, timeout=3):
    """(status, body); status 0 when there was no answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout) as reply:
            return reply.status, reply.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, ValueError) as error:
        return 0, str(error)


def resident_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Member:
    """One member: its ports and folder outlive its process."""

    def __init__(self, cluster, index):
        self.cluster = cluster
        self.name = f"m{index + 1}"
        self.client_port, self.peer_port = cluster.run.take_ports(2)
        self.endpoint = f"127.0.0.1:{self.client_port}"
        self.client_url = f"http://127.0.0.1:{self.client_port}"
        self.peer_url = self.advertised = f"http://127.0.0.1:{self.peer_port}"
        if cluster.proxy:
            # Members dial each other, and clients that shall feel faults dial them, by the proxy.
            between, before = cluster.run.take_ports(2)
            self.advertised = f"http://127.0.0.1:{between}"
            self.far_endpoint = f"127.0.0.1:{before}"
            cluster.proxy.listen(self.name, self.peer_port, between)
            cluster.proxy.listen(self.name, self.client_port, before, "clients")
        self.data = os.path.join(cluster.folder, self.name)
        self.log_path = os.path.join(cluster.folder, f"{self.name}.log")
        self.process = None
        self.api = api.Api(self.endpoint)

    def flags(self):
        peers = ",".join(f"{m.name}={m.advertised}" for m in self.cluster.members)
        own = self.cluster.server is None
        engine = self.cluster.run.engine if own else None
        return [*(["--engine", engine] if engine else []),
                *(f"--{setting}" for setting in (self.cluster.run.settings if own else [])),
                "--name", self.name, "--data-dir", self.data,
                "--listen-client-urls", self.client_url, "--advertise-client-urls", self.client_url,
                "--listen-peer-urls", self.peer_url,
                "--initial-advertise-peer-urls", self.advertised, "--initial-cluster", peers,
                "--initial-cluster-token", self.cluster.token, "--initial-cluster-state", "new"]

    def start(self, *extra):
        assert not self.alive()
        with open(self.log_path, "ab") as log:
            self.process = self.cluster.run.spawn(
                [*(self.cluster.server or self.cluster.run.server), *self.flags(), *self.cluster.extra, *extra],
                stdout=log, stderr=log)
        if self.cluster.proxy:
            self.cluster.proxy.party(self.name, self.process.pid)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def send(self, number):
        if self.alive():
            self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM, seconds=60):
        """Ends it and returns its exit status as Popen tells it (-15: died by SIGTERM)."""
        if not self.alive():
            return self.process.returncode if self.process else None
        self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure(f"{self.name} did not end within {seconds} s of signal {number}") from None

    def kill(self):
        if self.alive():
            self.process.kill()
            self.process.wait()

    def status(self, timeout=1.0):
        """Its StatusResponse, or None."""
        try:
            return self.api.Status(api.StatusRequest(), timeout=timeout)
        except grpc.RpcError:
            return None

    def healthy(self):
        return http_get(self.client_url + "/health", 1.0)[0] == 200

    def log_tail(self, lines=8):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except OSError:
            return ""


class Cluster:
    def __init__(self, run, size=3, extra=(), name="cluster", proxied=False, server=None):
        self.run = run
        self.server = server  # the command of another system than the run's
        self.proxy = FaultProxy(run) if proxied else None
        self.extra = list(extra)
        self.token = f"{name}-{os.getpid()}"
        self.folder = os.path.join(run.folder, name)
        os.makedirs(self.folder, exist_ok=True)
        self.members = [Member(self, i) for i in range(size)]
        run.clusters.append(self)

    def start(self, seconds=60):
        for member in self.members:
            member.start()
        return self.wait_ready(seconds)

    def wait_ready(self, seconds=60):
        """Healthy, and connected to: no test shall meet what happens to a channel that is being made."""
        self.wait_healthy(seconds)
        for member in self.members:
            wait_until(f"a connection to {member.name}", lambda m=member: m.status(5), seconds)
        return self

    def wait_healthy(self, seconds=60):
        def all_healthy():
            for member in self.members:
                if not member.alive():
                    raise Failure(f"{member.name} ended with status {member.process.returncode}:\n"
                                  f"{member.log_tail()}")
            return all(m.healthy() for m in self.members)
        wait_until("all members healthy", all_healthy, seconds)

    @property
    def endpoints(self):
        return [m.endpoint for m in self.members]

    def living(self):
        return [m for m in self.members if m.alive()]

    def leader_now(self):
        """The member that leads in the highest term that any living member knows; or None."""
        best = None
        for member in self.living():
            status = member.status()
            if status and status.leader and status.leader == status.header.member_id:
                if best is None or status.raftTerm > best[0]:
                    best = (status.raftTerm, member)
        return best[1] if best else None

    def leader(self, seconds=60):
        return wait_until("a leader", self.leader_now, seconds)

    def make_leader(self, wanted, seconds=90):
        """Hands the leadership to this member, again if it did not get there in time."""
        def leads():
            leader, target = self.leader_now(), wanted.status(5)
            if leader is not None and leader is not wanted and target is not None:
                try:
                    leader.api.MoveLeader(api.MoveLeaderRequest(targetID=target.header.member_id),
                                          timeout=10)
                except grpc.RpcError:
                    pass  # the next turn shows
            return leader is wanted
        wait_until(f"{wanted.name} leads", leads, seconds)

    def settle(self, seconds=20):
        """Waits until all living members have applied the same. An answer through one member says
        nothing about what the others have seen, unless the question was a linearizable one."""
        def settled():
            found = {status and status.raftAppliedIndex for status in
                     (member.status(5) for member in self.living())}
            return len(found) == 1 and None not in found
        try:
            wait_until("all members have applied the same", settled, seconds, 0.005)
        except Failure:
            pass  # what is asked next will show it

    def watches(self, index):
        """How many watches are open at a member, by its metrics; None: it does not say."""
        found = re.search(r"(?m)^etcd_debugging_mvcc_watcher_total (\d+)",
                          http_get(self.members[index].client_url + "/metrics", 10)[1])
        return int(found.group(1)) if found else None

    def stop(self):
        for member in self.members:
            member.kill()


class Run:
    def __init__(self, arguments):
        self.arguments = arguments
        self.system = arguments.system
        binary = arguments.binary
        if self.system == "etcd":
            binary = shutil.which("etcd") if binary is None else binary
            self.server = [binary]
        else:
            binary = os.path.join(ROOT, "build/release/synod") if binary is None else binary
            self.server = [binary, "serve"]
        self.engine = arguments.engine if self.system == "synod" else None
        self.settings = arguments.set if self.system == "synod" else []
        self.binary = binary
        if not binary or not os.access(binary, os.X_OK):
            sys.exit(f"{binary}: not there; build it first or name it with --binary")
        self.random = random.Random(arguments.seed)
        top = os.environ.get("SYNOD_TEST_RUNS", os.path.join(ROOT, "build", "test-runs"))
        name = os.path.basename(sys.argv[0]).removesuffix(".py")
        self.folder = os.path.join(top, f"{name}-{os.getpid()}")
        os.makedirs(self.folder, exist_ok=True)
        first, last = os.environ.get("SYNOD_TEST_PORTS", "15000-15999").split("-")
        self.ports = iter(range(int(first), int(last) + 1))
        skip = os.getpid() * 37 % max(1, (int(last) - int(first)) // 2)
        for _ in range(skip):
            next(self.ports)
        self.clusters = []
        self.processes = []

    def take_ports(self, count):
        """Free ports below the range that the kernel gives to outgoing connections."""
        taken = []
        while len(taken) < count:
            port = next(self.ports, None)
            if port is None:
                raise Failure("no free port left in SYNOD_TEST_PORTS")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                    taken.append(port)
                except OSError:
                    pass
        return taken

    def environment(self):
        kept = {k: v for k, v in os.environ.items()
                if not k.startswith("ETCD") and not k.lower().endswith("_proxy")}
        return {**kept, "ETCDCTL_API": "3"}

    def spawn(self, command, **options):
        """A process that does not survive this one. To be called from the main thread only: the
        kernel's parent-death signal follows the thread that started the child."""
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command],
                                   stdin=options.pop("stdin", subprocess.DEVNULL),
                                   env=options.pop("env", self.environment()), cwd=self.folder,
                                   **options)
        self.processes.append(process)
        return process

    def cluster(self, *args, **kwargs):
        return Cluster(self, *args, **kwargs)

    def end(self, failed):
        for cluster in self.clusters:
            for member in cluster.members:
                member.api.close()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        if failed or self.arguments.keep:
            say(f"logs and data are kept in {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


class Checks:
    """Named checks of one test program; the first line of a failure says what differed."""

    def __init__(self):
        self.good = 0
        self.bad = []

    def __call__(self, name, holds, detail=""):
        if holds:
            self.good += 1
            say(f"  ok      {name}")
        else:
            self.bad.append(name)
            say(f"  FAILED  {name}" + (f"\n          {detail}" if detail else ""))
        return holds

    def equal(self, name, got, wanted):
        return self(name, got == wanted, f"got {got!r}, wanted {wanted!r}")

    def finish(self):
        if self.bad:
            raise Failure(f"{len(self.bad)} of {self.good + len(self.bad)} checks failed: "
                          + "; ".join(self.bad[:10]))
        say(f"{self.good} checks held")


def parser(description):
    made = argparse.ArgumentParser(description=description,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--binary", help="the server (default: build/release/synod, or etcd)")
    made.add_argument("--system", choices=["synod", "etcd"], default="synod")
    made.add_argument("--engine", help="synod's consensus engine (default: synod's own choice)")
    made.add_argument("--set", action="append", default=[], metavar="FLAG=VALUE",
                      help="a flag of synod serve, for every member; may be repeated")
    made.add_argument("--seed", type=int, default=int(time.time()),
                      help="of everything that is drawn at random")
    made.add_argument("--keep", action="store_true", help="keep logs and data")
    return made


def main(test, arguments):
    """Runs test(run); exit status 0 only if it returned."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    run = Run(arguments)
    failed = True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    say(f"{os.path.basename(sys.argv[0])}: {run.system}"
        + (f" --engine {run.engine}" if run.engine else "")
        + "".join(f" --{setting}" for setting in run.settings) + f", seed {arguments.seed}")
    try:
        test(run)
        failed = False
    except Failure as failure:
        say(f"FAILED: {failure}")
    except Exception:
        say("FAILED: " + traceback.format_exc())
    finally:
        run.end(failed)
    sys.stdout.flush()
    # Threads of grpc may still wait for streams whose servers are gone.
    os._exit(1 if failed else 0)


