// cli_out.c: tables, colours and units for people.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_priv.h"
#include "text/units.h"
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_MAX 16
#define TABLE_BYTES_MAX ((size_t)16 << 20)

struct cell {
    size_t at, n; // in text
    enum cli_paint paint;
};

struct cli_table {
    bool color;
    size_t columns, cells, cells_max;
    bool right[COLUMNS_MAX];
    size_t width[COLUMNS_MAX];
    struct buf text;
    struct cell *cell;
    bool failed;
};

static const char *const paints[] = {"",         "\x1b[1m",  "\x1b[2m", "\x1b[32m",
                                     "\x1b[33m", "\x1b[31m", "\x1b[36m"};

void cli_paint_add(const struct cli *c, enum cli_paint paint, const char *text, struct buf *out)
{
    bool on = c->color && paint != PAINT_NONE;
    (void)buf_fmt(out, "%s%s%s", on ? paints[paint] : "", text, on ? "\x1b[0m" : "");
}

void cli_paint_put(const struct cli *c, enum cli_paint paint, const char *text, FILE *to)
{
    bool on = c->color && paint != PAINT_NONE;
    (void)fprintf(to, "%s%s%s", on ? paints[paint] : "", text, on ? "\x1b[0m" : "");
}

enum cli_paint cli_state_paint(const char *state)
{
    static const struct {
        const char *state;
        enum cli_paint paint;
    } of[] = {{"WARM", PAINT_GREEN},  {"LOADING", PAINT_YELLOW}, {"DRAINING", PAINT_YELLOW},
              {"FAILED", PAINT_RED},  {"UNLOADED", PAINT_DIM},   {"ok", PAINT_GREEN},
              {"warn", PAINT_YELLOW}, {"fail", PAINT_RED},       {"skip", PAINT_DIM},
              {"error", PAINT_RED},   {"running", PAINT_GREEN},  {"waiting", PAINT_YELLOW},
              {"alive", PAINT_GREEN}, {"suspect", PAINT_YELLOW}, {"dead", PAINT_RED},
              {"left", PAINT_DIM},    {"removed", PAINT_DIM}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (!strcmp(state, of[i].state))
            return of[i].paint;
    return PAINT_NONE;
}

// One character's code point; broken bytes count one each.
static size_t decode(struct bytes s, uint32_t *ret)
{
    unsigned char c = (unsigned char)s.p[0];
    size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    *ret = n == 1 ? c : c & (0x7fu >> n);
    if (n > s.n)
        return 1;
    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)s.p[i] & 0xc0) != 0x80)
            return 1;
        *ret = *ret << 6 | ((unsigned char)s.p[i] & 0x3f);
    }
    return n;
}

