// manifest.c: the text of a manifest, checked once at the edge, as a structure.
// SPDX-License-Identifier: Apache-2.0
#include "tool/tool_priv.h"

#include "text/schema.h"

#include <string.h>

#define ARENA_MAX (MANIFEST_BYTES_MAX * 4)

struct bytes manifest_schema(void)
{
    return embed_tool_manifest();
}

static const struct {
    const char *name;
    unsigned effect;
} effects[] = {
    {"reads", MANIFEST_READS},     {"writes", MANIFEST_WRITES}, {"destroys", MANIFEST_DESTROYS},
    {"network", MANIFEST_NETWORK}, {"runs", MANIFEST_RUNS},     {"idempotent", MANIFEST_IDEMPOTENT},
    {"costs", MANIFEST_COSTS},
};
#define EFFECTS (sizeof effects / sizeof *effects)

struct val *manifest_effects(unsigned set)
{
    struct val *v = val_arr();
    for (size_t i = 0; i < EFFECTS; i++)
        if (set & effects[i].effect)
            v = val_push(v, val_cstr(effects[i].name));
    return v;
}

// ---- against the schemas ------------------------------------------------------------------------

static int wrap(struct err *e, const char *what)
{
    (void)err_wrap(e, "%s", what);
    if (e)
        e->code = E_MANIFEST;
    return E_MANIFEST;
}

static int place(struct err *e, const char *where, const char *what)
{
    return err_set(e, E_MANIFEST, "%s: %s", *where ? where : "the manifest", what);
}

static int by_schema(const struct json *v, struct err *e)
{
    struct json_doc *doc = NULL;
    struct schema *s = NULL;
    struct schema_error bad = {"", "", ""};
    int rc = json_parse(&doc, manifest_schema(), 0, e);
    if (!rc)
        rc = schema_new(&s, &(struct schema_args){.doc = json_root(doc)}, e);
    if (!rc && (rc = schema_check(s, v, &bad)))
        rc = place(e, bad.instance, *bad.message ? bad.message : err_info(rc)->text);
    schema_free(s);
    json_free(doc);
    return rc;
}

// What a tool takes and gives is itself a schema.
static int is_schema(const struct json *v, const char *pointer, size_t i, const char *key,
                     struct err *e)
{
    struct schema *s = NULL;
    struct err why = {0};
    const struct json *one = json_get(v, key);
    int rc = one ? schema_new(&s, &(struct schema_args){.doc = one}, &why) : 0;
    schema_free(s);
    if (rc == E_NOMEM)
        return err_set(e, E_NOMEM, "out of memory");
    return rc ? err_set(e, E_MANIFEST, "%s/%zu/%s: %s", pointer, i, key, why.text) : 0;
}

static int check_rest(const struct json *root, struct err *e)
{
    const struct json *tools = json_get(root, "tools"), *cases = json_get(root, "cases");
    int rc = 0;
    for (size_t i = 0; !rc && i < json_len(tools); i++) {
        rc = is_schema(json_at(tools, i), "/tools", i, "input", e);
        if (!rc)
            rc = is_schema(json_at(tools, i), "/tools", i, "output", e);
        struct bytes name = json_str(json_get(json_at(tools, i), "name"));
        for (size_t k = 0; !rc && k < i; k++)
            if (bytes_eq(name, json_str(json_get(json_at(tools, k), "name"))))
                rc = err_set(e, E_MANIFEST, "/tools/%zu/name: there is a tool %.*s already", i,
                             BYTES_FMT(name));
    }
    for (size_t i = 0; !rc && i < json_len(cases); i++) {
        const struct json *one = json_at(cases, i), *tool = json_get(one, "tool");
        bool found = !tool && json_len(tools) == 1;
        for (size_t k = 0; tool && !found && k < json_len(tools); k++)
            found = bytes_eq(json_str(tool), json_str(json_get(json_at(tools, k), "name")));
        if (!found)
            rc = err_set(e, E_MANIFEST, "/cases/%zu/tool: %s", i,
                         tool ? "there is no such tool" : "say which of its tools is called");
        if (!rc)
            rc = is_schema(one, "/cases", i, "schema", e);
    }
    return rc;
}

