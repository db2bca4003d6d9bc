#!/usr/bin/python3
"""A TCP proxy that does to connections what networks do to them: cut, delay, throttle, cut one way,
accept and say nothing, reset, corrupt, replay.

Every party (a member, or a group of clients) has a name. A *line* leads from one party to another and
carries every byte that the first one says to the second, whoever of them made the connection. A *link*
is the connections that the one made to the other. Members dial the same port, so the proxy finds out
which of them did by the process that holds the other end of the connection.

The one invariant: bytes of a connection arrive in order and unchanged, or the connection is reset;
only `corrupt` breaks this, and it was asked to.

`FaultProxy` starts this file as a process of its own (the tests' clients shall not wait for it, nor it
for them) and speaks to it in JSON lines: a command on its standard input, an answer on its output.
"""
import collections
import json
import os
import random
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time

CHUNK = 64 * 1024
THROTTLED_CHUNK = 2 * 1024
THROTTLED_QUEUE_MAX = 16 * 1024
QUEUE_MAX = 256 * 1024   # what a pipe holds before it stops reading
KEPT_MAX = 64 * 1024     # the first bytes of a connection, to be replayed
IDENTIFY_SECONDS = 5.0
NOWHERE = float("inf")


# --- the proxy's own process ----------------------------------------------------------------------


class Line:
    """What happens to the bytes from one party to another."""

    def __init__(self):
        self.heal()
        self.corrupt = 0

    def heal(self):
        self.flow = "pass"  # or hold: they wait; or drop: they are swallowed
        self.delay = self.jitter = self.rate = 0.0


class Pipe:
    """One direction of one connection."""

    def __init__(self, connection, line):
        self.connection, self.line = connection, line
        self.source = self.sink = None
        self.queue = collections.deque()  # (when due, bytes)
        self.queued = 0
        self.last_due = 0.0
        self.end = None        # "end" or "reset": comes after what is queued
        self.finished = False  # the end was delivered, or nobody is there to take it
        self.blocked = False   # the sink takes nothing at the moment

    def wants_input(self):
        most = THROTTLED_QUEUE_MAX if self.line.rate else QUEUE_MAX
        return (self.end is None and not self.finished and self.queued < most
                and self.source is not None)

    def take(self, proxy, data):
        line = self.line
        proxy.counts["bytes"] += len(data)
        if line.flow == "drop":
            self.connection.lost = True
            proxy.counts["dropped"] += len(data)
            return
        if line.corrupt > 0:
            line.corrupt -= 1
            proxy.counts["corrupted"] += 1
            at = proxy.random.randrange(len(data))
            data = (data[:at] + bytes([data[at] ^ 1 << proxy.random.randrange(8)])
                    + data[at + 1:])
        due = 0.0
        if line.delay or line.jitter or line.rate:
            now = time.monotonic()
            due = max(self.last_due, now + line.delay + line.jitter * proxy.random.random())
            if line.rate:
                due = max(due, max(self.last_due, now) + len(data) / line.rate)
        self.last_due = max(self.last_due, due)
        self.queue.append((self.last_due, data))
        self.queued += len(data)

    def move(self):
        """Hands on what is due. Returns when to come again: a time, or NOWHERE."""
        if self.finished or self.sink is None or self.line.flow != "pass" or self.blocked:
            return NOWHERE
        now = None
        while self.queue:
            due, data = self.queue[0]
            if due:
                now = time.monotonic() if now is None else now
                if due > now:
                    return due
            try:
                sent = self.sink.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.connection.died(self.sink)
                return NOWHERE
            self.queued -= sent
            if sent < len(data):
                self.queue[0] = (due, data[sent:])
                self.blocked = True
                return NOWHERE
            self.queue.popleft()
        if self.end is not None:
            self.finished = True
            self.connection.deliver_end(self)
        return NOWHERE


