// cli_flow_eval.c: plexus flow eval and promote: a kept document by its own cases, and published
// for good. SPDX-License-Identifier: Apache-2.0
#include "cli/cli_flow_priv.h"
#include "cli/cli_tool_priv.h"
#include "flow/flow.h"
#include "text/url.h"

// The newest version that is kept.
static int newest(struct cli *c, const struct cli_flow_name *n, struct buf *ret, struct err *e)
{
    struct json_doc *doc = NULL;
    struct json_iter it = {0};
    const struct json *v;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "GET", "/api/flows/documents", BYTES_NONE, &doc, &raw, e);
    while (!rc && json_each(json_get(json_root(doc), "documents"), &it, NULL, &v)) {
        struct bytes version = json_str(json_get(v, "version"));
        if (!bytes_eq(json_str(json_get(v, "namespace")), n->namespace) ||
            !bytes_eq(json_str(json_get(v, "name")), n->name) ||
            (ret->n && flow_version_cmp(version, buf_bytes(ret)) <= 0))
            continue;
        buf_clear(ret);
        rc = buf_put(ret, version);
    }
    if (!rc && !ret->n)
        rc = err_set(e, E_NOTFOUND, "no document %.*s/%.*s is kept; `plexus flow docs` lists them",
                     BYTES_FMT(n->namespace), BYTES_FMT(n->name));
    json_free(doc);
    buf_fini(&raw);
    return rc;
}

static int ask(struct cli *c, const char *action, struct json_doc **ret, struct buf *raw,
               struct err *e)
{
    struct cli_flow_name n;
    struct buf target, version;
    int rc = cli_flow_name(cli_arg(c, 0), &n, e);
    if (rc)
        return rc;
    buf_init(&target, 8192);
    buf_init(&version, 1024);
    if (!n.version.n && !(rc = newest(c, &n, &version, e)))
        n.version = buf_bytes(&version);
    const struct bytes parts[] = {n.namespace, n.name, n.version};
    (void)buf_str(&target, "/api/flows/documents");
    for (size_t i = 0; i < 3; i++) {
        (void)buf_chr(&target, '/');
        (void)url_encode(&target, parts[i]);
    }
    (void)buf_fmt(&target, "/%s", action);
    if (!rc && target.failed)
        rc = err_set(e, E_TOOBIG, "the name is too long");
    if (!rc)
        rc = cli_request_json(c, "POST", buf_cstr(&target), BYTES("{}"), ret, raw, e);
    buf_fini(&target);
    buf_fini(&version);
    return rc;
}

int cli_flow_eval(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = ask(c, "eval", &doc, &raw, e);
    if (!rc)
        rc = cli_tool_tell_cases(c, json_root(doc), buf_bytes(&raw));
    json_free(doc);
    buf_fini(&raw);
    return rc;
}

int cli_flow_promote(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = ask(c, "promote", &doc, &raw, e);
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc)
        cli_tool_tell_published(json_root(doc), "is promoted and published for good");
    json_free(doc);
    buf_fini(&raw);
    return rc;
}
