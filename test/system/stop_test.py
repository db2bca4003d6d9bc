#!/usr/bin/python3
"""Stopping politely, and the plain HTTP answers.

SIGTERM to the leader hands the leadership over before the process ends: writes through another
member hardly notice, the term grows by one, and the process dies by the very signal, as etcd does.
"""
import json
import re
import signal
import sys
import time

import grpc

import cluster
import etcd_api as api


def check_http(check, member, system):
    status, body = cluster.http_get(member.client_url + "/health")
    check.equal("/health is 200", status, 200)
    check.equal("/health says true", json.loads(body).get("health"), "true")
    status, body = cluster.http_get(member.client_url + "/version")
    check.equal("/version is 200", status, 200)
    check("/version names server and cluster version",
          {"etcdserver", "etcdcluster"} <= set(json.loads(body)), body)
    status, body = cluster.http_get(member.client_url + "/metrics")
    check.equal("/metrics is 200", status, 200)
    broken = [line for line in body.splitlines()
              if line and not re.match(r"#|[a-zA-Z_:][\w:]*(\{.*\})? \S+$", line)]
    check("/metrics is Prometheus text", body and not broken, str(broken[:3]))
    check("/metrics tells whether there is a leader", "etcd_server_has_leader 1" in body)
    check.equal("an unknown path is 404", cluster.http_get(member.client_url + "/nothing")[0], 404)
    if system == "etcd":
        return  # Debian's etcd 3.4 has no /livez and /readyz yet
    for path in ("/livez", "/readyz"):
        status, body = cluster.http_get(member.client_url + path)
        check.equal(f"{path} answers ok", (status, body), (200, "ok\n"))
        status, body = cluster.http_get(member.client_url + path + "?verbose")
        check(f"{path}?verbose lists its checks", status == 200 and "[+]" in body, body)


def stop_leader(check, made, number):
    """Returns by how much the term grew."""
    leader = made.leader()
    others = [m for m in made.members if m is not leader]
    before = others[0].status(20)
    began = time.monotonic()
    leader.process.send_signal(number)

    def new_leader():
        found = made.leader_now()
        return found if found in others else None
    found = cluster.wait_until("another leader", new_leader, 60, 0.005)
    seconds = time.monotonic() - began
    after = found.status(20)
    code = leader.stop(number)
    name = signal.Signals(number).name
    cluster.say(f"          {name}: {found.name} leads {seconds * 1000:.0f} ms later, "
                f"process ended {(time.monotonic() - began) * 1000:.0f} ms later")
    check.equal(f"the leader died by {name}", code, -number)
    try:
        found.api.Put(api.PutRequest(key=b"after", value=name.encode()), timeout=20)
        wrote = True
    except grpc.RpcError as error:
        wrote = error.details()
    check.equal(f"{name}: two members take writes", wrote, True)
    leader.start()
    made.wait_healthy()
    reply = leader.api.Range(api.RangeRequest(key=b"after"), timeout=20,
                             wait_for_ready=True)
    check.equal(f"{name}: the member is back and has caught up", reply.kvs[0].value, name.encode())
    return after.raftTerm - before.raftTerm


def stop_leader_politely(check, made, number):
    """On a busy machine the one that was asked to lead may be late, and another election needed: but
    not again and again."""
    grown = [stop_leader(check, made, number)]
    while grown[-1] != 1 and len(grown) < 5:
        grown.append(stop_leader(check, made, number))
    check.equal(f"{signal.Signals(number).name}: the term grew by one", grown[-1], 1)


def test(run):
    check = cluster.Checks()
    made = run.cluster().start()
    for member in made.members[:2]:
        check_http(check, member, run.system)
    follower = [m for m in made.members if m is not made.leader()][0]
    check.equal("a follower stops by SIGTERM", follower.stop(signal.SIGTERM), -signal.SIGTERM)
    follower.start()
    made.wait_healthy()
    stop_leader_politely(check, made, signal.SIGTERM)
    stop_leader_politely(check, made, signal.SIGINT)
    for member in made.members:
        member.send(signal.SIGTERM)
    check.equal("all stop when all are told to",
                [m.stop(signal.SIGTERM) for m in made.members], [-signal.SIGTERM] * 3)
    check.finish()


if __name__ == "__main__":
    cluster.main(test, cluster.parser(__doc__).parse_args(sys.argv[1:]))
