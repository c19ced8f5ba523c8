// trust_torture_test.c: memory runs out at each allocation of each operation in turn: it fails with
// a text, nothing is lost, nothing has changed, and the same thing works right after.
// SPDX-License-Identifier: Apache-2.0
#include "trust/trust.h"
#include "trust/trust_rig.h"

static struct {
    struct authority *authority;
    struct member *member, *joiner;
    struct buf authority_text, member_text, joiner_text; // what the three are made from each time
    struct token token, named; // for a new name; for n1
    struct buf join, take_over, answer, renewal, renewed, sheet, jwt, removal, copy;
} rig;

static const char *const audience[] = {"plexus", NULL};

// ---- operations ----

static int make(struct err *e)
{
    struct authority *a = NULL;
    int rc = authority_make(&a, BYTES("example.org"), 0, NOW, e);
    authority_free(a);
    return rc;
}

static int make_member(struct err *e)
{
    struct member *m = NULL;
    int rc = member_make(&m, BYTES("n9"), BYTES("dev.x"), e);
    member_free(m);
    return rc;
}

static int load(struct err *e)
{
    struct authority *a = NULL;
    int rc = authority_load(&a, buf_bytes(&rig.authority_text), e);
    assert_true((rc == 0) == (a != NULL));
    authority_free(a);
    return rc;
}

static int load_member(struct err *e)
{
    struct member *m = NULL;
    int rc = member_load(&m, buf_bytes(&rig.member_text), e);
    assert_true((rc == 0) == (m != NULL));
    member_free(m);
    return rc;
}

static int new_token(struct err *e)
{
    static const char *const roles[] = {"a", "b", NULL};
    char text[AUTHORITY_TOKEN_TEXT_MAX], id[17];
    const struct authority_token_args args = {
        .roles = roles, .node = "n7", .environment = "dev", .clearance = "internal"};
    return authority_token_new(rig.authority, &args, NOW, text, id, e);
}

static int out_of(int (*work)(struct buf *out, struct err *e), struct err *e)
{
    struct buf out = made();
    int rc = work(&out, e);
    buf_fini(&out);
    return rc;
}

static int join_body_to(struct buf *out, struct err *e)
{
    return member_join_body(rig.joiner, bytes_of(rig.token.text), out, e);
}
static int join_to(struct buf *out, struct err *e)
{
    return authority_join(rig.authority, buf_bytes(&rig.join), NOW, out, NULL, e);
}
static int renew_body_to(struct buf *out, struct err *e)
{
    return member_renew_body(rig.member, NOW, out, e);
}
static int renew_to(struct buf *out, struct err *e)
{
    return authority_renew(rig.authority, buf_bytes(&rig.renewal), NOW, out, e);
}
static int remove_to(struct buf *out, struct err *e)
{
    return authority_remove(rig.authority, BYTES("n1"), NOW, out, e);
}
static int svid_to(struct buf *out, struct err *e)
{
    const struct authority_svid_args args = {.id = "agent/x"};
    return authority_svid_x509(rig.authority, &args, NOW, out, e);
}
static int jwt_to(struct buf *out, struct err *e)
{
    const struct authority_svid_args args = {
        .id = "user/ann", .audience = audience, .scopes = SCOPE_READ};
    return authority_svid_jwt(rig.authority, &args, NOW, out, e);
}
static int export_to(struct buf *out, struct err *e)
{
    return authority_export(rig.authority, BYTES("n1"), out, e);
}
static int sheet_to(struct buf *out, struct err *e)
{
    return member_sheet_sign(rig.member, BYTES("{\"node\":\"n1\",\"context\":\"dev\"}"), out, e);
}

static int join_body(struct err *e)
{
    return out_of(join_body_to, e);
}
static int join(struct err *e)
{
    return out_of(join_to, e);
}
static int renew_body(struct err *e)
{
    return out_of(renew_body_to, e);
}
static int renew(struct err *e)
{
    return out_of(renew_to, e);
}
static int take_away(struct err *e)
{
    return out_of(remove_to, e);
}
static int svid(struct err *e)
{
    return out_of(svid_to, e);
}
static int jwt(struct err *e)
{
    return out_of(jwt_to, e);
}
static int export(struct err *e)
{
    return out_of(export_to, e);
}
static int sheet(struct err *e)
{
    return out_of(sheet_to, e);
}

