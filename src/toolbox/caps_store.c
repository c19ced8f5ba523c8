// caps_store.c: which capabilities this node has, under which names, and what a person does with
// them. SPDX-License-Identifier: Apache-2.0
#include "toolbox/caps_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)MANIFEST_READS == TOOL_READS && (int)MANIFEST_WRITES == TOOL_WRITES &&
                  (int)MANIFEST_DESTROYS == TOOL_DESTROYS &&
                  (int)MANIFEST_NETWORK == TOOL_NETWORK && (int)MANIFEST_RUNS == TOOL_RUNS &&
                  (int)MANIFEST_IDEMPOTENT == TOOL_IDEMPOTENT && (int)MANIFEST_COSTS == TOOL_COSTS,
              "the effects of manifests are those of tools");

int64_t caps_now(const struct caps *c)
{
    return c->args.wall_ms ? c->args.wall_ms(c->args.user) : time_wall_ms();
}

bool caps_is_publisher(const char *const *publishers, struct bytes key)
{
    if (!publishers || !*publishers)
        return true;
    for (; *publishers; publishers++)
        if (bytes_is(key, *publishers))
            return true;
    return false;
}

// ---- names --------------------------------------------------------------------------------------

struct caps_tool *caps_tool_of(struct caps *c, struct bytes name)
{
    struct caps_item *i = urn_is(name) ? map_get(c->urns, name) : NULL;
    if (i)
        return i->m->tool_count == 1 ? &i->tools[0] : NULL;
    return map_get(c->names, name);
}

struct caps_item *caps_item_of(struct caps *c, struct bytes name)
{
    if (urn_is(name))
        return map_get(c->urns, name);
    struct caps_tool *t = map_get(c->names, name);
    return t ? t->item : map_get(c->bases, name);
}

int caps_not_here(struct bytes name, struct err *e)
{
    return err_set(e, E_NOTFOUND, "no capability %.*s is here; `plexus tool ls` lists them",
                   BYTES_FMT(bytes_first(name, URN_MAX)));
}

// "count"; one of several: "count.words".
static bool name_put(char *ret, const struct manifest *m, const struct manifest_tool *t,
                     const char *as)
{
    int n = m->tool_count == 1
                ? snprintf(ret, TOOL_NAME_MAX + 1, "%s", as)
                : snprintf(ret, TOOL_NAME_MAX + 1, "%s.%.*s", as, BYTES_FMT(t->name));
    return n > 0 && n <= TOOL_NAME_MAX;
}

static bool is_free(struct caps *c, const struct manifest *m, const char *as)
{
    char name[TOOL_NAME_MAX + 1];
    if (caps_item_of(c, bytes_of(as)))
        return false;
    for (size_t i = 0; i < m->tool_count; i++)
        if (!name_put(name, m, &m->tools[i], as) || map_get(c->names, bytes_of(name)) ||
            (c->args.taken && c->args.taken(c->args.user, name)))
            return false;
    return true;
}

static bool is_name(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.", s.p[i]) ||
            !s.p[i])
            return false;
    return s.n > 0 && s.n <= TOOL_NAME_MAX;
}

static int choose(struct caps *c, const struct manifest *m, struct bytes as,
                  char ret[TOOL_NAME_MAX + 1], struct err *e)
{
    const struct urn *u = &m->parts;
    if (as.n) {
        if (!is_name(as))
            return err_set(e, E_INVALID, "a name has 1 to %d letters, digits, _ - and .",
                           TOOL_NAME_MAX);
        (void)snprintf(ret, TOOL_NAME_MAX + 1, "%.*s", BYTES_FMT(as));
        return is_free(c, m, ret) ? 0 : err_set(e, E_EXISTS, "another tool is called %s", ret);
    }
    (void)snprintf(ret, TOOL_NAME_MAX + 1, "%.*s", BYTES_FMT(u->name));
    if (is_free(c, m, ret))
        return 0;
    (void)snprintf(ret, TOOL_NAME_MAX + 1, "%.*s_v%u", BYTES_FMT(u->name), (unsigned)u->version);
    if (is_free(c, m, ret))
        return 0;
    int n = snprintf(ret, TOOL_NAME_MAX + 1, "%.*s.%.*s_v%u", BYTES_FMT(u->space),
                     BYTES_FMT(u->name), (unsigned)u->version);
    if (n <= TOOL_NAME_MAX && is_free(c, m, ret))
        return 0;
    return err_set(e, E_EXISTS, "its names are taken: say what it shall be called");
}

