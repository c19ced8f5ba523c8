// mcpc.c: all MCP servers of a node: added, removed, shown, stopped.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/mcpc_priv.h"

#include <stdio.h>
#include <string.h>

#define CONF_BYTES_MAX ((size_t)1 << 20)
#define STOP_MS 2000

// ---- configuration -----------------------------------------------------------------------------

static bool copy(struct arena *a, const char **text)
{
    return !*text || (*text = arena_str(a, bytes_of(*text))) != NULL;
}

static bool copy_list(struct arena *a, const char *const **list)
{
    size_t n = 0;
    if (!*list)
        return true;
    while ((*list)[n])
        n++;
    const char **mine = arena_zalloc(a, (n + 1) * sizeof *mine);
    for (size_t i = 0; mine && i < n; i++)
        if (!(mine[i] = arena_str(a, bytes_of((*list)[i]))))
            return false;
    *list = mine;
    return mine != NULL;
}

static bool conf_copy(struct mcpc_srv *s)
{
    struct mcpc_server *c = &s->conf;
    const char **const texts[] = {&c->name,
                                  &c->prefix,
                                  &c->url,
                                  &c->path,
                                  &c->source,
                                  &c->cwd,
                                  &c->headers,
                                  &c->clearance,
                                  &c->label,
                                  &c->oauth.client_id,
                                  &c->oauth.client_secret,
                                  &c->oauth.metadata_url,
                                  &c->oauth.redirect_uri,
                                  &c->oauth.scope};
    const char *const **const lists[] = {&c->argv, &c->env, &c->grants, &c->roots};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!copy(s->memory, texts[i]))
            return false;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (!copy_list(s->memory, lists[i]))
            return false;
    if (!c->source)
        c->source = arena_fmt(s->memory, "mcp:%s", c->name);
    return c->source != NULL;
}

static bool name_good(const char *name)
{
    size_t n = name ? strlen(name) : 0;
    return n > 0 && n <= MCPC_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == n && !strstr(name, "__");
}

static int conf_check(const struct mcpc *m, const struct mcpc_server *c, struct err *e)
{
    int ways = (c->argv != NULL) + (c->url != NULL) + (c->dial != NULL);
    if (!name_good(c->name))
        return err_set(e, E_INVALID,
                       "an MCP server's name is 1 to %d of a-z 0-9 - _, without \"__\"",
                       MCPC_NAME_MAX);
    if (c->prefix && *c->prefix && !name_good(c->prefix))
        return err_set(e, E_INVALID, "MCP server %s: its prefix is no name", c->name);
    if (ways != 1 || (c->argv && !c->argv[0]))
        return err_set(e, E_INVALID, "MCP server %s: it needs a command or an address", c->name);
    if (c->argv && !m->args.procs)
        return err_set(e, E_UNSUPPORTED, "MCP server %s: no children can be started", c->name);
    return 0;
}

static void conf_defaults(struct mcpc_server *c)
{
    if (!c->prefix)
        c->prefix = c->name;
    if (!c->path)
        c->path = "/mcp";
    if (c->start_ms <= 0)
        c->start_ms = 30000;
    if (c->timeout_ms <= 0)
        c->timeout_ms = 60000;
    if (!c->answer_bytes_max || c->answer_bytes_max > MAX_ALLOCATION_BYTES)
        c->answer_bytes_max = MAX_ALLOCATION_BYTES;
}

// ---- servers -----------------------------------------------------------------------------------

static size_t place(const struct mcpc *m, const char *name, bool *found)
{
    size_t i = 0;
    while (i < m->count && strcmp(m->servers[i]->conf.name, name) < 0)
        i++;
    *found = i < m->count && strcmp(m->servers[i]->conf.name, name) == 0;
    return i;
}

