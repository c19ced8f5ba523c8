// proc.h: child processes. Each runs under a guard of its own (see loop/guard.c): when the node
// ends, however it ends, the child and all its descendants end too.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PORT_PROC_H
#define PLEXUS_PORT_PROC_H

#include "base/bytes.h"
#include "base/err.h"

struct procs; // the maker
struct proc;  // one child

struct proc_limits {
    uint64_t memory_bytes; // 0: none. cgroup memory.max where delegated, else PSS is watched (1 s)
                           // and the tree is killed: on_exit has over_memory
    double cpus; // 0: none. cgroup cpu.max where delegated, else scheduling affinity (rounded up);
                 // not enforced on macOS
    uint64_t files; // RLIMIT_NOFILE, 0: inherited
    uint64_t core_bytes; // RLIMIT_CORE (default 0: no core files)
    int nice; // 0..19
};

struct proc_exit {
    int code; // exit code, or -1 when a signal ended it
    int signal; // or 0
    bool over_memory; // the memory limit ended it
    bool not_started; // exec failed; text says why
    char text[256];
};

struct proc_args {
    const char *const *argv; // argv[0]: path, or a name searched on PATH; NULL-terminated
    const char *const *env; // "K=V"; NULL: the node's environment without secrets
    const char *cwd; // NULL: the node's
    struct proc_limits limits;
    // Output lines without the newline; lines over 16 KiB come in pieces. fd is 1 or 2.
    void (*on_line)(void *user, int fd, struct bytes line);
    // Instead of on_line: output as it comes, no byte lost or added. Borrowed until return.
    void (*on_bytes)(void *user, int fd, struct bytes part);
    // The child's input is a pipe, for write and end_input; else it is /dev/null.
    bool input;
    size_t input_bytes_max; // that may wait for the child to read them, 0: 1 MiB
    void (*on_drain)(void *user); // all that waited is in the pipe; may be NULL
    // The program runs (its exec succeeded); may be NULL.
    void (*on_started)(void *user);
    // Once, after the last line, when the child and all its descendants are gone.
    void (*on_exit)(void *user, const struct proc_exit *exit);
    void *user;
};

struct procs_ops {
    int (*spawn)(struct procs *p, const struct proc_args *args, struct proc **ret, struct err *e);
    void (*term)(struct proc *p); // SIGTERM to the main child
    void (*kill)(struct proc *p); // SIGKILL to the whole tree
    int64_t (*pid)(const struct proc *p); // of the main child, -1 before it is known
    uint64_t (*memory)(
        const struct proc *p); // PSS of the tree in bytes as last measured, 0: not yet
    void (*measure)(struct proc *p); // asks for a fresh memory figure (comes later)
    // Input for the child (proc_args.input). Copied. 0: all is in the pipe; 1: a part waits,
    // on_drain comes; E_FULL: over input_bytes_max, nothing is taken; E_CLOSED: it does not read
    // any more.
    int (*write)(struct proc *p, struct bytes data);
    void (*end_input)(struct proc *p); // after what waits: end of file
    void (*free)(struct proc *p); // after on_exit, or before: then the tree is killed and no
                                  // callback comes any more
};
struct procs {
    const struct procs_ops *ops;
};

#endif
