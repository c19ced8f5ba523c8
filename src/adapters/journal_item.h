// journal_item.h: how the calls of a journal are copied; for journal_core.c and the adapters.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_JOURNAL_ITEM_H
#define PLEXUS_ADAPTERS_JOURNAL_ITEM_H

#include "adapters/journal_priv.h"

// Limits of all journals alike, so that a run may move from one to another.
#define JOURNAL_ID_MAX 256
#define JOURNAL_KEY_MAX 512
#define JOURNAL_NUMBER_MAX UINT32_MAX // of entries of one run

size_t journal_run_bytes(const struct journal_run *run); // of its texts
void journal_run_copy(struct journal_run *to, const struct journal_run *run, char **text);

// E_INVALID, E_TOOBIG, E_NOMEM. Freed with mem_free.
int journal_item_write(const struct journal_write *w, struct journal_req *r, size_t bytes_max,
                       struct journal_item **ret, struct err *e);
// The entries of a change of an item: one text, with \n between them.
struct bytes journal_change_lines(const struct journal_change *x);
// NULL: no memory.
struct journal_item *journal_item_read(const struct journal_read *a, struct journal_req *r);
struct journal_item *journal_item_list(const struct journal_list *a, struct journal_req *r);
struct journal_item *journal_item_keys(const struct journal_keys *a, struct journal_req *r);
struct journal_item *journal_item_doc(struct bytes hash,
                                      void (*on_doc)(void *user, struct bytes text), void *user,
                                      struct journal_req *r);
struct journal_item *journal_item_prune(struct journal_req *r);
struct journal_item *journal_item_take(const char *from, struct journal_req *r);

#endif
