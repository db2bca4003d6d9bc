#!/usr/bin/python3
"""etcdctl says the same to synod as to etcd.

Runs a long list of etcdctl commands against a real three-member etcd and against a three-member
synod, both from an empty store, and compares exit status, stdout and stderr. What may differ is
replaced first: ids, ports, terms and log indexes, times, sizes, versions, hash values (which must be
equal among synod's members). Revisions may not differ. What differs by design (auth, snapshot files
that etcd's tools open) is not asked; nor what Debian's etcd 3.4 does wrong: a transaction that writes
and fails in a read leaves its members at different revisions. grpc_semantics.py has these.

A line of CASES is one case: etcdctl's arguments, then, after ` << `, what it reads (\\n is a new
line). `~N` in front: a command that does not end by itself; it is interrupted when it has printed N
lines. `+NAME` in front: not run, but called, from the functions below. {rev}, {rev-2}: the revision
before this line; {mark}: the one at the last `+mark`; {lease1}: the first lease granted;
{m2}: the id of member 2.
"""
import difflib
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time

import cluster
import etcd_api as api

CASES = r"""
put a 1
put a 2
put b hello --prev-kv
put b world --prev-kv
put b world --prev-kv -w json
put c << from stdin
put c --prev-kv << two\nlines
put -- -dash value
put empty ''
put k1 v1 -w simple
put k1 v1 -w json
put k1 v1 -w fields
put k1 v1 -w protobuf
put k1 v1 --hex
put k1 v2 -w fields --prev-kv
put k1 v3 -w protobuf --prev-kv
get a
get a -w simple
get a -w json
get a -w fields
get a -w protobuf
get a --hex
get a --hex -w json
get a -w table
get c
get c -w json
get empty
get empty -w json
get missing
get missing -w json
get missing -w fields
get a --print-value-only
get a c
get a c --print-value-only
get a c --limit=1
get a --from-key
get a --from-key --limit=3
get b --from-key -w json
get '' --from-key
get '' --prefix
get '' --prefix --limit=2 -w json
get b a
get z a
get a a
get k --prefix
get k --prefix --keys-only
get k --prefix --keys-only -w json
get k --prefix --count-only
get '' --prefix --count-only
get '' --prefix --count-only -w json
get '' --prefix --count-only -w fields
get '' --prefix --keys-only --limit=2 -w json
get '' --prefix --limit=2 -w fields
get a --consistency=s
get a --consistency=l
get a --consistency=s -w json
get a --consistency=x
put s/b banana
put s/a cherry
put s/a cherry
put s/a cherry
put s/d apple
put s/d apple
put s/d apple
put s/d apple
put s/c dates
put s/c elder
get s/ --prefix
get s/ --prefix --sort-by=KEY
get s/ --prefix --sort-by=KEY --order=ASCEND
get s/ --prefix --sort-by=KEY --order=DESCEND
get s/ --prefix --sort-by=CREATE
get s/ --prefix --sort-by=CREATE --order=ASCEND
get s/ --prefix --sort-by=CREATE --order=DESCEND
get s/ --prefix --sort-by=MODIFY
get s/ --prefix --sort-by=MODIFY --order=ASCEND
get s/ --prefix --sort-by=MODIFY --order=DESCEND
get s/ --prefix --sort-by=VERSION
get s/ --prefix --sort-by=VERSION --order=ASCEND
get s/ --prefix --sort-by=VERSION --order=DESCEND
get s/ --prefix --sort-by=VALUE
get s/ --prefix --sort-by=VALUE --order=ASCEND
get s/ --prefix --sort-by=VALUE --order=DESCEND
get s/ --prefix --sort-by=VALUE --order=DESCEND --limit=2 -w json
get s/ --prefix --order=DESCEND --limit=1
get s/ --prefix --sort-by=WEIGHT
get s/ --prefix --order=SIDEWAYS
get s/ --prefix --rev={rev}
get s/ --prefix --rev={rev-1}
get s/ --prefix --rev={rev-3} -w json
get s/ --prefix --rev={rev-8}
get s/ --prefix --rev={rev-8} --count-only
get s/c --rev={rev-1} -w fields
get s/d s/z --rev={rev-2} --sort-by=VERSION --order=DESCEND
get a --rev=1
get a --rev=2
get a --rev=3 -w json
get a --rev={rev+1}
get a --rev={rev+1000} -w json
get a --rev=-1
put ik value-one
put ik --ignore-value
put ik changed --ignore-value
put ik changed --ignore-lease
put ik changed --ignore-lease --lease=77
put none --ignore-value
put none x --ignore-lease
put ''  value
put a value --lease=1234
put a value --lease=zzz
get ''
get '' -w json
del ''
del missing
del missing -w json
del missing --prev-kv
put d/1 one
put d/2 two
put d/3 three
put d/4 four
put d/5 five
put d/6 six
del d/1
del d/1
del d/2 --prev-kv
del d/3 -w json
del d/4 --prev-kv -w json
del d/5 -w fields
del d/6 -w protobuf --prev-kv
put d/1 again
put d/2 again
put d/3 again
get d/1 -w json
del d/1 d/3 --prev-kv
del d/ --prefix
del d/ --prefix --prev-kv
put d/1 x
put d/2 y
put d/3 z
del d/ --prefix --prev-kv
put zz1 x
put zz2 y
del zz1 --from-key --prev-kv
del zz --from-key
put e1 x
del e1 e1
del e2 e1
get e1
get '' --prefix --keys-only
put t/v one
put t/v two
put t/v three
txn << value("t/v") = "three"\n\nput t/r yes\n\nput t/r no\n\n
txn << value("t/v") = "two"\n\nput t/r yes\n\nput t/r no\n\n
txn << value("t/v") > "thre"\n\nget t/v\n\n\n
txn << value("t/v") > "three"\n\nget t/v\n\nget t/r\n\n
txn << value("t/v") < "thref"\n\nget t/v\n\n\n
txn << value("t/v") < "three"\n\nget t/v\n\nget t/r\n\n
txn << value("t/v") != "x"\n\nget t/v\n\nget t/r\n\n
txn << value("t/v") != "three"\n\nget t/v\n\nget t/r\n\n
txn << version("t/v") = "3"\n\nget t/v\n\nget t/r\n\n
txn << version("t/v") > "2"\n\nget t/v\n\nget t/r\n\n
txn << version("t/v") > "3"\n\nget t/v\n\nget t/r\n\n
txn << version("t/v") < "4"\n\nget t/v\n\nget t/r\n\n
txn << version("t/v") < "3"\n\nget t/v\n\nget t/r\n\n
txn << version("t/v") != "3"\n\nget t/v\n\nget t/r\n\n
txn << ver("t/v") = "3"\n\nget t/v\n\nget t/r\n\n
txn << create("t/v") = "0"\n\nget t/v\n\nget t/r\n\n
txn << create("t/v") > "0"\n\nget t/v\n\nget t/r\n\n
txn << create("t/v") < "{rev}"\n\nget t/v\n\nget t/r\n\n
txn << create("t/v") != "1"\n\nget t/v\n\nget t/r\n\n
txn << c("t/v") > "{rev}"\n\nget t/v\n\nget t/r\n\n
txn << mod("t/v") = "1"\n\nget t/v\n\nget t/r\n\n
txn << mod("t/v") > "1"\n\nget t/v\n\nget t/r\n\n
txn << mod("t/v") < "{rev+1}"\n\nget t/v\n\nget t/r\n\n
txn << mod("t/v") != "{rev}"\n\nget t/v\n\nget t/r\n\n
txn << m("t/v") < "1"\n\nget t/v\n\nget t/r\n\n
txn << lease("t/v") = "0"\n\nget t/v\n\nget t/r\n\n
txn << version("t/none") = "0"\n\nput t/none made\nget t/none\n\nget t/none\n\n
txn << create("t/none2") = "0"\nmod("t/none2") = "0"\nversion("t/none2") = "0"\n\nget t/none2\n\nget t/v\n\n
txn << value("t/none2") = ""\n\nget t/none2\n\nget t/v\n\n
txn << value("t/none2") != "x"\n\nget t/none2\n\nget t/v\n\n
txn << mod("t/v") > "0"\nversion("t/v") = "99"\n\nput t/x then\n\nput t/x else\nget t/x\n\n
txn << \nget t/v\n\n\n
txn << \nput t/1 a\nput t/2 b\nput t/3 c\nget t/ --prefix\ndel t/2\nget t/ --prefix --keys-only\n\n\n
txn << \nget t/1\nput t/1 later\nget t/1\n\n\n
txn << \nput t/1 again --prev-kv\ndel t/3 --prev-kv\n\n\n
txn << \ndel t/1\ndel t/1\n\n\n
txn << \n\n\n
txn << value("t/v") = "three"\n\n\n\n
txn << \ndel t/never\n\n\n
txn << \nget t/v --rev={rev-4}\n\n\n
txn << \nput t/dup x\nput t/dup y\n\n\n
txn << \nput t/dup x\ndel t/dup\n\n\n
txn << \ndel t/ --prefix\nput t/dup x\n\n\n
txn << \nput t/lost x --lease=4321\n\n\n
txn << value("") = "x"\n\nget t/v\n\n\n
txn << \nput '' x\n\n\n
txn << nonsense\n\nget t/v\n\n\n
txn -w json << value("t/v") = "three"\n\nput t/r yes --prev-kv\nget t/r\ndel t/none\n\nput t/r no\n\n
txn -w fields << value("t/v") = "three"\n\nput t/r yes\nget t/r\ndel t/none\n\nput t/r no\n\n
txn -w protobuf << value("t/v") = "three"\n\nput t/r yes\nget t/r\ndel t/none\n\nput t/r no\n\n
txn -w json << value("t/v") = "x"\n\nput t/r yes\n\nget t/r\n\n
txn --hex << \nget t/v\n\n\n
txn -i << value("t/v") = "three"\n\nput t/r interactive\n\nput t/r no\n\n
+too_many_ops
get t/never
+mark
put w/a 1
put w/b 2
put w/a 3
del w/a
put w/a 4
put other x
put w/c 5
txn << \nput w/x 1\nput w/y 2\ndel w/b\nput w/z 3\n\n\n
del w/ --prefix
~15 watch w/a --rev={mark+1}
~45 watch w/ --prefix --rev={mark+1}
~61 watch w/ --prefix --prev-kv --rev={mark+1}
~1 watch w/ --prefix --rev={mark+1} -w json
~1 watch w/ --prefix --prev-kv --rev={mark+1} -w json
~32 watch w/b w/d --rev={mark+1} -w fields
~12 watch w/b w/d --rev={mark+1}
~8 watch w/x --rev={mark+8} --prev-kv
~3 watch w/b --rev={mark+3}
~0 watch w/x --rev={rev+50}
~15 watch w/a --rev={mark+1} --hex
~10 watch --prefix --rev={mark+6} -- w/
~20 watch w/a --rev={mark+1} -- echo seen
~15 watch '' --prefix --rev={mark+9}
+watch_live
+watch_interactive
+watch_progress
lease grant 100
lease grant 200 -w json
lease grant 300 -w fields
lease grant 0
lease grant -- -5
lease grant 9000000001
lease grant abc
+short_leases_end
lease list
lease list -w json
lease timetolive {lease1}
lease timetolive {lease1} --keys
put l/a x --lease={lease1}
put l/b y --lease={lease1}
put l/c z --lease={lease2}
get l/ --prefix -w json
get l/ --prefix -w fields
lease timetolive {lease1} --keys
lease timetolive {lease1} -w json
lease timetolive {lease1} --keys -w json
lease timetolive {lease1} --keys -w fields
put l/a x2
lease timetolive {lease1} --keys
put l/b y2 --ignore-lease
lease timetolive {lease1} --keys
put l/b --ignore-value --lease={lease2}
get l/b -w json
lease timetolive {lease2} --keys
lease keep-alive --once {lease1}
lease keep-alive --once {lease1} -w json
lease keep-alive --once {lease1} -w fields
lease keep-alive --once 4321
lease timetolive 4321
lease timetolive 4321 -w json
lease revoke 4321
lease revoke {lease2}
lease revoke {lease2}
lease timetolive {lease2}
get l/ --prefix
lease revoke {lease1} -w json
lease list
+lease_expiry
+lease_keep_alive
lock m1 echo held
lock m1 false
lock m1 sh -- -c 'exit 7'
lock m1 --ttl=5 echo held
+lock_contended
+elect_observed
+mark
put h/a 1
put h/a 2
put h/a 3
put h/b 1
del h/b
put h/c 1
compaction {mark+2}
get h/a --rev={mark+2}
get h/a --rev={mark+1}
get h/a --rev={mark+1} -w json
get h/a
compaction {mark+2}
compaction {mark+1}
compaction {rev+10}
compaction 0
compaction {mark+3} --physical
~3 watch h/a --rev={mark+3}
~1 watch h/a --rev={mark+1}
~1 watch h/a --rev={mark+1} -w json
~6 watch h/b --rev={mark+4}
compaction {mark+5}
get h/b --rev={mark+5}
compaction {rev}
get '' --prefix --keys-only
get '' --prefix --count-only
put after compaction
endpoint health
endpoint health -w json
endpoint health -w table
endpoint health --cluster
endpoint status
endpoint status -w json
endpoint status -w table
endpoint status -w fields
endpoint status --cluster -w table
endpoint hashkv
endpoint hashkv -w json
endpoint hashkv -w table
endpoint hashkv --cluster
endpoint hashkv --rev={rev}
endpoint hashkv --rev={rev+10}
endpoint hashkv --rev={rev-3}
member list
member list -w json
member list -w table
member list -w fields
alarm list
alarm disarm
defrag
+defrag_cluster
+snapshot
+move_leader
get a -w json --dial-timeout=1s --command-timeout=3s
"""

