// gate_label.c: labels at the gate: what a request carries, whether its model may be told, whether
// who asked may read the answer. All decisions are label_decide's.
// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"
#include "gate/gate_priv.h"
#include <stdio.h>
#include <string.h>

#define DECLASSIFY_BYTES_MAX (1024 * 1024) // its hash is made on the loop: some milliseconds
#define WHO_MAX 256

_Static_assert((int)LABEL_OPS == METER_VIOLATIONS, "one counter for each kind of crossing");

static const char label_header[] = "X-Plexus-Label", declass_header[] = "X-Plexus-Declassify";

struct label gate_label_of(const struct greq *r)
{
    return r->label;
}

// ---- refusals ----

static void who_asks(const struct greq *r, char who[WHO_MAX])
{
    struct key_view v;
    struct net_peer peer;
    http_peer(r->x, &peer);
    if (r->hop) {
        (void)snprintf(who, WHO_MAX, "the node %s", peer.id ? peer.id : peer.text);
    } else if (r->key) {
        key_view(r->key, &v);
        (void)snprintf(who, WHO_MAX, "the key %s", v.name);
    } else {
        (void)snprintf(who, WHO_MAX, "the client %s", peer.text);
    }
}

static void put_label_text(const struct gate *g, struct buf *b, struct label l)
{
    buf_init(b, LABEL_TEXT_MAX);
    label_put(b, g->labels.names, l);
}

// The event and the figure of a refusal; x has what the sentence needs, e has the sentence.
static void report(const struct greq *r, const struct label_crossing *x, const struct err *e)
{
    struct gate *g = r->gate;
    struct buf label, clearance;
    char who[WHO_MAX];
    who_asks(r, who);
    put_label_text(g, &label, x->data);
    put_label_text(g, &clearance, x->clearance);
    meter_node(g->args.meter)->violations[x->op]++;
    log_event(LOG_WARN, "security.violation", LOG_STR("request", r->id),
              LOG_STR("operation", label_op_name(x->op)), LOG_STR("subject", who),
              LOG_STR("label", buf_cstr(&label)), LOG_STR("clearance", buf_cstr(&clearance)),
              LOG_STR("why", e->text));
    if (g->args.violation)
        g->args.violation(g->args.user, label_op_name(x->op), who, e->text);
    buf_fini(&label);
    buf_fini(&clearance);
}

// Decided already: no. Says so everywhere but to the client.
static void refused(const struct greq *r, struct label_crossing *x, const char *what,
                    const char *who, struct err *e)
{
    x->names = r->gate->labels.names;
    x->what = what;
    x->who = who;
    (void)label_decide(x, e);
    report(r, x, e);
}

// ---- a request comes ----

// The value of a header that stands there at most once. false: it stands there again.
static bool one_header(const struct http_head *h, struct bytes name, struct bytes *ret)
{
    size_t count = 0;
    *ret = BYTES_NONE;
    for (size_t i = 0; i < h->count; i++)
        if (h->headers[i].name.n == name.n && bytes_ieq(h->headers[i].name, name)) {
            *ret = h->headers[i].value;
            count++;
        }
    return count < 2;
}

static bool bad(struct greq *r, int code, const char *why)
{
    meter_node(r->gate->args.meter)->bad_requests++;
    greq_fail(r, code, why, label_header, -1);
    return false;
}

// A node that came in through a mesh door says what its request is. What it may know itself bounds
// what it may have asked with, and what it gets: gate_label_may sees to both.
static int take_hop(struct greq *r, struct bytes text, struct err *e)
{
    struct gate *g = r->gate;
    struct net_peer peer;
    http_peer(r->x, &peer);
    r->clearance = LABEL_ALL;
    if (g->args.peer_clearance) {
        int rc = g->args.peer_clearance(g->args.user, &peer, &r->clearance, e);
        if (rc < 0)
            return rc;
    }
    r->label = g->labels.standard;
    // Nodes are trusted with names of compartments: what they bring is added.
    return text.p ? label_parse(g->labels.names, text, &r->label, e) : 0;
}

static int take_client(struct greq *r, struct bytes text, struct err *e)
{
    const struct gate_labels *l = &r->gate->labels;
    r->clearance = r->key ? key_clearance(r->key) : LABEL_ALL;
    r->label = r->key ? key_label(r->key, l->standard) : l->standard;
    return text.p ? label_parse_known(l->names, text, &r->label, e) : 0;
}

static int no_signers(void *user, struct bytes who, struct bytes signed_text,
                      const uint8_t sig[LABEL_SIG_LEN], struct label *ret_clearance, struct err *e)
{
    (void)user, (void)who, (void)signed_text, (void)sig, (void)ret_clearance;
    return err_set(e, E_SECURITY, "no key that could sign is configured (labels.declassifiers)");
}

// A signed word that this body has a lower label than it is said to have.
static int lower(struct greq *r, struct bytes text, struct err *e)
{
    struct gate *g = r->gate;
    struct label_declass d;
    const struct label_declass_args args = {.label = r->label,
                                            .data = http_body(r->x),
                                            .wall_ms = time_wall_ms(),
                                            .verify =
                                                g->labels.verify ? g->labels.verify : no_signers,
                                            .user = g->labels.verify_user};
    if (args.data.n > DECLASSIFY_BYTES_MAX)
        return err_set(e, E_TOOBIG, "a request whose label is lowered has at most %d bytes",
                       DECLASSIFY_BYTES_MAX);
    int rc = label_declass_check(g->labels.names, text, &args, &d, e);
    if (rc < 0)
        return rc;
    struct buf from, to;
    put_label_text(g, &from, d.from);
    put_label_text(g, &to, d.to);
    meter_node(g->args.meter)->declassified++;
    log_event(LOG_INFO, "label.declassified", LOG_STR("request", r->id), LOG_STR("who", d.who),
              LOG_STR("reason", d.reason), LOG_STR("from", buf_cstr(&from)),
              LOG_STR("to", buf_cstr(&to)));
    buf_fini(&from);
    buf_fini(&to);
    r->label = d.to;
    return 0;
}

