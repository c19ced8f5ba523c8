// node_mesh_ops.c: the operations of the mesh that ctl and so the command line ask for.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_mesh_priv.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "crypto/hash.h"
#include "text/units.h"
#include "text/url.h"
#include <stdio.h>
#include <string.h>

#define JOIN_MS 15000
#define WORDS_MAX 16
#define JSON_MAX ((size_t)8 << 20)

typedef void (*op_fn)(struct node_mesh *m, const struct ctl_mesh_ask *ask, struct ctl_answer *a);

static int64_t now_of(const struct node_mesh *m)
{
    return timers_now_ms(loop_timers(m->node->loop));
}

static const char *word(const struct ctl_mesh_ask *ask, const char *key, const char *fallback)
{
    return json_cstr(json_get(ask->body, key), fallback);
}

// A list of texts as an array that ends in NULL; E_INVALID when there are too many.
static int words(const struct ctl_mesh_ask *ask, const char *key, const char *ret[WORDS_MAX + 1],
                 struct err *e)
{
    const struct json *list = json_get(ask->body, key);
    if (json_len(list) > WORDS_MAX)
        return err_set(e, E_INVALID, "%s: more than %d", key, WORDS_MAX);
    for (size_t i = 0; i < json_len(list); i++)
        ret[i] = json_cstr(json_at(list, i), "");
    ret[json_len(list)] = NULL;
    return 0;
}

static int duration(const struct ctl_mesh_ask *ask, const char *key, int64_t *ret, struct err *e)
{
    const char *text = word(ask, key, NULL);
    int status = text ? units_duration(bytes_of(text), ret, e) : 0;
    return status < 0 ? err_wrap(e, "%s", key) : 0;
}

static void fail(struct ctl_answer *a, int code, const char *text)
{
    struct err e = {0};
    (void)err_set(&e, code, "%s", text);
    ctl_answer_error(a, &e);
}

static bool joined(const struct node_mesh *m, struct ctl_answer *a)
{
    if (!m->links)
        fail(a, E_CONFLICT,
             "this node is in no mesh: plexus mesh init begins one, plexus join ADDRESS TOKEN "
             "makes it a node of another's");
    return m->links != NULL;
}

static bool is_authority(const struct node_mesh *m, struct ctl_answer *a)
{
    struct err e = {0};
    if (!joined(m, a))
        return false;
    if (m->authority)
        return true;
    (void)err_set(&e, E_FORBIDDEN,
                  "the authority of this mesh is node %s: run it there (plexus on that machine, or "
                  "--node with its address)",
                  member_authority(m->member));
    ctl_answer_error(a, &e);
    return false;
}

static bool alone(const struct node_mesh *m, struct ctl_answer *a)
{
    struct err e = {0};
    bool ended = !m->old_links || links_quiet(m->old_links); // its calls look at it until then
    if (!m->links && !m->joining && ended)
        return true;
    if (m->joining || !m->links)
        (void)err_set(&e, E_BUSY,
                      m->joining ? "a join is on its way"
                                 : "the last membership is just ending: ask again");
    else
        (void)err_set(&e, E_CONFLICT,
                      "this node is already a node of a mesh: plexus mesh shows it, "
                      "plexus mesh leave leaves it");
    ctl_answer_error(a, &e);
    return false;
}

// What the authority says of this node, said to whoever asked here: their key is not the matter.
static struct err refusal(const struct err *e)
{
    struct err why = *e;
    if (why.code == E_UNAUTH)
        why.code = E_FORBIDDEN;
    return why;
}

static void ok(struct ctl_answer *a, int status, struct buf *json)
{
    if (json->failed)
        fail(a, json->failed, "the answer is too large");
    else
        ctl_answer(a, status, buf_bytes(json));
}

// ---- init --------------------------------------------------------------------------------------

