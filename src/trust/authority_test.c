// authority_test.c: joins, renewals, identities, removals, standbys: what is given and what is
// refused, between an authority and members that are real on both sides.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "trust/authority.h"
#include "trust/member.h"
#include "trust/trust.h"
#include "trust/trust_rig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_tokens(void **state)
{
    (void)state;
    struct authority *a = mesh(0);
    struct authority_token_parts parts;
    uint8_t fingerprint[32];
    char id[17], text[AUTHORITY_TOKEN_TEXT_MAX], hex[17];
    static const char *const roles[] = {"worker", "gpu", NULL};
    struct authority_token_args args = {
        .roles = roles, .environment = "dev", .clearance = "confidential:eng", .node = "n1"};
    assert_int_equal(authority_token_new(a, &args, NOW, text, id, NULL), 0);
    assert_int_equal(strlen(text), 80);
    assert_int_equal(authority_token_parse(&parts, bytes_of(text), NULL), 0);
    authority_fingerprint(a, fingerprint);
    assert_memory_equal(parts.fingerprint, fingerprint, 32);
    crypto_hex(parts.id, 8, hex);
    assert_string_equal(hex, id);
    struct authority_token_view view;
    size_t at = 0;
    assert_true(authority_token_each(a, NOW, &at, &view));
    assert_string_equal(view.id, id);
    assert_string_equal(view.node, "n1");
    assert_string_equal(view.environment, "dev");
    assert_string_equal(view.clearance, "confidential:eng");
    assert_string_equal(view.roles[0], "worker");
    assert_string_equal(view.roles[1], "gpu");
    assert_null(view.roles[2]);
    assert_null(view.used_by);
    assert_int_equal(view.expires_ms, NOW + AUTHORITY_TOKEN_TTL_MS);
    assert_false(authority_token_each(a, NOW, &at, &view));
    at = 0; // expired ones are not shown, and make room
    assert_false(authority_token_each(a, NOW + AUTHORITY_TOKEN_TTL_MS, &at, &view));
    struct err e = {0};
    static const char *const bad_roles[] = {"a b", NULL};
    struct authority_token_args bad[] = {
        {.ttl_ms = 999},      {.ttl_ms = AUTHORITY_TOKEN_TTL_MAX_MS + 1},
        {.node = "a/b"},      {.environment = ""},
        {.roles = bad_roles}, {.environment = "d e"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(authority_token_new(a, &bad[i], NOW, text, id, &e), E_INVALID);
    struct authority_token_args plain = {.ttl_ms = 1000};
    for (int i = 1; i < AUTHORITY_TOKENS_MAX; i++)
        assert_int_equal(authority_token_new(a, &plain, NOW, text, id, NULL), 0);
    assert_int_equal(authority_token_new(a, &plain, NOW, text, id, &e), E_FULL);
    assert_int_equal(authority_token_new(a, &plain, NOW + 1000, text, id, &e), 0);
    assert_int_equal(authority_token_remove(a, bytes_of(id), NULL), 0);
    assert_int_equal(authority_token_remove(a, bytes_of(id), &e), E_NOTFOUND);
    assert_int_equal(authority_token_remove(a, BYTES("00"), &e), E_NOTFOUND);
    authority_free(a);

    static const char *const texts[] = {"", "plxj_", "plx_abc", "plxj_AAAA", "PLXJ_AAAA"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(authority_token_parse(&parts, bytes_of(texts[i]), &e), E_PARSE);
    for (size_t n = 0; n < 80; n++)
        assert_int_equal(authority_token_parse(&parts, (struct bytes){text, n}, &e), E_PARSE);
    char spaced[120];
    (void)snprintf(spaced, sizeof spaced, " %s\n", text);
    assert_int_equal(authority_token_parse(&parts, bytes_of(spaced), &e), 0);
}

static void test_join(void **state)
{
    (void)state;
    struct authority *a = mesh(0);
    static const char *const roles[] = {"worker", NULL};
    struct token t =
        token(a, &(struct authority_token_args){
                     .roles = roles, .environment = "dev", .clearance = "restricted:*"});
    struct member *m = node("n1", "dev.aipc.n1");
    struct member_view v;
    member_view(m, &v);
    assert_string_equal(v.id, "");
    assert_null(v.grant);
    assert_null(member_bundle(m));
    assert_false(member_joined(m));
    assert_false(member_renew_due(m, NOW));
    assert_int_equal(joins(a, m, &t, NOW, NULL), 0);
    assert_true(member_joined(m));
    member_view(m, &v);
    assert_string_equal(v.id, "spiffe://example.org/node/n1");
    assert_string_equal(v.domain, "example.org");
    assert_string_equal(v.grant->clearance, "restricted:*");
    assert_string_equal(v.grant->environment, "dev");
    assert_string_equal(v.grant->roles[0], "worker");
    assert_null(v.grant->roles[1]);
    assert_int_equal(v.grant->issued_ms, NOW);
    assert_int_equal(v.epoch, 1 << 16);
    assert_int_equal(authority_epoch(a), 1 << 16);
    assert_int_equal(v.not_before_ms, NOW - 60000);
    assert_int_equal(v.not_after_ms, NOW + AUTHORITY_SVID_TTL_MS);
    assert_int_equal(strncmp(v.serial, "010000", 6), 0);
    assert_int_equal(member_renew_at(m), NOW + AUTHORITY_SVID_TTL_MS / 2);
    assert_false(member_renew_due(m, NOW));
    assert_false(member_renew_due(m, NOW + AUTHORITY_SVID_TTL_MS / 2 - 1));
    assert_true(member_renew_due(m, NOW + AUTHORITY_SVID_TTL_MS / 2));
    assert_true(member_renew_due(m, NOW - 61000)); // the clock went back
    size_t at = 0;
    struct authority_token_view tv;
    assert_true(authority_token_each(a, NOW, &at, &tv));
    assert_string_equal(tv.used_by, "n1");
    struct grant g;
    assert_true(authority_node(a, BYTES("n1"), &g));
    assert_false(authority_node(a, BYTES("n2"), &g));
    member_free(m);
    authority_free(a);
}

// Each wrong thing has its code and says what is wrong.
static void test_join_refused(void **state)
{
    (void)state;
    struct authority *a = mesh(0), *other = mesh(0);
    struct authority_token_args none = {0};
    struct token used = token(a, &none), old = token(a, &none), revoked = token(a, &none),
                 named = token(a, &(struct authority_token_args){.node = "n7"}),
                 prod = token(a, &(struct authority_token_args){.environment = "prod"}),
                 free_one = token(a, &none), foreign = token(other, &none), wrong_secret = free_one;
    // the same token id with another secret
    wrong_secret.text[20] = wrong_secret.text[20] == 'A' ? 'B' : 'A';
    struct member *first = node("n1", "dev.x.n1");
    assert_int_equal(joins(a, first, &used, NOW, NULL), 0);
    assert_int_equal(authority_token_remove(a, bytes_of(revoked.id), NULL), 0);
    const struct {
        const char *node;
        const struct token *token;
        int64_t at;
        int code;
        const char *why;
    } rows[] = {
        {"n2", &used, NOW, E_UNAUTH, "was used before, by node n1"},
        {"n2", &old, NOW + AUTHORITY_TOKEN_TTL_MS, E_UNAUTH, "expired at 2027-01-15T08:10:00"},
        {"n2", &revoked, NOW, E_UNAUTH, "no such join token"},
        {"n2", &foreign, NOW, E_UNAUTH, "no such join token"},
        {"n2", &wrong_secret, NOW, E_UNAUTH, "no such join token"},
        {"n2", &named, NOW, E_FORBIDDEN, "is for node n7, not for n2"},
        {"n2", &prod, NOW, E_FORBIDDEN, "is for environment prod, the node is of dev"},
        {"n1", &free_one, NOW, E_EXISTS, "node n1 is in the mesh already"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char context[32];
        struct err e = {0};
        (void)snprintf(context, sizeof context, "dev.x.%s", rows[i].node);
        struct member *m = node(rows[i].node, context);
        int rc = joins(a, m, rows[i].token, rows[i].at, &e);
        if (rc != rows[i].code || !strstr(e.text, rows[i].why))
            fail_msg("row %zu: %d \"%s\", expected \"%s\"", i, rc, e.text, rows[i].why);
        assert_null(strstr(e.text, "plxj_"));
        assert_false(member_joined(m));
        member_free(m);
    }
    // None of it used the tokens up.
    struct member *m = node("n7", "prod.x.n7"), *m2 = node("n8", "prod.x.n8");
    assert_int_equal(joins(a, m, &named, NOW, NULL), 0);
    assert_int_equal(joins(a, m2, &prod, NOW, NULL), 0);
    member_free(m);
    member_free(m2);
    member_free(first);
    authority_free(a);
    authority_free(other);
}

// The body says one thing, the proof another.
static void test_join_proof(void **state)
{
    (void)state;
    static const char *const members[] = {"node", "context", "csr", "ed25519", "sign", "token"};
    struct authority *a = mesh(0);
    struct token t = token(a, &(struct authority_token_args){0}),
                 t2 = token(a, &(struct authority_token_args){0});
    struct member *m = node("n1", "dev.x.n1"), *m2 = node("n2", "dev.x.n2");
    struct buf body = made(), body2 = made(), mixed = made(), answer = made();
    assert_int_equal(member_join_body(m, bytes_of(t.text), &body, NULL), 0);
    assert_int_equal(member_join_body(m2, bytes_of(t2.text), &body2, NULL), 0);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct err e = {0};
        buf_clear(&mixed);
        swap_member(buf_bytes(&body), buf_bytes(&body2), members[i], &mixed);
        int rc = authority_join(a, buf_bytes(&mixed), NOW, &answer, NULL, &e);
        if (rc != E_SECURITY || !strstr(e.text, "does not prove"))
            fail_msg("%s: %d \"%s\"", members[i], rc, e.text);
    }
    struct err e = {0};
    for (size_t n = 0; n < body.n; n += 7)
        assert_int_equal(
            authority_join(a, bytes_first(buf_bytes(&body), n), NOW, &answer, NULL, &e), E_PARSE);
    assert_int_equal(authority_join(a, BYTES("{}"), NOW, &answer, NULL, &e), E_PARSE);
    struct buf empty = made();
    static const char none[] = "{\"csr\":\"\"}";
    swap_member(buf_bytes(&body), BYTES(none), "csr", &empty);
    assert_int_equal(authority_join(a, buf_bytes(&empty), NOW, &answer, NULL, &e), E_PARSE);
    buf_fini(&empty);
    assert_int_equal(authority_join(a, BYTES("[]"), NOW, &answer, NULL, &e), E_PARSE);
    assert_int_equal(answer.n, 0);
    assert_int_equal(authority_join(a, buf_bytes(&body), NOW, &answer, NULL, NULL), 0);
    // An answer is for one node, one key, one mesh.
    assert_int_equal(member_join_accept(m2, bytes_of(t2.text), buf_bytes(&answer), NOW, &e),
                     E_SECURITY);
    struct member *again = node("n1", "dev.x.n1");
    assert_int_equal(member_join_accept(again, bytes_of(t.text), buf_bytes(&answer), NOW, &e),
                     E_SECURITY);
    assert_non_null(strstr(e.text, "another key"));
    struct authority *fake = mesh(0);
    struct token pinned = token(fake, &(struct authority_token_args){0});
    assert_int_equal(member_join_accept(m, bytes_of(pinned.text), buf_bytes(&answer), NOW, &e),
                     E_SECURITY);
    assert_non_null(strstr(e.text, "not the authority that the token names"));
    assert_int_equal(
        member_join_accept(m, bytes_of(t.text), buf_bytes(&answer), NOW + 2 * HOUR, &e),
        E_SECURITY);
    assert_int_equal(member_join_accept(m, bytes_of(t.text), BYTES("{}"), NOW, &e), E_INVALID);
    assert_int_equal(
        member_join_accept(m, bytes_of(t.text), bytes_first(buf_bytes(&answer), 99), NOW, &e),
        E_PARSE);
    assert_false(member_joined(m));
    assert_int_equal(member_join_accept(m, bytes_of(t.text), buf_bytes(&answer), NOW, &e), 0);
    member_free(m);
    member_free(m2);
    member_free(again);
    authority_free(a);
    authority_free(fake);
    buf_fini(&body);
    buf_fini(&body2);
    buf_fini(&mixed);
    buf_fini(&answer);
}

static void test_take_over(void **state)
{
    (void)state;
    struct authority *a = mesh(0);
    struct member *lost = joined(a, "n1"), *peer = joined(a, "n2");
    struct token t = token(a, &(struct authority_token_args){.node = "n1"});
    struct member *again = node("n1", "dev.x.n1");
    struct buf body = made(), answer = made(), removal = made();
    struct err e = {0};
    struct member_view v;
    assert_int_equal(member_join_body(again, bytes_of(t.text), &body, NULL), 0);
    assert_int_equal(authority_join(a, buf_bytes(&body), NOW, &answer, &removal, NULL), 0);
    assert_int_equal(member_join_accept(again, bytes_of(t.text), buf_bytes(&answer), NOW, NULL), 0);
    assert_int_equal(member_removal_add(peer, buf_bytes(&removal), NULL, NULL), 1);
    assert_int_equal(member_removal_add(again, buf_bytes(&removal), NULL, NULL), 0); // had it
    assert_int_equal(sees(peer, lost, NOW, &e), E_SECURITY);
    assert_int_equal(sees(peer, again, NOW, &e), 0);
    member_view(again, &v);
    assert_int_equal(v.epoch, 3 << 16);
    assert_int_equal(renews(a, lost, NOW, &e), E_SECURITY); // its epoch was ended
    assert_int_equal(renews(a, again, NOW, &e), 0);
    member_free(lost);
    member_free(peer);
    member_free(again);
    authority_free(a);
    buf_fini(&body);
    buf_fini(&answer);
    buf_fini(&removal);
}

static void test_renew(void **state)
{
    (void)state;
    struct authority *a = mesh(10000);
    struct member *m = joined(a, "n1"), *peer = joined(a, "n2");
    struct member_view before, after;
    struct err e = {0};
    struct buf key = made();
    member_view(m, &before);
    assert_int_equal(buf_put(&key, before.key_pem), 0);
    int64_t first_end = before.not_after_ms;
    assert_int_equal(first_end, NOW + 10000);
    assert_int_equal(member_renew_at(m), NOW + 5000);
    assert_int_equal(renews(a, m, NOW + 5000, NULL), 0);
    member_view(m, &after);
    assert_int_equal(after.not_after_ms, NOW + 15000);
    assert_int_equal(after.epoch, 1 << 16); // the same membership
    assert_false(bytes_eq(after.key_pem, buf_bytes(&key)));
    assert_int_equal(sees(peer, m, NOW + 14999, NULL), 0);
    assert_int_equal(sees(peer, m, NOW + 16000, &e), E_SECURITY);
    assert_non_null(strstr(e.text, "expired at"));
    assert_int_equal(renews(a, m, NOW + 100 * HOUR, NULL), 0); // long expired
    assert_int_equal(sees(peer, m, NOW + 100 * HOUR, NULL), 0);

    struct buf body = made(), answer = made();
    static const struct {
        int64_t skew_ms;
        int code;
    } skews[] = {{300000, 0}, {300001, E_SECURITY}, {-300000, 0}, {-300001, E_SECURITY}};
    for (size_t i = 0; i < sizeof skews / sizeof *skews; i++) {
        buf_clear(&body);
        assert_int_equal(member_renew_body(m, NOW + skews[i].skew_ms, &body, NULL), 0);
        assert_int_equal(authority_renew(a, buf_bytes(&body), NOW, &answer, &e), skews[i].code);
    }
    assert_non_null(strstr(e.text, "clocks"));
    // Somebody else's request, and a changed one.
    struct buf theirs = made(), mixed = made();
    buf_clear(&body);
    assert_int_equal(member_renew_body(m, NOW, &body, NULL), 0);
    assert_int_equal(member_renew_body(peer, NOW + 1, &theirs, NULL), 0);
    static const char *const members[] = {"csr", "sign", "wall_ms"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        buf_clear(&mixed);
        swap_member(buf_bytes(&body), buf_bytes(&theirs), members[i], &mixed);
        int rc = authority_renew(a, buf_bytes(&mixed), NOW, &answer, &e);
        if (rc != E_SECURITY)
            fail_msg("%s: %d %s", members[i], rc, e.text);
    }
    buf_clear(&mixed);
    swap_member(buf_bytes(&body), buf_bytes(&theirs), "node", &mixed);
    assert_int_equal(authority_renew(a, buf_bytes(&mixed), NOW, &answer, &e), E_UNAUTH);
    buf_clear(&mixed);
    swap_member(buf_bytes(&body), buf_bytes(&theirs), "epoch", &mixed);
    assert_int_equal(authority_renew(a, buf_bytes(&mixed), NOW, &answer, &e), E_UNAUTH);
    // An answer for an older request does not fit the new key.
    buf_clear(&answer);
    assert_int_equal(authority_renew(a, buf_bytes(&body), NOW, &answer, NULL), 0);
    assert_int_equal(member_renew_body(m, NOW, &theirs, NULL), 0);
    assert_int_equal(member_renew_accept(m, buf_bytes(&answer), NOW, &e), E_SECURITY);
    member_free(m);
    member_free(peer);
    authority_free(a);
    buf_fini(&key);
    buf_fini(&body);
    buf_fini(&answer);
    buf_fini(&theirs);
    buf_fini(&mixed);
}

static void test_remove(void **state)
{
    (void)state;
    struct authority *a = mesh(0), *other = mesh(0);
    struct member *n1 = joined(a, "n1"), *n2 = joined(a, "n2"), *alien = joined(other, "n9");
    struct buf text = made(), saved = made();
    struct grant_removal r;
    struct err e = {0};
    struct member_view v;
    assert_int_equal(sees(n2, n1, NOW, &e), 0);
    assert_int_equal(sees(alien, n1, NOW, &e), E_SECURITY);
    assert_int_equal(authority_remove(a, BYTES("n3"), NOW, &text, &e), E_NOTFOUND);
    assert_int_equal(authority_remove(a, BYTES("n1"), NOW, &text, NULL), 0);
    assert_int_equal(authority_remove(a, BYTES("n1"), NOW, &text, &e), E_NOTFOUND);
    assert_int_equal(member_removal_add(n2, buf_bytes(&text), &r, NULL), 1);
    assert_string_equal(r.node, "n1");
    assert_int_equal(r.epoch, 1 << 16);
    assert_int_equal(r.issued_ms, NOW);
    assert_int_equal(member_removal_add(n2, buf_bytes(&text), &r, NULL), 0);
    assert_int_equal(member_removal_add(alien, buf_bytes(&text), &r, &e), E_SECURITY);
    assert_int_equal(sees(n2, n1, NOW, &e), E_SECURITY);
    assert_non_null(strstr(e.text, "was removed from the mesh (epoch 65536)"));
    assert_int_equal(renews(a, n1, NOW, &e), E_SECURITY);
    assert_non_null(strstr(e.text, "was removed"));
    member_view(n1, &v);
    assert_true(member_removed(n2, bytes_of(v.id), v.epoch));
    assert_false(member_removed(n2, bytes_of(v.id), v.epoch + 1));
    assert_true(member_removed(n2, BYTES("spiffe://example.org/node/n1/worker/q"), v.epoch));
    assert_true(member_removed(n2, BYTES("spiffe://example.org/agent/x"), v.epoch)); // it hosted it
    assert_false(member_removed(n2, BYTES("spiffe://example.org/agent/x"), v.epoch - 1));
    assert_false(member_removed(n2, BYTES("spiffe://example.org/node/n2"), v.epoch - 1));
    // It may come back with a token of its own and a new epoch.
    member_free(n1);
    n1 = joined(a, "n1");
    assert_int_equal(sees(n2, n1, NOW, NULL), 0);
    // Both sides remember over a restart.
    assert_int_equal(authority_save(a, &saved), 0);
    authority_free(a);
    assert_int_equal(authority_load(&a, buf_bytes(&saved), NULL), 0);
    size_t at = 0;
    struct bytes kept;
    assert_true(grant_removals_each(authority_removals(a), &at, &r, &kept));
    assert_true(bytes_eq(kept, buf_bytes(&text)));
    member_free(n1);
    member_free(n2);
    member_free(alien);
    authority_free(a);
    authority_free(other);
    buf_fini(&text);
    buf_fini(&saved);
}

static void test_save(void **state)
{
    (void)state;
    struct authority *a = mesh(0), *b = NULL;
    struct member *n1 = joined(a, "n1"), *n2 = joined(a, "n2");
    struct token t = token(a, &(struct authority_token_args){.clearance = "internal"}),
                 gone = token(a, &(struct authority_token_args){0});
    struct buf one = made(), two = made();
    struct err e = {0};
    assert_int_equal(authority_token_remove(a, bytes_of(gone.id), NULL), 0);
    assert_int_equal(authority_remove(a, BYTES("n2"), NOW, &two, NULL), 0);
    buf_clear(&two);
    assert_int_equal(authority_save(a, &one), 0);
    if (authority_load(&b, buf_bytes(&one), &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(authority_save(b, &two), 0);
    assert_string_equal(buf_cstr(&one), buf_cstr(&two));
    assert_null(strstr(buf_cstr(&one), t.text)); // hashes only
    assert_int_equal(renews(b, n1, NOW, NULL), 0);
    struct member *n3 = node("n3", "dev.x.n3"), *n4 = node("n4", "dev.x.n4");
    assert_int_equal(joins(b, n4, &gone, NOW, &e), E_UNAUTH);
    assert_int_equal(joins(b, n3, &t, NOW, NULL), 0);
    struct member_view v;
    member_view(n3, &v);
    assert_int_equal(v.epoch, 3 << 16); // goes on counting
    // Broken texts: each member away or changed.
    static const char *const members[] = {"version",     "domain",  "key", "certificate",
                                          "svid_ttl_ms", "counter", "copy"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct authority *none = NULL;
        buf_clear(&two);
        without_member(buf_bytes(&one), members[i], &two);
        if (authority_load(&none, buf_bytes(&two), &e) == 0)
            fail_msg("without %s", members[i]);
        assert_null(none);
    }
    struct authority *none = NULL;
    assert_int_equal(authority_load(&none, BYTES("{\"version\":2}"), &e), E_UNSUPPORTED);
    for (size_t n = 0; n + 1 < one.n; n += 53)
        assert_int_equal(authority_load(&none, bytes_first(buf_bytes(&one), n), &e), E_PARSE);
    struct authority *other = mesh(0); // its key with our certificate
    struct buf theirs = made();
    assert_int_equal(authority_save(other, &theirs), 0);
    buf_clear(&two);
    swap_member(buf_bytes(&one), buf_bytes(&theirs), "key", &two);
    assert_int_equal(authority_load(&none, buf_bytes(&two), &e), E_INVALID);
    assert_int_equal(authority_make(&none, BYTES("Bad"), 0, NOW, &e), E_INVALID);
    assert_int_equal(authority_make(&none, BYTES("d"), 1999, NOW, &e), E_INVALID);
    assert_int_equal(authority_make(&none, BYTES("d"), AUTHORITY_SVID_TTL_MAX_MS + 1, NOW, &e),
                     E_INVALID);
    authority_free(other);
    buf_fini(&theirs);
    member_free(n1);
    member_free(n2);
    member_free(n3);
    member_free(n4);
    authority_free(a);
    authority_free(b);
    buf_fini(&one);
    buf_fini(&two);
}

static void test_svid_rules(void **state)
{
    (void)state;
    struct authority *a = mesh(0);
    struct member *n1 = joined(a, "n1"), *n2 = joined(a, "n2");
    static const char *const audience[] = {"plexus", NULL};
#define N1 "spiffe://example.org/node/n1"
    static const struct {
        const char *requester;
        uint64_t epoch;
        const char *id;
        unsigned scopes;
        int code;
    } rows[] = {
        {N1, 1 << 16, N1 "/worker/q", 0, 0},
        {N1, 1 << 16, "node/n1/worker/q", 0, 0},
        {N1, 1 << 16, "agent/x", 0, 0},
        {N1, 1 << 16, "/flow/1/2", 0, 0},
        {N1, 1 << 16, N1, 0, E_FORBIDDEN},
        {N1, 1 << 16, "node/n2/worker/q", 0, E_FORBIDDEN},
        {N1, 1 << 16, "node/n12", 0, E_FORBIDDEN},
        {N1, 1 << 16, "agent", 0, E_FORBIDDEN},
        {N1, 1 << 16, "agents/x", 0, E_FORBIDDEN},
        {N1, 1 << 16, "user/ann", 0, E_FORBIDDEN},
        {N1, 1 << 16, "agent/x", SCOPE_MODELS, 0},
        {N1, 1 << 16, "user/ann", SCOPE_MODELS, E_FORBIDDEN},
        {N1, 1 << 16, "agent/x", SCOPE_READ, E_FORBIDDEN},
        {N1, 1 << 16, "agent/x", SCOPE_ADMIN, E_FORBIDDEN},
        {N1, 1 << 16, "agent/x", SCOPE_ALL, E_FORBIDDEN},
        {N1, 2 << 16, "agent/x", 0, E_FORBIDDEN},
        {N1, 0, "agent/x", 0, E_FORBIDDEN},
        {N1 "/worker/q", 1 << 16, N1 "/worker/q/y", 0, E_FORBIDDEN},
        {"spiffe://example.org/node/n3", 1 << 16, "agent/x", 0, E_FORBIDDEN},
        {"spiffe://example.org/agent/n1", 1 << 16, "agent/x", 0, E_FORBIDDEN},
        {"spiffe://other.org/node/n1", 1 << 16, "agent/x", 0, E_FORBIDDEN},
        {"n1", 1 << 16, "agent/x", 0, E_FORBIDDEN},
        {"", 1 << 16, "agent/x", 0, E_FORBIDDEN},
        {N1, 1 << 16, "spiffe://other.org/agent/x", 0, E_INVALID},
        {N1, 1 << 16, "agent//x", 0, E_INVALID},
        {N1, 1 << 16, "", 0, E_INVALID},
        {NULL, 0, "user/ann", SCOPE_ALL, 0},
        {NULL, 0, "agent/x", 0, 0},
        {NULL, 0, "node/n1", 0, 0},
        {NULL, 0, "node/n3", 0, E_NOTFOUND},
        {NULL, 0, "node/x", 0, E_NOTFOUND},
        {NULL, 0, "", 0, E_INVALID},
        {NULL, 0, "spiffe://example.org", 0, E_INVALID},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct authority_svid_args args = {.requester = rows[i].requester,
                                           .requester_epoch = rows[i].epoch,
                                           .id = rows[i].id,
                                           .audience = audience,
                                           .scopes = rows[i].scopes};
        for (int jwt = 0; jwt < 2; jwt++) {
            struct buf out = made();
            struct err e = {0};
            int rc = jwt ? authority_svid_jwt(a, &args, NOW, &out, &e)
                         : authority_svid_x509(a, &args, NOW, &out, &e);
            if (rc != rows[i].code)
                fail_msg("row %zu (%s): %d \"%s\"", i, rows[i].id, rc, e.text);
            assert_true(rc == 0 || out.n == 0);
            buf_fini(&out);
        }
    }
    struct authority_svid_args args = {.id = "agent/x", .audience = audience};
    struct buf out = made();
    struct err e = {0};
    static const struct {
        const char *requester;
        int64_t ttl_ms;
        int code;
    } ttls[] = {
        {NULL, 999, E_INVALID},
        {NULL, AUTHORITY_SVID_TTL_MAX_MS, 0},
        {NULL, AUTHORITY_SVID_TTL_MAX_MS + 1, E_INVALID},
        {N1, HOUR, 0},
        {N1, HOUR + 1, E_INVALID},
    };
    for (size_t i = 0; i < sizeof ttls / sizeof *ttls; i++) {
        args.requester = ttls[i].requester;
        args.requester_epoch = 1 << 16;
        args.ttl_ms = ttls[i].ttl_ms;
        assert_int_equal(authority_svid_x509(a, &args, NOW, &out, &e), ttls[i].code);
    }
    args = (struct authority_svid_args){.id = "agent/x"};
    assert_int_equal(authority_svid_jwt(a, &args, NOW, &out, &e), E_INVALID); // no audience
    args.csr_der = BYTES("no request");
    assert_int_equal(authority_svid_x509(a, &args, NOW, &out, &e), E_PARSE);
    member_free(n1);
    member_free(n2);
    authority_free(a);
    buf_fini(&out);
}

static void test_svids(void **state)
{
    (void)state;
    struct authority *a = mesh(0);
    struct member *n1 = joined(a, "n1"), *n2 = joined(a, "n2");
    static const char *const audience[] = {"plexus", NULL};
    struct authority_svid_args args = {
        .requester = N1, .requester_epoch = 1 << 16, .id = "agent/x", .audience = audience};
    struct buf out = made(), csr = made(), removal = made();
    struct err e = {0};
    struct json_doc *doc = NULL;
    assert_int_equal(authority_svid_x509(a, &args, NOW, &out, NULL), 0);
    assert_int_equal(json_parse(&doc, buf_bytes(&out), JSON_UNIQUE, NULL), 0);
    assert_string_equal(json_cstr(json_get(json_root(doc), "id"), ""),
                        "spiffe://example.org/agent/x");
    assert_string_equal(json_cstr(json_get(json_root(doc), "expires"), ""),
                        "2027-01-15T09:00:00.000Z");
    struct bytes cert = json_str(json_get(json_root(doc), "cert_pem"));
    struct crypto_key *key = NULL, *theirs = NULL;
    assert_int_equal(crypto_key_open(&key, json_str(json_get(json_root(doc), "key_pem")), NULL), 0);
    struct buf der = made();
    struct bytes rest = cert;
    assert_int_equal(x509_pem_next(&rest, "CERTIFICATE", &der, NULL), 1);
    assert_int_equal(x509_key(buf_bytes(&der), &theirs, NULL), 0);
    assert_true(crypto_key_same(key, theirs)); // the key that was given is the certificate's
    struct bytes chain = buf_bytes(&der);
    char id[SPIFFE_ID_MAX + 1];
    uint64_t epoch = 0;
    assert_int_equal(member_check_peer(n2, &chain, 1, NOW, id, &epoch, NULL), 0);
    assert_string_equal(id, "spiffe://example.org/agent/x");
    assert_int_equal(epoch, 1 << 16);
    // with a request: no key comes back
    struct buf with = made();
    assert_int_equal(x509_csr_make(key, &csr, NULL), 0);
    args.csr_der = buf_bytes(&csr);
    assert_int_equal(authority_svid_x509(a, &args, NOW, &with, NULL), 0);
    assert_null(strstr(buf_cstr(&with), "key_pem"));
    // a token of the node's agent, and one of the admin's
    struct buf jwt = made(), admin = made();
    struct spiffe_jwt seen;
    assert_int_equal(authority_svid_jwt(a, &args, NOW, &jwt, NULL), 0);
    struct authority_svid_args by_admin = {
        .id = "user/ann", .audience = audience, .scopes = SCOPE_MODELS, .ttl_ms = 8 * HOUR};
    assert_int_equal(authority_svid_jwt(a, &by_admin, NOW, &admin, NULL), 0);
    assert_int_equal(checks_jwt(n2, buf_bytes(&jwt), &seen, &e), 0);
    assert_int_equal(seen.epoch, 1 << 16);
    assert_int_equal(checks_jwt(n2, buf_bytes(&admin), &seen, &e), 0);
    assert_int_equal(seen.scopes, SCOPE_MODELS);
    assert_string_equal(seen.id, "spiffe://example.org/user/ann");
    assert_int_equal(seen.expires_ms, NOW + 8 * HOUR);
    // They end with the node that hosts them.
    assert_int_equal(authority_remove(a, BYTES("n1"), NOW, &removal, NULL), 0);
    assert_int_equal(member_removal_add(n2, buf_bytes(&removal), NULL, NULL), 1);
    assert_int_equal(member_check_peer(n2, &chain, 1, NOW, id, &epoch, &e), E_SECURITY);
    assert_int_equal(checks_jwt(n2, buf_bytes(&jwt), &seen, &e), E_UNAUTH);
    assert_int_equal(checks_jwt(n2, buf_bytes(&admin), &seen, &e), 0);
    assert_int_equal(authority_svid_x509(a, &args, NOW, &with, &e), E_FORBIDDEN);
    json_free(doc);
    crypto_key_free(key);
    crypto_key_free(theirs);
    member_free(n1);
    member_free(n2);
    authority_free(a);
    buf_fini(&out);
    buf_fini(&csr);
    buf_fini(&removal);
    buf_fini(&der);
    buf_fini(&with);
    buf_fini(&jwt);
    buf_fini(&admin);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),       cmocka_unit_test(test_join),
        cmocka_unit_test(test_join_refused), cmocka_unit_test(test_join_proof),
        cmocka_unit_test(test_take_over),    cmocka_unit_test(test_renew),
        cmocka_unit_test(test_remove),       cmocka_unit_test(test_save),
        cmocka_unit_test(test_svid_rules),   cmocka_unit_test(test_svids),
    };
    return cmocka_run_group_tests_name("authority", tests, NULL, NULL);
}
