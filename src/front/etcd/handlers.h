/* Handlers: what carries the methods out, one file for each of etcd's services. Their contract is
 * struct method (method.h). */
#ifndef SYNOD_FRONT_ETCD_HANDLERS_H
#define SYNOD_FRONT_ETCD_HANDLERS_H

#include "base/bytes.h"

struct call;

/* range.c */
void call_range(struct call *call, struct bytes message);
void call_range_stream(struct call *call, struct bytes message);
void call_range_half_closed(struct call *call);
void call_range_woken(struct call *call);
void call_range_over(struct call *call);

/* kv.c */
void call_put(struct call *call, struct bytes message);
void call_delete_range(struct call *call, struct bytes message);
void call_txn(struct call *call, struct bytes message);
void call_compact(struct call *call, struct bytes message);

/* watch.c */
void call_watch(struct call *call, struct bytes message);
void call_watch_half_closed(struct call *call);
void call_watch_woken(struct call *call);
void call_watch_over(struct call *call);

/* lease.c */
void call_lease_grant(struct call *call, struct bytes message);
void call_lease_revoke(struct call *call, struct bytes message);
void call_lease_keep_alive(struct call *call, struct bytes message);
void call_lease_time_to_live(struct call *call, struct bytes message);
void call_lease_leases(struct call *call, struct bytes message);

/* cluster.c */
void call_member_list(struct call *call, struct bytes message);

/* maintenance.c */
void call_alarm(struct call *call, struct bytes message);
void call_status(struct call *call, struct bytes message);
void call_defragment(struct call *call, struct bytes message);
void call_hash(struct call *call, struct bytes message);
void call_hash_kv(struct call *call, struct bytes message);
void call_move_leader(struct call *call, struct bytes message);

/* snapshot.c */
void call_snapshot(struct call *call, struct bytes message);
void call_snapshot_half_closed(struct call *call);
void call_snapshot_woken(struct call *call);
void call_snapshot_over(struct call *call);

/* health.c */
void call_health_check(struct call *call, struct bytes message);
void call_health_watch(struct call *call, struct bytes message);
void call_health_watch_half_closed(struct call *call);
void call_health_watch_over(struct call *call);

#endif
