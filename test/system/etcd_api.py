"""The etcd v3 messages as this project's tests speak them: all fields, built at run time.

python3-etcd3's own stubs are of an old version of the API (no fragments, no progress requests, no
chosen watch ids), so the schema stands here, one message a line, and becomes protobuf classes in a
pool of its own. `Api(endpoint)` has one callable for each method.

Field types: i i64, u u64, w u32, s string, b bytes, t bool, e enum (as i32), @Message, * repeated.
"""
import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SCHEMA = """
ResponseHeader: cluster_id=1u member_id=2u revision=3i raft_term=4u
KeyValue: key=1b create_revision=2i mod_revision=3i version=4i value=5b lease=6i
Event: type=1e kv=2@KeyValue prev_kv=3@KeyValue
RangeRequest: key=1b range_end=2b limit=3i revision=4i sort_order=5e sort_target=6e serializable=7t \
    keys_only=8t count_only=9t min_mod_revision=10i max_mod_revision=11i min_create_revision=12i \
    max_create_revision=13i
RangeResponse: header=1@ResponseHeader kvs=2*@KeyValue more=3t count=4i
RangeStreamResponse: range_response=1@RangeResponse
PutRequest: key=1b value=2b lease=3i prev_kv=4t ignore_value=5t ignore_lease=6t
PutResponse: header=1@ResponseHeader prev_kv=2@KeyValue
DeleteRangeRequest: key=1b range_end=2b prev_kv=3t
DeleteRangeResponse: header=1@ResponseHeader deleted=2i prev_kvs=3*@KeyValue
RequestOp: |request_range=1@RangeRequest |request_put=2@PutRequest \
    |request_delete_range=3@DeleteRangeRequest |request_txn=4@TxnRequest
ResponseOp: |response_range=1@RangeResponse |response_put=2@PutResponse \
    |response_delete_range=3@DeleteRangeResponse |response_txn=4@TxnResponse
Compare: result=1e target=2e key=3b |version=4i |create_revision=5i |mod_revision=6i |value=7b \
    |lease=8i range_end=64b
TxnRequest: compare=1*@Compare success=2*@RequestOp failure=3*@RequestOp
TxnResponse: header=1@ResponseHeader succeeded=2t responses=3*@ResponseOp
CompactionRequest: revision=1i physical=2t
CompactionResponse: header=1@ResponseHeader
WatchRequest: |create_request=1@WatchCreateRequest |cancel_request=2@WatchCancelRequest \
    |progress_request=3@WatchProgressRequest
WatchCreateRequest: key=1b range_end=2b start_revision=3i progress_notify=4t filters=5*e prev_kv=6t \
    watch_id=7i fragment=8t
WatchCancelRequest: watch_id=1i
WatchProgressRequest:
WatchResponse: header=1@ResponseHeader watch_id=2i created=3t canceled=4t compact_revision=5i \
    cancel_reason=6s fragment=7t events=11*@Event
LeaseGrantRequest: TTL=1i ID=2i
LeaseGrantResponse: header=1@ResponseHeader ID=2i TTL=3i error=4s
LeaseRevokeRequest: ID=1i
LeaseRevokeResponse: header=1@ResponseHeader
LeaseKeepAliveRequest: ID=1i
LeaseKeepAliveResponse: header=1@ResponseHeader ID=2i TTL=3i
LeaseTimeToLiveRequest: ID=1i keys=2t
LeaseTimeToLiveResponse: header=1@ResponseHeader ID=2i TTL=3i grantedTTL=4i keys=5*b
LeaseLeasesRequest:
LeaseStatus: ID=1i
LeaseLeasesResponse: header=1@ResponseHeader leases=2*@LeaseStatus
Member: ID=1u name=2s peerURLs=3*s clientURLs=4*s isLearner=5t
MemberListRequest: linearizable=1t
MemberListResponse: header=1@ResponseHeader members=2*@Member
MemberAddRequest: peerURLs=1*s isLearner=2t
MemberAddResponse: header=1@ResponseHeader member=2@Member members=3*@Member
AlarmRequest: action=1e memberID=2u alarm=3e
AlarmMember: memberID=1u alarm=2e
AlarmResponse: header=1@ResponseHeader alarms=2*@AlarmMember
StatusRequest:
StatusResponse: header=1@ResponseHeader version=2s dbSize=3i leader=4u raftIndex=5u raftTerm=6u \
    raftAppliedIndex=7u errors=8*s dbSizeInUse=9i isLearner=10t storageVersion=11s
DefragmentRequest:
DefragmentResponse: header=1@ResponseHeader
HashRequest:
HashResponse: header=1@ResponseHeader hash=2w
HashKVRequest: revision=1i
HashKVResponse: header=1@ResponseHeader hash=2w compact_revision=3i hash_revision=4i
SnapshotRequest:
SnapshotResponse: header=1@ResponseHeader remaining_bytes=2u blob=3b version=4s
MoveLeaderRequest: targetID=1u
MoveLeaderResponse: header=1@ResponseHeader
AuthEnableRequest:
AuthEnableResponse: header=1@ResponseHeader
LockRequest: name=1b lease=2i
LockResponse: header=1@ResponseHeader key=2b
HealthCheckRequest: service=1s
HealthCheckResponse: status=1e
"""