class Connection:
    """Accepted from a dialer; `near` is the socket to it, `far` the one to its target."""

    def __init__(self, proxy, near, listener):
        self.proxy, self.near, self.listener = proxy, near, listener
        self.dialer, self.target = None, listener.target
        self.far = None
        self.far_connected = False
        self.to_far = self.to_near = None
        self.kept = b""
        self.lost = False
        self.silent = False
        self.closed = False
        self.until = time.monotonic() + IDENTIFY_SECONDS

    def named(self, dialer):
        self.dialer = dialer
        self.to_far = Pipe(self, self.proxy.line(dialer, self.target))
        self.to_near = Pipe(self, self.proxy.line(self.target, dialer))
        self.to_far.source = self.near
        self.to_near.sink = self.near
        accept = self.proxy.accepts.get((dialer, self.target), "pass")
        if accept == "reset":
            self.close(True)
        self.silent = accept == "silent"
        self.proxy.counts["connections"] += not self.closed

    def pipes(self):
        return (self.to_far, self.to_near) if self.to_far else ()

    def dial(self):
        """A connection is made when packets pass in both directions, not before."""
        if (self.closed or self.silent or self.far is not None or self.to_far is None
                or any(p.line.flow != "pass" for p in self.pipes())):
            return
        self.far = tcp_socket()
        try:
            self.far.connect(self.listener.to)
        except BlockingIOError:
            pass
        except OSError:
            self.close(True)
            return
        self.to_far.sink = self.to_near.source = self.far
        self.to_far.blocked = True  # until it is established

    def ready(self, sock, mask):
        if mask & selectors.EVENT_WRITE:
            if sock is self.far and not self.far_connected:
                if self.far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0:
                    self.died(self.far)
                    return
                self.far_connected = True
            (self.to_far if sock is self.far else self.to_near).blocked = False
        if mask & selectors.EVENT_READ and not self.closed:
            self.read(self.to_far if sock is self.near else self.to_near)

    def read(self, pipe):
        if not pipe.wants_input():
            return
        try:
            data = pipe.source.recv(THROTTLED_CHUNK if pipe.line.rate else CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.died(pipe.source)
            return
        if not data:
            pipe.end = "end"
            return
        if pipe is self.to_far and len(self.kept) < KEPT_MAX:
            self.kept += data[:KEPT_MAX - len(self.kept)]
        pipe.take(self.proxy, data)

    def died(self, sock):
        """This end is gone; the other one hears of it as soon as the line lets it."""
        gone, left = ((self.to_far, self.to_near) if sock is self.near
                      else (self.to_near, self.to_far))
        gone.end = gone.end or "reset"
        left.finished = True
        left.queue.clear()
        left.queued = 0
        if gone.finished:
            self.close(True)

    def deliver_end(self, pipe):
        if pipe.end == "reset" or all(p.finished for p in self.pipes()):
            self.close(pipe.end == "reset")
            return
        try:
            pipe.sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.died(pipe.sink)

    def close(self, reset):
        if self.closed:
            return
        self.closed = True
        for sock in (self.near, self.far):
            if sock is not None:
                self.proxy.unwatch(sock)
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
        self.proxy.connections.discard(self)

    def watch(self):
        """What to wait for on both sockets."""
        if self.closed or self.to_far is None:
            return
        for sock, source, sink in ((self.near, self.to_far, self.to_near),
                                   (self.far, self.to_near, self.to_far)):
            if sock is None:
                continue
            mask = 0
            if source.wants_input() and source.line.flow != "hold" and (
                    self.far_connected or source.line.flow == "drop"):
                mask |= selectors.EVENT_READ
            if sink.blocked and not sink.finished:
                mask |= selectors.EVENT_WRITE
            self.proxy.watch(sock, mask, self)


class Listener:
    def __init__(self, target, to, port, dialer):
        self.target, self.to, self.dialer = target, tuple(to), dialer
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("127.0.0.1", port))
        self.sock.listen(128)
        self.sock.setblocking(False)


def tcp_socket(sock=None):
    made = socket.socket() if sock is None else sock
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def process_of(pids, connection):
    """The name in `pids` ({pid: name}) whose process holds the other end; None: not found yet."""
    try:
        here, there = connection.near.getsockname()[1], connection.near.getpeername()[1]
    except OSError:
        return None
    wanted = (f"0100007F:{there:04X}", f"0100007F:{here:04X}")
    with open("/proc/net/tcp", encoding="ascii") as table:
        inode = next((f[9] for f in map(str.split, table) if (f[1], f[2]) == wanted), "0")
    for pid, name in reversed(pids.items()):
        try:
            for entry in os.scandir(f"/proc/{pid}/fd"):
                if os.readlink(entry.path) == f"socket:[{inode}]":
                    return name
        except OSError:
            pass  # it ended, or closed that file just now
    return None


