/* Messages: protobuf into an arena, and the pieces that all answers share. */
#ifndef SYNOD_FRONT_ETCD_MESSAGE_H
#define SYNOD_FRONT_ETCD_MESSAGE_H

#include "front/etcd/internal.h"

#include <etcd_rpc.pb-c.h>

/* NULL for bytes that are no such message, or that would unfold to far more than they are. */
void *message_unfold(struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
                     struct bytes message);

/* A header as the outermost message of an answer has it. */
Etcdserverpb__ResponseHeader message_header(struct etcd_front *front, int64_t revision);
/* The same with the store's current revision. */
Etcdserverpb__ResponseHeader message_header_now(struct etcd_front *front);

static inline struct bytes message_bytes(ProtobufCBinaryData data)
{
    return bytes_of(data.data, data.len);
}

static inline ProtobufCBinaryData message_data(struct bytes bytes)
{
    return (ProtobufCBinaryData){bytes.size, (uint8_t *)(uintptr_t)bytes.data};
}

/* Borrows the key's and the value's bytes. */
void message_kv(Mvccpb__KeyValue *into, const struct kv *kv);
/* An array of pointers to messages of them, in the arena. */
Mvccpb__KeyValue **message_kvs(struct arena *arena, const struct kv *kvs, size_t count);
/* A terminated copy in the arena. */
char *message_text(struct arena *arena, struct bytes text);

#endif
