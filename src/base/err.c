// err.c: the error table and details.
// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct err_info table[] = {
#define ERROR(symbol, text, http, exit, retry, type) {#symbol, text, type, http, exit, retry},
#include "errors.def"
#undef ERROR
};
#undef err_set // the analyzer has a macro of that name
#define TABLE_LEN (sizeof(table) / sizeof(table[0]))

static void err_put(struct err *e, int code, const char *prefix, const char *text)
{
    int n = snprintf(e->text, sizeof(e->text), "%s%s", prefix, text);
    e->code = code;
    e->n = n < 0 ? 0 : (uint32_t)n < sizeof(e->text) ? (uint32_t)n : (uint32_t)sizeof(e->text) - 1;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    if (!e)
        return code;
    char text[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    err_put(e, code, "", text);
    return code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    if (!e)
        return E_INTERNAL;
    char context[256 + 2], old[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(context, sizeof(context) - 2, fmt, ap);
    va_end(ap);
    memcpy(context + strlen(context), ": ", sizeof ": ");
    memcpy(old, e->text, sizeof(old));
    err_put(e, e->code, context, old);
    return e->code;
}

static int code_of_errno(int value)
{
    switch (value) {
    case ENOMEM: return E_NOMEM;
    case ENOSPC:
    case EDQUOT: return E_NOSPACE;
    case EACCES:
    case EPERM:
    case EROFS: return E_PERM;
    case ENOENT:
    case ENOTDIR: return E_NOTFOUND;
    case EEXIST: return E_EXISTS;
    case EADDRINUSE: return E_INUSE;
    case ECONNREFUSED: return E_REFUSED;
    case ETIMEDOUT: return E_TIMEOUT;
    case EMFILE:
    case ENFILE: return E_FULL;
    case EPIPE:
    case ECONNRESET: return E_CLOSED;
    default: return E_IO;
    }
}

int err_errno(struct err *e, int errno_value, const char *fmt, ...)
{
    int code = code_of_errno(errno_value);
    if (!e)
        return code;
    char context[ERR_TEXT_MAX - 128], reason[96], text[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(context, sizeof(context), fmt, ap);
    va_end(ap);
#ifdef __GLIBC__
    const char *why = strerror_r(errno_value, reason, sizeof(reason));
#else // POSIX's own form
    const char *why =
        strerror_r(errno_value, reason, sizeof(reason)) == 0 ? reason : "unknown error";
#endif
    (void)snprintf(text, sizeof(text), "%s: %s", context, why);
    err_put(e, code, "", text);
    return code;
}

const struct err_info *err_info(int code)
{
    int at = code - (E_BASE_ + 1);
    return &table[at >= 0 && (size_t)at < TABLE_LEN ? at : 0];
}

void err_slug(int code, char out[ERR_SLUG_MAX])
{
    const char *p = err_info(code)->symbol + 2;
    size_t n = 0;
    for (; *p && n < ERR_SLUG_MAX - 1; p++)
        out[n++] = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
    out[n] = '\0';
}

int err_of_symbol(const char *symbol)
{
    for (size_t i = 0; i < TABLE_LEN; i++)
        if (strcmp(table[i].symbol, symbol) == 0)
            return E_BASE_ + 1 + (int)i;
    return 0;
}
