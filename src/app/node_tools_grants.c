// node_tools_grants.c: who may call what without being asked: tools that change nothing, those that
// the configuration names, and those that a person allowed, kept in data/tools/grants.json.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_tools_priv.h"
#include "base/file.h"
#include "base/time.h"
#include <stdio.h>

#define GRANTS_BYTES_MAX ((size_t)4 << 20)
#define SIDE_EFFECTS (TOOL_WRITES | TOOL_DESTROYS | TOOL_NETWORK | TOOL_RUNS | TOOL_COSTS)

int node_grants_read(struct node_tools *t, struct err *e)
{
    struct buf text;
    buf_init(&text, GRANTS_BYTES_MAX);
    int status = file_read(t->grants_path, &text, e);
    if (status == E_NOTFOUND) {
        if (e)
            *e = (struct err){0};
        t->grants = val_obj();
        status = t->grants ? 0 : E_NOMEM;
    } else if (status == 0) {
        status = val_parse(&t->grants, buf_bytes(&text), e);
        if (status == 0 && !val_is(t->grants, JSON_OBJ))
            status = err_set(e, E_INVALID, "expected an object of names");
        if (status < 0)
            (void)err_wrap(e, "%s", t->grants_path);
    }
    buf_fini(&text);
    return status;
}

static int keep(const struct node_tools *t, struct err *e)
{
    struct buf text;
    buf_init(&text, GRANTS_BYTES_MAX);
    int status = val_write_sorted(&text, t->grants);
    if (status == 0)
        status = file_write_atomic(t->grants_path, buf_bytes(&text), 0600, e);
    else
        (void)err_set(e, status, "too many grants");
    buf_fini(&text);
    return status;
}

bool node_grants_has(const struct node_tools *t, struct bytes name)
{
    return val_get(t->grants, name) != NULL;
}

int node_grants_set(struct node_tools *t, struct bytes name, bool on, struct bytes by,
                    struct err *e)
{
    struct val *old = val_ref(t->grants), *fresh;
    char at[TIME_TEXT_LEN + 1];
    time_text(time_wall_ms(), at);
    if (on)
        fresh =
            val_put(val_ref(old), name,
                    val_put_cstr(val_put_cstr(val_obj(), "by", val_str(by)), "at", val_cstr(at)));
    else
        fresh = val_del(val_ref(old), name);
    if (!fresh) {
        val_unref(old);
        return err_set(e, E_NOMEM, "out of memory");
    }
    val_unref(t->grants);
    t->grants = fresh;
    int status = keep(t, e);
    if (status < 0) { // as it was: a grant that is not kept would be gone at the next start
        val_unref(t->grants);
        t->grants = old;
        return status;
    }
    val_unref(old);
    return 0;
}

static bool configured(const struct node *n, struct bytes name)
{
    for (const char *const *p = n->config->tools.allow; p && *p; p++)
        if (tools_fits(bytes_of(*p), name))
            return true;
    return false;
}

bool node_tools_granted(void *user, const struct tool_about *a, const struct tool_caller *c)
{
    struct node_tools *t = user;
    bool own = bytes_is(a->source, "primitive") || bytes_is(a->source, "model") ||
               bytes_is(a->source, "flow");
    (void)c;
    if (!own) // a stranger's: what it was allowed as may have changed since, which its source knows
        return a->granted;
    return !(a->effects & SIDE_EFFECTS) || configured(t->node, a->name) ||
           node_grants_has(t, a->name);
}
