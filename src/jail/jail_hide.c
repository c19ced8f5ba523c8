// jail_hide.c: the folder of keys, which is not for what is inside, also where a folder above it is
// granted. SPDX-License-Identifier: Apache-2.0
#include "jail/jail.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

_Static_assert(JAIL_PATH_MAX >= PATH_MAX, "realpath has its room");

// What is below the folder, "" when it is the folder itself; NULL: it is elsewhere.
static const char *below(const char *folder, const char *path)
{
    size_t n = strlen(folder);
    if (strncmp(folder, path, n) != 0)
        return NULL;
    return path[n] == '/' || path[n] == 0 ? path + n : NULL;
}

int jail_hide(struct jail_opts *o, const char *path, char *real, struct err *e)
{
    struct stat st;
    if (!realpath(path, real) || stat(real, &st) < 0)
        return err_errno(e, errno, "%s", path);
    for (size_t i = 0; i < o->folders; i++) {
        const char *rest = below(o->folder[i].path, real);
        if (rest && !*rest)
            return err_set(e, E_INVALID,
                           "%s cannot be granted: it has this node's keys and the owner's socket",
                           real);
        if (rest) {
            o->hidden = real;
            o->hidden_inode = (uint64_t)st.st_ino;
        }
    }
    return 0;
}
