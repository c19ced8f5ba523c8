// prims.h: the primitives of an agent as a source of tools: read_file, write_file, edit_file,
// list_files, find_files, grep_files and bash, on granted folders. Each call runs in a child of its
// own (`plexus _prim`) inside a jail; nothing of it stays. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PRIMS_PRIMS_H
#define PLEXUS_PRIMS_PRIMS_H

#include "jail/jail.h"
#include "port/clock.h"
#include "port/proc.h"
#include "port/tool.h"

struct prims_args { // copied
    struct procs *procs;
    struct timers *timers;
    const char *self; // path of this binary, or NULL: file_self()
    // Granted folders, absolute; links in their names are resolved once, now. Relative paths of
    // calls are below the first one, where bash starts too. At least one.
    const struct jail_folder *folder;
    size_t folders;
    // The node's own folder (keys, the owner's socket), or NULL: where a granted folder has it, it
    // is empty inside of every call.
    const char *hidden;
    const char *const *env; // "K=V" for bash, NULL-terminated, beside PATH and the like; or NULL
    bool bash; // is it offered
    bool require; // all layers of the sandbox or no call (else what the kernel has)
    bool network; // for bash; else only a loopback of its own
    const uint16_t *port; // with network: TCP ports that may be called; none: any
    size_t ports;
    const char *label; // of all answers, or NULL
    // Limits; 0: the default.
    uint32_t output_bytes; // of text in an answer: 65536 (at least 1024, at most 1 MiB)
    uint64_t memory_bytes; // of one call, bash with all it starts: 1 GiB
    uint64_t tmp_bytes; // of bash's /tmp: 64 MiB
    uint64_t file_bytes; // largest file written: 4 GiB
    uint64_t disk_bytes; // that bash may take from a granted folder's disk: 2 GiB (watched)
    uint64_t processes; // of bash: 256
    int64_t timeout_ms; // of a call that names none: 120 s
    int64_t timeout_max_ms; // that a call may name: 1 hour
    unsigned calls_max; // at a time: 4
    unsigned queue_max; // that wait: 64; then E_FULL
};

struct prims;
// E_INVALID (a folder that is none, or whose name is not plain; one below /proc, /sys or /dev),
// E_NOTFOUND, E_NOMEM. Starts nothing yet.
int prims_new(struct prims **ret, const struct prims_args *args, struct err *e);
void prims_free(struct prims *p); // calls that run end: their done comes from here, E_CANCELLED
void prims_auto(struct prims **p);
// The source. Answers of a failed primitive (no such file, conflict, exit code) are results with
// is_error and structured {"error":"notfound"}; E_SECURITY: the sandbox could not be made as the
// policy demands.
struct tools *prims_tools(struct prims *p);

// What the sandbox is made of here. Runs a child for it the first time; done comes once, later, or
// not at all after prims_free. r is NULL when it could not be found out; e says why.
int prims_probe(struct prims *p,
                void (*done)(void *user, const struct jail_report *r, const struct err *e),
                void *user, struct err *e);
const struct jail_report *prims_report(const struct prims *p); // as last found, NULL: not yet

// The main of `plexus _prim`.
int prim_main(int argc, char **argv);

#endif
