// scope.c: what a key may do, as words.
// SPDX-License-Identifier: Apache-2.0
#include "trust/trust.h"

static const struct {
    const char *word;
    unsigned scope;
} scopes[] = {
    {"models", SCOPE_MODELS}, {"read", SCOPE_READ}, {"admin", SCOPE_ADMIN}, {"all", SCOPE_ALL}};
#define COUNT (sizeof scopes / sizeof *scopes)

int scope_parse(struct bytes text, unsigned *ret_scopes, struct err *e)
{
    unsigned found = 0;
    struct bytes rest = text;
    while (rest.p) {
        struct bytes word = bytes_trim(bytes_cut(&rest, ','));
        size_t i = 0;
        while (i < COUNT && !bytes_is(word, scopes[i].word))
            i++;
        if (i == COUNT)
            return err_set(e, E_INVALID,
                           "expected scopes out of models, read, admin, all; found "
                           "\"%.*s\"",
                           BYTES_FMT(bytes_first(word, 40)));
        found |= scopes[i].scope;
    }
    if (!found)
        return err_set(e, E_INVALID, "expected scopes out of models, read, admin, all; found none");
    *ret_scopes = found;
    return 0;
}

void scope_put(struct buf *out, unsigned set)
{
    bool first = true;
    for (size_t i = 0; i + 1 < COUNT; i++) {
        if (!(set & scopes[i].scope))
            continue;
        (void)buf_str(out, first ? "" : ",");
        (void)buf_str(out, scopes[i].word);
        first = false;
    }
}
