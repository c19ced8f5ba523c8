// node_alert_queue_test.c: what is merged, what is held, what is dropped, in which order.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_alert_queue.h"
#include "base/alloc.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WALL 1700000000000

static void put(struct node_alert_queue *q, const char *subject, int64_t now)
{
    struct node_alert a = {.type = "t", .severity = "warning"};
    (void)snprintf(a.subject, sizeof(a.subject), "%s", subject);
    node_alert_put(q, &a, now, WALL + now);
}

// Begins and takes the next one: its subject and count as text.
static const char *next(struct node_alert_queue *q, int64_t now)
{
    static char text[200];
    struct node_alert *a = node_alert_begin(q, now);
    if (!a)
        return "";
    (void)snprintf(text, sizeof(text), "%s x%u", a->subject, a->count);
    node_alert_take(q, a);
    return text;
}

static void order_and_merging(void **state)
{
    struct node_alert_queue q;
    (void)state;
    node_alert_queue_init(&q);
    assert_true(node_alert_due(&q) == TIME_NEVER);
    put(&q, "a", 100);
    put(&q, "b", 200);
    put(&q, "a", 300);
    assert_int_equal(q.count, 2);
    assert_int_equal(node_alert_due(&q), 100);
    struct node_alert *a = node_alert_begin(&q, 400);
    assert_string_equal(a->subject, "a");
    assert_int_equal(a->count, 2);
    assert_true(a->first_ms == WALL + 100 && a->last_ms == WALL + 300);
    assert_int_equal(strlen(a->id), RNG_ID_LEN);
    put(&q, "a", 500); // it is on its way: another one, held back for the rest of the minute
    put(&q, "a", 600);
    assert_int_equal(a->count, 2);
    assert_string_equal(next(&q, 700), "b x1"); // what is held back stops nobody
    assert_string_equal(next(&q, 800), "");
    assert_int_equal(node_alert_due(&q), 400 + NODE_ALERT_MERGE_MS);
    node_alert_take(&q, a);
    assert_string_equal(next(&q, 399 + NODE_ALERT_MERGE_MS), "");
    assert_string_equal(next(&q, 400 + NODE_ALERT_MERGE_MS), "a x2");
    assert_int_equal(q.count, 0);
    put(&q, "a", 400 + 2 * NODE_ALERT_MERGE_MS); // a minute later it is told at once
    assert_string_equal(next(&q, 400 + 2 * NODE_ALERT_MERGE_MS), "a x1");
    node_alert_queue_fini(&q);
    assert_int_equal(mem_live(), 0);
}

static void a_long_wait(void **state)
{
    struct node_alert_queue q;
    (void)state;
    node_alert_queue_init(&q);
    put(&q, "a", 0); // the receiver is away: one row for each minute
    put(&q, "a", NODE_ALERT_MERGE_MS - 1);
    put(&q, "a", NODE_ALERT_MERGE_MS);
    put(&q, "a", NODE_ALERT_MERGE_MS + 1);
    assert_string_equal(next(&q, 10 * NODE_ALERT_MERGE_MS), "a x2");
    assert_string_equal(next(&q, 10 * NODE_ALERT_MERGE_MS), "a x2");
    node_alert_queue_fini(&q);
}

static void limits(void **state)
{
    struct node_alert_queue q;
    char name[16];
    (void)state;
    node_alert_queue_init(&q);
    put(&q, "first", 0);
    struct node_alert *first = node_alert_begin(&q, 0); // not dropped while it is on its way
    for (int i = 0; i < NODE_ALERTS_MAX + 9; i++) {
        (void)snprintf(name, sizeof(name), "n%d", i);
        put(&q, name, i);
    }
    assert_int_equal(q.count, NODE_ALERTS_MAX);
    assert_int_equal(q.dropped, 10);
    assert_string_equal(first->subject, "first");
    assert_string_equal(next(&q, 1000), "n10 x1"); // the oldest went
    mem_fail_after(1, 0);
    put(&q, "no memory", 1000);
    mem_fail_after(0, 0);
    assert_int_equal(q.dropped, 11);
    node_alert_queue_fini(&q);
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_and_merging),
        cmocka_unit_test(a_long_wait),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests_name("node_alert_queue", tests, NULL, NULL);
}
