// gate_tools.c: chat requests in which the model calls tools of this node: handed to whoever
// carries that out, with who asks and what that may know. SPDX-License-Identifier: Apache-2.0
#include "gate/gate_priv.h"
#include <stdio.h>

static void put_label(const struct gate *g, struct buf *b, struct label l, bool say)
{
    buf_init(b, LABEL_TEXT_MAX);
    if (g->labels.names && say)
        label_put(b, g->labels.names, l);
}

void gate_hand_on(struct greq *r)
{
    struct gate *g = r->gate;
    struct buf label, clearance, headers;
    struct key_view v = {.scopes = SCOPE_ALL};
    char who[200] = "owner";
    if (!g->args.tools) {
        greq_fail(r, E_UNSUPPORTED, "plexus_tools: this node has no tools", "plexus_tools", -1);
        return;
    }
    if (r->hop) {
        greq_fail(r, E_INVALID, "plexus_tools: the node that the client asks carries this out",
                  "plexus_tools", -1);
        return;
    }
    if (r->key) {
        key_view(r->key, &v);
        (void)snprintf(who, sizeof who, "key %s", v.name);
    }
    bool guest = r->key == g->guest;
    put_label(g, &label, r->label, g->labels.in_use || r->labelled);
    put_label(g, &clearance, r->clearance, g->labels.in_use || r->labelled);
    buf_init(&headers, 16384);
    (void)buf_fmt(&headers, "X-Request-Id: %s\r\n", r->id);
    gate_put_cors(g, r->x, &headers);
    const struct gate_tools t = {.x = r->x,
                                 .body = r->body.n ? buf_bytes(&r->body) : http_body(r->x),
                                 .headers = buf_bytes(&headers),
                                 .id = r->id,
                                 .as = guest    ? BYTES(GATE_AS_GUEST)
                                       : r->key ? bytes_of(v.id)
                                                : BYTES_NONE,
                                 .who = bytes_of(who),
                                 .label = buf_bytes(&label),
                                 .clearance = buf_bytes(&clearance),
                                 .admin = !guest && (v.scopes & SCOPE_ADMIN)};
    g->args.tools(g->args.user, &t);
    buf_fini(&label);
    buf_fini(&clearance);
    buf_fini(&headers);
    greq_let_go(r);
}
