// node_mesh.c: this node's membership: from the files of data/mesh to links, and back out.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_mesh_priv.h"
#include "base/alloc.h"
#include "base/file.h"
#include "text/url.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TELL_MS 20     // changes within this go out in one sheet
#define GOODBYE_MS 400 // others hear that this node leaves, at most so long
#define FORGET_MS (7 * 24 * 3600 * 1000LL) // a machine that was off for a holiday is found again
#define SHEET_ARENA ((size_t)4 << 20)
#define SETTINGS_MAX 4096

static void path_of(const struct node_mesh *m, const char *name, char path[4200])
{
    (void)snprintf(path, 4200, "%s/mesh/%s", m->node->paths.data, name);
}

// ---- files: member.json, authority.json (both hold keys: 0600), listen -------------------------

int node_mesh_save(struct node_mesh *m, const char *name, int (*put)(const void *, struct buf *),
                   const void *what, struct err *e)
{
    char path[4200];
    struct buf text;
    buf_init(&text, AUTHORITY_TEXT_MAX);
    path_of(m, "", path);
    int status = file_mkdirs(path, 0700, e);
    if (status == 0 && (status = put(what, &text)) < 0)
        (void)err_set(e, status, "%s: cannot be written down", name);
    path_of(m, name, path);
    if (status == 0)
        status = file_write_atomic(path, buf_bytes(&text), 0600, e);
    if (text.p)
        mem_wipe(text.p, text.cap);
    buf_fini(&text);
    return status;
}

static int put_member(const void *what, struct buf *out)
{
    return member_save(what, out);
}

static int put_authority(const void *what, struct buf *out)
{
    return authority_save(what, out);
}

static int put_text(const void *what, struct buf *out)
{
    return buf_fmt(out, "%s\n", (const char *)what);
}

int node_mesh_save_member(struct node_mesh *m, struct err *e)
{
    return node_mesh_save(m, "member.json", put_member, m->member, e);
}

// The other node that holds it, when there is one, hears of every change.
static void tell_other(struct node_mesh *m)
{
    struct buf text;
    struct err e = {0};
    const char *standby = authority_standby(m->authority);
    bool ours = strcmp(standby, m->self) == 0;
    const char *to = ours ? member_authority(m->member) : standby;
    if (!m->links || !*to || strcmp(to, m->self) == 0)
        return;
    buf_init(&text, AUTHORITY_TEXT_MAX);
    int status = ours ? authority_save(m->authority, &text)
                      : authority_export(m->authority, bytes_of(to), &text, &e);
    if (status == 0)
        links_standby(m->links, to, buf_bytes(&text));
    if (text.p)
        mem_wipe(text.p, text.cap);
    buf_fini(&text);
}

static int read_file(struct node_mesh *m, const char *name, struct buf *text, struct err *e)
{
    char path[4200];
    struct err why = {0};
    path_of(m, name, path);
    int status = file_read(path, text, &why);
    if (status == E_NOTFOUND)
        return 0;
    if (status < 0 && e)
        *e = why;
    return status < 0 ? status : 1;
}

// What is not on the disk has not happened: whoever asked is told so, and may ask again.
static void undo_authority(struct node_mesh *m)
{
    struct authority *saved = NULL;
    struct buf text;
    buf_init(&text, AUTHORITY_TEXT_MAX);
    if (read_file(m, "authority.json", &text, NULL) == 1 &&
        authority_load(&saved, buf_bytes(&text), NULL) == 0) {
        authority_free(m->authority);
        m->authority = saved;
        if (m->links)
            links_authority(m->links, saved);
    }
    if (text.p)
        mem_wipe(text.p, text.cap);
    buf_fini(&text);
}

int node_mesh_save_authority(struct node_mesh *m, struct err *e)
{
    int status = node_mesh_save(m, "authority.json", put_authority, m->authority, e);
    if (status == 0)
        tell_other(m);
    else if (m->links)
        undo_authority(m);
    return status;
}

int node_mesh_save_listen(struct node_mesh *m, const char *listen, struct err *e)
{
    return node_mesh_save(m, "listen", put_text, listen, e);
}

// Who was where: so that a node that starts again finds the others also when the authority is away.
static uint64_t peers_sign(const struct node_mesh *m)
{
    uint64_t sign = 1;
    for (struct mesh_node *x = NULL; (x = mesh_each(m->mesh, x)) != NULL;) {
        struct mesh_node_view v;
        mesh_node_view(m->mesh, x, timers_now_ms(loop_timers(m->node->loop)), &v);
        if (v.self || !v.sheet || v.state == MESH_REMOVED)
            continue;
        sign = sign * 31 + bytes_hash(bytes_of(v.name)) + v.sheet->boot + v.sheet->leaving;
        for (size_t i = 0; v.sheet->addresses[i]; i++)
            sign = sign * 31 + bytes_hash(bytes_of(v.sheet->addresses[i]));
    }
    return sign;
}

