// label_subject.c: the clearance of a bus subject, by patterns in their order.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "trust/label.h"
#include <string.h>

struct row {
    struct label clearance;
    uint16_t n;
    char pattern[LABEL_SUBJECT_LEN_MAX];
};

struct label_subjects {
    struct label otherwise;
    struct row *rows;
    size_t count, room;
};

struct label_subjects *label_subjects_new(struct label otherwise)
{
    struct label_subjects *t = mem_new(struct label_subjects);
    if (t)
        t->otherwise = otherwise;
    return t;
}

void label_subjects_free(struct label_subjects *t)
{
    if (!t)
        return;
    mem_free(t->rows);
    mem_free(t);
}

// Words with dots between; * alone, > alone and last.
static bool good(struct bytes pattern)
{
    struct bytes rest = pattern;
    if (!pattern.n || pattern.n > LABEL_SUBJECT_LEN_MAX)
        return false;
    do {
        struct bytes word = bytes_cut(&rest, '.');
        bool wild = bytes_chr(word, '*') >= 0 || bytes_chr(word, '>') >= 0;
        if (!word.n || (wild && word.n > 1) || (bytes_is(word, ">") && rest.p))
            return false;
        for (size_t i = 0; i < word.n; i++)
            if (word.p[i] <= ' ' || word.p[i] >= 0x7f)
                return false;
    } while (rest.p);
    return true;
}

int label_subjects_add(struct label_subjects *t, struct bytes pattern, struct label clearance,
                       struct err *e)
{
    if (!good(pattern))
        return err_set(e, E_INVALID, "\"%.*s\" is no subject such as dev.cognitive.* or prod.>",
                       BYTES_FMT(bytes_first(pattern, 64)));
    if (t->count == LABEL_SUBJECTS_MAX)
        return err_set(e, E_FULL, "more than %d subjects with a clearance", LABEL_SUBJECTS_MAX);
    if (t->count == t->room) {
        size_t room = t->room ? t->room * 2 : 8;
        struct row *rows = mem_realloc(t->rows, room * sizeof *rows);
        if (!rows)
            return err_set(e, E_NOMEM, "no memory for clearances of subjects");
        t->rows = rows;
        t->room = room;
    }
    struct row *row = &t->rows[t->count++];
    row->clearance = clearance;
    row->n = (uint16_t)pattern.n;
    memcpy(row->pattern, pattern.p, pattern.n);
    return 0;
}

static bool fits(struct bytes pattern, struct bytes subject)
{
    while (pattern.p && subject.p) {
        struct bytes want = bytes_cut(&pattern, '.'), word = bytes_cut(&subject, '.');
        if (bytes_is(want, ">"))
            return word.n > 0;
        if (bytes_is(want, "*") ? !word.n : !bytes_eq(want, word))
            return false;
    }
    return !pattern.p && !subject.p;
}

struct label label_subject(const struct label_subjects *t, struct bytes subject)
{
    for (size_t i = 0; i < t->count; i++)
        if (fits((struct bytes){t->rows[i].pattern, t->rows[i].n}, subject))
            return t->rows[i].clearance;
    return t->otherwise;
}
