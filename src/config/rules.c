// rules.c: what a schema cannot say: rules between keys of a configuration. They look at the
// document as written, and may meet values of a wrong type (a finding is there then already).
// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"
#include "config/config_priv.h"
#include "text/url.h"
#include <string.h>

#define NAMES_MAX 100000

// ---- listeners ----

struct door_rules {
    const struct json *keys, *tls, *mode;
    bool own_mode, own_tls;
};

static void door(struct config_work *w, const struct config_at *at, struct bytes address,
                 struct door_rules r, struct map *seen)
{
    struct url_addr a;
    if (url_addr_parse(&a, address, NULL) != 0)
        return;
    struct bytes host = bytes_of(a.host);
    bool open = !a.unix_socket && !url_is_loopback(host);
    if (open && bytes_is(json_str(r.keys), "off") && !json_get(r.tls, "client_ca"))
        config_find(w, at, false,
                    "keys: off is for loopback addresses, unix sockets and tls.client_ca only: "
                    "whoever reaches %.*s could use every model",
                    BYTES_FMT(address));
    if (a.unix_socket && r.own_tls)
        config_find(w, at, false, "a unix socket takes no tls");
    if (!a.unix_socket && r.own_mode)
        config_find(w, at, false, "mode is for unix sockets only");
    if (a.unix_socket || a.port) { // port 0 means any free one
        if (map_get(seen, address))
            config_find(w, at, false, "%.*s stands there twice", BYTES_FMT(address));
        else if (address.n && map_put(seen, address, seen, NULL) != 0)
            w->failed = E_NOMEM;
    }
}

static void doors(struct config_work *w, const struct config_at *up, const struct json *listen)
{
    const struct json *api = json_get(listen, "api");
    struct config_at at = {.up = up, .key = BYTES("api")};
    struct door_rules all = {json_get(listen, "keys"), json_get(listen, "tls"),
                             json_get(listen, "mode"), false, false};
    struct map *seen = map_new(NAMES_MAX);
    if (!seen) {
        w->failed = E_NOMEM;
        return;
    }
    if (json_is(api, JSON_STR))
        door(w, &at, json_str(api), all, seen);
    for (size_t i = 0; json_is(api, JSON_ARR) && i < json_len(api); i++) {
        const struct json *d = json_at(api, i);
        struct config_at one = {.up = &at, .index = i};
        struct door_rules r = all;
        if (json_is(d, JSON_OBJ)) {
            r.keys = json_get(d, "keys") ? json_get(d, "keys") : all.keys;
            r.tls = json_get(d, "tls") ? json_get(d, "tls") : all.tls;
            r.own_tls = json_get(d, "tls") != NULL;
            r.own_mode = json_get(d, "mode") != NULL;
        }
        struct bytes address =
            json_is(d, JSON_STR) ? json_str(d) : json_str(json_get(d, "address"));
        door(w, &one, address, r, seen);
    }
    map_free(seen);
}

// ---- models ----

static const struct {
    const char *engine, *needs, *why; // why: said when what it needs is missing
} engines[] = {
    {"llama.cpp", "file", "the GGUF file with its weights"},
    {"command", "command", "the program to start"},
    {"remote", "url", "the address of its API"},
};

// Keys that mean nothing with this engine. Returns whether one of them speaks for another engine.
static bool strangers(struct config_work *w, const struct config_at *at, const struct json *m,
                      struct bytes engine, bool said)
{
    struct config_node about = config_node(w->schema, json_ptr(w->schema, BYTES("/$defs/model")));
    struct json_iter it = {0};
    struct bytes key;
    const struct json *v;
    bool other = false;
    while (json_each(m, &it, &key, &v)) {
        struct config_at below = {.up = at, .key = key};
        const struct json *prop = config_prop(about, key);
        const struct json *for_ = config_note(config_node(w->schema, prop), "x-engines");
        if (config_for_engine(for_, engine))
            continue;
        bool one = json_len(for_) == 1;
        struct bytes whose = json_str(json_at(for_, 0));
        other = other || (one && !said);
        config_find(w, &below, true, "means nothing with engine %.*s%s%s%.*s", BYTES_FMT(engine),
                    said ? "" : ", which is taken when none is named",
                    one ? "; it is for engine " : "", one ? (int)whose.n : 0,
                    whose.p ? whose.p : "");
    }
    return other;
}