// ---- as a structure -----------------------------------------------------------------------------

struct work {
    struct manifest *m;
    struct err *e;
    bool failed; // no memory
};

static void *rows(struct work *w, size_t count, size_t size)
{
    void *p = count ? arena_zalloc(w->m->arena, count * size) : NULL;
    w->failed = w->failed || (count && !p);
    return p;
}

static unsigned effects_of(const struct val *list)
{
    unsigned set = 0;
    for (size_t i = 0; i < val_len(list); i++)
        for (size_t k = 0; k < EFFECTS; k++)
            if (bytes_is(val_bytes(val_at(list, i)), effects[k].name))
                set |= effects[k].effect;
    return set;
}

static void take_tools(struct work *w, const struct val *list)
{
    struct manifest_tool *t = rows(w, val_len(list), sizeof *t);
    for (size_t i = 0; t && i < val_len(list); i++) {
        const struct val *v = val_at(list, i);
        struct manifest_tool one = {.name = val_bytes(val_get_cstr(v, "name")),
                                    .title = val_bytes(val_get_cstr(v, "title")),
                                    .description = val_bytes(val_get_cstr(v, "description")),
                                    .input = val_get_cstr(v, "input"),
                                    .output = val_get_cstr(v, "output"),
                                    .effects = effects_of(val_get_cstr(v, "effects"))};
        one.function = val_text(val_get_cstr(v, "function"), one.name.p);
        size_t at = w->m->tool_count++;
        for (; at > 0 && bytes_cmp(t[at - 1].name, one.name) > 0; at--)
            t[at] = t[at - 1];
        t[at] = one;
    }
    w->m->tools = t;
}

static const struct manifest_word *take_words(struct work *w, const struct val *list, size_t *ret)
{
    struct manifest_word *words = rows(w, val_len(list), sizeof *words);
    for (size_t i = 0; words && i < val_len(list); i++)
        words[(*ret)++] = (struct manifest_word){val_bytes(val_get_cstr(val_at(list, i), "name")),
                                                 val_bytes(val_get_cstr(val_at(list, i), "why"))};
    return words;
}

static void take_permissions(struct work *w, const struct val *v)
{
    struct manifest *m = w->m;
    const struct val *hosts = val_get_cstr(v, "hosts"), *dirs = val_get_cstr(v, "dirs");
    struct bytes *h = rows(w, val_len(hosts), sizeof *h);
    struct manifest_dir *d = rows(w, val_len(dirs), sizeof *d);
    for (size_t i = 0; h && i < val_len(hosts); i++)
        h[m->host_count++] = val_bytes(val_at(hosts, i));
    for (size_t i = 0; d && i < val_len(dirs); i++)
        d[m->dir_count++] =
            (struct manifest_dir){val_bytes(val_get_cstr(val_at(dirs, i), "path")),
                                  val_bytes(val_get_cstr(val_at(dirs, i), "why")),
                                  val_bool_of(val_get_cstr(val_at(dirs, i), "write"), false)};
    m->hosts = h;
    m->dirs = d;
    m->config = take_words(w, val_get_cstr(v, "config"), &m->config_count);
    m->secrets = take_words(w, val_get_cstr(v, "secrets"), &m->secret_count);
}

static uint64_t number(const struct val *v, const char *key)
{
    return (uint64_t)val_i64(val_get_cstr(v, key), 0);
}

static void take_limits(struct manifest *m, const struct val *v)
{
    m->limits = (struct manifest_limits){.memory_bytes = number(v, "memory_bytes"),
                                         .time_ms = number(v, "time_ms"),
                                         .fuel = number(v, "fuel"),
                                         .output_bytes = number(v, "output_bytes"),
                                         .http_bytes = number(v, "http_bytes"),
                                         .vars_bytes = number(v, "vars_bytes"),
                                         .log_lines = (uint32_t)number(v, "log_lines"),
                                         .host_calls = (uint32_t)number(v, "host_calls")};
}