class Proxy:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.selector = selectors.DefaultSelector()
        self.masks = {}
        self.lines, self.accepts, self.pids = {}, {}, {}
        self.listeners, self.connections, self.replays = [], set(), []
        self.counts = collections.Counter(connections=0, bytes=0, dropped=0, corrupted=0, resets=0,
                                          replays=0, unnamed=0)
        self.commands = b""

    def line(self, source, sink):
        return self.lines.setdefault((source, sink), Line())

    def watch(self, sock, mask, data):
        if self.masks.get(sock, 0) == mask:
            return
        if mask == 0:
            self.selector.unregister(sock)
            del self.masks[sock]
        elif sock in self.masks:
            self.selector.modify(sock, mask, data)
            self.masks[sock] = mask
        else:
            self.selector.register(sock, mask, data)
            self.masks[sock] = mask

    def unwatch(self, sock):
        if self.masks.pop(sock, 0):
            self.selector.unregister(sock)

    # --- commands

    def do_listen(self, target, to, port, dialer=None):
        made = Listener(target, to, port, dialer)
        self.listeners.append(made)
        self.watch(made.sock, selectors.EVENT_READ, made)

    def do_party(self, pid, name):
        self.pids[pid] = name

    def do_set(self, source, sink, **settings):
        line = self.line(source, sink)
        was = line.flow
        for name, value in settings.items():
            assert name in ("flow", "delay", "jitter", "rate")
            setattr(line, name, value)
        self.healed(line, was)

    def healed(self, line, was):
        """What was delayed before is not delayed any more; what was lost shows."""
        if not (line.delay or line.jitter or line.rate):
            for one in self.connections:
                for pipe in one.pipes():
                    if pipe.line is line and pipe.queue:
                        pipe.queue = collections.deque((0.0, data) for _, data in pipe.queue)
                        pipe.last_due = 0.0
        if was == "drop" and line.flow == "pass":
            for one in [c for c in self.connections if c.lost]:
                if any(p.line is line for p in one.pipes()):
                    one.close(True)
                    self.counts["resets"] += 1

    def do_accept(self, dialer, target, how):
        self.accepts[dialer, target] = how
        for one in list(self.connections):
            # The silent ones would stay so for ever: nobody gives up a connection that is up.
            if (one.dialer, one.target) == (dialer, target) and one.silent:
                one.close(True)

    def do_heal(self):
        for line in self.lines.values():
            was = line.flow
            line.heal()
            line.corrupt = 0
            self.healed(line, was)
        for dialer, target in list(self.accepts):
            self.do_accept(dialer, target, "pass")

    def do_reset(self, dialer, target):
        found = [c for c in self.connections if (c.dialer, c.target) == (dialer, target)]
        for one in found:
            one.close(True)
        self.counts["resets"] += len(found)
        return len(found)

    def do_corrupt(self, source, sink, count=1):
        self.line(source, sink).corrupt += count

    def do_replay(self, dialer, target, seconds=0.5):
        """Another connection like the newest one of this link: says what that one said at first."""
        found = [c for c in self.connections if (c.dialer, c.target) == (dialer, target)
                 and c.kept and c.far_connected]
        if not found:
            return 0
        chosen = max(found, key=lambda c: c.until)
        try:
            made = socket.create_connection(chosen.listener.to, timeout=1)
            made.settimeout(1)
            made.sendall(chosen.kept)
        except OSError:
            return 0
        self.replays.append((time.monotonic() + seconds, made))
        self.counts["replays"] += 1
        return len(chosen.kept)

    def do_stats(self):
        return dict(self.counts, open=len(self.connections))

    def command(self):
        data = os.read(0, 65536)
        if not data:
            sys.exit(0)
        *whole, self.commands = (self.commands + data).split(b"\n")
        for text in whole:
            asked = json.loads(text)
            try:
                answer = {"value": getattr(self, "do_" + asked.pop("do"))(**asked)}
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            os.write(1, json.dumps(answer).encode() + b"\n")

    # --- the loop

    def accept(self, listener):
        try:
            sock, _ = listener.sock.accept()
        except OSError:
            return
        made = Connection(self, tcp_socket(sock), listener)
        self.connections.add(made)
        if listener.dialer is not None:
            made.named(listener.dialer)

    def identify(self, connection, now):
        name = process_of(self.pids, connection)
        if name is not None:
            connection.named(name)
        elif now > connection.until:
            self.counts["unnamed"] += 1
            connection.close(True)

    def turn(self):
        """Moves what can be moved; returns how long to wait for sockets."""
        now, next_time = time.monotonic(), NOWHERE
        for one in list(self.connections):
            if one.to_far is None:
                self.identify(one, now)
                if one.to_far is None:
                    next_time = min(next_time, now + 0.01)
                    continue
            if one.far is None:
                one.dial()
            for pipe in one.pipes():
                if not one.closed:
                    next_time = min(next_time, pipe.move())
            one.watch()
        for due, sock in self.replays:
            if due <= now:
                sock.close()
        self.replays = [r for r in self.replays if r[0] > now]
        next_time = min([next_time, *(r[0] for r in self.replays)])
        return None if next_time == NOWHERE else max(0.0, next_time - time.monotonic())

    def run(self):
        self.selector.register(0, selectors.EVENT_READ, None)
        while True:
            for key, mask in self.selector.select(self.turn()):
                if key.data is None:
                    self.command()
                elif isinstance(key.data, Listener):
                    self.accept(key.data)
                elif not key.data.closed:
                    key.data.ready(key.fileobj, mask)


