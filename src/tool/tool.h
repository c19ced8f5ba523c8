// tool.h: what a capability is: its name (URN), its manifest with schemas, permissions, limits and
// signature, what a person allowed it (permit), and the statement that it passed its evaluation
// (crystal). Pure: texts in, checked values out. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOL_TOOL_H
#define PLEXUS_TOOL_TOOL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/embed.h"
#include "base/err.h"
#include "text/val.h"

// ---- names: urn:plexus:cap:<namespace>:<name>:v<n> ----------------------------------------------

#define URN_MAX 255
#define URN_PART_MAX 63

// RFC 8141, lower case only. The authority is all between "urn:" and the last three parts: a
// namespace identifier and up to three parts more. Namespace and name: a-z 0-9, and one . - or _
// between them. The version is 1 to 999999999. Slices of the given text.
struct urn {
    struct bytes authority; // "plexus:cap", "coreason:tools"
    struct bytes space, name;
    uint32_t version;
};
int urn_parse(struct urn *ret, struct bytes text, struct err *e); // E_INVALID and what is wrong
int urn_put(struct buf *out, const struct urn *u);
bool urn_is(struct bytes text); // begins with "urn:"
// Of a flow's document: urn:plexus:flow:NAMESPACE:NAME:vN. Each version has its own for good, and
// they are in order: N = 1,000,000 * major + 1,000 * minor + patch, each below 1,000. E_INVALID:
// no such release (1.0.0-rc.1), or a name that no URN has.
int urn_of_flow(struct buf *out, struct bytes space, struct bytes name, struct bytes version,
                struct err *e);

// ---- keys of publishers -------------------------------------------------------------------------

#define MANIFEST_KEY_TEXT 43 // base64url of 32 bytes

struct manifest_key {
    uint8_t seed[32];
    char public_text[MANIFEST_KEY_TEXT + 1];
};
// A new one; secret gets its text: what stands in a file (base64url of the seed).
int manifest_key_make(struct manifest_key *ret, struct buf *secret, struct err *e);
int manifest_key_open(struct manifest_key *ret, struct bytes secret, struct err *e); // E_INVALID
void manifest_key_wipe(struct manifest_key *k);

// ---- manifests ----------------------------------------------------------------------------------

#define MANIFEST_BYTES_MAX ((size_t)1 << 20)
#define MANIFEST_CODE_MAX ((size_t)32 << 20) // of a module
#define MANIFEST_PACK_MAX ((size_t)48 << 20) // of a package: base64 and all
#define MANIFEST_HASH_LEN 64 // SHA-256 in lower-case hex

enum manifest_effect { // the same bits as enum tool_effect of port/tool.h
    MANIFEST_READS = 1,
    MANIFEST_WRITES = 2,
    MANIFEST_DESTROYS = 4,
    MANIFEST_NETWORK = 8,
    MANIFEST_RUNS = 16,
    MANIFEST_IDEMPOTENT = 32,
    MANIFEST_COSTS = 64,
};
struct manifest_tool {
    struct bytes name, title, description;
    const char *function; // the export that is called
    const struct val *input; // JSON Schema, an object
    const struct val *output; // or NULL: text
    unsigned effects; // enum manifest_effect
};
struct manifest_dir {
    struct bytes guest, why; // path in the guest
    bool write;
};
struct manifest_word { // a name of config or of a secret
    struct bytes name, why;
};
struct manifest_limits { // 0: the sandbox's own
    uint64_t memory_bytes, time_ms, fuel, output_bytes, http_bytes, vars_bytes;
    uint32_t log_lines, host_calls;
};
struct manifest { // all of it immutable, and lives as long as it
    struct bytes urn, title, description, label;
    struct urn parts;
    char code_hash[MANIFEST_HASH_LEN + 1];
    uint64_t code_bytes;
    const struct manifest_tool *tools; // in the order of names
    size_t tool_count;
    const struct bytes *hosts;
    size_t host_count;
    const struct manifest_dir *dirs;
    size_t dir_count;
    const struct manifest_word *config, *secrets;
    size_t config_count, secret_count;
    struct manifest_limits limits;
    const struct val *cases; // array, or NULL
    struct bytes publisher, key; // name, public key in base64url; empty: not signed
    bool is_signed; // and the signature is right
    struct bytes text; // canonical (RFC 8785), whole
    char hash[MANIFEST_HASH_LEN + 1]; // of text
    // SHA-256 of everything a person agrees to: permissions and effects.
    char asks[MANIFEST_HASH_LEN + 1];
    bool asks_nothing; // no permission and no effect: it only computes
    const struct val *root;
    struct arena *arena;
};

