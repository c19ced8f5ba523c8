// enclave_priv.h: what the parts of the enclave share: memories, the kernel, modules, instances,
// and the job that one worker does. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ENCLAVE_ENCLAVE_PRIV_H
#define PLEXUS_ENCLAVE_ENCLAVE_PRIV_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/thread.h"
#include "base/time.h"
#include "crypto/hash.h"
#include "enclave/enclave.h"
#include "enclave/wasm_api_priv.h"

#include <stdatomic.h>

#define WASM_PAGE 65536u
enum { WASM_WORKERS_MAX = 16, WASM_TEXT_MAX = 600, WASM_LINE_MAX = 4096, WASM_BINS = 32 };

// ---- memories (wasm_memory.c): reserved address space, opened as far as it is used --------------

struct wasm_slot {
    struct list link; // in the enclave's store of free ones
    struct wasm_memories *from;
    uint8_t *base;
    size_t mapped;
    size_t open;  // bytes from base that may be touched
    size_t bytes; // its size now
    bool exact;   // a guest's: open to its size and no further
};
struct wasm_memories {
    struct lock *lock;
    struct list free[2]; // guests', kernels'
    size_t count[2];
};
enum { WASM_SLOT_GUEST, WASM_SLOT_KERNEL };
int wasm_memories_init(struct wasm_memories *m);
void wasm_memories_fini(struct wasm_memories *m);
// A slot with bytes zeroed and open, as much reserved and as much closed behind it. NULL: no
// memory.
struct wasm_slot *wasm_slot_take(struct wasm_memories *m, int kind, size_t bytes, size_t reserve,
                                 size_t guard);
bool wasm_slot_grow(struct wasm_slot *s, size_t bytes);  // opens more; zeroed
bool wasm_slot_clear(struct wasm_slot *s, size_t dirty); // size 0; the first dirty bytes zeroed
void wasm_slot_give(struct wasm_slot *s);                // forgets its content

// ---- the kernel (wasm_kernel.c): Extism's memory of blocks, outside of the guest's own ----------

struct wasm_block {
    uint32_t at, size; // multiples of 8
    uint32_t used; // UINT32_MAX: free
    uint32_t next; // of the free ones of about this size, 1 and up; 0: none
};
struct wasm_kernel {
    struct wasm_slot *slot;
    uint32_t top; // where the next block goes
    size_t dirty; // beyond it all is zero: a guest may write where it was given no block
    struct wasm_block *blocks; // ascending
    uint32_t count, cap;
    uint32_t bins[WASM_BINS];
    uint64_t input_at, input_n, output_at, output_n, error_at;
};
int wasm_kernel_init(struct wasm_kernel *k, struct wasm_memories *m);
void wasm_kernel_fini(struct wasm_kernel *k);
void wasm_kernel_reset(struct wasm_kernel *k); // forgets all blocks, zeroes them
// Bytes that may be addressed.
static inline size_t wasm_kernel_size(const struct wasm_kernel *k)
{
    return k->slot->bytes;
}
// 0: no room. pages_max: how many pages the kernel may have; *ret_refused is set at that limit.
uint64_t wasm_kernel_alloc(struct wasm_kernel *k, uint64_t n, uint32_t pages_max,
                           bool *ret_refused);
void wasm_kernel_free(struct wasm_kernel *k, uint64_t at);
uint64_t wasm_kernel_length(const struct wasm_kernel *k, uint64_t at); // 0: no block is there
struct bytes wasm_kernel_block(const struct wasm_kernel *k, uint64_t at);
// A part of the memory; p NULL: not inside.
struct bytes wasm_kernel_part(const struct wasm_kernel *k, uint64_t at, uint64_t n);

// ---- engines and modules (wasm_engine.c, wasm_module.c) ----------------------------------------

enum { WASM_PLAIN, WASM_FUEL, WASM_VARIANTS };

