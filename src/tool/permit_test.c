// permit_test.c: grants, and promotions with their links.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tool/tool_rig.h"

#define ASKS                                                                                       \
    ",\"permissions\":{\"hosts\":[\"a.example.org\",\"b\"],\"dirs\":[{\"path\":\"/data\","         \
    "\"write\":true}],\"config\":[{\"name\":\"unit\"}],\"secrets\":[{\"name\":\"KEY\"}]}"

static int make(struct permit **ret, const struct manifest *m, const char *const *items,
                struct err *e)
{
    struct bytes list[8];
    size_t n = 0;
    for (; items[n]; n++)
        list[n] = bytes_of(items[n]);
    return permit_make(ret,
                       &(struct permit_args){.manifest = m,
                                             .items = list,
                                             .count = n,
                                             .who = BYTES("uid 1000"),
                                             .reason = BYTES("tried"),
                                             .at_ms = 5},
                       e);
}

static void items(void **state)
{
    static const struct {
        const char *items[5], *why;
    } rows[] = {
        {{NULL}, "it also asks for: dir:/data=FOLDER secret:KEY=env:VARIABLE"},
        {{"dir:/data=/srv", NULL}, "it also asks for: secret:KEY=env:VARIABLE"},
        {{"dir:/data", NULL}, "an absolute path"},
        {{"dir:/data=srv", NULL}, "an absolute path"},
        {{"dir:/etc=/srv", NULL}, "does not ask for that"},
        {{"host:c", NULL}, "does not ask for that"},
        {{"config:x=1", NULL}, "does not ask for that"},
        {{"config:unit", NULL}, "config:unit=VALUE"},
        {{"secret:KEY=abc", NULL}, "say where it is"},
        {{"secret:KEY=file:x", NULL}, "say where it is"},
        {{"secret:X=env:A", NULL}, "does not ask for that"},
        {{"everything", NULL}, "a permission is host:NAME"},
        {{"sudo:x", NULL}, "a permission is host:NAME"},
    };
    struct manifest *m = rig_manifest(RIG_DRAFT(ASKS));
    struct permit *p = NULL, *q = NULL;
    struct err e;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        e = (struct err){0};
        int rc = make(&p, m, rows[i].items, &e);
        if (rc != E_INVALID || !strstr(e.text, rows[i].why))
            fail_msg("row %zu: %d %s", i, rc, e.text);
    }
    static const char *const good[] = {"host:b", "dir:/data=/srv/x=y", "secret:KEY=env:A",
                                       "config:unit=km=h", NULL};
    assert_int_equal(make(&p, m, good, &e), 0);
    assert_int_equal(p->host_count, 1);
    assert_true(bytes_is(p->hosts[0], "b"));
    assert_string_equal(p->dirs[0].guest, "/data");
    assert_string_equal(p->dirs[0].host, "/srv/x=y");
    assert_true(p->dirs[0].write);
    assert_string_equal(val_text(val_get_cstr(p->config, "unit"), ""), "km=h");
    assert_string_equal(val_text(val_get_cstr(p->secrets, "KEY"), ""), "env:A");
    assert_true(bytes_is(p->who, "uid 1000") && bytes_is(p->reason, "tried") && p->at_ms == 5);
    assert_int_equal(permit_open(&q, p->root, &e), 0); // as it is kept
    assert_true(q->host_count == 1 && q->dir_count == 1 && bytes_eq(q->asks, p->asks));
    permit_free(q);
    struct val *broken = val_del(val_ref((struct val *)(uintptr_t)p->root), BYTES("asks"));
    assert_int_equal(permit_open(&q, broken, &e), E_PARSE);
    val_unref(broken);
    permit_free(p);
    manifest_free(m);
    assert_int_equal(mem_live(), 0);
}

static int check(const struct permit *p, const char *draft, struct bytes code, char *why)
{
    struct manifest *m = NULL;
    struct err e = {0};
    char *text = rig_signed(draft, code);
    assert_int_equal(manifest_open(&m, bytes_of(text), 0, NULL), 0);
    int rc = permit_check(p, m, &e);
    (void)snprintf(why, 400, "%.399s", e.text);
    mem_free(text);
    manifest_free(m);
    return rc;
}

