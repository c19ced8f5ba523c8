// ctl_members.c: what a body may hold, as a table: its members and their kinds.
// SPDX-License-Identifier: Apache-2.0
#include "ctl/ctl_priv.h"
#include "text/units.h"

static bool fits(unsigned want, const struct json *v)
{
    int64_t ms;
    switch (want & ~(unsigned)CTL_NEEDED) {
    case CTL_TEXT: return json_is(v, JSON_STR);
    case CTL_BOOL: return json_is(v, JSON_BOOL);
    case CTL_COUNT: return json_is_int(v) && json_i64(v, -1) >= 0;
    case CTL_WAIT: return json_is(v, JSON_STR) || json_is(v, JSON_BOOL);
    case CTL_OBJECT: return json_is(v, JSON_OBJ);
    case CTL_LIST: return json_is(v, JSON_ARR);
    case CTL_DURATION: return json_is(v, JSON_STR) && units_duration(json_str(v), &ms, NULL) == 0;
    default: return true;
    }
}

static const char *wanted(unsigned want)
{
    switch (want & ~(unsigned)CTL_NEEDED) {
    case CTL_BOOL: return "true or false";
    case CTL_COUNT: return "a whole number from 0 on";
    case CTL_WAIT: return "true, false or a duration such as 30s";
    case CTL_OBJECT: return "an object";
    case CTL_LIST: return "a list";
    case CTL_DURATION: return "a duration such as 30s";
    default: return "a text";
    }
}

static int unknown(struct bytes key, const struct ctl_member *m, size_t count, struct err *e)
{
    const char *names[CTL_MEMBERS_MAX];
    for (size_t i = 0; i < count; i++)
        names[i] = m[i].name;
    int near = units_nearest(key, names, count);
    return err_set(e, E_INVALID,
                   near < 0 ? "unknown member \"%.*s\""
                            : "unknown member \"%.*s\"; nearest: \"%s\"",
                   BYTES_FMT(bytes_first(key, 100)), near < 0 ? "" : names[near]);
}

int ctl_check_members(const struct ctl_member *m, bool open, const struct json *body, struct err *e)
{
    struct json_iter it = {0};
    struct bytes key;
    const struct json *v;
    size_t count = 0;
    if (body && !json_is(body, JSON_OBJ))
        return err_set(e, E_INVALID, "expected a JSON object");
    while (count < CTL_MEMBERS_MAX && m[count].name)
        count++;
    while (json_each(body, &it, &key, &v)) {
        size_t i = 0;
        while (i < count && !bytes_is(key, m[i].name))
            i++;
        if (i == count && open)
            continue;
        if (i == count)
            return unknown(key, m, count, e);
        if (!fits(m[i].want, v))
            return err_set(e, E_INVALID, "%s: expected %s", m[i].name, wanted(m[i].want));
    }
    for (size_t i = 0; i < count; i++)
        if ((m[i].want & CTL_NEEDED) && !json_get(body, m[i].name))
            return err_set(e, E_INVALID, "%s is needed", m[i].name);
    return 0;
}
