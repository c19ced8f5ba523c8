// wasm_run.c: one call of a guest, on a worker: input in, function called, output or the reason why
// not. Whatever happens inside is an end of the call, never of the host. SPDX-License-Identifier:
// Apache-2.0
#include "base/alloc.h"
#include "enclave/wasm_run_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct wasm_job *wasm_now_;

struct wasm_job *wasm_now(void)
{
    return wasm_now_;
}

static void say(struct wasm_job *j, enum sandbox_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void vsay(struct wasm_job *j, enum sandbox_kind kind, const char *fmt, va_list ap)
{
    if (j->kind != SANDBOX_OK) // the first reason is the reason
        return;
    j->kind = kind;
    (void)vsnprintf(j->text, sizeof j->text, fmt, ap);
}

static void say(struct wasm_job *j, enum sandbox_kind kind, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsay(j, kind, fmt, ap);
    va_end(ap);
}

static void late(struct wasm_job *j)
{
    if (atomic_load(&j->cancelled))
        say(j, SANDBOX_CANCELLED, "cancelled");
    else
        say(j, SANDBOX_TIMEOUT, "the guest took longer than %lld ms",
            (long long)j->limits.timeout_ms);
}

void *wasm_stop(struct wasm_job *j, enum sandbox_kind kind, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsay(j, kind, fmt, ap);
    va_end(ap);
    return j->enclave->api->wasmtime_trap_new("plexus", 6);
}

void *wasm_late(struct wasm_job *j)
{
    late(j);
    return j->enclave->api->wasmtime_trap_new("plexus", 6);
}

void *wasm_counted(struct wasm_job *j)
{
    if (++j->used.host_calls <= j->limits.host_calls)
        return NULL;
    return wasm_stop(j, SANDBOX_HOST_CALLS, "the guest called the host more than %u times",
                     j->limits.host_calls);
}

// Not what a guest did, but that its time is over: ends it, or lets it go on to the next tick.
void *wasm_epoch(void *context, void *data, uint64_t *delta, uint8_t *kind)
{
    (void)context;
    (void)data;
    struct wasm_job *j = wasm_now();
    *delta = 1;
    *kind = 0; // continue
    if (!atomic_load(&j->cancelled) && time_mono_ns() < j->due_ns)
        return NULL;
    late(j);
    return j->enclave->api->wasmtime_error_new("plexus");
}

static const char *const trap_texts[] = {
    "call stack exhausted",
    "memory access out of bounds",
    "misaligned memory access",
    "table access out of bounds",
    "call of an empty table element",
    "indirect call of another type",
    "integer overflow",
    "integer division by zero",
    "float that does not fit an integer",
    "unreachable code reached",
    "interrupted",
    "out of fuel",
};

// The innermost function of the backtrace that wasmtime puts into its text: "0: 0x1f - m!name".
static struct bytes frame_of(struct bytes text)
{
    ptrdiff_t at = bytes_find(text, BYTES("    0: "));
    if (at < 0)
        return BYTES_NONE;
    struct bytes rest = bytes_from(text, (size_t)at);
    struct bytes line = bytes_cut(&rest, '\n');
    at = bytes_chr(line, '!');
    return at < 0 ? BYTES_NONE : bytes_trim(bytes_from(line, (size_t)at + 1));
}

static void trapped(struct wasm_job *j, uint8_t code, struct bytes text)
{
    struct bytes frame = bytes_first(frame_of(text), 120);
    const char *why = code < sizeof trap_texts / sizeof *trap_texts ? trap_texts[code] : "trap";
    const char *in = frame.n ? " in " : "";
    if (code == WASM_TRAP_STACK)
        say(j, SANDBOX_STACK, "%s%s%.*s", why, in, BYTES_FMT(frame));
    else if (code == WASM_TRAP_FUEL)
        say(j, SANDBOX_FUEL, "the guest used up its %llu units of fuel",
            (unsigned long long)j->limits.fuel);
    else if (code == WASM_TRAP_INTERRUPT)
        late(j);
    else if (j->refused)
        say(j, SANDBOX_MEMORY, "the guest needs more than %u pages of memory (%s%s%.*s)",
            j->limits.pages, why, in, BYTES_FMT(frame));
    else
        say(j, SANDBOX_TRAP, "%s%s%.*s", why, in, BYTES_FMT(frame));
}

void wasm_ended(struct wasm_job *j, void *error, void *trap)
{
    const struct wasm_api *a = j->enclave->api;
    struct wasm_vec v = {0};
    uint8_t code;
    if (j->kind == SANDBOX_OK && trap) {
        a->wasm_trap_message(trap, &v);
        struct bytes text = bytes_trim((struct bytes){v.data, v.size ? v.size - 1 : 0});
        if (a->wasmtime_trap_code(trap, &code))
            trapped(j, code, text);
        else
            say(j, SANDBOX_TRAP, "%.*s", BYTES_FMT(bytes_first(text, 400)));
        a->wasm_byte_vec_delete(&v);
    } else if (j->kind == SANDBOX_OK && error) {
        int exit_code;
        a->wasmtime_error_message(error, &v);
        if (a->wasmtime_error_exit_status(error, &exit_code)) {
            j->exit_code = exit_code;
            say(j, SANDBOX_EXIT, "the guest left with exit code %d", exit_code);
        } else if (j->refused) {
            say(j, SANDBOX_MEMORY, "the guest needs more than %u pages of memory", j->limits.pages);
        } else {
            say(j, SANDBOX_TRAP, "%.*s",
                BYTES_FMT(bytes_first((struct bytes){v.data, v.size}, 400)));
        }
        a->wasm_byte_vec_delete(&v);
    }
    if (error)
        a->wasmtime_error_delete(error);
    if (trap)
        a->wasm_trap_delete(trap);
}

bool wasm_enter(struct wasm_job *j, const struct wasm_func *f, union wasm_raw *args, size_t n)
{
    void *trap = NULL;
    void *error =
        j->enclave->api->wasmtime_func_call_unchecked(j->inst->context, f, args, n, &trap);
    if (!error && !trap)
        return true;
    wasm_ended(j, error, trap);
    return false;
}

// ---- a call -------------------------------------------------------------------------------------

static bool input(struct wasm_job *j)
{
    struct wasm_kernel *k = &j->inst->kernel;
    struct bytes in = j->call->input;
    k->input_at = in.n ? wasm_give(j, in) : 0;
    k->input_n = in.n;
    if (in.n && !k->input_at)
        say(j, SANDBOX_MEMORY, "the input's %zu bytes do not fit into %u pages of memory", in.n,
            j->limits.pages);
    return j->kind == SANDBOX_OK;
}

// What error_set said goes before all that is only known from outside.
static bool guest_error(struct wasm_job *j)
{
    const struct wasm_kernel *k = &j->inst->kernel;
    struct bytes text = k->error_at ? wasm_kernel_block(k, k->error_at) : BYTES_NONE;
    bool own = j->kind == SANDBOX_OK || j->kind == SANDBOX_TRAP || j->kind == SANDBOX_EXIT;
    if (!text.n || !own)
        return false;
    j->kind = SANDBOX_OK;
    say(j, SANDBOX_GUEST_ERROR, "%.*s", BYTES_FMT(bytes_first(text, sizeof j->text - 1)));
    return true;
}

static void outcome(struct wasm_job *j, int32_t returned)
{
    const struct wasm_kernel *k = &j->inst->kernel;
    if (guest_error(j))
        return;
    if (j->kind == SANDBOX_EXIT && j->exit_code == 0) { // a command's good end
        j->kind = SANDBOX_OK;
        j->text[0] = '\0';
    }
    if (j->kind != SANDBOX_OK)
        return;
    if (returned != 0)
        say(j, SANDBOX_GUEST_ERROR, "the function returned %d", (int)returned);
    else
        j->output = wasm_kernel_part(k, k->output_at, k->output_n);
}

static const struct wasm_export *callable(struct wasm_job *j)
{
    const char *name = j->call->function;
    const struct wasm_export *x = wasm_module_export(j->mod, name);
    if (!x)
        say(j, SANDBOX_EXPORT, "the module has no function %.100s", name);
    else if (!x->callable)
        say(j, SANDBOX_EXPORT, "%.100s %s", name, x->why);
    return x && x->callable ? x : NULL;
}

static void run(struct wasm_job *j, const struct wasm_export *x)
{
    struct wasm_inst *i = j->inst;
    const struct wasm_api *a = j->enclave->api;
    struct wasm_func f;
    union wasm_raw raw = {.i64 = 0};
    a->wasmtime_context_set_epoch_deadline(i->context, 1);
    if (i->variant == WASM_FUEL) {
        void *error = a->wasmtime_context_set_fuel(i->context, j->limits.fuel);
        if (error)
            a->wasmtime_error_delete(error);
    }
    if (!input(j) || (!i->ready && !wasm_inst_start(j)))
        return;
    if (!wasm_inst_function(i, x, &f)) {
        say(j, SANDBOX_EXPORT, "the module has no function %.100s", x->name);
        return;
    }
    (void)wasm_enter(j, &f, &raw, 1);
    outcome(j, x->result && j->kind == SANDBOX_OK ? raw.i32 : 0);
}

static void measure(struct wasm_job *j)
{
    struct wasm_inst *i = j->inst;
    uint64_t left = 0;
    if (i->variant == WASM_FUEL) {
        void *error = j->enclave->api->wasmtime_context_get_fuel(i->context, &left);
        if (error)
            j->enclave->api->wasmtime_error_delete(error);
        j->used.fuel = j->limits.fuel - left;
    }
    j->used.pages = wasm_guest_pages(i) + (uint32_t)(wasm_kernel_size(&i->kernel) / WASM_PAGE);
}

static bool prepared(struct wasm_job *j)
{
    struct err e = {0};
    int variant = j->limits.fuel ? WASM_FUEL : WASM_PLAIN;
    bool dirs = j->call->grants.ndirs > 0;
    int rc = variant != WASM_PLAIN || dirs ? wasm_module_variant(j->mod, variant, dirs, &e) : 0;
    if (rc == 0)
        rc = wasm_inst_new(j, &e);
    if (rc != 0) {
        j->status = rc == E_MANIFEST ? 0 : rc;
        say(j, SANDBOX_TRAP, "%s", e.text);
    }
    return rc == 0;
}

void wasm_call(struct wasm_job *j)
{
    wasm_now_ = j;
    j->began_ns = time_mono_ns();
    j->due_ns = j->began_ns + (uint64_t)j->limits.timeout_ms * 1000000u;
    const struct wasm_export *x = callable(j);
    if (x && (j->inst || prepared(j))) {
        if (wasm_tick_begin(j) == 0) {
            run(j, x);
            wasm_tick_end(j);
            wasm_log_flush(j);
        } else {
            j->status = E_NOMEM;
            say(j, SANDBOX_TRAP, "no thread to watch over the guest's time");
        }
        measure(j);
    }
    if (j->kind == SANDBOX_CANCELLED)
        j->status = E_CANCELLED;
    else if (j->kind != SANDBOX_OK && j->status == 0)
        j->status = E_MANIFEST;
    j->used.took_us = (time_mono_ns() - j->began_ns) / 1000;
    wasm_now_ = NULL;
}