// ---- the tables ---------------------------------------------------------------------------------

static int by_name(const void *a, const void *b)
{
    const struct caps_tool *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

// The list in order: made anew when it is asked for after a change.
static bool sort(struct caps *c)
{
    if (c->sorted)
        return true;
    size_t n = 0, at = 0;
    struct bytes key;
    void *t;
    c->sorted = mem_array(map_count(c->names) + 1, sizeof(struct caps_tool *));
    if (!c->sorted)
        return false;
    while (map_each(c->names, &at, &key, &t))
        c->sorted[n++] = t;
    qsort(c->sorted, n, sizeof *c->sorted, by_name);
    c->tool_count = n;
    return true;
}

static void changed(struct caps *c)
{
    mem_free(c->sorted);
    c->sorted = NULL;
    c->tools.epoch++;
}

void caps_item_unref(struct caps_item *i)
{
    if (!i || --i->refs)
        return;
    for (size_t k = 0; i->tools && k < i->m->tool_count; k++) {
        schema_free(i->tools[k].input);
        schema_free(i->tools[k].output);
        json_free(i->tools[k].input_doc);
        json_free(i->tools[k].output_doc);
    }
    mem_free(i->tools);
    permit_free(i->permit);
    manifest_free(i->m);
    mem_free(i);
}

int caps_take(struct caps *c, struct manifest *m, struct bytes as, int64_t added_ms,
              struct caps_item **ret, struct err *e)
{
    struct caps_item *i = mem_new(struct caps_item);
    struct caps_tool *tools = mem_array(m->tool_count, sizeof *tools);
    size_t put = 0;
    int rc = i && tools ? choose(c, m, as, i->as, e) : err_set(e, E_NOMEM, "out of memory");
    if (!rc)
        rc = map_put(c->urns, m->urn, i, NULL);
    if (!rc)
        rc = map_put(c->bases, bytes_of(i->as), i, NULL);
    for (; !rc && put < m->tool_count; put++) {
        tools[put].tool = &m->tools[put];
        tools[put].item = i;
        (void)name_put(tools[put].name, m, &m->tools[put], i->as);
        rc = map_put(c->names, bytes_of(tools[put].name), &tools[put], NULL);
    }
    if (rc) {
        for (size_t k = 0; k < put; k++)
            if (map_get(c->names, bytes_of(tools[k].name)) == &tools[k])
                (void)map_del(c->names, bytes_of(tools[k].name));
        if (i && map_get(c->urns, m->urn) == i)
            (void)map_del(c->urns, m->urn);
        if (i && map_get(c->bases, bytes_of(i->as)) == i)
            (void)map_del(c->bases, bytes_of(i->as));
        mem_free(tools);
        mem_free(i);
        return e && e->code ? rc : err_set(e, rc, "so many capabilities do not fit");
    }
    i->refs = 1;
    i->m = m;
    i->tools = tools;
    i->added_ms = added_ms;
    list_init(&i->waiting);
    list_init(&i->used);
    list_add_tail(&c->items, &i->link);
    c->item_count++;
    changed(c);
    *ret = i;
    return 0;
}

void caps_drop(struct caps *c, struct caps_item *i)
{
    for (size_t k = 0; k < i->m->tool_count; k++)
        (void)map_del(c->names, bytes_of(i->tools[k].name));
    (void)map_del(c->urns, i->m->urn);
    (void)map_del(c->bases, bytes_of(i->as));
    list_del(&i->link);
    c->item_count--;
    i->removed = true;
    caps_module_drop(c, i);
    changed(c);
    caps_item_unref(i);
}

// ---- the source ---------------------------------------------------------------------------------

static bool granted(const struct caps_item *i)
{
    return i->m->asks_nothing || permit_check(i->permit, i->m, NULL) == 0;
}

// What it says of itself, and what its permissions make of it: one that talks to a host reaches out
// of this node, whatever it says.
static unsigned effects_of(const struct caps_tool *t)
{
    const struct manifest *m = t->item->m;
    unsigned set = t->tool->effects | (m->host_count ? TOOL_NETWORK : 0u);
    for (size_t i = 0; i < m->dir_count; i++)
        set |= TOOL_READS | (m->dirs[i].write ? TOOL_WRITES | TOOL_DESTROYS : 0u);
    return set;
}

static void about(const struct caps_tool *t, struct tool_about *ret)
{
    const struct manifest *m = t->item->m;
    *ret = (struct tool_about){.name = bytes_of(t->name),
                               .title = t->tool->title.n ? t->tool->title : m->title,
                               .description = t->tool->description,
                               .input = t->tool->input,
                               .output = t->tool->output,
                               .source = BYTES("capability"),
                               .urn = m->urn,
                               .label = m->label,
                               .effects = effects_of(t),
                               .granted = granted(t->item)};
}

static void list(struct tools *base, const struct tool_caller *caller,
                 void (*each)(void *user, const struct tool_about *a), void *user)
{
    struct caps *c = (struct caps *)(void *)base;
    struct tool_about a;
    (void)caller;
    for (size_t i = 0; sort(c) && i < c->tool_count; i++) {
        about(c->sorted[i], &a);
        each(user, &a);
    }
}

static bool find(struct tools *base, struct bytes name, struct tool_about *ret)
{
    struct caps_tool *t = caps_tool_of((struct caps *)(void *)base, name);
    if (t)
        about(t, ret);
    return t != NULL;
}

struct tools *caps_tools(struct caps *c)
{
    return &c->tools;
}

int caps_new(struct caps **ret, const struct caps_args *args, struct err *e)
{
    static const struct tools_ops ops = {list, find, caps_call_start, caps_call_cancel};
    struct caps *c = mem_new(struct caps);
    if (!c)
        return err_set(e, E_NOMEM, "out of memory");
    c->tools.ops = &ops;
    c->args = *args;
    c->index = -1;
    list_init(&c->items);
    list_init(&c->modules);
    list_init(&c->calls);
    list_init(&c->reqs);
    c->names = map_new(CAPS_ITEMS_MAX * 2);
    c->urns = map_new(CAPS_ITEMS_MAX);
    c->bases = map_new(CAPS_ITEMS_MAX);
    int rc = c->names && c->urns && c->bases ? 0 : err_set(e, E_NOMEM, "out of memory");
    if (!rc &&
        (size_t)snprintf(c->folder, sizeof c->folder, "%s", args->folder) >= sizeof c->folder)
        rc = err_set(e, E_INVALID, "%.100s...: the path is too long", args->folder);
    if (!rc)
        rc = caps_index_open(c, e);
    if (!rc)
        rc = caps_outbox_open(c, e);
    if (rc) {
        c->args.registry = NULL; // the caller's
        caps_free(c);
    } else {
        *ret = c;
    }
    return rc;
}

void caps_free(struct caps *c)
{
    if (!c)
        return;
    c->stopping = true;
    caps_ops_stop(c);
    caps_calls_stop(c);
    caps_outbox_close(c);
    list_each_safe (it, &c->items)
        caps_drop(c, container_of(it, struct caps_item, link));
    caps_index_close(c);
    capreg_free(c->args.registry);
    map_free(c->names);
    map_free(c->urns);
    map_free(c->bases);
    mem_free(c->sorted);
    mem_free(c);
}

void caps_stats(const struct caps *c, struct caps_stats *ret)
{
    *ret = (struct caps_stats){.items = c->item_count,
                               .tools = map_count(c->names),
                               .modules = c->module_count,
                               .calls = c->call_count,
                               .damaged = c->damaged};
    caps_outbox_stats(c, &ret->waiting, ret->why, sizeof ret->why);
}

// ---- for people ---------------------------------------------------------------------------------

bool caps_find(struct caps *c, struct bytes name, const struct manifest **ret_manifest,
               const struct permit **ret_permit)
{
    struct caps_item *i = caps_item_of(c, name);
    if (i && ret_manifest)
        *ret_manifest = i->m;
    if (i && ret_permit)
        *ret_permit = i->permit;
    return i != NULL;
}

struct val *caps_words(struct caps *c, struct bytes name)
{
    struct caps_item *i = caps_item_of(c, name);
    return i ? manifest_words(i->m) : NULL;
}

static struct val *text(struct val *v, const char *key, struct bytes s)
{
    return s.n ? val_put_cstr(v, key, val_str(s)) : v;
}

static struct val *tools_of(const struct caps_item *i)
{
    struct val *all = val_arr();
    for (size_t k = 0; k < i->m->tool_count; k++) {
        const struct manifest_tool *t = i->tools[k].tool;
        struct val *v = val_put_cstr(val_obj(), "name", val_cstr(i->tools[k].name));
        v = text(v, "title", t->title);
        v = val_put_cstr(v, "description", val_str(t->description));
        v = val_put_cstr(v, "effects", manifest_effects(t->effects));
        v = val_put_cstr(v, "input", val_ref((struct val *)(uintptr_t)t->input));
        if (t->output)
            v = val_put_cstr(v, "output", val_ref((struct val *)(uintptr_t)t->output));
        all = val_push(all, v);
    }
    return all;
}

static struct val *show(const struct caps_item *i)
{
    const struct manifest *m = i->m;
    struct err why = {0};
    struct val *v = val_put_cstr(val_obj(), "name", val_cstr(i->as));
    bool allowed = granted(i);
    v = text(v, "title", m->title);
    v = val_put_cstr(v, "description", val_str(m->description));
    v = val_put_cstr(v, "source", val_cstr("capability"));
    v = val_put_cstr(v, "urn", val_str(m->urn));
    v = text(v, "label", m->label);
    v = val_put_cstr(v, "granted", val_bool(allowed));
    v = val_put_cstr(v, "permissions", manifest_words(m));
    v = val_put_cstr(v, "tools", tools_of(i));
    v = val_put_cstr(v, "sha256", val_cstr(m->code_hash));
    v = val_put_cstr(v, "bytes", val_int((int64_t)m->code_bytes));
    v = val_put_cstr(v, "manifest_sha256", val_cstr(m->hash));
    v = text(v, "publisher", m->publisher);
    v = text(v, "key", m->is_signed ? m->key : BYTES_NONE);
    v = val_put_cstr(v, "signed", val_bool(m->is_signed));
    v = val_put_cstr(v, "cases", val_int((int64_t)val_len(m->cases)));
    v = val_put_cstr(v, "added", val_int(i->added_ms));
    if (i->permit)
        v = val_put_cstr(v, "permit", val_ref((struct val *)(uintptr_t)i->permit->root));
    if (!allowed && permit_check(i->permit, m, &why))
        v = val_put_cstr(v, "refused", val_cstr(why.text));
    return v;
}

static int give(const struct caps_item *i, struct val **ret, struct err *e)
{
    if (ret && !(*ret = show(i)))
        return err_set(e, E_NOMEM, "out of memory");
    return 0;
}

int caps_show(struct caps *c, struct bytes name, struct val **ret, struct err *e)
{
    struct caps_item *i = caps_item_of(c, name);
    return i ? give(i, ret, e) : caps_not_here(name, e);
}

static int check(struct caps *c, const struct manifest_pack *p, struct manifest **ret,
                 struct err *e)
{
    struct manifest *m = NULL;
    int rc = manifest_open(&m, p->manifest, 0, e);
    if (!rc)
        rc = manifest_code_check(m, p->code, e);
    if (!rc && !caps_is_publisher(c->args.publishers, m->is_signed ? m->key : BYTES_NONE))
        rc = err_set(e, E_SECURITY,
                     "%.*s: %s is not among tools.publishers, whose signatures are taken here",
                     BYTES_FMT(m->urn), m->is_signed ? m->key.p : "nobody (it is not signed)");
    if (rc)
        manifest_free(m);
    else
        *ret = m;
    return rc;
}

int caps_add(struct caps *c, const struct manifest_pack *p, struct bytes as, struct val **ret,
             struct err *e)
{
    struct manifest *m = NULL;
    struct caps_item *i = NULL;
    int rc = check(c, p, &m, e);
    if (rc)
        return rc;
    struct caps_item *old = caps_item_of(c, m->urn);
    if (old) {
        bool same = strcmp(old->m->hash, m->hash) == 0;
        manifest_free(m);
        return same ? give(old, ret, e)
                    : err_set(e, E_EXISTS,
                              "%.*s is here with another manifest: give the new one a new version, "
                              "or remove the old one first",
                              BYTES_FMT(old->m->urn));
    }
    rc = caps_blob_put(c, m->code_hash, p->code, e);
    if (!rc)
        rc = caps_take(c, m, as, caps_now(c), &i, e);
    if (rc) {
        manifest_free(m);
        return rc;
    }
    struct val *line = val_put_cstr(val_obj(), "op", val_cstr("add"));
    line = val_put_cstr(line, "as", val_cstr(i->as));
    line = val_put_cstr(line, "at", val_int(i->added_ms));
    line = val_put_cstr(line, "manifest", val_ref((struct val *)(uintptr_t)m->root));
    rc = caps_index_add(c, line, e);
    if (rc) {
        char hash[MANIFEST_HASH_LEN + 1];
        memcpy(hash, m->code_hash, sizeof hash);
        caps_drop(c, i);
        caps_blob_remove(c, hash);
        return rc;
    }
    return give(i, ret, e);
}

static struct val *op_line(const char *op, const struct caps_item *i)
{
    struct val *v = val_put_cstr(val_obj(), "op", val_cstr(op));
    return val_put_cstr(v, "urn", val_str(i->m->urn));
}

int caps_remove(struct caps *c, struct bytes name, struct err *e)
{
    struct caps_item *i = caps_item_of(c, name);
    char hash[MANIFEST_HASH_LEN + 1];
    if (!i)
        return caps_not_here(name, e);
    int rc = caps_index_add(c, op_line("rm", i), e);
    if (rc)
        return rc;
    memcpy(hash, i->m->code_hash, sizeof hash);
    caps_drop(c, i);
    caps_blob_remove(c, hash);
    return 0;
}

int caps_grant(struct caps *c, struct bytes name, const struct bytes *items, size_t count,
               struct bytes who, struct bytes reason, struct val **ret, struct err *e)
{
    struct caps_item *i = caps_item_of(c, name);
    struct permit *p = NULL;
    if (!i)
        return caps_not_here(name, e);
    struct permit_args args = {i->m, items, count, who, reason, caps_now(c)};
    int rc = permit_make(&p, &args, e);
    if (rc)
        return rc;
    struct val *line = val_put_cstr(val_obj(), "op", val_cstr("permit"));
    line = val_put_cstr(line, "permit", val_ref((struct val *)(uintptr_t)p->root));
    rc = caps_index_add(c, line, e);
    if (rc) {
        permit_free(p);
        return rc;
    }
    permit_free(i->permit);
    i->permit = p;
    c->tools.epoch++;
    return give(i, ret, e);
}

int caps_revoke(struct caps *c, struct bytes name, struct err *e)
{
    struct caps_item *i = caps_item_of(c, name);
    if (!i)
        return caps_not_here(name, e);
    if (i->m->asks_nothing)
        return err_set(e, E_INVALID,
                       "%s asks for nothing, so there is nothing to take back; `plexus tool rm %s` "
                       "removes it",
                       i->as, i->as);
    int rc = i->permit ? caps_index_add(c, op_line("revoke", i), e) : 0;
    if (rc)
        return rc;
    permit_free(i->permit);
    i->permit = NULL;
    c->tools.epoch++;
    return 0;
}
