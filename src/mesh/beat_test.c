// beat_test.c: beats there and back, and bytes that are none.
// SPDX-License-Identifier: Apache-2.0
#include "mesh/mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEAD 73

static struct mesh_beat full(void)
{
    struct mesh_beat b = {.boot = 0x0102030405060708,
                          .seq = UINT64_MAX,
                          .sheet = 7,
                          .sent_us = 8,
                          .echo_us = 9,
                          .echo_age_us = UINT32_MAX,
                          .active = 10,
                          .waiting = 11,
                          .memory_free = (uint64_t)1 << 40,
                          .draining = true,
                          .digest = 0xfedcba9876543210,
                          .suspect_count = MESH_SUSPECTS_MAX,
                          .loads_all = true,
                          .load_count = MESH_BEAT_LOADS_MAX};
    for (uint32_t i = 0; i < MESH_SUSPECTS_MAX; i++)
        b.suspects[i] = i * 0x01010101;
    for (uint32_t i = 0; i < MESH_BEAT_LOADS_MAX; i++) {
        b.loads[i].hash = ~i;
        b.loads[i].active = (uint16_t)(i * 1000);
        b.loads[i].waiting = UINT16_MAX;
    }
    return b;
}

static void same(const struct mesh_beat *a, const struct mesh_beat *b)
{
    assert_true(a->boot == b->boot && a->seq == b->seq && a->sheet == b->sheet);
    assert_true(a->sent_us == b->sent_us && a->echo_us == b->echo_us &&
                a->echo_age_us == b->echo_age_us);
    assert_true(a->active == b->active && a->waiting == b->waiting &&
                a->memory_free == b->memory_free && a->digest == b->digest);
    assert_true(a->draining == b->draining && a->loads_all == b->loads_all);
    assert_int_equal(a->suspect_count, b->suspect_count);
    assert_int_equal(a->load_count, b->load_count);
    for (int i = 0; i < a->suspect_count; i++)
        assert_int_equal(a->suspects[i], b->suspects[i]);
    for (int i = 0; i < a->load_count; i++)
        assert_true(a->loads[i].hash == b->loads[i].hash &&
                    a->loads[i].active == b->loads[i].active &&
                    a->loads[i].waiting == b->loads[i].waiting);
}

static void there_and_back(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, MESH_BEAT_BYTES_MAX);
    for (int round = 0; round < 4; round++) {
        struct mesh_beat in = full(), back;
        if (round & 1) {
            in.suspect_count = 3;
            in.draining = false;
        }
        if (round & 2) {
            in.load_count = 0;
            in.loads_all = false;
        }
        buf_clear(&out);
        assert_int_equal(mesh_beat_put(&out, &in), 0);
        assert_int_equal(out.n, HEAD + 4U * in.suspect_count + 8U * in.load_count);
        assert_int_equal(mesh_beat_parse(&back, buf_bytes(&out), NULL), 0);
        same(&in, &back);
    }
    buf_fini(&out);
}

// The bytes on the wire are a contract between versions.
static void golden(void **state)
{
    static const unsigned char want[] = {
        'B', 1, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0,  0, 0, 0, 0,  0, 2, 0, 0,  0, 0,  0, 0, 0, 3,
        0,   0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0,  5, 0, 0, 0,  6, 0, 0, 0,  7, 0,  0, 0, 8, 0,
        0,   0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 11, 0, 0, 0, 12, 0, 13, 0, 14};
    struct mesh_beat b = {1, 2, 3, 4, 5, 6, 7, 8, 9, true, 10, 1, {11}, true, 1, {{12, 13, 14}}};
    struct buf out;
    (void)state;
    buf_init(&out, MESH_BEAT_BYTES_MAX);
    assert_int_equal(mesh_beat_put(&out, &b), 0);
    assert_int_equal(out.n, sizeof want);
    assert_memory_equal(out.p, want, sizeof want);
    buf_fini(&out);
}

static void refused(void **state)
{
    struct mesh_beat in = full(), back = {.boot = 42};
    struct buf out;
    char bytes[MESH_BEAT_BYTES_MAX + 1];
    struct err e = {0};
    (void)state;
    buf_init(&out, MESH_BEAT_BYTES_MAX);
    assert_int_equal(mesh_beat_put(&out, &in), 0);
    for (size_t n = 0; n < out.n; n++) // cut anywhere
        assert_int_equal(mesh_beat_parse(&back, (struct bytes){out.p, n}, NULL), E_PARSE);
    static const struct {
        size_t at;
        char value;
    } rows[] = {{0, 'C'}, {1, 0}, {3, MESH_SUSPECTS_MAX + 1}, {4, MESH_BEAT_LOADS_MAX + 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memcpy(bytes, out.p, out.n);
        bytes[rows[i].at] = rows[i].value;
        assert_int_equal(mesh_beat_parse(&back, (struct bytes){bytes, out.n}, &e), E_PARSE);
    }
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, out.p, out.n);
    memset(bytes + 5, 0, 8); // of no life
    assert_int_equal(mesh_beat_parse(&back, (struct bytes){bytes, out.n}, &e), E_PARSE);
    memcpy(bytes, out.p, out.n);
    assert_int_equal(mesh_beat_parse(&back, (struct bytes){bytes, sizeof bytes}, &e), E_PARSE);
    assert_int_equal(back.boot, 42); // untouched
    // A later version may say more.
    bytes[1] = 2;
    assert_int_equal(mesh_beat_parse(&back, (struct bytes){bytes, MESH_BEAT_BYTES_MAX}, &e), 0);
    same(&in, &back);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(golden),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
