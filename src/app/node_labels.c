// node_labels.c: labels as the configuration says them, for the parts of the node that decide by
// them. SPDX-License-Identifier: Apache-2.0
#include "app/node_priv.h"

int node_labels_new(struct node *n, struct err *e)
{
    n->label_names = label_names_new();
    n->labels.own = LABEL_ALL;
    return n->label_names ? 0 : err_set(e, E_NOMEM, "out of memory");
}

void node_labels_drop(struct node_labels *l)
{
    label_subjects_free(l->subjects);
    label_signers_free(l->signers);
    *l = (struct node_labels){0};
}

void node_labels_free(struct node *n)
{
    node_labels_drop(&n->labels);
    label_names_free(n->label_names);
}

// Texts were seen to be whole with the configuration; that all their names fit is seen here, since
// keys and nodes have names too.
static int read_label(struct node *n, const char *key, const char *text, struct label *ret,
                      struct err *e)
{
    return label_parse(n->label_names, bytes_of(text), ret, e) == 0 ? 0 : err_wrap(e, "%s", key);
}

static int read_rows(struct node *n, const struct config *c, struct node_labels *l, struct err *e)
{
    struct label clearance;
    for (size_t i = 0; i < c->subject_count; i++) {
        int rc = read_label(n, "labels.subjects", c->subjects[i].clearance, &clearance, e);
        if (rc == 0)
            rc = label_subjects_add(l->subjects, bytes_of(c->subjects[i].subject), clearance, e);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < c->declassifier_count; i++) {
        const struct config_declassifier *d = &c->declassifiers[i];
        int rc = read_label(n, "labels.declassifiers", d->clearance, &clearance, e);
        if (rc == 0)
            rc = label_signers_add(l->signers, bytes_of(d->name), bytes_of(d->key), clearance, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int node_labels_make(struct node *n, const struct config *c, struct node_labels *ret, struct err *e)
{
    struct node_labels l = {.in_use = c->labels_given};
    for (size_t i = 0; i < c->model_count; i++)
        l.in_use = l.in_use || c->models[i].label || c->models[i].clearance;
    int rc = read_label(n, "labels.default", c->label_default, &l.standard, e);
    if (rc == 0)
        rc = read_label(n, "labels.cloud", c->label_cloud, &l.cloud, e);
    if (rc < 0)
        return rc;
    l.subjects = label_subjects_new(l.standard);
    l.signers = c->declassifier_count ? label_signers_new() : NULL;
    if (!l.subjects || (c->declassifier_count && !l.signers))
        rc = err_set(e, E_NOMEM, "out of memory");
    else
        rc = read_rows(n, c, &l, e);
    if (rc < 0)
        node_labels_drop(&l);
    else
        *ret = l;
    return rc;
}

static void tell_gate(struct node *n)
{
    const struct node_labels *l = &n->labels;
    gate_labels(n->gate, &(struct gate_labels){.names = n->label_names,
                                               .standard = l->standard,
                                               .own = l->own,
                                               .in_use = l->in_use,
                                               .verify = l->signers ? label_signers_verify : NULL,
                                               .verify_user = l->signers});
}

void node_labels_take(struct node *n, const struct node_labels *fresh)
{
    struct node_labels old = n->labels;
    n->labels = *fresh;
    n->labels.own = old.own;
    tell_gate(n);
    node_labels_drop(&old);
    node_bus_labels(n);
}

void node_labels_own(struct node *n, struct label clearance)
{
    n->labels.own = clearance;
    tell_gate(n);
}

void node_model_labels(void *user, const struct model *m, struct gate_model_labels *ret)
{
    const struct node *n = user;
    struct engine_labels l = engines_labels(m);
    *ret = (struct gate_model_labels){.label = l.label,
                                      .clearance = l.cloud && !l.has_clearance ? n->labels.cloud
                                                                               : l.clearance,
                                      .cloud = l.cloud};
}
