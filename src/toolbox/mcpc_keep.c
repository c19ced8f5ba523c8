// mcpc_keep.c: logins that outlive the node, in data/tools/mcp-tokens.json (0600):
// {"SERVER":{"url", "client","tokens","scope"}}. Of another address than it was made for, a login
// is nothing. SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "toolbox/mcpc_login_priv.h"

#include <stdio.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)4 << 20)

static bool path_of(const struct mcpc *m, char *path, size_t size)
{
    int n = m->args.folder ? snprintf(path, size, "%s/mcp-tokens.json", m->args.folder) : -1;
    return n > 0 && (size_t)n < size;
}

static void wipe(struct buf *b)
{
    if (b->p)
        mem_wipe(b->p, b->n);
    buf_fini(b);
}

// All that is kept; an empty object when there is nothing, or nothing that can be read.
static struct val *kept(const struct mcpc *m)
{
    char path[4096];
    struct buf text;
    struct val *v = NULL;
    if (!path_of(m, path, sizeof path))
        return val_obj();
    buf_init(&text, FILE_BYTES_MAX);
    if (file_read(path, &text, NULL) < 0 || val_parse(&v, buf_bytes(&text), NULL) < 0 ||
        !val_is(v, JSON_OBJ)) {
        val_unref(v);
        v = val_obj();
    }
    wipe(&text);
    return v;
}

void mcpc_login_load(struct mcpc_login *l)
{
    AUTO(val) all = kept(l->srv->m);
    const struct val *mine = val_get_cstr(all, l->srv->conf.name);
    struct val *client = val_get_cstr(mine, "client"), *tokens = val_get_cstr(mine, "tokens");
    if (!bytes_is(val_bytes(val_get_cstr(mine, "url")), l->srv->conf.url) || !client || !tokens)
        return;
    l->client = val_ref(client);
    l->tokens = val_ref(tokens);
    const char *scope = val_text(val_get_cstr(mine, "scope"), "");
    if (*scope)
        mcpc_login_set(&l->scope, mem_str(scope));
}

int mcpc_login_save(const struct mcpc_login *l, struct err *e)
{
    const struct mcpc *m = l->srv->m;
    char path[4096];
    struct buf text;
    if (!path_of(m, path, sizeof path) || !l->client || !l->tokens)
        return 0;
    struct val *mine = val_put_cstr(val_obj(), "url", val_cstr(l->srv->conf.url));
    mine = val_put_cstr(mine, "client", val_ref(l->client));
    mine = val_put_cstr(mine, "tokens", val_ref(l->tokens));
    mine = val_put_cstr(mine, "scope", val_cstr(l->scope ? l->scope : ""));
    AUTO(val) all = val_put_cstr(kept(m), l->srv->conf.name, mine);
    if (!all)
        return err_set(e, E_NOMEM, "out of memory");
    buf_init(&text, FILE_BYTES_MAX);
    (void)val_write_sorted(&text, all);
    (void)buf_chr(&text, '\n');
    int rc = text.failed ? err_set(e, text.failed, "the logins do not fit")
                         : file_mkdirs(m->args.folder, 0700, e);
    if (rc == 0)
        rc = file_write_atomic(path, buf_bytes(&text), 0600, e);
    wipe(&text);
    return rc;
}
