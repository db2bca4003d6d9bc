/* protobuf-c over an arena. Decoding stops at a budget: a few bytes of a message can stand for a
 * large structure, and a hostile one consists of nothing else. */
#include "front/etcd/message.h"

#include <string.h>

#define UNFOLDED_BYTES_MAX ((size_t)32 * 1024 * 1024)

struct unfolding {
    struct arena *arena;
    size_t left;
};

static void *unfold_alloc(void *owner, size_t size)
{
    struct unfolding *unfolding = owner;
    if (size > unfolding->left)
        return NULL;
    unfolding->left -= size;
    return arena_alloc(unfolding->arena, size);
}

static void unfold_free(void *owner, void *at)
{
    (void)owner;
    (void)at;
}

void *message_unfold(struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
                     struct bytes message)
{
    struct unfolding unfolding = {.arena = arena, .left = UNFOLDED_BYTES_MAX};
    ProtobufCAllocator allocator = {unfold_alloc, unfold_free, &unfolding};
    static const uint8_t nothing[1];
    const uint8_t *data = message.size > 0 ? message.data : nothing;
    return protobuf_c_message_unpack(descriptor, &allocator, message.size, data);
}

Etcdserverpb__ResponseHeader message_header(struct etcd_front *front, int64_t revision)
{
    const struct replica_status *status = front_status(front);
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    header.cluster_id = status->cluster;
    header.member_id = status->member;
    header.raft_term = status->term;
    header.revision = revision;
    return header;
}

Etcdserverpb__ResponseHeader message_header_now(struct etcd_front *front)
{
    return message_header(front, store_revision(front_store(front)));
}

void message_kv(Mvccpb__KeyValue *into, const struct kv *kv)
{
    mvccpb__key_value__init(into);
    into->key = message_data(kv->key);
    into->value = message_data(kv->value);
    into->create_revision = kv->create_revision;
    into->mod_revision = kv->mod_revision;
    into->version = kv->version;
    into->lease = kv->lease;
}

Mvccpb__KeyValue **message_kvs(struct arena *arena, const struct kv *kvs, size_t count)
{
    Mvccpb__KeyValue **pointers = arena_alloc(arena, count * sizeof(void *));
    Mvccpb__KeyValue *messages = arena_alloc(arena, count * sizeof *messages);
    for (size_t i = 0; i < count; i++) {
        message_kv(&messages[i], &kvs[i]);
        pointers[i] = &messages[i];
    }
    return pointers;
}

char *message_text(struct arena *arena, struct bytes text)
{
    char *at = arena_alloc(arena, text.size + 1);
    if (text.size > 0)
        memcpy(at, text.data, text.size);
    at[text.size] = '\0';
    return at;
}
