// schema_fuzz.c: an array of a schema and an instance; both drafts, formats checked. A failure has
// words, and a schema that was accepted says the same twice.
// SPDX-License-Identifier: Apache-2.0
#include "text/schema.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct json *schema, const struct json *instance, enum schema_draft draft)
{
    const struct schema_args args = {.doc = schema, .draft = draft, .assert_format = true};
    struct schema *s = NULL;
    struct err e = {0};
    if (schema_new(&s, &args, &e) < 0) {
        if (e.code == 0 || e.n == 0)
            abort();
        return;
    }
    struct schema_error why = {.message = ""};
    int rc = schema_check(s, instance, &why);
    if (rc != 0 && !why.message[0])
        abort();
    if (schema_check(s, instance, NULL) != rc && rc != E_TOOBIG)
        abort();
    schema_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_doc *doc = NULL;
    if (json_parse(&doc, (struct bytes){(const char *)data, size}, 0, NULL) < 0)
        return 0;
    const struct json *root = json_root(doc);
    if (json_len(root) == 2 && json_is(root, JSON_ARR)) {
        check(json_at(root, 0), json_at(root, 1), SCHEMA_2020_12);
        check(json_at(root, 0), json_at(root, 1), SCHEMA_DRAFT_7);
    }
    json_free(doc);
    return 0;
}
