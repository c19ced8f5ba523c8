// build.c: from the checked document with its defaults to struct config.
// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"
#include "config/config_priv.h"
#include "text/url.h"
#include <stdlib.h>
#include <string.h>

static void build_door(struct config_work *w, const struct json *listen, const struct json *one,
                       struct config_door *d)
{
    const struct json *own = json_is(one, JSON_OBJ) ? one : NULL;
    const struct json *keys = json_get(own, "keys"), *tls = json_get(own, "tls");
    const struct json *mode = json_get(own, "mode");
    struct bytes address = own ? json_str(json_get(own, "address")) : json_str(one);
    struct url_addr a = {0};
    (void)url_addr_parse(&a, address, NULL); // checked before
    keys = keys ? keys : json_get(listen, "keys");
    tls = tls ? tls : json_get(listen, "tls");
    mode = mode ? mode : json_get(listen, "mode");
    if (a.unix_socket) { // relative sockets are below the file's folder too
        const char *path = config_path(w, bytes_of(a.host));
        const char *text = arena_fmt(w->arena, "unix:%s", path);
        if (url_addr_parse(&a, bytes_of(text), NULL) != 0) {
            struct config_at top = {.key = BYTES("listen")}, at = {.up = &top, .key = BYTES("api")};
            config_find(w, &at, false, "the path of a unix socket has 1 to 107 bytes, found %s",
                        path);
        }
        d->address = text ? text : "";
        d->mode = (uint32_t)strtoul(json_cstr(mode, "0600"), NULL, 8);
        tls = NULL;
    } else {
        d->address = config_str(w, address);
    }
    if (json_get(tls, "cert")) {
        d->tls_cert = config_path(w, json_str(json_get(tls, "cert")));
        d->tls_key = config_path(w, json_str(json_get(tls, "key")));
    }
    if (json_get(tls, "client_ca"))
        d->tls_client_ca = config_path(w, json_str(json_get(tls, "client_ca")));
    bool known = a.unix_socket || url_is_loopback(bytes_of(a.host)) || d->tls_client_ca;
    d->keys_required =
        bytes_is(json_str(keys), "required") || (!bytes_is(json_str(keys), "off") && !known);
}

static void build_doors(struct config_work *w, const struct json *listen, struct config *c)
{
    const struct json *api = json_get(listen, "api");
    bool list = json_is(api, JSON_ARR);
    c->door_count = list ? json_len(api) : 1;
    c->doors = arena_zalloc(w->arena, c->door_count * sizeof *c->doors);
    if (!c->doors) {
        w->failed = E_NOMEM;
        c->door_count = 0;
        return;
    }
    for (size_t i = 0; i < c->door_count; i++)
        build_door(w, listen, list ? json_at(api, i) : api, &c->doors[i]);
    c->hosts = config_words(w, json_get(listen, "hosts"));
    c->origins = config_words(w, json_get(listen, "origins"));
}

static void build_models(struct config_work *w, const struct json *models, struct config *c)
{
    struct json_iter it = {0};
    struct bytes name;
    const struct json *m;
    c->models = arena_zalloc(w->arena, (json_len(models) + 1) * sizeof *c->models);
    if (!c->models) {
        w->failed = E_NOMEM;
        return;
    }
    while (json_each(models, &it, &name, &m))
        config_build_model(w, name, m, &c->models[c->model_count++]);
}

static void build_limits(const struct json *v, struct config *c)
{
    c->head_bytes = config_size(json_get(v, "head"), 0);
    c->body_bytes = config_size(json_get(v, "body"), 0);
    c->budget_bytes = config_size(json_get(v, "bodies"), 0);
    c->connections_max = (uint64_t)json_i64(json_get(v, "connections"), 0);
    c->head_ms = config_ms(json_get(v, "head_time"), TIME_NEVER);
    c->body_ms = config_ms(json_get(v, "body_time"), TIME_NEVER);
    c->keepalive_ms = config_ms(json_get(v, "idle_time"), TIME_NEVER);
    c->write_ms = config_ms(json_get(v, "write_time"), TIME_NEVER);
    c->drain_ms = config_ms(json_get(v, "drain"), 0);
    c->queue_max = (uint32_t)json_i64(json_get(v, "queue"), 0);
}

static void build_mesh(struct config_work *w, const struct json *root, struct config *c)
{
    const struct json *mesh = json_get(root, "mesh"), *node = json_get(root, "node");
    c->roles = config_words(w, json_get(node, "roles"));
    c->profile = config_str(w, json_str(json_get(node, "profile")));
    c->mesh_listen = config_str_of(w, json_get(json_get(root, "listen"), "mesh"));
    c->mesh_advertise = config_words(w, json_get(mesh, "advertise"));
    c->beat_ms = config_ms(json_get(mesh, "beat"), 50);
    c->suspect_ms = config_ms(json_get(mesh, "suspect"), 400);
    c->dead_ms = config_ms(json_get(mesh, "dead"), 1300);
    c->svid_ttl_ms = config_ms(json_get(mesh, "svid_ttl"), 3600000);
}