# --- its handle in a test -------------------------------------------------------------------------


class FaultProxy:
    """Commands to a proxy process that `run` (a cluster.Run) owns. All methods are done on return."""

    def __init__(self, run):
        self.lock = threading.Lock()
        self.process = run.spawn([sys.executable, os.path.abspath(__file__),
                                  str(run.random.randrange(1 << 30))],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def call(self, what, **arguments):
        with self.lock:
            self.process.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the fault proxy ended with status {self.process.wait()}")
        answer = json.loads(answer)
        if "error" in answer:
            raise RuntimeError(f"the fault proxy: {what} {arguments}: {answer['error']}")
        return answer["value"]

    def listen(self, target, port, proxy_port, dialer=None):
        """Takes connections for `target`, a party that really listens on `port`. Without a dialer's
        name whoever dials is found out by its process: see `party`."""
        self.call("listen", target=target, to=["127.0.0.1", port], port=proxy_port, dialer=dialer)

    def party(self, name, pid):
        self.call("party", name=name, pid=pid)

    def cut(self, source, sink, flow="hold"):
        """No byte of one arrives at the other. hold: they come later, all at once; drop: they are
        lost, and so are their connections when the line is healed."""
        self.call("set", source=source, sink=sink, flow=flow)

    def slow(self, source, sink, delay=0.0, jitter=0.0, rate=0):
        """Seconds of delay; up to so many more, by chance; bytes in a second (0: as many as come)."""
        self.call("set", source=source, sink=sink, delay=delay, jitter=jitter, rate=rate)

    def mend(self, source, sink):
        self.call("set", source=source, sink=sink, flow="pass", delay=0, jitter=0, rate=0)

    def accept(self, dialer, target, how):
        """New connections of a link: pass; reset; silent (they are taken, and that is all)."""
        self.call("accept", dialer=dialer, target=target, how=how)

    def reset(self, dialer, target):
        """Ends the connections of a link with a reset at both ends; returns how many."""
        return self.call("reset", dialer=dialer, target=target)

    def corrupt(self, source, sink, count=1):
        """Flips a bit in each of the next `count` reads of that line."""
        self.call("corrupt", source=source, sink=sink, count=count)

    def replay(self, dialer, target):
        """A second connection that says again what the first one said; returns how many bytes."""
        return self.call("replay", dialer=dialer, target=target)

    def heal(self):
        self.call("heal")

    def stats(self):
        return self.call("stats")

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


if __name__ == "__main__":
    Proxy(int(sys.argv[1]) if len(sys.argv) > 1 else 0).run()
