/* Transactions: if, then, else, nested. Decided as a whole on the state before, checked as a whole,
 * and only then carried out: one that is refused has changed nothing. */
#ifndef SYNOD_SERVICE_TXN_H
#define SYNOD_SERVICE_TXN_H

#include "service/machine.h"

/* Carries out a transaction whose fields were checked. The store is open, unless the transaction
 * only reads. `results`: build the results of its operations; else only the refusal counts. */
void txn_run(struct store *store, const struct txn *txn, struct arena *arena, bool results,
             struct result *ret_result);
/* One put or deletion, alone or in a transaction; it has passed store_put_check. */
void txn_put(struct store *store, const struct put *put, struct result *ret_result);
void txn_delete(struct store *store, const struct command *command, struct arena *arena,
                bool results, struct result *ret_result);

#endif
