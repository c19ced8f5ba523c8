// journal_sqlite_test.c: the journal in SQLite: the kit, and what only a file can suffer.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/journal_rig.h"

#include <unistd.h>

static void folder_up(struct kit *k)
{
    (void)snprintf(k->folder, sizeof k->folder, "/tmp/journal_test.XXXXXX");
    assert_non_null(mkdtemp(k->folder));
    (void)snprintf(k->path, sizeof k->path, "%s/deeper/journal.db", k->folder);
    k->writer = loop_work_new(k->loop, "journal", 1, 16);
    assert_non_null(k->writer);
}
static void folder_down(struct kit *k)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", k->folder);
    assert_int_equal(system(command), 0);
}
static void folder_args(struct kit *k, struct journal_args *a)
{
    a->path = k->path;
    a->writer = k->writer;
}

static struct kit sqlite = {
    .open = journal_sqlite_open, .args = folder_args, .setup = folder_up, .teardown = folder_down};

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TESTS(&sqlite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
