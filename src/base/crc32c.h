/* CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), as in iSCSI (RFC 3720) and in etcd's
 * hashes. Uses the processor's instruction where the build allows it to be detected, and a table
 * elsewhere. */
#ifndef SYNOD_BASE_CRC32C_H
#define SYNOD_BASE_CRC32C_H

#include "base/bytes.h"

/* Continues `crc`, the result of an earlier call; 0 starts. */
uint32_t crc32c(uint32_t crc, struct bytes bytes);

#endif
