// node_mesh.c: a simulated node among others: what app/node_mesh*.c does, with the simulated disk.
// SPDX-License-Identifier: Apache-2.0
#include "sim/play_priv.h"

#include "base/alloc.h"
#include "base/time.h"
#include "text/json.h"

#include <string.h>

enum {
    TELL_MS = 20,
    JOIN_AGAIN_MS = 500,
    FIRST_BYTE_MS = 20 * 60 * 1000,
    SILENCE_MS = 15 * 60 * 1000
};
#define SHEET_ARENA ((size_t)4 << 20)

// ---- its files

static int save_member(void *user, struct err *e)
{
    struct play_node *n = user;
    struct buf text;
    buf_init(&text, AUTHORITY_TEXT_MAX);
    int rc = member_save(n->member, &text);
    if (rc == 0)
        rc = sim_file_write(n->host, "member.json", buf_bytes(&text), e);
    buf_fini(&text);
    return rc;
}

static int save_authority(void *user, struct err *e)
{
    struct play_node *n = user;
    struct buf text;
    buf_init(&text, AUTHORITY_TEXT_MAX);
    int rc = authority_save(n->authority, &text);
    if (rc == 0)
        rc = sim_file_write(n->host, "authority.json", buf_bytes(&text), e);
    buf_fini(&text);
    return rc;
}

// What it knows of others is kept, so that it finds them after a restart without the authority.
static uint64_t peers_sign(const struct play_node *n)
{
    uint64_t sign = 1;
    for (struct mesh_node *x = NULL; (x = mesh_each(n->mesh, x)) != NULL;) {
        struct mesh_node_view v;
        mesh_node_view(n->mesh, x, play_now_ms(n), &v);
        if (!v.self && v.sheet != NULL && v.state != MESH_REMOVED)
            sign = sign * 31 + bytes_hash(bytes_of(v.name)) + v.sheet->boot + v.sheet->leaving;
    }
    return sign;
}

static void save_peers(struct play_node *n)
{
    struct buf text;
    uint64_t sign = n->links && n->peers_read ? peers_sign(n) : n->peers_sign;
    if (sign == n->peers_sign)
        return;
    n->peers_sign = sign;
    buf_init(&text, AUTHORITY_TEXT_MAX);
    links_news(n->links, &text);
    (void)sim_file_write(n->host, "peers", buf_bytes(&text), NULL); // a warning in production
    buf_fini(&text);
}

static void read_peers(struct play_node *n)
{
    struct buf text;
    buf_init(&text, AUTHORITY_TEXT_MAX);
    if (sim_file_read(n->host, "peers", &text, NULL) == 0)
        links_news_take(n->links, buf_bytes(&text));
    n->peers_sign = peers_sign(n);
    n->peers_read = true;
    buf_fini(&text);
}

// ---- what links ask for

static int64_t op_wall(void *user)
{
    (void)user;
    return time_wall_ms();
}

static int op_standby(void *user, struct bytes text, struct err *e)
{
    (void)user;
    (void)text;
    return err_set(e, E_UNSUPPORTED, "no standby in this play");
}

static void op_state(void *user, struct mesh_node *other, enum mesh_state before,
                     int64_t silence_ms)
{
    play_check_state(user, other, before, silence_ms);
}

static void op_changed(void *user, struct mesh_node *other)
{
    (void)other;
    save_peers(user);
}

static void op_cut(void *user, const char *node, const char *why)
{
    struct play_node *n = user;
    sim_say(n->play->w, "cuts %s: %s", node, why);
    gate_node_gone(n->gate, node, why);
}

static void op_want(void *user, const char *model)
{
    struct play_node *n = user;
    struct model *x = models_find(n->models, bytes_of(model));
    if (x != NULL)
        (void)models_load(n->models, x, play_now_ms(n), NULL);
    play_models_run(n);
}

static void op_drain(void *user, bool on)
{
    struct play_node *n = user;
    n->draining = on;
    play_tell(n);
}

static void op_rotated(void *user)
{
    play_tell(user);
}

// No member any more: it serves on by itself.
static void on_removed(struct timer *t)
{
    struct play_node *n = t->user;
    timer_stop(sim_timers(n->host), &n->tell);
    n->telling = false;
    if (n->links == NULL)
        return;
    gate_close_nodes(n->gate, "this node left the mesh");
    gate_others(n->gate, false);
    links_close(n->links);
    n->old_links = n->links; // what is on the stack may still look at them
    n->old_mesh = n->mesh;
    n->links = NULL;
    n->mesh = NULL;
}