struct enclave;
struct wasm_engine { // code that counts fuel is other code: made when the first call asks for it
    void *engine;
    void *linker; // our WASI, without folders
    void *linker_dirs; // wasmtime's, for calls with folders; made when first asked for
};
struct wasm_code {
    void *module, *pre, *pre_dirs;
};
struct wasm_export {
    char *name;
    bool callable; // no parameters, at most one result, an i32
    bool result;
    char *why; // not callable: in words
};
struct sandbox_mod {
    struct enclave *enclave;
    struct list link; // enclave.mods; those that nobody holds too, least recently used first
    size_t refs;
    uint8_t hash[CRYPTO_SIP_LEN];
    char *wasm; // the module's bytes, for other variants
    size_t wasm_n;
    struct wasm_code code[WASM_VARIANTS];
    struct wasm_export *exports;
    size_t nexports;
    struct list idle; // wasm_inst, warm
};
int wasm_engine_make(struct enclave *c, int variant, struct err *e); // once each
void wasm_engines_fini(struct enclave *c);
int wasm_engine_dirs(struct enclave *c, int variant, struct err *e); // its linker_dirs
// Both on a worker. A module with one reference.
int wasm_module_make(struct enclave *c, struct bytes code, struct sandbox_mod **ret, struct err *e);
int wasm_module_variant(struct sandbox_mod *m, int variant, bool dirs, struct err *e);
void wasm_module_free(struct sandbox_mod *m); // nobody holds it
const struct wasm_export *wasm_module_export(const struct sandbox_mod *m, const char *name);
// Text of a wasmtime_error_t, which is deleted.
int wasm_error_take(const struct wasm_api *a, void *error, int code, const char *what,
                    struct err *e);

// ---- the cache on the disk (wasm_cache.c) -------------------------------------------------------

struct wasm_cache {
    char *folder; // NULL: none
    uint64_t bytes_max;
    struct crypto_sip_key key; // of this folder; without one: of this process
    uint8_t engine[CRYPTO_SIP_LEN]; // which library, which settings
};
int wasm_cache_open(struct wasm_cache *c, const char *folder, uint64_t bytes_max, struct err *e);
void wasm_cache_fini(struct wasm_cache *c);
void wasm_cache_engine(struct wasm_cache *c, const char *library, bool signals);
void wasm_cache_hash(const struct wasm_cache *c, struct bytes code, uint8_t ret[CRYPTO_SIP_LEN]);
// 0 and the code, E_NOTFOUND, or E_SECURITY: a file that is damaged, or not ours; it is removed.
int wasm_cache_get(struct wasm_cache *c, const uint8_t hash[CRYPTO_SIP_LEN], int variant,
                   struct buf *ret, struct err *e);
int wasm_cache_put(struct wasm_cache *c, const uint8_t hash[CRYPTO_SIP_LEN], int variant,
                   struct bytes code, struct err *e);

// ---- instances and jobs (wasm_inst.c, wasm_run.c) -----------------------------------------------

struct wasm_var {
    char *value;
    size_t n;
};
struct wasm_inst {
    struct list link; // mod->idle
    struct list lru; // enclave.idle
    struct sandbox_mod *mod; // with a reference
    int variant;
    bool dirs;
    char *pool; // NULL: for one call
    size_t pool_n;
    void *store, *context;
    struct wasm_instance of;
    struct wasm_slot *memory; // NULL: it has none
    struct wasm_kernel kernel;
    struct map *vars; // wasm_var; NULL: none yet
    size_t vars_bytes;
    bool ready; // started and initialized
    const struct wasm_export *last; // last.name's function
    struct wasm_func last_func;
};

struct wasm_line {
    struct list link;
    int level;
    size_t n;
    char text[];
};

