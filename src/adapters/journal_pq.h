// journal_pq.h: PostgreSQL's client library, found when it is first needed, and the little of it
// that the journal uses. A connection belongs to one thread at a time, which waits for the server.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_JOURNAL_PQ_H
#define PLEXUS_ADAPTERS_JOURNAL_PQ_H

#include "base/bytes.h"
#include "base/err.h"
#include <stddef.h>

struct pq;

struct pq_args { // borrowed as long as the connection lives
    const char *url, *user, *password; // NULL: as the library finds them
    const char *const *sql; // statements, by their numbers; ends with NULL; $1::TYPE
};

// E_UNSUPPORTED: no libpq here. E_UNAVAILABLE: no answer, or refused; the text says the mend.
int pq_open(struct pq **ret, const struct pq_args *args, struct err *e);
void pq_close(struct pq *p);
int pq_version(const struct pq *p); // 150018
bool pq_lost(const struct pq *p);   // the connection: nothing works any more

struct pq_param {
    struct bytes text; // or bytes as they are (binary)
    bool binary, null;
};
static inline struct pq_param pq_text(struct bytes s)
{
    return (struct pq_param){s, false, false};
}
static inline struct pq_param pq_bytes(struct bytes s)
{
    return (struct pq_param){s, true, false};
}

// Errors: E_UNAVAILABLE: the connection was lost. E_BUSY: this transaction lost a race: once more.
// E_EXISTS: the same, with another's new row. E_NOSPACE, E_NOMEM, E_PERM, E_IO, E_LOCKED.
int pq_exec(struct pq *p, const char *sql, struct err *e); // no rows
// Rows stay until the next call; *ret_rows their number, or that of changed rows.
int pq_ask(struct pq *p, const char *sql, const struct pq_param *params, int n, size_t *ret_rows,
           struct err *e);
struct bytes pq_value(struct pq *p, size_t row, int column); // NULL: p NULL
int64_t pq_number(struct pq *p, size_t row, int column);
// Bytes out of their text form, in place: of a bytea column of the rows that are there.
struct bytes pq_unhex(struct bytes hex, char *out);

// A line of statements without waiting for each: at most some hundred, then pq_wait. Fewer changed
// rows than least: E_BUSY from the wait.
int pq_send(struct pq *p, int statement, const struct pq_param *params, int n, unsigned least,
            struct err *e);
int pq_wait(struct pq *p, struct err *e);
unsigned pq_sent(const struct pq *p); // since the last wait

#endif