static void op_removed(void *user)
{
    struct play_node *n = user;
    sim_say(n->play->w, "hears that it was removed");
    n->ending = (struct timer){.fn = on_removed, .user = n};
    (void)timer_start(sim_timers(n->host), &n->ending, 0);
}

static const struct links_ops links_ops = {.wall_ms = op_wall,
                                           .save_member = save_member,
                                           .save_authority = save_authority,
                                           .standby = op_standby,
                                           .state = op_state,
                                           .changed = op_changed,
                                           .cut = op_cut,
                                           .want = op_want,
                                           .drain = op_drain,
                                           .rotated = op_rotated,
                                           .removed = op_removed};

// ---- the sheet

static void put_model(struct play_node *n, struct play_engine *x, struct mesh_model *to)
{
    struct model_view v;
    model_view(n->models, x->m, play_now_ms(n), &v);
    *to = (struct mesh_model){.name = x->name,
                              .kind = "chat",
                              .state = model_state_name(v.state),
                              .tier = "node",
                              .context = v.context,
                              .slots = 4,
                              .active = v.active,
                              .waiting = v.waiting,
                              .load_ms = v.last_load_ms > 0 ? v.last_load_ms : -1,
                              .eta_ms = v.state == MODEL_LOADING ? v.eta_ms : -1,
                              .fits = v.state != MODEL_FAILED,
                              .clearance = LABEL_ALL};
}

static void tell_now(struct play_node *n)
{
    struct mesh_model models[PLAY_ENGINES_MAX] = {0};
    struct mesh_record records[3] = {{.kind = "service", .name = "gateway"},
                                     {.kind = "queue", .name = "heavy-compute-queue"},
                                     {.kind = "service", .name = "authority"}};
    char address[64];
    const char *addresses[2] = {address, NULL};
    struct err e = {0};
    struct member_view v;
    n->telling = false;
    timer_stop(sim_timers(n->host), &n->tell);
    if (n->links == NULL)
        return;
    member_view(n->member, &v);
    (void)snprintf(address, sizeof address, "%s:%u", sim_host_address(n->host), PLAY_MESH_PORT);
    for (unsigned k = 0; k < n->engine_count; k++)
        put_model(n, &n->engines[k], &models[k]);
    struct mesh_sheet s = {.node = n->name,
                           .context = n->context,
                           .version = "1",
                           .profile = n->engine_count ? "server" : "edge",
                           .ttl_ms = 30000,
                           .draining = n->draining,
                           .leaving = n->leaving,
                           .addresses = addresses,
                           .models = models,
                           .model_count = n->engine_count,
                           .records = records,
                           .record_count = n->authority ? 3 : 2,
                           .clearance = {.level = LABEL_INTERNAL}};
    if (v.grant != NULL && v.grant->clearance && *v.grant->clearance)
        (void)label_parse(n->names, bytes_of(v.grant->clearance), &s.clearance, NULL);
    if (links_tell(n->links, &s, &e) < 0)
        sim_fail(n->play->w, "the sheet of %s: %s", n->name, e.text);
}

static void on_tell(struct timer *t)
{
    tell_now(t->user);
}

void play_tell(struct play_node *n)
{
    if (n->links == NULL || n->telling)
        return;
    n->tell = (struct timer){.fn = on_tell, .user = n};
    n->telling = timer_start(sim_timers(n->host), &n->tell, TELL_MS) == 0;
}

// ---- membership

// Later than the number of any earlier life.
static uint64_t next_boot(struct play_node *n)
{
    struct buf text;
    uint64_t boot = (uint64_t)time_wall_ms(), last = 0;
    buf_init(&text, 100);
    if (sim_file_read(n->host, "boot", &text, NULL) == 0 && bytes_u64(buf_bytes(&text), &last) &&
        boot <= last)
        boot = last + 1;
    buf_clear(&text);
    (void)buf_u64(&text, boot);
    (void)sim_file_write(n->host, "boot", buf_bytes(&text), NULL);
    buf_fini(&text);
    return boot;
}

