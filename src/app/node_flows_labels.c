// node_flows_labels.c: who may know of which flow: the clearance of a key over the label of a
// flow's data. A flow without a label has that of requests that bring none (labels.default).
// SPDX-License-Identifier: Apache-2.0
#include "app/node_flows_priv.h"
#include "base/alloc.h"
#include <string.h>

static struct label clearance_of(const void *owner)
{
    return owner ? key_clearance(owner) : LABEL_ALL;
}

bool node_flows_sees_all(const struct ctl_flow_ask *ask)
{
    return label_dominates(clearance_of(ask->owner), LABEL_ALL);
}

int node_flows_label(struct node *n, struct bytes said, const void *owner, struct buf *ret,
                     struct buf *ret_otherwise, struct err *e)
{
    struct label label;
    int status = said.n ? label_parse(n->label_names, said, &label, e) : 0;
    if (status == 0 && owner && key_has_labels(owner))
        label_put(ret_otherwise, n->label_names, key_label(owner, n->labels.standard));
    return status < 0 ? status : buf_put(ret, said);
}

static int decide(struct node *n, const void *owner, struct bytes text, const char *what,
                  struct err *e)
{
    struct label_crossing c = {.op = LABEL_READ_RECORD,
                               .data = n->labels.standard,
                               .clearance = clearance_of(owner),
                               .names = n->label_names,
                               .what = what,
                               .who = "the key"};
    int status = text.n ? label_parse(n->label_names, text, &c.data, e) : 0;
    return status < 0 ? status : label_decide(&c, e);
}

int node_flows_may(struct node *n, const void *owner, struct bytes label, const char *what,
                   struct err *e)
{
    int status = decide(n, owner, label, what, e);
    if (status >= 0)
        return 0;
    struct key_view v = {0};
    if (owner)
        key_view(owner, &v);
    meter_node(n->meter)->violations[LABEL_READ_RECORD]++;
    log_event(LOG_WARN, "security.violation", LOG_STR("op", label_op_name(LABEL_READ_RECORD)),
              LOG_BYTES("label", label), LOG_STR("who", v.name ? v.name : ""),
              LOG_STR("what", e->text));
    return E_SECURITY;
}

// {"flows":[...],...}: rows that the key may not know of are left out.
int node_flows_filter(struct node *n, const void *owner, struct bytes json, struct buf *out)
{
    AUTO(val) v = NULL;
    int status = val_parse(&v, json, NULL);
    const struct val *rows = val_get_cstr(v, "flows");
    struct val *kept = val_arr();
    for (size_t i = 0; status >= 0 && i < val_len(rows); i++) {
        struct val *row = val_at(rows, i);
        if (decide(n, owner, val_bytes(val_get_cstr(row, "label")), "the flow", NULL) >= 0)
            kept = val_push(kept, val_ref(row));
    }
    v = val_put_cstr(steal(&v), "flows", kept);
    return status < 0 ? status : v ? val_write(out, v) : E_NOMEM;
}