static int put_peers(const void *what, struct buf *out)
{
    links_news((struct links *)(uintptr_t)what, out);
    return out->failed;
}

void node_mesh_save_peers(struct node_mesh *m)
{
    struct err e = {0};
    // Not before the file of the last life was read: our own sheet is a change, too.
    uint64_t sign = m->links && m->peers_read ? peers_sign(m) : m->peers_sign;
    if (sign == m->peers_sign)
        return;
    m->peers_sign = sign;
    if (node_mesh_save(m, "peers", put_peers, m->links, &e) < 0)
        log_event(LOG_WARN, "mesh.save", LOG_STR("why", e.text));
}

static int load(struct node_mesh *m, struct err *e)
{
    struct buf text;
    buf_init(&text, AUTHORITY_TEXT_MAX);
    int status = read_file(m, "member.json", &text, e);
    if (status == 1)
        status = member_load(&m->member, buf_bytes(&text), e);
    if (text.p)
        mem_wipe(text.p, text.cap);
    buf_clear(&text);
    // Without a membership, or of another mesh, it is of an attempt that failed: not ours to hold.
    bool member = status == 0 && m->member && member_joined(m->member);
    if (member)
        status = read_file(m, "authority.json", &text, e);
    if (member && status == 1)
        status = authority_load(&m->authority, buf_bytes(&text), e);
    if (status == 0 && m->authority) {
        struct member_view v;
        member_view(m->member, &v);
        if (strcmp(v.domain, authority_domain(m->authority)) != 0)
            status = err_set(e, E_CONFLICT, "authority.json is of %s, member.json of %s",
                             authority_domain(m->authority), v.domain);
    }
    if (text.p)
        mem_wipe(text.p, text.cap);
    buf_fini(&text);
    return status < 0 ? err_wrap(e, "data/mesh") : 0;
}

static void read_peers(struct node_mesh *m)
{
    struct buf text;
    buf_init(&text, AUTHORITY_TEXT_MAX);
    if (read_file(m, "peers", &text, NULL) == 1)
        links_news_take(m->links, buf_bytes(&text));
    m->peers_sign = peers_sign(m);
    m->peers_read = true;
    buf_fini(&text);
}

static void set_listen(struct node_mesh *m)
{
    struct buf text;
    buf_init(&text, SETTINGS_MAX);
    const char *said = m->node->config->mesh_listen;
    if (said)
        (void)snprintf(m->listen, sizeof(m->listen), "%s", said);
    else if (read_file(m, "listen", &text, NULL) == 1 && bytes_trim(buf_bytes(&text)).n)
        (void)snprintf(m->listen, sizeof(m->listen), "%.*s",
                       BYTES_FMT(bytes_trim(buf_bytes(&text))));
    else
        (void)snprintf(m->listen, sizeof(m->listen), "0.0.0.0:%d", LINKS_PORT);
    buf_fini(&text);
}

// The number of this life: later than that of any earlier one, also when the clock went back in
// between, because others take the life with the higher number for the present one.
static uint64_t next_boot(struct node_mesh *m)
{
    char number[24];
    struct buf text;
    struct err e = {0};
    uint64_t boot = (uint64_t)time_wall_ms(), last = 0;
    buf_init(&text, SETTINGS_MAX);
    if (read_file(m, "boot", &text, NULL) == 1 && bytes_u64(bytes_trim(buf_bytes(&text)), &last) &&
        boot <= last)
        boot = last + 1;
    buf_fini(&text);
    (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)boot);
    if (node_mesh_save(m, "boot", put_text, number, &e) < 0)
        log_event(LOG_WARN, "mesh.save", LOG_STR("why", e.text));
    return boot;
}

// ---- what links ask for ------------------------------------------------------------------------

static int64_t op_wall(void *user)
{
    (void)user;
    return time_wall_ms();
}

static int op_save_member(void *user, struct err *e)
{
    return node_mesh_save_member(user, e);
}

static int op_save_authority(void *user, struct err *e)
{
    return node_mesh_save_authority(user, e);
}

