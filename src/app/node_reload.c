// node_reload.c: a new config, checked whole, then only what changed is touched.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_priv.h"
#include "text/json.h"
#include <string.h>
#include <sys/stat.h>

#define CHANGES_MAX 512

void node_put_models(struct node *n, const struct config *c)
{
    int64_t now = timers_now_ms(loop_timers(n->loop));
    for (size_t i = 0; i < c->model_count; i++) {
        struct err e = {0};
        if (engines_put(n->engines, &c->models[i], now, &e) < 0)
            log_event(LOG_ERROR, "model.refused", LOG_STR("model", c->models[i].name),
                      LOG_STR("why", e.text));
    }
}

void node_prices(struct node *n, const struct config *c)
{
    meter_currency(n->meter, c->currency);
    for (size_t i = 0; i < c->model_count; i++) {
        const struct config_model *m = &c->models[i];
        struct meter_model *row = meter_model(n->meter, m->name, m->engine);
        if (!row)
            continue;
        row->price_in = m->price_in;
        row->price_out = m->price_out;
    }
}

static const struct config_model *model_of(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->model_count; i++)
        if (strcmp(c->models[i].name, name) == 0)
            return &c->models[i];
    return NULL;
}

static void apply_models(struct node *n, const struct config *c,
                         const struct config_change *changes, size_t count)
{
    int64_t now = timers_now_ms(loop_timers(n->loop));
    for (size_t i = 0; i < count; i++) {
        const struct config_model *m = model_of(c, changes[i].name ? changes[i].name : "");
        struct err e = {0};
        int status = 0;
        if (strcmp(changes[i].what, "model") != 0)
            continue;
        if (strcmp(changes[i].action, "remove") == 0)
            engines_remove(n->engines, changes[i].name, now);
        else if (m)
            status = engines_put(n->engines, m, now, &e);
        if (status < 0)
            log_event(LOG_ERROR, "model.refused", LOG_STR("model", changes[i].name),
                      LOG_STR("why", e.text));
    }
}

static void put_changes(struct buf *out, const struct config_change *changes, size_t count)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_arr(&w, NULL);
    for (size_t i = 0; i < count; i++) {
        json_w_obj(&w, NULL);
        json_w_cstr(&w, "what", changes[i].what);
        json_w_cstr(&w, "name", changes[i].name);
        json_w_cstr(&w, "action", changes[i].action);
        json_w_end(&w);
    }
    json_w_end(&w);
}

// An editor that rewrites in place leaves an empty file for a moment; taken as a configuration it
// would end every model.
static int not_empty(const char *path, struct err *e)
{
    struct stat st;
    if (stat(path, &st) == 0 && st.st_size == 0)
        return err_set(e, E_CONFIG, "%s is empty: the configuration in use goes on", path);
    return 0;
}

int node_reload(struct node *n, struct buf *changes, struct err *e)
{
    static struct config_change rows[CHANGES_MAX];
    struct config *fresh = NULL;
    struct node_labels labels = {0};
    if (n->draining)
        return err_set(e, E_BUSY, "the node is stopping");
    int status = not_empty(n->config_path, e);
    if (status == 0)
        status = config_load(&fresh, n->config_path, e);
    if (status < 0)
        return status;
    n->config->data = n->data_said; // what is compared is what the two files say
    size_t count = config_diff(n->config, fresh, rows, CHANGES_MAX);
    n->config->data = n->paths.data;
    status = node_labels_make(n, fresh, &labels, e);
    if (status == 0)
        status = doors_open(n, fresh, e);
    if (status < 0) {
        node_labels_drop(&labels);
        config_free(fresh);
        return status;
    }
    struct config *old = n->config;
    n->config = fresh;
    fresh->data = n->paths.data; // another folder needs another start
    node_labels_take(n, &labels);
    node_alerts_config(n);
    apply_models(n, fresh, rows, count);
    node_prices(n, fresh);
    node_limits(n);
    put_changes(changes, rows, count);
    config_free(old); // engines copied what they need, gate and doors have the new names
    engines_run(n->engines);
    log_event(LOG_INFO, "config.reloaded", LOG_STR("config", fresh->path),
              LOG_UINT("changes", count));
    return 0;
}
