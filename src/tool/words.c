// words.c: what a capability may do, in sentences for a person who is to decide.
// SPDX-License-Identifier: Apache-2.0
#include "tool/tool_priv.h"

static struct val *say(struct val *list, struct buf *text)
{
    list = val_push(list, text->failed ? NULL : val_str(buf_bytes(text)));
    buf_clear(text);
    return list;
}

static void why(struct buf *b, struct bytes text)
{
    if (text.n)
        (void)buf_fmt(b, " (%.*s)", BYTES_FMT(text));
}

static struct val *hosts(struct val *list, const struct manifest *m, struct buf *b)
{
    for (size_t i = 0; i < m->host_count; i++) {
        struct bytes h = m->hosts[i];
        if (bytes_is(h, "*"))
            (void)buf_str(b, "talks to any machine on the internet");
        else if (bytes_starts(h, BYTES("*.")))
            (void)buf_fmt(b, "talks to every machine below %.*s", BYTES_FMT(bytes_from(h, 2)));
        else
            (void)buf_fmt(b, "talks to %.*s over the network", BYTES_FMT(h));
        list = say(list, b);
    }
    return list;
}

static struct val *words(struct val *list, const struct manifest *m, struct buf *b)
{
    for (size_t i = 0; i < m->dir_count; i++) {
        (void)buf_str(b, m->dirs[i].write ? "reads, changes and deletes files in a folder that you "
                                            "choose, as "
                                          : "reads files in a folder that you choose, as ");
        (void)buf_put(b, m->dirs[i].guest);
        why(b, m->dirs[i].why);
        list = say(list, b);
    }
    for (size_t i = 0; i < m->secret_count; i++) {
        (void)buf_fmt(b, "gets the secret %.*s", BYTES_FMT(m->secrets[i].name));
        why(b, m->secrets[i].why);
        list = say(list, b);
    }
    for (size_t i = 0; i < m->config_count; i++) {
        (void)buf_fmt(b, "reads the setting %.*s", BYTES_FMT(m->config[i].name));
        why(b, m->config[i].why);
        list = say(list, b);
    }
    return list;
}

static struct val *effects(struct val *list, const struct manifest *m, struct buf *b)
{
    static const struct {
        unsigned effect;
        const char *what;
    } said[] = {{MANIFEST_DESTROYS, "may overwrite or delete"},
                {MANIFEST_WRITES, "changes something outside"},
                {MANIFEST_RUNS, "runs programs"},
                {MANIFEST_NETWORK, "acts on other machines"},
                {MANIFEST_COSTS, "spends tokens or money"},
                {MANIFEST_READS, "reads what is not in its arguments"}};
    for (size_t k = 0; k < sizeof said / sizeof *said; k++) {
        size_t n = 0;
        for (size_t i = 0; i < m->tool_count; i++)
            if (m->tools[i].effects & said[k].effect)
                (void)buf_fmt(b, "%s%.*s", n++ ? ", " : "", BYTES_FMT(m->tools[i].name));
        if (!n)
            continue;
        (void)buf_fmt(b, ": %s, by its own word", said[k].what);
        list = say(list, b);
    }
    return list;
}

struct val *manifest_words(const struct manifest *m)
{
    struct buf b;
    struct val *list = val_arr();
    const struct manifest_limits *l = &m->limits;
    buf_init(&b, MANIFEST_BYTES_MAX);
    if (m->asks_nothing) {
        (void)buf_str(&b, "only computes: no network, no files, no secrets");
        list = say(list, &b);
    }
    list = effects(words(hosts(list, m, &b), m, &b), m, &b);
    if (l->memory_bytes || l->time_ms) {
        (void)buf_str(&b, "takes at most");
        if (l->memory_bytes)
            (void)buf_fmt(&b, " %llu KiB of memory",
                          (unsigned long long)(l->memory_bytes + 1023) / 1024);
        if (l->time_ms)
            (void)buf_fmt(&b, "%s %llu ms", l->memory_bytes ? " and" : "",
                          (unsigned long long)l->time_ms);
        (void)buf_str(&b, " a call");
        list = say(list, &b);
    }
    buf_fini(&b);
    return list;
}
