// sandbox_rig.h: for tests: a second implementation of the port sandbox, whose guests are functions
// in C and whose answers come when the test turns it; it can be told to fail.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ENCLAVE_SANDBOX_RIG_H
#define PLEXUS_ENCLAVE_SANDBOX_RIG_H

#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "port/sandbox.h"

#include <stdio.h>
#include <string.h>

// Not each test uses each function.
#pragma GCC diagnostic ignored "-Wunused-function"

// One function of a guest: writes its output; or returns how it ended, with a text.
struct fake_function {
    const char *name;
    enum sandbox_kind (*run)(struct sandbox_call *c, struct buf *output, char *text, size_t n);
};
struct sandbox_fake {
    struct sandbox base;
    const struct fake_function *functions; // of every module; ends with a NULL name
    void (*wake)(void *user); // may be NULL: there is something to turn for
    void *user;
    struct list calls, compiles;
    size_t modules, started;
    // Faults: the n-th call or compilation from now (1: the next one) ends so.
    unsigned fail_in;
    int fail_status; // E_MANIFEST with fail_kind, or another E_*
    enum sandbox_kind fail_kind;
    int refuse; // what call and compile answer at once, when not 0
    bool silent; // turns tell nothing: calls wait for their cancellation
};
struct sandbox_mod {
    struct sandbox_fake *of;
    size_t refs;
};

static void sandbox_fake_turn(struct sandbox *s);

static bool fake_fails(struct sandbox_fake *f)
{
    return f->fail_in && --f->fail_in == 0;
}

static int fake_compile(struct sandbox *s, struct sandbox_compile *c, struct err *e)
{
    struct sandbox_fake *f = container_of(s, struct sandbox_fake, base);
    if (f->refuse)
        return err_set(e, f->refuse, "the fake refuses");
    // As the real one: bytes are copied at start, so only what they are is kept.
    bool module = c->code.n >= 8 && memcmp(c->code.p, "\0asm", 4) == 0;
    bool component = module && c->code.p[6] == 1;
    c->priv = (void *)(uintptr_t)(component ? 2 : module ? 1 : 0);
    list_add_tail(&f->compiles, &c->link);
    if (f->wake)
        f->wake(f->user);
    return 0;
}

static int fake_call(struct sandbox *s, struct sandbox_call *c, struct err *e)
{
    struct sandbox_fake *f = container_of(s, struct sandbox_fake, base);
    if (f->refuse)
        return err_set(e, f->refuse, "the fake refuses");
    c->priv = NULL;
    f->started++;
    c->mod->refs++;
    list_add_tail(&f->calls, &c->link);
    if (f->wake)
        f->wake(f->user);
    return 0;
}

static void fake_cancel(struct sandbox *s, struct sandbox_call *c)
{
    struct sandbox_fake *f = container_of(s, struct sandbox_fake, base);
    c->priv = f; // told at the next turn
    if (f->wake)
        f->wake(f->user);
}

static const struct fake_function *fake_find(const struct sandbox_fake *f, const char *name)
{
    for (const struct fake_function *x = f->functions; x && x->name; x++)
        if (strcmp(x->name, name) == 0)
            return x;
    return NULL;
}

static bool fake_has(const struct sandbox_mod *m, const char *function)
{
    return fake_find(m->of, function) != NULL;
}

static void fake_keep(struct sandbox_mod *m)
{
    m->refs++;
}

static void fake_drop(struct sandbox_mod *m)
{
    if (!m || --m->refs)
        return;
    m->of->modules--;
    mem_free(m);
}

static void fake_compiled(struct sandbox_fake *f, struct sandbox_compile *c)
{
    struct err e = {0};
    int what = (int)(uintptr_t)c->priv, status = 0;
    struct sandbox_mod *m = NULL;
    if (fake_fails(f))
        status = err_set(&e, f->fail_status, "the fake fails");
    else if (what == 2)
        status = err_set(&e, E_UNSUPPORTED, "this is a WebAssembly component (WASI preview 2)");
    else if (what == 0)
        status = err_set(&e, E_MANIFEST, "this is not a WebAssembly module");
    else if (!(m = mem_new(struct sandbox_mod)))
        status = err_set(&e, E_NOMEM, "no memory");
    if (m) {
        *m = (struct sandbox_mod){f, 1};
        f->modules++;
    }
    c->done(c, status, m, status ? &e : NULL);
}

static void fake_called(struct sandbox_fake *f, struct sandbox_call *c)
{
    struct sandbox_mod *m = c->mod;
    struct buf out;
    char text[256] = "";
    enum sandbox_kind kind = SANDBOX_OK;
    int status = 0;
    buf_init(&out, c->limits.output_bytes ? c->limits.output_bytes : 10485760);
    const struct fake_function *x = fake_find(f, c->function);
    if (c->priv) {
        kind = SANDBOX_CANCELLED;
        status = E_CANCELLED;
        (void)snprintf(text, sizeof text, "cancelled");
    } else if (fake_fails(f)) {
        kind = f->fail_kind;
        status = f->fail_status;
        (void)snprintf(text, sizeof text, "the fake fails");
    } else if (!x) {
        kind = SANDBOX_EXPORT;
        (void)snprintf(text, sizeof text, "the module has no function %.100s", c->function);
    } else {
        kind = x->run(c, &out, text, sizeof text);
        if (kind == SANDBOX_OK && out.failed)
            kind = SANDBOX_OUTPUT;
    }
    if (kind != SANDBOX_OK && !status)
        status = E_MANIFEST;
    struct sandbox_used used = {.took_us = 1, .pages = 1};
    c->done(c, status, kind == SANDBOX_OK ? buf_bytes(&out) : BYTES_NONE, kind, bytes_of(text),
            &used);
    buf_fini(&out);
    fake_drop(m);
}

static void sandbox_fake_turn(struct sandbox *s)
{
    struct sandbox_fake *f = container_of(s, struct sandbox_fake, base);
    while (!f->silent && !list_empty(&f->compiles)) {
        struct list *it = f->compiles.next;
        list_del(it);
        fake_compiled(f, container_of(it, struct sandbox_compile, link));
    }
    list_each_safe (it, &f->calls) {
        struct sandbox_call *c = container_of(it, struct sandbox_call, link);
        if (f->silent && !c->priv)
            continue;
        list_del(it);
        fake_called(f, c);
    }
}

static void sandbox_fake_init(struct sandbox_fake *f, const struct fake_function *functions)
{
    static const struct sandbox_ops ops = {.name = "fake",
                                           .compile = fake_compile,
                                           .call = fake_call,
                                           .cancel = fake_cancel,
                                           .has = fake_has,
                                           .keep = fake_keep,
                                           .drop = fake_drop};
    *f = (struct sandbox_fake){.base = {&ops}, .functions = functions};
    list_init(&f->calls);
    list_init(&f->compiles);
}

#endif
