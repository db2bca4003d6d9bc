#!/usr/bin/python3
"""Bad input of every kind: flags, data directories, bytes on the client port and on the peer port.

A wrong flag or directory ends the program with a message and an exit status, never with a signal.
Hostile bytes on a port may cost their sender the connection, and nobody else anything: after each
attack the member still lives and takes a write, and at the end it holds no more memory and no more
open files than such a visit is worth.
"""
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import grpc

import cluster
import etcd_api as api

# --- flags ----------------------------------------------------------------------------------------

URL = "http://127.0.0.1:{0}"
# (arguments, exit status of etcd, one of these words is in the message). {0} and {1}: free ports.
FLAGS = [
    (["--no-such-flag"], 2, ["no-such-flag"]),
    (["--name"], 2, ["name"]),
    (["--heartbeat-interval", "abc"], 2, ["abc", "heartbeat-interval"]),
    (["--heartbeat-interval=100", "--election-timeout=200"], 1, ["election"]),
    (["--election-timeout=9000000"], 1, ["election"]),
    (["leftover"], 1, ["leftover"]),
    (["--listen-client-urls", "127.0.0.1:{0}", "--advertise-client-urls", URL], None, ["127.0.0.1"]),
    (["--listen-client-urls", "ftp://127.0.0.1:{0}", "--advertise-client-urls", URL], None, ["ftp"]),
    (["--listen-client-urls", "http://127.0.0.1:99999", "--advertise-client-urls", URL], None,
     ["99999"]),
    (["--listen-client-urls", "http://no.such.host.invalid:{0}", "--advertise-client-urls", URL],
     None, ["invalid"]),
    (["--listen-client-urls", URL], 1, ["advertise-client-urls"]),
    (["--listen-peer-urls", "nonsense"], None, ["nonsense", "peer"]),
    (["--initial-cluster", "other=http://127.0.0.1:{1}"], 1, ["default", "name", "initial"]),
    (["--initial-cluster", "default=http://127.0.0.1:{1}",
      "--initial-advertise-peer-urls", "http://127.0.0.1:{0}"], 1, ["initial"]),
    (["--initial-cluster", "nonsense"], None, ["nonsense", "initial"]),
    (["--initial-cluster-state", "perhaps"], None, ["perhaps", "initial-cluster-state"]),
    (["--data-dir", "/proc/nowhere/data"], None, ["/proc/nowhere"]),
    (["--data-dir", "/dev/null"], None, ["/dev/null"]),
]


def check_flags(check, run):
    for arguments, status, words in FLAGS:
        ports = run.take_ports(2)
        given = [a.format(*ports) for a in arguments]
        base = []
        if "--listen-peer-urls" not in given:
            base += ["--listen-peer-urls", f"http://127.0.0.1:{ports[1]}"]
            if "--initial-advertise-peer-urls" not in given and "--initial-cluster" not in given:
                base += ["--initial-advertise-peer-urls", f"http://127.0.0.1:{ports[1]}",
                         "--initial-cluster", f"default=http://127.0.0.1:{ports[1]}"]
        if "--listen-client-urls" not in given:
            base += ["--listen-client-urls", f"http://127.0.0.1:{ports[0]}",
                     "--advertise-client-urls", f"http://127.0.0.1:{ports[0]}"]
        if "--data-dir" not in given:
            base += ["--data-dir", os.path.join(run.folder, "flags", str(ports[0]))]
        name = " ".join(given)[:80]
        ended(check, name, [*run.server, *base, *given], run, status, words)
    port = run.take_ports(1)[0]
    environment = {**run.environment(), "ETCD_NAME": "one"}
    ended(check, "a flag and its variable at once", [*run.server, "--name", "two", "--data-dir",
          os.path.join(run.folder, "flags", str(port))], run, 1, ["ETCD_NAME", "name"], environment)
    for flag in ("--help", "--version"):
        done = subprocess.run([run.binary, flag], capture_output=True, timeout=60,
                              env=run.environment(), check=False)
        check(f"{flag} ends with 0 and says something",
              done.returncode == 0 and len(done.stdout + done.stderr) > 10, str(done))


def ended(check, name, command, run, status, words, environment=None):
    """The command ends by itself, with a status that is not 0 and a message that names the cause."""
    process = run.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                        env=environment or run.environment())
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        check(f"refused: {name}", False, "it went on running for a minute")
        return
    text = (out + err).decode(errors="replace")
    code = process.returncode
    right = code > 0 if status is None else code == status
    check(f"refused: {name}", right and any(w.lower() in text.lower() for w in words),
          f"exit status {code} (wanted {status or 'not 0'}), wanted one of {words} in: "
          f"{text[-300:]}")


