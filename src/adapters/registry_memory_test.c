// registry_memory_test.c: the registry in memory: the kit.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/registry_memory.h"
#include "adapters/registry_rig.h"

static void setup(struct kit *k)
{
    k->table = registry_table_new();
    assert_non_null(k->table);
}
static void teardown(struct kit *k)
{
    registry_table_free(k->table);
}

static struct kit memory = {.open = registry_memory_open, .setup = setup, .teardown = teardown};

static void test_engines(void **state)
{
    (void)state;
    assert_ptr_equal(registry_engine_find("memory")->open, registry_memory_open);
    assert_ptr_equal(registry_engine_find("nats")->open, registry_nats_open);
    assert_null(registry_engine_find("consul"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TESTS(&memory), cmocka_unit_test(test_engines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