static int set_up(struct node_mesh *m, const char *domain, int64_t ttl_ms, struct err *e)
{
    struct buf body, answer;
    char token[AUTHORITY_TOKEN_TEXT_MAX], id[17];
    int64_t wall = time_wall_ms();
    buf_init(&body, AUTHORITY_BODY_MAX);
    buf_init(&answer, MEMBER_TEXT_MAX);
    struct authority_token_args args = {.node = m->node->config->node_name,
                                        .environment = m->node->config->environment,
                                        .clearance = "restricted:*"};
    int status = authority_make(&m->authority, bytes_of(domain), ttl_ms, wall, e);
    if (status == 0)
        status = member_make(&m->member, bytes_of(m->node->config->node_name),
                             bytes_of(m->node->config->context), e);
    if (status == 0)
        status = authority_token_new(m->authority, &args, wall, token, id, e);
    if (status == 0)
        status = member_join_body(m->member, bytes_of(token), &body, e);
    if (status == 0)
        status = authority_join(m->authority, buf_bytes(&body), wall, &answer, NULL, e);
    if (status == 0)
        status = member_join_accept(m->member, bytes_of(token), buf_bytes(&answer), wall, e);
    static const char *const nowhere[] = {NULL};
    if (status == 0)
        status = member_set_authority(m->member, bytes_of(m->node->config->node_name), nowhere, e);
    mem_wipe(token, sizeof(token));
    buf_fini(&body);
    buf_fini(&answer);
    return status;
}

static void give_up(struct node_mesh *m)
{
    member_free(m->member);
    authority_free(m->authority);
    m->member = NULL;
    m->authority = NULL;
}

static int save_listen(struct node_mesh *m, const char *listen, struct err *e)
{
    struct url_addr addr;
    if (!listen)
        return 0;
    if (m->node->config->mesh_listen && strcmp(m->node->config->mesh_listen, listen) != 0)
        return err_set(e, E_CONFLICT, "listen.mesh in the configuration says %s",
                       m->node->config->mesh_listen);
    int status = url_addr_parse(&addr, bytes_of(listen), e);
    return status < 0 ? err_wrap(e, "listen") : node_mesh_save_listen(m, listen, e);
}

static void put_init(struct node_mesh *m, struct buf *out)
{
    struct json_w w;
    struct member_view v;
    uint8_t print[32];
    char hex[65];
    member_view(m->member, &v);
    authority_fingerprint(m->authority, print);
    crypto_hex(print, sizeof(print), hex);
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "trust_domain", v.domain);
    json_w_cstr(&w, "id", v.id);
    json_w_cstr(&w, "fingerprint", hex);
    json_w_cstr(&w, "listen", m->listen);
    json_w_u64(&w, "port", links_port(m->links));
    json_w_end(&w);
}

static void op_init(struct node_mesh *m, const struct ctl_mesh_ask *ask, struct ctl_answer *a)
{
    struct err e = {0};
    char made[32];
    uint32_t random;
    int64_t ttl = m->node->config->svid_ttl_ms;
    if (!alone(m, a))
        return;
    rng_bytes(&random, sizeof(random));
    (void)snprintf(made, sizeof(made), "mesh-%08x", random);
    int status = duration(ask, "svid_ttl", &ttl, &e);
    if (status == 0)
        status = save_listen(m, word(ask, "listen", NULL), &e);
    if (status == 0)
        status = set_up(m, word(ask, "trust_domain", made), ttl, &e);
    if (status == 0)
        status = node_mesh_save_authority(m, &e);
    if (status == 0)
        status = node_mesh_save_member(m, &e);
    if (status == 0)
        status = node_mesh_start(m, &e);
    if (status < 0) {
        give_up(m);
        node_mesh_put_away(m, "member.json"); // nobody else knows of this mesh: it never was
        node_mesh_put_away(m, "authority.json");
        ctl_answer_error(a, &e);
        return;
    }
    struct buf out;
    buf_init(&out, JSON_MAX);
    put_init(m, &out);
    ok(a, 201, &out);
    buf_fini(&out);
}

// ---- join --------------------------------------------------------------------------------------

static void put_joined(struct node_mesh *m, struct buf *out)
{
    struct json_w w;
    struct member_view v;
    size_t nodes = 0;
    member_view(m->member, &v);
    for (struct mesh_node *x = NULL; (x = mesh_each(m->mesh, x)) != NULL;)
        nodes++;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "id", v.id);
    json_w_cstr(&w, "trust_domain", v.domain);
    json_w_cstr(&w, "authority", member_authority(m->member));
    json_w_u64(&w, "nodes", nodes);
    json_w_cstr(&w, "listen", m->listen);
    json_w_u64(&w, "port", links_port(m->links));
    json_w_end(&w);
}

