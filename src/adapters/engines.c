// engines.c: the table of engines, and what they share.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/engine_priv.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENGINES 3 // one line a new engine

const struct engine_ops *const *engine_table(void)
{
    static const struct engine_ops *table[ENGINES + 1];
    table[0] = engine_llamacpp();
    table[1] = engine_command();
    table[2] = engine_remote();
    return table;
}

const struct engine_ops *engine_find(const char *name)
{
    for (const struct engine_ops *const *e = engine_table(); *e != NULL; e++)
        if (name != NULL && strcmp((*e)->name, name) == 0)
            return *e;
    return NULL;
}

// ---- words ----

int engine_words_begin(struct engine_words *w, struct arena *a)
{
    *w = (struct engine_words){.arena = a};
    w->list = arena_zalloc(a, (ENGINE_WORDS_MAX + 1) * sizeof w->list[0]);
    w->failed = w->list == NULL ? E_NOMEM : 0;
    return w->failed;
}

void engine_word(struct engine_words *w, const char *word)
{
    if (w->failed == 0 && w->n == ENGINE_WORDS_MAX)
        w->failed = E_TOOBIG;
    if (w->failed != 0)
        return;
    w->list[w->n] = word != NULL ? arena_str(w->arena, bytes_of(word)) : NULL;
    if (w->list[w->n] == NULL)
        w->failed = E_NOMEM;
    else
        w->n++;
}

void engine_words_all(struct engine_words *w, const char *const *words)
{
    for (; words != NULL && *words != NULL; words++)
        engine_word(w, *words);
}

bool engine_keep(struct arena *a, const char **text)
{
    return *text == NULL || (*text = arena_str(a, bytes_of(*text))) != NULL;
}

// ---- log lines ----

ptrdiff_t engine_ifind(struct bytes text, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= text.n; i++)
        if (strncasecmp(text.p + i, what, n) == 0)
            return (ptrdiff_t)i;
    return -1;
}

int engine_blame(const struct bytes *lines, int count, const char *const *patterns)
{
    for (; *patterns != NULL; patterns++)
        for (int i = count - 1; i >= 0; i--)
            if (engine_ifind(lines[i], *patterns) >= 0)
                return i;
    return -1;
}

double engine_percent(struct bytes line)
{
    ptrdiff_t at = bytes_chr(line, '%');
    if (at <= 0)
        return -1;
    size_t from = (size_t)at;
    while (from > 0 && (isdigit((unsigned char)line.p[from - 1]) || line.p[from - 1] == '.'))
        from--;
    double value = 0, unit = 1;
    bool point = false;
    for (size_t i = from; i < (size_t)at; i++) {
        if (line.p[i] == '.') {
            if (point)
                return -1;
            point = true;
        } else {
            value = value * 10 + (line.p[i] - '0');
            unit *= point ? 10 : 1;
        }
    }
    value /= unit;
    return from == (size_t)at || value > 100 ? -1 : value / 100;
}

// ---- programs ----

bool engine_is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

const char *engine_which(struct arena *a, const char *name, const char *folders)
{
    struct bytes rest = bytes_of(folders);
    while (rest.n > 0) {
        struct bytes folder = bytes_cut(&rest, ':');
        const char *path = arena_fmt(a, "%.*s/%s", BYTES_FMT(folder), name);
        if (folder.n > 0 && path != NULL && engine_is_program(path))
            return path;
    }
    return NULL;
}