static void engine(struct config_work *w, const struct config_at *at, const struct json *m)
{
    bool said = json_get(m, "engine") != NULL;
    struct bytes name = said ? json_str(json_get(m, "engine")) : BYTES("llama.cpp");
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
        if (!bytes_is(name, engines[i].engine) || strangers(w, at, m, name, said) ||
            json_get(m, engines[i].needs))
            continue;
        config_find(w, at, true, "engine %s%s needs the key \"%s\": %s", engines[i].engine,
                    said ? "" : " (taken when none is named)", engines[i].needs, engines[i].why);
    }
}

static void env_literal(struct config_work *w, const struct config_at *at, struct bytes name)
{
    if (config_is_secret_name(name))
        config_find(w, at, false,
                    "looks like a secret: give { env: NAME } or { file: PATH }, "
                    "a secret never stands in this file");
}

static void env(struct config_work *w, const struct config_at *up, const struct json *list)
{
    struct config_at at = {.up = up, .key = BYTES("env")};
    struct json_iter it = {0};
    struct bytes name;
    const struct json *v;
    for (size_t i = 0; json_is(list, JSON_ARR) && json_each(list, &it, &name, &v); i++) {
        struct config_at one = {.up = &at, .index = i};
        struct bytes rest = json_str(v);
        name = bytes_cut(&rest, '=');
        if (rest.n)
            env_literal(w, &one, name);
    }
    while (json_is(list, JSON_OBJ) && json_each(list, &it, &name, &v)) {
        struct config_at one = {.up = &at, .key = name};
        if (!json_is(v, JSON_OBJ) && (!json_is(v, JSON_STR) || json_str(v).n))
            env_literal(w, &one, name);
    }
}

// Arguments can be read by every user of the machine, so that no secret belongs there.
static void arguments(struct config_work *w, const struct config_at *up, const char *key,
                      const struct json *list)
{
    static const char *const options[] = {"--api-key", "--hf-token", "--password"};
    struct config_at at = {.up = up, .key = bytes_of(key)};
    for (size_t i = 0; json_is(list, JSON_ARR) && i < json_len(list); i++) {
        struct config_at one = {.up = &at, .index = i};
        struct bytes word = json_str(json_at(list, i));
        ptrdiff_t equals = bytes_chr(word, '=');
        struct bytes option = equals < 0 ? word : bytes_first(word, (size_t)equals);
        for (size_t k = 0; k < sizeof options / sizeof *options; k++)
            if (bytes_is(option, options[k]))
                config_find(w, &one, false,
                            "%s: a secret never stands in this file, nor in "
                            "arguments, which all users of the machine can see; "
                            "give it in env",
                            options[k]);
    }
}

// All addresses of the machine, with a port or without.
static bool is_everywhere(struct bytes value)
{
    static const char *const any[] = {"0.0.0.0", "*", "::", "[::]"};
    for (size_t i = 0; i < sizeof any / sizeof *any; i++) {
        struct bytes name = bytes_of(any[i]);
        if (bytes_eq(value, name) ||
            (bytes_starts(value, name) && value.p[name.n] == ':' && i != 2))
            return true;
    }
    return false;
}

// An engine that is told to listen for other machines. What the words do not tell is seen when it
// runs.
static void listeners(struct config_work *w, const struct config_at *up, const char *key,
                      const struct json *m)
{
    static const char *const options[] = {"--host", "--bind", "--listen", "--address"};
    const struct json *list = json_get(m, key);
    struct config_at at = {.up = up, .key = bytes_of(key)};
    bool after = false;
    for (size_t i = 0; json_is(list, JSON_ARR) && i < json_len(list); i++) {
        struct config_at one = {.up = &at, .index = i};
        struct bytes word = json_str(json_at(list, i)), value = word;
        bool option = false, said = after;
        for (size_t k = 0; k < sizeof options / sizeof *options; k++) {
            struct bytes name = bytes_of(options[k]);
            if (!bytes_starts(word, name))
                continue;
            option = option || word.n == name.n;
            said = said || (word.n > name.n && word.p[name.n] == '=');
        }
        after = option;
        if (bytes_starts(word, BYTES("--")))
            (void)bytes_cut(&value, '=');
        if (said && is_everywhere(value) && !json_bool(json_get(m, "expose"), false))
            config_find(w, &one, false,
                        "the engine would listen on all addresses of this machine, and others "
                        "could use it without key, limit or label: take 127.0.0.1, or set expose: "
                        "true");
    }
}

