"""The judge that knows the order of all writes.

The store numbers its states, and every value is written once, so a watch from the first revision on
gives the total order of all writes, and no search is needed to tell whether what the clients saw fits
it. This judge also sees what no client saw: events that nobody asked for.
"""
import bisect
import copy

import cluster


class Order:
    """The total order of all writes. `problems` says what does not fit it."""

    def __init__(self, events):
        self.events = events
        self.problems = []
        self.by_revision = {}
        self.by_key = {}
        for event in events:
            self.by_revision.setdefault(event[0], []).append(event)
            self.by_key.setdefault(event[1], []).append(event)
        self.keys = sorted(self.by_key)
        self.on_lease = {}  # lease -> keys that ever hung on it
        for _, key, _, lease in events:
            if lease:
                self.on_lease.setdefault(lease, set()).add(key)
        self.owner = {}  # revision -> the operation that made it

    def bad(self, text):
        self.problems.append(text)

    def event_at(self, key, revision):
        events = self.by_key.get(key, [])
        index = bisect.bisect_right(events, revision, key=lambda e: e[0])
        return events[index - 1] if index else (0, key, None, 0)

    def at(self, key, revision):
        """What a read of the key finds at that revision."""
        return self.event_at(key, revision)[2]

    def state(self, revision):
        return State(self, revision)

    def check_shape(self, final):
        """No gap, and versions that count."""
        missing = sorted(set(range(2, final + 1)) - set(self.by_revision))
        if missing or max(self.by_revision, default=1) > final:
            self.bad(f"revisions are not 2 to {final} without a gap: missing {missing[:10]}, "
                     f"last {max(self.by_revision, default=1)}")
        values = {}
        for revision, key, found, _ in self.events:
            before = self.at(key, revision - 1)
            if found is None:
                if before is None:
                    self.bad(f"{key} is deleted at {revision}, but was not there")
                continue
            wanted = {"create": before["create"] if before else revision, "mod": revision,
                      "version": before["version"] + 1 if before else 1}
            if any(found[name] != value for name, value in wanted.items()):
                self.bad(f"{key} at {revision}: {found}, wanted {wanted}")
            if found["value"] in values:
                self.bad(f"TWICE: value {found['value']} at {values[found['value']]} and {revision}")
            values[found["value"]] = revision

    def check(self, operations):
        answered = [o for o in operations if o.outcome == "ok"]
        for one in answered:
            self.check_answer(one)
        self.find_sights(answered)
        self.find_owners([o for o in operations if o.outcome == "unknown" and o.writes()])
        self.check_real_time(answered)

    def check_answer(self, one):
        """Its answer is what the order says, at the revision in its header."""
        revoked = self.state(one.revision - 1).hanging(one.do[0].get("revoke")) if one.do else []
        wrote = one.wrote() or any(e[2] is None for e in self.by_revision.get(one.revision, [])
                                   if e[1] in revoked)
        base = self.state(one.revision - wrote)
        if one.compares is not None and base.holds(one.compares) != one.succeeded:
            self.bad(f"BRANCH: the condition was judged wrongly: {one}")
        results, effects = base.apply(one.do, one.revision)
        if wrote:
            found = {e[1]: e[2] for e in self.by_revision.get(one.revision, [])}
            if found != effects:
                self.bad(f"LOST: {one}; that revision is {found or 'not there'}")
                return
            if one.revision in self.owner:
                self.bad(f"ONE REVISION, two operations: {one} and {self.owner[one.revision]}")
            self.owner[one.revision] = one
        if results != one.do:
            self.bad(f"WRONG READ: {one}; by the order it is {results}")

    def find_owners(self, unknown):
        """What no answered operation did must have been done by one of unknown outcome, once."""
        by_value, deleters = {}, []
        for one in unknown:
            branches = one.branches or (one.do,)
            for branch in branches:
                for part in branch:
                    if "put" in part:
                        by_value[part["value"]] = one
            if any("delete" in part or "revoke" in part for branch in branches for part in branch):
                deleters.append(one)
        able = {}
        for revision, events in self.by_revision.items():
            if revision in self.owner:
                continue
            values = [e[2]["value"] for e in events if e[2]]
            candidates = [by_value[v] for v in values if v in by_value][:1] or deleters
            effects = {e[1]: e[2] for e in events}
            able[revision] = [one for one in candidates if one.call <= self.seen_at[revision]
                              and self.would_do(one, revision) == effects]
        self.match(able)

    def match(self, able):
        """Gives each revision an operation of its own out of those that are able to have made it."""
        revision_of = {}

        def place(revision, tried):
            for one in able[revision]:
                if id(one) not in tried:
                    tried.add(id(one))
                    if id(one) not in revision_of or place(revision_of[id(one)], tried):
                        revision_of[id(one)] = revision
                        self.owner[revision] = one
                        return True
            return False
        for revision in able:
            if not place(revision, set()):
                self.bad(f"NOBODY asked for what revision {revision} is, or too late: "
                         f"{self.by_revision[revision]}")

    def would_do(self, one, revision):
        base = self.state(revision - 1)
        branch = one.do if one.branches is None else one.branches[not base.holds(one.compares)]
        return base.apply(branch, revision)[1]

    def find_sights(self, answered):
        """When each revision, or a later one, was first seen by a client, at the latest."""
        self.seen_at, earliest = {}, float("inf")
        by_revision = sorted(answered, key=lambda o: o.revision)
        for revision in sorted(self.by_revision, reverse=True):
            while by_revision and by_revision[-1].revision >= revision:
                earliest = min(earliest, by_revision.pop().returned)
            self.seen_at[revision] = earliest

    def check_real_time(self, answered):
        """Revisions agree with the clock on the wall: what was complete stays seen, and nothing is
        seen before someone asked for it."""
        completed = sorted((o for o in answered), key=lambda o: o.returned)
        newest, index = None, 0
        for one in sorted(answered, key=lambda o: o.call):
            while index < len(completed) and completed[index].returned < one.call:
                if newest is None or completed[index].revision > newest.revision:
                    newest = completed[index]
                index += 1
            if newest and one.revision < newest.revision and not one.serializable:
                self.bad(f"STALE: {one}\n    although before: {newest}")
        for revision, write in self.owner.items():
            if self.seen_at[revision] < write.call:
                self.bad(f"TOO EARLY: seen before it was asked for: {write}")


