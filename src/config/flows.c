// flows.c: what runs workflows, as a configuration says it.
// SPDX-License-Identifier: Apache-2.0
#include "config/config_priv.h"
#include "text/url.h"

// ---- rules ----

static void journal(struct config_work *w, const struct config_at *up, const struct json *v)
{
    struct config_at top = {.up = up, .key = BYTES("journal")};
    bool postgres = bytes_is(json_str(json_get(v, "engine")), "postgres");
    static const char *const keys[] = {"url", "user", "password"};
    if (postgres && !json_get(v, "url"))
        config_find(w, &top, false,
                    "engine postgres needs a url such as postgres://10.0.0.1:5432/plexus");
    for (size_t i = 0; !postgres && i < sizeof(keys) / sizeof(*keys); i++) {
        struct config_at at = {.up = &top, .key = bytes_of(keys[i])};
        if (json_get(v, keys[i]))
            config_find(w, &at, false, "it is for engine postgres only: set flows.journal.engine");
    }
}

static void hosts(struct config_work *w, const struct config_at *up, const struct json *v)
{
    struct config_at top = {.up = up, .key = BYTES("hosts")};
    struct json_iter it = {0};
    struct bytes name;
    const struct json *address;
    struct url_addr addr;
    while (json_is(v, JSON_OBJ) && json_each(v, &it, &name, &address)) {
        struct config_at at = {.up = &top, .key = name};
        struct err e = {0};
        if (json_is(address, JSON_STR) && url_addr_parse(&addr, json_str(address), &e) < 0)
            config_find(w, &at, false, "%s", e.text);
    }
}

static void temporal(struct config_work *w, const struct config_at *up, const struct json *flows)
{
    struct config_at top = {.up = up, .key = BYTES("temporal")};
    struct config_at cert = {.up = &top, .key = BYTES("cert")};
    const struct json *v = json_get(flows, "temporal");
    if (json_get(v, "address") && !bytes_is(json_str(json_get(flows, "engine")), "temporal"))
        config_find(w, &top, false, "it is for engine temporal only: set flows.engine");
    if (!json_get(v, "cert") != !json_get(v, "cert_key"))
        config_find(w, &cert, false, "cert and cert_key go together");
}

void config_flow_rules(struct config_work *w, const struct json *flows)
{
    struct config_at top = {.key = BYTES("flows")};
    journal(w, &top, json_get(flows, "journal"));
    hosts(w, &top, json_get(flows, "hosts"));
    temporal(w, &top, flows);
}

// ---- the result ----

static const char *text_of(struct config_work *w, const struct json *v, const char *fallback)
{
    return v ? config_str(w, json_str(v)) : fallback;
}

static const char *path_of(struct config_work *w, const struct json *v)
{
    return v ? config_path(w, json_str(v)) : NULL;
}

static void secrets(struct config_work *w, const struct config_at *up, const struct json *v,
                    struct config_flows *ret)
{
    struct config_at top = {.up = up, .key = BYTES("secrets")};
    size_t count = json_is(v, JSON_OBJ) ? json_len(v) : 0;
    struct config_flow_secret *rows = arena_zalloc(w->arena, (count + 1) * sizeof *rows);
    struct json_iter it = {0};
    struct bytes name;
    const struct json *value;
    ret->secrets = rows;
    if (!rows)
        w->failed = E_NOMEM;
    while (rows && count && json_each(v, &it, &name, &value)) {
        struct config_at at = {.up = &top, .key = name};
        rows[ret->secret_count++] = (struct config_flow_secret){
            .name = config_str(w, name), .value = config_secret(w, &at, value)};
    }
}

static void build_rates(struct config_work *w, const struct json *v, struct config_flows *ret)
{
    size_t count = json_is(v, JSON_OBJ) ? json_len(v) : 0;
    struct config_flow_rate *rows = arena_zalloc(w->arena, (count + 1) * sizeof *rows);
    struct json_iter it = {0};
    struct bytes name;
    const struct json *value;
    ret->rates = rows;
    if (!rows)
        w->failed = E_NOMEM;
    while (rows && count && json_each(v, &it, &name, &value))
        rows[ret->rate_count++] =
            (struct config_flow_rate){.queue = config_str(w, name), .per_s = json_num(value, 0)};
}

static void build_hosts(struct config_work *w, const struct json *v, struct config_flows *ret)
{
    size_t count = json_is(v, JSON_OBJ) ? json_len(v) : 0;
    struct config_flow_host *rows = arena_zalloc(w->arena, (count + 1) * sizeof *rows);
    struct json_iter it = {0};
    struct bytes name;
    const struct json *value;
    ret->hosts = rows;
    if (!rows)
        w->failed = E_NOMEM;
    while (rows && count && json_each(v, &it, &name, &value))
        rows[ret->host_count++] = (struct config_flow_host){
            .name = config_str(w, name), .address = config_str(w, json_str(value))};
}

static void build_temporal(struct config_work *w, const struct config_at *up, const struct json *v,
                           struct config_flows *ret)
{
    struct config_at top = {.up = up, .key = BYTES("temporal")};
    struct config_at key = {.up = &top, .key = BYTES("key")};
    ret->temporal = config_str_of(w, json_get(v, "address"));
    ret->temporal_namespace = text_of(w, json_get(v, "namespace"), "default");
    ret->temporal_queue = text_of(w, json_get(v, "queue"), "plexus");
    ret->temporal_deployment = config_str_of(w, json_get(v, "deployment"));
    ret->temporal_retries = (unsigned)json_i64(json_get(v, "local_retries"), 0);
    ret->temporal_ca = path_of(w, json_get(v, "ca"));
    ret->temporal_cert = path_of(w, json_get(v, "cert"));
    ret->temporal_cert_key = path_of(w, json_get(v, "cert_key"));
    if (json_get(v, "key"))
        ret->temporal_key = config_secret(w, &key, json_get(v, "key"));
    ret->temporal_tls = json_bool(json_get(v, "tls"), ret->temporal_ca || ret->temporal_cert ||
                                                          json_get(v, "key") != NULL);
}

void config_build_flows(struct config_work *w, const struct json *flows, struct config_flows *ret)
{
    struct config_at top = {.key = BYTES("flows")}, at = {.up = &top, .key = BYTES("journal")},
                     password = {.up = &at, .key = BYTES("password")};
    const struct json *j = json_get(flows, "journal");
    ret->engine = text_of(w, json_get(flows, "engine"), "embedded");
    ret->journal = text_of(w, json_get(j, "engine"), "sqlite");
    ret->url = config_str_of(w, json_get(j, "url"));
    ret->user = config_str_of(w, json_get(j, "user"));
    if (json_get(j, "password"))
        ret->password = config_secret(w, &password, json_get(j, "password"));
    ret->queues = config_words(w, json_get(flows, "queues"));
    ret->activities = (uint32_t)json_i64(json_get(flows, "activities"), 256);
    ret->retention_ms = config_ms(json_get(flows, "retention"), (int64_t)30 * 24 * 3600 * 1000);
    ret->documents = path_of(w, json_get(flows, "documents"));
    ret->promote = json_bool(json_get(flows, "promote"), false);
    secrets(w, &top, json_get(flows, "secrets"), ret);
    build_rates(w, json_get(flows, "rates"), ret);
    build_hosts(w, json_get(flows, "hosts"), ret);
    build_temporal(w, &top, json_get(flows, "temporal"), ret);
}
