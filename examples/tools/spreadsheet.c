// spreadsheet.c: a small sheet: comma-separated cells come in, formulas are worked out, values go out.
// A formula begins with = and has numbers, cells (B2), + - * / ( ) and SUM, AVERAGE, MIN, MAX of a
// range (A1:A9). SPDX-License-Identifier: Apache-2.0
#include "numbers.h"

enum { COLUMNS = 26, ROWS = 200, DEPTH_MAX = 64 };
enum state { TEXT, NUMBER, FORMULA, RUNNING };

struct cell {
    const char *p;
    size_t n;
    enum state state;
    double value;
};
struct sheet {
    struct cell *cells; // ROWS of COLUMNS
    size_t rows, columns[ROWS];
    const char *why; // what is wrong, NULL: nothing
    unsigned depth;
};
struct formula {
    struct sheet *s;
    const char *p, *end;
};

static double cell_value(struct sheet *s, size_t row, size_t column);
static double sum(struct formula *f);

static double wrong(struct sheet *s, const char *why)
{
    if (!s->why)
        s->why = why;
    return 0;
}

static void blanks(struct formula *f)
{
    while (f->p < f->end && *f->p == ' ')
        f->p++;
}

static bool take(struct formula *f, char c)
{
    blanks(f);
    if (f->p == f->end || *f->p != c)
        return false;
    f->p++;
    return true;
}

// "B12": column B, row 12. false: it is none.
static bool cell_name(struct formula *f, size_t *row, size_t *column)
{
    blanks(f);
    const char *p = f->p;
    if (p == f->end || *p < 'A' || *p > 'Z')
        return false;
    *column = (size_t)(*p++ - 'A');
    size_t number = 0;
    for (; p < f->end && *p >= '0' && *p <= '9' && number < 100000; p++)
        number = number * 10 + (size_t)(*p - '0');
    if (number == 0)
        return false;
    *row = number - 1;
    f->p = p;
    return true;
}

static const char *const names[] = {"SUM(", "AVERAGE(", "MIN(", "MAX("};

static int function_name(struct formula *f)
{
    blanks(f);
    for (int i = 0; i < 4; i++) {
        size_t n = pdk_strlen(names[i]);
        if ((size_t)(f->end - f->p) >= n && memcmp(f->p, names[i], n) == 0) {
            f->p += n;
            return i;
        }
    }
    return -1;
}

static double range(struct formula *f, int which)
{
    size_t r1, c1, r2, c2, count = 0;
    double total = 0, least = 0, most = 0;
    if (!cell_name(f, &r1, &c1) || !take(f, ':') || !cell_name(f, &r2, &c2) || !take(f, ')'))
        return wrong(f->s, "a range is written A1:B9");
    if (r2 >= ROWS || c2 >= COLUMNS || r1 > r2 || c1 > c2)
        return wrong(f->s, "a range goes down and to the right, within the sheet");
    for (size_t r = r1; r <= r2; r++)
        for (size_t c = c1; c <= c2; c++) {
            if (f->s->cells[r * COLUMNS + c].state == TEXT)
                continue;
            double value = cell_value(f->s, r, c);
            total += value;
            least = count == 0 || value < least ? value : least;
            most = count == 0 || value > most ? value : most;
            count++;
        }
    if (which == 1 && count == 0)
        return wrong(f->s, "no numbers to take the average of");
    return which == 0 ? total : which == 1 ? total / (double)count : which == 2 ? least : most;
}

static double factor(struct formula *f)
{
    double value;
    size_t row, column;
    if (++f->s->depth > DEPTH_MAX)
        return wrong(f->s, "nested too deep");
    int which = function_name(f);
    if (which >= 0) {
        value = range(f, which);
    } else if (take(f, '-')) {
        value = -factor(f);
    } else if (take(f, '(')) {
        value = sum(f);
        if (!take(f, ')'))
            value = wrong(f->s, "a bracket is not closed");
    } else if (cell_name(f, &row, &column)) {
        value = cell_value(f->s, row, column);
    } else if (blanks(f), !number_take(&f->p, f->end, &value)) {
        value = wrong(f->s, "a formula that cannot be read");
    }
    f->s->depth--;
    return value;
}

static double product(struct formula *f)
{
    double value = factor(f);
    for (;;) {
        if (take(f, '*')) {
            value *= factor(f);
        } else if (take(f, '/')) {
            double by = factor(f);
            value = by == 0 ? wrong(f->s, "division by zero") : value / by;
        } else {
            return value;
        }
    }
}

static double sum(struct formula *f)
{
    double value = product(f);
    for (;;) {
        if (take(f, '+'))
            value += product(f);
        else if (take(f, '-'))
            value -= product(f);
        else
            return value;
    }
}

static double cell_value(struct sheet *s, size_t row, size_t column)
{
    if (row >= s->rows || column >= s->columns[row])
        return 0; // empty
    struct cell *c = &s->cells[row * COLUMNS + column];
    if (c->state == RUNNING)
        return wrong(s, "cells that need each other");
    if (c->state == TEXT)
        return c->n ? wrong(s, "a text where a number is needed") : 0;
    if (c->state == NUMBER || s->why)
        return c->value;
    c->state = RUNNING;
    struct formula f = {s, c->p + 1, c->p + c->n};
    c->value = sum(&f);
    blanks(&f);
    if (f.p < f.end)
        (void)wrong(s, "something stands behind a formula");
    c->state = NUMBER;
    return c->value;
}

static bool read_cells(struct sheet *s, const char *p, const char *end)
{
    while (p < end) {
        if (s->rows == ROWS)
            return false;
        size_t row = s->rows++, column = 0;
        for (bool more = true; more; column++) {
            const char *from = p;
            while (p < end && *p != ',' && *p != '\n')
                p++;
            if (column == COLUMNS)
                return false;
            struct cell *c = &s->cells[row * COLUMNS + column];
            *c = (struct cell){.p = from, .n = (size_t)(p - from)};
            const char *at = from;
            if (c->n && *from == '=')
                c->state = FORMULA;
            else if (number_take(&at, p, &c->value) && at == p)
                c->state = NUMBER;
            more = p < end && *p == ',';
            p += p < end;
        }
        s->columns[row] = column;
    }
    return true;
}

PDK_TOOL(calculate)
{
    size_t n;
    char *in = pdk_input(&n);
    static struct sheet s; // large for a stack
    memset(&s, 0, sizeof s);
    s.cells = pdk_memory(sizeof(struct cell) * ROWS * COLUMNS);
    if (!in || !s.cells)
        return pdk_error("out of memory");
    memset(s.cells, 0, sizeof(struct cell) * ROWS * COLUMNS);
    if (!read_cells(&s, in, in + n))
        return pdk_error("a sheet has at most 200 rows and 26 columns");
    struct pdk_out o = {0};
    for (size_t r = 0; r < s.rows; r++) {
        for (size_t c = 0; c < s.columns[r]; c++) {
            struct cell *cell = &s.cells[r * COLUMNS + c];
            if (c)
                pdk_putc(&o, ',');
            if (cell->state == TEXT)
                pdk_add(&o, cell->p, cell->n);
            else
                number_put(&o, cell_value(&s, r, c));
            if (s.why)
                return pdk_error(s.why);
        }
        pdk_putc(&o, '\n');
    }
    return pdk_done(&o);
}