static void on_joined(void *user, int status, struct bytes sheets, const struct err *why)
{
    struct node_mesh *m = user;
    struct ctl_answer *a = m->join_answer;
    struct links_join *j = m->joining;
    struct err e = {0};
    if (status < 0 && why)
        e = refusal(why);
    m->joining = NULL;
    m->join_answer = NULL;
    m->member = m->joiner;
    m->joiner = NULL;
    if (status == 0)
        status = node_mesh_save_member(m, &e);
    if (status == 0 && (status = node_mesh_start(m, &e)) < 0)
        (void)err_wrap(&e, "the node is a member, and tries again when it is started anew");
    if (status < 0) {
        give_up(m);
        ctl_answer_error(a, &e);
    } else {
        struct buf out;
        links_news_take(m->links, sheets);
        node_mesh_save_peers(m);
        buf_init(&out, JSON_MAX);
        put_joined(m, &out);
        ok(a, 200, &out);
        buf_fini(&out);
    }
    links_join_free(j);
}

static void op_join(struct node_mesh *m, const struct ctl_mesh_ask *ask, struct ctl_answer *a)
{
    struct err e = {0};
    struct url_addr addr;
    struct authority_token_parts parts;
    const char *token = word(ask, "token", ""), *name = word(ask, "name", NULL);
    if (!alone(m, a))
        return;
    int status = url_addr_parse(&addr, bytes_of(word(ask, "address", "")), &e);
    if (status == 0)
        status = authority_token_parse(&parts, bytes_of(token), &e);
    if (status == 0)
        status = save_listen(m, word(ask, "listen", NULL), &e);
    if (status == 0)
        status = member_make(&m->joiner, bytes_of(name ? name : m->node->config->node_name),
                             bytes_of(m->node->config->context), &e);
    struct links_join_args args = {.net = loop_net(m->node->loop),
                                   .timers = loop_timers(m->node->loop),
                                   .addr = {.port = addr.port},
                                   .token = bytes_of(token),
                                   .member = m->joiner,
                                   .wall_ms = time_wall_ms(),
                                   .timeout_ms = JOIN_MS,
                                   .done = on_joined,
                                   .user = m};
    if (status == 0)
        (void)snprintf(args.addr.host, sizeof(args.addr.host), "%s", addr.host);
    if (status == 0)
        status = links_join(&m->joining, &args, &e);
    if (status < 0) {
        member_free(m->joiner);
        m->joiner = NULL;
        ctl_answer_error(a, &e);
        return;
    }
    m->join_answer = a;
}

// ---- leave -------------------------------------------------------------------------------------