struct wasm_job {
    struct list link; // queue, done
    struct list ticking; // enclave.ticking
    struct enclave *enclave;
    struct sandbox_call *call; // or
    struct sandbox_compile *compile; // this
    struct sandbox_mod *mod;
    struct wasm_inst *inst;
    struct sandbox_limits limits; // with the defaults
    uint64_t began_ns, due_ns;
    atomic_bool cancelled;
    bool queued, refused; // refused: memory, at the limit
    bool log_waits; // the loop was woken for its lines
    bool keep; // its instance is whole, and has a pool
    // how it ended
    int status;
    enum sandbox_kind kind;
    char text[WASM_TEXT_MAX];
    struct bytes output;
    struct sandbox_used used;
    int exit_code; // -1: none
    struct list lines; // under the enclave's lock
    struct buf out[2]; // unfinished lines of standard output and error
    // http_request
    struct sandbox_http http;
    struct list asking; // enclave.asks
    enum { WASM_HTTP_NONE, WASM_HTTP_ASKED, WASM_HTTP_STARTED, WASM_HTTP_DONE } http_state;
    int http_status, http_code;
    struct buf http_body, http_headers;
    char http_text[WASM_TEXT_MAX];
    // compile
    struct bytes code;
    struct err err;
};

struct enclave {
    struct sandbox base;
    struct enclave_args args;
    const struct wasm_api *api;
    char library[512];
    struct lock *lock; // queue, done, asks, lines, mods' counts
    struct lock *make; // engines and variants, one at a time
    struct list queue, done, asks, mods, idle;
    struct list running;
    size_t queued, nrunning, nidle, nmods;
    struct thread *threads[WASM_WORKERS_MAX];
    unsigned nthreads, resting;
    bool stopping, woken;
    // the ticker: one epoch forward at the due time of a call, and at a cancellation
    struct lock *tick;
    struct list ticking;
    struct thread *ticker;
    uint64_t tick_at; // it sleeps until then; UINT64_MAX: until it is woken
    bool tick_now, tick_end;
    struct wasm_engine engines[WASM_VARIANTS];
    struct wasm_memories memories;
    struct wasm_cache cache;
    struct enclave_stats stats;
};

struct wasm_job *wasm_now(void);

// On a worker: does the call and fills in how it ended. Leaves job->inst where output lies in it.
void wasm_call(struct wasm_job *j);
void wasm_inst_shed(struct wasm_inst *i); // all of it but the kernel's memory
void wasm_inst_free(struct wasm_inst *i);
// A job that the caller's own thread does, without queue and loop: for measuring.
void wasm_job_init(struct wasm_job *j, struct sandbox_call *call);
void wasm_job_fini(struct wasm_job *j);
// What a host function returns to end the guest; the first reason stays.
void *wasm_stop(struct wasm_job *j, enum sandbox_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void *wasm_late(struct wasm_job *j); // the same: its time is over, or it was cancelled
// Pages that guest and kernel have; the kernel's limit beside the guest.
uint32_t wasm_guest_pages(const struct wasm_inst *i);
uint32_t wasm_kernel_pages_max(const struct wasm_job *j);
uint64_t wasm_give(struct wasm_job *j, struct bytes data);

// The ticker (wasm_ticker.c).
int wasm_tick_begin(struct wasm_job *j); // watched from now until wasm_tick_end
void wasm_tick_end(struct wasm_job *j);
void wasm_tick_now(struct enclave *c); // some job was cancelled
void wasm_ticker_stop(struct enclave *c);
void *wasm_epoch(void *context, void *data, uint64_t *delta, uint8_t *kind);

// Sleeps as a guest wants, no longer than its time. NULL: slept; else the trap.
void *wasm_sleep(struct wasm_job *j, uint64_t until_ns);
// Asks the loop and waits (enclave.c). false: cancelled or out of time.
bool wasm_ask(struct wasm_job *j);
void wasm_log(struct wasm_job *j, int level, struct bytes line);
void wasm_log_flush(struct wasm_job *j); // unfinished lines

// Host functions, as tables: extism:host/env, wasi_snapshot_preview1.
struct wasm_host {
    const char *name, *type; // as enclave_function's
    wasm_host_fn *fn;
    bool with_dirs; // WASI: ours also where wasmtime's serves folders
};
extern const struct wasm_host wasm_env_hosts[], wasm_http_hosts[], wasm_wasi_hosts[];
void *wasm_counted(struct wasm_job *j); // one more host call; not NULL: too many

#endif
