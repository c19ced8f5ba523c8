// engine_priv.h: what the engines of this room share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_ENGINE_PRIV_H
#define PLEXUS_ADAPTERS_ENGINE_PRIV_H

#include "port/engine.h"

const struct engine_ops *engine_llamacpp(void);
const struct engine_ops *engine_command(void);
const struct engine_ops *engine_remote(void);

// Index of the line that matches the earliest pattern (without case), of several the newest; -1:
// none. Patterns end with NULL, the most telling first.
int engine_blame(const struct bytes *lines, int count, const char *const *patterns);
// Index of the text in this one without case of letters, or -1.
ptrdiff_t engine_ifind(struct bytes text, const char *what);
// "34%" anywhere in a line: 0.34; negative: none.
double engine_percent(struct bytes line);

// A growing NULL-terminated list of words in an arena, copies of what is added. Check failed at the
// end.
#define ENGINE_WORDS_MAX 1024
struct engine_words {
    struct arena *arena;
    const char **list;
    size_t n;
    int failed;
};
int engine_words_begin(struct engine_words *w, struct arena *a);
void engine_word(struct engine_words *w, const char *word); // NULL: memory was out
void engine_words_all(struct engine_words *w, const char *const *words); // NULL: none
// Replaces a text of the spec (or NULL) by its copy; false: no memory.
bool engine_keep(struct arena *a, const char **text);

// An executable regular file.
bool engine_is_program(const char *path);
// A name without a slash searched in folders with ':' between; NULL: not found.
const char *engine_which(struct arena *a, const char *name, const char *folders);

#endif
