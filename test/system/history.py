"""What clients asked and what they were told: one operation, its messages, and files of them.

The operations of a history are kept as its format writes them (doc/formats/history.md): dictionaries,
with the results in them once they are known. An operation whose answer did not come has the outcome
`unknown`: it may have been done, once, at any time after it was called.

Who judges: verdict.py.
"""
import json

import cluster
import etcd_api as api

PREFIX = "h/"
KEYS = [f"{PREFIX}{i:02d}" for i in range(20)]


class Operation:
    """One call of a client. `do` are the operations as the history format writes them, results and
    all, once they are known; those of a transaction are the branch that was taken."""
    __slots__ = ("client", "through", "call", "returned", "outcome", "revision", "do", "compares",
                 "branches", "succeeded", "serializable")

    def __init__(self, *do, serializable=False):
        self.do, self.serializable = list(do), serializable
        self.compares = self.branches = self.succeeded = self.returned = None
        self.outcome, self.revision, self.through = "unknown", 0, "?"

    @staticmethod
    def txn(compares, success, failure):
        made = Operation()
        made.compares, made.branches = compares, (success, failure)
        return made

    def json(self):
        made = {"client": self.client, "call": self.call, "return": self.returned,
                "outcome": self.outcome}
        if self.outcome == "ok":
            made["revision"] = self.revision
        else:
            made["return"] = None if self.outcome == "unknown" else self.returned
        if self.compares is not None:
            made["if"] = self.compares
            if self.outcome == "ok":
                made["succeeded"] = self.succeeded
                made["do"], made["else_do"] = self.do, self.branches[self.succeeded]
            else:
                made["then"], made["else"] = self.branches
        else:
            made["do"] = self.do
        if self.serializable:
            made["serializable"] = True
        return made

    def __str__(self):
        return f"{json.dumps(self.json())} through {self.through}"

    def writes(self):
        """Whether it may change something."""
        every = self.do if self.branches is None else [*self.branches[0], *self.branches[1]]
        return any("put" in one or "delete" in one or "revoke" in one for one in every)

    def wrote(self):
        """Whether it changed something, once it was answered."""
        return any("put" in one or one.get("deleted") for one in self.do)


# --- the messages ---------------------------------------------------------------------------------


def padded(value):
    """What is stored for a value: one whose name ends with +N has N bytes more, which the history
    leaves out."""
    name, plus, size = value.partition("+")
    return value + "|" + name[-1] * int(size) if plus else value


def unpadded(text):
    value = text.partition("|")[0]
    return value if padded(value) == text else text


def to_request(one):
    """The request of one operation."""
    if "put" in one:
        return api.PutRequest(key=one["put"].encode(), value=padded(one["value"]).encode(),
                              lease=one.get("lease", 0))
    if "get" in one:
        return api.RangeRequest(key=one["get"].encode())
    if "revoke" in one:
        return api.LeaseRevokeRequest(ID=one["revoke"])
    if "range" in one:
        return api.RangeRequest(key=one["range"].encode(), range_end=one["end"].encode())
    return api.DeleteRangeRequest(key=one["delete"].encode(), range_end=one.get("end", "").encode())


def to_request_op(one):
    request = to_request(one)
    field = {"PutRequest": "request_put", "RangeRequest": "request_range",
             "DeleteRangeRequest": "request_delete_range"}[type(request).__name__]
    return api.RequestOp(**{field: request})


def to_compare(one):
    if "value" in one:
        return api.Compare(target=3, key=one["key"].encode(), value=padded(one["value"]).encode())
    if "exists" in one:
        return api.Compare(target=1, result=1 if one["exists"] else 0, key=one["key"].encode(),
                           create_revision=0)
    return api.Compare(target=2, key=one["key"].encode(), mod_revision=one["mod"])


def with_result(one, reply):
    """The operation with what was answered in it."""
    done = dict(one)
    if "get" in one:
        done["found"] = as_found(reply.kvs[0]) if reply.kvs else None
    elif "range" in one:
        done["found"] = [{"key": kv.key.decode(), **as_found(kv)} for kv in reply.kvs]
        done["count"], done["more"] = reply.count, reply.more
    elif "delete" in one:
        done["deleted"] = reply.deleted
    return done


def as_found(kv):
    return {"value": unpadded(kv.value.decode()), "create": kv.create_revision, "mod": kv.mod_revision,
            "version": kv.version}


def result_of(response):
    for name in ("response_range", "response_put", "response_delete_range"):
        if response.HasField(name):
            return getattr(response, name)
    raise cluster.Failure(f"an answer without a result: {response}")


# --- the file -------------------------------------------------------------------------------------


def write_history(path, operations):
    first = min((o.call for o in operations), default=0)
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"format":"synod-history","version":1}\n')
        for one in sorted(operations, key=lambda o: o.call):
            line = one.json()
            line["call"] -= first
            if line["return"] is not None:
                line["return"] -= first
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
