// sup_test.c: one engine's life in virtual time.
// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"
#include "sup/sup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

struct row {
    int64_t at;
    const char *event; // start, spawned, refused, ok, bad, stop, exit, tick
    unsigned effects;
    enum sup_state state;
    int64_t next; // TIME_NEVER: none
};

static void play(const char *what, const struct row *rows, size_t count)
{
    struct sup s;
    sup_init(&s);
    for (size_t i = 0; i < count; i++) {
        const struct row *r = &rows[i];
        struct err e = {0};
        unsigned got = 0;
        if (strcmp(r->event, "start") == 0)
            got = sup_start(&s, 10000, 3000, r->at);
        else if (strcmp(r->event, "spawned") == 0)
            got = sup_spawned(&s, r->at);
        else if (strcmp(r->event, "refused") == 0) {
            (void)err_set(&e, E_NOTFOUND, "no such program");
            got = sup_spawn_failed(&s, &e, r->at);
        } else if (strcmp(r->event, "ok") == 0 || strcmp(r->event, "bad") == 0)
            got = sup_probe(&s, r->event[0] == 'o', r->at);
        else if (strcmp(r->event, "stop") == 0)
            got = sup_stop(&s, r->at);
        else if (strcmp(r->event, "exit") == 0)
            got = sup_exit(&s, &(struct proc_exit){.code = 1}, r->at);
        else if (strcmp(r->event, "tick") == 0)
            got = sup_tick(&s, r->at);
        else
            fail_msg("no event %s", r->event);
        if (got != r->effects || s.state != r->state || sup_next_ms(&s) != r->next)
            fail_msg("%s, row %zu, %lld %s: effects %u state %d next %lld, expected %u %d %lld",
                     what, i, (long long)r->at, r->event, got, (int)s.state,
                     (long long)sup_next_ms(&s), r->effects, (int)r->state, (long long)r->next);
    }
}
#define PLAY(what, ...)                                                                            \
    do {                                                                                           \
        static const struct row rows_[] = {__VA_ARGS__};                                           \
        play(what, rows_, COUNT(rows_));                                                           \
    } while (0)
#define NEVER TIME_NEVER

static void life(void **state)
{
    (void)state;
    PLAY("well", {0, "start", SUP_SPAWN, SUP_SPAWNING, 10000}, {0, "start", 0, SUP_SPAWNING, 10000},
         {1, "spawned", 0, SUP_PROBING, 3}, {2, "tick", 0, SUP_PROBING, 3},
         {3, "tick", SUP_PROBE, SUP_PROBING, 10000}, {5, "tick", 0, SUP_PROBING, 10000},
         {5, "bad", 0, SUP_PROBING, 9}, {9, "tick", SUP_PROBE, SUP_PROBING, 10000},
         {10, "bad", 0, SUP_PROBING, 18}, {18, "tick", SUP_PROBE, SUP_PROBING, 10000},
         {20, "bad", 0, SUP_PROBING, 36}, {36, "tick", SUP_PROBE, SUP_PROBING, 10000},
         {36, "bad", 0, SUP_PROBING, 68}, {68, "tick", SUP_PROBE, SUP_PROBING, 10000},
         {68, "bad", 0, SUP_PROBING, 132}, {132, "tick", SUP_PROBE, SUP_PROBING, 10000},
         {132, "bad", 0, SUP_PROBING, 232}, {232, "tick", SUP_PROBE, SUP_PROBING, 10000},
         {240, "ok", SUP_UP, SUP_READY, 1240}, {241, "bad", 0, SUP_READY, 1240},
         {1240, "tick", SUP_MEASURE, SUP_READY, 11240},
         {11240, "tick", SUP_MEASURE, SUP_READY, 21240},
         {12000, "stop", SUP_TERM, SUP_STOPPING, 15000}, {12001, "stop", 0, SUP_STOPPING, 15000},
         {12002, "ok", 0, SUP_STOPPING, 15000}, {12010, "exit", SUP_DOWN, SUP_OFF, NEVER},
         {12011, "exit", 0, SUP_OFF, NEVER}, {12011, "stop", 0, SUP_OFF, NEVER},
         {12012, "tick", 0, SUP_OFF, NEVER}, {12012, "start", SUP_SPAWN, SUP_SPAWNING, 22012});
    PLAY("ignores TERM", {0, "start", SUP_SPAWN, SUP_SPAWNING, 10000},
         {1, "spawned", 0, SUP_PROBING, 3}, {2, "stop", SUP_TERM, SUP_STOPPING, 3002},
         {3001, "tick", 0, SUP_STOPPING, 3002}, {3002, "tick", SUP_KILL, SUP_STOPPING, NEVER},
         {3003, "tick", 0, SUP_STOPPING, NEVER}, {3004, "exit", SUP_DOWN, SUP_OFF, NEVER});
    PLAY("hangs", {0, "start", SUP_SPAWN, SUP_SPAWNING, 10000}, {1, "spawned", 0, SUP_PROBING, 3},
         {3, "tick", SUP_PROBE, SUP_PROBING, 10000}, {10000, "tick", SUP_TERM, SUP_STOPPING, 13000},
         {10001, "bad", 0, SUP_STOPPING, 13000}, {10002, "stop", 0, SUP_STOPPING, 13000},
         {13000, "tick", SUP_KILL, SUP_STOPPING, NEVER}, {13001, "exit", SUP_DOWN, SUP_OFF, NEVER});
    PLAY("cannot be started", {0, "start", SUP_SPAWN, SUP_SPAWNING, 10000},
         {1, "refused", SUP_DOWN, SUP_OFF, NEVER}, {1, "refused", 0, SUP_OFF, NEVER},
         {1, "spawned", 0, SUP_OFF, NEVER});
}