// The same hash: a person would say yes to the same.
static int take_asks(struct manifest *m, struct err *e)
{
    struct buf text;
    struct val *each = val_obj(), *asks;
    unsigned all = 0;
    for (size_t i = 0; i < m->tool_count; i++) {
        each = val_put(each, m->tools[i].name, manifest_effects(m->tools[i].effects));
        all |= m->tools[i].effects;
    }
    asks = val_put_cstr(val_obj(), "effects", each);
    if (m->host_count + m->dir_count + m->config_count + m->secret_count)
        asks = val_put_cstr(asks, "permissions", val_ref(val_get_cstr(m->root, "permissions")));
    buf_init(&text, MANIFEST_BYTES_MAX);
    int rc =
        asks ? crystal_canonical(&text, asks, m->asks, e) : err_set(e, E_NOMEM, "out of memory");
    m->asks_nothing = !(all & ~(unsigned)MANIFEST_IDEMPOTENT) && !m->host_count && !m->dir_count &&
                      !m->config_count && !m->secret_count;
    val_unref(asks);
    buf_fini(&text);
    return rc;
}

static int take_dirs_check(const struct manifest *m, struct err *e)
{
    for (size_t i = 0; i < m->dir_count; i++) {
        struct bytes rest = m->dirs[i].guest;
        (void)bytes_cut(&rest, '/');
        for (struct bytes part; rest.p;) {
            part = bytes_cut(&rest, '/');
            if (!part.n || bytes_is(part, ".") || bytes_is(part, ".."))
                return err_set(e, E_MANIFEST,
                               "/permissions/dirs/%zu/path: a plain path such as /data", i);
        }
        for (size_t k = 0; k < i; k++)
            if (bytes_eq(m->dirs[i].guest, m->dirs[k].guest))
                return err_set(e, E_MANIFEST, "/permissions/dirs/%zu/path: named twice", i);
    }
    return 0;
}

static int take(struct manifest *m, struct err *e)
{
    struct work w = {m, e, false};
    const struct val *v = m->root, *publisher = val_get_cstr(v, "publisher");
    m->urn = val_bytes(val_get_cstr(v, "urn"));
    m->title = val_bytes(val_get_cstr(v, "title"));
    m->description = val_bytes(val_get_cstr(v, "description"));
    m->label = val_bytes(val_get_cstr(v, "label"));
    m->cases = val_get_cstr(v, "cases");
    m->publisher = val_bytes(val_get_cstr(publisher, "name"));
    m->key = val_bytes(val_get_cstr(publisher, "key"));
    m->is_signed = val_get_cstr(v, "signature") != NULL;
    struct val *code = val_get_cstr(v, "code");
    struct bytes hash = val_bytes(val_get_cstr(code, "sha256"));
    m->code_bytes = number(code, "bytes");
    if (hash.n == MANIFEST_HASH_LEN)
        memcpy(m->code_hash, hash.p, hash.n);
    int rc = urn_parse(&m->parts, m->urn, e);
    if (rc)
        return wrap(e, "/urn");
    take_tools(&w, val_get_cstr(v, "tools"));
    take_permissions(&w, val_get_cstr(v, "permissions"));
    take_limits(m, val_get_cstr(v, "limits"));
    if (w.failed)
        return err_set(e, E_NOMEM, "out of memory");
    rc = take_dirs_check(m, e);
    return rc ? rc : take_asks(m, e);
}

static int keep_text(struct manifest *m, struct bytes text, unsigned flags, struct err *e)
{
    struct buf out;
    buf_init(&out, MANIFEST_BYTES_MAX);
    int rc =
        flags & MANIFEST_KNOWN ? buf_put(&out, text) : crystal_canonical(&out, m->root, NULL, e);
    m->text = rc ? BYTES_NONE : arena_dup(m->arena, buf_bytes(&out));
    buf_fini(&out);
    if (!rc && !m->text.p)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (!rc)
        tool_hash(m->text, m->hash);
    return rc;
}

