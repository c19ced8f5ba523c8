// err.h: error codes from one table, and the detail that rises with them.
// Functions return 0 (or a count) or a negative E_* code; the last parameter, struct err *,
// gets the detail (NULL is allowed) and is untouched on success.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_BASE_ERR_H
#define PLEXUS_BASE_ERR_H

#include <stdbool.h>
#include <stdint.h>

enum {
    E_BASE_ = -1000,
#define ERROR(symbol, text, http, exit, retry, type) symbol,
#include "errors.def"
#undef ERROR
    E_END_,
};

#define ERR_TEXT_MAX 1024

struct err {
    int code; // 0: no error yet
    uint32_t n;
    char text[ERR_TEXT_MAX];
};

struct err_info {
    const char *symbol; // "E_NOTFOUND"
    const char *text;   // "not found"
    const char *type;   // OpenAI's error type
    int http;
    int exit;
    bool retry;
};

// Sets code and text (cut at ERR_TEXT_MAX), returns code.
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__ // it looks at one file at a time: so it sees that an error is returned
#define err_set(e, code, ...) (err_set((e), (code), __VA_ARGS__), (code))
#endif
// Puts "context: " in front of the text, returns the code that was set.
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// From errno: ENOSPC → E_NOSPACE, EACCES → E_PERM, ..., text "context: strerror".
int err_errno(struct err *e, int errno_value, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
// The table's row; unknown codes give E_INTERNAL's.
const struct err_info *err_info(int code);
#define ERR_SLUG_MAX 24
// The code as the API names it: "notfound" for E_NOTFOUND.
void err_slug(int code, char out[ERR_SLUG_MAX]);
// The code whose symbol this is, or 0.
int err_of_symbol(const char *symbol);

#endif