METHODS = {
    "Range": ("etcdserverpb.KV/Range", "RangeRequest", "RangeResponse", "unary_unary"),
    "RangeStream": ("etcdserverpb.KV/RangeStream", "RangeRequest", "RangeStreamResponse",
                    "unary_stream"),
    "Put": ("etcdserverpb.KV/Put", "PutRequest", "PutResponse", "unary_unary"),
    "DeleteRange": ("etcdserverpb.KV/DeleteRange", "DeleteRangeRequest", "DeleteRangeResponse",
                    "unary_unary"),
    "Txn": ("etcdserverpb.KV/Txn", "TxnRequest", "TxnResponse", "unary_unary"),
    "Compact": ("etcdserverpb.KV/Compact", "CompactionRequest", "CompactionResponse", "unary_unary"),
    "Watch": ("etcdserverpb.Watch/Watch", "WatchRequest", "WatchResponse", "stream_stream"),
    "LeaseGrant": ("etcdserverpb.Lease/LeaseGrant", "LeaseGrantRequest", "LeaseGrantResponse",
                   "unary_unary"),
    "LeaseRevoke": ("etcdserverpb.Lease/LeaseRevoke", "LeaseRevokeRequest", "LeaseRevokeResponse",
                    "unary_unary"),
    "LeaseKeepAlive": ("etcdserverpb.Lease/LeaseKeepAlive", "LeaseKeepAliveRequest",
                       "LeaseKeepAliveResponse", "stream_stream"),
    "LeaseTimeToLive": ("etcdserverpb.Lease/LeaseTimeToLive", "LeaseTimeToLiveRequest",
                        "LeaseTimeToLiveResponse", "unary_unary"),
    "LeaseLeases": ("etcdserverpb.Lease/LeaseLeases", "LeaseLeasesRequest", "LeaseLeasesResponse",
                    "unary_unary"),
    "MemberList": ("etcdserverpb.Cluster/MemberList", "MemberListRequest", "MemberListResponse",
                   "unary_unary"),
    "MemberAdd": ("etcdserverpb.Cluster/MemberAdd", "MemberAddRequest", "MemberAddResponse",
                  "unary_unary"),
    "Alarm": ("etcdserverpb.Maintenance/Alarm", "AlarmRequest", "AlarmResponse", "unary_unary"),
    "Status": ("etcdserverpb.Maintenance/Status", "StatusRequest", "StatusResponse", "unary_unary"),
    "Defragment": ("etcdserverpb.Maintenance/Defragment", "DefragmentRequest", "DefragmentResponse",
                   "unary_unary"),
    "Hash": ("etcdserverpb.Maintenance/Hash", "HashRequest", "HashResponse", "unary_unary"),
    "HashKV": ("etcdserverpb.Maintenance/HashKV", "HashKVRequest", "HashKVResponse", "unary_unary"),
    "Snapshot": ("etcdserverpb.Maintenance/Snapshot", "SnapshotRequest", "SnapshotResponse",
                 "unary_stream"),
    "MoveLeader": ("etcdserverpb.Maintenance/MoveLeader", "MoveLeaderRequest", "MoveLeaderResponse",
                   "unary_unary"),
    "AuthEnable": ("etcdserverpb.Auth/AuthEnable", "AuthEnableRequest", "AuthEnableResponse",
                   "unary_unary"),
    "Lock": ("v3lockpb.Lock/Lock", "LockRequest", "LockResponse", "unary_unary"),
    "HealthCheck": ("grpc.health.v1.Health/Check", "HealthCheckRequest", "HealthCheckResponse",
                    "unary_unary"),
}

TYPES = {"i": 3, "u": 4, "w": 13, "s": 9, "b": 12, "t": 8, "e": 5, "@": 11}


def build_messages():
    file = descriptor_pb2.FileDescriptorProto(name="system_test.proto", package="t", syntax="proto3")
    for line in SCHEMA.strip().splitlines():
        name, _, fields = line.partition(":")
        message = file.message_type.add(name=name)
        for spec in fields.split():
            field = message.field.add(label=1)
            if spec.startswith("|"):
                if not message.oneof_decl:
                    message.oneof_decl.add(name="one")
                field.oneof_index = 0
            field.name, _, rest = spec.lstrip("|").partition("=")
            digits = "".join(c for c in rest if c.isdigit())
            field.number = int(digits)
            rest = rest[len(digits):]
            if rest.startswith("*"):
                field.label = 3
                rest = rest[1:]
            field.type = TYPES[rest[0]]
            if rest[0] == "@":
                field.type_name = ".t." + rest[1:]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return {m.name: factory.GetPrototype(pool.FindMessageTypeByName("t." + m.name))
            for m in file.message_type}


MESSAGES = build_messages()
globals().update(MESSAGES)

OPTIONS = [("grpc.enable_retries", 0), ("grpc.max_receive_message_length", 64 << 20),
           ("grpc.max_send_message_length", 64 << 20), ("grpc.use_local_subchannel_pool", 1),
           ("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50),
           ("grpc.max_reconnect_backoff_ms", 100)]


class Api:
    """One connection to one member: api.Put(PutRequest(...), timeout=2)."""

    def __init__(self, endpoint, options=()):
        self.endpoint = endpoint
        self.channel = grpc.insecure_channel(endpoint, options=OPTIONS + list(options))
        for name, (path, request, response, kind) in METHODS.items():
            call = getattr(self.channel, kind)("/" + path, MESSAGES[request].SerializeToString,
                                               MESSAGES[response].FromString)
            setattr(self, name, call)

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def prefix_end(key):
    """The end of the range of all keys that begin with `key`."""
    key = key.rstrip(b"\xff")
    return key[:-1] + bytes([key[-1] + 1]) if key else b"\0"
