// model.c: one model of a configuration, and the fingerprint of what needs a restart when changed.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/time.h"
#include "config/config_priv.h"
#include <string.h>

static const char *const *build_env(struct config_work *w, const struct config_at *up,
                                    const struct json *env)
{
    struct config_at at = {.up = up, .key = BYTES("env")};
    struct json_iter it = {0};
    struct bytes name;
    const struct json *v;
    if (!json_is(env, JSON_OBJ))
        return json_len(env) ? config_words(w, env) : NULL;
    size_t n = json_len(env), count = 0;
    const char **list = n ? arena_zalloc(w->arena, (n + 1) * sizeof *list) : NULL;
    if (n && !list)
        w->failed = E_NOMEM;
    while (list && json_each(env, &it, &name, &v)) {
        struct config_at one = {.up = &at, .key = name};
        struct secret s = {NULL, NULL};
        struct buf text;
        buf_init(&text, 4096);
        if (json_is(v, JSON_OBJ))
            s = config_secret(w, &one, v);
        else if (!json_is(v, JSON_STR))
            (void)json_write(&text, v);
        w->failed = text.failed ? text.failed : w->failed;
        const char *value = s.value_ ? s.value_ : json_cstr(v, buf_cstr(&text));
        list[count] = arena_fmt(w->arena, "%.*s=%s", BYTES_FMT(name), value);
        if (!list[count++])
            w->failed = E_NOMEM;
        if (s.value_) // the list has its own copy
            mem_wipe((char *)(uintptr_t)s.value_, strlen(s.value_));
        buf_fini(&text);
    }
    return list;
}

// A program is looked up on PATH when its name has no slash.
static const char *program(struct config_work *w, const struct json *v)
{
    if (!v || bytes_chr(json_str(v), '/') < 0)
        return config_str_of(w, v);
    return config_path(w, json_str(v));
}

static const char *const *words_or_null(struct config_work *w, const struct json *list)
{
    return json_len(list) ? config_words(w, list) : NULL;
}

// Every key whose x-reload is "model", as written with defaults, and what secrets are now.
static uint64_t fingerprint(struct config_work *w, const struct json *m,
                            const struct config_model *model)
{
    const struct json *about = json_ptr(w->schema, BYTES("/$defs/model")), *v;
    struct json_iter it = {0};
    struct bytes key;
    struct buf text;
    buf_init(&text, CONFIG_FILE_MAX * 4);
    (void)buf_str(&text, w->base_dir);
    while (json_each(m, &it, &key, &v)) {
        struct config_node n =
            config_node(w->schema, config_prop(config_node(w->schema, about), key));
        struct bytes reload = json_str(config_note(n, "x-reload"));
        if (reload.n && !bytes_is(reload, "model"))
            continue;
        (void)buf_chr(&text, 0);
        (void)buf_put(&text, key);
        (void)buf_chr(&text, 0);
        (void)json_write(&text, v);
    }
    const char *key_now = secret_reveal(&model->key);
    for (const char *const *e = model->env; e && *e; e++) {
        (void)buf_chr(&text, 0);
        (void)buf_str(&text, *e);
    }
    (void)buf_chr(&text, 0);
    (void)buf_str(&text, key_now ? key_now : "");
    if (text.failed)
        w->failed = text.failed;
    uint64_t hash = bytes_hash(buf_bytes(&text));
    if (text.p)
        mem_wipe(text.p, text.cap);
    buf_fini(&text);
    return hash;
}

static void build_times(const struct json *m, struct config_model *c)
{
    const struct json *restarts = json_get(m, "restarts"), *times = json_get(m, "timeouts");
    c->idle_ms = config_ms(json_get(m, "idle"), TIME_NEVER);
    c->restarts_max = (uint32_t)json_i64(json_get(restarts, "max"), 0);
    c->restart_pause_ms = config_ms(json_get(restarts, "pause"), 0);
    c->failed_pause_ms = config_ms(json_get(restarts, "failed_pause"), 0);
    c->load_timeout_ms = config_ms(json_get(times, "load"), TIME_NEVER);
    c->first_byte_ms = config_ms(json_get(times, "first_byte"), TIME_NEVER);
    c->silence_ms = config_ms(json_get(times, "silence"), TIME_NEVER);
    c->drain_ms = config_ms(json_get(times, "drain"), 0);
}

// For a million tokens, as millionths of a millionth for one.
static uint64_t price(const struct json *v)
{
    double said = json_num(v, 0);
    return said > 0 ? (uint64_t)(said * 1e6 + 0.5) : 0;
}

void config_build_model(struct config_work *w, struct bytes name, const struct json *m,
                        struct config_model *c)
{
    struct config_at top = {.key = BYTES("models")}, at = {.up = &top, .key = name};
    struct config_at key = {.up = &at, .key = BYTES("key")};
    const struct json *limits = json_get(m, "limits"), *file = json_get(m, "file");
    c->name = config_str(w, name);
    c->aliases = config_words(w, json_get(m, "aliases"));
    c->engine = config_str(w, json_str(json_get(m, "engine")));
    c->kind = config_str_of(w, json_get(m, "kind"));
    c->file = file ? config_path(w, json_str(file)) : NULL;
    c->source = config_str_of(w, json_get(m, "source"));
    c->url = config_str_of(w, json_get(m, "url"));
    c->health = config_str_of(w, json_get(m, "health"));
    c->upstream_model = config_str_of(w, json_get(m, "upstream_model"));
    c->program = program(w, json_get(m, "program"));
    c->command = words_or_null(w, json_get(m, "command"));
    c->args = words_or_null(w, json_get(m, "args"));
    c->prepare = words_or_null(w, json_get(m, "prepare"));
    c->env = build_env(w, &at, json_get(m, "env"));
    if (json_get(m, "key"))
        c->key = config_secret(w, &key, json_get(m, "key"));
    c->context = (uint64_t)json_i64(json_get(m, "context"), 0);
    c->slots = (uint32_t)json_i64(json_get(m, "slots"), 0);
    c->threads = (uint32_t)json_i64(json_get(m, "threads"), 0);
    c->memory_bytes = config_size(json_get(m, "memory"), 0);
    c->limit_memory_bytes = config_size(json_get(limits, "memory"), 0);
    c->limit_files = (uint64_t)json_i64(json_get(limits, "files"), 0);
    c->limit_cpus = json_num(json_get(limits, "cpus"), 0);
    c->nice = (int)json_i64(json_get(limits, "nice"), 0);
    c->queue_max = (uint32_t)json_i64(json_get(m, "queue"), 0);
    const struct json *tier = json_get(m, "tier"), *replicas = json_get(m, "replicas");
    c->tier = json_is(tier, JSON_STR) && !bytes_is(json_str(tier), "2") ? config_str_of(w, tier)
              : tier                                                    ? "cloud"
                                                                        : NULL;
    c->role = config_str_of(w, json_get(m, "role"));
    c->label = config_str_of(w, json_get(m, "label"));
    c->clearance = config_str_of(w, json_get(m, "clearance"));
    c->replicas_min = (uint32_t)json_i64(json_get(replicas, "min"), 0);
    c->replicas_max = (uint32_t)json_i64(json_get(replicas, "max"), 0);
    c->price_in = price(json_get(json_get(m, "price"), "input"));
    c->price_out = price(json_get(json_get(m, "price"), "output"));
    c->pinned = json_bool(json_get(m, "pinned"), false);
    c->preload = json_bool(json_get(m, "preload"), false);
    c->expose = json_bool(json_get(m, "expose"), false);
    build_times(m, c);
    c->fingerprint = fingerprint(w, m, c);
}