int play_mesh_start(struct play_node *n, struct err *e)
{
    struct net_addr addr = {.host = "0.0.0.0", .port = PLAY_MESH_PORT};
    n->boot = next_boot(n);
    n->peers_read = false;
    n->mesh = mesh_new(&(struct mesh_args){
        .self = n->name, .context = n->context, .boot = n->boot, .names = n->names});
    if (n->mesh == NULL)
        return err_set(e, E_NOMEM, "out of memory");
    struct links_args args = {.net = sim_net(n->host),
                              .timers = sim_timers(n->host),
                              .server = n->server,
                              .tag = TAG_MESH,
                              .mesh = n->mesh,
                              .member = n->member,
                              .authority = n->authority,
                              .names = n->names,
                              .boot = n->boot,
                              .ops = &links_ops,
                              .user = n};
    int rc = links_new(&n->links, &args, e);
    if (rc == 0)
        rc = links_open(n->links, &addr, e);
    if (rc < 0) {
        links_free(n->links);
        mesh_free(n->mesh);
        n->links = NULL;
        n->mesh = NULL;
        return rc;
    }
    tell_now(n);
    gate_others(n->gate, true);
    read_peers(n);
    return 0;
}

void play_mesh_end(struct play_node *n)
{
    links_join_free(n->join);
    n->join = NULL;
    links_close(n->links);
}

int play_authority_make(struct play_node *n, struct err *e)
{
    char token[AUTHORITY_TOKEN_TEXT_MAX], id[17];
    struct buf body, answer;
    struct authority_token_args args = {
        .node = n->name, .environment = n->environment, .clearance = n->clearance};
    buf_init(&body, AUTHORITY_BODY_MAX);
    buf_init(&answer, MEMBER_TEXT_MAX);
    int rc =
        authority_make(&n->authority, BYTES("play.test"), n->play->svid_ttl_ms, time_wall_ms(), e);
    if (rc == 0)
        rc = authority_token_new(n->authority, &args, time_wall_ms(), token, id, e);
    if (rc == 0)
        rc = member_make(&n->member, bytes_of(n->name), bytes_of(n->context), e);
    if (rc == 0)
        rc = member_join_body(n->member, bytes_of(token), &body, e);
    if (rc == 0)
        rc = authority_join(n->authority, buf_bytes(&body), time_wall_ms(), &answer, NULL, e);
    if (rc == 0)
        rc = member_join_accept(n->member, bytes_of(token), buf_bytes(&answer), time_wall_ms(), e);
    char address[64];
    const char *list[2] = {address, NULL};
    (void)snprintf(address, sizeof address, "%s:%u", sim_host_address(n->host), PLAY_MESH_PORT);
    if (rc == 0)
        rc = member_set_authority(n->member, bytes_of(n->name), list, e);
    buf_fini(&body);
    buf_fini(&answer);
    if (rc == 0)
        rc = save_authority(n, e);
    return rc == 0 ? save_member(n, e) : rc;
}

// As the admin does at the authority.
int play_remove(struct play_node *n, const char *node, struct err *e)
{
    struct buf text;
    buf_init(&text, GRANT_TEXT_MAX);
    int rc = authority_remove(n->authority, bytes_of(node), time_wall_ms(), &text, e);
    if (rc == 0)
        rc = save_authority(n, e);
    if (rc == 0)
        rc = links_removal(n->links, buf_bytes(&text), e);
    buf_fini(&text);
    return rc < 0 ? rc : 0;
}

static void join_again(struct timer *t)
{
    const struct play_node *n = t->user;
    if (!n->removed)
        play_join(t->user);
}

static void on_joined(void *user, int status, struct bytes sheets, const struct err *why)
{
    struct play_node *n = user;
    struct err e = {0};
    struct links_join *j = n->join;
    n->join = NULL;
    sim_say(n->play->w, "join: %s", status < 0 ? why->text : "ok");
    if (status == 0)
        status = save_member(n, &e);
    if (status == 0)
        status = play_mesh_start(n, &e);
    if (status == 0) {
        while (sheets.n) { // "S sheet" and "R removal" lines
            struct bytes line = bytes_cut(&sheets, '\n'), word = bytes_cut(&line, ' ');
            if (bytes_is(word, "S"))
                (void)links_take(n->links, line, NULL);
            else if (bytes_is(word, "R"))
                (void)links_removal(n->links, line, NULL);
        }
    } else {
        member_free(n->member);
        n->member = NULL;
        n->join_again = (struct timer){.fn = join_again, .user = n};
        (void)timer_start(sim_timers(n->host), &n->join_again, JOIN_AGAIN_MS);
    }
    links_join_free(j);
}

