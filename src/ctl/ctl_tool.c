// ctl_tool.c: the operations of tools: their bodies checked here, carried out by the node.
// SPDX-License-Identifier: Apache-2.0
#include "ctl/ctl_priv.h"

static const struct ctl_member members[CTL_TOOL_OPS][CTL_MEMBERS_MAX] = {
    [CTL_TOOL_ADD] = {{"urn", CTL_TEXT},
                      {"manifest", CTL_OBJECT},
                      {"wasm", CTL_TEXT},
                      {"name", CTL_TEXT}},
    [CTL_TOOL_CALL] = {{"input", CTL_OBJECT},
                       {"timeout", CTL_DURATION},
                       {"label", CTL_TEXT},
                       {"key", CTL_TEXT},
                       {"confirmed", CTL_BOOL}},
    [CTL_TOOL_GRANT] = {{"permissions", CTL_LIST}, {"reason", CTL_TEXT}},
    [CTL_TOOL_REVOKE] = {{"reason", CTL_TEXT}},
    [CTL_TOOL_PUBLISH] = {{"registry", CTL_TEXT}},
    [CTL_TOOL_PROMOTE] = {{"flow", CTL_TEXT}},
};

static int check(enum ctl_tool_op op, unsigned scopes, const struct json *body, struct err *e)
{
    int rc = ctl_check_members(members[op], false, body, e);
    if (!rc && op == CTL_TOOL_ADD && !json_get(body, "urn") == !json_get(body, "manifest"))
        return err_set(e, E_INVALID, "either urn or manifest (with wasm) says what is to be added");
    if (!rc && op == CTL_TOOL_ADD && !json_get(body, "manifest") != !json_get(body, "wasm"))
        return err_set(e, E_INVALID, "manifest and wasm (base64) go together");
    if (!rc && op == CTL_TOOL_CALL && json_bool(json_get(body, "confirmed"), false) &&
        !(scopes & SCOPE_ADMIN))
        return err_set(e, E_FORBIDDEN, "confirmed: this needs a key with the scope admin");
    return rc;
}

static void ask_node(struct ctl_call *call, enum ctl_tool_op op, void *owner, struct ctl_answer *a)
{
    struct json_doc *doc = NULL;
    struct err e = {0};
    struct bytes text = http_body(call->x);
    int rc = call->c->ops->tool ? 0 : err_set(&e, E_UNAVAILABLE, "this node has no tools");
    if (!rc && text.n)
        rc = json_parse(&doc, text, JSON_UNIQUE, &e);
    if (!rc)
        rc = check(op, call->scopes, json_root(doc), &e);
    if (rc) {
        ctl_answer_error(a, &e);
    } else {
        struct ctl_tool_ask ask = {.op = op,
                                   .name = call->name,
                                   .query = call->query,
                                   .body = json_root(doc),
                                   .x = call->x,
                                   .owner = owner,
                                   .scopes = call->scopes};
        call->c->ops->tool(call->c->args.user, &ask, a);
    }
    json_free(doc);
}

#define OP(function, op)                                                                           \
    void function(struct ctl_call *call)                                                           \
    {                                                                                              \
        void *owner = http_owner(call->x);                                                         \
        struct ctl_answer *a = ctl_answer_new(call);                                               \
        if (a)                                                                                     \
            ask_node(call, op, owner, a);                                                          \
    }
OP(ctl_op_tools, CTL_TOOL_LIST)
OP(ctl_op_tool_calls, CTL_TOOL_CALLS)
OP(ctl_op_tool_servers, CTL_TOOL_SERVERS)
OP(ctl_op_tool_add, CTL_TOOL_ADD)
OP(ctl_op_tool_show, CTL_TOOL_SHOW)
OP(ctl_op_tool_remove, CTL_TOOL_REMOVE)
OP(ctl_op_tool_call, CTL_TOOL_CALL)
OP(ctl_op_tool_grant, CTL_TOOL_GRANT)
OP(ctl_op_tool_revoke, CTL_TOOL_REVOKE)
OP(ctl_op_tool_publish, CTL_TOOL_PUBLISH)
OP(ctl_op_tool_eval, CTL_TOOL_EVAL)
OP(ctl_op_tool_promote, CTL_TOOL_PROMOTE)