// Signed by nobody who may, about other data, too late: an event too, with the label as it stays.
static bool not_lowered(struct greq *r, const struct err *e)
{
    struct label_crossing x = {.op = LABEL_DECLASSIFY, .data = r->label, .clearance = r->clearance};
    if (e->code != E_SECURITY) {
        greq_fail(r, e->code, e->text, declass_header, -1);
        return false;
    }
    report(r, &x, e);
    greq_fail(r, e->code, e->text, declass_header, -1);
    return false;
}

// Who asks could never read the answer to a request above the own clearance, and this node may not
// hold one above its own.
static bool may_come(struct greq *r)
{
    struct label_crossing read = {.op = LABEL_READ_REPLY,
                                  .data = r->label,
                                  .clearance = r->clearance},
                          come = {
                              .op = LABEL_HOP, .data = r->label, .clearance = r->gate->labels.own};
    struct label_crossing *no = label_decide(&read, NULL) < 0   ? &read
                                : label_decide(&come, NULL) < 0 ? &come
                                                                : NULL;
    struct err e = {0};
    char who[WHO_MAX] = "this node";
    if (!no)
        return true;
    if (no == &read)
        who_asks(r, who);
    refused(r, no, "the request", who, &e);
    greq_fail(r, e.code, e.text, label_header, -1);
    return false;
}

bool gate_label_take(struct greq *r)
{
    const struct http_head *h = http_request(r->x);
    struct gate *g = r->gate;
    struct bytes text, signed_text;
    struct err e = {0};
    if (!one_header(h, BYTES("X-Plexus-Label"), &text) ||
        !one_header(h, BYTES("X-Plexus-Declassify"), &signed_text))
        return bad(r, E_INVALID, "X-Plexus-Label and X-Plexus-Declassify stand in a request once");
    if ((text.p || signed_text.p) && !g->labels.names)
        return bad(r, E_UNSUPPORTED, "there are no labels here");
    int rc = r->hop ? take_hop(r, text, &e) : take_client(r, text, &e);
    if (rc < 0)
        return bad(r, rc, e.text);
    r->answer = r->label;
    r->labelled = g->labels.in_use || text.p || (r->key && key_has_labels(r->key));
    if (!signed_text.p)
        return may_come(r);
    r->labelled = true;
    if (!may_come(r))
        return false;
    if (lower(r, signed_text, &e) < 0)
        return not_lowered(r, &e);
    r->answer = r->label;
    return true;
}

void gate_label_nowhere(struct greq *r, const struct err *e)
{
    struct label_crossing x = {.op = LABEL_HOP, .data = r->label, .clearance = r->clearance};
    report(r, &x, e);
    greq_fail(r, e->code, e->text, "model", -1);
}

// ---- its model here ----

bool gate_label_may(struct greq *r)
{
    struct gate *g = r->gate;
    struct gate_model_labels m = {.clearance = LABEL_ALL};
    if (g->args.model_labels)
        g->args.model_labels(g->args.user, r->model, &m);
    r->answer = label_join(r->label, m.label);
    struct label_crossing ask = {.op = m.cloud ? LABEL_ASK_CLOUD : LABEL_ASK_MODEL,
                                 .data = r->label,
                                 .clearance = m.clearance},
                          read = {
                              .op = LABEL_READ_REPLY, .data = r->answer, .clearance = r->clearance};
    bool told = label_decide(&ask, NULL) == 0;
    if (told && label_decide(&read, NULL) == 0)
        return true;
    struct model_view v;
    struct err e = {0};
    char model[WHO_MAX], who[WHO_MAX];
    model_view(g->args.models, r->model, timers_now_ms(g->args.timers), &v);
    if (route_again(r)) // another node's model of that name may be another one
        return false;
    (void)snprintf(model, sizeof(model), told ? "the answer of the model %s" : "the model %s",
                   v.name);
    who_asks(r, who);
    if (told)
        refused(r, &read, model, who, &e);
    else
        refused(r, &ask, "the request", model, &e);
    greq_fail(r, e.code, e.text, "model", -1);
    return false;
}

// ---- the answer of another node ----

bool gate_label_came(struct greq *r, const struct http_head *head)
{
    struct gate *g = r->gate;
    struct label theirs = {0};
    struct bytes text = http_header(head, label_header);
    struct err e = {0};
    char who[WHO_MAX], what[WHO_MAX];
    if (text.p && g->labels.names && label_parse(g->labels.names, text, &theirs, &e) < 0) {
        relay_fail(r, E_UPSTREAM, "the other node's answer has a label that cannot be read");
        return false;
    }
    r->answer = label_join(r->label, theirs);
    struct label_crossing x = {
        .op = LABEL_READ_REPLY, .data = r->answer, .clearance = r->clearance};
    if (label_decide(&x, NULL) == 0)
        return true;
    who_asks(r, who);
    (void)snprintf(what, sizeof(what), "the answer of the node %s", r->node);
    refused(r, &x, what, who, &e);
    relay_fail(r, e.code, e.text);
    return false;
}

void gate_label_put(const struct greq *r, struct buf *extra)
{
    if (!r->labelled || !r->gate->labels.names)
        return;
    (void)buf_str(extra, "X-Plexus-Label: ");
    label_put(extra, r->gate->labels.names, r->answer);
    (void)buf_str(extra, "\r\n");
}
