// manifest_fuzz.c: any bytes as a manifest, a package and a promotion: refused with a place, or
// good, and then its canonical text is the same manifest again. SPDX-License-Identifier: Apache-2.0
#include "tool/tool.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check(const struct manifest *m)
{
    struct manifest *again = NULL;
    struct permit *permit = NULL;
    struct permit_args args = {.manifest = m};
    struct err e = {0};
    if (manifest_open(&again, m->text, 0, &e) || strcmp(again->hash, m->hash) != 0 ||
        strcmp(again->asks, m->asks) != 0)
        abort();
    manifest_free(again);
    again = NULL;
    if (manifest_open(&again, m->text, MANIFEST_KNOWN, &e) || strcmp(again->hash, m->hash) != 0)
        abort();
    manifest_free(again);
    struct val *words = manifest_words(m);
    if (!words || (m->asks_nothing && val_len(words) > 3))
        abort();
    val_unref(words);
    if (permit_make(&permit, &args, &e) == 0) {
        if (permit_check(permit, m, &e))
            abort();
        permit_free(permit);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct bytes text = {(const char *)p, n};
    struct manifest *m = NULL;
    struct crystal *c = NULL;
    struct manifest_pack pack;
    struct arena *a = arena_new((size_t)16 << 20);
    struct err e = {0};
    if (n > 65536)
        goto out;
    if (manifest_open(&m, text, 0, &e) == 0) {
        check(m);
        manifest_free(m);
    } else if (!e.code || !e.n) {
        abort();
    }
    if (crystal_open(&c, text, &e) == 0)
        crystal_free(c);
    (void)manifest_pack_open(&pack, a, text, &e);
out:
    arena_free(a);
    return 0;
}
