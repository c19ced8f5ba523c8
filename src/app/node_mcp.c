// node_mcp.c: the Model Context Protocol at this node: who may come in at /mcp, what is offered
// there, and the external servers whose tools are passed on. SPDX-License-Identifier: Apache-2.0
#include "app/node_mcp_priv.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/time.h"
#include "trust/spiffe.h"
#include <stdio.h>
#include <string.h>

#define JWKS_MAX ((size_t)1 << 20)
#define CALLBACK "/mcp/callback" // where a login's browser comes back to
#define INSTRUCTIONS                                                                               \
    "Tools of a plexus node: capabilities in WebAssembly, files and programs of granted folders, " \
    "models, flows, and tools of other MCP servers (SERVER__TOOL). A tool that needs a person's "  \
    "yes says so when it is called."

// ---- who comes in -------------------------------------------------------------------------------

static void as_key(struct node *n, const struct key *key, struct mcpd_who *ret)
{
    struct node_tool_caller c;
    struct key_view v = {.scopes = SCOPE_ALL};
    if (key)
        key_view(key, &v);
    node_tool_caller(n, key, &c);
    (void)snprintf(ret->name, sizeof ret->name, "%.120s", c.who);
    (void)snprintf(ret->as, sizeof ret->as, "%s", c.as);
    (void)snprintf(ret->label, sizeof ret->label, "%.*s", BYTES_FMT(c.caller.label));
    (void)snprintf(ret->clearance, sizeof ret->clearance, "%.*s", BYTES_FMT(c.caller.clearance));
    ret->admin = (v.scopes & SCOPE_ADMIN) != 0;
    node_tool_caller_fini(&c);
}

// A token of an issuer outside: what its scope names, and the label that anybody has.
static int as_bearer(struct node *n, const struct bearer *b, struct bytes token,
                     struct mcpd_who *ret, struct err *e)
{
    struct bearer_said said;
    struct buf label;
    int status = bearer_check(b, token, time_wall_ms(), &said, e);
    if (status < 0)
        return status;
    if (!(said.scopes & (SCOPE_MODELS | SCOPE_ADMIN)))
        return err_set(e, E_FORBIDDEN, "the token lacks the scope models");
    (void)snprintf(ret->name, sizeof ret->name, "token %.100s", said.who);
    ret->admin = (said.scopes & SCOPE_ADMIN) != 0;
    if (!n->labels.in_use)
        return 0;
    buf_init(&label, 1024);
    label_put(&label, n->label_names, n->labels.standard);
    (void)snprintf(ret->label, sizeof ret->label, "%s", buf_cstr(&label));
    (void)snprintf(ret->clearance, sizeof ret->clearance, "%s", buf_cstr(&label));
    buf_fini(&label);
    return 0;
}

// Another node of the mesh, by its certificate: a weak one whose calls run here.
static int as_node(struct node *n, const struct http_exchange *x, struct mcpd_who *ret,
                   struct err *e)
{
    struct net_peer peer;
    struct label clearance;
    struct spiffe_id id;
    struct buf text;
    http_peer(x, &peer);
    if (!peer.id || spiffe_parse(&id, bytes_of(peer.id), NULL) != 0)
        return err_set(e, E_FORBIDDEN, "not at this listener");
    (void)snprintf(ret->name, sizeof ret->name, "node %.*s",
                   BYTES_FMT(bytes_first(spiffe_node(&id), 100)));
    ret->hop = true;
    if (!n->labels.in_use)
        return 0;
    int status = node_mesh_clearance(n, &peer, &clearance, e);
    if (status < 0)
        return status;
    buf_init(&text, 1024);
    label_put(&text, n->label_names, clearance);
    (void)snprintf(ret->clearance, sizeof ret->clearance, "%s", buf_cstr(&text));
    buf_fini(&text);
    return 0;
}

