// permit.c: what a person granted to a capability: for these very bytes of code and for exactly
// what it asks for; anything new must be granted again. SPDX-License-Identifier: Apache-2.0
#include "tool/tool_priv.h"

#include <string.h>

#define ARENA_MAX ((size_t)1 << 20)

// ---- as it is kept ------------------------------------------------------------------------------

static struct bytes text_of(const struct val *v, const char *key)
{
    return val_bytes(val_get_cstr(v, key));
}

static const char *kept(struct arena *a, struct bytes text, bool *failed)
{
    const char *p = arena_str(a, text);
    *failed = *failed || !p;
    return p;
}

static int take(struct permit *p, struct err *e)
{
    const struct val *hosts = val_get_cstr(p->root, "hosts"), *dirs = val_get_cstr(p->root, "dirs");
    struct bytes *h = arena_zalloc(p->arena, (val_len(hosts) + 1) * sizeof *h);
    struct permit_dir *d = arena_zalloc(p->arena, (val_len(dirs) + 1) * sizeof *d);
    bool failed = !h || !d;
    for (size_t i = 0; !failed && i < val_len(hosts); i++)
        h[p->host_count++] = val_bytes(val_at(hosts, i));
    for (size_t i = 0; !failed && i < val_len(dirs); i++) {
        const struct val *one = val_at(dirs, i);
        d[p->dir_count++] = (struct permit_dir){kept(p->arena, text_of(one, "guest"), &failed),
                                                kept(p->arena, text_of(one, "host"), &failed),
                                                val_bool_of(val_get_cstr(one, "write"), false)};
    }
    p->hosts = h;
    p->dirs = d;
    p->urn = text_of(p->root, "urn");
    p->code = text_of(p->root, "code");
    p->asks = text_of(p->root, "asks");
    p->who = text_of(p->root, "who");
    p->reason = text_of(p->root, "reason");
    p->at_ms = val_i64(val_get_cstr(p->root, "at"), 0);
    p->config = val_get_cstr(p->root, "config");
    p->secrets = val_get_cstr(p->root, "secrets");
    if (failed)
        return err_set(e, E_NOMEM, "out of memory");
    if (!urn_is(p->urn) || !tool_is_hash(p->code) || !tool_is_hash(p->asks) ||
        !val_is(p->config, JSON_OBJ) || !val_is(p->secrets, JSON_OBJ))
        return err_set(e, E_PARSE, "not a permit");
    return 0;
}

int permit_open(struct permit **ret, const struct val *v, struct err *e)
{
    struct arena *a = arena_new(ARENA_MAX);
    struct permit *p = a ? arena_zalloc(a, sizeof *p) : NULL;
    if (!p) {
        arena_free(a);
        return err_set(e, E_NOMEM, "out of memory");
    }
    p->arena = a;
    p->root = val_ref((struct val *)(uintptr_t)v);
    int rc = take(p, e);
    if (rc)
        permit_free(p);
    else
        *ret = p;
    return rc;
}

void permit_free(struct permit *p)
{
    if (!p)
        return;
    val_unref((struct val *)(uintptr_t)p->root);
    arena_free(p->arena);
}

// ---- made of what a person says -----------------------------------------------------------------

struct work {
    const struct manifest *m;
    struct val *hosts, *dirs, *config, *secrets;
    struct err *e;
};

static int not_asked(struct work *w, struct bytes item)
{
    return err_set(w->e, E_INVALID, "%.*s: %.*s does not ask for that", BYTES_FMT(item),
                   BYTES_FMT(w->m->urn));
}

static int host(struct work *w, struct bytes item, struct bytes name)
{
    for (size_t i = 0; i < w->m->host_count; i++)
        if (bytes_eq(w->m->hosts[i], name)) {
            w->hosts = val_push(w->hosts, val_str(name));
            return 0;
        }
    return not_asked(w, item);
}

static int dir(struct work *w, struct bytes item, struct bytes rest)
{
    bool has = bytes_chr(rest, '=') >= 0;
    struct bytes guest = bytes_cut(&rest, '=');
    for (size_t i = 0; i < w->m->dir_count; i++) {
        struct val *one = val_obj();
        if (!bytes_eq(w->m->dirs[i].guest, guest)) {
            val_unref(one);
            continue;
        }
        if (!has || !rest.n || rest.p[0] != '/' || memchr(rest.p, 0, rest.n)) {
            val_unref(one);
            return err_set(w->e, E_INVALID, "dir:%.*s=FOLDER: an absolute path of a folder here",
                           BYTES_FMT(guest));
        }
        one = val_put_cstr(one, "guest", val_str(guest));
        one = val_put_cstr(one, "host", val_str(rest));
        one = val_put_cstr(one, "write", val_bool(w->m->dirs[i].write));
        w->dirs = val_push(w->dirs, one);
        return 0;
    }
    return not_asked(w, item);
}

static bool has_word(const struct manifest_word *words, size_t n, struct bytes name)
{
    for (size_t i = 0; i < n; i++)
        if (bytes_eq(words[i].name, name))
            return true;
    return false;
}

