// act_problem.c: errors of activities as problems (RFC 7807), with what must not show taken out.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"

#include <stdio.h>
#include <string.h>

#define TYPES "https://serverlessworkflow.io/spec/1.0.0/errors/"
#define HIDE_MIN 4 // a shorter text would blank out half of every sentence

struct act_secret { // a text that must not show
    struct act_secret *next;
    struct bytes text;
};

static const struct {
    const char *name, *title;
    int status, code;
} types[] = {
    // statuses: dsl-reference, "Standard Error Types"
    [ACT_CONFIGURATION] = {"configuration", "Configuration error", 400, E_CONFIG},
    [ACT_VALIDATION] = {"validation", "Validation error", 400, E_SCHEMA},
    [ACT_EXPRESSION] = {"expression", "Expression error", 400, E_INVALID},
    [ACT_AUTHENTICATION] = {"authentication", "Authentication error", 401, E_UNAUTH},
    [ACT_AUTHORIZATION] = {"authorization", "Authorization error", 403, E_FORBIDDEN},
    [ACT_TIMEOUT] = {"timeout", "Timeout", 408, E_TIMEOUT},
    [ACT_COMMUNICATION] = {"communication", "Communication error", 500, E_UPSTREAM},
    [ACT_RUNTIME] = {"runtime", "Runtime error", 500, E_IO},
};

struct val *act_problem(enum act_problem type, int status, const char *title, const char *detail)
{
    char uri[128];
    (void)snprintf(uri, sizeof uri, TYPES "%s", types[type].name);
    struct val *p = val_put_cstr(val_obj(), "type", val_cstr(uri));
    p = val_put_cstr(p, "status", val_int(status ? status : types[type].status));
    p = val_put_cstr(p, "title", val_cstr(title ? title : types[type].title));
    return val_put_cstr(p, "detail", val_cstr(detail));
}

// Valid UTF-8 of what an error says: others' bytes may be in it.
static void clean(struct buf *text)
{
    for (size_t i = 0; i < text->n; i++)
        if ((unsigned char)text->p[i] < ' ' && text->p[i] != '\n' && text->p[i] != '\t')
            text->p[i] = ' ';
    while (text->n && !bytes_is_utf8(buf_bytes(text))) {
        size_t good = 0;
        while (good < text->n && (unsigned char)text->p[good] < 0x80)
            good++;
        for (size_t i = good; i < text->n; i++) // rare: all that is not ASCII goes
            if ((unsigned char)text->p[i] >= 0x80)
                text->p[i] = '?';
    }
}

static void fail(struct act *a, enum act_problem type, int status, bool final, struct buf *text)
{
    act_scrub(a, text);
    clean(text);
    act_end(a, types[type].code, NULL, act_problem(type, status, NULL, buf_cstr(text)), final);
}

void act_fail(struct act *a, enum act_problem type, int status, bool final, const char *fmt, ...)
{
    struct buf text;
    va_list ap;
    buf_init(&text, 16 << 10);
    va_start(ap, fmt);
    (void)buf_vfmt(&text, fmt, ap);
    va_end(ap);
    fail(a, type, status, final, &text);
    buf_fini(&text);
}

void act_fail_err(struct act *a, int code, const struct err *e)
{
    enum act_problem type = ACT_RUNTIME;
    bool final = false;
    switch (code) {
    case E_TIMEOUT: type = ACT_TIMEOUT; break;
    case E_REFUSED:
    case E_CLOSED:
    case E_UPSTREAM:
    case E_UNAVAILABLE:
    case E_IO: type = ACT_COMMUNICATION; break;
    case E_NOTFOUND: type = ACT_COMMUNICATION; break; // a name that nobody knows
    case E_TOOBIG: final = true; break;
    case E_CONFIG:
    case E_UNSUPPORTED: type = ACT_CONFIGURATION, final = true; break;
    case E_INVALID:
    case E_PARSE:
    case E_USAGE: type = ACT_VALIDATION, final = true; break;
    case E_UNAUTH: type = ACT_AUTHENTICATION; break;
    case E_FORBIDDEN:
    case E_SECURITY: type = ACT_AUTHORIZATION, final = true; break;
    default: break;
    }
    act_fail(a, type, 0, final, "%s", e && e->text[0] ? e->text : err_info(code)->text);
}

void act_nomem(struct act *a)
{
    act_fail(a, ACT_RUNTIME, 503, false, "out of memory");
}

// ---- what must not show ------------------------------------------------------------------------

int act_hide(struct act *a, struct bytes text)
{
    if (text.n < HIDE_MIN)
        return 0;
    for (struct act_secret *s = a->secrets; s; s = s->next)
        if (bytes_eq(s->text, text))
            return 0;
    struct act_secret *s = mem_new(struct act_secret);
    char *copy = s ? mem_dup(text.p, text.n) : NULL;
    if (!copy)
        return mem_free(s), E_NOMEM;
    s->text = (struct bytes){copy, text.n};
    struct act_secret **at = &a->secrets; // longest first: one may be a part of another
    while (*at && (*at)->text.n > text.n)
        at = &(*at)->next;
    s->next = *at;
    *at = s;
    return 0;
}

void act_shown_all(struct act *a)
{
    while (a->secrets) {
        struct act_secret *s = a->secrets;
        a->secrets = s->next;
        mem_wipe((char *)(uintptr_t)s->text.p, s->text.n);
        mem_free((char *)(uintptr_t)s->text.p);
        mem_free(s);
    }
}

static void scrub(struct buf *text, struct bytes hide)
{
    ptrdiff_t at;
    size_t from = 0;
    while ((at = bytes_find(bytes_from(buf_bytes(text), from), hide)) >= 0) {
        size_t i = from + (size_t)at, rest = text->n - i - hide.n;
        memcpy(text->p + i, "***", 3); // hide has at least HIDE_MIN bytes
        memmove(text->p + i + 3, text->p + i + hide.n, rest);
        text->n = i + 3 + rest;
        from = i + 3;
    }
}

void act_scrub(const struct act *a, struct buf *text)
{
    for (struct act_secret *s = a->secrets; s; s = s->next)
        scrub(text, s->text);
}

void act_wipe(struct val *takes_v)
{
    size_t at = 0;
    struct bytes key, text = val_bytes(takes_v);
    struct val *item;
    if (!takes_v)
        return;
    if (val_is(takes_v, JSON_STR))
        mem_wipe((char *)(uintptr_t)text.p, text.n);
    while ((val_is(takes_v, JSON_ARR) || val_is(takes_v, JSON_OBJ)) &&
           val_each(takes_v, &at, &key, &item))
        act_wipe(val_ref(item));
    val_unref(takes_v);
}
