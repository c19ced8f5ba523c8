// prim_glob.c: patterns of names, as shells and editors have them. SPDX-License-Identifier:
// Apache-2.0
#include "prims/prims_priv.h"

#include <string.h>

enum { STEPS_MAX = 100000, DEPTH_MAX = 64 }; // a pattern of many stars must end too

struct glob {
    unsigned steps;
};

// "[a-z]" or "[!a-z]": behind it, or NULL when it is no class; *ret_hit: does c fit.
static const char *class_of(const char *p, char c, bool *ret_hit)
{
    bool not = p[1] == '!' || p[1] == '^', hit = false;
    const char *at = p + 1 + not;
    for (bool first = true; *at && (first || *at != ']'); first = false) {
        char from = *at++;
        char to = from;
        if (at[0] == '-' && at[1] && at[1] != ']') {
            to = at[1];
            at += 2;
        }
        hit |= c >= from && c <= to;
    }
    if (*at != ']')
        return NULL;
    *ret_hit = hit != not && c != '/';
    return at + 1;
}

static bool match(struct glob *g, const char *p, const char *s, unsigned depth);

// "{a,b}rest": each way by itself.
static bool braces(struct glob *g, const char *p, const char *s, unsigned depth)
{
    char one[512];
    unsigned level = 0;
    const char *end = p;
    for (; *end; end++) {
        level += *end == '{';
        if (*end == '}' && --level == 0)
            break;
    }
    if (!*end)
        return *s == '{' && match(g, p + 1, s + 1, depth + 1);
    for (const char *from = p + 1; from <= end;) {
        const char *to = from;
        for (level = 0; to < end && (*to != ',' || level > 0); to++)
            level += (*to == '{') - (*to == '}');
        size_t n = (size_t)(to - from), rest = strlen(end + 1);
        if (n + rest < sizeof one) {
            memcpy(one, from, n);
            memcpy(one + n, end + 1, rest + 1);
            if (match(g, one, s, depth + 1))
                return true;
        }
        from = to + 1;
    }
    return false;
}

static bool stars(struct glob *g, const char *p, const char *s, unsigned depth)
{
    bool over = p[1] == '*'; // over folders too
    p += over ? 2 : 1;
    if (over && *p == '/' && match(g, p + 1, s, depth + 1)) // "**/" is no folder as well
        return true;
    for (;; s++) {
        if (match(g, p, s, depth + 1))
            return true;
        if (*s == 0 || (*s == '/' && !over))
            return false;
    }
}

static bool match(struct glob *g, const char *p, const char *s, unsigned depth)
{
    for (; *p; p++, s++) {
        bool hit;
        const char *after;
        if (++g->steps > STEPS_MAX || depth > DEPTH_MAX)
            return false;
        if (*p == '*')
            return stars(g, p, s, depth);
        if (*p == '{')
            return braces(g, p, s, depth);
        if (*s == 0)
            return false;
        if (*p == '?') {
            if (*s == '/')
                return false;
        } else if (*p == '[' && (after = class_of(p, *s, &hit)) != NULL) {
            if (!hit)
                return false;
            p = after - 1;
        } else {
            if (*p == '\\' && p[1])
                p++;
            if (*p != *s)
                return false;
        }
    }
    return *s == 0;
}

bool prim_glob(const char *pattern, const char *path)
{
    struct glob g = {0};
    const char *slash = strrchr(path, '/');
    if (!strchr(pattern, '/')) // a name alone: in every folder
        return match(&g, pattern, slash ? slash + 1 : path, 0);
    return match(&g, *pattern == '/' ? pattern + 1 : pattern, path, 0);
}