static void leave_now(struct node_mesh *m, const char *note)
{
    struct ctl_answer *a = m->ask_answer;
    struct buf out;
    struct json_w w;
    m->ask_answer = NULL;
    m->ask_busy = false;
    node_mesh_end(m, true);
    buf_init(&out, JSON_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_bool(&w, "left", true);
    if (note)
        json_w_cstr(&w, "note", note);
    json_w_end(&w);
    ok(a, 200, &out);
    buf_fini(&out);
    ctl_mesh_changed(m->node->ctl);
}

static void on_left(struct links_ask *ask, int status, struct bytes answer, const struct err *e)
{
    struct node_mesh *m = ask->user;
    char note[ERR_TEXT_MAX + 200];
    (void)answer;
    if (m->closed) { // the node stops first: it is still a member, and leaves when asked again
        m->ask_busy = false;
        fail(m->ask_answer, E_BUSY, "the node is stopping");
        m->ask_answer = NULL;
        return;
    }
    // Also when the authority's removal was quicker than its answer: then only that is to be said.
    (void)snprintf(note, sizeof(note),
                   "the authority did not hear of it (%s): plexus nodes rm %s there frees the name",
                   e ? e->text : "", m->self);
    leave_now(m, status < 0 && status != E_CANCELLED && status != E_CLOSED ? note : NULL);
}

static void op_leave(struct node_mesh *m, const struct ctl_mesh_ask *ask, struct ctl_answer *a)
{
    struct err e = {0};
    (void)ask;
    if (!joined(m, a))
        return;
    if (m->ask_busy) {
        fail(a, E_BUSY, "another question to the authority is on its way");
        return;
    }
    bool holds = strcmp(member_authority(m->member), m->self) == 0;
    if (holds && mesh_count(m->mesh, MESH_ALIVE) > 1) {
        fail(a, E_CONFLICT,
             "this node holds the authority of the mesh, and other nodes live: remove them first "
             "(plexus nodes rm), or the mesh could never change again");
        return;
    }
    m->ask_answer = a;
    m->ask_busy = true;
    struct mesh_node *to = mesh_find(m->mesh, bytes_of(member_authority(m->member)));
    m->ask = (struct links_ask){.done = on_left, .user = m};
    if (holds || !to)
        leave_now(m, NULL);
    else if (links_ask(m->links, to, "POST", "/mesh/v1/leave", BYTES("{}"), &m->ask, &e) < 0)
        on_left(&m->ask, e.code, BYTES_NONE, &e);
}

// ---- tokens ------------------------------------------------------------------------------------

static void put_token(struct json_w *w, const struct authority_token_view *t)
{
    char when[TIME_TEXT_LEN + 1];
    json_w_obj(w, NULL);
    json_w_cstr(w, "id", t->id);
    json_w_cstr(w, "name", t->node);
    json_w_arr(w, "roles");
    for (const char *const *r = t->roles; r && *r; r++)
        json_w_cstr(w, NULL, *r);
    json_w_end(w);
    json_w_cstr(w, "environment", t->environment);
    json_w_cstr(w, "clearance", t->clearance);
    time_text(t->created_ms, when);
    json_w_cstr(w, "created", when);
    time_text(t->expires_ms, when);
    json_w_cstr(w, "expires", when);
    json_w_cstr(w, "used_by", t->used_by);
    json_w_end(w);
}

static void op_tokens(struct node_mesh *m, const struct ctl_mesh_ask *ask, struct ctl_answer *a)
{
    struct authority_token_view t;
    struct buf out;
    struct json_w w;
    size_t at = 0;
    (void)ask;
    if (!is_authority(m, a))
        return;
    buf_init(&out, JSON_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_arr(&w, "tokens");
    while (authority_token_each(m->authority, time_wall_ms(), &at, &t))
        put_token(&w, &t);
    json_w_end(&w);
    json_w_end(&w);
    ok(a, 200, &out);
    buf_fini(&out);
}

static void put_new_token(struct node_mesh *m, const char *id, const char *token, int64_t expires,
                          struct buf *out)
{
    char when[TIME_TEXT_LEN + 1], command[600];
    struct json_w w;
    struct mesh_node_view v;
    mesh_node_view(m->mesh, mesh_self_node(m->mesh), now_of(m), &v);
    const char *address = v.sheet && v.sheet->addresses[0] ? v.sheet->addresses[0] : "ADDRESS";
    (void)snprintf(command, sizeof(command), "plexus join %s %s", address, token);
    time_text(expires, when);
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "id", id);
    json_w_cstr(&w, "token", token);
    json_w_cstr(&w, "expires", when);
    json_w_arr(&w, "addresses");
    for (size_t i = 0; v.sheet && v.sheet->addresses[i]; i++)
        json_w_cstr(&w, NULL, v.sheet->addresses[i]);
    json_w_end(&w);
    json_w_cstr(&w, "command", command);
    json_w_end(&w);
    mem_wipe(command, sizeof(command));
}

static void op_token_new(struct node_mesh *m, const struct ctl_mesh_ask *ask, struct ctl_answer *a)
{
    struct err e = {0};
    struct label label;
    struct buf out;
    const char *roles[WORDS_MAX + 1];
    char token[AUTHORITY_TOKEN_TEXT_MAX], id[17];
    if (!is_authority(m, a))
        return;
    struct authority_token_args args = {.ttl_ms = AUTHORITY_TOKEN_TTL_MS,
                                        .node = word(ask, "name", NULL),
                                        .roles = roles,
                                        .environment = word(ask, "environment", NULL),
                                        .clearance = word(ask, "clearance", "internal")};
    int status = words(ask, "roles", roles, &e);
    if (status == 0)
        status = duration(ask, "ttl", &args.ttl_ms, &e);
    if (status == 0)
        status = label_parse(m->names, bytes_of(args.clearance), &label, &e);
    if (status == 0)
        status = authority_token_new(m->authority, &args, time_wall_ms(), token, id, &e);
    if (status == 0)
        status = node_mesh_save_authority(m, &e);
    if (status < 0) {
        ctl_answer_error(a, &e);
        return;
    }
    buf_init(&out, JSON_MAX);
    put_new_token(m, id, token, time_wall_ms() + args.ttl_ms, &out);
    ok(a, 201, &out);
    mem_wipe(token, sizeof(token));
    buf_fini(&out);
}

static void op_token_remove(struct node_mesh *m, const struct ctl_mesh_ask *ask,
                            struct ctl_answer *a)
{
    struct err e = {0};
    if (!is_authority(m, a))
        return;
    int status = authority_token_remove(m->authority, ask->name, &e);
    if (status == 0)
        status = node_mesh_save_authority(m, &e);
    if (status < 0)
        ctl_answer_error(a, &e);
    else
        ctl_answer(a, 200, BYTES("{\"removed\":true}"));
}

// ---- identities --------------------------------------------------------------------------------

static void on_svid(struct links_ask *ask, int status, struct bytes answer, const struct err *e)
{
    struct node_mesh *m = ask->user;
    struct ctl_answer *a = m->ask_answer;
    m->ask_answer = NULL;
    m->ask_busy = false;
    if (!a)
        return;
    struct err why = {0};
    if (status < 0 && e)
        why = refusal(e);
    if (status < 0)
        ctl_answer_error(a, &why);
    else
        ctl_answer(a, 200, answer);
}

static void svid_there(struct node_mesh *m, const struct ctl_mesh_ask *ask, int64_t ttl_ms,
                       unsigned scopes, struct ctl_answer *a)
{
    struct err e = {0};
    struct buf body, words_of_scopes;
    struct json_w w;
    struct mesh_node *to = mesh_find(m->mesh, bytes_of(member_authority(m->member)));
    if (!to || m->ask_busy) {
        fail(a, to ? E_BUSY : E_UNAVAILABLE,
             to ? "another question to the authority is on its way"
                : "the node of the authority is not known here");
        return;
    }
    buf_init(&body, JSON_MAX);
    json_w_init(&w, &body);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "id", word(ask, "id", ""));
    json_w_cstr(&w, "type", word(ask, "type", "x509"));
    json_w_i64(&w, "ttl_ms", ttl_ms);
    if (strcmp(word(ask, "type", "x509"), "jwt") == 0) {
        buf_init(&words_of_scopes, 256);
        scope_put(&words_of_scopes, scopes);
        json_w_str(&w, "scopes", buf_bytes(&words_of_scopes));
        buf_fini(&words_of_scopes);
    }
    json_w_arr(&w, "audience");
    for (size_t i = 0; i < json_len(json_get(ask->body, "audience")); i++)
        json_w_str(&w, NULL, json_str(json_at(json_get(ask->body, "audience"), i)));
    json_w_end(&w);
    json_w_end(&w);
    m->ask = (struct links_ask){.done = on_svid, .user = m};
    m->ask_answer = a;
    m->ask_busy = true;
    if (links_ask(m->links, to, "POST", "/mesh/v1/svid", buf_bytes(&body), &m->ask, &e) < 0)
        on_svid(&m->ask, e.code, BYTES_NONE, &e);
    buf_fini(&body);
}

