// prim_list.c: list_files, find_files and grep_files: what is in the granted folders. Links are
// named, never followed. Bounded in results, depth and time. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/time.h"
#include "prims/prims_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEPTH_MAX = 64, NAMES_MAX = 50000, LINE_SHOWN = 500, CONTEXT_MAX = 20, LINE_MAX_ = 65536 };

struct names {
    char **name;
    size_t n, cap;
    bool cut;
};

static void names_free(struct names *v)
{
    for (size_t i = 0; i < v->n; i++)
        mem_free(v->name[i]);
    mem_free(v->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// All names of a folder, sorted; d is taken.
static int read_names(int fd, struct names *v, struct err *e)
{
    DIR *d = fdopendir(fd);
    if (!d) {
        (void)close(fd);
        return err_errno(e, errno, "the folder");
    }
    struct dirent *entry;
    while ((entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (v->n == NAMES_MAX) {
            v->cut = true;
            break;
        }
        if (v->n == v->cap) {
            size_t cap = v->cap ? 2 * v->cap : 64;
            char **more = mem_realloc(v->name, cap * sizeof *more);
            if (!more)
                break;
            v->name = more;
            v->cap = cap;
        }
        if (!(v->name[v->n] = mem_str(entry->d_name)))
            break;
        v->n++;
    }
    bool good = entry == NULL || v->cut;
    (void)closedir(d);
    if (!good)
        return err_set(e, E_NOMEM, "no memory for the folder's names");
    if (v->n > 1)
        qsort(v->name, v->n, sizeof *v->name, by_name);
    return 0;
}

static int open_start(struct prim *p, struct prim_place *at, struct err *e)
{
    struct bytes path = json_str(json_get(p->in, "path"));
    int rc = prim_locate(p, path.n ? path : BYTES("."), false, at, e);
    return rc < 0 ? rc : prim_open(p, at, O_RDONLY | O_NONBLOCK | O_NOCTTY, e);
}

// ---- list_files

static void list_one(struct prim *p, int dir, const char *name)
{
    struct stat st;
    char target[512];
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        buf_fmt(&p->text, "%s/\n", name);
    } else if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlinkat(dir, name, target, sizeof target - 1);
        buf_fmt(&p->text, "%s -> %.*s\n", name, n > 0 ? (int)n : 0, target);
    } else {
        buf_fmt(&p->text, "%s  %llu%s\n", name, (unsigned long long)st.st_size,
                S_ISREG(st.st_mode) ? "" : " (no file)");
    }
}

int prim_list(struct prim *p, struct err *e)
{
    static struct prim_place at;
    struct names v = {0};
    uint64_t most = prim_arg_u64(p, "limit", 500);
    int fd = open_start(p, &at, e);
    if (fd < 0)
        return fd;
    int rc = read_names(fcntl(fd, F_DUPFD_CLOEXEC, 0), &v, e);
    size_t i = 0;
    for (; rc == 0 && i < v.n && i < most && p->text.n < p->output_bytes; i++)
        list_one(p, fd, v.name[i]);
    if (rc == 0 && (i < v.n || v.cut))
        buf_fmt(&p->text, "[%zu of %zu%s names]\n", i, v.n, v.cut ? " or more" : "");
    else if (rc == 0 && v.n == 0)
        buf_str(&p->text, "(empty)\n");
    json_w_cstr(&p->w, "path", at.full);
    json_w_u64(&p->w, "names", i);
    json_w_bool(&p->w, "truncated", i < v.n || v.cut);
    names_free(&v);
    (void)close(fd);
    return rc;
}

// ---- a walk over all files below

struct walk {
    struct prim *p;
    const char *pattern;   // of names, or NULL
    uint64_t most, found;
    bool cut;
    int64_t until_ms;
    char path[PRIM_PATH_MAX]; // from where it began
    size_t length;
    int (*file)(struct walk *w, int dir, const char *name, struct err *e);
    regex_t regex; // grep
    const char *literal;
    bool no_case;
    unsigned context;
    char *block;
};

static bool enough(struct walk *w)
{
    if (w->found >= w->most || w->p->text.n >= w->p->output_bytes || time_mono_ms() > w->until_ms)
        w->cut = true;
    return w->cut;
}

static int walk_folder(struct walk *w, int fd, unsigned depth, struct err *e)
{
    struct names v = {0};
    int rc = read_names(fcntl(fd, F_DUPFD_CLOEXEC, 0), &v, NULL);
    if (rc < 0) // one that cannot be read
        v.n = 0;
    rc = 0;
    w->cut |= v.cut;
    for (size_t i = 0; i < v.n && rc == 0 && !enough(w); i++) {
        struct stat st;
        size_t n = strlen(v.name[i]), before = w->length;
        if (fstatat(fd, v.name[i], &st, AT_SYMLINK_NOFOLLOW) < 0 || before + n + 2 > sizeof w->path)
            continue;
        memcpy(w->path + before, v.name[i], n + 1);
        w->length += n;
        if (S_ISREG(st.st_mode)) {
            rc = w->file(w, fd, v.name[i], e);
        } else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX && strcmp(v.name[i], ".git") != 0) {
            int sub = openat(fd, v.name[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            w->path[w->length++] = '/';
            w->path[w->length] = 0;
            if (sub >= 0) {
                rc = walk_folder(w, sub, depth + 1, e);
                (void)close(sub);
            }
        }
        w->length = before;
        w->path[before] = 0;
    }
    names_free(&v);
    return rc;
}

static void say_end(struct walk *w, const char *what)
{
    struct prim *p = w->p;
    json_w_u64(&p->w, "found", w->found);
    json_w_bool(&p->w, "truncated", w->cut);
    if (w->found == 0)
        buf_fmt(&p->text, "no %s\n", what);
    if (w->cut)
        buf_fmt(&p->text, "[cut after %llu %s: narrow the search]\n", (unsigned long long)w->found,
                what);
}

static int found_name(struct walk *w, int dir, const char *name, struct err *e)
{
    (void)dir;
    (void)name;
    (void)e;
    if (!prim_glob(w->pattern, w->path))
        return 0;
    w->found++;
    buf_fmt(&w->p->text, "%s\n", w->path);
    return 0;
}

int prim_find(struct prim *p, struct err *e)
{
    static struct prim_place at;
    static struct walk w;
    w = (struct walk){.p = p,
                      .pattern = prim_arg_text(p, "pattern", "*"),
                      .most = prim_arg_u64(p, "limit", 1000),
                      .until_ms = time_mono_ms() + p->timeout_ms,
                      .file = found_name};
    int fd = open_start(p, &at, e);
    if (fd < 0)
        return fd;
    int rc = walk_folder(&w, fd, 0, e);
    (void)close(fd);
    say_end(&w, "files");
    return rc;
}

// ---- grep_files

static bool fits(const struct walk *w, char *line)
{
    if (!w->literal)
        return regexec(&w->regex, line, 0, NULL, 0) == 0;
    return (w->no_case ? strcasestr(line, w->literal) : strstr(line, w->literal)) != NULL;
}

static void put_line(struct walk *w, const char *line, uint64_t number, char mark)
{
    struct buf *out = &w->p->text;
    size_t n = strlen(line);
    while (n > 0 && line[n - 1] == '\r')
        n--;
    buf_fmt(out, "%s%c%llu%c %.*s%s\n", w->path, mark, (unsigned long long)number, mark,
            (int)(n < LINE_SHOWN ? n : LINE_SHOWN), line, n > LINE_SHOWN ? " [cut]" : "");
}

struct grep_at {
    char before[CONTEXT_MAX][LINE_SHOWN + 2]; // a ring
    uint64_t line, told; // the last one told
    unsigned after;
};

static void grep_line(struct walk *w, struct grep_at *g, char *line)
{
    g->line++;
    if (fits(w, line)) {
        uint64_t from = g->line > w->context ? g->line - w->context : 1;
        if (from <= g->told)
            from = g->told + 1;
        else if (w->context > 0 && g->told > 0)
            buf_str(&w->p->text, "--\n");
        for (; from < g->line; from++)
            put_line(w, g->before[from % CONTEXT_MAX], from, '-');
        put_line(w, line, g->line, ':');
        w->found++;
        g->told = g->line;
        g->after = w->context;
    } else if (g->after > 0) {
        g->after--;
        put_line(w, line, g->line, '-');
        g->told = g->line;
    }
    if (w->context > 0)
        (void)snprintf(g->before[g->line % CONTEXT_MAX], sizeof g->before[0], "%s", line);
}

// A line longer than the block is looked at in pieces.
static int grep_lines(struct walk *w, int fd, struct err *e)
{
    static struct grep_at g;
    memset(&g, 0, sizeof g);
    uint64_t at = 0;
    size_t kept = 0;
    for (;;) {
        int n = prim_pread(fd, w->block + kept, LINE_MAX_ - kept, at, e);
        if (n < 0)
            return n;
        if (at == 0 && memchr(w->block, 0, (size_t)n))
            return 0; // binary
        at += (unsigned)n;
        size_t have = kept + (size_t)n, from = 0;
        bool last = n == 0;
        while (from < have && !enough(w)) {
            char *end = memchr(w->block + from, '\n', have - from);
            if (!end && !last && (from > 0 || have < LINE_MAX_))
                break;
            size_t length = end ? (size_t)(end - w->block) - from : have - from;
            w->block[from + length] = 0; // one byte more than LINE_MAX_
            grep_line(w, &g, w->block + from);
            from += length + (end != NULL);
        }
        kept = from < have ? have - from : 0;
        memmove(w->block, w->block + from, kept);
        if (last || enough(w))
            return 0;
    }
}

static int grep_file(struct walk *w, int dir, const char *name, struct err *e)
{
    struct stat st;
    if (w->pattern && !prim_glob(w->pattern, w->path))
        return 0;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return 0; // not for us, or gone
    int rc = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? grep_lines(w, fd, e) : 0;
    (void)close(fd);
    return rc;
}

static int grep_start(struct walk *w, struct prim *p, struct err *e)
{
    const char *pattern = prim_arg_text(p, "pattern", "");
    char why[200];
    w->no_case = json_bool(json_get(p->in, "ignore_case"), false);
    if (json_bool(json_get(p->in, "literal"), false)) {
        w->literal = pattern;
        return 0;
    }
    int rc = regcomp(&w->regex, pattern, REG_EXTENDED | REG_NOSUB | (w->no_case ? REG_ICASE : 0));
    if (rc == 0)
        return 0;
    (void)regerror(rc, &w->regex, why, sizeof why);
    return err_set(e, E_INVALID, "the pattern is no regular expression (POSIX extended): %s", why);
}

int prim_grep(struct prim *p, struct err *e)
{
    static struct prim_place at;
    static struct walk w;
    struct stat st;
    w = (struct walk){.p = p,
                      .pattern = prim_arg_text(p, "glob", NULL),
                      .most = prim_arg_u64(p, "limit", 100),
                      .until_ms = time_mono_ms() + p->timeout_ms,
                      .context = (unsigned)prim_arg_u64(p, "context", 0),
                      .file = grep_file};
    if (w.context >= CONTEXT_MAX)
        w.context = CONTEXT_MAX - 1;
    int rc = grep_start(&w, p, e);
    if (rc < 0)
        return rc;
    int fd = open_start(p, &at, e);
    AUTO_MEM char *block = mem_alloc(LINE_MAX_ + 1);
    w.block = block;
    if (fd < 0)
        rc = fd;
    else if (!block)
        rc = err_set(e, E_NOMEM, "no memory to read files");
    else if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        (void)snprintf(w.path, sizeof w.path, "%s", at.rel);
        rc = grep_lines(&w, fd, e);
    } else
        rc = walk_folder(&w, fd, 0, e);
    if (fd >= 0)
        (void)close(fd);
    if (!w.literal)
        regfree(&w.regex);
    if (rc == 0)
        say_end(&w, "matches");
    return rc;
}