// East Asian wide and emoji blocks, combining marks: enough for aligned tables (Unicode TR 11).
static size_t char_width(uint32_t c)
{
    if ((c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200f) || (c >= 0xfe00 && c <= 0xfe0f))
        return 0;
    if ((c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
        (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
        (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
        (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) ||
        (c >= 0x20000 && c <= 0x3fffd))
        return 2;
    return 1;
}

size_t cli_width(struct bytes text)
{
    size_t width = 0;
    while (text.n) {
        uint32_t c;
        text = bytes_from(text, decode(text, &c));
        width += char_width(c);
    }
    return width;
}

struct cli_table *cli_table_new(const struct cli *c, const char *const *columns)
{
    struct cli_table *t = mem_new(struct cli_table);
    if (!t)
        return NULL;
    t->color = c->color;
    buf_init(&t->text, TABLE_BYTES_MAX);
    for (; columns[t->columns] && t->columns < COLUMNS_MAX; t->columns++)
        t->right[t->columns] = columns[t->columns][0] == '>';
    for (size_t i = 0; i < t->columns; i++)
        cli_cell(t, PAINT_DIM, "%s", columns[i] + t->right[i]);
    return t;
}

static struct cell *next_cell(struct cli_table *t)
{
    if (t->cells == t->cells_max) {
        size_t max = t->cells_max ? t->cells_max * 2 : 128;
        struct cell *more = mem_realloc(t->cell, max * sizeof *more);
        if (!more)
            return NULL;
        t->cell = more;
        t->cells_max = max;
    }
    return &t->cell[t->cells++];
}

void cli_cell(struct cli_table *t, enum cli_paint paint, const char *fmt, ...)
{
    struct cell *cell = t ? next_cell(t) : NULL;
    struct buf raw;
    va_list ap;
    if (!cell) {
        if (t)
            t->failed = true;
        return;
    }
    buf_init(&raw, 64 << 10);
    va_start(ap, fmt);
    (void)buf_vfmt(&raw, fmt, ap);
    va_end(ap);
    *cell = (struct cell){.at = t->text.n, .paint = paint};
    cli_put_safe(&t->text, buf_bytes(&raw));
    cell->n = t->text.n - cell->at;
    size_t column = (t->cells - 1) % t->columns;
    size_t width = cli_width((struct bytes){t->text.p + cell->at, cell->n});
    if (width > t->width[column])
        t->width[column] = width;
    buf_fini(&raw);
}

// The first so many columns of a text.
static struct bytes fit(struct bytes text, size_t columns)
{
    size_t at = 0, width = 0;
    while (at < text.n) {
        uint32_t c;
        size_t n = decode(bytes_from(text, at), &c);
        width += char_width(c);
        if (width > columns)
            break;
        at += n;
    }
    return bytes_first(text, at);
}

// *blank: spaces owed to the line so far; an empty end of a line owes none. *left: columns that the
// line still has.
static void put_cell(const struct cli_table *t, size_t i, size_t *blank, size_t *left,
                     struct buf *out)
{
    const struct cell *cell = &t->cell[i];
    size_t column = i % t->columns;
    struct bytes text = {t->text.p + cell->at, cell->n};
    size_t pad = t->width[column] - cli_width(text);
    bool paint = t->color && cell->paint != PAINT_NONE;
    if (t->right[column])
        *blank += pad;
    if (text.n && *blank < *left) {
        *left -= *blank;
        text = fit(text, *left);
        (void)buf_fmt(out, "%*s%s%.*s%s", (int)*blank, "", paint ? paints[cell->paint] : "",
                      BYTES_FMT(text), paint ? "\x1b[0m" : "");
        *left -= cli_width(text);
        *blank = 0;
    } else if (text.n) {
        *left = 0;
    }
    *blank += 2 + (t->right[column] ? 0 : pad);
}

void cli_table_put(struct cli_table *t, size_t columns_max, struct buf *out)
{
    if (!t)
        return;
    if (t->failed || t->text.failed)
        (void)fprintf(stderr, "plexus: the table is too large\n");
    for (size_t i = 0; !t->failed && !t->text.failed && i + t->columns <= t->cells;
         i += t->columns) {
        size_t blank = 0, left = columns_max;
        for (size_t k = 0; k < t->columns; k++)
            put_cell(t, i + k, &blank, &left, out);
        (void)buf_chr(out, '\n');
    }
    buf_fini(&t->text);
    mem_free(t->cell);
    mem_free(t);
}

void cli_table_end(struct cli_table *t, FILE *to)
{
    struct buf out;
    buf_init(&out, 2 * TABLE_BYTES_MAX);
    cli_table_put(t, SIZE_MAX, &out);
    (void)fwrite(out.p, 1, out.n, to);
    buf_fini(&out);
}

static struct cli_text text_of(struct buf *b)
{
    struct cli_text t;
    (void)snprintf(t.s, sizeof t.s, "%s", buf_cstr(b));
    buf_fini(b);
    return t;
}

struct cli_text cli_size(uint64_t bytes)
{
    struct buf b;
    buf_init(&b, 64);
    units_put_size(&b, bytes);
    return text_of(&b);
}

struct cli_text cli_duration(int64_t ms)
{
    struct buf b;
    buf_init(&b, 64);
    if (ms < 0)
        (void)buf_str(&b, "-");
    else
        units_put_duration(&b, ms < 10000 ? ms : ms - ms % 1000);
    return text_of(&b);
}

int cli_print(struct bytes text, FILE *to)
{
    if (text.n && fwrite(text.p, 1, text.n, to) != text.n)
        return E_IO;
    if (!text.n || text.p[text.n - 1] != '\n')
        (void)fputc('\n', to);
    return ferror(to) ? E_IO : 0;
}

void cli_put_safe(struct buf *out, struct bytes text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool c1 = c == 0xc2 && i + 1 < text.n && (unsigned char)text.p[i + 1] < 0xa0;
        if (c < 0x20 || c == 0x7f) {
            (void)buf_chr(out, ' ');
        } else if (c1) { // C1 controls steer terminals too
            (void)buf_chr(out, ' ');
            i++;
        } else {
            (void)buf_chr(out, (char)c);
        }
    }
}

static void indent(struct buf *out, size_t depth)
{
    (void)buf_chr(out, '\n');
    for (size_t i = 0; i < depth; i++)
        (void)buf_str(out, "  ");
}

static void pretty(struct buf *out, const struct json *v, size_t depth)
{
    struct json_iter it = {0};
    struct bytes key;
    const struct json *value;
    bool object = json_is(v, JSON_OBJ), first = true;
    if ((!object && !json_is(v, JSON_ARR)) || !json_len(v)) {
        (void)json_write(out, v);
        return;
    }
    (void)buf_chr(out, object ? '{' : '[');
    while (json_each(v, &it, &key, &value)) {
        if (!first)
            (void)buf_chr(out, ',');
        first = false;
        indent(out, depth + 1);
        if (object) {
            (void)buf_json_str(out, key);
            (void)buf_str(out, ": ");
        }
        pretty(out, value, depth + 1);
    }
    indent(out, depth);
    (void)buf_chr(out, object ? '}' : ']');
}

int cli_pretty(struct buf *out, const struct json *v)
{
    pretty(out, v, 0);
    return out->failed;
}

void cli_status(const char *text)
{
    static bool shown; // one terminal, one line
    struct winsize size = {0};
    if (!isatty(STDERR_FILENO) || (!text && !shown))
        return;
    int columns =
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
    (void)fprintf(stderr, "\r\x1b[K%.*s", columns, text ? text : "");
    (void)fflush(stderr);
    shown = text != NULL;
}
