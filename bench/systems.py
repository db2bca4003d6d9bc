"""The systems that are measured: each starts with empty data, the same number of members and the same
promise (what was acknowledged is synced by a majority), on the same disk; one at a time, so that
none pays for another's idling.
"""
import glob
import os
import shutil
import socket
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "test", "system"))

import cluster


class System:
    """Processes and what they use. A subclass starts them."""

    name = ""
    processes = ()

    def cpu(self):
        """Processor seconds that all members have used."""
        return sum(cluster.cpu_seconds(process.pid) for process in self.processes)

    def thread_seconds(self):
        """The same, by what its threads are there for."""
        spent = {"core": 0.0, "front": 0.0, "disk": 0.0}
        for process in self.processes:
            for path in glob.glob(f"/proc/{process.pid}/task/*"):
                with open(path + "/comm", encoding="ascii", errors="replace") as file:
                    front = file.read().strip() == "synod-front"
                with open(path + "/schedstat", encoding="ascii") as file:
                    seconds = int(file.read().split()[0]) / 1e9
                core = os.path.basename(path) == str(process.pid)
                spent["core" if core else "front" if front else "disk"] += seconds
        return spent

    def resident(self):
        """MiB of each member."""
        return [cluster.resident_bytes(process.pid) / 2**20 for process in self.processes]


class EtcdLike(System):
    """Synod, or etcd: they take the same flags."""

    def __init__(self, run, name, size=3, extra=(), wrapper=()):
        self.run = run
        self.name = name
        server = [shutil.which("etcd")] if name == "etcd" else [*wrapper, *run.server]
        run.systems_started += 1
        self.cluster = run.cluster(size=size, extra=extra, server=server,
                                   name=f"{name}-{run.systems_started}")
        self.cluster.start()

    @property
    def members(self):
        return self.cluster.members

    @property
    def processes(self):
        return [member.process for member in self.members]

    @property
    def endpoints(self):
        return ",".join(self.cluster.endpoints)

    def leader_first(self):
        """Endpoints of the leader, and of another member."""
        leader = self.cluster.leader()
        others = [member for member in self.members if member is not leader]
        return leader.endpoint, (others or [leader])[0].endpoint

    def stop(self):
        for member in self.members:
            member.api.close()
        self.cluster.stop()
        self.run.clusters.remove(self.cluster)
        shutil.rmtree(self.cluster.folder, ignore_errors=True)


class ZooKeeper(System):
    name = "zookeeper"

    def __init__(self, run):
        run.systems_started += 1
        self.folder = os.path.join(run.folder, f"zookeeper-{run.systems_started}")
        ports = [run.take_ports(3) for _ in range(3)]
        self.endpoints = ",".join(f"127.0.0.1:{client}" for client, _, _ in ports)
        self.processes = [self.start_member(run, number, ports) for number in range(3)]
        for client, _, _ in ports:
            cluster.wait_until("zookeeper serves", lambda port=client: serves(port), 90, 0.2)

    def start_member(self, run, number, ports):
        folder = os.path.join(self.folder, f"m{number + 1}")
        os.makedirs(folder)
        servers = "".join(f"server.{i + 1}=127.0.0.1:{peer}:{election}\n"
                          for i, (_, peer, election) in enumerate(ports))
        settings = os.path.join(folder, "zoo.cfg")
        with open(settings, "w", encoding="ascii") as file:
            file.write(f"tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={folder}\n"
                       f"clientPort={ports[number][0]}\nmaxClientCnxns=0\n"
                       f"4lw.commands.whitelist=srvr\nadmin.enableServer=false\n{servers}")
        with open(os.path.join(folder, "myid"), "w", encoding="ascii") as file:
            file.write(str(number + 1))
        with open(os.path.join(folder, "log"), "ab") as log:
            return run.spawn(["java", "-cp", "/usr/share/java/zookeeper.jar", "-Xmx1g",
                              "org.apache.zookeeper.server.quorum.QuorumPeerMain", settings],
                             stdout=log, stderr=log)

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def metrics(endpoint):
    """A member's metrics without labels, by name."""
    with urllib.request.urlopen(f"http://{endpoint}/metrics", timeout=10) as page:
        lines = page.read().decode().split("\n")
    return {name: float(value) for name, value in
            (line.rsplit(" ", 1) for line in lines if line and line[0] != "#" and "{" not in line)}


def serves(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as link:
            link.sendall(b"srvr")
            return b"Mode: " in link.makefile("rb").read()
    except OSError:
        return False


class Nghttpd(System):
    """A bare HTTP/2 server of the library that Synod uses too: it returns 64 bytes, and nothing else.
    What it does is the ceiling of what a server of small answers can do on this machine."""

    name = "nghttpd"

    def __init__(self, run):
        self.folder = os.path.join(run.folder, "nghttpd")
        os.makedirs(self.folder, exist_ok=True)
        with open(os.path.join(self.folder, "answer"), "wb") as file:
            file.write(b"x" * 64)
        [self.port] = run.take_ports(1)
        self.endpoint = f"127.0.0.1:{self.port}"
        self.processes = [run.spawn(["nghttpd", "--no-tls", "-d", self.folder, str(self.port)],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
        cluster.wait_until("nghttpd serves", self.listens, 10)

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def start(run, name, **options):
    if name == "zookeeper":
        return ZooKeeper(run)
    return EtcdLike(run, name, **options)


def callgrind(system, *command):
    for process in system.processes:
        subprocess.run(["callgrind_control", *command, str(process.pid)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def counted(system, work):
    """Instructions of each member, by name, while `work` runs; the members run under callgrind."""
    callgrind(system, "--instr=on")
    work()
    callgrind(system, "--dump")
    callgrind(system, "--instr=off")
    used = {}
    for member in system.members:
        dumps = glob.glob(os.path.join(system.run.folder, f"callgrind.{member.process.pid}*"))
        used[member.name] = 0
        for path in dumps:
            with open(path, encoding="utf-8", errors="replace") as file:
                used[member.name] += sum(int(line.split()[1]) for line in file
                                         if line.startswith("totals:"))
            os.unlink(path)
    return used


def missing(name):
    """Why a peer cannot be measured here; None if it can."""
    if name == "etcd" and shutil.which("etcd") is None:
        return "etcd is not installed"
    if name == "zookeeper" and (shutil.which("java") is None
                                or not glob.glob("/usr/share/java/zookeeper.jar")):
        return "zookeeper is not installed"
    if name == "zookeeper" and not os.access(zookeeper_load(), os.X_OK):
        return "its load generator was not built: libzookeeper-st-dev is missing"
    if name == "nghttpd" and (shutil.which("nghttpd") is None or shutil.which("h2load") is None):
        return "nghttpd or h2load is not installed"
    return None


def zookeeper_load():
    return os.path.join(cluster.ROOT, "build/release/bench/zookeeper_load")
