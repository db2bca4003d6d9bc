/* The Cluster service, as far as membership is fixed: the list of members. Its headers carry no
 * revision. */
#include "front/etcd/call.h"
#include "front/etcd/handlers.h"
#include "front/etcd/message.h"

static char **member_urls(struct arena *arena, const struct bytes *urls, uint32_t count)
{
    char **texts = arena_alloc(arena, count * sizeof *texts);
    for (uint32_t i = 0; i < count; i++)
        texts[i] = message_text(arena, urls[i]);
    return texts;
}

static Etcdserverpb__Member *member_message(struct arena *arena,
                                            const struct command_member *member)
{
    Etcdserverpb__Member *message = arena_alloc(arena, sizeof *message);
    etcdserverpb__member__init(message);
    message->id = member->id;
    message->name = message_text(arena, member->name);
    message->n_peerurls = member->peer_urls_count;
    message->peerurls = member_urls(arena, member->peer_urls, member->peer_urls_count);
    message->n_clienturls = member->client_urls_count;
    message->clienturls = member_urls(arena, member->client_urls, member->client_urls_count);
    return message;
}

static void member_list_reply(struct call *call)
{
    struct etcd_front *front = call_front(call);
    struct arena *arena = &front->reply;
    uint32_t count;
    arena_reset(arena);
    struct command_member *members = replica_members(front->replica, arena, &count);
    Etcdserverpb__MemberListResponse reply = ETCDSERVERPB__MEMBER_LIST_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header = message_header(front, 0);
    reply.header = &header;
    reply.n_members = count;
    reply.members = arena_alloc(arena, count * sizeof(void *));
    for (uint32_t i = 0; i < count; i++)
        reply.members[i] = member_message(arena, &members[i]);
    call_reply(call, &reply.base);
    arena_reset(arena);
}

static void on_members_fresh(struct request *request, enum status status,
                             const struct result *result)
{
    (void)result;
    struct call *call = call_done(request, status);
    if (call != NULL)
        member_list_reply(call);
}

void call_member_list(struct call *call, struct bytes message)
{
    const Etcdserverpb__MemberListRequest *request =
        call_decode(call, &etcdserverpb__member_list_request__descriptor, message);
    if (request == NULL)
        return;
    if (request->linearizable)
        call_read(call, on_members_fresh);
    else
        member_list_reply(call);
}