class State:
    """The keys at one revision, and what operations would find and do there."""

    def __init__(self, order, revision):
        self.order, self.revision = order, revision
        self.changed = {}

    def find(self, key):
        return self.changed[key] if key in self.changed else self.order.at(key, self.revision)

    def hanging(self, lease):
        """The keys that hang on a lease at the revision."""
        return [key for key in self.order.on_lease.get(lease, ())
                if self.order.event_at(key, self.revision)[3] == lease and self.find(key)]

    def find_range(self, first, end):
        keys = self.order.keys[bisect.bisect_left(self.order.keys, first):
                               bisect.bisect_left(self.order.keys, end)]
        keys = sorted({*keys, *(k for k in self.changed if first <= k < end)})
        return [(key, found) for key in keys if (found := self.find(key))]

    def holds(self, compares):
        for one in compares:
            found = self.find(one["key"])
            if "value" in one:
                holds = found is not None and found["value"] == one["value"]
            elif "exists" in one:
                holds = (found is not None) == one["exists"]
            else:
                holds = (found["mod"] if found else 0) == one["mod"]
            if not holds:
                return False
        return True

    def apply(self, parts, revision):
        """(the parts with their results, {key: what is found there afterwards} for what changed)"""
        results = []
        for part in parts:
            done = dict(part)
            if "put" in part:
                before = self.find(part["put"])
                self.changed[part["put"]] = {
                    "value": part["value"], "create": before["create"] if before else revision,
                    "mod": revision, "version": before["version"] + 1 if before else 1}
            elif "get" in part:
                done["found"] = self.find(part["get"])
            elif "range" in part:
                found = self.find_range(part["range"], part["end"])
                done["found"] = [{"key": key, **kv} for key, kv in found]
                done["count"], done["more"] = len(found), False
            elif "revoke" in part:
                self.changed.update(dict.fromkeys(self.hanging(part["revoke"])))
            else:
                end = part.get("end", part["delete"] + "\0")
                gone = [key for key, _ in self.find_range(part["delete"], end)]
                done["deleted"] = len(gone)
                self.changed.update(dict.fromkeys(gone))
            results.append(done)
        return results, self.changed


