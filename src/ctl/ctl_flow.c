// ctl_flow.c: the operations of flows: their bodies checked here, carried out by the node.
// SPDX-License-Identifier: Apache-2.0
#include "ctl/ctl_priv.h"
#include "text/units.h"
#include <stdio.h>
#include <string.h>

// What a body may hold, by operation. No row: no body. CTL_FLOW_SIGNAL and CTL_FLOW_EVENT take a
// whole CloudEvent with extension attributes: only its type is checked.
static const struct ctl_member members[CTL_FLOW_OPS][CTL_MEMBERS_MAX] = {
    [CTL_FLOW_START] = {{"document", CTL_TEXT},
                        {"namespace", CTL_TEXT},
                        {"name", CTL_TEXT},
                        {"version", CTL_TEXT},
                        {"input", CTL_ANY},
                        {"id", CTL_TEXT},
                        {"label", CTL_TEXT},
                        {"wait", CTL_WAIT}},
    [CTL_FLOW_CHECK] = {{"document", CTL_TEXT | CTL_NEEDED}},
    [CTL_FLOW_RETRY] = {{"task", CTL_TEXT}, {"reason", CTL_TEXT}},
    [CTL_FLOW_SKIP] = {{"task", CTL_TEXT | CTL_NEEDED}, {"output", CTL_ANY}, {"reason", CTL_TEXT}},
    [CTL_FLOW_EDIT] = {{"task", CTL_TEXT | CTL_NEEDED},
                       {"input", CTL_ANY | CTL_NEEDED},
                       {"reason", CTL_TEXT}},
    [CTL_FLOW_PAUSE] = {{"reason", CTL_TEXT}},
    [CTL_FLOW_RESUME] = {{"reason", CTL_TEXT}},
    [CTL_FLOW_CANCEL] = {{"reason", CTL_TEXT}},
    [CTL_FLOW_TERMINATE] = {{"reason", CTL_TEXT}},
    [CTL_FLOW_RESET] = {{"to", CTL_COUNT | CTL_NEEDED}, {"reason", CTL_TEXT}},
    [CTL_FLOW_SIGNAL] = {{"type", CTL_TEXT | CTL_NEEDED}},
    [CTL_FLOW_EVENT] = {{"type", CTL_TEXT | CTL_NEEDED}},
    [CTL_FLOW_DOCUMENT_ADD] = {{"document", CTL_TEXT}, {"urn", CTL_TEXT}},
    [CTL_FLOW_PRUNE] = {{"older", CTL_TEXT}, {"dry", CTL_BOOL}},
};

// Names that stand beside {id} in the table: no run may have them.
static const char *const reserved[] = {"check", "documents", "events", "prune", "stats"};

static int check_start(const struct json *body, struct err *e)
{
    struct bytes id = json_str(json_get(body, "id")), wait = json_str(json_get(body, "wait"));
    bool document = json_get(body, "document") != NULL, name = json_get(body, "name") != NULL;
    int64_t ms;
    if (document == name)
        return err_set(e, E_INVALID, "either document or name says what is to run");
    if (document && (json_get(body, "namespace") || json_get(body, "version")))
        return err_set(e, E_INVALID, "namespace and version go with name, not with document");
    if (json_get(body, "id") && (!id.n || id.n > CTL_FLOW_ID_MAX))
        return err_set(e, E_INVALID, "id: expected 1 to %d bytes", CTL_FLOW_ID_MAX);
    for (size_t i = 0; i < id.n; i++)
        if ((unsigned char)id.p[i] <= ' ' || id.p[i] == '/' || id.p[i] == 0x7f)
            return err_set(e, E_INVALID, "id: no blanks, control characters or slashes");
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (bytes_is(id, reserved[i]))
            return err_set(e, E_INVALID, "id: \"%s\" is a word of this API", reserved[i]);
    return wait.n ? units_duration(wait, &ms, e) : 0;
}

static int check(enum ctl_flow_op op, const struct json *body, struct err *e)
{
    int64_t ms;
    int rc = ctl_check_members(members[op], op == CTL_FLOW_SIGNAL || op == CTL_FLOW_EVENT, body, e);
    if (rc)
        return rc;
    struct bytes older = json_str(json_get(body, "older"));
    if (op == CTL_FLOW_DOCUMENT_ADD && !json_get(body, "document") == !json_get(body, "urn"))
        return err_set(e, E_INVALID, "either document (its text) or urn (of a registry) is needed");
    if (op == CTL_FLOW_PRUNE && older.n)
        return units_duration(older, &ms, e);
    return op == CTL_FLOW_START ? check_start(body, e) : 0;
}