// What changed since must be granted again; what does not matter to a person need not.
static void again(void **state)
{
    static const char *const none[] = {NULL};
    struct manifest *m = rig_manifest(RIG_DRAFT(",\"permissions\":{\"hosts\":[\"b\"]}"));
    struct permit *p = NULL;
    char why[400];
    (void)state;
    assert_int_equal(make(&p, m, none, NULL), 0);
    assert_int_equal(permit_check(p, m, NULL), 0);
    assert_int_equal(permit_check(NULL, m, NULL), E_FORBIDDEN);
    assert_int_equal(check(p, RIG_DRAFT(",\"permissions\":{\"hosts\":[\"b\"]},\"title\":\"new\""),
                           rig_code(), why),
                     0);
    assert_int_equal(
        check(p, RIG_DRAFT(",\"permissions\":{\"hosts\":[\"b\"]}"), BYTES("12345678"), why),
        E_FORBIDDEN);
    assert_non_null(strstr(why, "its code is not that which was granted"));
    assert_int_equal(
        check(p, RIG_DRAFT(",\"permissions\":{\"hosts\":[\"b\",\"c\"]}"), rig_code(), why),
        E_FORBIDDEN);
    assert_non_null(strstr(why, "asks for something else"));
    assert_int_equal(check(p, RIG_DRAFT(""), rig_code(), why), E_FORBIDDEN);
    permit_free(p);
    manifest_free(m);
}

// ---- promotions ---------------------------------------------------------------------------------

#define EVIDENCE "{\"cases\":[{\"passed\":true}]}"

static char *promote(const struct crystal_args *args)
{
    struct manifest_key k;
    struct err e = {0};
    struct buf out;
    rig_key(&k);
    buf_init(&out, MANIFEST_BYTES_MAX);
    if (crystal_make(&out, args, &k, &e))
        fail_msg("%s", e.text);
    return buf_take(&out);
}

static void promotions(void **state)
{
    struct manifest *m = rig_manifest(RIG_DRAFT(""));
    struct crystal *c = NULL, *next = NULL;
    struct err e = {0};
    struct crystal_args args = {.kind = "capability",
                                .urn = m->urn,
                                .hash = bytes_of(m->hash),
                                .evidence = BYTES(EVIDENCE),
                                .cases = 1,
                                .node = BYTES("theia"),
                                .at_ms = 1700000000000};
    (void)state;
    char *text = promote(&args);
    assert_int_equal(crystal_open(&c, bytes_of(text), &e), 0);
    assert_int_equal(c->cases, 1);
    assert_int_equal(c->at_ms, 1700000000000);
    assert_true(bytes_is(c->node, "theia") && !c->previous.n);
    assert_int_equal(crystal_check(c, m->urn, m->text, BYTES(EVIDENCE), &e), 0);
    assert_int_equal(crystal_check(c, BYTES("urn:plexus:cap:a:b:v1"), m->text, BYTES(EVIDENCE), &e),
                     E_SECURITY);
    assert_int_equal(crystal_check(c, m->urn, BYTES("{}"), BYTES(EVIDENCE), &e), E_SECURITY);
    assert_int_equal(crystal_check(c, m->urn, m->text, BYTES("{}"), &e), E_SECURITY);
    args.previous = bytes_of(c->id);
    char *second = promote(&args);
    assert_int_equal(crystal_open(&next, bytes_of(second), &e), 0);
    assert_true(bytes_is(next->previous, c->id) && strcmp(next->id, c->id) != 0);
    crystal_free(next);
    crystal_free(c);
    size_t n = strlen(text), refused = 0;
    for (size_t i = 0; i < n; i++) {
        text[i] ^= 1;
        if (crystal_open(&c, bytes_of(text), &e))
            refused++;
        else
            crystal_free(c);
        text[i] ^= 1;
    }
    assert_int_equal(refused, n);
    mem_free(text);
    mem_free(second);
    args.cases = 0;
    assert_int_equal(
        crystal_make(&(struct buf){.max = 9}, &args, &(struct manifest_key){{0}, ""}, &e),
        E_INVALID);
    manifest_free(m);
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items),
        cmocka_unit_test(again),
        cmocka_unit_test(promotions),
    };
    return cmocka_run_group_tests_name("permit", tests, NULL, NULL);
}
