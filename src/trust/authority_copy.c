// authority_copy.c: a standby: a copy of the authority, and how two copies become one state.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/rng.h"
#include "trust/authority_priv.h"
#include <string.h>

// A standby's number: random, so that two copies that each make a standby while they do not hear
// each other hardly ever pick the same one (1 in 65,535).
static uint16_t pick_number(const struct authority *a)
{
    for (;;) {
        uint16_t number;
        rng_bytes(&number, sizeof number);
        bool taken = number == 0 || number == a->copy;
        for (int i = 0; i < a->copy_count; i++)
            taken = taken || a->copies[i].number == number;
        if (!taken)
            return number;
    }
}

int authority_export(struct authority *a, struct bytes node, struct buf *out, struct err *e)
{
    if (!authority_grant_find(a, node))
        return err_set(e, E_NOTFOUND, "no node %.*s in this mesh",
                       BYTES_FMT(bytes_first(node, SPIFFE_NODE_MAX)));
    int at = 0;
    while (at < a->copy_count && !bytes_is(node, a->copies[at].node))
        at++;
    if (at == AUTHORITY_COPIES_MAX)
        return err_set(e, E_FULL, "more than %d standbys were made", AUTHORITY_COPIES_MAX);
    struct authority_copy *c = &a->copies[at];
    char before[SPIFFE_NODE_MAX + 1];
    memcpy(before, a->standby, sizeof before);
    if (at == a->copy_count) {
        *c = (struct authority_copy){.number = pick_number(a)};
        memcpy(c->node, node.p, node.n);
        a->copy_count++;
    }
    memcpy(a->standby, c->node, sizeof a->standby);
    int rc = authority_save_as(a, c->number, out);
    if (rc == 0)
        return 0;
    memcpy(a->standby, before, sizeof before); // a number that was picked may stay
    return err_set(e, rc, "no room for a copy of the authority");
}

// ---- merging ----

static int merge_removals(struct authority *a, const struct authority *other, bool *news,
                          struct err *e)
{
    struct grant_removal r;
    struct bytes text;
    size_t at = 0;
    while (grant_removals_each(other->removals, &at, &r, &text)) {
        int rc = grant_removals_add(a->removals, &r, text, e);
        if (rc < 0)
            return rc;
        *news = *news || rc == 1;
    }
    for (size_t i = a->grant_count; i-- > 0;) {
        struct authority_grant *g = &a->grants[i];
        if (grant_removals_hit(a->removals, bytes_of(g->grant.node), g->grant.epoch))
            authority_grant_drop(a, g);
    }
    return 0;
}

// The other's grant comes in; of two for one name the higher epoch stays.
static int merge_grant(struct authority *a, const struct authority_grant *theirs, int64_t wall_ms,
                       bool *news, struct err *e)
{
    struct authority_grant copy, *ours = authority_grant_find(a, bytes_of(theirs->grant.node));
    if (grant_removals_hit(a->removals, bytes_of(theirs->grant.node), theirs->grant.epoch) ||
        (ours && ours->grant.epoch == theirs->grant.epoch))
        return 0;
    *news = true;
    int rc = authority_grant_room(a, e);
    if (rc == 0)
        rc = authority_grant_read(a, bytes_of(theirs->text), &copy, e);
    if (rc != 0)
        return rc;
    ours = authority_grant_find(a, bytes_of(theirs->grant.node)); // the list may have moved
    if (!ours || ours->grant.epoch < copy.grant.epoch) {
        if (ours)
            rc = authority_end(a, ours, wall_ms, NULL, e);
        if (rc == 0)
            authority_grant_put(a, &copy);
        else
            authority_grant_fini(&copy);
        return rc;
    }
    // Theirs is the older one: it enters for a moment, so that a removal of it is made.
    struct authority_grant mine = *ours;
    *ours = copy;
    rc = authority_end(a, ours, wall_ms, NULL, e);
    if (rc != 0) {
        authority_grant_fini(&copy);
        *ours = mine;
        return rc;
    }
    authority_grant_put(a, &mine);
    return 0;
}

// The same token used at both copies for two nodes: the membership that came later ends.
static int end_double(struct authority *a, struct authority_token *ours,
                      const struct authority_token *theirs, int64_t wall_ms, struct err *e)
{
    bool later = theirs->used_epoch > ours->used_epoch;
    const struct authority_token *loser = later ? theirs : ours;
    struct authority_grant *g = authority_grant_find(a, bytes_of(loser->used_by));
    int rc = g && g->grant.epoch == loser->used_epoch ? authority_end(a, g, wall_ms, NULL, e) : 0;
    if (rc == 0 && !later) {
        memcpy(ours->used_by, theirs->used_by, sizeof ours->used_by);
        ours->used_epoch = theirs->used_epoch;
    }
    return rc;
}

static int merge_token(struct authority *a, const struct authority_token *theirs, int64_t wall_ms,
                       bool *news, struct err *e)
{
    struct authority_token *ours = authority_token_find(a, theirs->id);
    if (!ours) {
        if (theirs->expires_ms <= wall_ms)
            return 0;
        *news = true;
        return authority_token_copy(a, theirs, e);
    }
    if (theirs->revoked && !ours->revoked)
        ours->revoked = *news = true;
    if (!theirs->used_by[0] || theirs->used_epoch == ours->used_epoch)
        return 0;
    *news = true;
    if (ours->used_by[0])
        return end_double(a, ours, theirs, wall_ms, e);
    memcpy(ours->used_by, theirs->used_by, sizeof ours->used_by);
    ours->used_epoch = theirs->used_epoch;
    return 0;
}

static int merge_copies(struct authority *a, const struct authority *other, bool *news,
                        struct err *e)
{
    for (int i = 0; i < other->copy_count; i++) {
        int at = 0;
        while (at < a->copy_count && strcmp(a->copies[at].node, other->copies[i].node) != 0)
            at++;
        if (at < a->copy_count)
            continue;
        if (at == AUTHORITY_COPIES_MAX)
            return err_set(e, E_FULL, "more than %d standbys were made", AUTHORITY_COPIES_MAX);
        a->copies[a->copy_count++] = other->copies[i];
        *news = true;
    }
    return 0;
}

int authority_merge(struct authority *a, struct bytes json_text, int64_t wall_ms, struct err *e)
{
    struct authority *other = NULL;
    bool news = false;
    int rc = authority_load(&other, json_text, e);
    if (rc != 0)
        return rc;
    if (strcmp(a->domain, other->domain) != 0 ||
        memcmp(a->fingerprint, other->fingerprint, sizeof a->fingerprint) != 0)
        rc = err_set(e, E_SECURITY, "that is a copy of another authority");
    if (rc == 0) {
        news = other->counter > a->counter;
        authority_saw_epoch(a, other->counter << AUTHORITY_COPY_BITS);
        rc = merge_removals(a, other, &news, e);
    }
    for (size_t i = 0; rc == 0 && i < other->grant_count; i++)
        rc = merge_grant(a, &other->grants[i], wall_ms, &news, e);
    for (size_t i = 0; rc == 0 && i < other->token_count; i++)
        rc = merge_token(a, &other->tokens[i], wall_ms, &news, e);
    if (rc == 0)
        rc = merge_copies(a, other, &news, e);
    authority_free(other);
    return rc < 0 ? rc : news;
}