static int scopes_of(const struct ctl_mesh_ask *ask, unsigned *ret, struct err *e)
{
    struct buf text;
    const struct json *list = json_get(ask->body, "scopes");
    buf_init(&text, 256);
    for (size_t i = 0; i < json_len(list); i++)
        (void)buf_fmt(&text, "%s%s", i ? "," : "", json_cstr(json_at(list, i), ""));
    int status = text.n ? scope_parse(buf_bytes(&text), ret, e) : 0;
    buf_fini(&text);
    return status;
}

static void op_svid(struct node_mesh *m, const struct ctl_mesh_ask *ask, struct ctl_answer *a)
{
    struct err e = {0};
    struct buf out;
    const char *audience[WORDS_MAX + 1], *type = word(ask, "type", "x509");
    int64_t ttl = 0;
    unsigned scopes = SCOPE_MODELS;
    if (!joined(m, a))
        return;
    int status = words(ask, "audience", audience, &e);
    if (status == 0)
        status = duration(ask, "ttl", &ttl, &e);
    if (status == 0)
        status = scopes_of(ask, &scopes, &e);
    if (status == 0 && strcmp(type, "x509") != 0 && strcmp(type, "jwt") != 0)
        status = err_set(&e, E_INVALID, "type: expected x509 or jwt");
    if (status < 0) {
        ctl_answer_error(a, &e);
        return;
    }
    if (!m->authority) {
        svid_there(m, ask, ttl, scopes, a);
        return;
    }
    struct authority_svid_args args = {
        .id = word(ask, "id", ""), .ttl_ms = ttl, .audience = audience, .scopes = scopes};
    buf_init(&out, JSON_MAX);
    status = strcmp(type, "jwt") == 0
                 ? authority_svid_jwt(m->authority, &args, time_wall_ms(), &out, &e)
                 : authority_svid_x509(m->authority, &args, time_wall_ms(), &out, &e);
    if (status < 0)
        ctl_answer_error(a, &e);
    else
        ok(a, 200, &out);
    if (out.p)
        mem_wipe(out.p, out.cap);
    buf_fini(&out);
}