static void build_bus(struct config_work *w, const struct json *v, struct config *c)
{
    struct config_at top = {.key = BYTES("bus")};
    struct config_at password = {.up = &top, .key = BYTES("password")};
    struct config_at token = {.up = &top, .key = BYTES("token")};
    const struct json *keep = json_get(v, "keep"), *ca = json_get(v, "ca");
    const struct json *engine = json_get(v, "engine");
    c->bus_engine = engine ? config_str(w, json_str(engine)) : "embedded";
    c->bus_url = config_str_of(w, json_get(v, "url"));
    c->bus_user = config_str_of(w, json_get(v, "user"));
    c->bus_ca = ca ? config_path(w, json_str(ca)) : NULL;
    if (json_get(v, "password"))
        c->bus_password = config_secret(w, &password, json_get(v, "password"));
    if (json_get(v, "token"))
        c->bus_token = config_secret(w, &token, json_get(v, "token"));
    c->bus_keep_msgs = (uint64_t)json_i64(json_get(keep, "messages"), 100000);
    c->bus_keep_bytes = config_size(json_get(keep, "size"), (uint64_t)64 << 20);
    c->bus_keep_ms = config_ms(json_get(keep, "time"), (int64_t)24 * 3600 * 1000);
}

// Where it names no server, that of the bus counts, with its account.
static void build_registry(struct config_work *w, const struct json *v, struct config *c)
{
    struct config_at top = {.key = BYTES("registry")};
    struct config_at password = {.up = &top, .key = BYTES("password")};
    struct config_at token = {.up = &top, .key = BYTES("token")};
    struct bytes engine = json_str(json_get(v, "engine"));
    c->registry_ttl_ms = config_ms(json_get(v, "ttl"), 30000);
    if (!bytes_is(engine, "nats") && (engine.n || strcmp(c->bus_engine, "nats") != 0))
        return;
    c->registry_url = config_str_of(w, json_get(v, "url"));
    if (!c->registry_url) {
        c->registry_url = c->bus_url;
        c->registry_of_bus = true;
        return;
    }
    c->registry_user = config_str_of(w, json_get(v, "user"));
    if (json_get(v, "ca"))
        c->registry_ca = config_path(w, json_str(json_get(v, "ca")));
    if (json_get(v, "password"))
        c->registry_password = config_secret(w, &password, json_get(v, "password"));
    if (json_get(v, "token"))
        c->registry_token = config_secret(w, &token, json_get(v, "token"));
}

static void build_alerts(struct config_work *w, const struct json *v, struct config *c)
{
    struct config_at at = {.key = BYTES("alerts")}, secret = {.up = &at, .key = BYTES("secret")};
    c->alert_webhook = config_str_of(w, json_get(v, "webhook"));
    c->alert_on = config_words(w, json_get(v, "on"));
    if (json_get(v, "secret"))
        c->alert_secret = config_secret(w, &secret, json_get(v, "secret"));
}

void config_build(struct config_work *w, struct config *c)
{
    const struct json *root = json_root(c->doc), *node = json_get(root, "node");
    const struct json *log = json_get(root, "log");
    c->node_name = config_str(w, json_str(json_get(node, "name")));
    c->context = config_str(w, json_str(json_get(node, "context")));
    struct bytes rest = bytes_of(c->context);
    c->environment = config_str(w, bytes_cut(&rest, '.'));
    c->data = config_path(w, json_str(json_get(root, "data")));
    build_doors(w, json_get(root, "listen"), c);
    build_mesh(w, root, c);
    build_bus(w, json_get(root, "bus"), c);
    build_registry(w, json_get(root, "registry"), c);
    config_build_flows(w, json_get(root, "flows"), &c->flows);
    config_build_tools(w, root, c);
    build_models(w, json_get(root, "models"), c);
    config_build_labels(w, json_get(root, "labels"), c);
    c->currency = config_str(w, json_str(json_get(json_get(root, "meter"), "currency")));
    build_alerts(w, json_get(root, "alerts"), c);
    c->memory_bytes = config_size(json_get(json_get(root, "memory"), "budget"), 0);
    build_limits(json_get(root, "limits"), c);
    c->log_level = config_str(w, json_str(json_get(log, "level")));
    c->access_log = config_str(w, json_str(json_get(log, "access")));
    c->log_rotate_bytes = config_size(json_get(log, "rotate"), 0);
    c->access_log_flush_ms = config_ms(json_get(log, "access_flush"), 0);
    c->access_log_batch_bytes = config_size(json_get(log, "access_batch"), 0);
}
