// prim_read.c: read_file: a part of a file by lines or by bytes, with what was left out said. The
// memory needed does not grow with the file. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "prims/prims_priv.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HEAD = 8192 };

// ---- what it is

const char *prim_image_type(struct bytes head)
{
    static const struct {
        struct bytes magic;
        const char *type;
    } types[] = {
        {{"\x89PNG\r\n\x1a\n", 8}, "image/png"},
        {{"\xff\xd8\xff", 3}, "image/jpeg"},
        {{"GIF87a", 6}, "image/gif"},
        {{"GIF89a", 6}, "image/gif"},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (bytes_starts(head, types[i].magic))
            return types[i].type;
    }
    if (head.n >= 12 && memcmp(head.p, "RIFF", 4) == 0 && memcmp(head.p + 8, "WEBP", 4) == 0)
        return "image/webp";
    return NULL;
}

void prim_base64(struct buf *out, struct bytes data)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)data.p;
    for (size_t i = 0; i < data.n; i += 3) {
        size_t left = data.n - i;
        unsigned v = (unsigned)p[i] << 16 | (left > 1 ? (unsigned)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], left > 1 ? digits[v >> 6 & 63] : '=',
                        left > 2 ? digits[v & 63] : '='};
        buf_add(out, four, sizeof four);
    }
}

struct source {
    int fd;
    uint64_t size;
    char *block; // PRIM_BLOCK
    const struct prim_place *at;
};

static int show_image(struct prim *p, const struct source *s, const char *type, struct err *e)
{
    p->mime = type;
    json_w_cstr(&p->w, "kind", "image");
    if (s->size > PRIM_IMAGE_MAX) {
        buf_fmt(&p->text, "%s is an image (%s) of %llu bytes: too large to be shown (%d)",
                s->at->full, type, (unsigned long long)s->size, PRIM_IMAGE_MAX);
        return 0;
    }
    for (uint64_t at = 0; at < s->size;) { // the block's size is a multiple of 3, but for the last
        int n = prim_pread(s->fd, s->block, PRIM_BLOCK / 3 * 3, at, e);
        if (n < 0)
            return n;
        if (n == 0)
            break;
        prim_base64(&p->image, (struct bytes){s->block, (size_t)n});
        at += (unsigned)n;
    }
    buf_fmt(&p->text, "%s: %s, %llu bytes", s->at->full, type, (unsigned long long)s->size);
    return p->image.failed;
}

// ---- by bytes

// The last bytes of a character that is cut: not shown yet.
static size_t whole_characters(struct bytes b)
{
    for (size_t back = 1; back <= 3 && back < b.n; back++) {
        unsigned char c = (unsigned char)b.p[b.n - back];
        if (c >= 0xc0)
            return (c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2) > back ? b.n - back : b.n;
        if (c < 0x80)
            break;
    }
    return b.n;
}

static int read_bytes(struct prim *p, const struct source *s, struct err *e)
{
    uint64_t from = prim_arg_u64(p, "offset_bytes", 0);
    uint64_t want = prim_arg_u64(p, "limit_bytes", p->output_bytes);
    if (want > p->output_bytes)
        want = p->output_bytes;
    if (want > PRIM_BLOCK)
        want = PRIM_BLOCK;
    if (from > s->size)
        from = s->size;
    int n = prim_pread(s->fd, s->block, (size_t)want, from, e);
    if (n < 0)
        return n;
    struct bytes got = {s->block, (size_t)n};
    size_t whole = from + got.n < s->size ? whole_characters(got) : got.n;
    bool text = bytes_is_utf8(bytes_first(got, whole)) && !memchr(got.p, 0, got.n);
    if (text) {
        got.n = whole;
        buf_put(&p->text, got);
    } else {
        if (got.n > p->output_bytes / 4 * 3) // base64 is longer
            got.n = p->output_bytes / 4 * 3;
        prim_base64(&p->text, got);
    }
    uint64_t end = from + got.n;
    json_w_cstr(&p->w, "kind", text ? "text" : "base64");
    json_w_u64(&p->w, "from_byte", from);
    json_w_u64(&p->w, "next_byte", end);
    json_w_bool(&p->w, "truncated", end < s->size);
    if (end < s->size)
        buf_fmt(&p->text, "\n\n[bytes %llu to %llu of %llu; go on with offset_bytes %llu]",
                (unsigned long long)from, (unsigned long long)end, (unsigned long long)s->size,
                (unsigned long long)end);
    return 0;
}

// ---- by lines

struct lines {
    uint64_t from, most; // lines from 1
    uint64_t line; // the one at hand
    uint64_t shown; // whole lines
    uint64_t next_byte; // after what is shown
    bool full, cut; // the bound is reached; in the middle of a line
};

