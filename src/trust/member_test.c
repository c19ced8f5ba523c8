// member_test.c: the node's side: kept over restarts, sheets, the peer of a joiner.
// SPDX-License-Identifier: Apache-2.0
#include "crypto/base64url.h"
#include "trust/trust_rig.h"

static void test_make(void **state)
{
    (void)state;
    static const struct {
        const char *node, *context;
        int code;
    } rows[] = {
        {"n1", "dev.aipc.n1", 0},  {"N_1.a-b", "prod", 0},     {"", "dev", E_INVALID},
        {"a/b", "dev", E_INVALID}, {"..", "dev", E_INVALID},   {"n1", "", E_INVALID},
        {"n1", ".x", E_INVALID},   {"n1", "d v.x", E_INVALID},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct member *m = NULL;
        struct err e = {0};
        assert_int_equal(member_make(&m, bytes_of(rows[i].node), bytes_of(rows[i].context), &e),
                         rows[i].code);
        member_free(m);
    }
}

// Everything that needs a mesh says so before the join.
static void test_alone(void **state)
{
    (void)state;
    struct member *m = node("n1", "dev.x.n1");
    struct buf out = made();
    struct err e = {0};
    struct bytes none = BYTES("x"), payload;
    struct spiffe_jwt jwt;
    struct grant g;
    char id[SPIFFE_ID_MAX + 1];
    uint64_t epoch;
    AUTO(arena) a = arena_new(4096);
    assert_int_equal(member_sheet_sign(m, BYTES("{}"), &out, &e), E_UNAVAILABLE);
    assert_int_equal(member_sheet_open(m, none, a, &payload, &g, &e), E_UNAVAILABLE);
    assert_int_equal(member_check_peer(m, &none, 1, NOW, id, &epoch, &e), E_UNAVAILABLE);
    assert_int_equal(member_removal_add(m, none, NULL, &e), E_UNAVAILABLE);
    assert_int_equal(member_jwt_check(m, none, none, NOW, &jwt, &e), E_UNAVAILABLE);
    assert_int_equal(member_renew_body(m, NOW, &out, &e), E_UNAVAILABLE);
    assert_int_equal(member_renew_accept(m, none, NOW, &e), E_CONFLICT);
    assert_int_equal(member_join_body(m, BYTES("plxj_x"), &out, &e), E_PARSE);
    assert_true(member_renew_at(m) == INT64_MAX);
    assert_int_equal(out.n, 0);
    member_free(m);
}

