// enclave_keep.c: who holds a module, which instances are kept warm and for whom. Under the
// enclave's lock, unless it says otherwise. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "enclave/enclave_priv.h"

#include <string.h>

enum { MODS_KEPT = 32 };

static void idle_out(struct enclave *c, struct wasm_inst *i)
{
    list_del(&i->link);
    list_del(&i->lru);
    c->nidle--;
    c->idle_bytes -= i->idle_bytes;
}

static void inst_drop(struct enclave *c, struct wasm_inst *i)
{
    idle_out(c, i);
    wasm_inst_free(i);
}

void wasm_mod_end(struct enclave *c, struct sandbox_mod *m)
{
    list_each_safe (it, &m->idle)
        inst_drop(c, container_of(it, struct wasm_inst, link));
    list_del(&m->link);
    c->nmods--;
    wasm_module_free(m);
}

// Modules that nobody holds stay a while: the same code comes again.
static void mods_trim(struct enclave *c, size_t keep)
{
    size_t unheld = 0;
    list_each (it, &c->mods)
        unheld += container_of(it, struct sandbox_mod, link)->refs == 0;
    list_each_safe (it, &c->mods) {
        struct sandbox_mod *m = container_of(it, struct sandbox_mod, link);
        if (unheld <= keep)
            return;
        if (m->refs == 0) {
            wasm_mod_end(c, m);
            unheld--;
        }
    }
}

void wasm_mod_keep(struct sandbox_mod *m)
{
    lock_take(m->enclave->lock);
    m->refs++;
    lock_give(m->enclave->lock);
}

void wasm_mod_drop(struct sandbox_mod *m)
{
    if (!m)
        return;
    struct enclave *c = m->enclave;
    lock_take(c->lock);
    if (--m->refs == 0) {
        list_del(&m->link);
        list_add_tail(&c->mods, &m->link);
        mods_trim(c, MODS_KEPT);
    }
    lock_give(c->lock);
}

bool wasm_mod_has(const struct sandbox_mod *m, const char *function)
{
    const struct wasm_export *x = wasm_module_export(m, function);
    return x && x->callable;
}

// A warm one for this call, out of its lists. NULL: none.
struct wasm_inst *wasm_idle_take(struct enclave *c, struct wasm_job *j)
{
    const struct sandbox_call *call = j->call;
    int variant = j->limits.fuel ? WASM_FUEL : WASM_PLAIN;
    if (!call->pool.n || call->grants.ndirs || strcmp(call->function, "_start") == 0)
        return NULL;
    list_each (it, &j->mod->idle) {
        struct wasm_inst *i = container_of(it, struct wasm_inst, link);
        if (i->variant == variant && wasm_guest_pages(i) < j->limits.pages &&
            bytes_eq((struct bytes){i->pool, i->pool_n}, call->pool)) {
            idle_out(c, i);
            return i;
        }
    }
    return NULL;
}

// Before the call's memory is the caller's again: may its instance be kept? What ended by itself is
// whole; what was ended in the middle is not. The others go as far as the output does not lie in
// them.
void wasm_settle(struct wasm_job *j)
{
    struct wasm_inst *i = j->inst;
    if (!i)
        return;
    j->keep = j->call->pool.n && !i->dirs && i->ready && j->exit_code < 0 &&
              (j->kind == SANDBOX_OK || j->kind == SANDBOX_GUEST_ERROR);
    if (j->keep && !i->pool) {
        i->pool = mem_dup(j->call->pool.p, j->call->pool.n);
        i->pool_n = j->call->pool.n;
        j->keep = i->pool != NULL;
    }
    if (!j->keep)
        wasm_inst_shed(i);
}

void wasm_idle_give(struct enclave *c, struct wasm_job *j)
{
    struct wasm_inst *i = steal(&j->inst);
    if (!i)
        return;
    if (!j->keep) {
        wasm_inst_free(i);
        return;
    }
    wasm_kernel_reset(&i->kernel);
    list_add_head(&j->mod->idle, &i->link);
    list_add_head(&c->idle, &i->lru);
    i->idle_bytes = (size_t)wasm_guest_pages(i) * WASM_PAGE;
    c->idle_bytes += i->idle_bytes;
    c->nidle++;
    while (c->nidle > c->args.idle_max || c->idle_bytes > c->args.idle_bytes_max)
        inst_drop(c, container_of(c->idle.prev, struct wasm_inst, lru));
}