static int op_standby(void *user, struct bytes text, struct err *e)
{
    struct node_mesh *m = user;
    bool fresh = m->authority == NULL;
    int status = fresh ? authority_load(&m->authority, text, e)
                       : authority_merge(m->authority, text, time_wall_ms(), e);
    if (status < 0)
        return status;
    // Not by node_mesh_save_authority: what came from the other is not sent back to it.
    if (fresh || status == 1)
        status = node_mesh_save(m, "authority.json", put_authority, m->authority, e);
    if (status < 0)
        return status;
    const struct grant_removals *removals = authority_removals(m->authority);
    struct grant_removal r;
    struct bytes removal;
    size_t at = 0;
    while (grant_removals_each(removals, &at, &r, &removal))
        (void)links_removal(m->links, removal, NULL);
    links_authority(m->links, m->authority);
    if (fresh)
        log_event(LOG_INFO, "mesh.standby", LOG_STR("what", "this node holds the authority, too"));
    node_mesh_tell(m);
    return 0;
}

static void op_state(void *user, struct mesh_node *node, enum mesh_state before, int64_t silence_ms)
{
    struct node_mesh *m = user;
    struct mesh_node_view v;
    mesh_node_view(m->mesh, node, timers_now_ms(loop_timers(m->node->loop)), &v);
    const char *standby = m->authority ? authority_standby(m->authority) : "";
    bool other = strcmp(v.name, standby) == 0 || strcmp(v.name, member_authority(m->member)) == 0;
    if (v.state == MESH_ALIVE && before != MESH_ALIVE && m->authority && *standby && other)
        tell_other(m); // it may have missed something
    node_mesh_alert_state(m, &v, before, silence_ms);
    node_bus_mesh(m->node);
    ctl_mesh_changed(m->node->ctl);
}

static void op_changed(void *user, struct mesh_node *node)
{
    struct node_mesh *m = user;
    (void)node;
    node_mesh_save_peers(m); // a new one: it may be the last thing that happens before a power loss
    node_bus_mesh(m->node);
    ctl_mesh_changed(m->node->ctl);
}

static void op_cut(void *user, const char *node, const char *why)
{
    struct node_mesh *m = user;
    gate_node_gone(m->node->gate, node, why);
}

static void op_want(void *user, const char *model)
{
    struct node_mesh *m = user;
    struct node *n = m->node;
    struct model *x = models_find(n->models, bytes_of(model));
    if (x && !n->draining)
        (void)models_load(n->models, x, timers_now_ms(loop_timers(n->loop)), NULL);
    engines_run(n->engines);
}

static void op_drain(void *user, bool on)
{
    node_mesh_drain(user, on);
}

static void op_rotated(void *user)
{
    struct node_mesh *m = user;
    node_mesh_tell(m);
    node_bus_mesh(m->node);
    ctl_mesh_changed(m->node->ctl);
}

static void on_ending(struct timer *t)
{
    struct node_mesh *m = t->user;
    node_mesh_end(m, true);
    ctl_mesh_changed(m->node->ctl);
}

static void op_removed(void *user)
{
    struct node_mesh *m = user;
    log_event(LOG_ERROR, "mesh.removed",
              LOG_STR("why", "this node was removed from the mesh; it serves on by itself, and can "
                             "join again with a new token"));
    node_mesh_alert_removed(m);
    m->ending.fn = on_ending; // not from inside the links
    m->ending.user = m;
    (void)timer_start(loop_timers(m->node->loop), &m->ending, 0);
}

static void op_refused(void *user, enum links_refusal what, const char *who, const char *why)
{
    struct node_mesh *m = user;
    meter_node(m->node->meter)->links_refused++;
    node_mesh_alert_refused(m, what, who, why);
}

// ---- the sheet ---------------------------------------------------------------------------------

static void tell_now(struct node_mesh *m)
{
    struct mesh_sheet sheet;
    struct err e = {0};
    m->telling = false;
    timer_stop(loop_timers(m->node->loop), &m->soon);
    if (!m->links)
        return;
    struct arena *a = arena_new(SHEET_ARENA);
    int status = a ? node_mesh_sheet(m, a, &sheet) : E_NOMEM;
    if (status == 0) {
        node_labels_own(m->node, sheet.clearance); // as the grant says
        status = links_tell(m->links, &sheet, &e);
    }
    if (status >= 0)
        node_registry_tell(m);
    if (status < 0)
        log_event(LOG_ERROR, "mesh.sheet", LOG_STR("why", e.n ? e.text : err_info(status)->text));
    arena_free(a);
    ctl_mesh_changed(m->node->ctl);
}

static void on_soon(struct timer *t)
{
    tell_now(t->user);
}

void node_mesh_tell(struct node_mesh *m)
{
    if (!m->links || m->telling)
        return;
    m->soon.fn = on_soon;
    m->soon.user = m;
    m->telling = timer_start(loop_timers(m->node->loop), &m->soon, TELL_MS) == 0;
}