static int telling(const struct bytes *lines, int count)
{
    for (int i = 0; i < count; i++)
        if (bytes_starts(lines[i], BYTES("error")))
            return i;
    return -1;
}

static void why(void **state)
{
    static const struct {
        struct proc_exit exit;
        bool late;
        const char *text;
    } rows[] = {
        {{.code = 1}, false, "the engine exited with code 1: error 7\n  line 8\n  line 9"},
        {{.code = -1, .signal = 9},
         false,
         "the engine was ended by signal 9 (Killed): error 7\n  line 8\n  line 9"},
        {{.code = -1, .signal = 9, .over_memory = true},
         false,
         "the engine went over its memory limit: error 7\n  line 8\n  line 9"},
        {{.code = -1, .signal = 4},
         false,
         "the engine was ended by signal 4: it uses instructions that this processor lacks (see "
         "`plexus doctor`): error 7\n  line 8\n  line 9"},
        {{.code = -1, .not_started = true, .text = "no such file"},
         false,
         "the engine could not be started: no such file: error 7\n  line 8\n  line 9"},
        {{.code = 0}, true, "the engine was not ready after 1 s: error 7\n  line 8\n  line 9"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sup s;
        struct buf out;
        sup_init(&s);
        buf_init(&out, 4096);
        (void)sup_start(&s, 1000, 100, 0);
        (void)sup_spawned(&s, 0);
        sup_line(&s, BYTES("error 7  "));
        sup_line(&s, BYTES_NONE);
        sup_line(&s, BYTES("line 8"));
        sup_line(&s, BYTES(" line 9\r"));
        if (rows[i].late)
            assert_int_equal(sup_tick(&s, 1000), SUP_TERM);
        (void)sup_exit(&s, &rows[i].exit, 1000);
        sup_why(&s, telling, &out);
        assert_string_equal(buf_cstr(&out), rows[i].text);
        buf_fini(&out);
    }
}

static void many_lines(void **state)
{
    struct sup s;
    struct buf out;
    char line[600], want[64];
    (void)state;
    sup_init(&s);
    buf_init(&out, 1 << 16);
    (void)sup_start(&s, 1000, 100, 0);
    for (int i = 0; i < 100; i++) {
        int n = snprintf(line, sizeof line, "line %d %0500d", i, 0);
        sup_line(&s, (struct bytes){line, (size_t)n});
    }
    (void)sup_exit(&s, &(struct proc_exit){.code = 3}, 1000);
    sup_why(&s, telling, &out);
    for (int i = 91; i < 100; i++) { // the last eight, cut at SUP_LINE_BYTES
        (void)snprintf(want, sizeof want, "\n  line %d 0000", i);
        if ((strstr(buf_cstr(&out), want) != NULL) != (i >= 92))
            fail_msg("line %d: %s", i, buf_cstr(&out));
    }
    assert_true(out.n < 9 * SUP_LINE_BYTES);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(life),
        cmocka_unit_test(why),
        cmocka_unit_test(many_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