static int srv_new(struct mcpc *m, const struct mcpc_server *conf, struct mcpc_srv **ret,
                   struct err *e)
{
    struct mcpc_srv *s = mem_new(struct mcpc_srv);
    if (!s || !(s->memory = arena_new(CONF_BYTES_MAX))) {
        mem_free(s);
        return err_set(e, E_NOMEM, "out of memory");
    }
    s->m = m;
    s->conf = *conf;
    s->listing = -1;
    list_init(&s->calls);
    list_init(&s->list_req.link);
    list_init(&s->listen.link);
    buf_init(&s->server, 400);
    buf_init(&s->words, 4096);
    buf_init(&s->cursor, 4096);
    s->way = conf->argv ? &mcpc_stdio : &mcpc_web;
    if (!conf_copy(s)) {
        mcpc_srv_free(s);
        return err_set(e, E_TOOBIG, "MCP server %s: its configuration is too long", conf->name);
    }
    conf_defaults(&s->conf);
    if (!(s->capabilities = mcpc_capabilities(s))) {
        mcpc_srv_free(s);
        return err_set(e, E_NOMEM, "out of memory");
    }
    *ret = s;
    return 0;
}

int mcpc_add(struct mcpc *m, const struct mcpc_server *conf, struct err *e)
{
    struct mcpc_srv *s = NULL;
    bool found;
    int rc = conf_check(m, conf, e);
    if (rc < 0)
        return rc;
    size_t at = place(m, conf->name, &found);
    if (found)
        return err_set(e, E_EXISTS, "there is an MCP server %s", conf->name);
    if (m->count == MCPC_SERVERS_MAX || m->stopping)
        return err_set(e, E_FULL, "%d MCP servers are the most", MCPC_SERVERS_MAX);
    if ((rc = srv_new(m, conf, &s, e)) < 0)
        return rc;
    memmove(m->servers + at + 1, m->servers + at, (m->count - at) * sizeof *m->servers);
    m->servers[at] = s;
    m->count++;
    mcpc_srv_start(s);
    return 0;
}

static int find(struct mcpc *m, const char *name, size_t *ret, struct err *e)
{
    bool found;
    *ret = place(m, name, &found);
    return found ? 0 : err_set(e, E_NOTFOUND, "there is no MCP server %s", name);
}

int mcpc_remove(struct mcpc *m, const char *name, struct err *e)
{
    struct err why = {0};
    size_t at;
    int rc = find(m, name, &at, e);
    if (rc < 0)
        return rc;
    struct mcpc_srv *s = m->servers[at];
    memmove(m->servers + at, m->servers + at + 1, (m->count - at - 1) * sizeof *m->servers);
    m->count--;
    (void)err_set(&why, E_CANCELLED, "MCP server %s was removed", name);
    mcpc_calls_end(s, true, E_CANCELLED, &why);
    s->freed = true; // it goes with its last call
    mcpc_fall_err(s, E_CANCELLED, &why);
    return mcpc_rows_make(m) < 0 ? err_set(e, E_NOMEM, "out of memory") : 0;
}

int mcpc_restart(struct mcpc *m, const char *name, struct err *e)
{
    size_t at;
    int rc = find(m, name, &at, e);
    if (rc < 0)
        return rc;
    struct mcpc_srv *s = m->servers[at];
    s->fall_row = 0;
    if (s->state == MCPC_WAITING || s->state == MCPC_LOGS_IN) {
        timer_stop(m->args.timers, &s->timer);
        mcpc_srv_start(s);
    } else {
        mcpc_fall(s, E_CANCELLED, "restarted");
    }
    return 0;
}

// ---- the whole ---------------------------------------------------------------------------------

int mcpc_new(struct mcpc **ret, const struct mcpc_args *args, struct err *e)
{
    struct mcpc *m = mem_new(struct mcpc);
    if (!m)
        return err_set(e, E_NOMEM, "out of memory");
    m->args = *args;
    if (m->args.backoff_ms <= 0)
        m->args.backoff_ms = 1000;
    m->tools.ops = &mcpc_tools_ops;
    m->tools.epoch = 1;
    for (size_t i = 0; i < 2; i++)
        buf_init(&m->scratch[i], (size_t)64 << 10);
    int rc = mcpc_pins_load(m, e);
    if (rc < 0) {
        mcpc_free(m);
        return rc;
    }
    *ret = m;
    return 0;
}

struct tools *mcpc_tools(struct mcpc *m)
{
    return &m->tools;
}

static void stopped(struct timer *t)
{
    struct mcpc *m = t->user;
    m->stopped(m->stopped_user);
}