static int who(void *user, struct http_exchange *x, struct mcpd_who *ret, struct err *e)
{
    struct node_mcp *m = user;
    struct node *n = m->node;
    int tag = http_tag(x);
    const struct node_door *door = tag >= 0 && tag < NODE_DOORS_MAX ? &n->doors[tag] : NULL;
    struct bytes token = http_key(http_request(x));
    struct key *key = NULL;
    int64_t retry_ms = 0;
    *ret = (struct mcpd_who){0};
    if (!door)
        return err_set(e, E_FORBIDDEN, "not at this listener");
    if (door->mesh)
        return as_node(n, x, ret, e);
    for (size_t i = 0; token.n && i < m->issuer_count; i++)
        if (bearer_names(m->issuers[i], token))
            return as_bearer(n, m->issuers[i], token, ret, e);
    // Clients send any placeholder to a local server; what looks like a key is held to it.
    bool ours = bytes_starts(token, BYTES("plx_"));
    int status = 0;
    if (!door->trusted && (ours || door->keys_required))
        status = token.n
                     ? keys_check(n->keys, token, SCOPE_MODELS, timers_now_ms(loop_timers(n->loop)),
                                  time_wall_ms(), &key, &retry_ms, e)
                     : err_set(e, E_UNAUTH,
                               "this listener needs an API key: Authorization: Bearer plx_... "
                               "(make one with `plexus key new`)");
    if (status == 0)
        as_key(n, key, ret);
    return status;
}

// The browser of a person who logged in somewhere. It needs no key: what it brings is the secret
// of one login (RFC 6749, "state"), good once.
static void came_back(struct node_mcp *m, struct http_exchange *x)
{
    const struct http_head *h = http_request(x);
    struct bytes extra = BYTES("Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
                               "Content-Security-Policy: default-src 'none'\r\n");
    struct err e = {0};
    if (!bytes_is(h->method, "GET")) {
        http_reply_error(x, E_METHOD, "GET only", NULL, -1);
        return;
    }
    int rc = mcpc_redirected(m->clients, h->query, &e);
    log_event(rc < 0 ? LOG_WARN : LOG_INFO, "mcp.redirected",
              LOG_STR("why", rc < 0 ? e.text : NULL));
    if (rc == 0)
        http_reply(x, 200, "text/plain; charset=utf-8", extra,
                   BYTES("Logged in. You can close this page.\n"));
    else if (rc == E_NOTFOUND)
        http_reply(x, 404, "text/plain; charset=utf-8", extra,
                   BYTES("No login waits for this, or it was used before. plexus tool servers "
                         "has the address to begin with.\n"));
    else
        http_reply(x, 403, "text/plain; charset=utf-8", extra,
                   BYTES("This login did not come about: plexus logs has why. You can close this "
                         "page.\n"));
}

int node_mcp_head(struct node *n, struct http_exchange *x)
{
    struct node_mcp *m = n->mcp;
    return m && m->server && mcpd_mine(m->server, http_request(x)) ? mcpd_head(m->server, x) : 0;
}

bool node_mcp_handle(struct node *n, struct http_exchange *x)
{
    struct node_mcp *m = n->mcp;
    if (m && m->clients && bytes_is(http_request(x)->path, CALLBACK)) {
        came_back(m, x);
        return true;
    }
    if (!m || !m->server || !mcpd_mine(m->server, http_request(x)))
        return false;
    mcpd_request(m->server, x);
    return true;
}

// ---- external servers ---------------------------------------------------------------------------

static struct net_tls *tls_of(void *user, struct err *e)
{
    return node_tls(((struct node_mcp *)user)->node, e);
}

const struct config_mcp_server *node_mcp_config(const struct node *n, const char *name)
{
    for (size_t i = 0; i < n->config->mcp.server_count; i++)
        if (strcmp(n->config->mcp.servers[i].name, name) == 0)
            return &n->config->mcp.servers[i];
    return NULL;
}

