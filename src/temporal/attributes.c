// attributes.c: search attributes, by which Temporal's lists and web page find flows: looked for
// when the server is there, registered where that is allowed; else memos say the same, unsearched.
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal_priv.h"

#include <string.h>

static const char *const names[] = {"PlexusNamespace", "PlexusVersion", "PlexusStatus",
                                    "PlexusLabel", "PlexusBy"};
enum { NAMESPACE, VERSION, STATUS, LABEL, BY, NAMES };

static void on_listed(void *user, int status, struct val *answer, const struct err *e);

static void on_added(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal *t = user;
    (void)answer, (void)e;
    // E_EXISTS: another worker was faster. Some servers take a while: those that are not there yet
    // are refused once (temporal_attributes_gone) and found the next time.
    t->stats.attributes = !status || status == E_EXISTS;
}

static void on_listed(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal *t = user;
    struct val *missing = val_obj();
    const struct val *there = val_get_cstr(answer, "customAttributes");
    (void)e;
    for (size_t i = 0; i < NAMES; i++)
        if (!bytes_is(temporal_str(there, names[i]), "INDEXED_VALUE_TYPE_KEYWORD"))
            missing = val_put_cstr(missing, names[i], val_cstr("INDEXED_VALUE_TYPE_KEYWORD"));
    t->stats.attributes = !status && val_len(missing) == 0;
    if (status || t->stats.attributes || t->closing) { // not to be asked about: memos it is
        val_unref(missing);
        return;
    }
    struct val *r = val_put_cstr(temporal_bare(t), "searchAttributes", missing);
    (void)temporal_call(t, "AddSearchAttributes", r, TEMPORAL_CALL_MS, on_added, t);
}

void temporal_attributes_find(struct temporal *t)
{
    if (!t->args.activities_only)
        (void)temporal_call(t, "ListSearchAttributes", temporal_bare(t), TEMPORAL_CALL_MS,
                            on_listed, t);
}

static struct val *put(struct val *fields, int which, struct bytes text)
{
    AUTO(val) v = val_str(text);
    return text.n ? val_put_cstr(fields, names[which], temporal_payload(v)) : fields;
}

struct val *temporal_attributes(const struct temporal *t, struct val *takes_a,
                                const struct flow_about *about, const struct val *meta)
{
    if (!t->stats.attributes)
        return takes_a;
    struct val *fields = put(val_obj(), NAMESPACE, bytes_of(about->namespace));
    fields = put(fields, VERSION, bytes_of(about->version));
    fields = put(fields, STATUS, BYTES("running"));
    fields = put(fields, LABEL, temporal_str(meta, "label"));
    fields = put(fields, BY, temporal_str(meta, "by"));
    return val_put_cstr(takes_a, "searchAttributes",
                        val_put_cstr(val_obj(), "indexedFields", fields));
}

struct val *temporal_attributes_status(const struct temporal *t, struct bytes status)
{
    if (!t->stats.attributes)
        return NULL;
    return val_put_cstr(val_obj(), "searchAttributes",
                        val_put_cstr(val_obj(), "indexedFields", put(val_obj(), STATUS, status)));
}

bool temporal_attributes_gone(struct temporal *t, int status, const struct err *e)
{
    if (status != E_INVALID || !t->stats.attributes ||
        (!strstr(e->text, "earch attribute") && !strstr(e->text, "SearchAttribute")))
        return false;
    t->stats.attributes = false; // until it is reachable anew
    return true;
}
