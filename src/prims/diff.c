// diff.c: unified diffs into hunks: old lines, new lines, and where. SPDX-License-Identifier:
// Apache-2.0
#include "base/alloc.h"
#include "prims/diff_priv.h"

#include <string.h>

struct reader {
    struct bytes rest;
    unsigned line;
    struct err *e;
    struct buf old_text, new_text; // of the hunk at hand
};

// With its line end, if it has one.
static struct bytes next_line(struct reader *r)
{
    ptrdiff_t end = bytes_chr(r->rest, '\n');
    struct bytes line = bytes_first(r->rest, end < 0 ? r->rest.n : (size_t)end + 1);
    r->rest = bytes_from(r->rest, line.n);
    r->line++;
    return line;
}

static bool starts(struct bytes line, const char *text)
{
    return bytes_starts(line, bytes_of(text));
}

static bool take_number(struct bytes *at, uint64_t *ret)
{
    size_t n = 0;
    while (n < at->n && at->p[n] >= '0' && at->p[n] <= '9')
        n++;
    bool good = n < 16 && bytes_u64(bytes_first(*at, n), ret);
    *at = bytes_from(*at, n);
    return good;
}

static bool take_text(struct bytes *at, const char *text)
{
    if (!starts(*at, text))
        return false;
    *at = bytes_from(*at, strlen(text));
    return true;
}

// "12,3" or "12": then one line.
static bool take_range(struct bytes *at, uint64_t *line, uint64_t *count)
{
    *count = 1;
    return take_number(at, line) && (!take_text(at, ",") || take_number(at, count));
}

static int read_header(struct reader *r, struct bytes line, struct diff_hunk *h)
{
    struct bytes at = line;
    *h = (struct diff_hunk){0};
    if (take_text(&at, "@@ -") && take_range(&at, &h->old_line, &h->old_count) &&
        take_text(&at, " +") && take_range(&at, &h->new_line, &h->new_count) &&
        take_text(&at, " @@"))
        return 0;
    return err_set(r->e, E_PARSE, "line %u of the diff: expected \"@@ -LINE,COUNT +LINE,COUNT @@\"",
                   r->line);
}

// "\ No newline at end of file": of the line before.
static void cut_newline(struct buf *b)
{
    if (b->n > 0 && b->p[b->n - 1] == '\n')
        b->n--;
    if (b->n > 0 && b->p[b->n - 1] == '\r')
        b->n--;
}

static int read_body(struct reader *r, const struct diff_hunk *h)
{
    uint64_t old_left = h->old_count, new_left = h->new_count;
    char before = 0;
    while (old_left > 0 || new_left > 0 || starts(r->rest, "\\")) {
        if (r->rest.n == 0)
            return err_set(r->e, E_PARSE,
                           "the diff ends in the middle of a hunk: %llu old and %llu new lines "
                           "are missing",
                           (unsigned long long)old_left, (unsigned long long)new_left);
        struct bytes line = next_line(r);
        // Editors take the space off an empty line of context.
        char kind = line.p[0] == '\n' || line.p[0] == '\r' ? ' ' : line.p[0];
        struct bytes text = kind == line.p[0] ? bytes_from(line, 1) : line;
        bool of_old = kind == ' ' || kind == '-', of_new = kind == ' ' || kind == '+';
        if (kind == '\\') {
            if (before == ' ' || before == '-')
                cut_newline(&r->old_text);
            if (before == ' ' || before == '+')
                cut_newline(&r->new_text);
        } else if (!of_old && !of_new) {
            return err_set(r->e, E_PARSE,
                           "line %u of the diff: it must begin with a space, \"-\", \"+\" or "
                           "\"\\\"",
                           r->line);
        } else if ((of_old && old_left-- == 0) || (of_new && new_left-- == 0)) {
            return err_set(r->e, E_PARSE, "line %u of the diff: more lines than its \"@@\" says",
                           r->line);
        }
        if (of_old)
            (void)buf_put(&r->old_text, text);
        if (of_new)
            (void)buf_put(&r->new_text, text);
        before = kind;
    }
    return 0;
}

// A model's last line often has no line end: then the file's line has one all the same.
static void mend_last(struct reader *r, size_t length)
{
    bool bare = length > 0 && r->rest.n == 0 && r->rest.p && r->rest.p[-1] != '\n';
    struct buf *both[2] = {&r->old_text, &r->new_text};
    for (int i = 0; bare && i < 2; i++) {
        if (both[i]->n > 0 && both[i]->p[both[i]->n - 1] != '\n')
            (void)buf_chr(both[i], '\n');
    }
}

static int keep(struct diff *d, struct reader *r, struct diff_hunk *h)
{
    if (d->n == DIFF_HUNKS_MAX)
        return err_set(r->e, E_TOOBIG, "more than %d hunks", DIFF_HUNKS_MAX);
    if ((d->n & (d->n - 1)) == 0) { // a power of two: double
        struct diff_hunk *more = mem_realloc(d->hunk, (d->n ? 2 * d->n : 1) * sizeof *more);
        if (!more)
            return err_set(r->e, E_NOMEM, "no memory for the diff");
        d->hunk = more;
    }
    h->old_at = d->text.n;
    h->old_n = r->old_text.n;
    (void)buf_put(&d->text, buf_bytes(&r->old_text));
    h->new_at = d->text.n;
    h->new_n = r->new_text.n;
    (void)buf_put(&d->text, buf_bytes(&r->new_text));
    int failed = d->text.failed ? d->text.failed
                                : (r->old_text.failed ? r->old_text.failed : r->new_text.failed);
    if (failed)
        return err_set(r->e, failed, "the diff is too large");
    d->hunk[d->n++] = *h;
    return 0;
}

static int read_hunks(struct diff *d, struct reader *r)
{
    size_t length = r->rest.n;
    bool named = false;
    int rc = 0;
    while (r->rest.n > 0 && rc == 0) {
        struct diff_hunk h;
        struct bytes line = next_line(r);
        if (starts(line, "@@")) {
            buf_clear(&r->old_text);
            buf_clear(&r->new_text);
            if ((rc = read_header(r, line, &h)) == 0 && (rc = read_body(r, &h)) == 0) {
                mend_last(r, length);
                rc = keep(d, r, &h);
            }
        } else if (starts(line, "--- ") && starts(r->rest, "+++ ")) {
            if (named && d->n > 0)
                return err_set(r->e, E_INVALID,
                               "line %u of the diff: a second file; give one file at a time",
                               r->line);
            named = true;
        } else if (d->n > 0 && bytes_trim(line).n > 0 && !starts(line, "diff ") &&
                   !starts(line, "index ")) {
            rc = err_set(r->e, E_PARSE, "line %u of the diff: expected \"@@\"", r->line);
        }
    }
    return rc;
}

int diff_parse(struct diff *ret, struct bytes text, struct err *e)
{
    struct diff d = {0};
    struct reader r = {.rest = text, .e = e};
    buf_init(&d.text, 2 * text.n + 16);
    buf_init(&r.old_text, text.n + 16);
    buf_init(&r.new_text, text.n + 16);
    int rc = read_hunks(&d, &r);
    if (rc == 0 && d.n == 0)
        rc =
            err_set(e, E_INVALID, "the diff has no hunk: a line \"@@ -LINE,COUNT +LINE,COUNT @@\"");
    buf_fini(&r.old_text);
    buf_fini(&r.new_text);
    if (rc < 0)
        diff_fini(&d);
    else
        *ret = d;
    return rc;
}

void diff_fini(struct diff *d)
{
    mem_free(d->hunk);
    buf_fini(&d->text);
    *d = (struct diff){0};
}