// The sandbox before a server's command. Kept until the next one: the child is started meanwhile.
static const char *const *confine(void *user, const struct mcpc_server *s, struct err *e)
{
    struct node_mcp *m = user;
    const struct config_mcp_server *c = node_mcp_config(m->node, s->name);
    struct jail_opts o = {.network = c && c->network, .require = m->node->config->tools.require};
    size_t n = 0, words = 0;
    for (size_t i = 0; c && i < c->folder_count && i < JAIL_FOLDERS_MAX; i++)
        o.folder[o.folders++] = (struct jail_folder){c->folders[i].path, c->folders[i].write};
    o.memory_bytes = m->node->config->tools.memory_bytes;
    if (jail_hide(&o, m->node->paths.data, m->hidden, e) < 0 || jail_words(&m->words, &o, e) < 0)
        return NULL;
    while (s->argv[words])
        words++;
    if (m->words.n + words + 4 > sizeof m->argv / sizeof *m->argv) {
        (void)err_set(e, E_TOOBIG, "the command of %s has too many words", s->name);
        return NULL;
    }
    m->argv[n++] = file_self();
    m->argv[n++] = "_jail";
    for (size_t i = 0; i < m->words.n; i++)
        m->argv[n++] = m->words.word[i];
    m->argv[n++] = "--";
    for (size_t i = 0; i < words; i++)
        m->argv[n++] = s->argv[i];
    m->argv[n] = NULL;
    return m->argv;
}

static int crossing(void *user, const char *server, struct bytes label, struct bytes clearance,
                    struct err *e)
{
    struct node_mcp *m = user;
    struct node *n = m->node;
    struct label data = n->labels.standard, may = n->labels.cloud;
    if (!n->labels.in_use)
        return 0;
    if (label.n && label_parse_known(n->label_names, label, &data, NULL) < 0)
        data = LABEL_ALL;
    if (clearance.n && label_parse_known(n->label_names, clearance, &may, NULL) < 0)
        return err_set(e, E_SECURITY, "the clearance of %s is not known here", server);
    if (label_dominates(may, data))
        return 0;
    return err_set(e, E_SECURITY, "data labelled %.*s may not go to the MCP server %s (%.*s)",
                   BYTES_FMT(label), server, BYTES_FMT(clearance));
}

static bool allowed(void *user, const char *tool)
{
    struct node_mcp *m = user;
    return node_grants_has(m->node->tools, bytes_of(tool));
}

static void on_event(void *user, const char *server, enum mcpc_event ev, struct bytes text)
{
    static const char *const names[] = {
        [MCPC_READY] = "mcp.ready",     [MCPC_DOWN] = "mcp.down",
        [MCPC_CHANGED] = "mcp.changed", [MCPC_FLAGGED] = "mcp.flagged",
        [MCPC_LOG] = "mcp.log",         [MCPC_LIST] = "mcp.list",
        [MCPC_LOGIN] = "mcp.login",     [MCPC_UPDATED] = "mcp.updated"};
    struct node_mcp *m = user;
    bool bad = ev == MCPC_DOWN || ev == MCPC_CHANGED || ev == MCPC_FLAGGED;
    if (ev == MCPC_LOG)
        log_event_quiet(LOG_INFO, names[ev], LOG_STR("server", server), LOG_BYTES("text", text));
    else
        log_event(bad || ev == MCPC_LOGIN ? LOG_WARN : LOG_INFO, names[ev],
                  LOG_STR("server", server), LOG_BYTES("text", text));
    if (ev == MCPC_CHANGED)
        node_alert(m->node, NODE_ALERT_SECURITY, "plexus.mcp.changed", "warning", server,
                   "the tool %.*s is not what it was: it waits for a person", BYTES_FMT(text));
    if (ev == MCPC_UPDATED && m->server)
        mcpd_updated(m->server, text);
    if ((ev == MCPC_LIST || ev == MCPC_READY || ev == MCPC_DOWN) && m->server)
        mcpd_changed(m->server);
    node_tools_models(m->node); // the list of tools may be another one
}

