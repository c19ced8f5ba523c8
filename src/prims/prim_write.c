// prim_write.c: write_file: a whole file at once, and the folders above it.
// SPDX-License-Identifier: Apache-2.0
#include "prims/prims_priv.h"

int prim_write(struct prim *p, struct err *e)
{
    static struct prim_place at;
    struct prim_out out = {.dir = -1, .fd = -1};
    struct bytes content = json_str(json_get(p->in, "content"));
    int rc = prim_locate(p, json_str(json_get(p->in, "path")), true, &at, e);
    if (rc < 0)
        return rc;
    rc = prim_out_open(&out, p, &at, NULL, e);
    bool had = out.had;
    if (rc == 0)
        rc = prim_out_put(&out, content, e);
    if (rc == 0)
        rc = prim_out_commit(&out, e);
    prim_out_fini(&out);
    if (rc < 0)
        return rc;
    json_w_cstr(&p->w, "path", at.full);
    json_w_u64(&p->w, "bytes", content.n);
    json_w_bool(&p->w, "created", !had);
    buf_fmt(&p->text, "%s %s (%zu bytes).", had ? "Replaced" : "Created", at.full, content.n);
    return 0;
}