# --- data directories -----------------------------------------------------------------------------


def check_directories(check, run, made):
    victim = made.members[2]
    # Two on one directory: the second must not serve from it.
    ports = run.take_ports(2)
    second = run.spawn([*run.server, *with_ports(victim.flags(), ports)],
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    cluster.wait_until("the second on one directory to fail",
                       lambda: second.poll() is not None or run.system == "etcd")
    serves = cluster.http_get(f"http://127.0.0.1:{ports[0]}/health", 1)[0] == 200
    check("two processes on one directory: the second does not serve", not serves)
    if run.system != "etcd":  # etcd waits for the lock for ever
        text = second.stderr.read().decode(errors="replace")
        check("two processes on one directory: the second says why and ends",
              second.returncode > 0 and len(text) > 10, f"{second.returncode} {text[-200:]}")
    second.kill()
    second.wait()
    check("two processes on one directory: the first goes on", victim.alive() and victim.healthy())
    foreign_directory(check, run, made, victim)
    damaged_directories(check, run, made, victim)


def with_ports(flags, ports):
    flags = list(flags)
    for flag, port in (("--listen-client-urls", ports[0]), ("--advertise-client-urls", ports[0]),
                       ("--listen-peer-urls", ports[1])):
        flags[flags.index(flag) + 1] = f"http://127.0.0.1:{port}"
    return flags


def foreign_directory(check, run, made, victim):
    """A member of another cluster takes the place, ports and all, of one of ours."""
    other = run.cluster(size=1, name="foreign").start()
    stranger = other.members[0]
    for index in range(5):
        stranger.api.Put(api.PutRequest(key=b"foreign", value=b"%d" % index), timeout=20)
    stranger.stop()
    victim.stop()
    own = victim.data
    victim.data = stranger.data
    victim.start()
    time.sleep(2)
    status = victim.status() if victim.alive() else None
    ours = made.members[0].status(20)
    check("a foreign directory does not make a member of this cluster",
          status is None or status.header.cluster_id != ours.header.cluster_id
          or status.leader != ours.leader, str(status))
    reply = made.members[0].api.Range(api.RangeRequest(key=b"foreign"), timeout=20)
    check("nothing of the foreign directory got in", not reply.kvs)
    if victim.alive():
        victim.stop()
    else:
        check("a foreign directory is refused without a crash", victim.process.returncode > 0,
              f"status {victim.process.returncode}: {victim.log_tail(3)}")
    victim.data = own
    victim.start()
    made.wait_healthy()


def damage(folder, random):
    """One random damage to one random file; what was done, in words."""
    files = sorted(os.path.join(d, f) for d, _, names in os.walk(folder) for f in names
                   if os.path.getsize(os.path.join(d, f)) > 0)
    path = random.choice(files)
    size = os.path.getsize(path)
    kind = random.choice(["cut", "flip", "zero", "garbage", "empty", "gone"])
    with open(path, "r+b") as file:
        if kind == "cut":
            file.truncate(random.randrange(size))
        elif kind == "empty":
            file.truncate(0)
        elif kind == "flip":
            used = max(1, min(size, 65536))
            at = random.randrange(used)
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ (1 << random.randrange(8))]))
        elif kind in ("zero", "garbage"):
            count = min(size, 512)
            file.seek(random.randrange(max(1, min(size, 65536) - count + 1)))
            file.write(b"\0" * count if kind == "zero" else random.randbytes(count))
    if kind == "gone":
        os.unlink(path)
    return f"{kind} {os.path.relpath(path, folder)} of {size}"


def damaged_directories(check, run, made, victim):
    """Either it says that its directory is damaged, or it serves the same as the others."""
    refused = served = 0
    for number in range(run.arguments.damages):
        victim.stop()
        backup = victim.data + ".intact"
        shutil.rmtree(backup, ignore_errors=True)
        shutil.copytree(victim.data, backup)
        done = damage(victim.data, run.random)
        victim.start()
        end = time.monotonic() + 15
        while victim.alive() and not victim.healthy() and time.monotonic() < end:
            time.sleep(0.02)
        if victim.alive() and victim.healthy():
            served += 1
            same_content(check, f"damage {number} ({done}): serves the same as the others", made)
            continue
        if victim.alive():
            # It lives but does not serve: that is honest too, if it ends when told to.
            code = victim.stop()
            check(f"damage {number} ({done}): does not serve, and ends", code in (0, -15, 1), code)
        else:
            code = victim.process.returncode
            check(f"damage {number} ({done}): refused with a message",
                  code > 0 and victim.log_tail(), f"status {code}: {victim.log_tail(4)}")
        refused += 1
        shutil.rmtree(victim.data)
        os.rename(backup, victim.data)
        victim.start()
        made.wait_healthy()
    cluster.say(f"          {refused} refused, {served} served in spite of it")