static int merge(struct err *e)
{
    return authority_merge(rig.authority, buf_bytes(&rig.copy), NOW, e);
}

static int accept(struct err *e)
{
    return member_join_accept(rig.joiner, bytes_of(rig.token.text), buf_bytes(&rig.answer), NOW, e);
}

static int check(struct err *e)
{
    return sees(rig.member, rig.member, NOW, e);
}

static int open_sheet(struct err *e)
{
    struct arena *a = arena_new(1 << 20);
    struct bytes payload;
    struct grant g;
    int rc = a ? member_sheet_open(rig.member, buf_bytes(&rig.sheet), a, &payload, &g, e)
               : err_set(e, E_NOMEM, "arena");
    arena_free(a);
    return rc;
}

static int take_removal(struct err *e)
{
    return member_removal_add(rig.member, buf_bytes(&rig.removal), NULL, e);
}

static int check_jwt(struct err *e)
{
    struct spiffe_jwt seen;
    return member_jwt_check(rig.member, buf_bytes(&rig.jwt), BYTES("plexus"), NOW, &seen, e);
}

static int set_addresses(struct err *e)
{
    static const char *const addresses[] = {"a:1", "b:2", NULL};
    return member_set_authority(rig.member, BYTES("n1"), addresses, e);
}

static int jwks(struct err *e)
{
    struct buf out = made();
    int rc = spiffe_bundle_jwks(authority_bundle(rig.authority), 1, &out);
    buf_fini(&out);
    return rc ? err_set(e, rc, "keys") : 0;
}

static const struct {
    const char *name;
    int (*work)(struct err *e);
    bool keeps; // nothing changes when it fails
} rows[] = {
    {"make", make, true},
    {"make_member", make_member, true},
    {"load", load, true},
    {"load_member", load_member, true},
    {"new_token", new_token, true},
    {"join_body", join_body, true},
    {"join", join, false}, // an epoch may be skipped
    {"accept", accept, true},
    {"renew_body", renew_body, true},
    {"renew", renew, true},
    {"take_away", take_away, true},
    {"svid", svid, true},
    {"jwt", jwt, true},
    {"export", export, false}, // a number may have been picked
    {"merge", merge, false}, // what came in stays
    {"check", check, true},
    {"sheet", sheet, true},
    {"open_sheet", open_sheet, true},
    {"take_removal", take_removal, true},
    {"check_jwt", check_jwt, true},
    {"set_addresses", set_addresses, true},
    {"jwks", jwks, true},
};

// ---- the rig ----

static void fresh(void)
{
    assert_int_equal(authority_load(&rig.authority, buf_bytes(&rig.authority_text), NULL), 0);
    assert_int_equal(member_load(&rig.member, buf_bytes(&rig.member_text), NULL), 0);
    assert_int_equal(member_load(&rig.joiner, buf_bytes(&rig.joiner_text), NULL), 0);
}

static void gone(void)
{
    authority_free(rig.authority);
    member_free(rig.member);
    member_free(rig.joiner);
    rig.authority = NULL;
    rig.member = rig.joiner = NULL;
}

static void same(const char *what, uint64_t n)
{
    struct buf a = made(), m = made(), j = made();
    assert_int_equal(authority_save(rig.authority, &a), 0);
    assert_int_equal(member_save(rig.member, &m), 0);
    assert_int_equal(member_save(rig.joiner, &j), 0);
    if (!bytes_eq(buf_bytes(&a), buf_bytes(&rig.authority_text)) ||
        !bytes_eq(buf_bytes(&m), buf_bytes(&rig.member_text)) ||
        !bytes_eq(buf_bytes(&j), buf_bytes(&rig.joiner_text)))
        fail_msg("%s, allocation %llu: something changed", what, (unsigned long long)n);
    buf_fini(&a);
    buf_fini(&m);
    buf_fini(&j);
}

