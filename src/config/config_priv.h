// config_priv.h: what the parts of the config room share: places in the file, findings, the schema
// read as data.
//
// config.c    the public functions
// finding.c   findings and places
// explain.c   the schema read as data over a document: every finding, in our words
// defaults.c  the document with the schema's defaults filled in
// rules.c     what a schema cannot say: rules between keys
// build.c     document to struct config; model.c: one model and its fingerprint
// labels.c    labels and clearances: rules and result
// value.c     texts, paths, durations and sizes of the result
// secret.c    secrets: read, kept, wiped
// show.c      a config as text; diff.c: what changed
// discover.c  a config from the models on this machine; ollama.c: the store of Ollama
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CONFIG_PRIV_H
#define PLEXUS_CONFIG_PRIV_H

#include "config/config.h"
#include "text/yaml.h"

#define CONFIG_FILE_MAX ((size_t)1 << 20)   // a configuration larger than this is a mistake
#define CONFIG_ARENA_MAX ((size_t)64 << 20) // what one configuration may become
#define CONFIG_FINDINGS_MAX 20  // shown ...
#define CONFIG_FINDINGS_KEPT 200 // ... of these, the first in the file

struct bytes embed_config_schema(void);

// A place in the document, from the leaf up.
struct config_at {
    const struct config_at *up; // NULL: the root
    struct bytes key;           // p NULL: an element
    size_t index;
};

struct config_finding {
    struct yaml_pos pos;
    const char *text; // "models.coder.idel: unknown key; nearest: idle"
};

// One load in progress.
struct config_work {
    struct arena *arena;
    const char *name;          // of the file, as shown
    const char *base_dir;      // relative paths start here
    struct yaml *yaml;         // NULL: no positions
    const struct json *schema; // the root schema
    bool fits;                 // text/schema.h found the document good
    struct config_finding findings[CONFIG_FINDINGS_KEPT];
    size_t count, more; // kept, and those over the limit
    int failed;         // E_NOMEM or E_TOOBIG: nothing that was made counts
};

// ---- finding.c ----
// key: point at the key, not at its value. The text is put behind the place's name.
void config_find(struct config_work *w, const struct config_at *at, bool key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void config_pointer(struct buf *out, const struct config_at *at); // RFC 6901
void config_place(struct buf *out, const struct config_at *at);   // models.coder.args[0]
// All findings in the order of the file, one a line. Returns E_CONFIG and sets e (whole lines, as
// many as fit), or 0 when there are none. out may be NULL.
int config_findings(struct config_work *w, struct buf *out, struct err *e);

// ---- the schema as data: a subschema and what its $ref leads to (explain.c) ----
struct config_node {
    const struct json *own, *ref;
};
struct config_node config_node(const struct json *root, const struct json *schema);
const struct json *config_note(struct config_node n, const char *keyword); // own first
const struct json *config_prop(struct config_node n, struct bytes key); // NULL: not a known key
bool config_takes(struct config_node n, const char *type);
// Whether a key with this x-engines note (NULL: all) means something with an engine.
bool config_for_engine(const struct json *note, struct bytes engine);

void config_explain(struct config_work *w, const struct config_at *at, const struct json *schema,
                    const struct json *value);

void config_parts_rules(struct config_work *w, const struct json *given); // rules.c: of `contexts`

// ---- contexts.c ----
// The document with the parts of `contexts` that hold here; *ret stays NULL when it is as it was.
// Fills c->parts. E_CONFIG: nobody says which context this is.
int config_contexts(struct config_work *w, struct config *c, const struct json *root,
                    struct json_doc **ret, struct err *e);

// ---- defaults.c ----
// value NULL: only defaults. The result is JSON text.
int config_defaults(struct config_work *w, struct buf *out, const struct json *value);

// ---- value.c: failures go to w->failed ----
const char *config_str(struct config_work *w, struct bytes text); // never NULL
const char *config_str_of(struct config_work *w, const struct json *v); // NULL when absent
const char *config_path(struct config_work *w, struct bytes path); // absolute or below base_dir
const char *const *config_words(struct config_work *w, const struct json *list); // never NULL
int64_t config_ms(const struct json *v, int64_t fallback);
uint64_t config_size(const struct json *v, uint64_t fallback); // "auto": fallback

// ---- rules.c ----
void config_rules(struct config_work *w, const struct json *given); // the document as written

// ---- labels.c ----
void config_label_rules(struct config_work *w, const struct json *given);
void config_build_labels(struct config_work *w, const struct json *labels, struct config *c);

// ---- flows.c ----
void config_flow_rules(struct config_work *w, const struct json *flows);
void config_build_flows(struct config_work *w, const struct json *flows, struct config_flows *ret);

// ---- tools.c ----
void config_tool_rules(struct config_work *w, const struct json *given);
void config_build_tools(struct config_work *w, const struct json *root, struct config *c);

// ---- build.c, model.c ----
void config_build(struct config_work *w, struct config *c); // from c->doc
void config_build_model(struct config_work *w, struct bytes name, const struct json *m,
                        struct config_model *ret);

// ---- secret.c ----
bool config_is_secret_name(struct bytes name); // HF_TOKEN, OPENAI_API_KEY, ...
// Reads what { env: NAME } or { file: PATH } points at; a finding when it is not there.
struct secret config_secret(struct config_work *w, const struct config_at *at,
                            const struct json *ref);

// ---- discover.c ----
struct config_discovery;
// Adds one GGUF file; stem: what its name is made from; note: whose it is ("Ollama").
void config_discovered(struct config_discovery *d, const char *path, struct bytes stem,
                       const char *note);
// ---- ollama.c ----
void config_ollama(struct config_discovery *d, const char *root); // folder with manifests and blobs

#endif