def judge(events, operations, final):
    order = Order(events)
    order.check_shape(final)
    order.check(operations)
    return order


# --- the check of the check -----------------------------------------------------------------------

# Errors that a client sees, so that those can find them who know what clients saw.
SEEN = ("a stale read", "a read that misses a write", "a wrong read")


def changed(read, revision, key, found):
    """The same read with another answer."""
    other = copy.copy(read)
    other.revision, other.do = revision, [{"get": key, "found": found}]
    return other


def planted_reads(order, operations):
    """{what: (the read, the wrong one in its place, how the finding begins)}; without those for which
    the history has no place where they are errors beyond doubt."""
    simple = [o for o in operations if o.outcome == "ok" and o.compares is None]
    puts = sorted((o for o in simple if "put" in o.do[0]), key=lambda o: o.returned)
    by_revision = {o.revision for o in puts}
    made = {}
    for read in sorted((o for o in simple if "get" in o.do[0] and not o.serializable),
                       key=lambda o: o.call, reverse=True):
        key, found = read.do[0]["get"], read.do[0]["found"]
        if found and found["mod"] in by_revision:
            wrong = changed(read, read.revision, key, {**found, "value": "never"})
            made.setdefault("a wrong read", (read, wrong, "WRONG READ"))
        for put in reversed(puts[:bisect.bisect_left(puts, read.call, key=lambda o: o.returned)]):
            key, revision = put.do[0]["put"], put.revision
            old = order.at(key, revision - 1)
            # One that was not there could be missing again, for a deletion that nobody heard of.
            if old:
                stale = changed(read, revision - 1, key, old)
                made.setdefault("a stale read", (read, stale, "STALE"))
                missed = changed(read, read.revision, key, old)
                made.setdefault("a read that misses a write", (read, missed, "WRONG READ"))
                break
        if len(made) == 3:
            break
    return made


def planted(order, operations, final):
    """Errors in copies of this very history: {what: (events, operations, final, how the finding
    begins)}; None where it has no place for one."""
    made = dict.fromkeys(("a lost write", "a write done twice", *SEEN))
    events = order.events
    lost = next((o for o in reversed(operations) if o.outcome == "ok" and o.wrote()), None)
    if lost:
        made["a lost write"] = ([e for e in events if e[0] != lost.revision], operations, final, "LOST")
    twice = next((e for e in reversed(events) if e[2]), None)
    if twice:
        made["a write done twice"] = ([*events, (final + 1, *twice[1:])], operations, final + 1, "TWICE")
    for name, (read, wrong, word) in planted_reads(order, operations).items():
        made[name] = (events, [wrong if o is read else o for o in operations], final, word)
    return made


def check_the_judge(order, operations, final):
    """Errors planted into copies of this very history must be found. Returns the copies in which a
    client saw the error, the number of errors found, and of those for which there was no place."""
    made = planted(order, operations, final)
    possible = {name: what for name, what in made.items() if what}
    for name, (some_events, some_operations, end, word) in possible.items():
        if not any(p.startswith(word) for p in judge(some_events, some_operations, end).problems):
            raise cluster.Failure(f"the check does not find {name} that was planted")
    return ({name: possible[name][1] for name in SEEN if name in possible}, len(possible),
            len(made) - len(possible))
