/* Txn text: the small language in which a transaction is written for synod txn.
 *
 *     # comment
 *     if   value|version|create|mod|lease KEY =|!=|<|> OPERAND
 *     then put KEY VALUE [--lease ID]
 *     then get KEY [RANGE_END] [--prefix]
 *     else del KEY [RANGE_END] [--prefix]
 *
 * One item a line; words are separated by blanks, or quoted with "..." in which \n \t \r \" \\ and
 * \xff stand for bytes. */
#ifndef SYNOD_CLI_TXN_TEXT_H
#define SYNOD_CLI_TXN_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "etcd_rpc.pb-c.h"

struct txn_text {
    Etcdserverpb__TxnRequest request; /* valid after txn_text_parse */
    size_t line;                      /* of the error, from 1 */
    char error[200];
    void **owned;
    size_t owned_count;
};

/* Parses text of `size` bytes, which is changed and must stay until the release. False with line
 * and error set. Release in either case. */
bool txn_text_parse(struct txn_text *txn, char *text, size_t size);
void txn_text_release(struct txn_text *txn);

#endif
