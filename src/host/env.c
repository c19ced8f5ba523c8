// env.c: reads .env files and adds what the host profile knows, keeping every byte that is there.
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"

#include <string.h>

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool name_char(char c, bool first)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (!first && c >= '0' && c <= '9');
}

static struct bytes skip_blanks(struct bytes s)
{
    while (s.n && blank(*s.p))
        s = bytes_from(s, 1);
    return s;
}

// Length of the quoted value at the front with both quotes, or 0 when it has no end. Inside double
// quotes a backslash takes the next byte along.
static size_t quoted(struct bytes s)
{
    char quote = *s.p;
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == quote)
            return i + 1;
        if (quote == '"' && s.p[i] == '\\')
            i++;
    }
    return 0;
}

// Length of an unquoted value: up to the line's end or a blank with '#'.
static size_t bare(struct bytes s)
{
    size_t end = 0, n = 0;
    while (end < s.n && s.p[end] != '\n' &&
           !(s.p[end] == '#' && (end == 0 || blank(s.p[end - 1])))) {
        end++;
        if (!blank(s.p[end - 1]))
            n = end;
    }
    return n;
}

// Bytes up to and with the next line end.
static size_t line_length(struct bytes s)
{
    ptrdiff_t at = bytes_chr(s, '\n');
    return at < 0 ? s.n : (size_t)at + 1;
}

// NAME=value, with or without "export " in front. False: the line is broken.
static bool take_setting(struct bytes text, struct host_env_line *line)
{
    struct bytes s = skip_blanks(text);
    if (bytes_starts(s, BYTES("export ")) || bytes_starts(s, BYTES("export\t")))
        s = skip_blanks(bytes_from(s, 7));
    size_t n = 0;
    while (n < s.n && name_char(s.p[n], n == 0))
        n++;
    line->name = bytes_first(s, n);
    s = skip_blanks(bytes_from(s, n));
    if (!n || !s.n || *s.p != '=')
        return false;
    s = skip_blanks(bytes_from(s, 1));
    if (s.n && (*s.p == '"' || *s.p == '\'')) {
        size_t length = quoted(s);
        if (!length)
            return false;
        line->value = bytes_first(s, length);
        s = bytes_from(s, length);
        struct bytes after = skip_blanks(s);
        if (after.n && *after.p != '\n' && *after.p != '#')
            return false;
    } else {
        line->value = bytes_first(s, bare(s));
        s = bytes_from(s, line->value.n);
    }
    size_t used = (size_t)(s.p - text.p); // quoted values may have gone over several lines
    line->raw = bytes_first(text, used + line_length(s));
    return true;
}

bool host_env_next(struct bytes *rest, struct host_env_line *ret)
{
    struct bytes text = *rest;
    if (!text.n)
        return false;
    *ret = (struct host_env_line){.kind = HOST_ENV_BROKEN,
                                  .raw = bytes_first(text, line_length(text))};
    struct bytes s = bytes_trim(ret->raw);
    if (!s.n) {
        ret->kind = HOST_ENV_BLANK;
    } else if (*s.p == '#') {
        ret->kind = HOST_ENV_COMMENT;
    } else if (take_setting(text, ret)) {
        ret->kind = HOST_ENV_SET;
    } else {
        ret->name = ret->value = BYTES_NONE;
    }
    *rest = bytes_from(text, ret->raw.n);
    return true;
}

int host_env_value(struct buf *out, const struct host_env_line *line)
{
    static const char plain[] = "nrt", meant[] = "\n\r\t";
    struct bytes v = line->value;
    if (v.n < 2 || (*v.p != '"' && *v.p != '\''))
        return buf_put(out, v);
    bool escapes = *v.p == '"';
    v = bytes_first(bytes_from(v, 1), v.n - 2);
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        if (escapes && c == '\\' && i + 1 < v.n) {
            c = v.p[++i];
            const char *at = c ? strchr(plain, c) : NULL;
            if (at)
                c = meant[at - plain];
            else if (c != '"' && c != '\\' && c != '$' && c != '`' && c != '\n')
                (void)buf_chr(out, '\\'); // as shells do: an escape without meaning stays
        }
        (void)buf_chr(out, c);
    }
    return out->failed;
}

static bool find(struct bytes text, const char *name, struct host_env_line *ret)
{
    struct host_env_line line;
    bool found = false;
    while (host_env_next(&text, &line))
        if (line.kind == HOST_ENV_SET && bytes_is(line.name, name)) {
            *ret = line;
            found = true;
        }
    return found;
}

bool host_env_get(struct bytes text, const char *name, struct buf *out)
{
    struct host_env_line line;
    if (!find(text, name, &line))
        return false;
    (void)host_env_value(out, &line);
    return true;
}

static const char *compose_profiles(const struct host_profile *p)
{
    return p->compose_profile;
}

// What is installed beside the core: inference wherever an engine may run here.
static const char *extras(const struct host_profile *p)
{
    return strcmp(p->machine_class, "edge") ? "inference" : "";
}

static const struct {
    const char *name, *comment;
    const char *value;                                // or, when NULL:
    const char *(*derive)(const struct host_profile *p);
} variables[] = {
    {"COMPOSE_PROFILES", "Which containers fit this machine: gpu, cpu or edge.", NULL,
     compose_profiles},
    {"EXTRAS", "Optional parts to install.", NULL, extras},
    {"SGLANG_URL", "Inference server inside the container network.", "http://sglang:30000", NULL},
    {"LANCEDB_URI", "Where the vector store keeps its files.", "/app/data/lancedb", NULL},
    {"ECOSYSTEM_REGISTRY_URL", "Registry of capabilities.", "http://ecosystem:8080", NULL},
    {"TELEMETRY_BROKER_URL", "Where traces and events go: the node itself.",
     "http://localhost:8000", NULL},
    {"TEMPORAL_HOST", "Workflow service.", "temporal:7233", NULL},
    {"HF_TOKEN",
     "Token for gated models of the Hugging Face hub; make one at "
     "https://huggingface.co/settings/tokens.",
     "", NULL},
};

#define HEAD "# Added by plexus env. Change what you like: what stands here is never overwritten."

int host_env_merge(struct buf *out, struct bytes old, const struct host_profile *profile,
                   struct err *e)
{
    struct host_env_line line;
    bool begun = false;
    ptrdiff_t first_end = bytes_chr(old, '\n');
    const char *end = first_end > 0 && old.p[first_end - 1] == '\r' ? "\r\n" : "\n";
    (void)buf_put(out, old);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        if (find(old, variables[i].name, &line))
            continue;
        if (!begun) {
            if (old.n && old.p[old.n - 1] != '\n')
                (void)buf_str(out, end);
            (void)buf_fmt(out, "%s%s%s", old.n ? end : "", HEAD, end);
            begun = true;
        }
        const char *value = variables[i].value ? variables[i].value : variables[i].derive(profile);
        (void)buf_fmt(out, "# %s%s%s=%s%s", variables[i].comment, end, variables[i].name, value,
                      end);
    }
    if (out->failed)
        return err_set(e, out->failed, "the environment file is too large");
    return 0;
}
