// engine.h: the port behind which every model engine lives. An engine either is a child process
// that serves HTTP on a port we give it, or an address that is there already.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PORT_ENGINE_H
#define PLEXUS_PORT_ENGINE_H

#include "base/arena.h"
#include "base/err.h"
#include "port/proc.h"

// What the configuration says of one model (see config schema: models.*). Strings are borrowed for
// the length of the call.
struct engine_spec {
    const char *model;             // name
    const char *engine;            // "llama.cpp", "command", "remote", ...
    const char *kind;              // "chat", "completion", "embedding", ...
    const char *file;              // weights, or NULL
    const char *const *command;    // engine "command": argv with {port} {model} {file} {host}
    const char *const *args;       // more arguments for a known engine
    const char *const *env;        // "K=V" added to the child's environment
    const char *health;            // path, NULL: the engine's default
    const char *url;               // remote: base address, ".../v1"
    const char *key;               // remote: API key or NULL. Secret: never logged, never in argv
    const char *upstream_model;    // name the engine knows it by, NULL: model
    uint64_t context;              // tokens, 0: the engine's default
    uint32_t slots;                // parallel requests, 0: the engine's default
    uint32_t threads;              // 0: the machine's
    const char *program;           // path of the engine's program, NULL: search
    const char *search;            // folders to search after PATH, ':' between
};

struct engine_plan {
    bool child;                    // false: nothing to start
    const char *const *argv;       // child
    const char *const *env;        // child: additions "K=V"
    const char *host;              // where it serves
    uint16_t port;
    bool tls;
    const char
        *base_path; // "" or a prefix that replaces "/v1": remote "https://h/api/v1" → "/api/v1"
    const char *health; // GET path that answers 200 when ready; NULL: ready when it accepts
    const char *auth; // "Authorization: Bearer ...\r\n" for upstream requests, or ""
    const char *upstream_model; // NULL: no rewrite
    uint64_t memory_bytes; // estimate of main memory; 0: none (remote) or unknown
    uint64_t context; // tokens, 0: unknown
    uint32_t slots; // requests at once that it was told to work on; 0: its own matter
    const char *kind; // as found (GGUF) when the spec is silent
};

struct engine_ops {
    const char *name; // as in config
    const char *what; // one sentence for help
    // Makes the plan for one start on this port (0: only a dry look at what can be known). All
    // results live in the arena. E_NOTFOUND (program or file missing: the text says how to get it),
    // E_INVALID, E_UNSUPPORTED.
    int (*plan)(const struct engine_spec *spec, uint16_t port, struct arena *a,
                struct engine_plan *ret, struct err *e);
    // Turns the engine's own log lines into a phase and a share done (0..1, negative: unknown);
    // false: says nothing.
    bool (*progress)(struct bytes line, const char **ret_phase, double *ret_share);
    // The line of the log that says best why it failed (index into lines, newest last), or -1.
    int (*blame)(const struct bytes *lines, int count);
};

// Ends with a NULL row; in adapters/engines.c. One line a new engine.
const struct engine_ops *const *engine_table(void);
const struct engine_ops *engine_find(const char *name); // NULL: unknown

#endif