def same_content(check, name, made):
    def hashes():
        one = [m.api.HashKV(api.HashKVRequest(), timeout=20, wait_for_ready=True)
               for m in made.members]
        return len({(h.header.revision, h.hash) for h in one}) == 1
    try:
        cluster.wait_until("equal hashes", hashes)
        check(name, True)
    except (cluster.Failure, grpc.RpcError) as error:
        check(name, False, str(error))


# --- bytes on the ports ---------------------------------------------------------------------------

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)


def frame(kind, payload=b"", flags=0, stream=0, length=None):
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """One header field in HPACK, without compression."""
    def text(part):
        if len(part) < 127:
            return bytes([len(part)]) + part
        rest, coded = len(part) - 127, b"\x7f"
        while rest >= 128:
            coded += bytes([rest % 128 + 128])
            rest //= 128
        return coded + bytes([rest]) + part
    return b"\0" + text(name) + text(value)


def request(path=b"/etcdserverpb.KV/Range", extra=()):
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path),
              (b":authority", b"x"), (b"content-type", b"application/grpc"), (b"te", b"trailers")]
    return b"".join(literal(*field) for field in [*fields, *extra])


def call(body, stream=1, path=b"/etcdserverpb.KV/Range", end=True, extra=()):
    return (frame(HEADERS, request(path, extra), 4, stream)
            + frame(DATA, body, 1 if end else 0, stream))


START = PREFACE + frame(SETTINGS)


