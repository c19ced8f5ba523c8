// enclave_ask.c: what a worker asks of the loop while its guest runs: requests, lines of the log,
// sleep; and what a function of the host may do with the call. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/log.h"
#include "enclave/enclave_priv.h"

#include <string.h>

void wasm_wake(struct enclave *c) // under the lock
{
    if (c->woken)
        return;
    c->woken = true;
    c->args.wake(c->args.user);
}

// Until the loop is done with it, or the job's time is over.
static bool ask_wait(struct wasm_job *j)
{
    struct enclave *c = j->enclave;
    bool late = false;
    while (j->http_state != WASM_HTTP_DONE) {
        uint64_t now = time_mono_ns();
        if (!late && (now >= j->due_ns || c->stopping)) { // the loop lets go of it first
            late = true;
            if (j->http_state == WASM_HTTP_ASKED) {
                list_del(&j->asking);
                j->http_state = WASM_HTTP_DONE;
                break;
            }
            list_add_tail(&c->asks, &j->asking);
            wasm_wake(c);
        }
        lock_wait(c->lock, late ? -1 : (int64_t)((j->due_ns - now) / 1000000) + 1);
    }
    return !late;
}

bool wasm_ask(struct wasm_job *j)
{
    struct enclave *c = j->enclave;
    lock_take(c->lock);
    j->http_state = WASM_HTTP_ASKED;
    list_add_tail(&c->asks, &j->asking);
    wasm_wake(c);
    bool good = ask_wait(j) && !atomic_load(&j->cancelled);
    lock_give(c->lock);
    return good;
}

void *wasm_sleep(struct wasm_job *j, uint64_t until_ns)
{
    struct enclave *c = j->enclave;
    uint64_t end = until_ns < j->due_ns ? until_ns : j->due_ns, now;
    lock_take(c->lock);
    while ((now = time_mono_ns()) < end && !atomic_load(&j->cancelled))
        lock_wait(c->lock, (int64_t)((end - now) / 1000000) + 1);
    lock_give(c->lock);
    return atomic_load(&j->cancelled) || now >= j->due_ns ? wasm_late(j) : NULL;
}

void wasm_log(struct wasm_job *j, int level, struct bytes text)
{
    struct enclave *c = j->enclave;
    if (++j->used.log_lines > j->limits.log_lines || !j->call->log)
        return;
    text = bytes_first(text, WASM_LINE_MAX);
    struct wasm_line *line = mem_alloc(sizeof *line + text.n);
    if (!line)
        return;
    line->level = level;
    line->n = text.n;
    if (text.n)
        memcpy(line->text, text.p, text.n);
    lock_take(c->lock);
    list_add_tail(&j->lines, &line->link);
    if (!j->log_waits) {
        j->log_waits = true;
        wasm_wake(c);
    }
    lock_give(c->lock);
}

void wasm_log_flush(struct wasm_job *j)
{
    for (int i = 0; i < 2; i++) {
        if (j->out[i].n)
            wasm_log(j, i == 0 ? LOG_INFO : LOG_ERROR, buf_bytes(&j->out[i]));
        buf_clear(&j->out[i]);
    }
}

struct bytes enclave_block(struct enclave_guest *g, uint64_t handle)
{
    struct wasm_job *j = (struct wasm_job *)g;
    return handle ? wasm_kernel_block(&j->inst->kernel, handle) : BYTES_NONE;
}

uint64_t enclave_give(struct enclave_guest *g, struct bytes data)
{
    return wasm_give((struct wasm_job *)g, data);
}

void enclave_error(struct enclave_guest *g, struct bytes text)
{
    struct wasm_job *j = (struct wasm_job *)g;
    j->inst->kernel.error_at = wasm_give(j, text);
}

void *enclave_call_user(struct enclave_guest *g)
{
    return ((struct wasm_job *)g)->call->user;
}
