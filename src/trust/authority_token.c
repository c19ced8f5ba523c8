// authority_token.c: one-time join tokens.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/rng.h"
#include "crypto/base64url.h"
#include "trust/authority_priv.h"
#include <string.h>

static const struct bytes prefix = {"plxj_", 5};
#define PARTS_LEN (8 + 16 + 32)

int authority_token_parse(struct authority_token_parts *ret, struct bytes text, struct err *e)
{
    struct buf raw;
    text = bytes_trim(text);
    buf_init(&raw, PARTS_LEN);
    bool good = bytes_starts(text, prefix) &&
                base64url_parse(&raw, bytes_from(text, prefix.n)) == 0 && raw.n == PARTS_LEN;
    if (good) {
        memcpy(ret->id, raw.p, 8);
        memcpy(ret->secret, raw.p + 8, 16);
        memcpy(ret->fingerprint, raw.p + 24, 32);
    }
    grant_fini_secret(&raw);
    return good ? 0
                : err_set(e, E_PARSE,
                          "that is no join token: it begins with plxj_ and has 80 characters");
}

// ---- the list ----

struct authority_token *authority_token_find(const struct authority *a, const uint8_t id[8])
{
    for (size_t i = 0; i < a->token_count; i++)
        if (memcmp(a->tokens[i].id, id, sizeof a->tokens[i].id) == 0)
            return &a->tokens[i];
    return NULL;
}

void authority_token_drop(struct authority *a, size_t at)
{
    arena_free(a->tokens[at].arena);
    a->token_count--;
    memmove(a->tokens + at, a->tokens + at + 1, (a->token_count - at) * sizeof *a->tokens);
}

int authority_token_add(struct authority *a, struct authority_token **ret, struct err *e)
{
    if (a->token_count >= AUTHORITY_TOKENS_MAX)
        return err_set(e, E_FULL, "more than %d join tokens", AUTHORITY_TOKENS_MAX);
    if (a->token_count == a->token_room) {
        size_t room = a->token_room ? 2 * a->token_room : 4;
        struct authority_token *list = mem_realloc(a->tokens, room * sizeof *list);
        if (!list)
            return err_set(e, E_NOMEM, "no memory for a token");
        a->tokens = list;
        a->token_room = room;
    }
    struct arena *arena = arena_new(AUTHORITY_TOKEN_ARENA);
    if (!arena)
        return err_set(e, E_NOMEM, "no memory for a token");
    *ret = &a->tokens[a->token_count++];
    **ret = (struct authority_token){.arena = arena};
    return 0;
}

static bool copy_text(struct arena *a, const char *from, const char **to)
{
    *to = from ? arena_str(a, bytes_of(from)) : NULL;
    return !from || *to;
}

static bool copy_words(struct arena *a, const char *const *from, const char *const **to)
{
    size_t n = 0;
    while (from && from[n])
        n++;
    const char **list = arena_zalloc(a, (n + 1) * sizeof *list);
    for (size_t i = 0; list && i < n; i++)
        if (!copy_text(a, from[i], &list[i]))
            return false;
    *to = list;
    return list != NULL;
}

int authority_token_copy(struct authority *a, const struct authority_token *from, struct err *e)
{
    struct authority_token *to = NULL;
    int rc = authority_token_add(a, &to, e);
    if (rc != 0)
        return rc;
    struct arena *arena = to->arena;
    *to = *from;
    to->arena = arena;
    if (copy_text(arena, from->node, &to->node) &&
        copy_text(arena, from->environment, &to->environment) &&
        copy_text(arena, from->clearance, &to->clearance) &&
        copy_words(arena, from->roles, &to->roles))
        return 0;
    authority_token_drop(a, a->token_count - 1);
    return err_set(e, E_NOMEM, "no memory for a token");
}

// ---- making ----