def client_attacks(random):
    """(name, [pieces to send]): a pause between pieces."""
    yield from [(f"{n} random bytes", [random.randbytes(n)]) for n in (1, 24, 1000, 100000)]
    yield "only a part of the preface", [PREFACE[:10]]
    yield "a preface, slowly", [PREFACE[:3], PREFACE[3:20], PREFACE[20:]]
    yield "a preface and random bytes", [START + random.randbytes(5000)]
    # HTTP/1
    yield "an endless request line", [b"GET /" + b"a" * 200000]
    yield "many header lines", [b"GET /health HTTP/1.1\r\n" + b"x: y\r\n" * 50000]
    yield "a header line without end", [b"GET /health HTTP/1.1\r\nx: " + b"y" * 300000]
    yield "an unknown method", [b"SPLICE /health HTTP/1.1\r\nhost: x\r\n\r\n"]
    yield "a version of the future", [b"GET /health HTTP/9.9\r\n\r\n"]
    yield "no version", [b"GET\r\n\r\n", b"\r\n\r\n"]
    yield "bytes of zero", [b"\0" * 10000]
    yield "zeros in a header", [b"GET /health HTTP/1.1\r\nx\0y: \0\r\n\r\n"]
    yield "a negative length", [b"POST /health HTTP/1.1\r\ncontent-length: -5\r\n\r\nxxxx"]
    yield "a huge length", [b"POST /health HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\nx"]
    yield "bad chunks", [b"POST /health HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nxx"]
    yield "a thousand requests at once", [b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" * 1000]
    yield "a path that climbs", [b"GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n"]
    yield "a hello of TLS", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.randbytes(508)]
    # HTTP/2 frames
    yield "settings of a wrong size", [START + frame(SETTINGS, b"12345")]
    yield "settings on a stream", [START + frame(SETTINGS, b"", 0, 1)]
    yield "settings that forbid everything", [
        PREFACE + frame(SETTINGS, struct.pack(">HI", 4, 0) + struct.pack(">HI", 5, 16384)) + call(
            b"\0\0\0\0\3\x0a\1x")]
    yield "a window too large", [START + frame(SETTINGS, struct.pack(">HI", 4, 0xffffffff))]
    yield "ten thousand settings", [START + frame(SETTINGS, struct.pack(">HI", 3, 7)) * 10000]
    yield "ten thousand pings", [START + frame(PING, b"12345678") * 10000]
    yield "a ping of a wrong size", [START + frame(PING, b"123")]
    yield "a window update of nothing", [START + frame(WINDOW, b"\0\0\0\0")]
    yield "a window that overflows", [START + frame(WINDOW, b"\x7f\xff\xff\xff") * 3]
    yield "data on no stream", [START + frame(DATA, b"x", 0, 0)]
    yield "data on a stream that is not open", [START + frame(DATA, b"x", 0, 5)]
    yield "headers on an even stream", [START + frame(HEADERS, request(), 5, 2)]
    yield "headers of garbage", [START + frame(HEADERS, random.randbytes(200), 5, 1)]
    yield "an index that is not there", [START + frame(HEADERS, b"\xff\xff\xff\x7f", 5, 1)]
    yield "a header table of 2 GiB", [START + frame(HEADERS, b"\x3f\xff\xff\xff\xff\x07", 5, 1)]
    yield "a frame too large", [START + frame(DATA, b"", 0, 1, 0xffffff) + b"x" * 100000]
    yield "padding larger than the frame", [START + frame(HEADERS, b"\xff" + request(), 0x0d, 1)]
    yield "headers that go on and on", [
        START + frame(HEADERS, request(), 0, 1)
        + frame(CONTINUATION, literal(b"x", b"y" * 1000) * 10, 0, 1) * 500]
    yield "another frame between headers", [START + frame(HEADERS, request(), 0, 1)
                                            + frame(PING, b"12345678")]
    yield "a stream that depends on itself", [START + frame(PRIORITY, b"\0\0\0\1\x10", 0, 1) * 1000]
    yield "a promise from a client", [START + frame(PUSH, b"\0\0\0\2" + request(), 4, 1)]
    yield "goaway, then requests", [START + frame(GOAWAY, b"\0" * 8) + call(b"\0\0\0\0\0")]
    yield "frames of unknown kinds", [START + b"".join(
        frame(kind, b"abc", kind, kind) for kind in range(10, 256))]
    yield "streams reset as soon as opened", [START + b"".join(
        frame(HEADERS, request(), 4, i) + frame(RST, b"\0\0\0\x08", 0, i)
        for i in range(1, 20001, 2))]
    yield "calls reset as soon as made", [START + b"".join(
        call(b"\0\0\0\0\5\x0a\3key", i) + frame(RST, b"\0\0\0\x08", 0, i)
        for i in range(1, 10001, 2))]
    yield "two thousand streams left open", [START + b"".join(
        frame(HEADERS, request(b"/etcdserverpb.Watch/Watch"), 4, i) for i in range(1, 4001, 2))]
    yield "window updates of one byte each", [START + call(b"\0\0\0\0\0")
                                              + frame(WINDOW, b"\0\0\0\1", 0, 1) * 5000]
    # gRPC
    for path in (b"/etcdserverpb.KV/Txn", b"/etcdserverpb.Watch/Watch",
                 b"/etcdserverpb.Lease/LeaseKeepAlive", b"/", b"", b"*", b"/a" * 3000):
        shown = path[:40].decode()
        yield f"a message cut short on {shown}", [START + call(b"\0\0\0\0\x64abc", path=path)]
        yield f"random messages on {shown}", [START + b"".join(
            call(b"\0" + struct.pack(">I", 60) + random.randbytes(60), i, path)
            for i in range(1, 100, 2))]
    yield "a length of 4 GiB", [START + call(b"\0\xff\xff\xff\xffabc", end=False) + b"", b"x" * 1000]
    yield "a compressed message", [START + call(b"\1\0\0\0\3abc")]
    yield "only a part of the length", [START + call(b"\0\0\0")]
    yield "many empty messages", [START + call(b"\0\0\0\0\0" * 3000)]
    yield "no body at all", [START + frame(HEADERS, request(), 5, 1)]
    yield "a deadline of nonsense", [START + call(b"\0\0\0\0\0", extra=[(b"grpc-timeout", b"x" * 99)])]
    yield "a deadline of a century", [START + call(b"\0\0\0\0\0",
                                                   extra=[(b"grpc-timeout", b"99999999H")])]
    yield "capital letters and blanks in headers", [START + call(b"\0\0\0\0\0", extra=[
        (b"Bad Name", b"\r\n\0")])]
    yield "an unknown content type", [START + frame(
        HEADERS, request().replace(b"application/grpc", b"application/what"), 5, 1)]
    deep = b""
    for _ in range(1500):
        deep = field(2, field(4, deep))
        if len(deep) > 60000:
            break
    yield "a transaction nested very deep", [START + frame(
        HEADERS, request(b"/etcdserverpb.KV/Txn"), 4, 1) + chunks(
            b"\0" + struct.pack(">I", len(deep)) + deep)]


