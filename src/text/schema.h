// schema.h: JSON Schema draft 2020-12 and draft 7, compiled once, then used without allocation
// on the good path.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_SCHEMA_H
#define PLEXUS_TEXT_SCHEMA_H

#include "text/json.h"

struct schema;
struct schema_set; // documents that $ref may reach: the metaschemas are always there

enum schema_draft { SCHEMA_2020_12, SCHEMA_DRAFT_7 };

struct schema_set *schema_set_new(void);
void schema_set_free(struct schema_set *s);
// Borrows the document until schema_set_free. uri: its retrieval address (absolute).
int schema_set_add(struct schema_set *s, struct bytes uri, const struct json *doc, struct err *e);

struct schema_args {
    const struct json *doc;      // borrowed until schema_free
    struct schema_set *set;      // may be NULL
    enum schema_draft draft;     // when the document has no $schema
    const char *base_uri;        // may be NULL
    bool assert_format;          // check known formats (2020-12 says annotation by default)
};
// E_SCHEMA names the place in the schema that is wrong or the $ref that leads nowhere.
int schema_new(struct schema **ret, const struct schema_args *args, struct err *e);
void schema_free(struct schema *s);

struct schema_error {
    char instance[256];  // RFC 6901 pointer of the value that does not fit ("" = the root)
    char keyword[256];   // pointer inside the schema, ends in the keyword
    char message[512]; // "expected string, found number", "unknown key \"tempreature\", nearest:
                       // \"temperature\"", ...
};
// 0: valid. E_SCHEMA: not; *ret_error (may be NULL) has the deepest, most telling failure.
// E_TOOBIG when work or depth limits are reached (a hostile schema or instance).
int schema_check(const struct schema *s, const struct json *instance,
                 struct schema_error *ret_error);

#endif
