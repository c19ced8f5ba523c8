// jail_rights.c: no capabilities, and limits of each process. SPDX-License-Identifier: Apache-2.0
#ifdef __linux__
#include "jail/jail_priv.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CAPS_MOST = 63, OTHERS_MARGIN = 512 };

void jail_caps(struct jail_making *m)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2];
    memset(none, 0, sizeof none);
    // What may still be gained by exec: nothing, and root's number has no power of its own. Without
    // the right to say so there is nothing to lose: the sets are empty already.
    for (unsigned long cap = 0; cap <= CAPS_MOST; cap++)
        (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    (void)prctl(PR_SET_SECUREBITS,
                SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
                    SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
                0, 0, 0);
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &head, none) < 0)
        jail_lacks(m, JAIL_CAPS, "%s", strerror(errno));
    else
        jail_on(m, JAIL_CAPS);
}

static bool limit(int what, uint64_t max)
{
    struct rlimit old, r;
    if (getrlimit(what, &old) < 0)
        return false;
    r.rlim_max = max < old.rlim_max ? (rlim_t)max : old.rlim_max;
    r.rlim_cur = r.rlim_max;
    return setrlimit(what, &r) == 0;
}

// Processes of this user now, when the limit counts all of them: outside of a user namespace.
static uint64_t others(const struct jail_making *m)
{
    uint64_t n = 0;
    struct stat st;
    struct dirent *entry;
    DIR *d = m->r.layer[JAIL_USER].standing == JAIL_ON ? NULL : opendir("/proc");
    int at = d ? dirfd(d) : -1;
    while (at >= 0 && (entry = readdir(d)) != NULL) {
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            fstatat(at, entry->d_name, &st, 0) == 0 && st.st_uid == m->uid)
            n++;
    }
    if (d)
        (void)closedir(d);
    return n > 0 ? n + OTHERS_MARGIN : 0; // the limit counts threads too
}

// The kernel does not hold root to it: then the first process inside counts (jail_run.c), or the
// one outside (jail_watch.c).
static void limit_processes(struct jail_making *m)
{
    uint64_t max = m->o->processes ? m->o->processes : JAIL_PROCESSES;
    bool counted =
        m->r.layer[JAIL_PID].standing == JAIL_ON && m->r.layer[JAIL_PROC].standing == JAIL_ON;
    bool held = limit(RLIMIT_NPROC, max + others(m)) && m->uid != 0;
    if (m->o->bare)
        jail_not_asked(m, JAIL_COUNT);
    else if (held || counted || m->watched)
        jail_on(m, JAIL_COUNT);
    else
        jail_lacks(m, JAIL_COUNT, "the kernel counts no processes of root, and there is no /proc");
}

void jail_limits(struct jail_making *m)
{
    const struct jail_opts *o = m->o;
    bool good = limit(RLIMIT_CORE, 0) && limit(RLIMIT_MSGQUEUE, 0) &&
                limit(RLIMIT_FSIZE, o->file_bytes ? o->file_bytes : JAIL_FILE_BYTES) &&
                limit(RLIMIT_NOFILE, o->files ? o->files : JAIL_FILES);
    if (good && o->cpu_s)
        good = limit(RLIMIT_CPU, o->cpu_s);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (good && o->memory_bytes)
        good = limit(RLIMIT_DATA, o->memory_bytes);
#endif
    if (good)
        jail_on(m, JAIL_LIMITS);
    else
        jail_lacks(m, JAIL_LIMITS, "%s", strerror(errno));
    limit_processes(m);
}
#else
extern int jail_rights_is_for_linux; // a file of C has at least one declaration
#endif
