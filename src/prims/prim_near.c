// prim_near.c: an old text is not in the file: the place that is most like it, so that whoever
// wrote it sees what is there instead. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "prims/prim_edit_priv.h"

#include <string.h>

enum { OLD_LINES_MAX = 64, SHOWN_MAX = 12, SHOWN_BYTES = 200, LINE_BYTES = 4096 };

struct near {
    struct bytes old[OLD_LINES_MAX]; // trimmed lines, no empty ones
    size_t n;
    uint64_t line, best_line;
    unsigned best; // score
    unsigned window[OLD_LINES_MAX]; // scores of the last n lines, a ring
    unsigned sum;
};

static unsigned alike(struct bytes a, struct bytes b)
{
    size_t start = 0, end = 0, least = a.n < b.n ? a.n : b.n, most = a.n > b.n ? a.n : b.n;
    if (least == 0)
        return 0;
    while (start < least && a.p[start] == b.p[start])
        start++;
    while (end < least - start && a.p[a.n - 1 - end] == b.p[b.n - 1 - end])
        end++;
    return (unsigned)((start + end) * 100 / most); // 100: equal
}

// The line counts as the old line that it is most like; a window of as many lines as the old text
// has is as good as its lines together.
static void near_line(struct near *x, struct bytes line)
{
    unsigned best = 0;
    line = bytes_trim(line);
    for (size_t i = 0; i < x->n && best < 100; i++) {
        unsigned score = alike(line, x->old[i]);
        best = score > best ? score : best;
    }
    if (best < 50)
        best = 0; // by chance
    unsigned *slot = &x->window[x->line % x->n];
    x->line++;
    x->sum += best - *slot;
    *slot = best;
    if (x->sum > x->best) {
        x->best = x->sum;
        x->best_line = x->line >= x->n ? x->line - x->n + 1 : 1;
    }
}

static int each_line(const struct edits *x, void (*fn)(void *user, struct bytes line), void *user,
                     struct err *e)
{
    AUTO_MEM char *block = mem_alloc(PRIM_BLOCK);
    uint64_t at = 0;
    if (!block)
        return err_set(e, E_NOMEM, "no memory to read the file");
    for (;;) {
        int n = prim_pread(x->fd, block, PRIM_BLOCK, at, e);
        if (n <= 0)
            return n;
        struct bytes left = {block, (size_t)n};
        while (left.n > 0) {
            ptrdiff_t end = bytes_chr(left, '\n');
            bool last = at + (size_t)n >= x->size;
            if (end < 0 && !last && left.n < (size_t)n)
                break; // read again from its start
            size_t length = end < 0 ? left.n : (size_t)end + 1;
            fn(user, bytes_first(left, length < LINE_BYTES ? length : LINE_BYTES));
            left = bytes_from(left, length);
        }
        at += (size_t)n - left.n;
    }
}

static void visit(void *user, struct bytes line)
{
    near_line(user, line);
}

struct shown {
    struct buf *out;
    uint64_t line, from, to;
};

static void show(void *user, struct bytes line)
{
    struct shown *s = user;
    s->line++;
    if (s->line < s->from || s->line > s->to)
        return;
    while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
        line.n--;
    line = bytes_first(line, SHOWN_BYTES);
    buf_fmt(s->out, "%6llu  %.*s\n", (unsigned long long)s->line, BYTES_FMT(line));
}

int prim_edits_nearest(const struct edits *x, struct bytes old, struct buf *out, struct err *e)
{
    struct near n = {0};
    while (old.n > 0 && n.n < OLD_LINES_MAX) {
        struct bytes line = bytes_trim(bytes_cut(&old, '\n'));
        if (line.n > 0)
            n.old[n.n++] = bytes_first(line, LINE_BYTES);
    }
    if (n.n == 0)
        return 0;
    int rc = each_line(x, visit, &n, e);
    if (rc < 0 || n.best == 0)
        return rc;
    struct shown s = {out, 0, n.best_line, n.best_line + n.n - 1};
    if (s.to - s.from >= SHOWN_MAX)
        s.to = s.from + SHOWN_MAX - 1;
    buf_fmt(out, "The nearest place, from line %llu on:\n", (unsigned long long)s.from);
    return each_line(x, show, &s, e);
}
