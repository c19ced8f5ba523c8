// finding.c: findings about a configuration, each with its place in the file.
// SPDX-License-Identifier: Apache-2.0
#include "config/config_priv.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACE_MAX 1024
#define TEXT_MAX 1536
#define KEY_SHOWN_MAX 128

static bool is_plain(struct bytes key)
{
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '-';
        if (!plain)
            return false;
    }
    return key.n > 0;
}

void config_pointer(struct buf *out, const struct config_at *at)
{
    if (!at)
        return;
    config_pointer(out, at->up);
    (void)buf_chr(out, '/');
    if (!at->key.p) {
        (void)buf_u64(out, at->index);
        return;
    }
    for (size_t i = 0; i < at->key.n; i++) {
        if (at->key.p[i] == '~')
            (void)buf_str(out, "~0");
        else if (at->key.p[i] == '/')
            (void)buf_str(out, "~1");
        else
            (void)buf_chr(out, at->key.p[i]);
    }
}

void config_place(struct buf *out, const struct config_at *at)
{
    if (!at)
        return;
    config_place(out, at->up);
    if (!at->key.p) {
        (void)buf_fmt(out, "[%zu]", at->index);
        return;
    }
    if (out->n)
        (void)buf_chr(out, '.');
    struct bytes key = bytes_first(at->key, KEY_SHOWN_MAX);
    if (is_plain(key))
        (void)buf_put(out, key);
    else
        (void)buf_json_str(out, key);
    if (key.n < at->key.n)
        (void)buf_str(out, "...");
}

void config_find(struct config_work *w, const struct config_at *at, bool key, const char *fmt, ...)
{
    if (w->count == CONFIG_FINDINGS_KEPT) {
        w->more++;
        return;
    }
    struct config_finding *f = &w->findings[w->count];
    struct buf pointer, text;
    va_list ap;
    buf_init(&pointer, CONFIG_FILE_MAX * 2); // a key may be long and full of escapes
    buf_init(&text, PLACE_MAX + TEXT_MAX);
    config_pointer(&pointer, at);
    config_place(&text, at);
    if (at)
        (void)buf_str(&text, ": ");
    va_start(ap, fmt);
    (void)buf_vfmt(&text, fmt, ap);
    va_end(ap);
    f->pos = w->yaml ? yaml_where(w->yaml, buf_bytes(&pointer), key) : (struct yaml_pos){0, 0};
    f->text = arena_str(w->arena, buf_bytes(&text));
    if (f->text)
        w->count++;
    else
        w->failed = E_NOMEM;
    buf_fini(&pointer);
    buf_fini(&text);
}

static int by_place(const void *a, const void *b)
{
    const struct config_finding *x = a, *y = b;
    if (x->pos.line != y->pos.line)
        return x->pos.line < y->pos.line ? -1 : 1;
    if (x->pos.column != y->pos.column)
        return x->pos.column < y->pos.column ? -1 : 1;
    return strcmp(x->text, y->text);
}

static void put_line(struct buf *out, const char *name, const struct config_finding *f)
{
    if (out->n)
        (void)buf_chr(out, '\n');
    if (f->pos.line)
        (void)buf_fmt(out, "%s:%u:%u: %s", name, f->pos.line, f->pos.column, f->text);
    else
        (void)buf_fmt(out, "%s: %s", name, f->text);
}

static void put_more(struct buf *out, size_t more)
{
    if (more)
        (void)buf_fmt(out, "\n... and %zu more", more);
}

// As many whole lines as a struct err holds.
static int short_text(const struct config_work *w, struct err *e)
{
    struct buf all, line;
    size_t shown = 0;
    buf_init(&all, ERR_TEXT_MAX);
    buf_init(&line, ERR_TEXT_MAX * 4);
    for (; shown < w->count; shown++) {
        buf_clear(&line);
        put_line(&line, w->name, &w->findings[shown]);
        if (shown && all.n + 1 + line.n + sizeof "\n... and 99999 more" > ERR_TEXT_MAX)
            break;
        if (shown)
            (void)buf_chr(&all, '\n');
        (void)buf_put(&all, bytes_first(buf_bytes(&line), ERR_TEXT_MAX - 32));
    }
    put_more(&all, w->count - shown + w->more);
    int code = err_set(e, E_CONFIG, "%.*s", BYTES_FMT(buf_bytes(&all)));
    buf_fini(&all);
    buf_fini(&line);
    return code;
}

int config_findings(struct config_work *w, struct buf *out, struct err *e)
{
    size_t kept = 0;
    qsort(w->findings, w->count, sizeof *w->findings, by_place);
    for (size_t i = 0; i < w->count; i++)
        if (!kept || by_place(&w->findings[kept - 1], &w->findings[i]) != 0)
            w->findings[kept++] = w->findings[i];
    w->more += kept > CONFIG_FINDINGS_MAX ? kept - CONFIG_FINDINGS_MAX : 0;
    w->count = kept > CONFIG_FINDINGS_MAX ? CONFIG_FINDINGS_MAX : kept;
    if (w->failed)
        return err_set(e, w->failed, "%s: %s", w->name, err_info(w->failed)->text);
    if (!w->count)
        return 0;
    if (out) {
        for (size_t i = 0; i < w->count; i++)
            put_line(out, w->name, &w->findings[i]);
        put_more(out, w->more);
    }
    return short_text(w, e);
}