static void alias_name(struct config_work *w, const struct config_at *at, struct bytes name,
                       struct map *seen)
{
    if (map_get(seen, name))
        config_find(w, at, false, "the name %.*s is taken already", BYTES_FMT(name));
    else if (name.n && map_put(seen, name, seen, NULL) != 0)
        w->failed = E_NOMEM;
}

static void models(struct config_work *w, const struct config_at *up, const struct json *list)
{
    struct json_iter it = {0};
    struct bytes name;
    const struct json *m;
    struct map *seen = map_new(NAMES_MAX);
    if (!seen) {
        w->failed = E_NOMEM;
        return;
    }
    while (json_is(list, JSON_OBJ) && json_each(list, &it, &name, &m))
        if (name.n && map_put(seen, name, seen, NULL) != 0)
            w->failed = E_NOMEM;
    it = (struct json_iter){0};
    while (json_is(list, JSON_OBJ) && json_each(list, &it, &name, &m)) {
        struct config_at at = {.up = up, .key = name},
                         aliases = {.up = &at, .key = BYTES("aliases")};
        if (json_is(m, JSON_NULL))
            config_find(w, &at, false, "expected keys and values, found nothing");
        if (!json_is(m, JSON_OBJ))
            continue;
        engine(w, &at, m);
        env(w, &at, json_get(m, "env"));
        arguments(w, &at, "args", json_get(m, "args"));
        arguments(w, &at, "command", json_get(m, "command"));
        listeners(w, &at, "args", m);
        listeners(w, &at, "command", m);
        if (json_get(m, "prepare") && !json_get(m, "file"))
            config_find(w, &at, true, "prepare makes the file: the key \"file\" is missing");
        const struct json *replicas = json_get(m, "replicas");
        int64_t most = json_i64(json_get(replicas, "max"), 0);
        if (most && most < json_i64(json_get(replicas, "min"), 0))
            config_find(w, &at, true, "replicas: max is less than min");
        const struct json *alias = json_get(m, "aliases");
        for (size_t i = 0; json_is(alias, JSON_ARR) && i < json_len(alias); i++) {
            struct config_at one = {.up = &aliases, .index = i};
            alias_name(w, &one, json_str(json_at(alias, i)), seen);
        }
    }
    map_free(seen);
}

// ---- the rest ----

static void limits(struct config_work *w, const struct config_at *at, const struct json *v)
{
    uint64_t body = config_size(json_get(v, "body"), (uint64_t)32 << 20);
    uint64_t bodies = config_size(json_get(v, "bodies"), (uint64_t)256 << 20);
    if (bodies < body)
        config_find(w, at, false, "bodies (all together) is smaller than body (a single one)");
}

static void mesh(struct config_work *w, const struct config_at *at, const struct json *v)
{
    int64_t beat = config_ms(json_get(v, "beat"), 50), dead = config_ms(json_get(v, "dead"), 1300);
    int64_t suspect = config_ms(json_get(v, "suspect"), 400);
    if (suspect < 3 * beat)
        config_find(w, at, false, "suspect is less than three beats: lost datagrams would count");
    if (dead <= suspect)
        config_find(w, at, false, "dead must be longer than suspect");
}

static void bus(struct config_work *w, const struct json *v)
{
    struct config_at top = {.key = BYTES("bus")};
    struct config_at at = {.up = &top, .key = BYTES("url")};
    struct bytes engine = json_str(json_get(v, "engine")), url = json_str(json_get(v, "url"));
    bool nats = bytes_starts(url, BYTES("nats://")) || bytes_starts(url, BYTES("tls://"));
    if (!engine.n || bytes_is(engine, "embedded")) {
        if (url.n)
            config_find(w, &at, false,
                        "the embedded bus has no server: set engine to nats or redis");
    } else if (url.n && nats != bytes_is(engine, "nats")) {
        config_find(w, &at, false, "it is of another kind than engine %.*s", BYTES_FMT(engine));
    } else if (!url.n && bytes_is(engine, "redis")) {
        config_find(w, &top, false, "engine redis needs a url such as redis://127.0.0.1:6379");
    }
}