static int setup(void **state)
{
    (void)state;
    struct authority *a = mesh(0), *copy = NULL;
    struct member *m = joined(a, "n1"), *extra = joined(a, "n2"), *j = node("n3", "dev.x.n3");
    struct buf *bufs[] = {&rig.authority_text, &rig.member_text, &rig.joiner_text, &rig.join,
                          &rig.answer,         &rig.renewal,     &rig.sheet,       &rig.jwt,
                          &rig.removal,        &rig.copy};
    struct buf jwt_answer = made(), text = made();
    struct json_doc *doc = NULL;
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        *bufs[i] = made();
    rig.token = token(a, &(struct authority_token_args){.clearance = "internal"});
    assert_int_equal(authority_remove(a, BYTES("n2"), NOW, &text, NULL), 0);
    buf_clear(&text);
    assert_int_equal(authority_export(a, BYTES("n1"), &text, NULL), 0);
    assert_int_equal(authority_save(a, &rig.authority_text), 0);
    assert_int_equal(member_save(m, &rig.member_text), 0);
    assert_int_equal(member_save(j, &rig.joiner_text), 0);
    // What the three say to each other, by others that are made alike.
    assert_int_equal(member_join_body(j, bytes_of(rig.token.text), &rig.join, NULL), 0);
    assert_int_equal(member_renew_body(m, NOW, &rig.renewal, NULL), 0);
    rig.member = m;
    assert_int_equal(sheet_to(&rig.sheet, NULL), 0);
    rig.authority = a;
    assert_int_equal(jwt_to(&jwt_answer, NULL), 0);
    assert_int_equal(json_parse(&doc, buf_bytes(&jwt_answer), 0, NULL), 0);
    assert_int_equal(buf_put(&rig.jwt, json_str(json_get(json_root(doc), "token"))), 0);
    json_free(doc);
    assert_int_equal(authority_load(&copy, buf_bytes(&text), NULL), 0); // a standby that did much
    struct member *late = joined(copy, "n4"), *later = joined(copy, "n5");
    assert_int_equal(authority_remove(copy, BYTES("n5"), NOW, &rig.removal, NULL), 0);
    assert_int_equal(authority_save(copy, &rig.copy), 0);
    assert_int_equal(authority_join(a, buf_bytes(&rig.join), NOW, &rig.answer, NULL, NULL), 0);
    authority_free(copy);
    member_free(extra);
    member_free(j);
    member_free(late);
    member_free(later);
    buf_fini(&jwt_answer);
    buf_fini(&text);
    rig.joiner = NULL;
    gone();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    struct buf *bufs[] = {&rig.authority_text, &rig.member_text, &rig.joiner_text, &rig.join,
                          &rig.answer,         &rig.renewal,     &rig.sheet,       &rig.jwt,
                          &rig.removal,        &rig.copy};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        buf_fini(bufs[i]);
    return 0;
}

#define RETRY_EACH 5 // after so many failures it is seen that the same thing works

// One row, its n-th allocation failing (and all later ones, when sticky). Leaves the rig as it was,
// or gone.
static void once(size_t row, uint64_t n, int sticky)
{
    struct err e = {0}, again = {0};
    if (!rig.authority)
        fresh();
    mem_fail_after(n, sticky);
    int rc = rows[row].work(&e);
    mem_fail_after(0, 0);
    if (rc < 0 && (e.code != rc || e.n == 0))
        fail_msg("%s, allocation %llu: %d without a text", rows[row].name, (unsigned long long)n,
                 rc);
    if (rc < 0 && rows[row].keeps)
        same(rows[row].name, n);
    bool retry = rc < 0 && (n % RETRY_EACH == 1 || !rows[row].keeps);
    if (retry && rows[row].work(&again) < 0)
        fail_msg("%s, allocation %llu: then %s", rows[row].name, (unsigned long long)n, again.text);
    if (retry || rc >= 0)
        gone();
}

static uint64_t allocations(size_t row)
{
    struct err e = {0};
    fresh();
    uint64_t before = mem_count();
    if (rows[row].work(&e) < 0)
        fail_msg("%s: %s", rows[row].name, e.text);
    uint64_t n = mem_count() - before;
    gone();
    return n;
}

static void test_torture(void **state)
{
    (void)state;
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        uint64_t live = mem_live(), count = allocations(row);
        assert_true(count > 0);
        for (uint64_t n = 1; n <= count; n++)
            for (int sticky = 0; sticky < 2; sticky++)
                once(row, n, sticky);
        gone();
        if (mem_live() != live)
            fail_msg("%s: %lld blocks lost", rows[row].name, (long long)(mem_live() - live));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_torture)};
    return cmocka_run_group_tests_name("identities, torture", tests, setup, teardown);
}