static void test_save(void **state)
{
    (void)state;
    static const char *const addresses[] = {"a:1", "[::1]:2", NULL};
    struct authority *a = mesh(0);
    struct member *fresh = node("n0", "dev.x.n0"), *m = joined(a, "n1"), *peer = joined(a, "n2"),
                  *back = NULL;
    struct buf one = made(), two = made(), removal = made();
    struct err e = {0};
    struct member_view v, w;
    assert_int_equal(authority_remove(a, BYTES("n2"), NOW, &removal, NULL), 0);
    assert_int_equal(member_removal_add(m, buf_bytes(&removal), NULL, NULL), 1);
    assert_string_equal(member_authority(m), "");
    assert_null(member_authority_addresses(m)[0]);
    assert_int_equal(member_set_authority(m, BYTES("n2"), addresses, NULL), 0);
    assert_int_equal(member_set_authority(m, BYTES("n0"), addresses, NULL), 0);
    assert_int_equal(member_save(m, &one), 0);
    if (member_load(&back, buf_bytes(&one), &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(member_save(back, &two), 0);
    assert_string_equal(buf_cstr(&one), buf_cstr(&two));
    member_view(m, &v);
    member_view(back, &w);
    assert_string_equal(v.id, w.id);
    assert_string_equal(v.serial, w.serial);
    assert_true(bytes_eq(v.key_pem, w.key_pem));
    assert_true(bytes_eq(v.cert_pem, w.cert_pem));
    assert_string_equal(member_authority(back), "n0");
    assert_string_equal(member_authority_addresses(back)[1], "[::1]:2");
    assert_null(member_authority_addresses(back)[2]);
    assert_int_equal(sees(back, peer, NOW, &e), E_SECURITY); // the removal is remembered
    assert_int_equal(renews(a, back, NOW + 50 * HOUR, NULL), 0); // loads also when it is expired
    member_free(back);
    back = NULL;
    buf_clear(&two); // before the join there is less of it
    assert_int_equal(member_save(fresh, &two), 0);
    assert_int_equal(member_load(&back, buf_bytes(&two), NULL), 0);
    assert_false(member_joined(back));
    member_free(back);
    back = NULL;
    static const char *const members[] = {"version",      "node",   "context", "key",
                                          "ed25519_seed", "domain", "bundle",  "grant"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        buf_clear(&two);
        without_member(buf_bytes(&one), members[i], &two);
        if (member_load(&back, buf_bytes(&two), &e) == 0)
            fail_msg("without %s", members[i]);
        assert_null(back);
    }
    struct buf theirs = made(); // parts of another node's
    assert_int_equal(member_save(peer, &theirs), 0);
    static const char *const parts[] = {"node", "key", "ed25519_seed", "svid", "grant"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        buf_clear(&two);
        swap_member(buf_bytes(&one), buf_bytes(&theirs), parts[i], &two);
        int rc = member_load(&back, buf_bytes(&two), &e);
        if (rc != E_SECURITY)
            fail_msg("%s of another: %d %s", parts[i], rc, e.text);
    }
    assert_int_equal(member_load(&back, BYTES("{\"version\":2}"), &e), E_UNSUPPORTED);
    assert_int_equal(member_load(&back, BYTES("{"), &e), E_PARSE);
    member_free(fresh);
    member_free(m);
    member_free(peer);
    authority_free(a);
    buf_fini(&one);
    buf_fini(&two);
    buf_fini(&theirs);
    buf_fini(&removal);
}

#define SHEET "{\"node\":\"n1\",\"context\":\"dev.x.n1\",\"seq\":7}"

static int opens(const struct member *m, struct bytes text, struct err *e)
{
    AUTO(arena) a = arena_new(1 << 20);
    struct bytes payload;
    struct grant g;
    int rc = member_sheet_open(m, text, a, &payload, &g, e);
    if (rc == 0) {
        assert_true(bytes_is(payload, SHEET));
        assert_string_equal(g.node, "n1");
        assert_string_equal(g.clearance, "internal");
        assert_int_equal(g.epoch, 1 << 16);
    }
    return rc;
}

static void test_sheet(void **state)
{
    (void)state;
    struct authority *a = mesh(0), *other = mesh(0);
    struct member *n1 = joined(a, "n1"), *n2 = joined(a, "n2"), *alien = joined(other, "n1");
    struct buf text = made(), theirs = made(), mixed = made(), removal = made();
    struct err e = {0};
    assert_int_equal(member_sheet_sign(n1, BYTES(SHEET), &text, NULL), 0);
    assert_int_equal(opens(n2, buf_bytes(&text), NULL), 0);
    assert_int_equal(opens(n1, buf_bytes(&text), NULL), 0); // its own, come back
    assert_int_equal(opens(alien, buf_bytes(&text), &e), E_SECURITY);
    for (size_t i = 0; i < text.n; i++) { // no character can be changed
        char c = text.p[i];
        text.p[i] = c == 'A' ? 'B' : 'A';
        int rc = opens(n2, buf_bytes(&text), &e);
        if (rc != E_SECURITY && rc != E_PARSE)
            fail_msg("character %zu: %d", i, rc);
        text.p[i] = c;
    }
    for (size_t n = 0; n < text.n; n++)
        assert_int_not_equal(opens(n2, bytes_first(buf_bytes(&text), n), &e), 0);
    // n2's grant under n1's sheet, and n1's grant under a sheet that n2 signed
    static const struct {
        const char *payload, *why;
    } lies[] = {
        {SHEET, "node n2 says that it is n1"},
        {"{\"node\":\"n2\",\"context\":\"prod.x.n2\"}", "is of environment dev"},
        {"{\"node\":\"n2\"}", "is of environment dev"},
        {"{\"node\":\"n2\",\"node\":\"n2\",\"context\":\"dev.x\"}", ""},
        {"not JSON", ""},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        buf_clear(&theirs);
        assert_int_equal(member_sheet_sign(n2, bytes_of(lies[i].payload), &theirs, NULL), 0);
        int rc = opens(n1, buf_bytes(&theirs), &e);
        assert_int_equal(rc, *lies[i].why ? E_SECURITY : E_PARSE);
        if (!strstr(e.text, lies[i].why))
            fail_msg("%s: %s", lies[i].payload, e.text);
    }
    struct bytes rest = buf_bytes(&text), parts[4], own[4];
    for (int i = 0; i < 4; i++)
        parts[i] = bytes_cut(&rest, '.');
    rest = buf_bytes(&theirs);
    for (int i = 0; i < 4; i++)
        own[i] = bytes_cut(&rest, '.');
    for (int i = 0; i < 4; i++) { // one part from n2
        buf_clear(&mixed);
        for (int j = 0; j < 4; j++)
            (void)buf_fmt(&mixed, "%s%.*s", j ? "." : "", BYTES_FMT(i == j ? own[j] : parts[j]));
        assert_int_equal(opens(n1, buf_bytes(&mixed), &e), E_SECURITY);
    }
    (void)buf_str(&text, ".x");
    assert_int_equal(opens(n2, buf_bytes(&text), &e), E_PARSE);
    buf_drop(&text, text.n);
    assert_int_equal(member_sheet_sign(n1, BYTES(SHEET), &text, NULL), 0);
    assert_int_equal(authority_remove(a, BYTES("n1"), NOW, &removal, NULL), 0);
    assert_int_equal(member_removal_add(n2, buf_bytes(&removal), NULL, NULL), 1);
    assert_int_equal(opens(n2, buf_bytes(&text), &e), E_SECURITY);
    assert_non_null(strstr(e.text, "was removed"));
    struct buf small;
    buf_init(&small, 100);
    assert_int_equal(member_sheet_sign(n2, BYTES(SHEET), &small, &e), E_TOOBIG);
    assert_int_equal(small.n, 0);
    buf_fini(&small);
    buf_clear(&mixed); // 256 KiB go through
    assert_non_null(buf_room(&mixed, 256 * 1024));
    mixed.n = (size_t)snprintf(mixed.p, 100, "{\"node\":\"n2\",\"context\":\"dev.x.n2\",\"x\":\"");
    memset(mixed.p + mixed.n, 'x', 256 * 1024 - mixed.n - 2);
    mixed.n = 256 * 1024 - 2;
    assert_int_equal(buf_str(&mixed, "\"}"), 0);
    buf_clear(&text);
    assert_int_equal(member_sheet_sign(n2, buf_bytes(&mixed), &text, NULL), 0);
    AUTO(arena) arena = arena_new(1 << 20);
    struct bytes payload;
    struct grant g;
    assert_int_equal(member_sheet_open(n2, buf_bytes(&text), arena, &payload, &g, NULL), 0);
    assert_true(bytes_eq(payload, buf_bytes(&mixed)));
    member_free(n1);
    member_free(n2);
    member_free(alien);
    authority_free(a);
    authority_free(other);
    buf_fini(&text);
    buf_fini(&theirs);
    buf_fini(&mixed);
    buf_fini(&removal);
}

static int meets(const struct member *peer, const char *text, int64_t now, char *id, int most,
                 struct err *e)
{
    struct buf der[X509_CHAIN_MAX];
    struct bytes chain[X509_CHAIN_MAX];
    uint64_t epoch = 0;
    int n = chain_of(peer, der, chain);
    assert_int_equal(n, 2); // the authority comes along, for joiners
    int rc = member_join_peer(bytes_of(text), chain, most < n ? most : n, now, id, &epoch, e);
    assert_int_equal(epoch, rc == 0 ? 1 << 16 : 0);
    chain_fini(der, n);
    return rc;
}

static void test_join_peer(void **state)
{
    (void)state;
    struct authority *a = mesh(0), *other = mesh(0);
    struct member *n1 = joined(a, "n1"), *alien = joined(other, "n1");
    struct token t = token(a, &(struct authority_token_args){0});
    char id[SPIFFE_ID_MAX + 1] = "";
    struct err e = {0};
    assert_int_equal(meets(n1, t.text, NOW, id, 2, NULL), 0);
    assert_string_equal(id, "spiffe://example.org/node/n1");
    assert_int_equal(meets(alien, t.text, NOW, id, 2, &e), E_SECURITY);
    assert_non_null(strstr(e.text, "not of the mesh that the token names"));
    assert_int_equal(meets(n1, t.text, NOW, id, 1, &e), E_SECURITY);
    assert_int_equal(meets(n1, t.text, NOW + 2 * HOUR, id, 2, &e), E_SECURITY);
    assert_non_null(strstr(e.text, "expired"));
    assert_int_equal(meets(n1, t.text, NOW - 2 * HOUR, id, 2, &e), E_SECURITY);
    assert_non_null(strstr(e.text, "clock"));
    assert_int_equal(meets(n1, "plxj_x", NOW, id, 2, &e), E_PARSE);
    // A stranger who shows the right authority behind his own leaf.
    struct buf mine[X509_CHAIN_MAX], theirs[X509_CHAIN_MAX];
    struct bytes a_chain[X509_CHAIN_MAX], b_chain[X509_CHAIN_MAX];
    uint64_t epoch;
    int n = chain_of(n1, mine, a_chain), m = chain_of(alien, theirs, b_chain);
    struct bytes forged[2] = {b_chain[0], a_chain[1]};
    assert_int_equal(member_join_peer(bytes_of(t.text), forged, 2, NOW, id, &epoch, &e),
                     E_SECURITY);
    chain_fini(mine, n);
    chain_fini(theirs, m);
    member_free(n1);
    member_free(alien);
    authority_free(a);
    authority_free(other);
}

// Removals: what one says of older and newer memberships, and how many are kept.
static void test_removals(void **state)
{
    (void)state;
    struct grant_removals *r = grant_removals_new();
    struct grant_removal one = {"n1", 5, 1000}, two = {"n1", 9, 1000 + 50 * HOUR}, seen;
    struct bytes text;
    size_t at = 0;
    assert_int_equal(grant_removals_add(r, &one, BYTES("one"), NULL), 1);
    assert_int_equal(grant_removals_add(r, &one, BYTES("one again"), NULL), 0);
    static const struct {
        const char *node;
        uint64_t epoch;
        bool hit;
    } rows[] = {{"n1", 4, true}, {"n1", 5, true}, {"n1", 6, false}, {"n2", 4, false},
                {"n2", 5, true}, {"", 5, true},   {"", 4, false},   {"", 0, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (grant_removals_hit(r, bytes_of(rows[i].node), rows[i].epoch) != rows[i].hit)
            fail_msg("row %zu", i);
    assert_int_equal(grant_removals_add(r, &two, BYTES("two"), NULL), 1); // the first says no more
    assert_true(grant_removals_each(r, &at, &seen, &text));
    assert_true(bytes_is(text, "two"));
    assert_false(grant_removals_each(r, &at, &seen, &text));
    assert_int_equal(grant_removals_add(r, &one, BYTES("one"), NULL), 0); // nor does it come back
    struct err e = {0};
    for (int i = 1; i < GRANT_REMOVALS_MAX; i++) {
        struct grant_removal x = {"", 100 + (uint64_t)i, 1000};
        (void)snprintf(x.node, sizeof x.node, "m%d", i);
        assert_int_equal(grant_removals_add(r, &x, BYTES("x"), NULL), 1);
    }
    struct grant_removal over = {"z", 99999, 1000};
    assert_int_equal(grant_removals_add(r, &over, BYTES("x"), &e), E_FULL);
    grant_removals_free(r);
}

// What was good a moment ago is not looked at again, and is refused all the same when its time is
// over, when a byte of it is another, and when its node was removed.
static void test_seen(void **state)
{
    (void)state;
    struct authority *a = mesh(15000), *other = mesh(0);
    struct member *m = joined(a, "n1"), *peer = joined(a, "n2"), *third = joined(a, "n3"),
                  *foreign = joined(other, "n2");
    struct buf der[X509_CHAIN_MAX], removal = made();
    struct bytes chain[X509_CHAIN_MAX];
    char id[SPIFFE_ID_MAX + 1];
    uint64_t first = 0, again = 0;
    struct err e = {0};
    int n = chain_of(peer, der, chain);
    assert_int_equal(member_check_peer(m, chain, n, NOW, id, &first, &e), 0);
    id[0] = 0;
    assert_int_equal(member_check_peer(m, chain, n, NOW + 1, id, &again, &e), 0);
    assert_string_equal(id, "spiffe://example.org/node/n2");
    assert_true(again == first && first != 0);
    assert_int_equal(sees(m, third, NOW, &e), 0); // and others are others
    assert_int_equal(sees(m, foreign, NOW, &e), E_SECURITY);
    for (size_t at = 0; at < chain[0].n; at += 7) {
        der[0].p[at] ^= 1;
        assert_true(member_check_peer(m, chain, n, NOW + 2, id, &again, &e) < 0);
        der[0].p[at] ^= 1;
    }
    assert_int_equal(member_check_peer(m, chain, 0, NOW + 2, id, &again, &e), E_SECURITY);
    assert_int_equal(sees(m, peer, NOW + 14999, &e), 0);
    assert_int_equal(sees(m, peer, NOW + 15000, &e), E_SECURITY);
    assert_non_null(strstr(e.text, "expired"));
    assert_int_equal(sees(m, peer, NOW - HOUR, &e), E_SECURITY); // the clock was set back
    assert_non_null(strstr(e.text, "not valid before"));
    assert_int_equal(sees(m, peer, NOW + 1, &e), 0);
    assert_int_equal(authority_remove(a, BYTES("n2"), NOW, &removal, NULL), 0);
    assert_int_equal(member_removal_add(m, buf_bytes(&removal), NULL, NULL), 1);
    assert_int_equal(sees(m, peer, NOW + 2, &e), E_SECURITY);
    assert_non_null(strstr(e.text, "removed"));
    assert_int_equal(renews(a, m, NOW + 2, NULL), 0); // other papers
    assert_int_equal(sees(m, third, NOW + 3, &e), 0);
    chain_fini(der, n);
    buf_fini(&removal);
    member_free(m);
    member_free(peer);
    member_free(third);
    member_free(foreign);
    authority_free(a);
    authority_free(other);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),      cmocka_unit_test(test_alone),
        cmocka_unit_test(test_save),      cmocka_unit_test(test_sheet),
        cmocka_unit_test(test_join_peer), cmocka_unit_test(test_removals),
        cmocka_unit_test(test_seen),
    };
    return cmocka_run_group_tests_name("members", tests, NULL, NULL);
}
