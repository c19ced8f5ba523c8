// caps.h: capabilities: kept on this node, granted by a person, called in the sandbox, fetched from
// a registry and published to it, evaluated and promoted. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_CAPS_H
#define PLEXUS_TOOLBOX_CAPS_H

#include "port/clock.h"
#include "port/sandbox.h"
#include "port/tool.h"
#include "tool/tool.h"
#include "toolbox/capreg.h"

struct caps;

#define CAPS_ITEMS_MAX 100000
#define CAPS_MODULES_MAX 32 // compiled ones that are kept though nobody calls them

struct caps_args {
    const char *folder; // "data/tools": made, 0700
    struct sandbox *sandbox; // borrowed until caps_free
    struct timers *timers;
    int64_t (*wall_ms)(void *user); // NULL: the machine's
    void *user;
    const char *node; // name of this node, for promotions
    // Whose signatures are taken (base64url keys, ended by NULL); NULL or none: anybody's.
    const char *const *publishers;
    uint64_t memory_bytes_max; // of a call, 0: the sandbox's own
    int64_t time_ms_max; // of a call, 0: the sandbox's own
    struct capreg *registry; // takes on success; NULL: there is none
    // Whether a tool of another source has this name: a stranger's does not take it. Or NULL.
    bool (*taken)(void *user, const char *name);
    // A line of a guest's log; or NULL.
    void (*log)(void *user, struct bytes urn, int level, struct bytes line);
};
// Opens the folder's index: what is damaged in it is left out and counted (caps_stats), a last line
// that a crash cut short is dropped. E_IO, E_PERM, E_NOSPACE, E_NOMEM.
int caps_new(struct caps **ret, const struct caps_args *args, struct err *e);
// Calls and operations that run end with E_CANCELLED before it returns. Before the sandbox is
// freed.
void caps_free(struct caps *c);

// The source: names as they were added; find and start also take a URN. E_FORBIDDEN: not granted
// and not confirmed. What is confirmed but not granted gets the network it asks for, no folder, no
// secret. Structured answers fit the tool's schema, E_MANIFEST else; text begins with
// "ManifestConformanceError", and names kind, URN and cause.
struct tools *caps_tools(struct caps *c);

struct caps_stats {
    size_t items, tools, modules, calls; // calls: running
    size_t damaged; // lines of the index that were not readable
    size_t waiting; // promotions and publications that did not go out yet
    char why[256]; // why not
};
void caps_stats(const struct caps *c, struct caps_stats *ret);

// ---- what a person does -------------------------------------------------------------------------

// Gives JSON objects as the API answers them (docs/API.md). name: of a tool, or a URN.
// Checks package, signature, hash. as: what it is called, empty: its own name, with _vN or the
// namespace when that is taken. E_EXISTS: this URN with other bytes; E_MANIFEST, E_SECURITY.
int caps_add(struct caps *c, const struct manifest_pack *p, struct bytes as, struct val **ret,
             struct err *e);
int caps_remove(struct caps *c, struct bytes name, struct err *e);
// items: as in permit_args.
int caps_grant(struct caps *c, struct bytes name, const struct bytes *items, size_t count,
               struct bytes who, struct bytes reason, struct val **ret, struct err *e);
int caps_revoke(struct caps *c, struct bytes name, struct err *e);
int caps_show(struct caps *c, struct bytes name, struct val **ret, struct err *e);
// Manifest and permit (or NULL), borrowed until the next call that changes; false: none.
bool caps_find(struct caps *c, struct bytes name, const struct manifest **ret_manifest,
               const struct permit **ret_permit);
// Permissions in plain words for any tool of the source; NULL: unknown name.
struct val *caps_words(struct caps *c, struct bytes name);

// ---- what takes time ----------------------------------------------------------------------------

struct caps_req { // caller-owned until done
    // Once, later. res: what the API answers, borrowed; NULL on E_*.
    void (*done)(struct caps_req *r, int status, const struct val *res, const struct err *e);
    void *user;
    void *priv; // caps'
    struct list link;
};
// From the registry, by URN or "sha256:HASH" of a manifest; it must be signed.
int caps_fetch(struct caps *c, struct bytes urn, struct bytes as, struct caps_req *r,
               struct err *e);
// Kept in the folder first; done after the first try: {"urn","published","waiting","why"}. What did
// not go out goes later, in order, once, also after a restart.
int caps_publish(struct caps *c, struct bytes name, struct caps_req *r, struct err *e);
// Runs the cases of its manifest: {"urn","cases":[...],"passed","failed","evidence"}.
int caps_eval(struct caps *c, struct bytes name, struct caps_req *r, struct err *e);
// caps_eval; when all passed, an EpistemicPromotionEvent, signed by the node's own key and
// published with the capability as caps_publish does. E_INVALID: no cases; E_MANIFEST: some failed.
int caps_promote(struct caps *c, struct bytes name, struct caps_req *r, struct err *e);
// A flow that passed its evaluation, packed and published the same way. All copied.
struct caps_flow {
    struct bytes urn; // of this document, for good
    struct bytes document; // its text
    const struct val *evidence; // what was run and what came: an object
    uint64_t cases; // all passed; at least one
};
int caps_promote_flow(struct caps *c, const struct caps_flow *f, struct caps_req *r, struct err *e);
// One from the registry: {"urn","document"}. Its promotion is there, and by somebody whose
// signatures are taken here. E_INVALID: the URN is a capability's.
int caps_fetch_flow(struct caps *c, struct bytes urn, struct caps_req *r, struct err *e);
void caps_cancel(struct caps *c, struct caps_req *r); // done comes, E_CANCELLED, unless it came

#endif
