// duration.c: ISO 8601 durations of a fixed length, and the DSL's object of parts.
// SPDX-License-Identifier: Apache-2.0
#include "flow/flow.h"
#include <math.h>
#include <string.h>

#define DAY_MS 86400000
#define LONGEST_MS ((int64_t)1000 * 366 * DAY_MS) // a thousand years: beyond it, it is a mistake

static const struct {
    const char *name;
    int64_t ms;
} parts[] = {
    {"days", DAY_MS},  {"hours", 3600000},  {"minutes", 60000},
    {"seconds", 1000}, {"milliseconds", 1},
};
#define PARTS (sizeof parts / sizeof parts[0])

// A number with at most one fraction; returns how many characters, 0: none.
static size_t number(struct bytes t, double *ret)
{
    size_t i = 0;
    double value = 0, place = 1;
    while (i < t.n && t.p[i] >= '0' && t.p[i] <= '9')
        value = value * 10 + (t.p[i++] - '0');
    if (i == 0 || i > 15)
        return 0;
    if (i + 1 < t.n && (t.p[i] == '.' || t.p[i] == ',') && t.p[i + 1] >= '0' && t.p[i + 1] <= '9')
        for (i++; i < t.n && t.p[i] >= '0' && t.p[i] <= '9'; i++)
            value += (t.p[i] - '0') * (place /= 10);
    *ret = value;
    return i;
}

// "1DT2H": designators in their order, each at most once.
static int designators(struct bytes text, struct bytes t, double *ret, struct err *e)
{
    static const char order[] = "WDTHMS"; // after the T an M is minutes, before it months
    static const int64_t ms[] = {7 * (int64_t)DAY_MS, DAY_MS, 0, 3600000, 60000, 1000};
    size_t next = 0;
    bool any = false;
    while (t.n) {
        double n = 0;
        if (t.p[0] == 'T' && next <= 2 && t.n > 1) {
            next = 3;
            t = bytes_from(t, 1);
            continue;
        }
        size_t digits = number(t, &n);
        if (!digits || digits == t.n)
            break;
        char c = t.p[digits];
        if (next < 3 && (c == 'Y' || c == 'M'))
            return err_set(e, E_INVALID,
                           "duration \"%.*s\": years and months have no fixed length, use days",
                           BYTES_FMT(bytes_first(text, 64)));
        const char *at = c ? strchr(order + next, c) : NULL;
        if (!at || c == 'T' || (next < 3 && at - order > 2))
            break;
        *ret += n * (double)ms[at - order];
        next = (size_t)(at - order) + 1;
        any = true;
        t = bytes_from(t, digits + 1);
    }
    if (t.n || !any)
        return err_set(e, E_INVALID,
                       "\"%.*s\" is not an ISO 8601 duration, as \"PT1H30M\" or \"P1D\" is",
                       BYTES_FMT(bytes_first(text, 64)));
    return 0;
}

static int of_object(const struct val *v, double *ret, struct err *e)
{
    size_t at = 0;
    struct bytes key;
    struct val *item;
    if (!val_len(v))
        return err_set(e, E_INVALID,
                       "a duration has days, hours, minutes, seconds or milliseconds");
    while (val_each(v, &at, &key, &item)) {
        size_t i = 0;
        while (i < PARTS && !bytes_is(key, parts[i].name))
            i++;
        if (i == PARTS)
            return err_set(e, E_INVALID,
                           "a duration has no \"%.*s\": it has days, hours, minutes, seconds, "
                           "milliseconds",
                           BYTES_FMT(bytes_first(key, 64)));
        if (!val_is_int(item))
            return err_set(e, E_INVALID, "%s of a duration is not a whole number", parts[i].name);
        *ret += val_dbl(item, 0) * (double)parts[i].ms;
    }
    return 0;
}

int flow_duration(const struct val *v, int64_t *ret_ms, struct err *e)
{
    struct bytes text = bytes_trim(val_bytes(v));
    double ms = 0;
    int rc = 0;
    if (val_is(v, JSON_OBJ))
        rc = of_object(v, &ms, e);
    else if (val_is(v, JSON_STR) && bytes_starts(text, BYTES("P")))
        rc = designators(text, bytes_from(text, 1), &ms, e);
    else if (val_is(v, JSON_STR))
        rc = err_set(e, E_INVALID,
                     "\"%.*s\" is not an ISO 8601 duration, as \"PT1H30M\" or \"P1D\" is",
                     BYTES_FMT(bytes_first(text, 64)));
    else
        rc = err_set(e, E_INVALID, "a duration is an ISO 8601 text or an object");
    if (rc)
        return rc;
    if (ms < 0 || ms > (double)LONGEST_MS)
        return err_set(e, E_INVALID, "a duration lies between 0 and a thousand years");
    *ret_ms = (int64_t)llround(ms);
    return 0;
}
