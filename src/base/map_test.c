// map_test.c: the hash map against a model that is too simple to be wrong.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/err.h"
#include "base/map.h"
#include "base/rng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define KEYS 600

struct model { // key i is there with this value (NULL: it is not), put in as the order-th
    void *value[KEYS];
    uint64_t order[KEYS];
    size_t count;
};

static struct bytes key_of(size_t i, char text[24])
{
    int n = snprintf(text, 24, "%.*s%zu", (int)(i % 13), "abcdefghijklm", i);
    return (struct bytes){text, (size_t)n};
}

static void check_walk(const struct map *m, const struct model *x)
{
    size_t at = 0, seen = 0;
    uint64_t last = 0;
    struct bytes key;
    void *value;
    while (map_each(m, &at, &key, &value)) {
        size_t i = 0;
        char text[24];
        while (i < KEYS && !bytes_eq(key_of(i, text), key))
            i++;
        assert_true(i < KEYS && x->value[i] == value && x->order[i] > last);
        last = x->order[i];
        seen++;
    }
    assert_int_equal(seen, x->count);
    assert_int_equal(map_count(m), x->count);
    assert_false(map_each(m, &at, NULL, NULL));
}

static void test_random_against_model(void **state)
{
    (void)state;
    static struct model x;
    static char values[100000];
    struct rng rng;
    rng_init(&rng, 5);
    AUTO(map) m = map_new(KEYS / 2);
    for (uint64_t op = 1; op < 100000; op++) {
        char text[24];
        // the range of keys shrinks and grows, so that the table does too
        size_t i = rng_below(&rng, 1 + (op / 5000 % 4) * (KEYS - 1) / 3);
        struct bytes key = key_of(i, text);
        void *old = &old;
        if (rng_below(&rng, 5) < 3) {
            int want = x.value[i] || x.count < KEYS / 2 ? 0 : E_FULL;
            assert_int_equal(map_put(m, key, &values[op], &old), want);
            assert_ptr_equal(old, x.value[i]);
            if (want == 0 && !x.value[i]) {
                x.count++;
                x.order[i] = op;
            }
            if (want == 0)
                x.value[i] = &values[op];
        } else {
            assert_ptr_equal(map_del(m, key), x.value[i]);
            x.count -= x.value[i] != NULL;
            x.value[i] = NULL;
        }
        i = rng_below(&rng, KEYS);
        assert_ptr_equal(map_get(m, key_of(i, text)), x.value[i]);
        if (op % 4999 == 0)
            check_walk(m, &x);
    }
}

static void test_edges(void **state)
{
    (void)state;
    int one, two;
    void *old;
    struct map *m = map_new(2);
    assert_null(map_get(m, BYTES("a")));
    assert_null(map_del(m, BYTES("a")));
    assert_int_equal(map_put(m, BYTES("a"), NULL, NULL), E_INVALID);
    assert_int_equal(map_put(m, BYTES_NONE, &one, NULL), 0); // the empty key is a key
    assert_int_equal(map_put(m, BYTES("a\0b"), &two, &old), 0);
    assert_null(old);
    assert_ptr_equal(map_get(m, BYTES("")), &one);
    assert_null(map_get(m, BYTES("a")));
    assert_ptr_equal(map_get(m, BYTES("a\0b")), &two);
    assert_int_equal(map_put(m, BYTES("c"), &one, NULL), E_FULL);
    assert_int_equal(map_put(m, BYTES(""), &two, &old), 0); // full, but it is there
    assert_ptr_equal(old, &one);
    map_free(m);
    map_free(NULL);
    assert_int_equal(mem_live(), 0);
}

// Memory runs out at each point in turn: the map stays as it was, and goes on afterwards.
static void test_no_memory(void **state)
{
    (void)state;
    int value;
    for (uint64_t at = 1;; at++) {
        mem_fail_after(at, 0);
        struct map *m = map_new(100);
        size_t in = 0;
        bool failed = !m;
        for (size_t i = 0; m && i < 40; i++) {
            char text[24];
            int status = map_put(m, key_of(i, text), &value, NULL);
            assert_true(status == 0 || status == E_NOMEM);
            failed |= status != 0;
            in += status == 0;
            assert_int_equal(map_count(m), in);
            assert_true((map_get(m, key_of(i, text)) != NULL) == (status == 0));
        }
        mem_fail_after(0, 0);
        map_free(m);
        assert_int_equal(mem_live(), 0);
        if (!failed)
            break;
        assert_true(at < 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_against_model),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