static void op_standby(struct node_mesh *m, const struct ctl_mesh_ask *ask, struct ctl_answer *a)
{
    struct err e = {0};
    struct buf text;
    const char *node = word(ask, "node", "");
    if (!is_authority(m, a))
        return;
    struct mesh_node *to = mesh_find(m->mesh, bytes_of(node));
    if (!to || to == mesh_self_node(m->mesh)) {
        (void)err_set(&e, E_NOTFOUND,
                      to ? "this node holds the authority already"
                         : "there is no node of this name");
        ctl_answer_error(a, &e);
        return;
    }
    buf_init(&text, AUTHORITY_TEXT_MAX);
    int status = authority_export(m->authority, bytes_of(node), &text, &e); // names it
    if (status == 0)
        status = node_mesh_save_authority(m, &e); // and sends it its copy
    if (text.p)
        mem_wipe(text.p, text.cap);
    buf_fini(&text);
    if (status < 0)
        ctl_answer_error(a, &e);
    else
        ctl_answer(a, 200, BYTES("{\"standby\":true}"));
}

// ---- nodes -------------------------------------------------------------------------------------

static void op_node_remove(struct node_mesh *m, const struct ctl_mesh_ask *ask,
                           struct ctl_answer *a)
{
    struct err e = {0};
    struct buf text;
    if (!is_authority(m, a))
        return;
    if (bytes_is(ask->name, m->self)) {
        fail(a, E_CONFLICT, "that is this node itself: plexus mesh leave");
        return;
    }
    buf_init(&text, GRANT_TEXT_MAX);
    int status = authority_remove(m->authority, ask->name, time_wall_ms(), &text, &e);
    if (status == 0)
        status = node_mesh_save_authority(m, &e);
    if (status == 0)
        status = links_removal(m->links, buf_bytes(&text), &e);
    buf_fini(&text);
    if (status < 0)
        ctl_answer_error(a, &e);
    else
        ctl_answer(a, 200, BYTES("{\"removed\":true}"));
}

static void on_drained(struct links_ask *ask, int status, struct bytes answer, const struct err *e)
{
    (void)answer;
    on_svid(ask, status, BYTES("{\"draining\":true}"), e);
}

static void on_undrained(struct links_ask *ask, int status, struct bytes answer,
                         const struct err *e)
{
    (void)answer;
    on_svid(ask, status, BYTES("{\"draining\":false}"), e);
}