static int add_server(struct node_mcp *m, const struct config_mcp_server *c, struct err *e)
{
    struct node *n = m->node;
    struct buf headers;
    const char **env = mem_array(c->env_count + 1, sizeof *env);
    char *texts = NULL;
    size_t bytes = 0, at = 0;
    for (size_t i = 0; i < c->env_count; i++)
        bytes += strlen(c->env[i].name) + strlen(secret_reveal(&c->env[i].value)) + 2;
    texts = mem_alloc(bytes + 1);
    if (!env || !texts) {
        mem_free(env);
        mem_free(texts);
        return err_set(e, E_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < c->env_count; i++) {
        env[i] = texts + at;
        at += (size_t)snprintf(texts + at, bytes + 1 - at, "%s=%s", c->env[i].name,
                               secret_reveal(&c->env[i].value)) +
              1;
    }
    env[c->env_count] = NULL;
    buf_init(&headers, 16384);
    const char *key = secret_reveal(&c->key);
    if (c->url && key && *key)
        (void)buf_fmt(&headers, "Authorization: Bearer %s\r\n", key);
    struct mcpc_server s = {.name = c->name,
                            .argv = c->url ? NULL : c->command,
                            .url = c->url,
                            .env = env,
                            .headers = headers.n ? buf_cstr(&headers) : NULL,
                            .grants = c->allow,
                            .clearance = n->labels.in_use ? c->clearance : NULL,
                            .effects = TOOL_NETWORK,
                            .timeout_ms = c->time_ms,
                            .sampling = c->model != NULL,
                            .elicitation = true,
                            .revision = -1};
    s.limits.memory_bytes = n->config->tools.memory_bytes;
    char back[400];
    (void)snprintf(back, sizeof back, "%.300s" CALLBACK, n->address);
    if (c->oauth.on)
        s.oauth = (struct mcpc_oauth){.on = true,
                                      .client_id = c->oauth.client_id,
                                      .client_secret = secret_reveal(&c->oauth.client_secret),
                                      .redirect_uri = back,
                                      .scope = c->oauth.scope};
    int status = headers.failed ? err_set(e, headers.failed, "the key of %s is too long", c->name)
                                : mcpc_add(m->clients, &s, e);
    mem_wipe(texts, bytes);
    mem_wipe(headers.p, headers.n);
    buf_fini(&headers);
    mem_free(texts);
    mem_free(env);
    return status;
}

// ---- the master gateway -------------------------------------------------------------------------

static struct http_pool *dial(void *user, struct err *e)
{
    struct node_mcp *m = user;
    const char *name = m->node->config->mcp.gateway;
    struct http_pool *pool = node_mesh_pool(m->node, name);
    if (!pool)
        (void)err_set(e, E_UNAVAILABLE, "there is no link to the node %s (mcp.gateway)", name);
    return pool;
}

static int add_gateway(struct node_mcp *m, struct err *e)
{
    static const char *const all[] = {"*", NULL};
    const char *node = m->node->config->mcp.gateway;
    (void)snprintf(m->gateway, sizeof m->gateway, "mesh:%.100s", node);
    struct mcpc_server s = {.name = "gateway",
                            .prefix = "",
                            .dial = dial,
                            .dial_user = m,
                            .source = m->gateway,
                            .grants = all, // the other node has its own
                            .elicitation = true,
                            .revision = -1};
    return mcpc_add(m->clients, &s, e);
}

// ---- what a person sees and says ----------------------------------------------------------------

static void put_server(void *user, const struct mcpc_status *s)
{
    struct json_w *w = user;
    json_w_obj(w, NULL);
    json_w_cstr(w, "name", s->name);
    json_w_cstr(w, "transport", s->transport);
    json_w_cstr(w, "state", s->state);
    json_w_cstr(w, "why", s->why);
    json_w_cstr(w, "server", s->server);
    json_w_cstr(w, "revision", s->revision);
    json_w_cstr(w, "login", s->login);
    json_w_cstr(w, "last_words", s->last_words);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {{"tools", s->tools},
                {"granted", s->granted},
                {"changed", s->changed},
                {"flagged", s->flagged},
                {"left_out", s->left_out},
                {"prompts", s->prompts},
                {"resources", s->resources},
                {"falls", s->falls},
                {"calls", s->calls},
                {"failed", s->failed},
                {"refused", s->refused},
                {"bytes_in", s->bytes_in},
                {"memory_bytes", s->memory_bytes},
                {"in_flight", s->in_flight}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        json_w_u64(w, rows[i].name, rows[i].value);
    json_w_i64(w, "pid", s->pid);
    json_w_i64(w, "ready_ms", s->ready_ms);
    json_w_end(w);
}

void node_mcp_servers(const struct node *n, struct json_w *w)
{
    json_w_arr(w, "servers");
    if (n->mcp && n->mcp->clients)
        mcpc_each(n->mcp->clients, put_server, w);
    json_w_end(w);
}

struct wanted {
    struct bytes name;
    char hash[129];
};

static void look_for(void *user, const struct mcpc_tool *t)
{
    struct wanted *x = user;
    if (bytes_is(x->name, t->name))
        (void)snprintf(x->hash, sizeof x->hash, "%s", t->hash);
}

int node_mcp_grant(struct node *n, struct bytes name, bool on, struct err *e)
{
    struct mcpc *clients = n->mcp ? n->mcp->clients : NULL;
    struct wanted x = {.name = name};
    char tool[TOOL_NAME_MAX + 1];
    if (!clients)
        return 0;
    (void)snprintf(tool, sizeof tool, "%.*s", BYTES_FMT(name));
    mcpc_review(clients, NULL, look_for, &x);
    if (on && x.hash[0]) // what it says now is what was seen
        return mcpc_approve(clients, tool, x.hash, e);
    mcpc_judge(clients);
    return 0;
}

static void count_server(void *user, const struct mcpc_status *s)
{
    struct host_tools *t = user;
    bool ready = strcmp(s->state, "ready") == 0;
    t->servers++;
    t->servers_ready += ready;
    t->changed += s->changed + s->flagged;
    if (ready || *t->server)
        return;
    (void)snprintf(t->server, sizeof t->server, "%s", s->name);
    (void)snprintf(t->server_why, sizeof t->server_why, "%.159s", *s->why ? s->why : s->state);
}

void node_mcp_doctor(const struct node *n, struct host_tools *ret)
{
    if (n->mcp && n->mcp->clients)
        mcpc_each(n->mcp->clients, count_server, ret);
}

static void meter_server(void *user, const struct mcpc_status *s)
{
    static const char *const states[METER_MCP_STATES] = {"starting", "ready", "waiting", "login",
                                                         "stopped"};
    struct meter_node *row = user;
    for (size_t i = 0; i < METER_MCP_STATES; i++)
        row->mcp_servers[i] += strcmp(s->state, states[i]) == 0;
}

void node_mcp_meter(const struct node *n, struct meter_node *ret)
{
    memset(ret->mcp_servers, 0, sizeof ret->mcp_servers);
    if (n->mcp && n->mcp->clients)
        mcpc_each(n->mcp->clients, meter_server, ret);
}

// ---- life ---------------------------------------------------------------------------------------

static int open_issuers(struct node_mcp *m, struct err *e)
{
    struct node *n = m->node;
    const struct config_mcp *c = &n->config->mcp;
    char here[400];
    (void)snprintf(here, sizeof here, "%.300s/mcp", n->address);
    for (size_t i = 0; i < c->issuer_count && i < NODE_MCP_ISSUERS; i++) {
        const struct config_mcp_issuer *one = &c->issuers[i];
        struct buf jwks;
        buf_init(&jwks, JWKS_MAX);
        int status = file_read(one->keys, &jwks, e);
        if (status == 0)
            status =
                bearer_open(&m->issuers[i], bytes_of(one->issuer),
                            bytes_of(one->audience ? one->audience : here), buf_bytes(&jwks), e);
        buf_fini(&jwks);
        if (status < 0)
            return err_wrap(e, "mcp.issuers: %s", one->issuer);
        m->names[m->issuer_count++] = one->issuer;
    }
    return 0;
}

static int open_server(struct node_mcp *m, struct err *e)
{
    static const char *const scopes[] = {"models", NULL};
    struct node *n = m->node;
    int status = open_issuers(m, e);
    if (status < 0)
        return status;
    node_mcp_more_init(m);
    struct mcpd_args args = {
        .timers = loop_timers(n->loop),
        .tools = node_tools_all(n),
        .more = &m->more,
        .info = {.name = "plexus", .title = n->config->node_name, .version = PLEXUS_VERSION},
        .instructions = INSTRUCTIONS,
        .who = who,
        .user = m,
        .guarded = true,
        .authorization_servers = m->issuer_count ? m->names : NULL,
        .scopes = scopes,
        .may_confirm = true};
    return mcpd_new(&m->server, &args, e);
}

static int open_clients(struct node_mcp *m, struct err *e)
{
    struct node *n = m->node;
    const struct config_mcp *c = &n->config->mcp;
    char folder[4100];
    (void)snprintf(folder, sizeof folder, "%s/tools", n->paths.data);
    struct mcpc_args args = {.net = loop_net(n->loop),
                             .timers = loop_timers(n->loop),
                             .procs = loop_procs(n->loop),
                             .folder = folder,
                             .tls = tls_of,
                             .confine = confine,
                             .allowed = allowed,
                             .crossing = crossing,
                             .ask = node_mcp_ask,
                             .ask_gone = node_mcp_ask_gone,
                             .event = on_event,
                             .user = m};
    int status = mcpc_new(&m->clients, &args, e);
    for (size_t i = 0; status == 0 && i < c->server_count; i++)
        status = add_server(m, &c->servers[i], e);
    if (status == 0 && c->gateway)
        status = add_gateway(m, e);
    if (status == 0)
        status = tools_all_add(n->tools->all, mcpc_tools(m->clients), BYTES_NONE, e);
    return status;
}

int node_mcp_open(struct node *n, struct err *e)
{
    struct node_mcp *m = n->tools ? mem_new(struct node_mcp) : NULL;
    if (!m)
        return n->tools ? err_set(e, E_NOMEM, "out of memory") : 0;
    n->mcp = m;
    m->node = n;
    list_init(&m->samples);
    int status = n->config->mcp.server_count || n->config->mcp.gateway ? open_clients(m, e) : 0;
    if (status == 0 && n->config->mcp.serve)
        status = open_server(m, e);
    return status;
}

static void stopped(void *user)
{
    struct node_mcp *m = user;
    m->stopped = true;
    node_check_ended(m->node);
}

void node_mcp_close(struct node *n)
{
    struct node_mcp *m = n->mcp;
    if (!m || m->closing)
        return;
    m->closing = true;
    mcpd_free(m->server);
    m->server = NULL;
    if (m->clients)
        mcpc_stop(m->clients, stopped, m);
    else
        m->stopped = true;
}

void node_mcp_drain(struct node *n)
{
    if (n->mcp)
        mcpd_drain(n->mcp->server);
}

bool node_mcp_ended(const struct node *n)
{
    return !n->mcp || n->mcp->stopped;
}

// What holds timers and streams: before the loop goes.
void node_mcp_drop(struct node *n)
{
    struct node_mcp *m = n->mcp;
    if (!m)
        return;
    mcpd_free(m->server);
    m->server = NULL;
    if (n->tools && n->tools->all && m->clients)
        tools_all_remove(n->tools->all, mcpc_tools(m->clients));
    mcpc_free(m->clients);
    m->clients = NULL;
}

void node_mcp_free(struct node *n)
{
    struct node_mcp *m = n->mcp;
    if (!m)
        return;
    node_mcp_asks_free(m);
    for (size_t i = 0; i < NODE_MCP_ISSUERS; i++)
        bearer_free(m->issuers[i]);
    mem_free(m);
    n->mcp = NULL;
}