// The admin makes a token at the authority, whenever that runs, and gives it to the node.
static int new_token(struct play_node *n, char text[AUTHORITY_TOKEN_TEXT_MAX])
{
    struct play_node *first = &n->play->nodes[0];
    char id[17];
    struct authority_token_args args = {
        .node = n->name, .environment = n->environment, .clearance = n->clearance};
    if (!first->running || first->authority == NULL)
        return E_UNAVAILABLE;
    struct sim_host *outer = sim_enter(first->host);
    int rc = authority_token_new(first->authority, &args, time_wall_ms(), text, id, NULL);
    if (rc == 0)
        rc = save_authority(first, NULL);
    (void)sim_enter(outer);
    return rc;
}

void play_join(struct play_node *n)
{
    char token[AUTHORITY_TOKEN_TEXT_MAX];
    struct err e = {0};
    int rc = new_token(n, token);
    if (rc == 0)
        rc = member_make(&n->member, bytes_of(n->name), bytes_of(n->context), &e);
    struct links_join_args a = {.net = sim_net(n->host),
                                .timers = sim_timers(n->host),
                                .addr = {.port = PLAY_MESH_PORT},
                                .token = rc == 0 ? bytes_of(token) : BYTES_NONE,
                                .member = n->member,
                                .wall_ms = time_wall_ms(),
                                .timeout_ms = 3000,
                                .done = on_joined,
                                .user = n};
    (void)snprintf(a.addr.host, sizeof a.addr.host, "%s", sim_host_address(n->play->nodes[0].host));
    if (rc == 0)
        rc = links_join(&n->join, &a, &e);
    if (rc < 0) {
        member_free(n->member);
        n->member = NULL;
        n->join_again = (struct timer){.fn = join_again, .user = n};
        (void)timer_start(sim_timers(n->host), &n->join_again, JOIN_AGAIN_MS);
    }
}

void play_mesh_load(struct play_node *n)
{
    struct buf text;
    struct err e = {0};
    buf_init(&text, AUTHORITY_TEXT_MAX);
    if (sim_file_read(n->host, "authority.json", &text, NULL) == 0 &&
        authority_load(&n->authority, buf_bytes(&text), &e) < 0)
        sim_fail(n->play->w, "%s: authority.json: %s", n->name, e.text);
    buf_clear(&text);
    if (sim_file_read(n->host, "member.json", &text, NULL) == 0 &&
        member_load(&n->member, buf_bytes(&text), &e) < 0)
        sim_fail(n->play->w, "%s: member.json: %s", n->name, e.text);
    buf_fini(&text);
    int rc = 0;
    if (n->index == 0 && n->member == NULL)
        rc = play_authority_make(n, &e);
    if (rc == 0 && n->member != NULL && member_joined(n->member))
        rc = play_mesh_start(n, &e);
    else if (rc == 0 && !n->removed)
        play_join(n);
    if (rc < 0)
        sim_fail(n->play->w, "%s: %s", n->name, e.text);
}

// ---- the gate's routes

static void here_of(const struct play_node *n, const struct gate_want *w, struct mesh_here *ret)
{
    struct model_view v;
    *ret = (struct mesh_here){0};
    if (w->here == NULL || w->not_here)
        return;
    model_view(n->models, w->here, play_now_ms(n), &v);
    *ret = (struct mesh_here){.have = true,
                              .may = !n->draining,
                              .fits = v.state != MODEL_FAILED,
                              .warm = v.state == MODEL_WARM,
                              .slots = 4,
                              .active = v.active,
                              .waiting = v.waiting,
                              .wait_ms = v.state == MODEL_WARM ? 0
                                         : v.eta_ms >= 0       ? v.eta_ms
                                         : v.last_load_ms > 0  ? v.last_load_ms
                                                               : -1};
}

