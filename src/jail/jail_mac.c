// jail_mac.c: the jail on macOS: this program again, inside of sandbox-exec with a profile made for
// it, and limits. Processes are ended by the guard. SPDX-License-Identifier: Apache-2.0
#ifdef __APPLE__
#include "base/alloc.h"
#include "jail/jail.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define INSIDE "PLEXUS_JAIL_INSIDE"

static int refuse(const char *what, const char *why)
{
    (void)dprintf(STDERR_FILENO, "%s: %s\n", what, why);
    return JAIL_EXIT_REFUSED;
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

static void report(struct jail_report *r, const struct jail_opts *o)
{
    bool good = limit(RLIMIT_CORE, 0) &&
                limit(RLIMIT_FSIZE, o->file_bytes ? o->file_bytes : 4ULL << 30) &&
                limit(RLIMIT_NOFILE, o->files ? o->files : 1024) &&
                (!o->cpu_s || limit(RLIMIT_CPU, o->cpu_s));
    for (int i = 0; i < JAIL_LAYERS; i++)
        (void)snprintf(r->layer[i].why, JAIL_WHY_MAX, "not on macOS");
    r->layer[JAIL_PATHS].standing = JAIL_ON;
    r->layer[JAIL_NET].standing = o->network ? JAIL_NOT_ASKED : JAIL_ON;
    r->layer[JAIL_PORTS].standing = o->network && o->ports ? JAIL_ON : JAIL_NOT_ASKED;
    r->layer[JAIL_SCOPE].standing = JAIL_ON;
    r->layer[JAIL_CAPS].standing = JAIL_NOT_ASKED;
    r->layer[JAIL_LIMITS].standing = good ? JAIL_ON : JAIL_MISSING;
}

void jail_hold_group(const struct jail_report *r)
{
    (void)r; // there is no such filter
}

static int inside(const struct jail_opts *o, const struct jail_body *body)
{
    static struct jail_report r;
    struct err e = {0};
    const char *cwd = o->cwd ? o->cwd : o->folders > 0 ? o->folder[0].path : "/";
    (void)unsetenv(INSIDE);
    report(&r, o);
    if (jail_judge(&r, o->require, &e) < 0)
        return refuse("refused", e.text);
    if (chdir(cwd) < 0)
        return refuse(cwd, strerror(errno));
    if (body)
        return body->run(body->user, &r);
    (void)execvp(o->argv[0], o->argv);
    return refuse(o->argv[0], strerror(errno));
}

int jail_run(const struct jail_opts *o, const struct jail_body *body, const char *self,
             char **argv_self)
{
    struct buf profile;
    size_t n = 0;
    if (getenv(INSIDE))
        return inside(o, body);
    buf_init(&profile, 65536);
    if (jail_profile(&profile, o, self) < 0)
        return refuse("the sandbox's profile", "too long");
    while (argv_self[n])
        n++;
    char **all = mem_array(n + 5, sizeof *all);
    if (!all)
        return refuse("the sandbox", "no memory");
    all[0] = (char *)(uintptr_t)"sandbox-exec";
    all[1] = (char *)(uintptr_t)"-p";
    all[2] = (char *)(uintptr_t)buf_cstr(&profile);
    all[3] = (char *)(uintptr_t)self;
    for (size_t i = 1; i < n; i++)
        all[3 + i] = argv_self[i];
    (void)setenv(INSIDE, "1", 1);
    (void)execv("/usr/bin/sandbox-exec", all);
    return refuse("sandbox-exec", strerror(errno));
}
#else
extern int jail_mac_is_for_macos; // a file of C has at least one declaration
#endif
