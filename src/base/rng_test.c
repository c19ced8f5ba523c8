// rng_test.c: the seeded generator's known values, its evenness; ids.
// SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

// xoshiro256** from the state 1, 2, 3, 4, by the authors' reference code.
static void test_known_values(void **state)
{
    static const uint64_t want[] = {11520,
                                    0,
                                    1509978240,
                                    1215971899390074240u,
                                    1216172134540287360u,
                                    607988272756665600u,
                                    16172922978634559625u,
                                    8476171486693032832u};
    (void)state;
    struct rng r = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        assert_true(rng_next(&r) == want[i]);
    rng_init(&r, 0); // splitmix64 of the seed 0
    assert_true(r.s[0] == 0xe220a8397b1dcdafu && r.s[1] == 0x6e789e6aa1b965f4u);
    struct rng again;
    rng_init(&again, 0);
    assert_memory_equal(&r, &again, sizeof(r));
    rng_init(&again, 1);
    assert_memory_not_equal(&r, &again, sizeof(r));
}

static void test_below(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 9);
    assert_int_equal(rng_below(&r, 1), 0);
    size_t count[6] = {0};
    for (int i = 0; i < 60000; i++)
        count[rng_below(&r, 6)]++;
    for (int i = 0; i < 6; i++) // 10,000 expected, deviation 91
        assert_in_range(count[i], 9500, 10500);
    for (int i = 0; i < 1000; i++)
        assert_true(rng_below(&r, UINT64_MAX) < UINT64_MAX);
}

static void test_bytes_and_ids(void **state)
{
    (void)state;
    unsigned char a[1000] = {0};
    size_t ones = 0;
    rng_bytes(a, 0);
    rng_bytes(a, sizeof(a)); // more than the kernel gives at once
    for (size_t i = 0; i < sizeof(a); i++)
        ones += (size_t)__builtin_popcount(a[i]);
    assert_in_range(ones, 3500, 4500); // 4,000 expected, deviation 45
    char ids[200][RNG_ID_LEN + 1];     // more than one block
    for (int i = 0; i < 200; i++) {
        rng_id(ids[i]);
        assert_int_equal(strspn(ids[i], "0123456789abcdef"), RNG_ID_LEN);
        assert_int_equal(strlen(ids[i]), RNG_ID_LEN);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(ids[i], ids[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_bytes_and_ids),
    };
    return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
