// jail.h: confines a child process: what it may see, reach and use up. Each layer stands by itself:
// namespaces with a root folder of its own, landlock, seccomp, no capabilities, limits. Where the
// kernel refuses one the others hold, and the report says what is lost. On macOS: sandbox-exec.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_JAIL_JAIL_H
#define PLEXUS_JAIL_JAIL_H

#include "base/buf.h"
#include "base/err.h"

#define JAIL_FOLDERS_MAX 32
#define JAIL_PORTS_MAX 16
#define JAIL_WHY_MAX 120
#define JAIL_EXIT_REFUSED 125 // the jail could not be made: standard error says why
#define JAIL_EXIT_ENDED 124 // all in it was ended: too many processes

enum jail_layer {
    JAIL_USER, // user namespace
    JAIL_ROOT, // mount namespace with a root folder of its own
    JAIL_TMP, // /tmp of its own, bounded
    JAIL_PID, // process namespace
    JAIL_PROC, // /proc of that namespace alone
    JAIL_IPC, // System V and POSIX message queues, shared memory
    JAIL_NET, // network namespace: nothing but its own loopback
    JAIL_PRIVS, // no_new_privs
    JAIL_CAPS, // no capabilities
    JAIL_SECCOMP, // filter of system calls
    JAIL_PATHS, // landlock: paths (macOS: the profile of sandbox-exec)
    JAIL_PORTS, // landlock: TCP
    JAIL_SCOPE, // landlock: signals and abstract sockets
    JAIL_LIMITS, // rlimits
    JAIL_COUNT, // number of processes
    JAIL_LAYERS,
};

enum jail_standing { JAIL_MISSING, JAIL_ON, JAIL_NOT_ASKED };

struct jail_report {
    struct {
        enum jail_standing standing;
        char why[JAIL_WHY_MAX]; // when missing
    } layer[JAIL_LAYERS];
};

struct jail_layer_info {
    const char *id; // "seccomp"
    const char *title; // for people
    const char *lost; // what it would stop: the protection that is lost without it
};
extern const struct jail_layer_info jail_layer_infos[JAIL_LAYERS];

struct jail_folder {
    const char *path; // absolute, no "." or ".." in it, no link on the way
    bool write;
};

struct jail_opts {
    struct jail_folder folder[JAIL_FOLDERS_MAX]; // granted; all below each of them
    size_t folders;
    const char *cwd; // inside; NULL: the first folder, or /
    char **argv; // what to run, or NULL
    bool require; // every layer or nothing; else what the kernel has, but never less than
                  // jail_judge's floor
    bool bare; // runs no program: no system folders, no devices, no sockets, no exec
    bool network; // the machine's network; else only a loopback of its own
    uint16_t port[JAIL_PORTS_MAX]; // with network: TCP ports that may be called; none: any
    size_t ports;
    uint64_t tmp_bytes; // of /tmp and /dev/shm, each; 0: 64 MiB
    uint64_t file_bytes; // largest file, 0: 4 GiB
    uint64_t memory_bytes; // of each process (RLIMIT_DATA), 0: none; of all together: the guard
    uint64_t processes; // 0: 256
    uint64_t files; // descriptors of each process, 0: 1024
    uint64_t cpu_s; // of each process, 0: none
    bool report; // jail_main: print the report and end
    // A folder below a granted one, with its number: it is empty inside (jail_hide), or nothing
    // runs.
    const char *hidden;
    uint64_t hidden_inode;
};

// ---- jail_layers.c: pure
// Is it enough? The floor: no_new_privs, seccomp, and the path rules of either the own root or
// landlock (macOS: the profile). require: every layer that was asked for. E_SECURITY names what is
// missing, why, and what is lost.
int jail_judge(const struct jail_report *r, bool require, struct err *e);
// {"seccomp":true,"net":null,"user":"why it is missing",...}; null: not asked for.
int jail_report_write(struct buf *out, const struct jail_report *r);
int jail_report_parse(struct jail_report *ret, struct bytes json, struct err *e);

// ---- jail_args.c: pure. The options as words of a command line and back.
#define JAIL_WORDS_MAX (2 * (JAIL_FOLDERS_MAX + JAIL_PORTS_MAX + 16))
struct jail_words {
    const char *word[JAIL_WORDS_MAX]; // some borrowed from the options, some from text
    size_t n;
    char text[JAIL_PORTS_MAX + 8][24];
    size_t texts;
};
// Without a "--" at the end. E_TOOBIG.
int jail_words(struct jail_words *ret, const struct jail_opts *o, struct err *e);
// Up to "--" or the end; argv of ret is what follows, or NULL. Borrows the words. E_USAGE.
int jail_parse(struct jail_opts *ret, char **argv, struct err *e);

// ---- jail_hide.c: path, which has the keys and the owner's socket, is not for what is inside.
// When it lies in a granted folder the options hide it; real (of JAIL_PATH_MAX + 1) lives as long
// as they. E_INVALID: it is itself granted.
#define JAIL_PATH_MAX 4096
int jail_hide(struct jail_opts *o, const char *path, char *real, struct err *e);

// ---- jail_profile.c: pure. The profile for macOS' sandbox-exec. self: this binary's path.
int jail_profile(struct buf *out, const struct jail_opts *o, const char *self);

// ---- jail_run.c, jail_mac.c
// Makes the jail around a new child and runs body in it, or argv when body is NULL. Returns its
// exit code (128 + n: ended by signal n), JAIL_EXIT_REFUSED when the jail could not be made. For
// the main of a process of its own, under a guard: it closes descriptors and stays behind outside.
// self: path of this binary; argv_self: its own words (macOS runs them again inside).
struct jail_body {
    int (*run)(void *user, const struct jail_report *r);
    void *user;
};
int jail_run(const struct jail_opts *o, const struct jail_body *body, const char *self,
             char **argv_self);
// For what the body starts, before its exec, where there is no process namespace: it and all that
// it starts stay in their process group, so that one signal ends them all at once.
void jail_hold_group(const struct jail_report *r);
// The main of `plexus _jail OPTIONS -- COMMAND...`.
int jail_main(int argc, char **argv);

#endif