static int args_check(const struct authority_token_args *args, struct err *e)
{
    size_t n = 0;
    if (args->ttl_ms != 0 && (args->ttl_ms < 1000 || args->ttl_ms > AUTHORITY_TOKEN_TTL_MAX_MS))
        return err_set(e, E_INVALID, "a join token lives 1 second to 30 days");
    for (const char *const *r = args->roles; r && *r; r++)
        if (++n > GRANT_ROLES_MAX || !grant_word_ok(bytes_of(*r)))
            return err_set(e, E_INVALID, "at most %d roles, each of " GRANT_WORDS, GRANT_ROLES_MAX);
    if (args->environment && !grant_word_ok(bytes_of(args->environment)))
        return err_set(e, E_INVALID, "an environment is of " GRANT_WORDS);
    if (args->clearance && strlen(args->clearance) > 1024)
        return err_set(e, E_INVALID, "a clearance has at most 1024 characters");
    return args->node ? spiffe_node_check(bytes_of(args->node), e) : 0;
}

int authority_token_new(struct authority *a, const struct authority_token_args *args,
                        int64_t wall_ms, char ret_text[AUTHORITY_TOKEN_TEXT_MAX], char ret_id[17],
                        struct err *e)
{
    uint8_t raw[PARTS_LEN];
    struct buf text;
    int rc = args_check(args, e);
    if (rc != 0)
        return rc;
    for (size_t i = a->token_count; i-- > 0;)
        if (a->tokens[i].expires_ms <= wall_ms)
            authority_token_drop(a, i);
    rng_bytes(raw, 24);
    memcpy(raw + 24, a->fingerprint, sizeof a->fingerprint);
    struct authority_token t = {
        .node = args->node,
        .environment = args->environment,
        .clearance = args->clearance,
        .roles = args->roles,
        .created_ms = wall_ms,
        .expires_ms = wall_ms + (args->ttl_ms ? args->ttl_ms : AUTHORITY_TOKEN_TTL_MS),
    };
    memcpy(t.id, raw, sizeof t.id);
    sha256_sum((struct bytes){(const char *)raw + 8, 16}, t.hash);
    buf_init(&text, AUTHORITY_TOKEN_TEXT_MAX - 1);
    (void)buf_put(&text, prefix);
    rc = base64url_put(&text, (struct bytes){(const char *)raw, sizeof raw});
    rc = rc ? err_set(e, rc, "no memory for a token") : authority_token_copy(a, &t, e);
    if (rc == 0) {
        memcpy(ret_text, text.p, text.n);
        ret_text[text.n] = 0;
        crypto_hex(t.id, sizeof t.id, ret_id);
    }
    mem_wipe(raw, sizeof raw);
    grant_fini_secret(&text);
    return rc;
}

// A revoked one stays until its time is over, so that a standby learns of it.
int authority_token_remove(struct authority *a, struct bytes id, struct err *e)
{
    uint8_t raw[8];
    struct authority_token *t =
        crypto_unhex(id, raw, sizeof raw) ? authority_token_find(a, raw) : NULL;
    if (!t || t->revoked)
        return err_set(e, E_NOTFOUND, "no join token %.*s", BYTES_FMT(bytes_first(id, 32)));
    t->revoked = true;
    return 0;
}

bool authority_token_each(const struct authority *a, int64_t wall_ms, size_t *at,
                          struct authority_token_view *ret)
{
    while (*at < a->token_count) {
        const struct authority_token *t = &a->tokens[(*at)++];
        if (t->revoked || t->expires_ms <= wall_ms)
            continue;
        *ret = (struct authority_token_view){
            .node = t->node,
            .environment = t->environment,
            .clearance = t->clearance,
            .roles = t->roles,
            .created_ms = t->created_ms,
            .expires_ms = t->expires_ms,
            .used_by = t->used_by[0] ? t->used_by : NULL,
        };
        crypto_hex(t->id, sizeof t->id, ret->id);
        return true;
    }
    return false;
}
