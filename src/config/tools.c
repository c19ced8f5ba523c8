// tools.c: what can be called on this node, and the MCP servers that it knows, as a configuration
// says it. SPDX-License-Identifier: Apache-2.0
#include "config/config_priv.h"
#include "text/url.h"
#include <stdlib.h>

// ---- rules ----

static void server(struct config_work *w, const struct config_at *at, const struct json *v)
{
    static const char *const of_command[] = {"env", "folders", "network"};
    struct config_at key = {.up = at, .key = BYTES("key")},
                     oauth = {.up = at, .key = BYTES("oauth")},
                     secret = {.up = &oauth, .key = BYTES("client_secret")};
    const struct json *o = json_get(v, "oauth");
    bool command = json_get(v, "command") != NULL, url = json_get(v, "url") != NULL;
    if (command == url)
        config_find(w, at, false, "either command or url says where the server is");
    for (size_t i = 0; url && i < sizeof of_command / sizeof *of_command; i++) {
        struct config_at one = {.up = at, .key = bytes_of(of_command[i])};
        if (json_get(v, of_command[i]))
            config_find(w, &one, false, "it is for a server with a command only");
    }
    if (command && json_get(v, "key"))
        config_find(w, &key, false,
                    "it is for a server with a url only; a command gets secrets by env");
    if (o && (command || json_get(v, "key")))
        config_find(w, &oauth, false, "it is for a server with a url and no key");
    if (json_get(o, "client_secret") && !json_get(o, "client_id"))
        config_find(w, &secret, false, "client_id is needed, too");
    if (command && json_len(json_get(v, "command")) == 0)
        config_find(w, at, false, "command: a program is needed");
}

void config_tool_rules(struct config_work *w, const struct json *given)
{
    const struct json *tools = json_get(given, "tools"), *mcp = json_get(given, "mcp"), *v;
    struct config_at top = {.key = BYTES("tools")}, serve = {.up = &top, .key = BYTES("serve")},
                     m = {.key = BYTES("mcp")}, servers = {.up = &m, .key = BYTES("servers")};
    struct json_iter it = {0};
    struct bytes name, address = json_str(json_get(tools, "serve"));
    struct url_addr addr;
    struct err e = {0};
    if (address.n && url_addr_parse(&addr, address, &e) < 0)
        config_find(w, &serve, false, "%s", e.text);
    const struct json *all = json_get(mcp, "servers");
    while (json_is(all, JSON_OBJ) && json_each(all, &it, &name, &v)) {
        struct config_at one = {.up = &servers, .key = name};
        if (json_is(v, JSON_OBJ))
            server(w, &one, v);
    }
}

// ---- the result ----

static void *rows_of(struct config_work *w, size_t count, size_t size)
{
    void *rows = arena_zalloc(w->arena, (count + 1) * size);
    if (!rows)
        w->failed = E_NOMEM;
    return rows;
}

static const struct config_folder *folders(struct config_work *w, const struct json *list,
                                           size_t *ret_count)
{
    size_t count = json_len(list);
    struct config_folder *rows = rows_of(w, count, sizeof *rows);
    for (size_t i = 0; rows && i < count; i++) {
        const struct json *one = json_at(list, i);
        rows[i] = (struct config_folder){config_path(w, json_str(json_get(one, "path"))),
                                         json_bool(json_get(one, "write"), false)};
    }
    *ret_count = rows ? count : 0;
    return rows;
}

static void env(struct config_work *w, const struct config_at *up, const struct json *v,
                struct config_mcp_server *ret)
{
    struct config_at top = {.up = up, .key = BYTES("env")};
    size_t count = json_is(v, JSON_OBJ) ? json_len(v) : 0;
    struct config_mcp_env *rows = rows_of(w, count, sizeof *rows);
    struct json_iter it = {0};
    struct bytes name;
    const struct json *value;
    ret->env = rows;
    while (rows && count && json_each(v, &it, &name, &value)) {
        struct config_at at = {.up = &top, .key = name};
        rows[ret->env_count++] = (struct config_mcp_env){.name = config_str(w, name),
                                                         .value = config_secret(w, &at, value)};
    }
}