static int config(struct work *w, struct bytes item, struct bytes rest)
{
    bool has = bytes_chr(rest, '=') >= 0;
    struct bytes name = bytes_cut(&rest, '=');
    if (!has_word(w->m->config, w->m->config_count, name))
        return not_asked(w, item);
    if (!has || !bytes_is_utf8(rest))
        return err_set(w->e, E_INVALID, "config:%.*s=VALUE is expected", BYTES_FMT(name));
    w->config = val_put(w->config, name, val_str(rest));
    return 0;
}

// Only where the value is: it is read when it is needed, and nowhere kept.
static int secret(struct work *w, struct bytes item, struct bytes rest)
{
    struct bytes name = bytes_cut(&rest, '=');
    if (!has_word(w->m->secrets, w->m->secret_count, name))
        return not_asked(w, item);
    bool file = bytes_starts(rest, BYTES("file:/")), env = bytes_starts(rest, BYTES("env:"));
    if ((!file && !env) || rest.n < 5 || memchr(rest.p, 0, rest.n) || !bytes_is_utf8(rest))
        return err_set(w->e, E_INVALID,
                       "secret:%.*s: say where it is: secret:%.*s=env:VARIABLE or =file:/PATH",
                       BYTES_FMT(name), BYTES_FMT(name));
    w->secrets = val_put(w->secrets, name, val_str(rest));
    return 0;
}

static int item_of(struct work *w, struct bytes item)
{
    static const struct {
        const char *kind;
        int (*take)(struct work *w, struct bytes item, struct bytes rest);
    } kinds[] = {{"host", host}, {"dir", dir}, {"config", config}, {"secret", secret}};
    struct bytes rest = item, kind = bytes_cut(&rest, ':');
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (rest.p && bytes_is(kind, kinds[i].kind))
            return kinds[i].take(w, item, rest);
    return err_set(w->e, E_INVALID,
                   "%.*s: a permission is host:NAME, dir:GUEST=FOLDER, config:NAME=VALUE or "
                   "secret:NAME=env:VARIABLE",
                   BYTES_FMT(bytes_first(item, 200)));
}

// Folders and secrets have no value of themselves: one that is missing is asked for.
static int complete(struct work *w)
{
    const struct manifest *m = w->m;
    struct buf missing;
    buf_init(&missing, 512);
    for (size_t i = 0; i < m->dir_count; i++) {
        bool found = false;
        for (size_t k = 0; k < val_len(w->dirs); k++)
            found = found || bytes_eq(text_of(val_at(w->dirs, k), "guest"), m->dirs[i].guest);
        if (!found)
            (void)buf_fmt(&missing, " dir:%.*s=FOLDER", BYTES_FMT(m->dirs[i].guest));
    }
    for (size_t i = 0; i < m->secret_count; i++)
        if (!val_get(w->secrets, m->secrets[i].name))
            (void)buf_fmt(&missing, " secret:%.*s=env:VARIABLE", BYTES_FMT(m->secrets[i].name));
    int rc = missing.n || missing.failed
                 ? err_set(w->e, E_INVALID, "it also asks for:%s", buf_cstr(&missing))
                 : 0;
    buf_fini(&missing);
    return rc;
}

int permit_make(struct permit **ret, const struct permit_args *args, struct err *e)
{
    const struct manifest *m = args->manifest;
    struct work w = {m, val_arr(), val_arr(), val_obj(), val_obj(), e};
    struct val *v = val_obj();
    int rc = 0;
    for (size_t i = 0; !rc && i < args->count; i++)
        rc = item_of(&w, args->items[i]);
    for (size_t i = 0; !args->count && i < m->host_count; i++)
        w.hosts = val_push(w.hosts, val_str(m->hosts[i]));
    if (!rc)
        rc = complete(&w);
    v = val_put_cstr(v, "urn", val_str(m->urn));
    v = val_put_cstr(v, "code", val_cstr(m->code_hash));
    v = val_put_cstr(v, "asks", val_cstr(m->asks));
    v = val_put_cstr(v, "who", val_str(args->who));
    v = val_put_cstr(v, "reason", val_str(args->reason));
    v = val_put_cstr(v, "at", val_int(args->at_ms));
    v = val_put_cstr(v, "hosts", w.hosts);
    v = val_put_cstr(v, "dirs", w.dirs);
    v = val_put_cstr(v, "config", w.config);
    v = val_put_cstr(v, "secrets", w.secrets);
    if (!rc && !v)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (!rc)
        rc = permit_open(ret, v, e);
    val_unref(v);
    return rc;
}

int permit_check(const struct permit *p, const struct manifest *m, struct err *e)
{
    if (!p)
        return err_set(e, E_FORBIDDEN,
                       "%.*s: nobody granted what it asks for (`plexus tool show` says what that "
                       "is)",
                       BYTES_FMT(m->urn));
    if (!bytes_eq(p->urn, m->urn) || !bytes_is(p->code, m->code_hash))
        return err_set(e, E_FORBIDDEN,
                       "%.*s: its code is not that which was granted: it must be granted again",
                       BYTES_FMT(m->urn));
    if (!bytes_is(p->asks, m->asks))
        return err_set(e, E_FORBIDDEN,
                       "%.*s: it asks for something else than was granted: it must be granted "
                       "again",
                       BYTES_FMT(m->urn));
    return 0;
}
