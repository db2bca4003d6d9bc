"""The load generators: each runs one load against a system and returns the same figures.

    {"per_second", "p50_ms", "p99_ms", "p999_ms", "cpu_us": of all members for a request,
     "client_us": of the generator for a request}
"""
import json
import os
import re
import resource
import subprocess

import cluster
import systems

WARMUP_S = 1


class Spent:
    """What the members and the generator used between two moments."""

    def __init__(self, system):
        self.system = system
        self.members = system.cpu()
        self.client = client_cpu()

    def per_request(self, count):
        return ((self.system.cpu() - self.members) * 1e6 / max(1, count),
                (client_cpu() - self.client) * 1e6 / max(1, count))


def client_cpu():
    """Of all generators that have ended; members have not while they are measured."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_tool(run, command):
    done = subprocess.run(command, capture_output=True, text=True, env=run.environment(),
                          check=False)
    if done.returncode != 0:
        raise cluster.Failure(f"{' '.join(command)}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout


def figures(series, spent, share):
    """From a series of `synod bench`; `share` is the part of what was done that was measured."""
    members, client = spent.per_request(series["done"] / share)
    return {"per_second": series["per_second"], "p50_ms": series["p50_us"] / 1000,
            "p99_ms": series["p99_us"] / 1000, "p999_ms": series["p999_us"] / 1000,
            "cpu_us": members, "client_us": client}


def fill(run, system, flags):
    """Writes every key once, before anything is counted."""
    keys = flags[flags.index("--keys") + 1]
    given = [word for word in flags if word not in ("--fill", "--consistency", "l", "s")]
    synod_bench(run, system, ("put", 20, 10), 60, *given, "--total", keys, "--sequential",
                "--warmup", "0s")


def synod_bench(run, system, load, seconds, *flags, whole=False):
    """`load` is (operation, connections, streams). Its whole report if `whole`, with its one series,
    the figures, and the requests in all, those of the warm-up included."""
    operation, connections, streams = load
    if "--fill" in flags:
        fill(run, system, flags)
        flags = tuple(word for word in flags if word != "--fill")
    endpoints = ["--endpoints", system.endpoints] if "--endpoints" not in flags else []
    command = [run.binary, "bench", operation, *endpoints, "--connections", str(connections),
               "--streams", str(streams), "--duration", f"{seconds}s", "--warmup", f"{WARMUP_S}s",
               "--json", "--quiet", *flags]
    spent = Spent(system)
    report = json.loads(run_tool(run, command))
    series = list(report["operations"].values())[0]
    if series["errors"]:
        raise cluster.Failure(f"{' '.join(command)}: {report['errors']}")
    share = seconds / (seconds + WARMUP_S)
    report["series"] = series
    report["requests"] = series["done"] / share
    report["figures"] = figures(series, spent, share)
    return report if whole else report["figures"]


def zookeeper_load(run, system, load, seconds):
    operation, connections, streams = load
    command = [systems.zookeeper_load(), operation, system.endpoints, str(connections), str(streams),
               str(seconds), str(WARMUP_S)]
    spent = Spent(system)
    series = json.loads(run_tool(run, command))
    return figures(series, spent, seconds / (seconds + WARMUP_S))


def grpc_frame(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


def h2load(run, system, url, load, seconds, body=None):
    """One HTTP/2 request again and again; with a body it is a gRPC call."""
    connections, streams = load
    command = ["h2load", "-c", str(connections), "-m", str(streams), "-t", "1", "-D", str(seconds),
               f"--warm-up-time={WARMUP_S}"]
    if body is not None:
        path = os.path.join(run.folder, "h2load-body")
        with open(path, "wb") as file:
            file.write(grpc_frame(body))
        command += ["-d", path, "-H", "content-type: application/grpc", "-H", "te: trailers"]
    spent = Spent(system)
    out = run_tool(run, [*command, url])
    done = int(re.search(r"requests: .*?(\d+) done", out).group(1))
    good = int(re.search(r"status codes: (\d+) 2xx", out).group(1))
    if good == 0 or " 0 4xx, 0 5xx" not in out:
        raise cluster.Failure(f"h2load {url}: {out}")
    members, client = spent.per_request(done)
    return {"per_second": float(re.search(r", ([\d.]+) req/s", out).group(1)), "cpu_us": members,
            "client_us": client}
