// secret.c: secrets come from the environment or from files, and are wiped when let go.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/file.h"
#include "config/config_priv.h"
#include <stdlib.h>
#include <string.h>

#define SECRET_MAX ((size_t)64 << 10)

const char *secret_reveal(const struct secret *s)
{
    return s->value_;
}

bool config_is_secret_name(struct bytes name)
{
    static const char *const ends[] = {"KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct bytes end = bytes_of(ends[i]);
        if (name.n < end.n || !bytes_ieq(bytes_from(name, name.n - end.n), end))
            continue;
        if (name.n == end.n || name.p[name.n - end.n - 1] == '_')
            return true;
    }
    return false;
}

static bool is_one_line(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

static const char *from_file(struct config_work *w, const struct config_at *at, const char *path)
{
    struct buf text;
    struct err e = {0};
    const char *value = NULL;
    buf_init(&text, SECRET_MAX);
    if (file_read(path, &text, &e) != 0) {
        config_find(w, at, false, "the file of this secret cannot be read: %s", e.text);
    } else {
        struct bytes s = bytes_trim(buf_bytes(&text));
        if (!s.n)
            config_find(w, at, false, "the file of this secret, %s, is empty", path);
        else if (!is_one_line(s))
            config_find(w, at, false, "the file of this secret, %s, has more than one line", path);
        else
            value = config_str(w, s);
    }
    if (text.p)
        mem_wipe(text.p, text.cap);
    buf_fini(&text);
    return value;
}

struct secret config_secret(struct config_work *w, const struct config_at *at,
                            const struct json *ref)
{
    struct secret s = {NULL, NULL};
    const char *env = json_cstr(json_get(ref, "env"), NULL);
    struct buf from;
    buf_init(&from, 8192);
    if (env) {
        const char *value = getenv(env);
        (void)buf_fmt(&from, "env %s", env);
        if (!value || !*value)
            config_find(w, at, false, "the environment variable %s is not set", env);
        else if (!is_one_line(bytes_of(value)))
            config_find(w, at, false, "the environment variable %s has more than one line", env);
        else
            s.value_ = config_str(w, bytes_of(value));
    } else if (json_str(json_get(ref, "file")).n) {
        const char *path = config_path(w, json_str(json_get(ref, "file")));
        (void)buf_fmt(&from, "file %s", path);
        s.value_ = from_file(w, at, path);
    }
    w->failed = from.failed ? from.failed : w->failed;
    s.from = from.n ? config_str(w, buf_bytes(&from)) : NULL;
    buf_fini(&from);
    return s;
}
