// arena_test.c: the arena's ceiling and reset, and the heap's own faults.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/arena.h"
#include "base/rng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_ceiling(void **state)
{
    (void)state;
    for (size_t max = 0; max < 20000; max += 1 + max / 7) {
        AUTO(arena) a = arena_new(max);
        size_t got = 0;
        while (arena_alloc(a, 48))
            got += 48;
        assert_true(got <= max && got + 48 + 4096 > max);
        assert_true(arena_used(a) == got);
        assert_null(arena_alloc(a, max + 1));
        assert_null(arena_alloc(a, SIZE_MAX));
        assert_null(arena_alloc(a, SIZE_MAX - 8));
        arena_reset(a);
        assert_int_equal(arena_used(a), 0);
        assert_true((arena_alloc(a, 48) != NULL) == (max >= 48));
    }
    assert_int_equal(mem_live(), 0);
}

static void test_contents(void **state)
{
    (void)state;
    AUTO(arena) a = arena_new(1 << 20);
    char *all[500];
    struct rng rng;
    rng_init(&rng, 3);
    for (int i = 0; i < 500; i++) { // pieces of many sizes, none over another
        size_t n = 1 + rng_below(&rng, 700) + (i % 50 == 0 ? 5000 : 0);
        all[i] = arena_zalloc(a, n + 1);
        assert_non_null(all[i]);
        assert_int_equal((uintptr_t)all[i] % 16, 0);
        for (size_t k = 0; k <= n; k++)
            assert_int_equal(all[i][k], 0);
        memset(all[i], 'a' + i % 26, n);
    }
    for (int i = 0; i < 500; i++)
        for (const char *p = all[i]; *p; p++)
            assert_int_equal(*p, 'a' + i % 26);
    char *text = arena_str(a, BYTES("word"));
    assert_string_equal(text, "word");
    assert_string_equal(arena_str(a, BYTES_NONE), "");
    struct bytes copy = arena_dup(a, BYTES("a\0b"));
    assert_true(bytes_eq(copy, BYTES("a\0b")));
    text = arena_fmt(a, "%s-%0300d", "x", 7);
    assert_int_equal(strlen(text), 302);
}

static void test_no_memory(void **state)
{
    (void)state;
    mem_fail_after(1, 1);
    assert_null(arena_new(100));
    mem_fail_after(0, 0);
    struct arena *a = arena_new(100000);
    assert_non_null(arena_alloc(a, 4000));
    mem_fail_after(1, 1);
    assert_null(arena_alloc(a, 4000));
    assert_null(arena_zalloc(a, 4000));
    assert_null(arena_fmt(a, "%4000d", 1));
    assert_null(arena_dup(a, (struct bytes){(char[4000]){0}, 4000}).p);
    assert_non_null(arena_alloc(a, 64)); // the first block has room yet
    mem_fail_after(0, 0);
    assert_non_null(arena_alloc(a, 4000)); // and it goes on afterwards
    arena_reset(a);
    arena_free(a);
    arena_free(NULL);
    a = arena_new(10);
    arena_reset(a); // never used
    arena_free(a);
    assert_int_equal(mem_live(), 0);
}

static void test_heap(void **state)
{
    (void)state;
    assert_null(mem_array(SIZE_MAX / 2, 3)); // the product does not fit
    assert_null(mem_str(NULL));
    mem_free(NULL);
    char *p = mem_dup(NULL, 0);
    assert_string_equal(p, "");
    uint64_t live = mem_live(), count = mem_count();
    p = mem_realloc(p, 100);
    assert_true(mem_live() == live && mem_count() == count + 1);
    mem_fail_after(2, 0); // the second from now, only that
    char *a = mem_alloc(0), *b = mem_zalloc(5), *c = mem_str("x");
    assert_true(a && !b && c);
    mem_fail_after(1, 0);
    assert_null(mem_realloc(p, 200)); // the old one is still there
    mem_fail_after(0, 0);
    char *taken = steal(&a);
    assert_null(a);
    mem_free(taken);
    mem_free(c);
    mem_free(p);
    {
        AUTO_MEM char *scoped = mem_str("freed at the brace");
        assert_int_equal(mem_live(), 1);
        (void)scoped;
    }
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_heap),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