enum { MANIFEST_KNOWN = 1 }; // it was checked before: not against schema and signature again
// E_MANIFEST with the place ("/tools/0/input: ..."), E_SECURITY: the signature is wrong.
int manifest_open(struct manifest **ret, struct bytes text, unsigned flags, struct err *e);
void manifest_free(struct manifest *m);
void manifest_auto(struct manifest **m);
// E_MANIFEST: another length, another hash.
int manifest_code_check(const struct manifest *m, struct bytes code, struct err *e);
const struct manifest_tool *manifest_tool_find(const struct manifest *m, struct bytes name);
// A draft (no code, publisher, signature) and its code become a signed manifest, checked as above.
// publisher: a name for people, may be empty.
int manifest_sign(struct buf *out, struct bytes draft, struct bytes code, struct bytes publisher,
                  const struct manifest_key *key, struct err *e);
// Permissions, effects and limits in plain sentences, for a person who decides: array of strings.
struct val *manifest_words(const struct manifest *m);
// "reads", "writes", ...: array of strings.
struct val *manifest_effects(unsigned effects);
struct bytes manifest_schema(void); // JSON Schema of manifests

// A package in one JSON text: {"manifest":{},"wasm":"base64","promotion":{},"evidence":{}}, the
// last two or none.
struct manifest_pack {
    struct bytes manifest, code, promotion, evidence; // canonical JSON; in the arena
};
int manifest_pack_put(struct buf *out, const struct manifest_pack *p, struct err *e);
int manifest_pack_open(struct manifest_pack *ret, struct arena *a, struct bytes text,
                       struct err *e); // E_MANIFEST; the parts are not looked into

// ---- permits ------------------------------------------------------------------------------------

struct permit_dir {
    const char *guest, *host;
    bool write;
};
struct permit { // what a person granted to these very bytes; immutable
    struct bytes urn, code, asks, who, reason;
    int64_t at_ms;
    const struct bytes *hosts;
    size_t host_count;
    const struct permit_dir *dirs;
    size_t dir_count;
    const struct val *config; // name: value; an object
    const struct val *secrets; // name: "env:NAME" or "file:PATH"
    const struct val *root; // as it is kept
    struct arena *arena;
};
struct permit_args {
    const struct manifest *manifest;
    // "host:NAME", "dir:GUEST=FOLDER", "config:NAME=VALUE", "secret:NAME=env:VAR" or "=file:PATH".
    // None: all hosts that it asks for.
    const struct bytes *items;
    size_t count;
    struct bytes who, reason;
    int64_t at_ms;
};
// E_INVALID: not asked for, not well-formed, or something that is asked for has no value yet.
int permit_make(struct permit **ret, const struct permit_args *args, struct err *e);
int permit_open(struct permit **ret, const struct val *v, struct err *e); // permit->root again
void permit_free(struct permit *p);
// 0, or E_FORBIDDEN: p (NULL: there is none) is not for this code, or it asks for something else
// by now.
int permit_check(const struct permit *p, const struct manifest *m, struct err *e);

// ---- crystals: EpistemicPromotionEvent ----------------------------------------------------------

struct crystal_args {
    const char *kind; // "capability", "flow"
    struct bytes urn;
    struct bytes hash; // of the manifest's, the document's bytes
    struct bytes evidence; // canonical JSON of the evaluation
    uint64_t cases; // that it passed: all there are
    struct bytes node;
    struct bytes previous; // id of the promotion before of the same node, or empty
    int64_t at_ms;
};
struct crystal {
    struct bytes kind, urn, hash, evidence, node, previous, key; // evidence: its hash
    uint64_t cases;
    int64_t at_ms;
    char id[MANIFEST_HASH_LEN + 1]; // hash of its own canonical text
    struct val *root;
};
int crystal_make(struct buf *out, const struct crystal_args *args, const struct manifest_key *key,
                 struct err *e);
// Checks form and signature: E_MANIFEST, E_SECURITY.
int crystal_open(struct crystal **ret, struct bytes text, struct err *e);
void crystal_free(struct crystal *c);
// Is it about these bytes, and is this the evidence it speaks of? E_SECURITY.
int crystal_check(const struct crystal *c, struct bytes urn, struct bytes subject,
                  struct bytes evidence, struct err *e);
// Canonical JSON and its hash (ret_hash may be NULL).
int crystal_canonical(struct buf *out, const struct val *v, char ret_hash[MANIFEST_HASH_LEN + 1],
                      struct err *e);

// ---- projects to begin with ---------------------------------------------------------------------

// Files of a template: paths "c/capability.json", "rust/src/lib.rs", ...
const struct embed_file *tool_templates(size_t *ret_count);
// One of them for a capability of this name.
int tool_template_put(struct buf *out, const struct embed_file *f, const struct urn *u);

#endif