void ctl_flow_ask(struct ctl_call *call, enum ctl_flow_op op, void *owner, struct ctl_answer *a)
{
    struct json_doc *doc = NULL;
    struct err e = {0};
    struct bytes text = http_body(call->x);
    int rc =
        call->c->ops->flow ? 0 : err_set(&e, E_UNAVAILABLE, "flows are off (flows.engine: off)");
    if (!rc && text.n)
        rc = json_parse(&doc, text, JSON_UNIQUE, &e);
    if (!rc)
        rc = check(op, json_root(doc), &e);
    if (rc) {
        ctl_answer_error(a, &e);
    } else {
        struct ctl_flow_ask ask = {.op = op,
                                   .id = call->name,
                                   .sub = call->sub,
                                   .version = call->version,
                                   .query = call->query,
                                   .body = json_root(doc),
                                   .owner = owner};
        call->c->ops->flow(call->c->args.user, &ask, a);
    }
    json_free(doc);
}

void ctl_answer_findings(struct ctl_answer *a, const struct err *e, struct bytes findings)
{
    const struct err_info *info = err_info(e->code);
    struct buf out;
    struct json_w w;
    buf_init(&out, CTL_JSON_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_obj(&w, "error");
    json_w_cstr(&w, "message", e->n ? e->text : info->text);
    json_w_cstr(&w, "type", info->type);
    json_w_null(&w, "param");
    json_w_cstr(&w, "code", "document");
    json_w_raw(&w, "findings", findings.n ? findings : BYTES("[]"));
    json_w_end(&w);
    json_w_end(&w);
    if (out.failed)
        ctl_answer_error(a, e);
    else
        ctl_answer(a, info->http, buf_bytes(&out));
    buf_fini(&out);
}

#define OP(function, op)                                                                           \
    void function(struct ctl_call *call)                                                           \
    {                                                                                              \
        void *owner = http_owner(call->x);                                                         \
        struct ctl_answer *a = ctl_answer_new(call);                                               \
        if (a)                                                                                     \
            ctl_flow_ask(call, op, owner, a);                                                      \
    }
OP(ctl_op_flows, CTL_FLOW_LIST)
OP(ctl_op_flow_start, CTL_FLOW_START)
OP(ctl_op_flow_check, CTL_FLOW_CHECK)
OP(ctl_op_flow_show, CTL_FLOW_SHOW)
OP(ctl_op_flow_history, CTL_FLOW_HISTORY)
OP(ctl_op_flow_export, CTL_FLOW_EXPORT)
OP(ctl_op_flow_retry, CTL_FLOW_RETRY)
OP(ctl_op_flow_skip, CTL_FLOW_SKIP)
OP(ctl_op_flow_edit, CTL_FLOW_EDIT)
OP(ctl_op_flow_pause, CTL_FLOW_PAUSE)
OP(ctl_op_flow_resume, CTL_FLOW_RESUME)
OP(ctl_op_flow_cancel, CTL_FLOW_CANCEL)
OP(ctl_op_flow_terminate, CTL_FLOW_TERMINATE)
OP(ctl_op_flow_reset, CTL_FLOW_RESET)
OP(ctl_op_flow_signal, CTL_FLOW_SIGNAL)
OP(ctl_op_flow_event, CTL_FLOW_EVENT)
OP(ctl_op_flow_documents, CTL_FLOW_DOCUMENTS)
OP(ctl_op_flow_document_add, CTL_FLOW_DOCUMENT_ADD)
OP(ctl_op_flow_document_remove, CTL_FLOW_DOCUMENT_REMOVE)
OP(ctl_op_flow_document_eval, CTL_FLOW_DOCUMENT_EVAL)
OP(ctl_op_flow_document_promote, CTL_FLOW_DOCUMENT_PROMOTE)
OP(ctl_op_flow_prune, CTL_FLOW_PRUNE)
OP(ctl_op_flow_stats, CTL_FLOW_STATS)
