// registries.c: every registry, one line each. Without one, nodes hear of each other over their
// direct links alone (room links), which go on beside any of these.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/registry_priv.h"
#include <string.h>

const struct registry_engine *registry_engines(void)
{
    static const struct registry_engine table[] = {
        {"memory", "a table in this process, for nodes that share it", registry_memory_open},
        {"nats", "a key-value bucket of NATS", registry_nats_open},
        {NULL, NULL, NULL},
    };
    return table;
}

const struct registry_engine *registry_engine_find(const char *name)
{
    for (const struct registry_engine *x = registry_engines(); x->name; x++)
        if (!strcmp(x->name, name))
            return x;
    return NULL;
}
