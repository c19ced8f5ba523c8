// registry_memory.h: the table that registries of one process share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_REGISTRY_MEMORY_H
#define PLEXUS_ADAPTERS_REGISTRY_MEMORY_H

struct registry_table;
struct registry_table *registry_table_new(void); // NULL: no memory
void registry_table_free(struct registry_table *t); // after all registries of it are closed

#endif