void node_mesh_models(struct node *n)
{
    if (n->mesh)
        node_mesh_tell(n->mesh);
}

void node_mesh_drain(struct node_mesh *m, bool on)
{
    if (m->draining == on)
        return;
    m->draining = on;
    log_event(LOG_INFO, "mesh.drain", LOG_BOOL("on", on));
    tell_now(m);
}

static void op_load(void *user)
{
    struct node_mesh *m = user;
    struct node *n = m->node;
    uint64_t budget = models_memory_budget(n->models), used = models_memory_used(n->models);
    uint32_t active = 0, waiting = 0;
    size_t i = 0;
    for (struct model *x = NULL; (x = models_each(n->models, x)) != NULL; i++) {
        struct model_view v;
        model_view(n->models, x, timers_now_ms(loop_timers(n->loop)), &v);
        mesh_model_load(m->mesh, i, bytes_of(v.name), v.active, v.waiting);
        active += v.active;
        waiting += v.waiting;
    }
    mesh_load(m->mesh, active, waiting, budget > used ? budget - used : 0);
}

void node_mesh_tick(struct node *n)
{
    struct node_mesh *m = n->mesh;
    if (!m || !m->links)
        return;
    node_mesh_save_peers(m);
    op_load(m); // without others there are no beats that would ask for it
    node_mesh_tell(m);
    node_bus_mesh(n);
    node_mesh_alert_tick(m);
}

static const struct links_ops links_ops = {.wall_ms = op_wall,
                                           .save_member = op_save_member,
                                           .save_authority = op_save_authority,
                                           .standby = op_standby,
                                           .state = op_state,
                                           .changed = op_changed,
                                           .cut = op_cut,
                                           .want = op_want,
                                           .drain = op_drain,
                                           .rotated = op_rotated,
                                           .load = op_load,
                                           .removed = op_removed,
                                           .refused = op_refused};

// ---- life --------------------------------------------------------------------------------------

static int listen_addr(const struct node_mesh *m, struct net_addr *ret, struct err *e)
{
    struct url_addr a;
    int status = url_addr_parse(&a, bytes_of(m->listen), e);
    if (status == 0 && a.unix_socket)
        status = err_set(e, E_CONFIG, "listen.mesh: nodes meet over a network, not a unix socket");
    if (status < 0)
        return status;
    *ret = (struct net_addr){.port = a.port};
    (void)snprintf(ret->host, sizeof(ret->host), "%s", a.host);
    return 0;
}

int node_mesh_start(struct node_mesh *m, struct err *e)
{
    struct node *n = m->node;
    struct member_view v;
    struct net_addr addr;
    const struct config *c = n->config;
    member_view(m->member, &v);
    (void)snprintf(m->self, sizeof(m->self), "%s", v.node);
    if (strcmp(v.context, c->context) != 0)
        log_event(LOG_WARN, "mesh.context", LOG_STR("joined", v.context),
                  LOG_STR("configured", c->context));
    if (bytes_is(bytes_of(c->environment), "") || !v.grant ||
        strcmp(v.grant->environment, c->environment) != 0)
        return err_set(e, E_CONFIG,
                       "node.context is of environment %s, but this node joined its mesh for %s: "
                       "environments never mix; leave the mesh (plexus mesh leave) or set it back",
                       c->environment, v.grant ? v.grant->environment : "?");
    set_listen(m);
    int status = listen_addr(m, &addr, e);
    if (status < 0)
        return status;
    m->boot = next_boot(m);
    m->peers_read = false;
    if (m->tag < 0)
        m->tag = door_reserve_mesh(n);
    if (m->tag < 0)
        return err_set(e, E_FULL, "more than %d listeners", NODE_DOORS_MAX);
    m->mesh = mesh_new(&(struct mesh_args){.self = m->self,
                                           .context = c->context,
                                           .boot = m->boot,
                                           .beat_ms = c->beat_ms,
                                           .suspect_ms = c->suspect_ms,
                                           .dead_ms = c->dead_ms,
                                           .forget_ms = FORGET_MS,
                                           .names = m->names});
    if (!m->mesh)
        return err_set(e, E_NOMEM, "out of memory");
    struct links_args args = {.net = loop_net(n->loop),
                              .timers = loop_timers(n->loop),
                              .server = n->server,
                              .tag = m->tag,
                              .mesh = m->mesh,
                              .member = m->member,
                              .authority = m->authority,
                              .names = m->names,
                              .boot = m->boot,
                              .beat_ms = c->beat_ms,
                              .ops = &links_ops,
                              .user = m};
    status = links_new(&m->links, &args, e);
    if (status == 0)
        status = links_open(m->links, &addr, e);
    if (status < 0) {
        links_free(m->links);
        mesh_free(m->mesh);
        m->links = NULL;
        m->mesh = NULL;
        return status;
    }
    tell_now(m);
    gate_others(n->gate, true);
    read_peers(m);
    node_registry_open(m);
    node_bus_mesh(n);
    log_event(LOG_INFO, "mesh.open", LOG_STR("id", v.id), LOG_STR("listen", m->listen),
              LOG_UINT("port", links_port(m->links)));
    return 0;
}

