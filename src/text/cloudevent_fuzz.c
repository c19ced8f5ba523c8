// cloudevent_fuzz.c: any bytes as an event in JSON; what parses is written and parses to the same.
// Else the bytes are header lines.
// SPDX-License-Identifier: Apache-2.0
#include "text/cloudevent.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void headers(struct arena *a, struct bytes text)
{
    struct cloudevent c = {.has_version = false};
    struct err e = {0};
    while (text.n) {
        struct bytes value = bytes_cut(&text, '\n');
        struct bytes name = bytes_cut(&value, ':');
        if (cloudevent_header(&c, a, name, value, &e) < 0 && !e.code)
            abort();
    }
    struct buf b;
    buf_init(&b, 1 << 20);
    if (!cloudevent_check(&c, NULL)) {
        if (cloudevent_put_headers(&b, &c) == 0 && !b.n)
            abort();
        buf_clear(&b);
        if (cloudevent_put(&b, &c) == 0 && cloudevent_parse(&c, a, buf_bytes(&b), &e) &&
            e.code != E_NOMEM)
            abort();
    }
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct arena *a = arena_new(1 << 20);
    struct cloudevent c, d;
    struct err e = {0};
    struct bytes text = {(const char *)p, n};
    int rc = cloudevent_parse(&c, a, text, &e);
    if (rc != e.code)
        abort();
    if (rc) {
        headers(a, text);
        arena_free(a);
        return 0;
    }
    struct buf one, two;
    buf_init(&one, 1 << 20);
    buf_init(&two, 1 << 20);
    if (cloudevent_put(&one, &c) == 0) {
        rc = cloudevent_parse(&d, a, buf_bytes(&one), &e);
        if (rc && rc != E_NOMEM)
            abort();
        if (!rc && (cloudevent_put(&two, &d) || !bytes_eq(buf_bytes(&one), buf_bytes(&two))))
            abort();
    }
    buf_fini(&one);
    buf_fini(&two);
    arena_free(a);
    return 0;
}
