// caps_priv.h: what the files of capabilities share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_CAPS_PRIV_H
#define PLEXUS_TOOLBOX_CAPS_PRIV_H

#include "base/alloc.h"
#include "base/map.h"
#include "base/time.h"
#include "text/schema.h"
#include "toolbox/caps.h"

#define CAPS_FOLDER_MAX 800
#define CAPS_EVALUATION "evaluation" // who calls then
#define CAPS_PATH_MAX 1024

struct caps_item;
struct caps_code;

struct caps_tool { // one name of the list
    char name[TOOL_NAME_MAX + 1];
    const struct manifest_tool *tool;
    struct caps_item *item;
    struct json_doc *input_doc, *output_doc; // made with the first call
    struct schema *input, *output;
};
struct caps_item { // one version of one capability
    struct list link;
    unsigned refs;
    bool removed;
    struct manifest *m;
    struct permit *permit; // or NULL
    char as[TOOL_NAME_MAX + 1];
    int64_t added_ms;
    struct caps_tool *tools; // m->tool_count
    struct sandbox_mod *mod;
    struct caps_code *compiling;
    struct list waiting; // calls that wait for the code
    struct list used;    // in caps.modules while mod is there: the last used first
};

struct caps_outbox;
struct caps {
    struct tools tools; // first
    struct caps_args args;
    char folder[CAPS_FOLDER_MAX];
    int index; // descriptor, appended to
    uint64_t index_bytes;
    size_t lines, damaged;
    struct list items, modules, calls, reqs;
    size_t item_count, module_count, call_count;
    struct map *names, *urns, *bases; // to caps_tool; to caps_item by URN, by what it is called
    struct caps_tool **sorted; // all names, in order
    size_t tool_count;
    struct caps_outbox *outbox;
    bool stopping;
};

// ---- caps_index.c: the folder -------------------------------------------------------------------

int caps_index_open(struct caps *c, struct err *e);
void caps_index_close(struct caps *c);
// One line more, on the disk when it returns; on failure the file is as it was.
int caps_index_add(struct caps *c, struct val *takes, struct err *e);
int caps_blob_put(struct caps *c, const char *hash, struct bytes data, struct err *e);
int caps_blob_get(struct caps *c, const struct manifest *m, struct buf *ret, struct err *e);
void caps_blob_remove(struct caps *c, const char *hash); // when no item has it

// ---- caps_store.c: what is kept -----------------------------------------------------------------

// Puts it into the tables. Takes m on success.
int caps_take(struct caps *c, struct manifest *m, struct bytes as, int64_t added_ms,
              struct caps_item **ret, struct err *e);
void caps_drop(struct caps *c, struct caps_item *i); // out of the tables
void caps_item_unref(struct caps_item *i);
struct caps_item *caps_item_of(struct caps *c, struct bytes name); // tool's name or URN
struct caps_tool *caps_tool_of(struct caps *c, struct bytes name);
bool caps_is_publisher(const char *const *publishers, struct bytes key);
int64_t caps_now(const struct caps *c); // wall clock
int caps_not_here(struct bytes name, struct err *e);

// ---- caps_call.c --------------------------------------------------------------------------------

int caps_call_start(struct tools *t, const struct tool_args *args, struct tool_req *r,
                    struct err *e);
void caps_call_cancel(struct tools *t, struct tool_req *r);
void caps_calls_stop(struct caps *c);

void caps_module_drop(struct caps *c, struct caps_item *i);

// ---- caps_ops.c --------------------------------------------------------------------------------

void caps_ops_stop(struct caps *c); // what runs ends with E_CANCELLED

// ---- caps_outbox.c: what goes to the registry ---------------------------------------------------

int caps_outbox_open(struct caps *c, struct err *e);
void caps_outbox_close(struct caps *c);
// Kept; then tried. r (may be NULL): done after the first try of this one.
int caps_outbox_add(struct caps *c, const struct manifest_pack *p, struct bytes urn,
                    struct caps_req *r, struct val *takes_res, struct err *e);
void caps_outbox_forget(struct caps *c, struct caps_req *r);
void caps_outbox_stats(const struct caps *c, size_t *ret_waiting, char *ret_why, size_t n);

#endif
