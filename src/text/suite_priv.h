// suite_priv.h: for tests that run public suites: where they are, and reading their files.
// The folder is $PLEXUS_SUITES, else ../shared/suites beside the repository; tests run in its root.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_SUITE_PRIV_H
#define PLEXUS_TEXT_SUITE_PRIV_H

#include "base/alloc.h"
#include "base/buf.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SUITE_FILE_MAX ((size_t)64 << 20)
#define SUITE_PATH_MAX 1024

// false, and a line that says so, when the suite is not there.
static inline bool suite_folder(const char *name, char path[SUITE_PATH_MAX])
{
    const char *root = getenv("PLEXUS_SUITES");
    struct stat st;
    snprintf(path, SUITE_PATH_MAX, "%s/%s", root && *root ? root : "../shared/suites", name);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return true;
    printf("skipped: no suite at %s (set PLEXUS_SUITES)\n", path);
    return false;
}

static inline bool suite_read(const char *path, struct buf *ret)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    char *to;
    size_t n = 1;
    while (n > 0 && (to = buf_room(ret, 65536))) {
        n = fread(to, 1, 65536, f);
        ret->n += n;
    }
    bool ok = !ferror(f) && !ret->failed;
    fclose(f);
    return ok;
}

// Sorted names of a folder's entries, each by mem_str; *ret_count of them.
static inline int suite_name_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline char **suite_names(const char *path, size_t *ret_count)
{
    DIR *dir = opendir(path);
    char **names = NULL;
    size_t n = 0;
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (d->d_name[0] == '.')
            continue;
        char **more = mem_realloc(names, (n + 1) * sizeof *names);
        if (!more)
            abort();
        names = more;
        names[n++] = mem_str(d->d_name);
    }
    if (dir)
        closedir(dir);
    if (n > 1)
        qsort(names, n, sizeof *names, suite_name_cmp);
    *ret_count = n;
    return names;
}

static inline void suite_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mem_free(names[i]);
    mem_free(names);
}

#endif
