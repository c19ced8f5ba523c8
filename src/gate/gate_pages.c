// gate_pages.c: the list of models, health and metrics.
// SPDX-License-Identifier: Apache-2.0
#include "gate/gate_priv.h"
#include "text/url.h"
#include <string.h>

static void put_model(struct json_w *w, const struct model_view *v)
{
    json_w_obj(w, NULL);
    json_w_cstr(w, "id", v->name);
    json_w_cstr(w, "object", "model");
    json_w_i64(w, "created", 0);
    json_w_cstr(w, "owned_by", v->engine);
    json_w_cstr(w, "kind", v->kind);
    json_w_cstr(w, "state", model_state_name(v->state));
    if (v->context)
        json_w_u64(w, "context", v->context);
    if (v->eta_ms >= 0)
        json_w_i64(w, "eta_ms", v->eta_ms);
    if (v->state == MODEL_FAILED)
        json_w_cstr(w, "failure", v->failure);
    json_w_end(w);
}

static void reply_json(struct gate *g, struct http_exchange *x, int status, struct buf *b)
{
    buf_clear(&g->extra);
    gate_put_cors(g, x, &g->extra);
    http_reply(x, status, "application/json", buf_bytes(&g->extra), buf_bytes(b));
}

// A key sees the models that it may use.
static void models_page(struct gate *g, struct http_exchange *x, struct bytes one)
{
    const struct key *key = http_owner(x);
    struct err e = {0};
    struct buf b;
    struct json_w w;
    buf_init(&b, 4u << 20);
    json_w_init(&w, &b);
    if (one.n) {
        struct model *m = models_find(g->args.models, one);
        if (!m) {
            gate_reply_error(g, x, NULL, E_NOTFOUND, "there is no model of this name", "model", -1);
            return;
        }
        struct model_view v;
        model_view(g->args.models, m, timers_now_ms(g->args.timers), &v);
        if (key && key_model(key, bytes_of(v.name), &e) < 0) {
            gate_reply_error(g, x, NULL, e.code, e.text, "model", -1);
            return;
        }
        put_model(&w, &v);
    } else {
        json_w_obj(&w, NULL);
        json_w_cstr(&w, "object", "list");
        json_w_arr(&w, "data");
        for (struct model *m = NULL; (m = models_each(g->args.models, m)) != NULL;) {
            struct model_view v;
            model_view(g->args.models, m, timers_now_ms(g->args.timers), &v);
            if (!key || key_model(key, bytes_of(v.name), NULL) == 0)
                put_model(&w, &v);
        }
        if (g->others && g->args.others)
            g->args.others(g->args.user, &w, key);
        json_w_end(&w);
        json_w_end(&w);
    }
    reply_json(g, x, 200, &b);
    buf_fini(&b);
}

// Clients write the '/' of a name as %2F.
static void one_model_page(struct gate *g, struct http_exchange *x, struct bytes raw)
{
    struct buf name;
    buf_init(&name, 4096);
    bool good = url_path_decode(&name, raw, NULL) == 0 && name.n > 0;
    models_page(g, x, good ? buf_bytes(&name) : raw);
    buf_fini(&name);
}

static void health_page(struct gate *g, struct http_exchange *x, struct bytes path)
{
    bool ready = g->args.ready(g->args.user);
    bool live_only = bytes_is(path, "/health/live");
    struct bytes body = live_only ? BYTES("{\"status\":\"ok\"}")
                        : ready   ? BYTES("{\"status\":\"ok\",\"ready\":true}")
                                  : BYTES("{\"status\":\"draining\",\"ready\":false}");
    http_reply(x, live_only || ready ? 200 : 503, "application/json", BYTES_NONE, body);
}

static void metrics_page(struct gate *g, struct http_exchange *x)
{
    struct buf b;
    buf_init(&b, 16u << 20);
    g->args.before_metrics(g->args.user);
    (void)meter_put(&b, g->args.meter);
    http_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", BYTES_NONE, buf_bytes(&b));
    buf_fini(&b);
}

// RFC 9110, section 15.5.6: a 405 says which methods there are.
static void wrong_method(struct gate *g, struct http_exchange *x, bool post)
{
    buf_clear(&g->extra);
    (void)buf_fmt(&g->extra, "Allow: %s\r\n", post ? "POST" : "GET, HEAD");
    gate_put_cors(g, x, &g->extra);
    http_reply_error_with(x, E_METHOD,
                          post ? "there is nothing to GET here; the model API takes POST"
                               : "there is only something to GET here",
                          NULL, -1, buf_bytes(&g->extra));
}

bool gate_page(struct gate *g, struct http_exchange *x)
{
    const struct http_head *h = http_request(x);
    bool get = bytes_is(h->method, "GET") || bytes_is(h->method, "HEAD");
    bool list = bytes_is(h->path, "/v1/models") || bytes_starts(h->path, BYTES("/v1/models/"));
    bool post = bytes_starts(h->path, BYTES("/v1/")) && !list;
    bool ours = bytes_is(h->path, "/metrics") || post || list || bytes_is(h->path, "/health") ||
                bytes_starts(h->path, BYTES("/health/"));
    if (!ours)
        return false;
    if (!get || post)
        wrong_method(g, x, post);
    else if (bytes_is(h->path, "/v1/models"))
        models_page(g, x, BYTES_NONE);
    else if (bytes_starts(h->path, BYTES("/v1/models/")) && h->path.n > 11)
        one_model_page(g, x, bytes_from(h->path, 11));
    else if (bytes_is(h->path, "/metrics"))
        metrics_page(g, x);
    else if (bytes_is(h->path, "/health") || bytes_is(h->path, "/health/live") ||
             bytes_is(h->path, "/health/ready"))
        health_page(g, x, h->path);
    else
        http_reply_error(x, E_NOTFOUND,
                         "there is nothing here; /health, /health/live, /health/ready", NULL, -1);
    return true;
}
