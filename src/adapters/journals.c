// journals.c: every journal, one line each.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/journal_priv.h"
#include <string.h>

const struct journal_engine *journal_engines(void)
{
    static const struct journal_engine table[] = {
        {"sqlite", "one file on this machine", journal_sqlite_open},
        {"postgres", "a PostgreSQL server, for several nodes", journal_postgres_open},
        {"memory", "in this process, gone with it: for tests", journal_memory_open},
        {NULL, NULL, NULL},
    };
    return table;
}

const struct journal_engine *journal_engine_find(const char *name)
{
    for (const struct journal_engine *x = journal_engines(); x->name; x++)
        if (!strcmp(x->name, name))
            return x;
    return NULL;
}
