// prims_source_priv.h: the source of tools, shared by its parts. SPDX-License-Identifier:
// Apache-2.0
#ifndef PLEXUS_PRIMS_PRIMS_SOURCE_PRIV_H
#define PLEXUS_PRIMS_PRIMS_SOURCE_PRIV_H

#include "base/list.h"
#include "prims/prims_priv.h"
#include "text/schema.h"

enum {
    ENV_MAX = 64,
    SAID_MAX = 2048,    // of a child's standard error
    FILES_BYTES = 256 << 20, // memory of a call that runs no program
    ROWS_MAX = 16,
};

struct tool_row { // what is made of a prim_row once
    const struct prim_row *row;
    struct val *input, *output;
    struct json_doc *doc;
    struct schema *schema;
    char *description;
};

struct prims {
    struct tools tools;
    struct prims_args a;
    char *self;
    struct jail_opts bare, shell;
    struct jail_words bare_words, shell_words;
    const char *env[ENV_MAX + 8];
    char *own[ENV_MAX + JAIL_FOLDERS_MAX + 4]; // texts to free
    size_t owned;
    struct tool_row rows[ROWS_MAX];
    size_t rows_n;
    struct list running, waiting, cancelled, probes;
    unsigned running_n, waiting_n;
    struct jail_report report;
    bool reported;
};

// prims.c
extern const struct tools_ops prims_ops;
void prims_end_calls(struct prims *p); // their done comes from here, E_CANCELLED
// prims_probe.c
int prims_spawn(struct prims *p, const struct jail_words *words, const char *verb, bool shell,
                struct proc_args *args, struct proc **ret, struct err *e);
void prims_end_probes(struct prims *p);

#endif