// One line or a part of one; end: its line end is with it.
static void take_line(struct prim *p, struct lines *l, struct bytes part, bool end)
{
    if (l->line >= l->from && !l->full) {
        size_t room = p->output_bytes > p->text.n ? p->output_bytes - p->text.n : 0;
        if (l->shown == l->most || (part.n > room && p->text.n > 0 && l->shown > 0)) {
            l->full = true;
        } else if (part.n > room) { // the first line alone is longer
            struct bytes fits = bytes_first(part, room);
            fits.n = whole_characters(fits);
            buf_put(&p->text, fits);
            l->next_byte += fits.n;
            l->full = l->cut = true;
        } else {
            buf_put(&p->text, part);
            l->next_byte += part.n;
            l->shown += end;
        }
    } else if (!l->full) {
        l->next_byte += part.n;
    }
    l->line += end;
}

static int scan_lines(struct prim *p, const struct source *s, struct lines *l, struct err *e)
{
    uint64_t at = 0;
    while (!l->full) {
        int n = prim_pread(s->fd, s->block, PRIM_BLOCK, at, e);
        if (n <= 0)
            return n;
        struct bytes left = {s->block, (size_t)n};
        at += left.n;
        while (left.n > 0 && !l->full) {
            ptrdiff_t end = bytes_chr(left, '\n');
            size_t length = end < 0 ? left.n : (size_t)end + 1;
            // A line that began in this block and goes on: read again from its start, whole.
            if (end < 0 && left.n < (size_t)n && at < s->size) {
                at -= left.n;
                break;
            }
            take_line(p, l, bytes_first(left, length), end >= 0);
            left = bytes_from(left, length);
        }
    }
    return 0;
}

static void say_lines(struct prim *p, const struct source *s, const struct lines *l)
{
    uint64_t last = l->from + l->shown - 1;
    bool more = l->next_byte < s->size;
    json_w_cstr(&p->w, "kind", "text");
    json_w_u64(&p->w, "from_line", l->from);
    json_w_u64(&p->w, "lines", l->shown);
    json_w_u64(&p->w, "next_byte", l->next_byte);
    json_w_bool(&p->w, "truncated", more);
    if (p->text.n > 0 && !bytes_is_utf8(buf_bytes(&p->text)))
        json_w_cstr(&p->w, "note", "not all of it is UTF-8: what is not is shown as U+FFFD");
    if (l->cut)
        buf_fmt(
            &p->text,
            "\n\n[line %llu is longer than %u bytes and cut here; go on with offset_bytes %llu]",
            (unsigned long long)l->from, (unsigned)p->output_bytes,
            (unsigned long long)l->next_byte);
    else if (more && l->shown > 0)
        buf_fmt(&p->text, "\n[lines %llu to %llu of a file of %llu bytes; go on with offset %llu]",
                (unsigned long long)l->from, (unsigned long long)last, (unsigned long long)s->size,
                (unsigned long long)last + 1);
}

static int read_lines(struct prim *p, const struct source *s, struct err *e)
{
    struct lines l = {.from = prim_arg_u64(p, "offset", 1),
                      .most = prim_arg_u64(p, "limit", PRIM_LINES),
                      .line = 1};
    if (l.from == 0)
        l.from = 1;
    int rc = scan_lines(p, s, &l, e);
    if (rc < 0)
        return rc;
    if (l.from > 1 && p->text.n == 0 && !l.cut && l.most > 0)
        return err_set(e, E_INVALID, "%s ends before line %llu", s->at->full,
                       (unsigned long long)l.from);
    say_lines(p, s, &l);
    return 0;
}

static int show(struct prim *p, const struct source *s, struct err *e)
{
    int n = prim_pread(s->fd, s->block, HEAD, 0, e);
    if (n < 0)
        return n;
    struct bytes head = {s->block, (size_t)n};
    json_w_cstr(&p->w, "path", s->at->full);
    json_w_u64(&p->w, "size", s->size);
    if (json_get(p->in, "offset_bytes") || json_get(p->in, "limit_bytes"))
        return read_bytes(p, s, e);
    const char *image = prim_image_type(head);
    if (image)
        return show_image(p, s, image, e);
    if (memchr(head.p, 0, head.n)) {
        json_w_cstr(&p->w, "kind", "binary");
        buf_fmt(&p->text,
                "%s is a binary file of %llu bytes. With offset_bytes and limit_bytes a part of it "
                "is shown as base64.",
                s->at->full, (unsigned long long)s->size);
        return 0;
    }
    return read_lines(p, s, e);
}

int prim_read(struct prim *p, struct err *e)
{
    static struct prim_place at;
    struct stat st;
    int rc = prim_locate(p, json_str(json_get(p->in, "path")), false, &at, e);
    if (rc < 0)
        return rc;
    int fd = prim_open_file(p, &at, &st, e);
    if (fd < 0)
        return fd;
    AUTO_MEM char *block = mem_alloc(PRIM_BLOCK);
    struct source s = {fd, (uint64_t)st.st_size, block, &at};
    rc = block ? show(p, &s, e) : err_set(e, E_NOMEM, "no memory to read a file");
    (void)close(fd);
    return rc;
}
