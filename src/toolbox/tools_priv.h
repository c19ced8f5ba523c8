// tools_priv.h: what the files of the union of tools share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_TOOLS_PRIV_H
#define PLEXUS_TOOLBOX_TOOLS_PRIV_H

#include "base/alloc.h"
#include "base/map.h"
#include "toolbox/tools_all.h"

#define TOOLS_NAMES_MAX 20000 // tools with counters of their own, and with kept schemas
#define TOOLS_TIMEOUT_MS ((int64_t)10 * 60 * 1000)
#define TOOLS_GRACE_MS 100 // a source that knows its own limit says better why it ended

struct tools_source {
    struct list link;
    struct tools *tools;
    struct bytes prefix;
};

struct tools_all {
    struct tools base; // first
    struct tools_all_args args;
    struct list sources; // struct tools_source, in the order in which they came
    struct list calls;   // struct tools_call
    uint64_t own_epoch;  // of sources that came and went
    char found[TOOL_NAME_MAX + 1]; // whole name of what find gave last
    struct map *shapes;            // "i" or "o" and the name → struct tools_shape
    struct map *counts;            // name → struct tools_counts
    struct tools_counts total;
    struct tools_record *records; // a ring; made with the first call
    uint64_t serial;
    bool freeing;
};

// tools_all.c
// Which source has it, and what it says of it, with its whole name. NULL: nobody.
struct tools_source *tools_find(struct tools_all *t, struct bytes name, struct tool_about *ret);
bool tools_granted(const struct tools_all *t, const struct tool_about *a,
                   const struct tool_caller *c);
// tools_call.c
int tools_start(struct tools *base, const struct tool_args *args, struct tool_req *r,
                struct err *e);
void tools_cancel(struct tools *base, struct tool_req *r);
void tools_calls_of(struct tools_all *t, const struct tools_source *s); // cancels; NULL: all end
// tools_shape.c
enum tools_side { TOOLS_INPUT, TOOLS_OUTPUT };
// E_INVALID (arguments), E_MANIFEST (the answer, or the schema itself), E_NOMEM.
int tools_shape(struct tools_all *t, struct bytes name, enum tools_side side,
                const struct val *schema, const struct val *v, struct err *e);
void tools_shapes_free(struct tools_all *t);
// tools_record.c
void tools_record_begin(struct tools_all *t, struct tools_record *rec, const struct tool_args *args,
                        const struct tool_about *a); // a NULL: nobody has it
void tools_record_began(struct tools_all *t, struct tools_record *rec);
// began: it was handed to its source.
void tools_record_end(struct tools_all *t, struct tools_record *rec, bool began, int status,
                      const struct err *e);
void tools_records_free(struct tools_all *t);

#endif