static void registry(struct config_work *w, const struct json *v, const struct json *bus)
{
    struct config_at top = {.key = BYTES("registry")};
    struct bytes engine = json_str(json_get(v, "engine"));
    bool nats_bus = bytes_is(json_str(json_get(bus, "engine")), "nats") && json_get(bus, "url");
    static const char *const keys[] = {"url", "user", "password", "token", "ca"};
    if (bytes_is(engine, "nats") && !json_get(v, "url") && !nats_bus)
        config_find(w, &top, false,
                    "engine nats needs a url such as nats://10.0.0.1:4222, here or at the bus");
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        struct config_at at = {.up = &top, .key = bytes_of(keys[i])};
        if (!json_get(v, keys[i]))
            continue;
        if (!bytes_is(engine, "nats"))
            config_find(w, &at, false, "it is for engine nats only: set registry.engine");
        else if (i > 0 && !json_get(v, "url"))
            config_find(w, &at, false, "it goes with a url; without one, the bus's account counts");
    }
}

static void access_log(struct config_work *w, const struct config_at *up, struct bytes path)
{
    struct config_at at = {.up = up, .key = BYTES("access")};
    struct bytes rest = path;
    bool out = bytes_starts(path, BYTES("/")) || bytes_ends(path, BYTES("/"));
    while (rest.n) {
        struct bytes part = bytes_cut(&rest, '/');
        out = out || bytes_is(part, "..");
    }
    if (out)
        config_find(w, &at, false,
                    "expected a file below the data folder such as "
                    "logs/access.jsonl, or off");
}

static void edge(struct config_work *w, const struct json *given)
{
    struct config_at top = {.key = BYTES("models")};
    struct json_iter it = {0};
    struct bytes name;
    const struct json *m, *list = json_get(given, "models");
    if (!bytes_is(json_str(json_get(json_get(given, "node"), "profile")), "edge"))
        return;
    while (json_is(list, JSON_OBJ) && json_each(list, &it, &name, &m)) {
        struct config_at at = {.up = &top, .key = name};
        if (!bytes_is(json_str(json_get(m, "engine")), "remote"))
            config_find(w, &at, true,
                        "node.profile edge runs no engine of its own: only engine remote; models "
                        "of other nodes need no entry here");
    }
}

// A part within a part could hold nowhere that the outer one does not name.
static void parts(struct config_work *w, const struct json *list)
{
    struct config_at top = {.key = BYTES("contexts")};
    struct json_iter it = {0};
    struct bytes name;
    const struct json *v;
    while (json_is(list, JSON_OBJ) && json_each(list, &it, &name, &v)) {
        struct config_at at = {.up = &top, .key = name};
        static const char *const no[] = {"contexts", "data"};
        for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
            struct config_at below = {.up = &at, .key = bytes_of(no[i])};
            if (json_get(v, no[i]))
                config_find(w, &below, true, "does not belong into a part of contexts");
        }
        if (json_get(json_get(v, "node"), "context")) {
            struct config_at node = {.up = &at, .key = BYTES("node")},
                             below = {.up = &node, .key = BYTES("context")};
            config_find(w, &below, true, "a part of contexts cannot change the context it is for");
        }
    }
}

void config_parts_rules(struct config_work *w, const struct json *given)
{
    parts(w, json_get(given, "contexts"));
}

void config_rules(struct config_work *w, const struct json *given)
{
    static const char *const names[] = {"listen", "models", "limits", "log", "mesh"};
    struct config_at at[5];
    for (size_t i = 0; i < 5; i++)
        at[i] = (struct config_at){.key = bytes_of(names[i])};
    doors(w, &at[0], json_get(given, "listen"));
    models(w, &at[1], json_get(given, "models"));
    edge(w, given);
    if (json_get(given, "limits"))
        limits(w, &at[2], json_get(given, "limits"));
    if (json_get(given, "mesh"))
        mesh(w, &at[4], json_get(given, "mesh"));
    bus(w, json_get(given, "bus"));
    registry(w, json_get(given, "registry"), json_get(given, "bus"));
    config_flow_rules(w, json_get(given, "flows"));
    config_tool_rules(w, given);
    config_label_rules(w, given);
    access_log(w, &at[3], json_str(json_get(json_get(given, "log"), "access")));
}
