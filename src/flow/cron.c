// cron.c: cron expressions in UTC: parsed to bit sets, and the next time that fits.
// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"
#include "flow/flow.h"

#define DAY_S 86400
#define YEARS_AHEAD 44 // the 29th of February on a given weekday: 28 years, 40 across 2100

struct field {
    const char *what;
    unsigned low, high;
    const char *const *names; // of low, low + 1, ...; NULL: none
};
static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                     "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};
static const struct field fields[] = {
    {"second", 0, 59, NULL}, {"minute", 0, 59, NULL},  {"hour", 0, 23, NULL},
    {"day", 1, 31, NULL},    {"month", 1, 12, months}, {"weekday", 0, 7, weekdays},
};

static const struct {
    const char *name, *text;
} words[] = {
    {"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
    {"@weekly", "0 0 * * 0"},   {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
};

static bool value(const struct field *f, struct bytes text, unsigned *ret)
{
    uint64_t n = 0;
    for (unsigned i = 0; f->names && f->names[i]; i++)
        if (bytes_iis(text, f->names[i])) {
            *ret = f->low + i;
            return true;
        }
    if (text.n > 2 || !bytes_u64(text, &n) || n < f->low || n > f->high)
        return false;
    *ret = (unsigned)n;
    return true;
}

static int wrong(const struct field *f, struct bytes part, struct err *e)
{
    return err_set(
        e, E_INVALID,
        "cron: \"%.*s\" is not a %s: a number from %u to %u, a range 1-5, a step */2, or "
        "a list of these",
        BYTES_FMT(bytes_first(part, 32)), f->what, f->low, f->names == weekdays ? 6 : f->high);
}

// One of a list: *, */n, a, a/n, a-b, a-b/n.
static int part_of(const struct field *f, struct bytes part, uint64_t *bits, struct err *e)
{
    struct bytes step = part, range = bytes_cut(&step, '/');
    unsigned from = f->low, to = f->names == weekdays ? 6 : f->high;
    uint64_t by = 1;
    if (step.p && (!bytes_u64(step, &by) || by == 0 || by > f->high || step.n > 2))
        return wrong(f, part, e);
    bool of_days = f == &fields[3] || f == &fields[5];
    if (!bytes_is(range, "*") && !(of_days && bytes_is(range, "?"))) {
        struct bytes high = range, low = bytes_cut(&high, '-');
        if (!value(f, low, &from))
            return wrong(f, part, e);
        if (high.p) {
            if (!value(f, high, &to) || to < from)
                return wrong(f, part, e);
        } else if (!step.p) {
            to = from;
        }
    }
    for (unsigned i = from; i <= to; i += (unsigned)by)
        *bits |= UINT64_C(1) << (f->names == weekdays && i == 7 ? 0 : i);
    return 0;
}

static int field_of(const struct field *f, struct bytes text, uint64_t *bits, struct err *e)
{
    *bits = 0;
    while (text.p) {
        int rc = part_of(f, bytes_cut(&text, ','), bits, e);
        if (rc)
            return rc;
    }
    return 0;
}

static struct bytes next_word(struct bytes *rest)
{
    size_t n = 0;
    *rest = bytes_trim(*rest);
    while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t' && rest->p[n] != '\n')
        n++;
    struct bytes word = bytes_first(*rest, n);
    *rest = bytes_from(*rest, n);
    return word;
}

static bool any(struct bytes word)
{
    return word.n > 0 && (word.p[0] == '*' || bytes_is(word, "?"));
}

int flow_cron_parse(struct flow_cron *ret, struct bytes text, struct err *e)
{
    struct bytes word[7], rest = bytes_trim(text);
    uint64_t bits[6] = {1}; // second 0
    size_t count = 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (bytes_iis(rest, words[i].name))
            rest = bytes_of(words[i].text);
    while (count < 7 && bytes_trim(rest).n)
        word[count++] = next_word(&rest);
    if (count != 5 && count != 6)
        return err_set(e, E_INVALID,
                       "cron \"%.*s\": five fields (minute hour day month weekday), six with "
                       "seconds first, or @hourly, @daily, @weekly, @monthly, @yearly",
                       BYTES_FMT(bytes_first(text, 64)));
    for (size_t i = 0; i < count; i++) {
        int rc = field_of(&fields[6 - count + i], word[i], &bits[6 - count + i], e);
        if (rc)
            return rc;
    }
    *ret = (struct flow_cron){
        .seconds = bits[0],
        .minutes = bits[1],
        .hours = (uint32_t)bits[2],
        .days = (uint32_t)bits[3],
        .months = (uint32_t)bits[4],
        .weekdays = (uint32_t)bits[5],
        .any_day = any(word[count - 3]),
        .any_weekday = any(word[count - 1]),
    };
    return 0;
}

// Days since 1970 to a civil date and back (Howard Hinnant's algorithms, proleptic Gregorian).
static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    unsigned yoe = (unsigned)(y - era * 400), doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    return era * 146097 + (int64_t)(yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468;
}

static void date_of(int64_t days, int64_t *y, unsigned *m, unsigned *d)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned doe = (unsigned)(days - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp < 10 ? mp + 3 : mp - 9;
    *y = (int64_t)yoe + era * 400 + (*m <= 2);
}

// As cron does it: when both days are restricted, either one is enough.
static bool day_fits(const struct flow_cron *c, int64_t days, unsigned day)
{
    unsigned weekday = (unsigned)(((days + 4) % 7 + 7) % 7); // 1970-01-01 was a Thursday
    bool by_day = c->days >> day & 1, by_weekday = c->weekdays >> weekday & 1;
    return c->any_day || c->any_weekday ? by_day && by_weekday : by_day || by_weekday;
}

static int next_bit(uint64_t bits, unsigned from)
{
    uint64_t rest = from < 64 ? bits >> from << from : 0;
    return rest ? __builtin_ctzll(rest) : -1;
}

// The first time of the day at or after its second `s`; -1: none.
static int64_t second_of_day(const struct flow_cron *c, int64_t s)
{
    unsigned h = (unsigned)(s / 3600), m = (unsigned)(s / 60 % 60);
    int hour = next_bit(c->hours, h), minute = -1, second = -1;
    if (hour == (int)h) {
        minute = next_bit(c->minutes, m);
        if (minute == (int)m) {
            second = next_bit(c->seconds, (unsigned)(s % 60));
            if (second < 0)
                minute = next_bit(c->minutes, m + 1);
        }
        if (minute < 0)
            hour = next_bit(c->hours, h + 1);
    }
    if (hour < 0)
        return -1;
    if (minute < 0)
        minute = next_bit(c->minutes, 0);
    if (second < 0)
        second = next_bit(c->seconds, 0);
    return hour * 3600 + minute * 60 + second;
}

int64_t flow_cron_next(const struct flow_cron *c, int64_t after_ms)
{
    int64_t after = after_ms / 1000 - (after_ms % 1000 < 0) + 1; // the next whole second
    int64_t days = after / DAY_S - (after % DAY_S < 0), s = after - days * DAY_S, year, first;
    unsigned month, day;
    date_of(days, &first, &month, &day);
    for (year = first; year <= first + YEARS_AHEAD;) {
        if (!(c->months >> month & 1)) {
            days = month == 12 ? days_of(year + 1, 1, 1) : days_of(year, month + 1, 1);
            s = 0;
        } else {
            int64_t at = day_fits(c, days, day) ? second_of_day(c, s) : -1;
            if (at >= 0)
                return (days * DAY_S + at) * 1000;
            days++;
            s = 0;
        }
        date_of(days, &year, &month, &day);
    }
    return TIME_NEVER;
}