static void give_way(struct play_node *n, const struct gate_want *w, const char *node,
                     const char *model, struct http_pool *pool, struct gate_route *ret)
{
    (void)snprintf(ret->node, sizeof ret->node, "%s", node);
    (void)snprintf(ret->model, sizeof ret->model, "%s", model);
    ret->up = (struct gate_upstream){.pool = pool,
                                     .auth = "",
                                     .base_path = "/v1",
                                     .first_byte_ms = FIRST_BYTE_MS,
                                     .silence_ms = SILENCE_MS};
    buf_clear(&n->hop);
    (void)buf_fmt(&n->hop, "X-Plexus-Hop: %s\r\nX-Plexus-Label: ", n->name);
    label_put(&n->hop, n->names, w->label);
    (void)buf_str(&n->hop, "\r\n");
    ret->headers = buf_bytes(&n->hop);
}

static int route(void *user, const struct gate_want *w, struct gate_route *ret, struct err *e)
{
    struct play_node *n = user;
    struct mesh_node *not[GATE_TRIES_MAX * 2];
    struct mesh_choice choice;
    struct mesh_here here;
    *ret = (struct gate_route){0};
    if (n->links == NULL || mesh_count(n->mesh, MESH_ALIVE) <= 1) {
        ret->here = w->here && !w->not_here;
        return ret->here ? 0 : err_set(e, E_NOTFOUND, "no other node has it");
    }
    here_of(n, w, &here);
    struct mesh_want want = {
        .model = w->model, .kind = w->kind, .label = w->label, .prefix = w->prefix, .not = not};
    for (size_t i = 0; i < w->not_count; i++)
        if ((not[want.not_count] = mesh_find(n->mesh, bytes_of(w->not[i]))) != NULL)
            want.not_count++;
    for (int tries = 0; tries < GATE_TRIES_MAX; tries++) {
        int rc = mesh_route(n->mesh, &want, &here, play_now_ms(n), &choice, e);
        if (rc < 0)
            return rc;
        if (choice.node == NULL) {
            ret->here = true;
            return 0;
        }
        struct mesh_node_view v;
        struct http_pool *pool = links_pool(n->links, choice.node);
        mesh_node_view(n->mesh, choice.node, play_now_ms(n), &v);
        if (pool != NULL) {
            play_check_route(n, w, v.name);
            give_way(n, w, v.name, choice.model, pool, ret);
            return 0;
        }
        not[want.not_count++] = choice.node;
    }
    return err_set(e, E_UNAVAILABLE, "there is no link to the nodes that have the model");
}

static void sent(void *user, const char *node, const char *model)
{
    struct play_node *n = user;
    sim_say(n->play->w, "sends a request for %s to %s", model, node);
    (void)model;
    struct mesh_node *x = n->mesh ? mesh_find(n->mesh, bytes_of(node)) : NULL;
    if (x != NULL)
        mesh_sent(n->mesh, x);
}

static void outcome(void *user, const char *node, const char *model, bool good)
{
    struct play_node *n = user;
    (void)model;
    struct mesh_node *x = n->mesh ? mesh_find(n->mesh, bytes_of(node)) : NULL;
    if (x != NULL)
        mesh_outcome(n->mesh, x, good, play_now_ms(n));
}

static int peer(void *user, const struct net_peer *who, struct err *e)
{
    struct play_node *n = user;
    return n->links ? links_peer(n->links, who, e)
                    : err_set(e, E_FORBIDDEN, "this node is in no mesh");
}

static int peer_clearance(void *user, const struct net_peer *who, struct label *ret, struct err *e)
{
    struct play_node *n = user;
    struct spiffe_id id;
    struct mesh_node_view v = {0};
    struct mesh_node *x = NULL;
    if (n->mesh != NULL && who->id && spiffe_parse(&id, bytes_of(who->id), NULL) == 0)
        x = mesh_find(n->mesh, spiffe_node(&id));
    if (x != NULL)
        mesh_node_view(n->mesh, x, play_now_ms(n), &v);
    if (v.sheet == NULL)
        return err_set(e, E_SECURITY, "nothing is known of node %s yet", who->id ? who->id : "?");
    *ret = v.sheet->clearance;
    return 0;
}

static void others(void *user, struct json_w *w, const struct key *key)
{
    (void)user;
    (void)w;
    (void)key;
}

void play_gate_args(struct gate_args *args)
{
    args->route = route;
    args->sent = sent;
    args->outcome = outcome;
    args->peer = peer;
    args->peer_clearance = peer_clearance;
    args->others = others;
}
