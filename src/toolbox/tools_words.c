// tools_words.c: small things about tools: their effects in words, patterns of names, sizes. Pure.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/tools_all.h"

void tools_effects_put(struct buf *out, unsigned effects)
{
    static const struct {
        unsigned effect;
        const char *text;
    } words[] = {{TOOL_READS, "reads"},
                 {TOOL_WRITES, "writes"},
                 {TOOL_DESTROYS, "may overwrite or delete"},
                 {TOOL_NETWORK, "talks to other machines"},
                 {TOOL_RUNS, "runs programs"},
                 {TOOL_COSTS, "spends tokens or money"}};
    bool any = false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (effects & words[i].effect) {
            (void)buf_fmt(out, "%s%s", any ? ", " : "", words[i].text);
            any = true;
        }
    if (!any)
        (void)buf_str(out, "only computes");
}

bool tools_fits(struct bytes pattern, struct bytes name)
{
    size_t p = 0, n = 0, star = SIZE_MAX, from = 0; // the last *, and what it took
    while (n < name.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            from = n;
        } else if (p < pattern.n && pattern.p[p] == name.p[n]) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

uint64_t tools_bytes(const struct val *v)
{
    size_t at = 0;
    struct bytes key;
    struct val *item;
    uint64_t sum = 4;
    if (val_is(v, JSON_STR))
        return val_bytes(v).n + 2;
    bool obj = val_is(v, JSON_OBJ);
    if (!obj && !val_is(v, JSON_ARR))
        return sum;
    while (val_each(v, &at, &key, &item))
        sum += tools_bytes(item) + (obj ? key.n + 4 : 1);
    return sum;
}
