// cli_flow_check.c: plexus flow check: the same code as the node's, without a node.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_flow_priv.h"
#include "flow/flow.h"
#include <string.h>

// ---- check --------------------------------------------------------------------------------------

static void put_finding_json(struct json_w *w, const struct flow_finding *f)
{
    json_w_obj(w, NULL);
    json_w_u64(w, "line", f->line);
    json_w_u64(w, "column", f->column);
    json_w_cstr(w, "task", f->task);
    json_w_cstr(w, "pointer", f->pointer);
    json_w_cstr(w, "message", f->message);
    json_w_end(w);
}

static void put_report(const char *file, const struct flow_plan *p, const struct flow_findings *f,
                       struct buf *out)
{
    struct flow_about about;
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "file", file);
    json_w_bool(&w, "ok", p != NULL);
    json_w_arr(&w, "findings");
    for (size_t i = 0; i < f->count; i++)
        put_finding_json(&w, &f->at[i]);
    json_w_end(&w);
    if (p) {
        flow_plan_about(p, &about);
        json_w_obj(&w, "about");
        json_w_cstr(&w, "namespace", about.namespace);
        json_w_cstr(&w, "name", about.name);
        json_w_cstr(&w, "version", about.version);
        json_w_cstr(&w, "dsl", about.dsl);
        json_w_cstr(&w, "hash", about.hash);
        json_w_u64(&w, "tasks", about.tasks);
        json_w_end(&w);
    }
    json_w_end(&w);
    (void)buf_chr(out, '\n');
}

static void tell_well(struct cli *c, const char *file, const struct flow_plan *p)
{
    struct flow_about about;
    struct flow_need need;
    struct bytes secret;
    size_t at = 0;
    flow_plan_about(p, &about);
    cli_paint_put(c, PAINT_BOLD, file, stdout);
    (void)printf(": %s/%s %s, %zu task%s: ", about.namespace, about.name, about.version,
                 about.tasks, about.tasks == 1 ? "" : "s");
    cli_paint_put(c, PAINT_GREEN, "well", stdout);
    (void)printf("\n");
    while (flow_plan_need(p, &at, &need))
        (void)printf("  fetched at its start: %s, %.*s\n", need.what, BYTES_FMT(need.uri));
    at = 0;
    while (flow_plan_secret(p, &at, &secret))
        (void)printf("  secret: %.*s\n", BYTES_FMT(secret));
}

static int check_one(struct cli *c, const char *file, struct err *e)
{
    struct flow_findings *f = mem_new(struct flow_findings);
    struct flow_plan *p = NULL;
    struct buf text, out;
    struct err why = {0};
    buf_init(&text, CLI_FLOW_TEXT_MAX);
    buf_init(&out, CLI_TEXT_MAX);
    int rc = f ? cli_flow_read(file, &text, e) : err_set(e, E_NOMEM, "out of memory");
    int is = rc ? rc : flow_plan_new(&p, buf_bytes(&text), f, &why);
    if (!rc && is < 0 && !f->count) // nothing with a place: too large, no memory
        rc = err_set(e, is, "%s: %s", file, why.n ? why.text : err_info(is)->text);
    if (!rc && c->json)
        put_report(file, p, f, &out);
    for (size_t i = 0; !rc && !c->json && i < f->count; i++) {
        struct cli_finding one = {f->at[i].line, f->at[i].column, f->at[i].task, f->at[i].message};
        cli_flow_put_finding(c, file, buf_bytes(&text), &one, &out);
    }
    if (!rc && is >= 0 && !c->json)
        tell_well(c, file, p);
    if (out.n)
        (void)fwrite(out.p, 1, out.n, stdout);
    flow_plan_unref(p);
    buf_fini(&text);
    buf_fini(&out);
    mem_free(f);
    return rc ? rc : is < 0 ? err_info(E_INVALID)->exit : 0;
}

int cli_flow_check(struct cli *c, struct err *e)
{
    int worst = 0;
    for (size_t i = 0; i < cli_args(c); i++) {
        int rc = check_one(c, cli_arg(c, i), e);
        if (rc < 0)
            return rc;
        worst = rc ? rc : worst;
    }
    return worst;
}
