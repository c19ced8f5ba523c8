// keys_label.c: what the owner of a key may read, and the label of what it sends.
// SPDX-License-Identifier: Apache-2.0
#include "trust/keys_priv.h"

void keys_names(struct keys *k, struct label_names *names)
{
    k->names = names;
}

const struct label_names *keys_names_of(const struct keys *k)
{
    return k->names;
}

int key_set_labels(struct key *key, struct label_names *names, struct bytes clearance,
                   struct bytes label, struct err *e)
{
    struct label c = LABEL_ALL, l = {0};
    if (!names && (clearance.p || label.p))
        return err_set(e, E_INVALID, "keys have no labels here");
    if (clearance.p && label_parse(names, clearance, &c, e) != 0)
        return err_wrap(e, "clearance");
    if (label.p && label_parse(names, label, &l, e) != 0)
        return err_wrap(e, "label");
    if (!label_dominates(c, l))
        return err_set(e, E_INVALID,
                       "the label %.*s is above the clearance %.*s: the owner of the key could not "
                       "read the answers",
                       BYTES_FMT(bytes_first(label, 200)), BYTES_FMT(bytes_first(clearance, 200)));
    key->clearance = c;
    key->label = l;
    key->has_label = label.p != NULL;
    return 0;
}

struct label key_clearance(const struct key *key)
{
    return key->clearance;
}

struct label key_label(const struct key *key, struct label standard)
{
    struct label l = key->has_label ? key->label : standard, c = key->clearance;
    if (l.level > c.level)
        l.level = c.level;
    l.compartments &= c.compartments;
    return l;
}

bool key_has_labels(const struct key *key)
{
    return key->has_label || !label_dominates(key->clearance, LABEL_ALL);
}
