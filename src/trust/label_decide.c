// label_decide.c: may these data go there? The one place that says so (Bell, LaPadula 1973: a read
// is a flow to the reader, a write a flow to what is written; both need a clearance that
// dominates). SPDX-License-Identifier: Apache-2.0
#include "trust/label.h"
#include <assert.h>

#define SHOWN_MAX 320 // characters of a label in a sentence: both fit into an error

static const struct {
    const char *name, *sentence;
} ops[LABEL_OPS] = {
    [LABEL_READ_REPLY] = {"read_reply", "an answer may not be read"},
    [LABEL_READ_RECORD] = {"read_record", "a record may not be read"},
    [LABEL_ASK_MODEL] = {"ask_model", "a model may not be asked"},
    [LABEL_ASK_CLOUD] = {"ask_cloud", "a model in the cloud may not be asked"},
    [LABEL_HOP] = {"hop", "a request may not go to a node"},
    [LABEL_PUBLISH] = {"publish", "a message may not be published"},
    [LABEL_DELIVER] = {"deliver", "a message may not be delivered"},
    [LABEL_WRITE_RECORD] = {"write_record", "a record may not be written"},
    [LABEL_HAND_AGENT] = {"hand_agent", "an agent may not be handed over"},
    [LABEL_DECLASSIFY] = {"declassify", "a label may not be lowered"},
};

const char *label_op_name(enum label_op op)
{
    return op < LABEL_OPS ? ops[op].name : "?";
}

static const char *shown(struct buf *b, const struct label_names *n, struct label l)
{
    buf_init(b, LABEL_TEXT_MAX);
    label_put(b, n, l);
    if (b->n <= SHOWN_MAX)
        return buf_cstr(b);
    b->n = SHOWN_MAX;
    b->failed = 0;
    (void)buf_str(b, "...");
    return buf_cstr(b);
}

// What does not fit: the clearance of the other side, or the label that it would have after.
static int refuse(const struct label_crossing *x, bool after, const char *why, struct err *e)
{
    if (!e)
        return E_SECURITY;
    struct buf data, other;
    const char *label = shown(&data, x->names, x->data);
    const char *theirs = shown(&other, x->names, after ? x->to : x->clearance);
    (void)err_set(e, E_SECURITY, "SecurityViolationError: %s: %s has the label %s, %s%s%s%s",
                  ops[x->op].sentence, x->what ? x->what : "it", label,
                  after    ? ""
                  : x->who ? x->who
                           : "the other side",
                  after ? "" : " has the clearance ", theirs, why);
    buf_fini(&data);
    buf_fini(&other);
    return E_SECURITY;
}

int label_decide(const struct label_crossing *x, struct err *e)
{
    assert(x->op < LABEL_OPS);
    if (!label_dominates(x->clearance, x->data))
        return refuse(x, false, "", e);
    if (x->op == LABEL_ASK_CLOUD && x->data.level >= LABEL_RESTRICTED)
        return refuse(x, false, ", and restricted data never leave the mesh", e);
    if (x->op == LABEL_DECLASSIFY && !label_dominates(x->data, x->to))
        return refuse(x, true, " is not below it", e);
    return 0;
}