static void drain(struct node_mesh *m, const struct ctl_mesh_ask *ask, struct ctl_answer *a,
                  bool on)
{
    struct err e = {0};
    if (!joined(m, a))
        return;
    if (bytes_is(ask->name, m->self)) {
        node_mesh_drain(m, on);
        ctl_answer(a, 200, on ? BYTES("{\"draining\":true}") : BYTES("{\"draining\":false}"));
        return;
    }
    struct mesh_node *to = mesh_find(m->mesh, ask->name);
    if (!to) {
        (void)err_set(&e, E_NOTFOUND, "there is no node \"%.*s\"; plexus nodes lists them",
                      BYTES_FMT(ask->name));
        ctl_answer_error(a, &e);
        return;
    }
    if (!is_authority(m, a))
        return;
    if (m->ask_busy) {
        fail(a, E_BUSY, "another question is on its way");
        return;
    }
    m->ask = (struct links_ask){.done = on ? on_drained : on_undrained, .user = m};
    m->ask_answer = a;
    m->ask_busy = true;
    if (links_ask(m->links, to, "POST", "/mesh/v1/drain", on ? BYTES("on") : BYTES("off"), &m->ask,
                  &e) < 0)
        on_svid(&m->ask, e.code, BYTES_NONE, &e);
}

static void op_node_drain(struct node_mesh *m, const struct ctl_mesh_ask *ask, struct ctl_answer *a)
{
    drain(m, ask, a, true);
}

static void op_node_undrain(struct node_mesh *m, const struct ctl_mesh_ask *ask,
                            struct ctl_answer *a)
{
    drain(m, ask, a, false);
}

static void op_resolve(struct node_mesh *m, const struct ctl_mesh_ask *ask, struct ctl_answer *a)
{
    struct err e = {0};
    struct buf name, kind, out;
    if (!joined(m, a))
        return;
    buf_init(&name, 1024);
    buf_init(&kind, 256);
    buf_init(&out, JSON_MAX);
    int status = url_query(ask->query, "name", &name) && name.n
                     ? 0
                     : err_set(&e, E_INVALID, "which name? name=NAME");
    if (status == 0)
        (void)url_query(ask->query, "kind", &kind);
    if (status == 0)
        status = mesh_resolve(m->mesh, buf_bytes(&name), kind.n ? buf_cstr(&kind) : NULL, now_of(m),
                              &out, &e);
    if (status < 0)
        ctl_answer_error(a, &e);
    else
        ok(a, 200, &out);
    buf_fini(&name);
    buf_fini(&kind);
    buf_fini(&out);
}

static void op_show(struct node_mesh *m, const struct ctl_mesh_ask *ask, struct ctl_answer *a)
{
    struct buf out;
    (void)ask;
    buf_init(&out, JSON_MAX);
    (void)node_mesh_show(m, &out);
    ok(a, 200, &out);
    buf_fini(&out);
}

static const op_fn ops[] = {
    [CTL_MESH_SHOW] = op_show,
    [CTL_MESH_INIT] = op_init,
    [CTL_MESH_JOIN] = op_join,
    [CTL_MESH_LEAVE] = op_leave,
    [CTL_MESH_TOKENS] = op_tokens,
    [CTL_MESH_TOKEN_NEW] = op_token_new,
    [CTL_MESH_TOKEN_REMOVE] = op_token_remove,
    [CTL_MESH_SVID] = op_svid,
    [CTL_MESH_STANDBY] = op_standby,
    [CTL_MESH_NODE_REMOVE] = op_node_remove,
    [CTL_MESH_NODE_DRAIN] = op_node_drain,
    [CTL_MESH_NODE_UNDRAIN] = op_node_undrain,
    [CTL_MESH_RESOLVE] = op_resolve,
};

void node_mesh_op(void *user, const struct ctl_mesh_ask *ask, struct ctl_answer *a)
{
    struct node *n = user;
    if (n->draining || !n->mesh)
        fail(a, E_BUSY, "the node is stopping");
    else
        ops[ask->op](n->mesh, ask, a);
}