PROTOBUF = {"get": "RangeResponse", "put": "PutResponse", "del": "DeleteRangeResponse",
            "txn": "TxnResponse"}


class Side:
    """One of the two systems: runs etcdctl against it and hides what may differ."""

    def __init__(self, run, made, label):
        self.run, self.made, self.label = run, made, label
        self.folder = os.path.join(run.folder, f"ctl-{label}")
        os.makedirs(self.folder)
        self.leases = []
        self.mark = 0
        self.turn = 0
        self.outputs = []
        listed = made.members[0].api.MemberList(api.MemberListRequest(), timeout=20)
        self.ids = {m.name: m.ID for m in listed.members}
        self.cluster_id = listed.header.cluster_id

    # --- running

    def revision(self):
        reply = self.made.members[0].api.Range(api.RangeRequest(key=b"any"), timeout=20)
        return reply.header.revision

    def fill(self, text):
        def value(match):
            name, offset = match.group(1), int(match.group(2) or 0)
            if name.startswith("lease"):
                lease = self.leases[int(name[5:]) - 1] if len(self.leases) >= int(name[5:]) else 9
                return f"{lease:x}"
            if name.startswith("m") and name[1:].isdigit():
                return f"{self.ids[name]:x}"
            return str((self.mark if name == "mark" else self.rev_now) + offset)
        if "{rev" in text:
            self.rev_now = self.revision()
        return re.sub(r"\{(rev|mark|lease\d|m\d)([+-]\d+)?\}", value, text)

    def command(self, arguments):
        everywhere = arguments[0] in ("endpoint", "defrag", "move-leader")
        endpoints = self.made.endpoints if everywhere else [self.made.endpoints[self.turn % 3]]
        return ["etcdctl", "--endpoints", ",".join(endpoints), *arguments]

    def start(self, arguments):
        """A command that goes on by itself: what it prints is collected while it runs."""
        process = subprocess.Popen(self.command(arguments), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=self.run.environment(), cwd=self.folder)
        process.seen = {"out": b"", "err": b""}

        def collect(stream, name):
            while chunk := stream.read1(65536):
                process.seen[name] += chunk
        process.readers = [threading.Thread(target=collect, args=a, daemon=True)
                           for a in ((process.stdout, "out"), (process.stderr, "err"))]
        for reader in process.readers:
            reader.start()
        self.run.processes.append(process)
        return process

    def watches(self):
        """Open watches at the member that this line goes to."""
        return self.made.watches(self.turn % 3)

    def start_watching(self, arguments, count, stdin=b""):
        """A command that watches: it does, `count` times, when this returns."""
        self.wait(lambda: self.watches() == 0)
        process = self.start(arguments)
        process.stdin.write(stdin)
        process.stdin.flush()
        self.wait(lambda: self.watches() == count or process.poll() is not None)
        return process

    def wait_keys(self, prefix, count):
        request = api.RangeRequest(key=prefix, range_end=api.prefix_end(prefix), count_only=True)
        self.wait(lambda: self.made.members[0].api.Range(request, timeout=20).count >= count)

    def wait(self, condition, seconds=30):
        """Until it holds, or for so long: then what comes out will be different, and show it."""
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            time.sleep(0.01)

    def wait_lines(self, process, lines, seconds=30):
        """Until it has printed so many; then a moment for what should not come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and process.poll() is None:
            if process.seen["out"].count(b"\n") >= lines:
                break
            time.sleep(0.01)
        time.sleep(0.15)

    def finish(self, process, number=signal.SIGINT, seconds=30, what=""):
        if number and process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.note(f"{what}did not end within {seconds} s")
        for reader in process.readers:
            reader.join(2)
        self.record(process.returncode, process.seen["out"], process.seen["err"], what)

    def ctl(self, *arguments, stdin=None):
        run = subprocess.run(self.command(arguments), input=(stdin or "").encode(),
                             capture_output=True, env=self.run.environment(), cwd=self.folder,
                             timeout=150, check=False)
        out = run.stdout
        if "protobuf" in arguments and run.returncode == 0:
            out = self.decode(arguments[0], out)
        self.record(run.returncode, out, run.stderr)
        for found in re.findall(r"lease ([0-9a-f]+) granted|\"ID\" : (\d+)|\"ID\":(\d+)",
                                out.decode(errors="replace") if arguments[:2] == ("lease", "grant")
                                else ""):
            self.leases.append(int(found[0], 16) if found[0] else int(found[1] or found[2]))
            break
        return out

    def decode(self, command, out):
        message = api.MESSAGES[PROTOBUF[command]].FromString(out)
        return (str(message) + "unknown fields: "
                + str(message.SerializeToString() != out and "or another order")).encode()

    # --- comparing

    def note(self, text):
        self.outputs.append(text)

    def record(self, status, out, err, what=""):
        self.outputs.append(f"{what}exit status {status}")
        for name, content in (("", out), ("stderr: ", err)):
            text = content.decode(errors="backslashreplace")
            # Debian's etcdctl panics over lease compares: where it did so is of no interest.
            text = re.sub(r"(?s)(panic: .*?)\n.*", r"\1", text)
            self.outputs += [what + name + line for line in text.split("\n") if line]

    def normal(self, sort):
        lines = [self.normal_line(line) for line in self.outputs]
        if sort:  # the elements of JSON lists too
            lines = [re.sub(r"(?<=attached keys\(\[)[^\]]+",
                            lambda m: "\n" + m.group().replace(" ", "\n"), line) for line in lines]
            for cut, by in (("[{", "[\n{"), ("},{", "},\n{"), ('["', '[\n"'), ('","', '",\n"'),
                            ("]", "\n]")):
                lines = [line.replace(cut, by) for line in lines]
            lines = [part.rstrip(",") for line in lines for part in line.split("\n")]
        self.hashes = set()

        def hidden(match):
            self.hashes.add(match.group(2))
            return match.group(1) + "HASH"
        lines = [re.sub(r'(CLIENT\d, |"hash":|"Hash" : |CLIENT\d \| )(\d+)(?!\d* \w)', hidden, line)
                 for line in lines]
        return sorted(lines) if sort else lines

    def normal_line(self, line):
        for index, member in enumerate(self.made.members, 1):
            line = line.replace(member.endpoint, f"CLIENT{index}")
            line = line.replace(f"127.0.0.1:{member.peer_port}", f"PEER{index}")
            line = replace_id(line, self.ids[member.name], f"MEMBER{index}")
        line = replace_id(line, self.cluster_id, "CLUSTER")
        for index, lease in enumerate(self.leases, 1):
            line = replace_id(line, lease, f"LEASE{index}")
        for pattern, by in RULES:
            line = re.sub(pattern, by, line)
        return line


def replace_id(line, value, by):
    return re.sub(rf"(?<![0-9a-f])({value:x}|{value:016x}|{value})(?![0-9a-f])", by, line)


RULES = [
    (r"  +", " "), (r"--+", "--"),
    (r'"(raft_term|raftTerm|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse)":\d+', r'"\1":N'),
    (r'"(Raft\w+|DBSize\w*)" : \d+', r'"\1" : N'),
    (r"raft_term: \d+", "raft_term: N"),
    (r'"(version|Version)"( ?: ?)"\d+\.\d+\.\d+"', r'"\1"\2"VERSION"'),
    (r"(CLIENT\d, MEMBER\d), [\d.]+, [\d.]+ \wi?B, (\w+), (\w+), \d+, \d+, \d+,",
     r"\1, VERSION, SIZE, \2, \3, N, N, N,"),
    (r"\| [\d.]+ \| [\d.]+ \wi?B \| (\w+) \| (\w+) \| \d+ \| \d+ \| \d+ \|",
     r"| VERSION | SIZE | \1 | \2 | N | N | N |"),
    (r'"ts":("[^"]*"|[\d.]+)', '"ts":T'),
    (r"endpoint://client-[0-9a-f-]+/", "endpoint://client/"),
    (r"\b[\d.]+(µs|ms|s)\b(?=$|\"| +\|)", "TIME"),
    (r'"took":("[^"]*"|[\d.]+)', '"took":"TIME"'),
    (r'"size":"[^"]*"', '"size":"SIZE"'),
    (r"remaining\(\d+s\)", "remaining(N)"),
    (r'"ttl":(\d+)', lambda m: f'"ttl":about {-(-int(m.group(1)) // 10) * 10}'),
    (r'"TTL" : (\d+)', lambda m: f'"TTL" : about {-(-int(m.group(1)) // 10) * 10}'),
    (r"(m\d|e\d)/[0-9a-f]{14,16}\b", r"\1/SESSION"),
]


# --- cases that take more than a line -------------------------------------------------------------


def mark(side):
    side.mark = side.revision()


def too_many_ops(side):
    puts = "".join(f"put many/{i} x\n" for i in range(129))
    side.ctl("txn", stdin=f"\n{puts}\n\n")
    side.ctl("txn", stdin="\n" + "".join(f"put many/{i} x\n" for i in range(128)) + "\n\n")
    side.ctl("get", "many/", "--prefix", "--count-only", "-w", "json")
    side.ctl("del", "many/", "--prefix")


def watch_live(side):
    """From now on: nothing of before, everything of after."""
    process = side.start_watching(["watch", "live/", "--prefix", "--prev-kv"], 1)
    side.ctl("put", "live/a", "1")
    side.ctl("put", "live/a", "2")
    side.ctl("put", "elsewhere", "2")
    side.ctl("del", "live/a")
    side.wait_lines(process, 3 + 5 + 5)
    side.finish(process)


def watch_interactive(side):
    """Several watches over one stream, and one of them cancelled by leaving."""
    # The third is one that etcdctl does not understand: it says so, and goes on.
    process = side.start_watching(
        ["watch", "-i"], 2, b"watch i/a\nwatch i/b --prev-kv\nwatch --prefix -- i/\n")
    lines = 0
    for arguments, adds in ((("put", "i/a", "1"), 3), (("put", "i/b", "1"), 3),
                            (("put", "i/b", "2"), 5), (("del", "i/a"), 3), (("put", "i/c", "9"), 0)):
        side.ctl(*arguments)
        lines += adds
        side.wait_lines(process, lines)
    process.stdin.write(b"nonsense\n")
    process.stdin.flush()
    time.sleep(0.3)
    side.finish(process)
    # Which of two watchers on one stream hears first is nobody's promise.
    side.outputs.sort()


def watch_progress(side):
    process = side.start_watching(["watch", "-i"], 1, b"watch p/a\n")
    side.ctl("put", "p/a", "1")
    side.wait_lines(process, 3)
    process.stdin.write(b"progress\n")
    process.stdin.flush()
    side.wait_lines(process, 4)
    side.finish(process)


def short_leases_end(side):
    """Those of 0 and -5 seconds were given a little more: when they end is a matter of moments."""
    side.wait(lambda: len(side.made.members[0].api.LeaseLeases(
        api.LeaseLeasesRequest(), timeout=20).leases) == 3)


def lease_expiry(side):
    """An expired lease takes its keys along: in one revision, in key order."""
    side.ctl("lease", "grant", "4")
    lease = f"{side.leases[-1]:x}"
    side.ctl("put", "x/b", "1", f"--lease={lease}")
    side.ctl("put", "x/a", "2", f"--lease={lease}")
    side.ctl("put", "x/c", "3")
    start = side.revision() + 1
    process = side.start(["watch", "x/", "--prefix", f"--rev={start}", "-w", "json"])
    side.wait_lines(process, 1)
    side.finish(process)
    side.made.settle()
    side.ctl("get", "x/", "--prefix")
    side.ctl("lease", "timetolive", lease)
    side.ctl("lease", "keep-alive", "--once", lease)
    side.ctl("lease", "list")


def lease_keep_alive(side):
    """A lease that is kept alive outlives its time to live, and dies when it is revoked."""
    side.ctl("lease", "grant", "3")
    lease = f"{side.leases[-1]:x}"
    side.ctl("put", "x/kept", "1", f"--lease={lease}")
    process = side.start(["lease", "keep-alive", lease])
    time.sleep(5.5)
    side.ctl("get", "x/kept")
    side.ctl("lease", "revoke", lease)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        pass
    for reader in process.readers:
        reader.join(5)
    # How often it renewed depends on the moment.
    process.seen["out"] = b"\n".join(dict.fromkeys(process.seen["out"].split(b"\n"))) + b"\n"
    side.finish(process)
    side.ctl("get", "x/kept")


def lock_contended(side):
    first = side.start(["lock", "m2"])
    side.wait_lines(first, 1)
    second = side.start(["lock", "m2"])
    side.wait_keys(b"m2/", 2)
    time.sleep(0.3)
    side.note(f"second waits: {second.seen['out'] == b''}")
    side.ctl("get", "m2/", "--prefix", "--count-only", "-w", "json")
    side.finish(first, what="first: ")
    side.wait_lines(second, 1)
    side.finish(second, what="second: ")
    side.ctl("get", "m2/", "--prefix")


def elect_observed(side):
    first = side.start(["elect", "e1", "alpha"])
    side.wait_lines(first, 2)
    observer = side.start(["elect", "-l", "e1"])
    side.wait_lines(observer, 2)
    second = side.start(["elect", "e1", "beta"])
    side.wait_keys(b"e1/", 2)
    time.sleep(0.3)
    side.note(f"second waits: {second.seen['out'] == b''}")
    side.finish(first, what="first: ")
    side.wait_lines(second, 2)
    side.wait_lines(observer, 4)
    side.finish(observer, what="observer: ")
    side.finish(second, what="second: ")
    side.ctl("get", "e1/", "--prefix")


def defrag_cluster(side):
    side.ctl("defrag", "--cluster")


def snapshot(side):
    path = os.path.join(side.folder, "snap.db")
    side.ctl("snapshot", "save", "snap.db")
    side.note(f"not empty: {os.path.getsize(path) > 100}")
    side.note(f"mode {os.stat(path).st_mode & 0o777:o}")


def move_leader(side):
    """To every member in turn; wrong targets are refused."""
    for target in ("{m2}", "{m3}", "{m1}"):
        noted, before = list(side.outputs), side.made.leader()
        for _ in range(10):  # a busy machine's disk may keep the successor from being elected in time
            side.outputs = list(noted)
            side.made.make_leader(before)
            side.ctl("move-leader", side.fill(target))
            if not any("took too long" in line for line in side.outputs):
                break
        led = int(side.fill(target), 16)
        side.wait(lambda x=led: all((s := m.status(5)) and s.leader == x for m in side.made.members))
        side.ctl("endpoint", "status", "-w", "table")
    side.ctl("move-leader", "1234")
    side.ctl("move-leader", "zz")
    side.ctl("put", "moved", "1")


FUNCTIONS = {f.__name__: f for f in (mark, too_many_ops, watch_live, watch_interactive,
                                     watch_progress, short_leases_end, lease_expiry,
                                     lease_keep_alive, lock_contended, elect_observed,
                                     defrag_cluster, snapshot, move_leader)}


# --- the comparison -------------------------------------------------------------------------------


def run_case(side, case, turn):
    side.turn, side.outputs = turn, []
    side.made.settle()  # the line before went to another member
    try:
        if case.startswith("+"):
            FUNCTIONS[case[1:]](side)
            return
        text, _, stdin = side.fill(case).partition(" << ")
        stdin = stdin.replace("\\n", "\n")
        waits = re.match(r"~(\d+) ", text)
        arguments = shlex.split(text[waits.end():] if waits else text)
        if not waits:
            side.ctl(*arguments, stdin=stdin)
            return
        process = side.start(arguments)
        side.wait_lines(process, int(waits.group(1)), 30 if int(waits.group(1)) else 0.5)
        side.finish(process)
    except Exception as error:  # the case failed on this side: that is its result
        side.note(f"{type(error).__name__}: {error}")


def on_both(sides, function):
    threads = [threading.Thread(target=function, args=(side,)) for side in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def compare(case, sides):
    # Replies of several members come in the order in which they arrive, members in that of ids,
    # leases and their keys in any order from etcd 3.4.
    sort = case.startswith(("endpoint", "member", "defrag", "alarm", "+defrag", "+move_leader",
                            "lease list", "lease timetolive", "+lease_expiry"))
    found = list(difflib.unified_diff(*[side.normal(sort) for side in sides],
                                      *[side.label for side in sides], n=1, lineterm=""))
    # etcd 3.4 itself may disagree after compactions.
    if len(sides[1].hashes) > 1 and sides[1].run.system != "etcd":
        found.append(f"its members disagree about the hash: {sorted(sides[1].hashes)}")
    return found


def align(sides, case):
    """After a case that left the stores at different revisions: makes them equal again, so that the
    cases behind it are not all different too."""
    revisions = [side.revision() for side in sides]
    if revisions[0] == revisions[1]:
        return []
    low = sides[revisions.index(min(revisions))]
    for _ in range(max(revisions) - min(revisions)):
        low.made.members[0].api.Put(api.PutRequest(key=b"align", value=b"x"), timeout=20)
    return [f"revision after {case}: {sides[0].label} {revisions[0]}, "
            f"{sides[1].label} {revisions[1]}"]


class Perf(threading.Thread):
    """etcdctl's own benchmark, a minute long, which knows what it wants to see. It has a cluster of
    its own, and runs beside the comparison."""

    def __init__(self, run, made):
        super().__init__(daemon=True)
        self.run_of_tests, self.made = run, made
        self.lines = []
        self.start()

    def run(self):
        run = self.run_of_tests
        done = subprocess.run(["etcdctl", "--endpoints", ",".join(self.made.endpoints), "check",
                               "perf", "--load=s"], capture_output=True, text=True,
                              env=run.environment(), cwd=run.folder, timeout=300, check=False)
        self.lines = re.findall(r"(?:PASS|FAIL)[^\r\n]*", done.stdout)  # behind a progress bar

    def problems(self):
        """When it is over. Which single request was the slowest is this machine's affair, so only
        the throughput must pass; the rest is told."""
        self.join()
        for line in self.lines:
            cluster.say(f"  {line}")
        wanted = ["PASS: Throughput", "(PASS|FAIL|Slow).*request", "(PASS|FAIL|Std).*tddev", "PASS|FAIL"]
        good = len(self.lines) == 4 and all(map(re.match, wanted, self.lines))
        return [] if good else [f"-{w}" for w in wanted] + [f"+{k}" for k in self.lines]


def test(run):
    options = run.arguments
    etcd = cluster.Run(cluster.parser("").parse_args(["--system", "etcd"])) \
        if run.system != "etcd" else run
    if etcd is not run:
        etcd.folder, etcd.ports = run.folder, run.ports
        etcd.processes = run.processes
    sides_made = [etcd.cluster(name="etcd"), run.cluster(name="other")]
    with_perf = options.perf == "yes" or (options.perf == "auto" and cluster.LEVEL != "quick"
                                          and run.engine in (None, "multipaxos"))
    more = [run.cluster(name="perf")] if with_perf else []
    run.clusters = [*sides_made, *more]
    for made in run.clusters:
        for member in made.members:
            member.start()
    for made in run.clusters:
        made.wait_ready()
    for made in sides_made:
        made.make_leader(made.members[0])  # on both: then who leads can be compared too
    perf = Perf(run, more[0]) if with_perf else None
    sides = [Side(run, sides_made[0], "etcd"), Side(run, sides_made[1], run.system + " (this one)")]
    same, different = 0, []
    cases = [line for line in CASES.strip().splitlines()
             if re.search(options.only, line) or line == "+mark"]
    for turn, case in enumerate(cases):
        on_both(sides, lambda side, c=case, t=turn: run_case(side, c, t))
        found = compare(case, sides) + align(sides, case)
        cluster.say(f"{'DIFFERENT' if found else 'same     '} {case[:100]}")
        for line in found:
            cluster.say(f"            {line}")
        same += not found
        different += [case] if found else []
    if perf:
        cluster.say("check perf --load=s")
        found = perf.problems()
        if found:  # once more, with nothing beside it
            found = Perf(run, more[0]).problems()
        same += not found
        different += ["check perf"] if found else []
        for line in found:
            cluster.say(f"            {line}")
    cluster.say("")
    for case in different:
        cluster.say(f"different: {case[:110]}")
    cluster.say(f"{same} same, {len(different)} different")
    if different:
        raise cluster.Failure(f"{same} same, {len(different)} different")


if __name__ == "__main__":
    parser = cluster.parser(__doc__)
    parser.add_argument("--only", default="", help="only cases that this pattern is found in")
    parser.add_argument("--perf", choices=["yes", "no", "auto"], default="auto",
                        help="etcdctl check perf (auto: not in quick runs, and with the usual "
                             "engine only)")
    cluster.main(test, parser.parse_args(sys.argv[1:]))
