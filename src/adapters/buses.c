// buses.c: every bus, one line each.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/bus_priv.h"
#include <string.h>

const struct bus_engine *bus_engines(void)
{
    static const struct bus_engine table[] = {
        {"embedded", "inside this node; its store is memory and ends with it", bus_memory_open},
        {"nats", "NATS, and JetStream as its store", bus_nats_open},
        {"redis", "Redis: Streams as its store, publish and subscribe for the rest",
         bus_redis_open},
        {NULL, NULL, NULL},
    };
    return table;
}

const struct bus_engine *bus_engine_find(const char *name)
{
    for (const struct bus_engine *x = bus_engines(); x->name; x++)
        if (!strcmp(x->name, name))
            return x;
    return NULL;
}
