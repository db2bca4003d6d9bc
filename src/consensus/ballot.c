/* Ballots: their order and their eleven bytes. */
#include "consensus/ballot.h"

int ballot_compare(struct ballot a, struct ballot b)
{
    if (a.round != b.round)
        return a.round < b.round ? -1 : 1;
    if (a.node != b.node)
        return a.node < b.node ? -1 : 1;
    return (int)a.kind - (int)b.kind;
}

bool ballot_is_zero(struct ballot ballot)
{
    return ballot.round == 0 && ballot.node == 0 && ballot.kind == 0;
}

void write_ballot(struct writer *w, struct ballot ballot)
{
    write_u64(w, ballot.round);
    write_u16(w, ballot.node);
    write_u8(w, ballot.kind);
}

struct ballot read_ballot(struct reader *r)
{
    struct ballot ballot;
    ballot.round = read_u64(r);
    ballot.node = read_u16(r);
    ballot.kind = read_u8(r);
    return ballot;
}