void mcpc_gone(struct mcpc_srv *s)
{
    struct mcpc *m = s->m;
    s->saying_bye = false;
    for (size_t i = 0; i < m->count; i++)
        if (m->servers[i]->saying_bye)
            return;
    if (m->stopping && m->stop.fn == stopped)
        (void)timer_start(m->args.timers, &m->stop, 0);
}

static void stop_now(struct timer *t)
{
    struct mcpc *m = t->user;
    struct err e = {0};
    bool wait = false;
    (void)err_set(&e, E_CANCELLED, "the node stops");
    for (size_t i = 0; i < m->count; i++) {
        struct mcpc_srv *s = m->servers[i];
        mcpc_calls_end(s, true, E_CANCELLED, &e);
        timer_stop(m->args.timers, &s->timer);
        timer_stop(m->args.timers, &s->probe);
        timer_stop(m->args.timers, &s->fresh);
        s->state = MCPC_STOPPED;
        s->saying_bye = s->client && !s->falling && s->way->bye(s);
        wait = wait || s->saying_bye;
    }
    m->stop.fn = stopped;
    // Also without anything to wait for a round goes by: calls end in it.
    (void)timer_start(m->args.timers, &m->stop, wait ? STOP_MS : 1);
}

// It may be called from an event of a server that is in the middle of something.
void mcpc_stop(struct mcpc *m, void (*done)(void *user), void *user)
{
    m->stopping = true;
    m->stopped = done;
    m->stopped_user = user;
    m->stop.fn = stop_now;
    m->stop.user = m;
    (void)timer_start(m->args.timers, &m->stop, 0);
}

void mcpc_free(struct mcpc *m)
{
    if (!m)
        return;
    if (m->args.timers)
        timer_stop(m->args.timers, &m->stop);
    for (size_t i = 0; i < m->count; i++)
        mcpc_srv_free(m->servers[i]);
    m->count = 0;
    mem_free(m->rows);
    val_unref(m->pins);
    for (size_t i = 0; i < 2; i++)
        buf_fini(&m->scratch[i]);
    mem_free(m);
}

// ---- what is shown -----------------------------------------------------------------------------

static const char *const states[] = {[MCPC_STARTING] = "starting",
                                     [MCPC_IS_READY] = "ready",
                                     [MCPC_WAITING] = "waiting",
                                     [MCPC_LOGS_IN] = "login",
                                     [MCPC_STOPPED] = "stopped"};

static void count_defs(const struct mcpc_srv *s, struct mcpc_status *ret)
{
    for (size_t i = 0; i < s->def_count; i++) {
        const struct mcpc_def *d = s->defs[i];
        ret->tools++;
        ret->granted += d->granted;
        ret->changed += d->pin != MCPC_PINNED;
        ret->flagged += d->flagged;
    }
}

void mcpc_each(struct mcpc *m, void (*each)(void *user, const struct mcpc_status *s), void *user)
{
    for (size_t i = 0; i < m->count; i++) {
        struct mcpc_srv *s = m->servers[i];
        bool up = s->state == MCPC_IS_READY;
        struct mcpc_status st = {.name = s->conf.name,
                                 .transport = s->conf.dial ? "mesh" : s->way->name,
                                 .state = states[s->state],
                                 .why = s->fall.text,
                                 .server = buf_cstr(&s->server),
                                 .revision = up ? mcp_rev_text(mcp_client_rev(s->client)) : "",
                                 .left_out = (unsigned)s->left_out,
                                 .prompts = (unsigned)val_len(s->items[1]),
                                 .resources =
                                     (unsigned)(val_len(s->items[2]) + val_len(s->items[3])),
                                 .falls = s->fall_count,
                                 .calls = s->calls_all,
                                 .failed = s->calls_failed,
                                 .refused = s->calls_refused,
                                 .bytes_in = s->bytes_in,
                                 .pid = -1,
                                 .ready_ms = up ? mcpc_now(m) - s->ready_at : -1,
                                 .in_flight = (unsigned)s->call_count};
        buf_clear(&m->scratch[0]);
        (void)mcpc_show(&m->scratch[0], buf_bytes(&s->words));
        st.login = mcpc_login_page(s);
        st.last_words = buf_cstr(&m->scratch[0]);
        if (s->way->status && s->client)
            s->way->status(s, &st);
        count_defs(s, &st);
        each(user, &st);
    }
}
