// act_folder.c: folders of scripts: made for one run, removed with all that it left there.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 64

// Never follows a link: what a script linked to is not its own.
static void clear(int dir, int depth)
{
    DIR *d = fdopendir(dir);
    if (!d) {
        (void)close(dir);
        return;
    }
    for (struct dirent *it; (it = readdir(d)) != NULL;) {
        if (strcmp(it->d_name, ".") == 0 || strcmp(it->d_name, "..") == 0)
            continue;
        if (unlinkat(dir, it->d_name, 0) == 0)
            continue;
        int below = depth < DEPTH_MAX
                        ? openat(dir, it->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                        : -1;
        if (below >= 0)
            clear(below, depth + 1);
        (void)unlinkat(dir, it->d_name, AT_REMOVEDIR); // what cannot go stays until the start
    }
    (void)closedir(d);
}

void act_folder_clear(const char *path)
{
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir >= 0)
        clear(dir, 0);
}

void act_folder_remove(const char *path)
{
    if (!path[0])
        return;
    act_folder_clear(path);
    (void)rmdir(path);
}

int act_folder_make(struct act *a, char *ret, size_t size)
{
    struct acts_room *r = a->room;
    struct err e = {0};
    if (!r->args.folder) {
        act_fail(a, ACT_CONFIGURATION, 0, true, "this node has no folder for scripts");
        return E_CONFIG;
    }
    int n = snprintf(ret, size, "%s/%lld-%llu", r->args.folder, (long long)getpid(),
                     (unsigned long long)++r->serial);
    int rc = n < 0 || (size_t)n >= size ? err_set(&e, E_TOOBIG, "the path is too long")
                                        : file_mkdirs(ret, 0700, &e);
    if (rc < 0) {
        act_fail(a, ACT_RUNTIME, 0, false, "folder for a script: %s", e.text);
        ret[0] = '\0';
    }
    return rc;
}
