// enclave.h: the port sandbox by wasmtime: WebAssembly modules with the Extism plugin ABI (kernel
// functions in extism:host/env, the host's own in extism:host/user, WASI preview 1). wasmtime is a
// library that is looked for and loaded with the first module; until then this costs nothing.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ENCLAVE_ENCLAVE_H
#define PLEXUS_ENCLAVE_ENCLAVE_H

#include "port/sandbox.h"

// What a call gets whose limit is 0.
#define ENCLAVE_PAGES 1024 // 64 MiB; at most ENCLAVE_PAGES_MAX
#define ENCLAVE_PAGES_MAX 32768
#define ENCLAVE_TIMEOUT_MS 10000
#define ENCLAVE_OUTPUT_BYTES 10485760 // MAX_ALLOCATION_BYTES (port/tool.h), also the most
#define ENCLAVE_HTTP_BYTES 10485760
#define ENCLAVE_VARS_BYTES 1048576
#define ENCLAVE_LOG_LINES 1000 // more are counted, not told
// Calls to the host beside those to the kernel's memory, which a PDK makes for each 8 bytes.
#define ENCLAVE_HOST_CALLS 50000
#define ENCLAVE_CODE_BYTES (32 << 20) // of a module, before it is compiled

// A function of the host that guests may import. Called on a worker thread.
struct enclave_guest; // the call it came from
struct enclave_function {
    const char *space; // NULL: "extism:host/user"
    const char *name;
    const char
        *type; // "II>I": I is an i64 (a PDK's handle), i an i32; what stands after > is given
    // args and *ret as 64 bits each. 0, or E_* and the guest ends with e's text (kind TRAP).
    int (*fn)(void *user, struct enclave_guest *g, const uint64_t *args, uint64_t *ret,
              struct err *e);
    void *user;
};
// The bytes of a block of the kernel's memory; BYTES_NONE: handle 0, or none.
struct bytes enclave_block(struct enclave_guest *g, uint64_t handle);
// A new block with these bytes; 0: the call's memory is at its limit.
uint64_t enclave_give(struct enclave_guest *g, struct bytes data);
void enclave_error(struct enclave_guest *g, struct bytes text); // as a guest's own error_set
void *enclave_call_user(struct enclave_guest *g);               // the call's user

struct enclave_args {
    const char *library; // path of wasmtime's library; NULL: enclave_find
    const char *cache;   // folder of compiled code (made, 0700), NULL: none
    uint64_t cache_bytes_max; // default 256 MiB: the oldest go
    unsigned workers;         // default 2, at most 16; started when there is work
    size_t queue_max;         // calls that wait, default 256: then E_FULL
    size_t idle_max;          // warm instances of all modules together, default 32
    // Leaves the process' signal handlers alone: guests check each access instead, and are slower.
    bool no_signals;
    // Wakes the loop, from any thread: it calls enclave_turn soon (loop.h: loop_wake).
    void (*wake)(void *user);
    void *user;
    struct sandbox_client http; // start NULL: guests have no network
    const struct enclave_function *functions; // borrowed as long as the enclave
    size_t nfunctions;
};
// Nothing is loaded yet: 0 or E_NOMEM, E_INVALID.
int enclave_new(struct sandbox **ret, const struct enclave_args *args, struct err *e);
// Tells what is done. On the loop thread, after wake.
void enclave_turn(struct sandbox *s);
// Ends all calls (their done comes from inside, E_CANCELLED), waits for the threads. Modules that
// are still held must be dropped before.
void enclave_free(struct sandbox *s);

struct enclave_stats {
    bool loaded;
    char library[512];
    uint64_t compiled, from_cache, cache_refused, calls, fresh, ended_badly;
    size_t modules, idle, running, waiting;
    uint64_t memory_bytes; // guests' and kernel's, of running calls and warm instances
};
void enclave_stats(const struct sandbox *s, struct enclave_stats *ret);

// Where the library is: PLEXUS_WASMTIME, beside this binary (engines/, ../libexec/plexus/), the
// cache of tools/setup, the system's loader. 0 and a path, or E_UNAVAILABLE with how to get it.
int enclave_find(char *ret, size_t n, struct err *e);
// The implementation without it: compile answers E_UNSUPPORTED with how to get it. Needs no free.
struct sandbox *enclave_disabled(void);

// "timeout", "memory", ... as in port/sandbox.h.
const char *enclave_kind(enum sandbox_kind kind);

#endif
