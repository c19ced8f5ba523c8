// json_fuzz.c: any bytes: what is accepted must be written, read again and be the same; its
// canonical form must be a fixed point.
// SPDX-License-Identifier: Apache-2.0
#include "text/json.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX ((size_t)16 << 20)

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void walk(const struct json *v)
{
    struct json_iter it = {0};
    struct bytes key;
    const struct json *value;
    size_t n = 0;
    while (json_each(v, &it, &key, &value)) {
        must(json_kind(v) != JSON_OBJ || json_get_bytes(v, key) != NULL);
        must(n < 64 ? json_at(v, n) == value : true);
        walk(value);
        n++;
        if (n > 256)
            return; // long objects make the look-ups above quadratic
    }
    must(json_is_int(v) || json_i64(v, 7) == 7);
}

static void canonical(const struct json *v)
{
    struct buf once, twice;
    struct json_doc *doc = NULL;
    buf_init(&once, OUT_MAX);
    buf_init(&twice, OUT_MAX);
    if (json_canonical(&once, v, NULL) == 0) {
        must(json_parse(&doc, buf_bytes(&once), JSON_UNIQUE, NULL) == 0);
        must(json_canonical(&twice, json_root(doc), NULL) == 0);
        must(bytes_eq(buf_bytes(&once), buf_bytes(&twice)));
    }
    json_free(doc);
    buf_fini(&once);
    buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = {(const char *)data, size};
    struct json_doc *doc = NULL, *copy = NULL, *unique = NULL;
    struct err e = {0};
    if (json_parse(&doc, text, 0, &e) < 0) {
        must(e.code == E_PARSE);
        return 0;
    }
    struct buf out;
    buf_init(&out, OUT_MAX);
    must(json_write(&out, json_root(doc)) == 0);
    must(json_parse(&copy, buf_bytes(&out), 0, NULL) == 0);
    if (json_parse(&unique, text, JSON_UNIQUE, NULL) == 0)
        must(json_equal(json_root(doc), json_root(copy)));
    walk(json_root(doc));
    canonical(json_root(doc));
    json_free(doc);
    json_free(copy);
    json_free(unique);
    buf_fini(&out);
    return 0;
}