def field(number, payload):
    """A protobuf field of bytes."""
    size, coded = len(payload), b""
    while size >= 128:
        coded += bytes([size % 128 + 128])
        size //= 128
    return bytes([number << 3 | 2]) + coded + bytes([size]) + payload


def chunks(body):
    pieces = [body[i:i + 16000] for i in range(0, len(body), 16000)]
    return b"".join(frame(DATA, p, p is pieces[-1], 1) for p in pieces)


def peer_attacks(random):
    yield from [(f"{n} random bytes", [random.randbytes(n)]) for n in (1, 8, 64, 1000, 100000)]
    yield "a request of HTTP/1", [b"GET /members HTTP/1.1\r\nhost: x\r\n\r\n"]
    yield "a preface of HTTP/2", [START + random.randbytes(100)]
    yield "zeros", [b"\0" * 100000]
    yield "ones", [b"\xff" * 100000]
    for size in (0, 1, 0xffff, 0x7fffffff, 0xffffffff):
        for order in ("<", ">"):
            yield f"a length of {size} ({order})", [struct.pack(order + "I", size) + b"x" * 100]


def attack(port, pieces):
    """Sends; reads what comes for a moment; goes away without a word."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as made:
            # What an honest client would say back must not keep the attack from being sent.
            reader = threading.Thread(target=drain, args=(made,), daemon=True)
            reader.start()
            for index, piece in enumerate(pieces):
                if index:
                    time.sleep(0.05)
                made.sendall(piece)
            time.sleep(0.03)
            made.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it threw us out: its right


def drain(made):
    try:
        made.settimeout(2)
        while made.recv(65536):
            pass
    except OSError:
        pass


def overheard(made, target):
    """What the other members say to this one when they dial it: somebody else listens in its place."""
    target.stop()
    heard = []
    with socket.create_server(("127.0.0.1", target.peer_port)) as listener:
        listener.settimeout(60)
        while len(heard) < 4:
            with listener.accept()[0] as one:
                one.settimeout(2)
                try:
                    heard.append(one.recv(4096))
                except OSError:
                    pass
    target.start()
    made.wait_healthy()
    return [words for words in heard if words]


def changed(words, random):
    """The words of a member with some bytes changed, once or twice, and perhaps noise behind them."""
    said = bytearray(words)
    for _ in range(random.randrange(4)):
        said[random.randrange(len(said))] = random.randrange(256)
    return bytes(said) * random.randrange(1, 3) + random.randbytes(random.choice([0, 0, 20, 500]))


def still_serves(made, target):
    """None, or what is wrong."""
    for member in made.members:
        if not member.alive():
            return (f"{member.name} ended with status {member.process.returncode}:\n"
                    f"{member.log_tail(30)}")
    try:
        value = b"%d" % time.monotonic_ns()
        with api.Api(target.endpoint) as one:
            one.Put(api.PutRequest(key=b"serves", value=value), timeout=20)
            reply = one.Range(api.RangeRequest(key=b"serves"), timeout=20)
        return None if reply.kvs[0].value == value else f"it answers {reply}"
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"


def open_files(member):
    return len(os.listdir(f"/proc/{member.process.pid}/fd"))


def check_ports(check, run, made):
    target = made.members[0]
    words = overheard(made, target)
    still_serves(made, target)
    time.sleep(1)
    files = open_files(target)
    memory = cluster.resident_bytes(target.process.pid)
    for name, pieces in client_attacks(run.random):
        attack(target.client_port, pieces)
        wrong = still_serves(made, target)
        check(f"client port: {name}", wrong is None, wrong)
        if not target.alive():
            raise cluster.Failure(f"the member did not survive on its client port: {name}")
    for name, pieces in peer_attacks(run.random):
        attack(target.peer_port, pieces)
        wrong = still_serves(made, target)
        check(f"peer port: {name}", wrong is None, wrong)
        if not target.alive():
            raise cluster.Failure(f"the member did not survive on its peer port: {name}")
    check("members say something when they dial", words)
    for _ in range(100 if words else 0):
        attack(target.peer_port, [changed(run.random.choice(words), run.random)])
    wrong = still_serves(made, target)
    check("peer port: a member's words, changed", wrong is None, wrong)
    check_calls(check, run, made, target)
    check_crowd(check, made, target)
    cluster.wait_until("the files of gone visitors to be closed",
                       lambda: open_files(target) <= files + 8, 90, 0.2)
    check("no file stays open", True)
    now = cluster.resident_bytes(target.process.pid)
    cluster.say(f"          resident {memory >> 20} MiB before, {now >> 20} MiB after")
    check("memory is bounded", run.arguments.sanitized or now < memory + (96 << 20),
          f"{memory >> 20} MiB before, {now >> 20} MiB after")
    same_content(check, "all members still hold the same", made)


def check_calls(check, run, made, target):
    """Well-formed gRPC around messages that are mutations of good ones."""
    random = run.random
    good = [api.PutRequest(key=b"k", value=b"v" * 50), api.RangeRequest(key=b"a", range_end=b"b"),
            api.TxnRequest(compare=[api.Compare(key=b"k", version=1)],
                           success=[api.RequestOp(request_put=api.PutRequest(key=b"x"))]),
            api.LeaseGrantRequest(TTL=100), api.DeleteRangeRequest(key=b"nothing")]
    paths = [path for path, _, _, kind in api.METHODS.values() if kind == "unary_unary"
             and not any(w in path for w in ("MoveLeader", "Alarm", "Defragment", "Compact",
                                             "AuthEnable", "MemberAdd", "Lock"))]
    answered = 0
    with api.Api(target.endpoint) as one:
        for _ in range(run.arguments.calls):
            body = bytearray(random.choice(good).SerializeToString())
            for _ in range(random.randrange(1, 6)):
                at = random.randrange(len(body) + 1)
                change = random.randrange(3)
                if change == 0 and at < len(body):
                    body[at] ^= 1 << random.randrange(8)
                elif change == 1:
                    body[at:at] = random.randbytes(random.randrange(1, 9))
                else:
                    del body[at:at + random.randrange(9)]
                body = body or bytearray(b"\0")
            raw = one.channel.unary_unary("/" + random.choice(paths), bytes, bytes)
            try:
                raw(bytes(body), timeout=30)
                answered += 1
            except grpc.RpcError as error:
                if error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED,
                                    grpc.StatusCode.UNAVAILABLE):
                    check("a mutated message is answered", False,
                          f"{error.code().name} {error.details()} for {bytes(body)!r}")
    wrong = still_serves(made, target)
    check(f"{run.arguments.calls} mutated messages ({answered} accepted)", wrong is None, wrong)
    for size in (2 << 20, 8 << 20):
        with api.Api(target.endpoint) as one:
            try:
                one.Put(api.PutRequest(key=b"large", value=b"x" * size), timeout=30)
                check(f"a message of {size >> 20} MiB is refused", False, "it was taken")
            except grpc.RpcError as error:
                check(f"a message of {size >> 20} MiB is refused",
                      error.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED,
                                       grpc.StatusCode.INVALID_ARGUMENT),
                      f"{error.code().name} {error.details()}")


def check_crowd(check, made, target):
    """Three hundred connections that say nothing, or half a word."""
    crowd = []
    try:
        for index in range(300):
            one = socket.create_connection(("127.0.0.1", target.client_port), timeout=20)
            crowd.append(one)
            one.sendall([b"", PREFACE[:7], START, b"GET /hea"][index % 4])
        wrong = still_serves(made, target)
        check("a crowd of silent connections", wrong is None, wrong)
    finally:
        for one in crowd:
            # Half of them leave with a reset.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()


def test(run):
    check = cluster.Checks()
    check_flags(check, run)
    made = run.cluster().start()
    for index in range(300):
        made.members[index % 3].api.Put(api.PutRequest(key=b"bad/%d" % (index % 50),
                                                       value=b"v" * 200), timeout=20)
    check_ports(check, run, made)
    check_directories(check, run, made)
    for member in made.members:
        code = member.stop()
        check.equal(f"{member.name} ends as it is told to", code, -signal.SIGTERM)
    check.finish()


if __name__ == "__main__":
    parser = cluster.parser(__doc__)
    parser.add_argument("--damages", type=int, default=cluster.by_level(4, 12, 300),
                        help="how many damaged data directories to try")
    parser.add_argument("--calls", type=int, default=cluster.by_level(200, 1000, 100000),
                        help="how many mutated messages to send")
    parser.add_argument("--sanitized", action="store_true",
                        help="the binary has a sanitizer: its memory says nothing")
    cluster.main(test, parser.parse_args(sys.argv[1:]))
