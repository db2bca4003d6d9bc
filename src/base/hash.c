#include "base/hash.h"

__extension__ typedef unsigned __int128 wide_product;

/* Multiply and fold: the high and the low half of a 128-bit product carry every bit of both. */
static uint64_t hash_multiply(uint64_t a, uint64_t b)
{
    wide_product product = (wide_product)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#define HASH_A 0x9e3779b97f4a7c15u
#define HASH_B 0xd1b54a32d192ed03u

uint64_t hash_u64(uint64_t value)
{
    return hash_multiply(value ^ HASH_A, HASH_B);
}

uint64_t hash_fold(uint64_t hash, uint64_t value)
{
    return hash_multiply(hash ^ HASH_B, value ^ HASH_A) + hash;
}

uint64_t hash_bytes(uint64_t hash, struct bytes bytes)
{
    const uint8_t *at = bytes.data;
    size_t left = bytes.size;
    for (; left >= 8; left -= 8, at += 8)
        hash = hash_fold(hash, load_u64(at));
    uint64_t tail = 0;
    for (size_t i = 0; i < left; i++)
        tail |= (uint64_t)at[i] << (8 * i);
    return hash_fold(hash_fold(hash, tail), bytes.size);
}