int node_mesh_open(struct node *n, struct err *e)
{
    struct node_mesh *m = mem_new(struct node_mesh);
    if (!m)
        return err_set(e, E_NOMEM, "out of memory");
    m->names = n->label_names;
    m->node = n;
    m->tag = -1;
    buf_init(&m->hop, 4096);
    n->mesh = m;
    (void)snprintf(m->self, sizeof(m->self), "%s", n->config->node_name);
    int status = load(m, e);
    if (status == 0 && m->member && member_joined(m->member))
        status = node_mesh_start(m, e);
    return status;
}

// The files of a membership that ended are kept under another name: nothing of the owner's is lost.
void node_mesh_put_away(struct node_mesh *m, const char *name)
{
    char from[4200], to[4200], old[300];
    path_of(m, name, from);
    (void)snprintf(old, sizeof(old), "%s.left", name);
    path_of(m, old, to);
    if (rename(from, to) != 0 && errno != ENOENT)
        log_event(LOG_ERROR, "mesh.save", LOG_STR("why", strerror(errno)));
}

void node_mesh_end(struct node_mesh *m, bool forget)
{
    struct timers *timers = loop_timers(m->node->loop);
    timer_stop(timers, &m->soon);
    timer_stop(timers, &m->ending);
    m->telling = false;
    if (!m->links)
        return;
    node_registry_close(m);
    gate_close_nodes(m->node->gate, "this node left the mesh");
    gate_others(m->node->gate, false);
    links_close(m->links);
    if (!forget)
        return;
    // What is still on the stack may look at them: freed with the next membership, or at the end.
    links_free(m->old_links);
    mesh_free(m->old_mesh);
    m->old_links = m->links;
    m->old_mesh = m->mesh;
    m->links = NULL;
    m->mesh = NULL;
    node_labels_own(m->node, LABEL_ALL);
    member_free(m->member);
    authority_free(m->authority);
    m->member = NULL;
    m->authority = NULL;
    m->draining = m->leaving = false;
    m->traffic_count = 0;
    node_mesh_put_away(m, "member.json");
    node_mesh_put_away(m, "authority.json");
    node_mesh_put_away(m, "peers");
    node_bus_mesh(m->node);
    if (m->tag >= 0) {
        m->node->doors[m->tag] = (struct node_door){0};
        doors_tell(m->node);
    }
    m->tag = -1;
}

void node_mesh_leaving(struct node *n)
{
    struct node_mesh *m = n->mesh;
    if (!m || !m->links || m->leaving)
        return;
    m->leaving = true;
    node_mesh_save_peers(
        m); // who joined since the last tick, too: others do not call on one that left
    tell_now(m);
}

bool node_mesh_quiet(struct node *n)
{
    struct node_mesh *m = n->mesh;
    return !m || !m->links || links_quiet(m->links);
}

bool node_mesh_ended(struct node *n)
{
    struct node_mesh *m = n->mesh;
    if (m)
        node_registry_close(m);
    return !m || !m->registries;
}

// Nobody reads it any more, but it holds memory.
static void unanswered(struct ctl_answer **a)
{
    struct err e = {0};
    (void)err_set(&e, E_BUSY, "the node is stopping");
    if (*a)
        ctl_answer_error(*a, &e);
    *a = NULL;
}

void node_mesh_close(struct node *n)
{
    struct node_mesh *m = n->mesh;
    if (!m || m->closed)
        return;
    m->closed = true;
    links_join_free(m->joining);
    m->joining = NULL;
    unanswered(&m->join_answer);
    node_mesh_end(m, false);
}

void node_mesh_free(struct node *n)
{
    struct node_mesh *m = n->mesh;
    if (!m)
        return;
    links_free(m->links);
    links_free(m->old_links);
    unanswered(&m->ask_answer); // its call ended with the loop
    mesh_free(m->mesh);
    mesh_free(m->old_mesh);
    member_free(m->member);
    member_free(m->joiner);
    authority_free(m->authority);
    buf_fini(&m->hop);
    mem_free(m);
    n->mesh = NULL;
}
