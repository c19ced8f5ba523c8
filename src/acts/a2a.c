// a2a.c: call: a2a: an agent that speaks A2A (JSON-RPC over HTTP), found by its card or its
// address. SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"

#include <string.h>

struct a2a {
    struct act_source card;
    struct act_auth auth;
    struct act_rpc rpc;
    struct buf url;
    struct val *results; // of a stream
    struct val *last;
    bool stream;
};

static const char *const methods[] = {"message/send",
                                      "message/stream",
                                      "tasks/get",
                                      "tasks/list",
                                      "tasks/cancel",
                                      "tasks/resubscribe",
                                      "tasks/pushNotificationConfig/set",
                                      "tasks/pushNotificationConfig/get",
                                      "tasks/pushNotificationConfig/list",
                                      "tasks/pushNotificationConfig/delete",
                                      "agent/getAuthenticatedExtendedCard"};

// ---- the answer --------------------------------------------------------------------------------

static bool on_message(struct act *a, struct val *m)
{
    struct a2a *s = a->own;
    struct val *result = val_get_cstr(m, "result");
    if (act_rpc_failed(a, "call: a2a", m))
        return false;
    if (!result)
        return true;
    val_unref(s->last);
    s->last = val_ref(result);
    if (!s->stream)
        return false;
    s->results = val_push(s->results ? s->results : val_arr(), val_ref(result));
    act_beat(a, val_ref(result));
    return true;
}

static void on_end(struct act *a, struct act_fetch *f)
{
    struct a2a *s = a->own;
    if (f->status < 200 || f->status > 299)
        act_web_status(a, BYTES("POST"), buf_bytes(&s->url), f);
    else if (!s->last)
        act_fail(a, ACT_COMMUNICATION, 0, false, "call: a2a: the agent's answer has no result");
    else
        act_done(a, val_ref(s->stream ? s->results : s->last));
}

// ---- the request -------------------------------------------------------------------------------

// DSL: message.messageId is made, message.role is user, where they are missing.
static struct val *params_of(struct act *a, const struct val *with, const char *method)
{
    struct val *given = val_get_cstr(with, "parameters");
    struct val *params = val_is(given, JSON_OBJ) ? val_ref(given) : val_obj();
    char id[37];
    if (strncmp(method, "message/", 8) != 0)
        return params;
    struct val *old = val_get_cstr(params, "message");
    struct val *message = val_is(old, JSON_OBJ) ? val_ref(old) : val_obj();
    act_rpc_uuid(a, id);
    if (!val_get_cstr(message, "messageId"))
        message = val_put_cstr(message, "messageId", val_cstr(id));
    if (!val_get_cstr(message, "role"))
        message = val_put_cstr(message, "role", val_cstr("user"));
    if (!val_get_cstr(message, "kind"))
        message = val_put_cstr(message, "kind", val_cstr("message"));
    return val_put_cstr(params, "message", message);
}

static void ready(struct act *a, struct val *takes_with)
{
    struct a2a *s = a->own;
    AUTO(val) with = takes_with;
    const char *method = val_text(val_get_cstr(with, "method"), "");
    act_rpc_send(a, &s->rpc,
                 &(struct act_rpc_args){.url = buf_bytes(&s->url),
                                        .takes_message =
                                            act_rpc_message(1, method, params_of(a, with, method)),
                                        .auth = &s->auth,
                                        .on_message = on_message,
                                        .on_end = on_end});
}

static void authenticated(struct act *a, struct act_auth *x)
{
    if (a->ended)
        return;
    if (act_late_has(a->with))
        act_late(a, a->with, x->authorization ? val_ref(x->authorization) : val_null(), ready);
    else
        ready(a, val_ref(a->with));
}

// Where the card says that JSON-RPC is spoken: "url" with its preferred transport, or one of the
// other interfaces.
static struct bytes address_of(const struct val *card)
{
    static const char *const lists[] = {"additionalInterfaces", "supportedInterfaces"};
    struct val *preferred = val_get_cstr(card, "preferredTransport");
    struct bytes url = val_bytes(val_get_cstr(card, "url"));
    if (url.n && (!preferred || bytes_iis(val_bytes(preferred), "JSONRPC")))
        return url;
    for (int l = 0; l < 2; l++) {
        const struct val *list = val_get_cstr(card, lists[l]);
        for (size_t i = 0; i < val_len(list); i++) {
            const struct val *one = val_at(list, i);
            struct val *how = val_get_cstr(one, l ? "protocolBinding" : "transport");
            if (!how || bytes_iis(val_bytes(how), "JSONRPC"))
                return val_bytes(val_get_cstr(one, "url"));
        }
    }
    return BYTES_NONE;
}

static void got_card(struct act *a, struct bytes text, struct bytes url)
{
    struct a2a *s = a->own;
    const struct val *policy, *resource = val_get_cstr(a->with, "agentCard");
    const struct val *endpoint = val_get_cstr(resource, "endpoint");
    AUTO(val) card = NULL;
    struct err e = {0};
    int rc = val_parse(&card, text, &e);
    struct bytes address = address_of(card);
    if (rc < 0)
        act_fail(a, ACT_COMMUNICATION, 0, true, "call: a2a: the card %.*s: %s", BYTES_FMT(url),
                 e.text);
    else if (!address.n || act_url_join(&s->url, url, address) < 0)
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 "call: a2a: the card %.*s names no address where JSON-RPC is spoken",
                 BYTES_FMT(url));
    if (a->ended)
        return;
    (void)act_endpoint(endpoint ? endpoint : resource, &policy);
    act_auth(a, &s->auth, policy, authenticated);
}

static void start(struct act *a)
{
    struct a2a *s = a->own;
    struct bytes method = val_bytes(val_get_cstr(a->with, "method"));
    const struct val *policy, *card = val_get_cstr(a->with, "agentCard");
    bool known = false;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        known = known || bytes_is(method, methods[i]);
    buf_init(&s->url, (size_t)64 << 10);
    s->stream = bytes_is(method, "message/stream") || bytes_is(method, "tasks/resubscribe");
    struct bytes server = act_endpoint(val_get_cstr(a->with, "server"), &policy);
    if (!known) {
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: a2a: there is no method \"%.*s\"",
                 BYTES_FMT(bytes_first(method, 80)));
    } else if (card) {
        act_source(a, &s->card, card, got_card);
    } else if (!server.n) {
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: a2a needs an agentCard or a server");
    } else {
        (void)buf_put(&s->url, server);
        act_auth(a, &s->auth, policy, authenticated);
    }
}

static void stop(struct act *a)
{
    struct a2a *s = a->own;
    act_rpc_fini(&s->rpc);
    act_auth_fini(&s->auth);
    act_source_fini(&s->card);
    buf_fini(&s->url);
    val_unref(s->results);
    val_unref(s->last);
}

const struct act_kind act_a2a = {.name = "a2a",
                                 .what = "An agent that speaks A2A.",
                                 .bytes = sizeof(struct a2a),
                                 .start = start,
                                 .stop = stop,
                                 .authorizes = true};
