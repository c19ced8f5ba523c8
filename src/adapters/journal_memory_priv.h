// journal_memory_priv.h: what a journal in memory keeps, apart from when it says so.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_JOURNAL_MEMORY_PRIV_H
#define PLEXUS_ADAPTERS_JOURNAL_MEMORY_PRIV_H

#include "adapters/journal_item.h"
#include "adapters/journal_memory.h"

// A node comes: its fence is raised. E_NOMEM.
int journal_disk_join(struct journal_disk *d, const char *owner, uint64_t *ret_fence);
bool journal_disk_fenced(const struct journal_disk *d, const char *owner, uint64_t fence);
// A write, a prune or a take, whole or not at all; its status is in x. E_NOMEM: nothing was done.
int journal_disk_apply(struct journal_disk *d, struct journal_item *x, const char *owner);
// A read of any kind; its rows go out at once; its status is in x.
void journal_disk_read(struct journal_disk *d, struct journal_item *x, const char *owner);
uint64_t journal_disk_bytes(const struct journal_disk *d);

#endif
