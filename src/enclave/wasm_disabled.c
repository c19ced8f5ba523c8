// wasm_disabled.c: the port without wasmtime: says how to get it; and the kinds by name.
// SPDX-License-Identifier: Apache-2.0
#include "enclave/enclave.h"

static int disabled_compile(struct sandbox *s, struct sandbox_compile *c, struct err *e)
{
    (void)s;
    (void)c;
    char path[512];
    struct err why = {0};
    if (enclave_find(path, sizeof path, &why) == 0)
        return err_set(e, E_UNSUPPORTED, "WebAssembly is turned off in the configuration");
    return err_set(e, E_UNSUPPORTED, "%s", why.text);
}

static int disabled_call(struct sandbox *s, struct sandbox_call *c, struct err *e)
{
    (void)s;
    (void)c;
    return err_set(e, E_UNSUPPORTED, "WebAssembly is not available here");
}

static void disabled_cancel(struct sandbox *s, struct sandbox_call *c)
{
    (void)s;
    (void)c;
}

static bool disabled_has(const struct sandbox_mod *m, const char *function)
{
    (void)m;
    (void)function;
    return false;
}

static void disabled_mod(struct sandbox_mod *m)
{
    (void)m; // there is none
}

struct sandbox *enclave_disabled(void)
{
    static const struct sandbox_ops ops = {.name = "disabled",
                                           .compile = disabled_compile,
                                           .call = disabled_call,
                                           .cancel = disabled_cancel,
                                           .has = disabled_has,
                                           .keep = disabled_mod,
                                           .drop = disabled_mod};
    static struct sandbox disabled = {.ops = &ops};
    return &disabled;
}

const char *enclave_kind(enum sandbox_kind kind)
{
    static const char *const names[] = {[SANDBOX_OK] = "ok",
                                        [SANDBOX_TRAP] = "trap",
                                        [SANDBOX_EXIT] = "exit",
                                        [SANDBOX_GUEST_ERROR] = "guest error",
                                        [SANDBOX_TIMEOUT] = "timeout",
                                        [SANDBOX_MEMORY] = "memory",
                                        [SANDBOX_FUEL] = "fuel",
                                        [SANDBOX_OUTPUT] = "output",
                                        [SANDBOX_HOST_CALLS] = "host calls",
                                        [SANDBOX_STACK] = "stack",
                                        [SANDBOX_EXPORT] = "export",
                                        [SANDBOX_DENIED] = "denied",
                                        [SANDBOX_HTTP] = "http",
                                        [SANDBOX_VARS] = "vars",
                                        [SANDBOX_CANCELLED] = "cancelled"};
    return (size_t)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}
