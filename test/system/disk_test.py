#!/usr/bin/python3
"""A disk that fails is the end of its member, of nothing that was acknowledged, and not of the cluster.

Every member has a small file system of its own: ext4 on a loop device. Under the load of clients that
record their history, the leader's or a follower's

 - fills up;
 - becomes read-only, as ext4 does to a file system in which it found an error;
 - fails to sync: its device is an image on a volume that is full, so that blocks which were never
   written cannot be written any more.

The member must end by itself and say why; the others must serve; and started again, once the disk is
well, it must come back with everything. The histories are checked (verdict.py).

This needs root and loop devices. It runs in a mount namespace of its own, which takes the mounts along
when it ends, whichever way it ends.
"""
import os
import signal
import subprocess
import sys
import time

import cluster
import verdict
from clients import Client, Prober, Watcher
from history import KEYS, Operation

IMAGE_MIB = 160
BULK = 60000  # bytes of a value that is to fill the log
INSIDE = "SYNOD_DISK_TEST_INSIDE"


def do(*command, fails=False):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 and not fails:
        raise cluster.Failure(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.returncode == 0


def fill(path):
    """A file that takes all the space that there is."""
    with open(path, "ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 512):
            try:
                while file.write(b"\xaa" * size) == size:
                    pass
            except OSError:
                pass


class Disk:
    """The file system of one member: ext4 on a loop device over an image in a tmpfs."""

    def __init__(self, folder):
        self.volume, self.root = folder + "-volume", folder + "-disk"
        for path in (self.volume, self.root):
            os.makedirs(path)
        do("mount", "-t", "tmpfs", "-o", f"size={IMAGE_MIB + 8}m", "none", self.volume)
        self.image = os.path.join(self.volume, "image")
        with open(self.image, "wb") as file:
            file.truncate(IMAGE_MIB << 20)
        do("mkfs.ext4", "-q", "-m", "0", self.image)
        self.mount()

    def mount(self):
        do("mount", "-o", "loop", self.image, self.root)

    def unmount(self):
        do("umount", self.root)

    def remove(self):
        do("umount", "-l", self.root, fails=True)
        do("umount", "-l", self.volume, fails=True)

    # How it gets hurt, and well again while its member is down.

    def fill_up(self):
        fill(os.path.join(self.root, "ballast"))

    def empty(self):
        os.unlink(os.path.join(self.root, "ballast"))

    def make_read_only(self):
        do("mount", "-o", "remount,abort", self.root)

    def repair(self):
        self.unmount()
        # 1: there was something to mend.
        code = subprocess.run(["e2fsck", "-fp", self.image], capture_output=True, check=False).returncode
        if code not in (0, 1):
            raise cluster.Failure(f"e2fsck -fp of a member's image: exit status {code}")
        self.mount()

    def fill_the_volume(self):
        """What is still zero in the image gives up its blocks, and gets none again."""
        # Frozen, for what is written between the look at a block and its end would be lost.
        do("fsfreeze", "-f", self.root)
        try:
            do("fallocate", "--dig-holes", self.image)
            fill(os.path.join(self.volume, "ballast"))
        finally:
            do("fsfreeze", "-u", self.root)

    def empty_the_volume(self):
        os.unlink(os.path.join(self.volume, "ballast"))
        self.repair()


# name: how it is hurt, how it is mended, one of these words says why the member ends
FAULTS = {
    "full": (Disk.fill_up, Disk.empty, ["no space left"]),
    "read-only": (Disk.make_read_only, Disk.repair, ["read-only", "input/output error"]),
    "failing sync": (Disk.fill_the_volume, Disk.empty_the_volume,
                     ["input/output error", "no space left", "read-only"]),
}


class Bulk(Client):
    """A client that fills the log."""

    def step(self):
        self.perform(Operation(self.put(self.random.choice(KEYS), padding=BULK)), timeout=5)


def hurt(run, made, disks, name, role, prober):
    """The disk of one member fails under load. Returns the seconds until it ended."""
    harm, mend, words = FAULTS[name]
    victim = run.random.choice(made.members)
    others = [m for m in made.members if m is not victim]
    made.make_leader(victim if role == "leader" else run.random.choice(others))
    lines = len(victim.log_tail(1 << 30))
    began = time.monotonic()
    harm(disks[victim.name])
    cluster.wait_until(f"the member whose disk is {name} ends", lambda: not victim.alive(), 300)
    seconds = time.monotonic() - began
    said = victim.log_tail(1 << 30)[lines:]
    if victim.process.returncode != 1:
        raise cluster.Failure(f"{name}, {role}: it ended with status {victim.process.returncode}:\n"
                              f"{victim.log_tail()}")
    if not any(word in said.lower() for word in words):
        raise cluster.Failure(f"{name}, {role}: it does not say why it ended:\n{victim.log_tail()}")
    served = prober.must_write(others)
    # Started again while its disk is as it was, it may serve or end, but not crash.
    victim.start()
    time.sleep(0.5)
    if victim.alive():
        victim.stop(signal.SIGKILL)
    elif victim.process.returncode != 1:
        raise cluster.Failure(f"{name}, {role}: started on the same disk it ended with status "
                              f"{victim.process.returncode}:\n{victim.log_tail()}")
    mend(disks[victim.name])
    victim.start()
    made.wait_healthy(60)
    cluster.say(f"  {name}, {role} {victim.name}: ended after {seconds:.1f} s, the others served "
                f"{served * 1000:.0f} ms later\n    {reason(said)}")
    return seconds


def reason(said):
    return said.strip().splitlines()[-1][:300]


def scene(run, name, number, tally):
    made = run.cluster(name=f"{name.replace(' ', '-')}-{number}")
    disks = {}
    workers, watcher = [], None
    try:
        for member in made.members:
            disks[member.name] = Disk(member.data)
            member.data = os.path.join(disks[member.name].root, "data")
        made.start()
        prober = Prober(made, run.arguments.seed)
        endpoints = [(m.name, m.endpoint) for m in made.members]
        watcher = Watcher(endpoints, run.arguments.seed)
        workers = [Client(endpoints, i, run.arguments.seed) for i in range(1, 4)]
        workers.append(Bulk(endpoints, 4, run.arguments.seed, 0.02, 5))
        for thread in [watcher, *workers]:
            thread.start()
        for role in ("follower", "leader"):
            hurt(run, made, disks, name, role, prober)
        verdict.stop(workers)
        prober.write_through_each()
        verdict.conclude(run, made, [prober, *workers], watcher, tally)
    finally:
        for worker in [*workers, *([watcher] if watcher else [])]:
            worker.running = False
        made.stop()
        for disk in disks.values():
            disk.remove()
        for member in made.members:
            member.api.close()
        run.clusters.remove(made)


def cannot():
    """Why this cannot run here; None: it can."""
    if os.geteuid() != 0:
        return "it mounts file systems, so it needs root"
    if not do("unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt && dd if=/dev/zero of=/mnt/i "
              "bs=1M count=4 && mkfs.ext4 -q /mnt/i && mkdir /mnt/d && mount -o loop /mnt/i /mnt/d "
              "&& fsfreeze -f /mnt/d && fsfreeze -u /mnt/d",
              fails=True):
        return "no file system can be mounted here from a loop device"
    return None


def test(run):
    tally = verdict.Tally()
    for name in FAULTS:
        if not run.arguments.only or run.arguments.only == name:
            for number in range(run.arguments.times):
                cluster.say(name)
                scene(run, name, number, tally)
    cluster.say(f"every member came back; {tally}")


if __name__ == "__main__":
    parser = cluster.parser(__doc__)
    parser.add_argument("--only", choices=list(FAULTS), help="one of the faults")
    parser.add_argument("--times", type=int, default=cluster.by_level(1, 1, 20),
                        help="how often the disk of each role fails")
    arguments = parser.parse_args(sys.argv[1:])
    if INSIDE not in os.environ:
        why = cannot()
        if why:
            cluster.say(f"skipped: {why}")
            sys.exit(0)
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-m", sys.executable, *sys.argv])
    cluster.main(test, arguments)
