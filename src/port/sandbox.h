// sandbox.h: the port behind which code that nobody trusts runs: WASM modules with the Extism
// plugin ABI (extism.org, "Extism's kernel" and PDKs). Bytes in, bytes out, within limits; nothing
// that a guest does ends the host. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PORT_SANDBOX_H
#define PLEXUS_PORT_SANDBOX_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "text/val.h"

struct sandbox;
struct sandbox_mod; // compiled code; counted

struct sandbox_limits { // 0: the default (enclave.h names each)
    uint32_t pages;       // of 64 KiB, guest's memory and kernel's together
    int64_t timeout_ms;
    uint64_t fuel;        // wasmtime's units; 0: not counted
    size_t output_bytes;  // never above MAX_ALLOCATION_BYTES
    size_t http_bytes;    // of all answers of one call
    size_t vars_bytes;
    uint32_t log_lines, host_calls;
};
struct sandbox_dir {
    const char *host, *guest; // folder here, path there
    bool write;
};
struct sandbox_grants { // nothing is granted by default
    const struct bytes *hosts; // "api.example.org", "*.example.org", "127.0.0.1:8080"
    size_t nhosts;
    const struct sandbox_dir *dirs;
    size_t ndirs;
    const struct val *config; // object of strings, or NULL
};

enum sandbox_kind { // what ended a call, for ManifestConformanceError
    SANDBOX_OK,
    SANDBOX_TRAP,
    SANDBOX_EXIT,
    SANDBOX_GUEST_ERROR,
    SANDBOX_TIMEOUT,
    SANDBOX_MEMORY,
    SANDBOX_FUEL,
    SANDBOX_OUTPUT,
    SANDBOX_HOST_CALLS,
    SANDBOX_STACK,
    SANDBOX_EXPORT,
    SANDBOX_DENIED,
    SANDBOX_HTTP,
    SANDBOX_VARS,
    SANDBOX_CANCELLED,
};
struct sandbox_used {
    uint64_t took_us, fuel, http_bytes;
    uint32_t pages, host_calls, log_lines;
};

struct sandbox_call { // caller-owned until done
    struct sandbox_mod *mod;
    const char *function;
    struct bytes input;
    // Whose instance: calls of the same name share one that is kept warm, and what the guest keeps
    // in it (its memory, its vars); so it names caller and label. Empty: an instance of its own,
    // gone after the call.
    struct bytes pool;
    struct sandbox_limits limits;
    struct sandbox_grants grants;
    // Once, on the loop thread. output is borrowed until it returns. kind and text say what ended
    // it when status is E_MANIFEST.
    void (*done)(struct sandbox_call *c, int status, struct bytes output, enum sandbox_kind kind,
                 struct bytes text, const struct sandbox_used *used);
    // A line of the guest, on the loop thread; level is base/log.h's. Or NULL.
    void (*log)(struct sandbox_call *c, int level, struct bytes line);
    void *user;
    void *priv;
    struct list link;
};
struct sandbox_compile { // caller-owned until done
    struct bytes code; // bytes of the module, copied at start
    // 0 and a module (one count), E_MANIFEST with a readable cause, E_UNSUPPORTED (a component).
    void (*done)(struct sandbox_compile *c, int status, struct sandbox_mod *mod,
                 const struct err *e);
    void *user;
    void *priv;
    struct list link;
};

// A request of a guest, carried out on the loop thread by who has a client (toolbox/guest_http.h).
struct sandbox_http {
    struct bytes method, url; // upper case; http or https
    struct bytes headers; // lines "Name: value\r\n"..., checked: no other line hides in them
    struct bytes body;
    const struct bytes *hosts; // as granted; each hop of a redirect is checked against them
    size_t nhosts;
    size_t body_max; // of the answer
    int64_t timeout_ms; // for all of it
    // Once, on the loop thread, never from inside start. 0: there was an answer, whatever its code.
    // E_FORBIDDEN: a host or an address that is not granted. headers is a JSON object of strings,
    // names in lower case. All borrowed until it returns.
    void (*done)(struct sandbox_http *h, int status, int code, struct bytes headers,
                 struct bytes body, const struct err *e);
    void *user;
    void *priv; // start's
};
struct sandbox_client {
    int (*start)(void *user, struct sandbox_http *h, struct err *e); // E_*: done does not come
    void (*cancel)(void *user, struct sandbox_http *h); // done does not come any more; h is free
    void *user;
};

struct sandbox_ops {
    const char *name; // "wasmtime", "disabled"
    int (*compile)(struct sandbox *s, struct sandbox_compile *c, struct err *e); // E_UNSUPPORTED
    int (*call)(struct sandbox *s, struct sandbox_call *c, struct err *e); // E_FULL
    void (*cancel)(struct sandbox *s, struct sandbox_call *c);
    bool (*has)(const struct sandbox_mod *m, const char *function); // an export to call
    void (*keep)(struct sandbox_mod *m);
    void (*drop)(struct sandbox_mod *m);
};
struct sandbox {
    const struct sandbox_ops *ops;
};

#endif
