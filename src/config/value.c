// value.c: texts, paths, durations and sizes of a configuration.
// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"
#include "config/config_priv.h"
#include "text/units.h"

const char *config_str(struct config_work *w, struct bytes text)
{
    const char *copy = arena_str(w->arena, text);
    if (!copy)
        w->failed = E_NOMEM;
    return copy ? copy : "";
}

const char *config_str_of(struct config_work *w, const struct json *v)
{
    return json_is(v, JSON_STR) ? config_str(w, json_str(v)) : NULL;
}

// "./" in front and "/" at the end are left out; "." is the folder itself.
const char *config_path(struct config_work *w, struct bytes path)
{
    while (bytes_starts(path, BYTES("./"))) {
        path = bytes_from(path, 2);
        while (path.n && path.p[0] == '/')
            path = bytes_from(path, 1);
    }
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    if (bytes_starts(path, BYTES("/")))
        return config_str(w, path);
    if (!path.n || bytes_is(path, "."))
        return config_str(w, bytes_of(w->base_dir));
    bool slash = bytes_ends(bytes_of(w->base_dir), BYTES("/"));
    const char *text =
        arena_fmt(w->arena, "%s%s%.*s", w->base_dir, slash ? "" : "/", BYTES_FMT(path));
    if (!text)
        w->failed = E_NOMEM;
    return text ? text : "";
}

static const char *word(struct config_work *w, const struct json *v)
{
    if (json_is(v, JSON_STR))
        return config_str(w, json_str(v));
    struct buf text;
    buf_init(&text, 4096);
    if (json_write(&text, v) != 0)
        w->failed = text.failed;
    const char *copy = config_str(w, buf_bytes(&text));
    buf_fini(&text);
    return copy;
}

const char *const *config_words(struct config_work *w, const struct json *list)
{
    static const char *const none[] = {NULL};
    size_t n = json_is(list, JSON_ARR) ? json_len(list) : 0;
    const char **words = arena_zalloc(w->arena, (n + 1) * sizeof *words);
    if (!words) {
        w->failed = E_NOMEM;
        return none;
    }
    for (size_t i = 0; i < n; i++)
        words[i] = word(w, json_at(list, i));
    return words;
}

int64_t config_ms(const struct json *v, int64_t fallback)
{
    int64_t ms = fallback;
    if (json_is(v, JSON_NUM))
        return json_i64(v, fallback);
    if (json_is(v, JSON_STR))
        (void)units_duration(json_str(v), &ms, NULL);
    return ms;
}

uint64_t config_size(const struct json *v, uint64_t fallback)
{
    uint64_t bytes = fallback;
    if (json_is(v, JSON_NUM)) {
        int64_t n = json_i64(v, -1);
        return n < 0 ? fallback : (uint64_t)n;
    }
    if (json_is(v, JSON_STR))
        (void)units_size(json_str(v), &bytes, NULL);
    return bytes;
}
