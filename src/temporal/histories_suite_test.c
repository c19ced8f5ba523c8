// histories_suite_test.c: workflow histories that another SDK recorded: every field is known, and
// they are written again byte for byte, or as the same value.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "temporal/temporal_priv.h"
#include "text/suite_priv.h"

static void one(const struct proto_message *m, const char *path, unsigned *bytes_equal)
{
    struct buf text, again;
    struct val *v = NULL, *w = NULL;
    struct err e = {0};
    buf_init(&text, SUITE_FILE_MAX);
    buf_init(&again, SUITE_FILE_MAX);
    assert_true(suite_read(path, &text));
    if (proto_decode(m, buf_bytes(&text), &v, &e))
        fail_msg("%s: %s", path, e.text);
    const struct val *events = val_get_cstr(v, "events");
    assert_true(val_len(events) > 2);
    for (size_t i = 0; i < val_len(events); i++) { // its type and attributes are known by name
        const struct val *ev = val_at(events, i);
        assert_true(bytes_starts(temporal_str(ev, "eventType"), BYTES("EVENT_TYPE_")));
        assert_int_equal(temporal_u64(val_get_cstr(ev, "eventId")), i + 1);
        assert_true(temporal_time_ms(val_get_cstr(ev, "eventTime")) > 1500000000000);
    }
    if (proto_encode(m, v, &again, &e) || proto_decode(m, buf_bytes(&again), &w, &e))
        fail_msg("%s: %s", path, e.text);
    if (!val_equal(v, w))
        fail_msg("%s: written and read again it is another", path);
    *bytes_equal += bytes_eq(buf_bytes(&text), buf_bytes(&again));
    // None of plexus' own: told so, not a crash.
    buf_clear(&again);
    assert_int_equal(temporal_replay(buf_bytes(&text), &again, &e), E_NOTFOUND);
    for (size_t cut = 1; cut < text.n; cut += 1 + text.n / 300) {
        struct val *part = NULL;
        (void)proto_decode(m, bytes_first(buf_bytes(&text), cut), &part, NULL);
        val_unref(part);
    }
    val_unref(v);
    val_unref(w);
    buf_fini(&text);
    buf_fini(&again);
}

static void test_histories(void **state)
{
    char folder[SUITE_PATH_MAX], path[SUITE_PATH_MAX * 2];
    struct proto *api = NULL;
    struct err e = {0};
    size_t count;
    unsigned played = 0, equal = 0;
    (void)state;
    if (!suite_folder("temporal-histories", folder))
        skip();
    if (proto_new(&api, &e) || proto_add_set(api, embed_temporal_api(), &e) || proto_link(api, &e))
        fail_msg("%s", e.text);
    const struct proto_message *m = proto_message(api, BYTES("temporal.api.history.v1.History"));
    char **names = suite_names(folder, &count);
    for (size_t i = 0; i < count; i++) {
        if (!bytes_ends(bytes_of(names[i]), BYTES(".bin")))
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        one(m, path, &equal);
        played++;
    }
    suite_names_free(names, count);
    proto_free(api);
    print_message("%u histories, %u of them byte for byte\n", played, equal);
    assert_true(played >= 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_histories)};
    return cmocka_run_group_tests_name("temporal/histories", tests, NULL, NULL);
}
