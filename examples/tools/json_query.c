// json_query.c: one value of a JSON text by its JSON Pointer (RFC 6901). Input: the pointer on the first
// line, the JSON text after it; output: the value as it stands there. SPDX-License-Identifier:
// Apache-2.0
#include "plexus_pdk.h"

enum { DEPTH_MAX = 512 };

struct text {
    const char *p, *end;
    unsigned depth;
};

static void blanks(struct text *t)
{
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\n' || *t->p == '\t' || *t->p == '\r'))
        t->p++;
}

static bool take(struct text *t, char c)
{
    blanks(t);
    if (t->p == t->end || *t->p != c)
        return false;
    t->p++;
    return true;
}

// Past a string; false: it has no end.
static bool skip_string(struct text *t)
{
    if (!take(t, '"'))
        return false;
    for (; t->p < t->end; t->p++) {
        if (*t->p == '\\' && t->p + 1 < t->end)
            t->p++;
        else if (*t->p == '"')
            return t->p++, true;
    }
    return false;
}

static bool skip_value(struct text *t);

static bool skip_items(struct text *t, char close, bool members)
{
    if (take(t, close))
        return true;
    do {
        if (members && !(skip_string(t) && take(t, ':')))
            return false;
        if (!skip_value(t))
            return false;
    } while (take(t, ','));
    return take(t, close);
}

static bool skip_value(struct text *t)
{
    blanks(t);
    if (t->p == t->end || t->depth > DEPTH_MAX)
        return false;
    bool good = false;
    if (*t->p == '"')
        return skip_string(t);
    if (*t->p == '{' || *t->p == '[') {
        bool members = *t->p++ == '{';
        t->depth++;
        good = skip_items(t, members ? '}' : ']', members);
        t->depth--;
        return good;
    }
    const char *from = t->p;
    while (t->p < t->end && ((*t->p >= '0' && *t->p <= '9') || (*t->p >= 'a' && *t->p <= 'z') ||
                             *t->p == '-' || *t->p == '+' || *t->p == '.' || *t->p == 'E'))
        t->p++;
    return t->p > from;
}

// A pointer's part against a key as it stands in the JSON text: ~1 is /, ~0 is ~.
static bool same(const char *part, const char *part_end, const char *key, const char *key_end)
{
    while (part < part_end && key < key_end) {
        char a = *part++, b = *key++;
        if (a == '~' && part < part_end)
            a = *part++ == '1' ? '/' : '~';
        if (b == '\\' && key < key_end) {
            b = *key++;
            if (b != '"' && b != '\\' && b != '/')
                return false; // keys with other escapes are not looked for
        }
        if (a != b)
            return false;
    }
    return part == part_end && key == key_end;
}

static bool into_object(struct text *t, const char *part, const char *part_end)
{
    if (!take(t, '{') || take(t, '}'))
        return false;
    do {
        blanks(t);
        const char *key = t->p + 1;
        if (!skip_string(t))
            return false;
        bool found = same(part, part_end, key, t->p - 1);
        if (!take(t, ':'))
            return false;
        if (found)
            return true;
        if (!skip_value(t))
            return false;
    } while (take(t, ','));
    return false;
}

static bool into_array(struct text *t, const char *part, const char *part_end)
{
    size_t index = 0;
    if (part == part_end)
        return false;
    for (; part < part_end; part++) {
        if (*part < '0' || *part > '9')
            return false;
        index = index * 10 + (size_t)(*part - '0');
    }
    if (!take(t, '['))
        return false;
    for (; index; index--)
        if (!skip_value(t) || !take(t, ','))
            return false;
    blanks(t);
    return t->p < t->end && *t->p != ']';
}

PDK_TOOL(query)
{
    size_t n;
    char *in = pdk_input(&n);
    if (!in)
        return pdk_error("out of memory");
    const char *at = in, *end = in;
    while (end < in + n && *end != '\n')
        end++;
    struct text t = {.p = end < in + n ? end + 1 : end, .end = in + n};
    if (at < end && *at != '/')
        return pdk_error("a pointer begins with / or is empty");
    while (at < end) {
        const char *part = ++at;
        while (at < end && *at != '/')
            at++;
        blanks(&t);
        bool object = t.p < t.end && *t.p == '{';
        if (!(object ? into_object(&t, part, at) : into_array(&t, part, at)))
            return pdk_error("nothing is there");
    }
    blanks(&t);
    const char *from = t.p;
    if (!skip_value(&t))
        return pdk_error("this is not JSON");
    return pdk_output(from, (size_t)(t.p - from));
}
