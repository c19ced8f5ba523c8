// enclave_rig.h: for the tests of room enclave: a sandbox without a loop, pumped by hand; modules
// from files; one call at a time, its end kept. The tests include cmocka.h before it.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ENCLAVE_ENCLAVE_RIG_H
#define PLEXUS_ENCLAVE_ENCLAVE_RIG_H

#include "base/alloc.h"
#include "base/file.h"
#include "base/thread.h"
#include "base/time.h"
#include "enclave/enclave.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Not each test uses each function.
#pragma GCC diagnostic ignored "-Wunused-function"

enum { RIG_WAIT_MS = 30000, RIG_LINES = 64 };

struct pump { // what a loop would be
    struct sandbox *sandbox;
    void (*turn)(struct sandbox *s);
    struct lock *lock;
    bool woken;
};

static void pump_wake(void *user)
{
    struct pump *p = user;
    lock_take(p->lock);
    p->woken = true;
    lock_wake(p->lock);
    lock_give(p->lock);
}

// Turns once when there is something, or when ms passed.
static void pump_turn(struct pump *p, int64_t ms)
{
    lock_take(p->lock);
    if (!p->woken)
        lock_wait(p->lock, ms);
    p->woken = false;
    lock_give(p->lock);
    p->turn(p->sandbox);
}

static void pump_until(struct pump *p, const bool *done)
{
    int64_t end = time_mono_ms() + RIG_WAIT_MS;
    while (!*done) {
        if (time_mono_ms() > end)
            fail_msg("nothing came within %d ms", RIG_WAIT_MS);
        pump_turn(p, 20);
    }
}

static bool rig_signals; // no cmocka is in this process

// ---- an enclave ---------------------------------------------------------------------------------

static bool rig_has_library(void)
{
    char path[512];
    return enclave_find(path, sizeof path, NULL) == 0;
}

static bool rig_has_guests(void)
{
    return access("build/guests/echo.wasm", R_OK) == 0;
}

static void rig_open(struct pump *p, const struct enclave_args *args)
{
    struct enclave_args a = args ? *args : (struct enclave_args){0};
    struct err e = {0};
    *p = (struct pump){.turn = enclave_turn, .lock = lock_new()};
    a.wake = pump_wake;
    a.no_signals = !rig_signals; // cmocka has handlers of its own
    a.user = p;
    if (enclave_new(&p->sandbox, &a, &e) != 0)
        fail_msg("%s", e.text);
}

static void rig_close(struct pump *p)
{
    enclave_free(p->sandbox);
    lock_free(p->lock);
    assert_int_equal(mem_live(), 0);
}

// ---- modules ------------------------------------------------------------------------------------

struct compiled {
    struct sandbox_compile x;
    struct sandbox_mod *mod;
    struct err err;
    int status;
    bool done;
};

static void compiled(struct sandbox_compile *x, int status, struct sandbox_mod *m,
                     const struct err *e)
{
    struct compiled *c = x->user;
    c->status = status;
    c->mod = m;
    if (e)
        c->err = *e;
    c->done = true;
}

static struct compiled rig_compile(struct pump *p, struct bytes code)
{
    struct compiled c = {.x = {.code = code, .done = compiled}};
    c.x.user = &c;
    c.status = p->sandbox->ops->compile(p->sandbox, &c.x, &c.err);
    if (c.status == 0)
        pump_until(p, &c.done);
    return c;
}

static struct sandbox_mod *rig_bytes(struct pump *p, struct bytes code)
{
    struct compiled c = rig_compile(p, code);
    if (c.status != 0)
        fail_msg("%s: %s", err_info(c.status)->symbol, c.err.text);
    return c.mod;
}

static struct sandbox_mod *rig_file(struct pump *p, const char *path)
{
    struct buf code;
    struct err e = {0};
    buf_init(&code, ENCLAVE_CODE_BYTES);
    if (file_read(path, &code, &e) != 0)
        fail_msg("%s", e.text);
    struct sandbox_mod *m = rig_bytes(p, buf_bytes(&code));
    buf_fini(&code);
    return m;
}

static struct sandbox_mod *rig_guest(struct pump *p, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof path, "build/guests/%s.wasm", name);
    return rig_file(p, path);
}

// ---- calls --------------------------------------------------------------------------------------

struct called {
    struct sandbox_call c;
    int status;
    enum sandbox_kind kind;
    char text[700];
    struct buf output;
    struct sandbox_used used;
    size_t lines;
    struct {
        int level;
        char text[128];
    } line[RIG_LINES];
    bool done;
};

static void called(struct sandbox_call *c, int status, struct bytes output, enum sandbox_kind kind,
                   struct bytes text, const struct sandbox_used *used)
{
    struct called *r = c->user;
    assert_false(r->done);
    r->status = status;
    r->kind = kind;
    r->used = *used;
    (void)snprintf(r->text, sizeof r->text, "%.*s", BYTES_FMT(text));
    (void)buf_put(&r->output, output);
    r->done = true;
}

static void logged(struct sandbox_call *c, int level, struct bytes line)
{
    struct called *r = c->user;
    assert_false(r->done);
    if (r->lines < RIG_LINES) {
        r->line[r->lines].level = level;
        (void)snprintf(r->line[r->lines].text, sizeof r->line[0].text, "%.*s", BYTES_FMT(line));
    }
    r->lines++;
}

// Zeroed, then r->c's parts set by who wants more than module, function and input.
static void rig_start(struct pump *p, struct called *r)
{
    struct err e = {0};
    buf_init(&r->output, 32 << 20);
    r->c.done = called;
    r->c.log = logged;
    r->c.user = r;
    int rc = p->sandbox->ops->call(p->sandbox, &r->c, &e);
    if (rc != 0)
        fail_msg("%s", e.text);
}

static void rig_call(struct pump *p, struct called *r)
{
    rig_start(p, r);
    pump_until(p, &r->done);
}

static void rig_end(struct called *r)
{
    buf_fini(&r->output);
}

static const char *rig_output(struct called *r)
{
    return buf_cstr(&r->output);
}

// A call that must give this output.
static void rig_expect(struct pump *p, struct sandbox_mod *m, const char *function,
                       const char *input, const char *pool, const char *output)
{
    struct called r = {
        .c = {.mod = m, .function = function, .input = bytes_of(input), .pool = bytes_of(pool)}};
    rig_call(p, &r);
    if (r.status != 0)
        fail_msg("%s: %s: %s", function, enclave_kind(r.kind), r.text);
    assert_int_equal(r.kind, SANDBOX_OK);
    if (output)
        assert_string_equal(rig_output(&r), output);
    rig_end(&r);
}

// A call that must end so, with these words in its text.
static void rig_refuse(struct pump *p, struct called *r, enum sandbox_kind kind, const char *words)
{
    rig_call(p, r);
    if (r->kind != kind || !strstr(r->text, words))
        fail_msg("%s: expected %s with \"%s\", it is %s: %s", r->c.function, enclave_kind(kind),
                 words, enclave_kind(r->kind), r->text);
    assert_int_equal(r->status, kind == SANDBOX_CANCELLED ? E_CANCELLED : E_MANIFEST);
    assert_int_equal(r->output.n, 0);
    rig_end(r);
}

#endif