int manifest_open(struct manifest **ret, struct bytes text, unsigned flags, struct err *e)
{
    struct json_doc *doc = NULL;
    struct arena *arena = arena_new(ARENA_MAX);
    struct manifest *m = arena ? arena_zalloc(arena, sizeof *m) : NULL;
    int rc = 0;
    if (!m) {
        arena_free(arena);
        return err_set(e, E_NOMEM, "out of memory");
    }
    m->arena = arena;
    if (text.n > MANIFEST_BYTES_MAX)
        rc = err_set(e, E_MANIFEST, "a manifest has at most %zu bytes", MANIFEST_BYTES_MAX);
    if (!rc && (rc = json_parse(&doc, text, JSON_UNIQUE, e)) && rc != E_NOMEM)
        rc = wrap(e, "the manifest");
    if (!rc && !(flags & MANIFEST_KNOWN))
        rc = by_schema(json_root(doc), e);
    if (!rc && !(flags & MANIFEST_KNOWN))
        rc = check_rest(json_root(doc), e);
    if (!rc && !(m->root = val_of_json(json_root(doc))))
        rc = err_set(e, E_NOMEM, "out of memory");
    json_free(doc);
    if (!rc)
        rc = take(m, e);
    if (!rc)
        rc = keep_text(m, text, flags, e);
    if (!rc && m->is_signed && !(flags & MANIFEST_KNOWN))
        rc = tool_verify(m->root, m->key, val_bytes(val_get_cstr(m->root, "signature")), e);
    if (rc)
        manifest_free(m);
    else
        *ret = m;
    return rc;
}

void manifest_free(struct manifest *m)
{
    if (!m)
        return;
    val_unref((struct val *)(uintptr_t)m->root);
    arena_free(m->arena);
}

void manifest_auto(struct manifest **m)
{
    manifest_free(*m);
}

int manifest_code_check(const struct manifest *m, struct bytes code, struct err *e)
{
    char hash[MANIFEST_HASH_LEN + 1];
    if (code.n != m->code_bytes)
        return err_set(e, E_MANIFEST, "%.*s: the code has %zu bytes, its manifest says %llu",
                       BYTES_FMT(m->urn), code.n, (unsigned long long)m->code_bytes);
    tool_hash(code, hash);
    if (memcmp(hash, m->code_hash, MANIFEST_HASH_LEN) != 0)
        return err_set(e, E_MANIFEST, "%.*s: the code is not what was signed: its SHA-256 is %s",
                       BYTES_FMT(m->urn), hash);
    return 0;
}

const struct manifest_tool *manifest_tool_find(const struct manifest *m, struct bytes name)
{
    for (size_t i = 0; i < m->tool_count; i++)
        if (bytes_eq(m->tools[i].name, name))
            return &m->tools[i];
    return NULL;
}

int manifest_sign(struct buf *out, struct bytes draft, struct bytes code, struct bytes publisher,
                  const struct manifest_key *key, struct err *e)
{
    struct manifest *m = NULL;
    struct val *v = NULL, *c = val_obj(), *p = val_obj();
    char hash[MANIFEST_HASH_LEN + 1];
    struct buf text;
    buf_init(&text, MANIFEST_BYTES_MAX);
    tool_hash(code, hash);
    c = val_put_cstr(val_put_cstr(c, "sha256", val_cstr(hash)), "bytes", val_int((int64_t)code.n));
    p = val_put_cstr(p, "key", val_cstr(key->public_text));
    if (publisher.n)
        p = val_put_cstr(p, "name", val_str(publisher));
    int rc = val_parse(&v, draft, e);
    if (!rc && !val_is(v, JSON_OBJ))
        rc = err_set(e, E_MANIFEST, "a manifest is an object");
    if (!rc) {
        v = val_put_cstr(val_put_cstr(v, "code", val_ref(c)), "publisher", val_ref(p));
        rc = tool_sign(&text, steal(&v), key, e);
    }
    val_unref(v);
    val_unref(c);
    val_unref(p);
    if (!rc)
        rc = manifest_open(&m, buf_bytes(&text), 0, e);
    if (!rc)
        rc = buf_put(out, m->text);
    manifest_free(m);
    buf_fini(&text);
    return rc;
}
