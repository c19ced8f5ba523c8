// ctl_mesh.c: the operations of the mesh: their bodies checked here, carried out by the node.
// SPDX-License-Identifier: Apache-2.0
#include "ctl/ctl_priv.h"
#include "text/units.h"

#define MEMBERS_MAX 8

// What a body may hold, by operation; NULL-ended.
static const char *const members[][MEMBERS_MAX] = {
    [CTL_MESH_INIT] = {"trust_domain", "listen", "svid_ttl", NULL},
    [CTL_MESH_JOIN] = {"address", "token", "name", "listen", NULL},
    [CTL_MESH_TOKEN_NEW] = {"ttl", "roles", "clearance", "environment", "name", NULL},
    [CTL_MESH_SVID] = {"id", "type", "audience", "ttl", "scopes", NULL},
    [CTL_MESH_STANDBY] = {"node", NULL},
    [CTL_MESH_RESOLVE] = {NULL},
};

static int check(enum ctl_mesh_op op, const struct json *body, struct err *e)
{
    struct json_iter it = {0};
    struct bytes key;
    const struct json *v;
    size_t count = 0;
    if (body && !json_is(body, JSON_OBJ))
        return err_set(e, E_INVALID, "expected a JSON object");
    while (members[op][count])
        count++;
    while (json_each(body, &it, &key, &v)) {
        size_t i = 0;
        while (i < count && !bytes_is(key, members[op][i]))
            i++;
        bool list = bytes_is(key, "roles") || bytes_is(key, "audience") || bytes_is(key, "scopes");
        if (i == count) {
            int near = units_nearest(key, members[op], count);
            return err_set(e, E_INVALID,
                           near < 0 ? "unknown member \"%.*s\""
                                    : "unknown member \"%.*s\"; nearest: \"%s\"",
                           BYTES_FMT(bytes_first(key, 100)), near < 0 ? "" : members[op][near]);
        }
        if (!json_is(v, list ? JSON_ARR : JSON_STR) && !json_is(v, JSON_NULL))
            return err_set(e, E_INVALID, "%s: expected %s", members[op][i],
                           list ? "a list of texts" : "a text");
        for (size_t k = 0; list && k < json_len(v); k++)
            if (!json_is(json_at(v, k), JSON_STR))
                return err_set(e, E_INVALID, "%s: expected a list of texts", members[op][i]);
    }
    return 0;
}

static void ask(struct ctl_call *call, enum ctl_mesh_op op)
{
    struct json_doc *doc = NULL;
    struct err e = {0};
    struct bytes text = http_body(call->x);
    int status = text.n ? json_parse(&doc, text, JSON_UNIQUE, &e) : 0;
    if (status == 0)
        status = check(op, json_root(doc), &e);
    if (status < 0) {
        ctl_reply_err(call->x, &e);
        json_free(doc);
        return;
    }
    struct ctl_mesh_ask what = {
        .op = op, .name = call->name, .query = call->query, .body = json_root(doc)};
    struct ctl_answer *a = ctl_answer_new(call);
    if (a)
        call->c->ops->mesh(call->c->args.user, &what, a);
    json_free(doc);
}

#define OP(function, op)                                                                           \
    void function(struct ctl_call *call)                                                           \
    {                                                                                              \
        ask(call, op);                                                                             \
    }
OP(ctl_op_mesh, CTL_MESH_SHOW)
OP(ctl_op_mesh_init, CTL_MESH_INIT)
OP(ctl_op_mesh_join, CTL_MESH_JOIN)
OP(ctl_op_mesh_leave, CTL_MESH_LEAVE)
OP(ctl_op_mesh_tokens, CTL_MESH_TOKENS)
OP(ctl_op_mesh_token_new, CTL_MESH_TOKEN_NEW)
OP(ctl_op_mesh_token_remove, CTL_MESH_TOKEN_REMOVE)
OP(ctl_op_mesh_svid, CTL_MESH_SVID)
OP(ctl_op_mesh_standby, CTL_MESH_STANDBY)
OP(ctl_op_node_remove, CTL_MESH_NODE_REMOVE)
OP(ctl_op_node_drain, CTL_MESH_NODE_DRAIN)
OP(ctl_op_node_undrain, CTL_MESH_NODE_UNDRAIN)
OP(ctl_op_resolve, CTL_MESH_RESOLVE)
