// removals.c: the removals that are known here.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "trust/grant.h"
#include <string.h>

// A removal whose node was removed again this much later says nothing more: what it ended by its
// epoch alone (certificates of agents and flows, tokens) lives a day at most.
#define SUPERSEDED_MS (2 * SPIFFE_JWT_TTL_MAX_MS)

struct row {
    struct grant_removal removal;
    char *text;
};
struct grant_removals {
    struct row *rows; // oldest first
    size_t count, room;
};

struct grant_removals *grant_removals_new(void)
{
    return mem_new(struct grant_removals);
}

void grant_removals_free(struct grant_removals *r)
{
    for (size_t i = 0; r && i < r->count; i++)
        mem_free(r->rows[i].text);
    if (r)
        mem_free(r->rows);
    mem_free(r);
}

static bool supersedes(const struct grant_removal *a, const struct grant_removal *b)
{
    return strcmp(a->node, b->node) == 0 && a->epoch > b->epoch &&
           a->issued_ms - b->issued_ms > SUPERSEDED_MS;
}

static bool known(const struct grant_removals *r, const struct grant_removal *removal)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct grant_removal *have = &r->rows[i].removal;
        if (supersedes(have, removal) ||
            (have->epoch == removal->epoch && strcmp(have->node, removal->node) == 0))
            return true;
    }
    return false;
}

static void drop_superseded(struct grant_removals *r, const struct grant_removal *by)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        if (supersedes(by, &r->rows[i].removal))
            mem_free(r->rows[i].text);
        else
            r->rows[kept++] = r->rows[i];
    }
    r->count = kept;
}

int grant_removals_add(struct grant_removals *r, const struct grant_removal *removal,
                       struct bytes text, struct err *e)
{
    if (known(r, removal))
        return 0;
    drop_superseded(r, removal);
    if (r->count == GRANT_REMOVALS_MAX)
        return err_set(e, E_FULL, "more than %d removals", GRANT_REMOVALS_MAX);
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 8;
        struct row *rows = mem_realloc(r->rows, room * sizeof *rows);
        if (!rows)
            return err_set(e, E_NOMEM, "no memory for a removal");
        r->rows = rows;
        r->room = room;
    }
    char *copy = mem_dup(text.p, text.n);
    if (!copy)
        return err_set(e, E_NOMEM, "no memory for a removal");
    r->rows[r->count++] = (struct row){*removal, copy};
    return 1;
}

bool grant_removals_hit(const struct grant_removals *r, struct bytes node, uint64_t epoch)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct grant_removal *have = &r->rows[i].removal;
        if (epoch == have->epoch || (epoch < have->epoch && bytes_is(node, have->node)))
            return true;
    }
    return false;
}

bool grant_removals_each(const struct grant_removals *r, size_t *at, struct grant_removal *ret,
                         struct bytes *ret_text)
{
    if (*at >= r->count)
        return false;
    const struct row *row = &r->rows[(*at)++];
    *ret = row->removal;
    if (ret_text)
        *ret_text = bytes_of(row->text);
    return true;
}
