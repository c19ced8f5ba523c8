// authority_copy_test.c: an authority and its standbys: apart, and together again.
// SPDX-License-Identifier: Apache-2.0
#include "trust/trust_rig.h"

static struct authority *standby_of(struct authority *a, const char *node)
{
    struct buf text = made();
    struct authority *b = NULL;
    struct err e = {0};
    if (authority_export(a, bytes_of(node), &text, &e) != 0 ||
        authority_load(&b, buf_bytes(&text), &e) != 0)
        fail_msg("%s", e.text);
    buf_fini(&text);
    return b;
}

static int merges(struct authority *to, const struct authority *from, struct err *e)
{
    struct buf text = made();
    assert_int_equal(authority_save(from, &text), 0);
    int rc = authority_merge(to, buf_bytes(&text), NOW, e);
    buf_fini(&text);
    return rc;
}

static uint64_t epoch_of(const struct member *m)
{
    struct member_view v;
    member_view(m, &v);
    return v.epoch;
}

// Both ways until nothing is new: then both say the same.
static void settle(struct authority *a, struct authority *b)
{
    assert_true(merges(a, b, NULL) >= 0);
    assert_true(merges(b, a, NULL) >= 0);
    assert_true(merges(a, b, NULL) >= 0);
    assert_int_equal(merges(b, a, NULL), 0);
    assert_int_equal(merges(a, b, NULL), 0);
    struct grant g, h;
    size_t at = 0, count = 0;
    for (; authority_node_each(a, &at, &g); count++) {
        assert_true(authority_node(b, bytes_of(g.node), &h));
        assert_int_equal(g.epoch, h.epoch);
    }
    for (at = 0; authority_node_each(b, &at, &g); count--)
        ;
    assert_int_equal(count, 0);
}

static void take_removals(struct member *m, const struct authority *a)
{
    struct grant_removal r;
    struct bytes text;
    size_t at = 0;
    while (grant_removals_each(authority_removals(a), &at, &r, &text))
        assert_true(member_removal_add(m, text, NULL, NULL) >= 0);
}

static void test_standby(void **state)
{
    (void)state;
    struct authority *a = mesh(0);
    struct member *n1 = joined(a, "n1"), *n2 = joined(a, "n2");
    struct token early = token(a, &(struct authority_token_args){0});
    struct err e = {0};
    struct buf text = made();
    assert_string_equal(authority_standby(a), "");
    assert_int_equal(authority_export(a, BYTES("n9"), &text, &e), E_NOTFOUND);
    struct authority *b = standby_of(a, "n2");
    assert_string_equal(authority_standby(a), "n2");
    assert_string_equal(authority_standby(b), "n2");
    assert_int_equal(merges(a, b, NULL), 0);
    // It renews, admits and removes as the first would; all belong to one mesh.
    assert_int_equal(renews(b, n1, NOW, NULL), 0);
    assert_int_equal(sees(n2, n1, NOW, NULL), 0);
    struct member *n3 = node("n3", "dev.x.n3"), *n4 = joined(a, "n4");
    assert_int_equal(joins(b, n3, &early, NOW, NULL), 0);
    assert_int_equal(sees(n3, n4, NOW, NULL), 0);
    assert_true(epoch_of(n3) != epoch_of(n4));
    assert_int_equal(epoch_of(n3) >> 16, epoch_of(n4) >> 16); // only the copy tells them apart
    assert_int_equal(authority_remove(b, BYTES("n1"), NOW, &text, NULL), 0);
    settle(a, b);
    struct grant g;
    assert_false(authority_node(a, BYTES("n1"), &g));
    assert_true(authority_node(a, BYTES("n3"), &g));
    assert_true(authority_node(b, BYTES("n4"), &g));
    assert_int_equal(renews(a, n1, NOW, &e), E_SECURITY);
    struct member *late = node("n5", "dev.x.n5");
    assert_int_equal(joins(a, late, &early, NOW, &e), E_UNAUTH); // used at the standby
    assert_non_null(strstr(e.text, "by node n3"));
    // The same node keeps its number, so that its epochs stay apart; another gets another.
    struct authority *c = standby_of(a, "n2"), *d = standby_of(a, "n4");
    assert_int_equal(authority_epoch(c) & 0xffff, authority_epoch(b) & 0xffff);
    assert_true((authority_epoch(d) & 0xffff) != (authority_epoch(b) & 0xffff));
    assert_true((authority_epoch(d) & 0xffff) != 0);
    // Also a standby that a standby made: the first learns its number.
    struct authority *of_b = standby_of(b, "n3");
    assert_int_equal(merges(a, b, NULL), 1);
    struct authority *of_a = standby_of(a, "n3");
    assert_int_equal(authority_epoch(of_a) & 0xffff, authority_epoch(of_b) & 0xffff);
    assert_int_equal(merges(a, b, NULL), 0);
    authority_free(of_a);
    authority_free(of_b);
    authority_free(a);
    authority_free(b);
    authority_free(c);
    authority_free(d);
    member_free(n1);
    member_free(n2);
    member_free(n3);
    member_free(n4);
    member_free(late);
    buf_fini(&text);
}

