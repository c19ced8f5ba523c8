// config.c: a configuration file, checked whole before anything of it is used.
// SPDX-License-Identifier: Apache-2.0
#include "config/config.h"
#include "base/alloc.h"
#include "base/file.h"
#include "config/config_priv.h"
#include "text/schema.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES_MAX 4096

struct bytes config_schema(void)
{
    return embed_config_schema();
}

static void wipe(const char *text)
{
    if (text)
        mem_wipe((char *)(uintptr_t)text, strlen(text));
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->model_count; i++) {
        wipe(c->models[i].key.value_);
        for (const char *const *e = c->models[i].env; e && *e; e++)
            wipe(*e);
    }
    json_free(c->doc);
    arena_free(c->arena); // c itself lives there
}

static struct config *config_new(const char *name)
{
    struct arena *a = arena_new(CONFIG_ARENA_MAX);
    struct config *c = a ? arena_zalloc(a, sizeof *c) : NULL;
    if (!c) {
        arena_free(a);
        return NULL;
    }
    c->arena = a;
    c->path = name ? arena_str(a, bytes_of(name)) : NULL;
    if (name && !c->path) {
        arena_free(a);
        return NULL;
    }
    return c;
}

// "line L, column C: why" becomes "name:L:C: why".
static int parse_error(const char *name, const struct err *from, struct buf *ret, struct err *e)
{
    unsigned line, column;
    int skip = 0;
    struct err here = {0};
    if (sscanf(from->text, "line %u, column %u: %n", &line, &column, &skip) >= 2 && skip > 0)
        (void)err_set(&here, from->code, "%s:%u:%u: %s", name, line, column, from->text + skip);
    else
        (void)err_set(&here, from->code, "%s: %s", name, from->text);
    if (ret)
        (void)buf_str(ret, here.text);
    return err_set(e, here.code, "%s", here.text);
}

// Everything that does not fit, as findings.
static int check(struct config_work *w, const struct json *root, struct err *e)
{
    struct schema *s = NULL;
    struct schema_error first = {0};
    int rc = schema_new(&s, &(struct schema_args){.doc = w->schema}, e);
    if (rc != 0)
        return err_wrap(e, "config/schema.json");
    rc = schema_check(s, root, &first);
    schema_free(s);
    w->fits = rc == 0;
    if (rc != 0 && rc != E_SCHEMA)
        return err_set(e, rc, "%s: %s", w->name, err_info(rc)->text);
    config_explain(w, NULL, w->schema, root);
    config_parts_rules(w, root);
    if (!w->fits && !w->count) // the schema knows a rule that explain.c does not: no value is shown
        config_find(w, NULL, false, "%s does not fit the schema at %s", first.instance,
                    first.keyword);
    return 0;
}

static int fill(struct config_work *w, const struct json *root, struct config *c, struct err *e)
{
    struct buf text;
    buf_init(&text, CONFIG_FILE_MAX * 16);
    int rc = config_defaults(w, &text, root);
    if (rc == 0)
        rc = json_parse(&c->doc, buf_bytes(&text), 0, e);
    else
        (void)err_set(e, rc, "%s: %s", w->name, err_info(rc)->text);
    buf_fini(&text);
    if (rc == 0) {
        c->labels_given = json_len(json_get(root, "labels")) > 0;
        config_build(w, c);
    }
    return rc;
}

// Parts of it may hold only elsewhere: rules between keys are looked at where all is together.
static int rest(struct config_work *w, const struct json *root, struct config *c, struct err *e)
{
    struct json_doc *merged = NULL;
    int rc = w->fits && !w->count ? config_contexts(w, c, root, &merged, e) : 0;
    if (merged)
        root = json_root(merged);
    if (rc == 0 && merged) { // what came from outside is checked as if it stood there
        struct schema_error first = {0};
        struct schema *s = NULL;
        rc = schema_new(&s, &(struct schema_args){.doc = w->schema}, e);
        w->fits = rc == 0 && schema_check(s, root, &first) == 0;
        schema_free(s);
        config_explain(w, NULL, w->schema, root);
    }
    if (rc == 0)
        config_rules(w, root);
    if (rc == 0 && !w->count)
        rc = fill(w, root, c, e);
    json_free(merged);
    return rc;
}

static int load(struct config_work *w, struct config *c, struct bytes text,
                struct buf *ret_findings, struct err *e)
{
    struct json_doc *schema = NULL;
    struct err why = {0};
    int rc = json_parse(&schema, embed_config_schema(), 0, e);
    if (rc != 0)
        return err_wrap(e, "config/schema.json");
    w->schema = json_root(schema);
    rc = yaml_parse(&w->yaml, text, &why);
    if (rc != 0) {
        rc = parse_error(w->name, &why, ret_findings, e);
    } else {
        rc = check(w, yaml_root(w->yaml), e);
        if (rc == 0)
            rc = rest(w, yaml_root(w->yaml), c, e);
        if (rc == 0)
            rc = config_findings(w, ret_findings, e);
    }
    yaml_free(w->yaml);
    json_free(schema);
    return rc;
}

static int parse(struct config **ret, const char *name, struct bytes text, const char *base_dir,
                 struct buf *ret_findings, struct err *e)
{
    char folder[PATH_BYTES_MAX], full[PATH_BYTES_MAX * 2];
    if (text.n > CONFIG_FILE_MAX)
        return err_set(e, E_TOOBIG, "%s: larger than %zu bytes", name, CONFIG_FILE_MAX);
    if (!base_dir || base_dir[0] != '/') { // all paths of the result are absolute
        if (!getcwd(folder, sizeof folder))
            return err_set(e, E_NOTFOUND, "%s: the working folder is gone", name);
        bool here = !base_dir || strcmp(base_dir, ".") == 0 || !*base_dir;
        (void)snprintf(full, sizeof full, "%s%s%s", folder, here ? "" : "/", here ? "" : base_dir);
        base_dir = full;
    }
    struct config *c = config_new(name);
    struct config_work *w = mem_new(struct config_work);
    int rc = E_NOMEM;
    if (c && w) {
        *w = (struct config_work){.arena = c->arena, .name = name ? name : "configuration"};
        w->base_dir = config_str(w, bytes_of(base_dir));
        rc = load(w, c, text, ret_findings, e);
    } else {
        (void)err_set(e, rc, "out of memory");
    }
    mem_free(w);
    if (rc == 0)
        *ret = c;
    else
        config_free(c);
    return rc;
}

int config_parse(struct config **ret, const char *name, struct bytes yaml, const char *base_dir,
                 struct err *e)
{
    return parse(ret, name, yaml, base_dir, NULL, e);
}

int config_load_all(struct config **ret, const char *path, struct buf *ret_findings, struct err *e)
{
    struct buf text;
    struct err why = {0};
    buf_init(&text, CONFIG_FILE_MAX);
    int rc = file_read(path, &text, &why);
    if (rc != 0) {
        (void)err_set(e, rc, "%s", why.text);
        if (ret_findings)
            (void)buf_str(ret_findings, why.text);
    } else {
        const char *slash = strrchr(path, '/');
        AUTO_MEM char *folder =
            slash ? mem_dup(path, slash == path ? 1 : (size_t)(slash - path)) : NULL;
        if (slash && !folder)
            rc = err_set(e, E_NOMEM, "%s: out of memory", path);
        else
            rc = parse(ret, path, buf_bytes(&text), folder, ret_findings, e);
    }
    buf_fini(&text);
    return rc;
}

int config_load(struct config **ret, const char *path, struct err *e)
{
    return config_load_all(ret, path, NULL, e);
}