static void build_oauth(struct config_work *w, const struct config_at *up, const struct json *v,
                        struct config_mcp_oauth *ret)
{
    struct config_at top = {.up = up, .key = BYTES("oauth")},
                     secret = {.up = &top, .key = BYTES("client_secret")};
    ret->on = json_is(v, JSON_OBJ);
    ret->client_id = config_str_of(w, json_get(v, "client_id"));
    ret->scope = config_str_of(w, json_get(v, "scope"));
    if (json_get(v, "client_secret"))
        ret->client_secret = config_secret(w, &secret, json_get(v, "client_secret"));
}

static void build_server(struct config_work *w, const struct config_at *up, struct bytes name,
                         const struct json *v, struct config_mcp_server *ret)
{
    struct config_at at = {.up = up, .key = name}, key = {.up = &at, .key = BYTES("key")};
    struct bytes clearance = json_str(json_get(v, "clearance"));
    ret->name = config_str(w, name);
    ret->command = config_words(w, json_get(v, "command"));
    ret->url = config_str_of(w, json_get(v, "url"));
    if (json_get(v, "key"))
        ret->key = config_secret(w, &key, json_get(v, "key"));
    build_oauth(w, &at, json_get(v, "oauth"), &ret->oauth);
    env(w, &at, json_get(v, "env"), ret);
    ret->folders = folders(w, json_get(v, "folders"), &ret->folder_count);
    ret->network = json_bool(json_get(v, "network"), false);
    ret->allow = config_words(w, json_get(v, "allow"));
    ret->clearance = clearance.n ? config_str(w, clearance) : "public";
    ret->model = config_str_of(w, json_get(v, "model"));
    ret->time_ms = config_ms(json_get(v, "time"), 60000);
}

static void build_mcp(struct config_work *w, const struct json *v, struct config_mcp *ret)
{
    struct config_at top = {.key = BYTES("mcp")}, at = {.up = &top, .key = BYTES("servers")};
    const struct json *issuers = json_get(v, "issuers"), *servers = json_get(v, "servers"), *one;
    size_t count = json_len(issuers), n = json_is(servers, JSON_OBJ) ? json_len(servers) : 0;
    struct config_mcp_issuer *i = rows_of(w, count, sizeof *i);
    struct config_mcp_server *s = rows_of(w, n, sizeof *s);
    struct json_iter it = {0};
    struct bytes name;
    ret->serve = json_bool(json_get(v, "serve"), true);
    ret->gateway = config_str_of(w, json_get(v, "gateway"));
    ret->issuers = i;
    ret->servers = s;
    for (size_t k = 0; i && k < count; k++)
        i[ret->issuer_count++] = (struct config_mcp_issuer){
            config_str(w, json_str(json_get(json_at(issuers, k), "issuer"))),
            config_path(w, json_str(json_get(json_at(issuers, k), "keys"))),
            config_str_of(w, json_get(json_at(issuers, k), "audience"))};
    while (s && n && json_each(servers, &it, &name, &one))
        build_server(w, &at, name, one, &s[ret->server_count++]);
}

void config_build_tools(struct config_work *w, const struct json *root, struct config *c)
{
    struct config_at top = {.key = BYTES("tools")},
                     key = {.up = &top, .key = BYTES("registry_key")};
    const struct json *v = json_get(root, "tools");
    struct config_tools *t = &c->tools;
    const char *registry = getenv("ECOSYSTEM_REGISTRY_URL");
    t->folders = folders(w, json_get(v, "folders"), &t->folder_count);
    t->bash = json_bool(json_get(v, "bash"), true);
    t->network = json_bool(json_get(v, "network"), false);
    t->require = bytes_is(json_str(json_get(v, "sandbox")), "require");
    t->memory_bytes = config_size(json_get(v, "memory"), (uint64_t)512 << 20);
    t->time_ms = config_ms(json_get(v, "time"), 120000);
    t->allow = config_words(w, json_get(v, "allow"));
    t->registry = config_str_of(w, json_get(v, "registry"));
    if (!t->registry && registry && *registry)
        t->registry = config_str(w, bytes_of(registry));
    if (json_get(v, "registry_key"))
        t->registry_key = config_secret(w, &key, json_get(v, "registry_key"));
    t->serve = config_str_of(w, json_get(v, "serve"));
    t->publishers = config_words(w, json_get(v, "publishers"));
    build_mcp(w, json_get(root, "mcp"), &c->mcp);
}
