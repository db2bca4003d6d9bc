/* Conversion between etcd's messages and the service's commands and results. Pure: what comes out
 * borrows the bytes of what went in, and the arrays live in the arena. */
#ifndef SYNOD_FRONT_ETCD_CONVERT_H
#define SYNOD_FRONT_ETCD_CONVERT_H

#include "front/etcd/message.h"

struct range_query convert_range(const Etcdserverpb__RangeRequest *request);
struct command convert_put(const Etcdserverpb__PutRequest *request);
struct command convert_delete(const Etcdserverpb__DeleteRangeRequest *request);
void convert_txn(const Etcdserverpb__TxnRequest *request, struct arena *arena,
                 struct command *ret_command);
/* Looks at an encoded transaction before it is unfolded: TOO_LARGE if it is nested too deeply or
 * has a list longer than `ops_max`, so that unfolding it is harmless. Whether it is well formed is
 * not looked at. */
enum status convert_txn_scan(struct bytes message, uint32_t ops_max) MUST_CHECK;

/* Results become messages but for their headers, which are of the outermost only. */
void convert_range_result(const struct range_result *result, struct arena *arena,
                          Etcdserverpb__RangeResponse *ret_reply);
void convert_put_result(const struct result *result, struct arena *arena,
                        Etcdserverpb__PutResponse *ret_reply);
void convert_delete_result(const struct result *result, struct arena *arena,
                           Etcdserverpb__DeleteRangeResponse *ret_reply);
void convert_txn_result(const struct result *result, struct arena *arena,
                        Etcdserverpb__TxnResponse *ret_reply);

#endif