// What both did while they did not hear each other.
static void test_apart(void **state)
{
    (void)state;
    struct authority *a = mesh(0);
    struct member *n1 = joined(a, "n1"), *watch = joined(a, "watch");
    struct token twice = token(a, &(struct authority_token_args){0}),
                 revoked = token(a, &(struct authority_token_args){0});
    struct authority *b = standby_of(a, "n1");
    struct err e = {0};
    // One token for two nodes; one name twice; a token revoked here and new ones there.
    struct member *x = node("x", "dev.x.x"), *y = node("y", "dev.x.y");
    assert_int_equal(joins(a, x, &twice, NOW, NULL), 0);
    struct member *z1 = joined(a, "z"), *filler = joined(b, "filler"), *z2 = joined(b, "z");
    assert_int_equal(joins(b, y, &twice, NOW, NULL), 0);
    assert_true(epoch_of(y) > epoch_of(x));
    assert_true(epoch_of(z2) > epoch_of(z1));
    assert_int_equal(authority_token_remove(a, bytes_of(revoked.id), NULL), 0);
    struct token there = token(b, &(struct authority_token_args){.node = "new"});
    settle(a, b);
    struct grant g;
    assert_true(authority_node(b, BYTES("x"), &g));
    assert_false(authority_node(a, BYTES("y"), &g)); // the later use of the token ends
    assert_true(authority_node(a, BYTES("z"), &g));
    assert_int_equal(g.epoch, epoch_of(z2));
    take_removals(watch, a);
    assert_int_equal(sees(watch, x, NOW, NULL), 0);
    assert_int_equal(sees(watch, y, NOW, &e), E_SECURITY);
    assert_int_equal(sees(watch, z1, NOW, &e), E_SECURITY);
    assert_int_equal(sees(watch, z2, NOW, NULL), 0);
    struct member *new_one = node("new", "dev.x.new"), *none = node("none", "dev.x.none");
    assert_int_equal(joins(a, new_one, &there, NOW, NULL), 0);
    assert_int_equal(joins(b, none, &revoked, NOW, &e), E_UNAUTH);
    assert_true(epoch_of(new_one) > epoch_of(z2)); // counts on from both
    authority_free(a);
    authority_free(b);
    member_free(n1);
    member_free(watch);
    member_free(x);
    member_free(y);
    member_free(z1);
    member_free(z2);
    member_free(filler);
    member_free(new_one);
    member_free(none);
}

static void test_foreign(void **state)
{
    (void)state;
    struct authority *a = mesh(0), *other = mesh(0);
    struct err e = {0};
    assert_int_equal(merges(a, other, &e), E_SECURITY);
    assert_int_equal(authority_merge(a, BYTES("{}"), NOW, &e), E_PARSE);
    authority_free(a);
    authority_free(other);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_standby),
        cmocka_unit_test(test_apart),
        cmocka_unit_test(test_foreign),
    };
    return cmocka_run_group_tests_name("standbys", tests, NULL, NULL);
}
