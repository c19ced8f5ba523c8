// jail_priv.h: the parts of a jail on Linux. All run in a process of one thread.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_JAIL_JAIL_PRIV_H
#define PLEXUS_JAIL_JAIL_PRIV_H

#include "jail/jail.h"

#include <sys/types.h>

enum {
    JAIL_TMP_BYTES = 64 << 20,
    JAIL_PROCESSES = 256,
    JAIL_FILES = 1024,
    JAIL_TMP_INODES = 65536,
    JAIL_ERRNO_MAX = 4095,
};
#define JAIL_FILE_BYTES (4ULL << 30)

// Where a jail stands while it is made.
struct jail_making {
    const struct jail_opts *o;
    struct jail_report r;
    int folder_fd[JAIL_FOLDERS_MAX]; // O_PATH, of before: what was granted is what is mounted
    uid_t uid;                       // outside
    gid_t gid;
    bool watched;                    // from outside: see jail_watch.c
    char tmp[64]; // without an own root: a folder made for it, or ""
};

void jail_on(struct jail_making *m, enum jail_layer layer);
void jail_not_asked(struct jail_making *m, enum jail_layer layer);
void jail_lacks(struct jail_making *m, enum jail_layer layer, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// jail_spaces.c: namespaces. enter: in the process that stays outside, before the fork; rest: in
// the first process inside.
void jail_spaces_enter(struct jail_making *m);
void jail_spaces_rest(struct jail_making *m);

// jail_root.c: the root folder. 0, or -1: it could not be made, and the process must not go on
// (it may stand between two roots); *ret_why says why.
int jail_root(struct jail_making *m, const char **ret_why);

// jail_landlock.c, jail_seccomp.c
void jail_landlock(struct jail_making *m);
void jail_seccomp(struct jail_making *m);

// jail_watch.c: without a process namespace the one outside sees to what that would: no descendant
// outlives the first one inside, and there are not too many of them.
bool jail_watch_can(void);
// Until first has ended: its status; JAIL_EXIT_ENDED when there were more than max.
int jail_watch(pid_t first, uint64_t max);
int jail_exit_code(int status); // of waitpid

// jail_rights.c: capabilities and limits.
void jail_caps(struct jail_making *m);
void jail_limits(struct jail_making *m);

// System folders and files that programs need, read only. Links among them are made anew.
extern const char *const jail_system[];
extern const char *const jail_devices[]; // read and written

#endif
